//! Our policy: the production code in virtual time, and no formula of its own. Each edge has its
//! health board, its view and its windows; its reports and the tables that it is pushed take their
//! time, and none come through while the control plane is cut off or, in the extended world, the
//! edge's connection to it is lost.

mod agenda;
mod catalogue;
mod control;
mod edge;
mod line;
mod walk;

use crate::decisions::{self, Tape};
use crate::policy::{Ask, Failed, Leg, Patience, Policy, Turn};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;
use agenda::{Agenda, Item};
use control::Control;
use edge::Edge;
use shared::clock::Moment;
use shared::health::{Allowance, Departure, Handle, StateChange};
use shared::id::EndpointId;
use shared::ranking::Mode;
use shared::usage::Usage;
use shared::window::{Observation, Outcome, Sign, Stated};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use walk::{Demands, Walk};

/// Seconds between two reports of an edge, give or take a tenth.
const REPORT_EVERY: f64 = 1.0;
/// The least seconds between an alarm's report and the one before.
const ALARM_GAP: f64 = 0.05;
/// Seconds between two rankings without alarms.
const RANK_EVERY: f64 = 1.0;
/// The least seconds between two rankings, and after one because of an alarm.
const RANK_GAP: (f64, f64) = (0.02, 0.1);
/// Seconds that a report is on its way.
const REPORT_TAKES: f64 = 0.1;
/// Seconds that a table is on its way, made and applied.
const PUSH_TAKES: f64 = 0.3;
/// Seconds that gossip is on its way: a datagram within a building.
const GOSSIP_TAKES: f64 = 0.002;

/// The numbers that the production code goes by, for whoever tries others.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Tunings {
    /// The control plane's, and every edge's health board's.
    pub ranking: shared::ranking::Tuning,
    /// Of plans and deadlines.
    pub routing: shared::routing::Tuning,
}

/// The production code as a policy.
pub struct Ours {
    luck: Random,
    scenario: Scenario,
    demands: Demands,
    endpoints: Vec<EndpointId>,
    handles: Vec<Handle>,
    offer_of: HashMap<Handle, usize>,
    edges: Vec<Edge>,
    control: Control,
    agenda: Agenda,
    walks: HashMap<usize, Walk>,
    /// What left, by request and offer.
    left: HashMap<(usize, usize), Departure>,
    /// When the next alarm may be ranked.
    may_rank: f64,
    alarms: u64,
    /// What is decided, where that is recorded.
    pub(crate) tape: Option<Tape>,
}

/// A time of the run, as the production code counts it. The clock doesn't begin at its origin.
fn moment(now: f64) -> Moment {
    Moment(((now + 1000.0) * 1e9) as u64)
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.max(0.0))
}

impl Ours {
    /// With the production code's own numbers, in that mode.
    #[must_use]
    pub fn new(scenario: &Scenario, mode: Mode, luck: Random) -> Self {
        Self::tuned(scenario, mode, &Tunings::default(), luck)
    }

    /// With other numbers.
    #[must_use]
    pub fn tuned(scenario: &Scenario, mode: Mode, tunings: &Tunings, mut luck: Random) -> Self {
        let snapshot = Arc::new(catalogue::snapshot(scenario));
        let endpoints: Vec<EndpointId> =
            scenario.offers.iter().map(catalogue::endpoint_id).collect();
        let handles: Vec<Handle> = endpoints.iter().map(Handle::of).collect();
        let edges = (0..scenario.edges()).map(|edge| Edge::new(scenario, edge, &snapshot, tunings));
        let edges: Vec<Edge> = edges.collect();
        let mut control = Control::new(snapshot, edges.len(), tunings);
        let mut agenda = Agenda::default();
        for (at, edge) in edges.iter().enumerate() {
            control.heard(&edge.who, 0.0);
            agenda.push(luck.unit() * REPORT_EVERY, Item::Report(at));
        }
        agenda.push(RANK_EVERY, Item::Rank);
        Self {
            luck,
            scenario: scenario.clone(),
            demands: Demands::new(scenario, mode),
            offer_of: handles.iter().copied().zip(0..).collect(),
            handles,
            endpoints,
            edges,
            control,
            agenda,
            walks: HashMap::new(),
            left: HashMap::new(),
            may_rank: 0.0,
            alarms: 0,
            tape: None,
        }
    }

    fn plan(&mut self, world: &World, ask: &Ask, now: f64) -> Option<Walk> {
        let demand = self.demands.of(world, ask, now);
        let edge = &self.edges[ask.edge];
        Walk::begin(edge, demand, now, self.luck.bits())
    }

    /// Takes note of an attempt's end at the edge, and for its report.
    fn observe(&mut self, leg: Leg, outcome: Outcome, speed: Option<f64>, now: f64) {
        let jitter = self.luck.unit();
        let edge = &mut self.edges[leg.edge];
        let change = edge
            .board
            .observe(self.handles[leg.offer], &outcome, moment(now), jitter);
        let seen = Observation {
            tokens_per_second: speed,
            noted: true,
            ..Observation::of(outcome)
        };
        edge.windows.record(&self.endpoints[leg.offer], &seen);
        self.changed(leg, change, now);
    }

    fn changed(&mut self, leg: Leg, change: Option<StateChange>, now: f64) {
        let Some(change) = change else { return };
        let edge = &mut self.edges[leg.edge];
        if let StateChange::Paused(until) = change {
            edge.windows.opened(&self.endpoints[leg.offer]);
            if self.scenario.gossip {
                let left = until.since(moment(now + GOSSIP_TAKES));
                let word = Item::Gossip(leg.edge, leg.offer, left);
                self.agenda.push(now + GOSSIP_TAKES, word);
            }
        }
        self.alarms += 1;
        if !edge.alarm {
            edge.alarm = true;
            let at = now.max(edge.reported + ALARM_GAP);
            self.agenda.push(at, Item::Alarm(leg.edge));
        }
    }

    /// It is known what an attempt took of the limit on tokens.
    fn spent(&mut self, leg: Leg, tokens: u64, now: f64) {
        if let Some(departure) = self.left.get(&(leg.call, leg.offer)) {
            let (board, handle) = (&self.edges[leg.edge].board, self.handles[leg.offer]);
            board.spent(handle, departure, tokens, moment(now));
        }
    }

    fn gossip(&mut self, from: usize, offer: usize, left: Duration, now: f64) {
        let pop = self.edges[from].who.pop.clone();
        let endpoint = self.handles[offer];
        for (at, edge) in self.edges.iter_mut().enumerate() {
            if at != from && edge.who.pop == pop {
                edge.hear(from, endpoint, left, moment(now));
            }
        }
    }

    fn rank(&mut self, whole: bool, now: f64) {
        self.may_rank = now + if whole { RANK_GAP.0 } else { RANK_GAP.1 };
        self.control.rank(whole, now);
        if self.scenario.is_cut(now) {
            return;
        }
        let reached = self.edges.iter().enumerate();
        for (at, edge) in reached.filter(|(_, edge)| edge.line.carries()) {
            let delta = self.control.delta(at, &edge.who.node, &edge.who.region);
            if let Some(delta) = delta {
                self.agenda.push(now + PUSH_TAKES, Item::Table(at, delta));
            }
        }
    }
}

impl Policy for Ours {
    fn attempts_max(&self) -> u32 {
        shared::routing::ATTEMPTS_MAX as u32
    }

    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        if ask.turn == Turn::First {
            self.edges[ask.edge].board.arrived(moment(now));
            let walk = self.plan(world, ask, now)?;
            self.walks.insert(ask.call, walk);
        }
        let walk = self.walks.get_mut(&ask.call)?;
        let edge = &self.edges[ask.edge];
        let own = walk.next(edge, ask.turn, now);
        let offer = |handle: Handle| self.offer_of.get(&handle).copied();
        let Some(tape) = &mut self.tape else {
            return offer(own?);
        };
        let places = decisions::places(walk.places(own.is_some()), |it| offer(it.handle));
        let followed = tape.took(ask);
        let told = followed.map(|offer| offer.and_then(|offer| self.handles.get(offer).copied()));
        let taken = match told {
            Some(told) if told != own => walk.take_instead(own, told, ask.turn),
            _ => own,
        };
        let table = edge.view.ranking.version.number;
        let (own, taken) = (own.and_then(offer), taken.and_then(offer));
        tape.note((ask, now, table), &places, own, taken);
        taken
    }

    fn patience(&mut self, _world: &World, leg: Leg, _now: f64) -> Patience {
        let walk = self.walks.get(&leg.call);
        walk.map_or_else(
            || Patience::until(10.0),
            |walk| walk.patience(&self.edges[leg.edge]),
        )
    }

    fn may_hedge(&mut self, leg: Leg, now: f64) -> bool {
        self.edges[leg.edge].board.take_hedge(moment(now))
    }

    fn begun(&mut self, leg: Leg, now: f64) {
        let walk = self.walks.get(&leg.call);
        let departure = walk.map(Walk::departure).unwrap_or_default();
        let first = departure.first;
        self.left.insert((leg.call, leg.offer), departure);
        let edge = &mut self.edges[leg.edge];
        edge.board
            .departed(self.handles[leg.offer], &departure, moment(now));
        edge.windows
            .note(&self.endpoints[leg.offer], &Sign::Sent { first });
    }

    fn first_token(&mut self, leg: Leg, now: f64, ttft: f64) {
        self.walks.remove(&leg.call);
        let ttft = Some(seconds(ttft));
        let edge = &mut self.edges[leg.edge];
        let change = edge
            .board
            .answered(self.handles[leg.offer], ttft, moment(now));
        edge.windows
            .note(&self.endpoints[leg.offer], &Sign::Answered { ttft });
        self.changed(leg, change, now);
    }

    fn stated(&mut self, leg: Leg, now: f64, limits: (Option<Allowance>, Option<Allowance>)) {
        let (requests, tokens) = limits;
        let edge = &mut self.edges[leg.edge];
        let handle = self.handles[leg.offer];
        edge.board.allowed(handle, requests, tokens, moment(now));
        let per_minute = |allowance: Option<Allowance>| allowance?.per_minute();
        let stated = Stated {
            requests_per_minute: per_minute(requests),
            tokens_per_minute: per_minute(tokens),
            retry_after: None,
        };
        if !stated.is_silent() {
            edge.windows
                .note(&self.endpoints[leg.offer], &Sign::Limits(stated));
        }
    }

    fn used(&mut self, leg: Leg, now: f64, (prompt, answer): (f64, f64)) {
        let usage = Usage {
            prompt: prompt as u64,
            completion: answer as u64,
            ..Usage::default()
        };
        self.spent(leg, usage.prompt + usage.completion, now);
        let seen = Observation {
            usage,
            noted: true,
            ..Observation::of(Outcome::Ok)
        };
        self.edges[leg.edge]
            .windows
            .record(&self.endpoints[leg.offer], &seen);
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        if how != Failed::Timeout {
            self.spent(leg, 0, now);
        }
        self.dropped(leg, now);
        let outcome = match how {
            Failed::Hard => Outcome::HardFail,
            Failed::Timeout => Outcome::Timeout,
            Failed::Overload => Outcome::Overload { retry_after: None },
            Failed::RateLimited(after) => Outcome::RateLimited {
                retry_after: Some(seconds(after)),
            },
        };
        self.observe(leg, outcome, None, now);
    }

    fn ended(&mut self, leg: Leg, now: f64, whole: bool, _speed: f64) {
        self.dropped(leg, now);
        if !whole {
            self.observe(leg, Outcome::Truncated, None, now);
        }
    }

    fn progress(&mut self, leg: Leg, _now: f64, speed: f64) {
        let sign = Sign::Speed {
            tokens_per_second: speed,
        };
        self.edges[leg.edge]
            .windows
            .note(&self.endpoints[leg.offer], &sign);
    }

    fn silent(&mut self, leg: Leg, now: f64) {
        self.observe(leg, Outcome::Silence, None, now);
    }

    fn dropped(&mut self, leg: Leg, now: f64) {
        self.left.remove(&(leg.call, leg.offer));
        self.edges[leg.edge]
            .board
            .ended(self.handles[leg.offer], moment(now));
    }

    fn due(&self) -> f64 {
        self.agenda.due()
    }

    fn act(&mut self, world: &mut World, now: f64) {
        match self.agenda.pop() {
            Some(Item::Report(edge)) => {
                self.report(world, edge, now);
                let next = now + REPORT_EVERY * self.luck.uniform(0.9, 1.1);
                if next < self.scenario.end {
                    self.agenda.push(next, Item::Report(edge));
                }
            }
            Some(Item::Alarm(edge)) => self.report(world, edge, now),
            Some(Item::Arrives(report, over)) => {
                self.acknowledge(over, &report, now);
                let urgent = self.control.merge(&report, now);
                if urgent {
                    let at = now.max(self.may_rank);
                    self.agenda.push_once(at, Item::RankNow);
                }
            }
            Some(Item::Acknowledged(edge, line, sequence)) => {
                self.acknowledged(edge, line, sequence);
            }
            Some(Item::Breaks(edge, line)) => self.breaks(edge, line, now),
            Some(Item::Connects(edge)) => self.connects(edge, now),
            Some(Item::Rank) => {
                self.rank(true, now);
                if now < self.scenario.end {
                    self.agenda.push(now + RANK_EVERY, Item::Rank);
                }
            }
            Some(Item::RankNow) => self.rank(false, now),
            Some(Item::Gossip(from, offer, left)) => self.gossip(from, offer, left, now),
            Some(Item::Table(edge, delta)) => self.edges[edge].apply(delta, now),
            None => {}
        }
    }

    fn notes(&self) -> BTreeMap<&'static str, f64> {
        BTreeMap::from([
            ("local_changes", self.alarms as f64),
            ("fleet_openings", self.control.openings as f64),
        ])
    }
}
