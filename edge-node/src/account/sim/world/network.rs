//! The network between nodes and control plane: what is said arrives late, twice, out of order or
//! never.

use super::super::control::{Answer, Call};
use super::*;

impl World {
    pub(super) fn later(&mut self, delay: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }

    pub(super) fn delay(&mut self) -> u64 {
        if self.random.u8(0..10) == 0 && !self.healed {
            self.random.u64(0..5 * SECOND)
        } else {
            self.random.u64(MS..40 * MS)
        }
    }

    pub(super) fn is_lost(&mut self) -> bool {
        let lost = !self.healed && self.random.u8(0..100) < 12;
        self.counts.lost_messages += u64::from(lost);
        lost
    }

    pub(super) fn send(&mut self, number: usize, line: Line, call: Call) {
        let Some(run) = &self.nodes[number].run else {
            return;
        };
        let epoch = run.epoch();
        let may = self.may_send(number, &call);
        self.ids += 1;
        let id = self.ids;
        let sent = self.time_of(number).moment;
        self.say(&format!("n{number} sends {id}: {}", brief(&call)));
        self.posted.insert(id, (number, epoch, call.clone()));
        let boot = self.nodes[number].boots;
        self.calls.insert(
            id,
            Pending {
                node: number,
                boot,
                line,
                call,
                sent,
            },
        );
        self.later(PATIENCE, Event::GivesUp { id });
        let copies = if !self.healed && self.random.u8(0..100) < 10 {
            self.counts.doubled_messages += 1;
            2
        } else {
            1
        };
        for _ in 0..copies {
            if !may || self.nodes[number].cut_off || self.is_lost() {
                continue;
            }
            let delay = self.delay();
            let at_zombie = !self.healed && self.random.u8(0..8) == 0;
            self.later(delay, Event::Arrives { id, at_zombie });
        }
    }

    /// A lease is asked for only by who has taken over what was there and returned what it must.
    fn may_send(&mut self, number: usize, call: &Call) -> bool {
        match (call, &mut self.nodes[number].run) {
            (Call::Acquire { purse, ask }, Some(run)) => run.may_ask(purse, ask),
            _ => true,
        }
    }

    pub(super) async fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives { id, at_zombie } => self.arrives(id, at_zombie).await,
            Event::Answers { id, answer } => {
                if let Some(pending) = self.calls.remove(&id) {
                    self.answered(&pending, answer);
                }
            }
            Event::GivesUp { id } => {
                if let Some(pending) = self.calls.remove(&id) {
                    self.answered(&pending, Answer::Unavailable);
                }
            }
        }
    }

    pub(super) async fn arrives(&mut self, id: u64, at_zombie: bool) {
        let Some((number, epoch, call)) = self.posted.get(&id).cloned() else {
            return;
        };
        let name = self.nodes[number].name.clone();
        let done = self.control.handle(&name, epoch, &call, at_zombie).await;
        let answer = match done {
            None => return,
            Some(Ok(answer)) => answer,
            Some(Err(problem)) => return self.wrong(problem),
        };
        self.say(&format!("{id} is answered {answer:?}"));
        if !self.nodes[number].cut_off && !self.is_lost() {
            let late = self.slow && !self.healed && matches!(call, Call::Acquire { .. });
            let delay = if late { PATIENCE } else { self.delay() };
            self.later(delay, Event::Answers { id, answer });
        }
    }

    pub(super) fn answered(&mut self, pending: &Pending, answer: Answer) {
        let number = pending.node;
        let now = self.time_of(number);
        let node = &mut self.nodes[number];
        let Some(run) = node.run.as_mut().filter(|_| node.boots == pending.boot) else {
            return;
        };
        match pending.line {
            Line::TopUp => {}
            Line::Ship => node.busy.0 = false,
            Line::Return => node.busy.1 = false,
        }
        if !matches!(answer, Answer::Unavailable) {
            // What a node spent that was not heard of for so long is told when its lease is gone.
            if self.now.saturating_sub(node.contact) > LEDGER_WAITS {
                let of = self.fates.values().filter(|fate| fate.node == number);
                self.excused += of.map(|fate| fate.held).sum();
            }
            node.contact = self.now;
        } else if pending.line != Line::TopUp {
            node.quiet_until = self.now + PAUSE;
        }
        if let (Answer::Granted(granted), Call::Acquire { purse, .. }) = (answer, &pending.call) {
            self.lent.remove(&(number, purse.org.clone()));
            self.counts.central += u64::from(granted.central && granted.amount > Amount::ZERO);
        }
        run.answered(&pending.call, answer, pending.sent, now);
        if let Call::Acquire { purse, .. } = &pending.call {
            let may_ask = matches!(answer, Answer::Granted(_));
            let all = std::mem::take(&mut node.waiting);
            let (due, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.1 == purse.org);
            node.waiting = others;
            for (generation, org, ceiling, least) in due {
                self.try_hold(number, (generation, &org), (ceiling, least), may_ask);
            }
        }
        self.talk(number);
    }

    /// The node's tasks say what they have to say.
    pub(super) fn talk(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if self.now < node.quiet_until && !self.healed {
            return;
        }
        let Some(run) = node.run.as_mut() else { return };
        if !node.busy.0
            && let Some(call) = run.next_ship()
        {
            node.busy.0 = true;
            self.send(number, Line::Ship, call);
        }
        let node = &mut self.nodes[number];
        let Some(run) = node.run.as_mut() else { return };
        if !node.busy.1
            && let Some(call) = run.next_return()
        {
            node.busy.1 = true;
            self.send(number, Line::Return, call);
        }
    }
}

fn brief(call: &Call) -> String {
    match call {
        Call::Acquire { purse, ask } => {
            let (wanted, least) = (ask.wanted.0, ask.least.0);
            format!("lease {} of {purse}, {wanted} or {least}", ask.lease_id)
        }
        Call::Release(back) => format!("return {}, {}", back.release_id, back.amount.0),
        Call::Ship {
            epoch,
            inherited,
            records,
        } => {
            let first = records.first().map(|record| record.sequence);
            let (count, heirs) = (records.len(), inherited.len());
            format!(
                "{count} records of {} from {first:?}, {heirs} inherited",
                epoch.0
            )
        }
    }
}
