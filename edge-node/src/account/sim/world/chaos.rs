//! What happens: requests and their ends, and everything that should not.

use super::super::run::Held;
use super::*;
use crate::account::desk::May;

impl World {
    pub(super) async fn credit(&mut self, org: &OrgId, amount: Amount) {
        self.ids += 1;
        let reference = format!("credit-{}", self.ids);
        let (fence, ledger) = self.control.ledger().await;
        assert!(ledger.credit(fence, org, &reference, amount).await.unwrap());
        *self.given.entry(org.clone()).or_default() += amount;
        self.say(&format!("{org} gets {}", amount.0));
    }

    pub(super) fn request(&mut self) {
        let (number, org) = (self.any_node(), self.any_org());
        let most = if self.random.u8(0..5) == 0 {
            20_000
        } else {
            1_500
        };
        let ceiling = Amount(self.random.i128(1..most));
        let least = Amount(self.random.i128(1..=ceiling.0));
        self.counts.requests += 1;
        let generation = format!("gen-{}", self.counts.requests);
        self.try_hold(number, (generation, &org), (ceiling, least), true);
    }

    pub(super) fn try_hold(
        &mut self,
        number: usize,
        (generation, org): (String, &OrgId),
        (ceiling, least): (Amount, Amount),
        may_ask: bool,
    ) {
        let now = self.time_of(number).moment;
        let Some(run) = &mut self.nodes[number].run else {
            return;
        };
        let may = May {
            ask: may_ask,
            credit: credit_of(org),
        };
        let fly = match run.hold((&generation, org), (ceiling, least), may, now) {
            Held::Yes { open, fly } => {
                let fate = Fate {
                    org: org.clone(),
                    held: open.held,
                    credit: open.credit,
                    cost: None,
                    node: number,
                    boot: self.nodes[number].boots,
                    begun_on_disk: false,
                    ended_in_log: false,
                    ended_on_disk: false,
                    power_lost: false,
                };
                self.say(&format!("n{number} holds {} for {generation}", open.held.0));
                self.check_lease(number, open.held - open.credit);
                self.check_credit(number, &open);
                self.fates.insert(generation, fate);
                self.nodes[number].open.push(open);
                fly
            }
            Held::Wait { fly } => {
                let waiting = (generation, org.clone(), ceiling, least);
                self.nodes[number].waiting.push(waiting);
                fly
            }
            Held::No { fly } => {
                self.counts.refused += 1;
                fly
            }
        };
        if fly && let Some(run) = &mut self.nodes[number].run {
            let call = run.ask(org, now);
            self.send(number, Line::TopUp, call);
        }
    }

    pub(super) fn take_open(&mut self) -> Option<(usize, Arc<OpenHold>)> {
        let number = self.any_node();
        let count = self.nodes[number].open.len();
        if count == 0 {
            return None;
        }
        let place = self.random.usize(0..count);
        Some((number, self.nodes[number].open.remove(place)))
    }

    pub(super) fn end_one(&mut self) {
        if let Some((number, open)) = self.take_open() {
            self.end(number, &open);
        }
    }

    pub(super) fn end(&mut self, number: usize, open: &OpenHold) {
        let cost = match self.random.u8(0..10) {
            0 => Amount::ZERO,
            1..6 => open.held,
            _ => Amount(self.random.i128(1..=open.held.0.max(1))),
        };
        let now = self.time_of(number).moment;
        let Some(run) = &self.nodes[number].run else {
            return;
        };
        run.end(open, cost, now);
        let beyond = cost - (open.held - open.credit);
        self.lends(number, &open.org, beyond.min(open.credit));
        let Some(run) = &self.nodes[number].run else {
            return;
        };
        let down = run.cashier.log.is_down();
        self.say(&format!(
            "n{number} ends {} with {}",
            open.generation, cost.0
        ));
        if let Some(fate) = self.fates.get_mut(open.generation.as_str()) {
            (fate.cost, fate.ended_in_log) = (Some(cost), !down);
        }
    }

    pub(super) fn mark_one(&mut self) {
        if let Some((number, open)) = self.take_open() {
            let cost = Amount(self.random.i128(0..=open.held.0));
            if let Some(run) = &self.nodes[number].run {
                run.mark(&open, cost);
            }
            self.nodes[number].open.push(open);
        }
    }

    /// The log is synced, starts a new segment, or fails.
    pub(super) fn keep_one(&mut self) {
        let number = self.any_node();
        let what = self.random.u8(0..8);
        let node = &mut self.nodes[number];
        let Some(run) = &mut node.run else { return };
        if what == 0 {
            run.cashier.log.break_down();
            self.counts.log_failures += 1;
            self.say(&format!("n{number}'s log fails"));
            return;
        }
        if run.keep(what < 3) {
            let boot = node.boots;
            for fate in self.fates.values_mut() {
                if (fate.node, fate.boot) == (number, boot) {
                    fate.begun_on_disk = true;
                    fate.ended_in_log = fate.cost.is_some();
                    fate.ended_on_disk = fate.cost.is_some();
                }
            }
        }
    }

    pub(super) fn sweep_one(&mut self) {
        let number = self.any_node();
        if self.random.u8(0..8) == 0 {
            let org = self.any_org();
            if let Some(run) = &self.nodes[number].run {
                run.cashier.recall(&org.into());
                self.counts.recalls += 1;
            }
        }
        let idle = self.random.u8(0..6) == 0;
        let now = self.time_of(number).moment;
        if let Some(run) = &mut self.nodes[number].run {
            run.sweep(idle, now);
        }
    }

    /// A node is killed or loses power; a dead one starts again.
    pub(super) async fn die(&mut self) {
        let number = self.any_node();
        if self.nodes[number].run.is_none() {
            self.start(number);
            return;
        }
        let power = self.random.u8(0..3) == 0;
        self.kill(number, power);
        if self.random.bool() {
            self.start(number);
        }
        // So that a fast restart meets the control plane's own death now and then.
        if self.random.u8(0..8) == 0 {
            self.control_dies_or_lives().await;
        }
    }

    pub(super) fn kill(&mut self, number: usize, power: bool) {
        let node = &mut self.nodes[number];
        let Some(run) = node.run.take() else { return };
        let boot = node.boots;
        let open = std::mem::take(&mut node.open);
        node.waiting.clear();
        node.busy = (false, false);
        if power {
            let random = &mut self.random;
            run.lose_power(|rest| random.u64(0..=rest));
            self.counts.power_losses += 1;
        } else {
            drop(run);
            self.counts.kills += 1;
        }
        for fate in self.fates.values_mut() {
            if (fate.node, fate.boot) == (number, boot) {
                fate.power_lost = power;
            }
        }
        for open in open {
            self.lends(number, &open.org, open.credit);
        }
        if power {
            // What it had not yet written it can't know.
            self.lent.retain(|(node, _), _| *node != number);
        }
        self.say(&format!("n{number} dies, power lost: {power}"));
    }

    pub(super) fn start(&mut self, number: usize) {
        let unix_ms = self.time_of(number).unix_ms;
        let wall = Clock::manual();
        let since = i64::try_from(unix_ms).unwrap() - WALL_MS;
        wall.advance(Duration::from_millis(u64::try_from(since).unwrap()));
        let node = &mut self.nodes[number];
        node.boots += 1;
        node.started = self.now;
        let seed = self.random.u64(..);
        let random = fastrand::Rng::with_seed(seed);
        let run = Run::start(&node.name, &node.dir, &wall, random);
        let text = format!("n{number} starts: {}", run.describe());
        node.run = Some(run);
        self.say(&text);
    }

    pub(super) async fn control_dies_or_lives(&mut self) {
        if self.control.is_up() {
            let zombie = self.random.bool();
            self.control.die(zombie);
            self.counts.control_deaths += 1;
            self.say("the control plane dies");
            // Often another takes over at once.
            if self.random.bool() {
                self.control.restart(false).await;
                self.say("another leads");
            }
        } else {
            let dies = self.random.bool();
            self.control.restart(dies).await;
            self.say("the control plane is back");
        }
    }

    pub(super) fn clock_jumps(&mut self) {
        let number = self.any_node();
        let by = match self.random.u8(0..4) {
            0 => self.random.i64(-10_800_000..10_800_000),
            _ => self.random.i64(-90_000..90_000),
        };
        let node = &mut self.nodes[number];
        // Never before the manual clock's own beginning.
        node.wall_off_ms = (node.wall_off_ms + by).max(-i64::try_from(self.now / MS).unwrap());
        node.jumped = true;
        self.counts.clock_jumps += 1;
        self.say(&format!("n{number}'s wall clock jumps by {by} ms"));
    }

    pub(super) fn cut_or_join(&mut self) {
        let number = self.any_node();
        let node = &mut self.nodes[number];
        node.cut_off = !node.cut_off;
        let cut = node.cut_off;
        self.say(&format!("n{number} is cut off: {cut}"));
    }
}
