//! A run: arrivals, attempts and policies in virtual time. One thread, one order of events; the
//! same scenario, policy and seed give the same records.

mod event;
mod trace;

pub use trace::{Record, Trace};

use crate::policy::{Ask, Failed, Leg, Policy, Turn};
use crate::world::{Answer, Ending, World};
use event::{Event, What};
use std::collections::BinaryHeap;

/// The part of an answer's price that a hedge costs when the other attempt was first.
const HEDGE_WASTE: f64 = 0.3;
/// Seconds into a stream after which its speed is known.
const SPEED_KNOWN: f64 = 1.5;
/// Seconds after the last arrival that are waited for what still runs.
const DRAIN: u32 = 60;

#[derive(Default)]
struct Request {
    tried: u32,
    live: Vec<usize>,
    attempts: u32,
    /// Has its first token, or its end.
    done: bool,
    ttft: f64,
    /// The attempt that streams to the client.
    streams: Option<usize>,
}

struct Attempt {
    leg: Leg,
    begun: f64,
    live: bool,
    answer: Answer,
}

struct Run<'a> {
    world: World,
    policy: &'a mut dyn Policy,
    events: BinaryHeap<Event>,
    made: u64,
    requests: Vec<Request>,
    attempts: Vec<Attempt>,
    trace: Trace,
}

/// Plays a world through a policy, to the end.
pub fn run(world: World, policy: &mut dyn Policy) -> Trace {
    let end = world.scenario.end;
    let seconds = end as usize + 1;
    let providers = world.scenario.providers;
    let requests = world.calls.iter().map(|_| Request::default());
    let mut run = Run {
        requests: requests.collect(),
        policy,
        events: BinaryHeap::new(),
        made: 0,
        attempts: Vec::with_capacity(world.calls.len() + world.calls.len() / 8),
        trace: Trace::new(seconds, providers),
        world,
    };
    for second in 0..(end as u32 + DRAIN) {
        run.push(f64::from(second) + 0.001, What::Tick);
    }
    run.play();
    run.trace
}

impl Run<'_> {
    fn play(&mut self) {
        let mut next = 0;
        loop {
            let arrival = self.world.calls.get(next).map_or(f64::INFINITY, |it| it.at);
            let event = self.events.peek().map_or(f64::INFINITY, |it| it.at);
            let due = self.policy.due();
            if due < arrival && due < event {
                self.policy.act(&mut self.world, due);
            } else if arrival <= event {
                if arrival.is_infinite() {
                    return;
                }
                self.arrive(next, arrival);
                next += 1;
            } else if let Some(event) = self.events.pop() {
                self.happen(event);
            }
        }
    }

    fn arrive(&mut self, call: usize, now: f64) {
        if let Some(leaves) = self.world.calls[call].leaves {
            self.push(now + leaves, What::Leaves(call));
        }
        if !self.launch(call, Turn::First, now) {
            self.fails(call, 0.0);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = event.at;
        match event.what {
            What::Tick => self.policy.tick(&mut self.world, now.round()),
            What::Leaves(call) => self.leave(call, now),
            What::Progress(attempt) => {
                let Attempt { leg, answer, .. } = &self.attempts[attempt];
                if self.requests[leg.call].streams == Some(attempt) {
                    self.policy.progress(*leg, now, answer.speed);
                }
            }
            What::End(attempt) => self.end(attempt, now),
            What::FirstToken(it) if self.attempts[it].live => self.first_token(it, now),
            What::Fails(it) if self.attempts[it].live => {
                let how = match self.attempts[it].answer.ending {
                    Ending::RateLimited => {
                        Failed::RateLimited(self.attempts[it].answer.retry_after)
                    }
                    Ending::Overload => Failed::Overload,
                    Ending::HardFail | Ending::Ok | Ending::Hang => Failed::Hard,
                };
                self.fail(it, how, now);
            }
            What::GivenUp(it) if self.attempts[it].live => self.fail(it, Failed::Timeout, now),
            What::Silent(it) if self.attempts[it].live => {
                self.policy.silent(self.attempts[it].leg, now);
            }
            What::Hedge(it) if self.attempts[it].live => self.hedge(it, now),
            What::FirstToken(_)
            | What::Fails(_)
            | What::GivenUp(_)
            | What::Silent(_)
            | What::Hedge(_) => {}
        }
    }

    fn launch(&mut self, call: usize, turn: Turn, now: f64) -> bool {
        let asked = self.world.calls[call];
        let ask = Ask {
            call,
            edge: asked.edge,
            model: asked.model,
            tried: self.requests[call].tried,
            turn,
        };
        let Some(offer) = self.policy.choose(&mut self.world, &ask, now) else {
            return false;
        };
        let leg = Leg {
            call,
            edge: asked.edge,
            offer,
        };
        if turn == Turn::First {
            let region = self.world.scenario.region_of(asked.edge);
            let provider = self.world.scenario.offers[offer].provider;
            self.trace.asked(now as usize, region, provider);
        }
        let request = &mut self.requests[call];
        request.tried |= 1 << offer;
        request.attempts += 1;
        request.live.push(self.attempts.len());
        self.trace.attempts += 1;
        self.policy.begun(leg, now);
        let answer = self.world.attempt(call, offer, now);
        self.attempts.push(Attempt {
            leg,
            begun: now,
            live: true,
            answer,
        });
        self.arm(self.attempts.len() - 1, now);
        true
    }

    /// Makes the events of an attempt.
    fn arm(&mut self, attempt: usize, now: f64) {
        let Attempt { leg, answer, .. } = &self.attempts[attempt];
        let (leg, answer) = (*leg, *answer);
        if holds(answer.ending) {
            self.world.occupied(leg.offer);
        }
        let patience = self.policy.patience(&self.world, leg, now);
        let heard = answer.delay.min(patience.deadline);
        if answer.delay >= patience.deadline {
            self.push(now + patience.deadline, What::GivenUp(attempt));
        } else if answer.ending == Ending::Ok {
            self.push(now + answer.delay, What::FirstToken(attempt));
        } else {
            self.push(now + answer.delay, What::Fails(attempt));
        }
        if let Some(after) = patience.hedge.filter(|after| heard > *after) {
            self.push(now + after, What::Hedge(attempt));
        }
        if let Some(after) = patience.silence.filter(|after| heard > *after) {
            self.push(now + after, What::Silent(attempt));
        }
    }

    fn first_token(&mut self, attempt: usize, now: f64) {
        let Attempt {
            leg, answer, begun, ..
        } = &self.attempts[attempt];
        let (leg, answer, begun) = (*leg, *answer, *begun);
        self.policy.stated(leg, now, answer.stated);
        self.policy.first_token(leg, now, now - begun);
        self.world.served(leg.call, leg.offer, now);
        self.attempts[attempt].live = false;
        let asked = self.world.calls[leg.call].at;
        let request = &mut self.requests[leg.call];
        request.live.retain(|it| *it != attempt);
        (request.done, request.ttft) = (true, now - asked);
        request.streams = Some(attempt);
        for other in std::mem::take(&mut request.live) {
            self.drop_attempt(other, now);
        }
        self.push(now + answer.stream, What::End(attempt));
        if answer.stream > SPEED_KNOWN {
            self.push(now + SPEED_KNOWN, What::Progress(attempt));
        }
    }

    fn end(&mut self, attempt: usize, now: f64) {
        let Attempt { leg, answer, .. } = &self.attempts[attempt];
        let (leg, answer) = (*leg, *answer);
        if self.requests[leg.call].streams != Some(attempt) {
            return;
        }
        self.requests[leg.call].streams = None;
        self.world.released(leg.offer);
        let call = self.world.calls[leg.call];
        if answer.complete {
            self.policy.used(leg, now, (call.prompt, call.output));
        }
        self.policy.ended(leg, now, answer.complete, answer.speed);
        self.trace.records.push(Record {
            at: call.at,
            ok: answer.complete,
            ttft: self.requests[leg.call].ttft,
            cost: self.world.cost(leg.call, leg.offer, answer.hit),
            tokens: call.prompt + call.output,
            speed: answer.speed,
        });
    }

    fn fail(&mut self, attempt: usize, how: Failed, now: f64) {
        let Attempt { leg, answer, .. } = &self.attempts[attempt];
        let (leg, ending) = (*leg, answer.ending);
        self.trace.rate_limited += u64::from(matches!(how, Failed::RateLimited(_)));
        self.attempts[attempt].live = false;
        self.requests[leg.call].live.retain(|it| *it != attempt);
        if holds(ending) {
            self.world.released(leg.offer);
        }
        if how != Failed::Timeout {
            self.policy
                .stated(leg, now, self.attempts[attempt].answer.stated);
        }
        self.policy.failed(leg, now, how);
        let request = &self.requests[leg.call];
        if request.done || !request.live.is_empty() {
            return;
        }
        let spent = request.attempts >= self.policy.attempts_max();
        if spent || !self.launch(leg.call, Turn::Again, now) {
            self.fails(leg.call, now - self.world.calls[leg.call].at);
        }
    }

    fn hedge(&mut self, attempt: usize, now: f64) {
        let leg = self.attempts[attempt].leg;
        let request = &self.requests[leg.call];
        let left = request.attempts <= self.policy.attempts_max();
        if !request.done && left && self.policy.may_hedge(leg, now) {
            self.launch(leg.call, Turn::Hedge, now);
        }
    }

    /// Nobody waits for an attempt any more.
    fn drop_attempt(&mut self, attempt: usize, now: f64) {
        let Attempt {
            leg, answer, live, ..
        } = &mut self.attempts[attempt];
        *live = false;
        let (leg, answer) = (*leg, *answer);
        if holds(answer.ending) {
            self.world.released(leg.offer);
        }
        if answer.ending == Ending::Ok {
            self.trace.wasted += HEDGE_WASTE * self.world.cost(leg.call, leg.offer, 0.0);
        }
        self.policy.dropped(leg, now);
    }

    /// The client is gone: nothing is counted but what it cost.
    fn leave(&mut self, call: usize, now: f64) {
        let request = &mut self.requests[call];
        let live = std::mem::take(&mut request.live);
        let streams = request.streams.take();
        request.done = true;
        for attempt in live {
            self.drop_attempt(attempt, now);
        }
        if let Some(attempt) = streams {
            let leg = self.attempts[attempt].leg;
            self.world.released(leg.offer);
            self.policy.dropped(leg, now);
        }
    }

    fn fails(&mut self, call: usize, ttft: f64) {
        self.requests[call].done = true;
        let asked = self.world.calls[call];
        self.trace.records.push(Record {
            at: asked.at,
            ok: false,
            ttft,
            cost: 0.0,
            tokens: asked.prompt + asked.output,
            speed: 0.0,
        });
    }

    fn push(&mut self, at: f64, what: What) {
        self.made += 1;
        self.events.push(Event {
            at,
            number: self.made,
            what,
        });
    }
}

/// Does it take one of the offer's places?
fn holds(ending: Ending) -> bool {
    matches!(ending, Ending::Ok | Ending::Hang)
}
