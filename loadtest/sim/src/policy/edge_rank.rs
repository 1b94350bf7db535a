//! The reference's own policy, formula by formula: it checks that this world is the reference's,
//! and ours is measured against it. The production code is not here, and nothing here is its.

mod control;
mod histogram;

use super::{Ask, Failed, Leg, Patience, Policy, Turn, untried};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;
use control::{Control, Push, Seen};

/// Price, first token, speed, sharpness, hedge delay in p95s.
pub(super) type Weights = (f64, f64, f64, f64, f64);

/// Which parts of it are at work.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub(super) weights: Weights,
    pub(super) control: bool,
    pub(super) local: bool,
    pub(super) caps: bool,
    pub(super) hedges: bool,
    pub(super) ramp: bool,
    /// Only the best, never a draw.
    pub(super) top: bool,
    /// Seconds between two tables.
    pub(super) period: u64,
}

impl Options {
    pub(super) fn of(name: &str) -> Option<Self> {
        let whole = Self {
            weights: (1.0, 0.2, 0.1, 8.0, 1.6),
            control: true,
            local: true,
            caps: true,
            hedges: true,
            ramp: true,
            top: false,
            period: 1,
        };
        Some(match name {
            "edgerank" => whole,
            "er_price" => Self {
                weights: (1.0, 0.05, 0.05, 14.0, 2.2),
                ..whole
            },
            "er_latency" => Self {
                weights: (0.08, 1.0, 0.1, 9.0, 1.2),
                ..whole
            },
            "er_thr" => Self {
                weights: (0.08, 0.1, 1.0, 9.0, 1.4),
                ..whole
            },
            "er_nolocal" => Self {
                local: false,
                ..whole
            },
            "er_nocp" => Self {
                control: false,
                ..whole
            },
            "er_nocaps" => Self {
                caps: false,
                ..whole
            },
            "er_nohedge" => Self {
                hedges: false,
                ..whole
            },
            "er_nodamp" => Self {
                ramp: false,
                ..whole
            },
            "er_cp10" => Self {
                period: 10,
                ..whole
            },
            "cp_top1" => Self {
                top: true,
                caps: false,
                hedges: false,
                ramp: false,
                period: 5,
                ..whole
            },
            _ => return None,
        })
    }
}

/// What an edge remembers of an offer.
#[derive(Clone)]
struct Local {
    seen: f64,
    bad: f64,
    updated: f64,
    in_a_row: u32,
    until: f64,
    doublings: u32,
    bucket: f64,
    filled: f64,
    /// The part of the lease that a 429 has left.
    factor: f64,
}

impl Local {
    fn decay(&mut self, now: f64) {
        let kept = 0.5_f64.powf((now - self.updated) / 6.0);
        self.seen *= kept;
        self.bad *= kept;
        self.factor = (self.factor + 0.04 * (now - self.updated)).min(1.0);
        self.updated = now;
    }

    fn saw(&mut self, bad: f64, now: f64, luck: &mut Random) {
        self.decay(now);
        self.seen += 1.0;
        self.bad += bad;
        if bad > 0.0 {
            self.in_a_row += 1;
        } else {
            (self.in_a_row, self.doublings) = (0, 0);
        }
        if self.in_a_row >= 3 {
            let doubled = f64::from(2_u32.pow(self.doublings.min(4)));
            self.until = now + luck.uniform(1.0, 2.0) * doubled;
            self.doublings += 1;
            self.in_a_row = 0;
        }
    }
}

pub(super) struct EdgeRank {
    options: Options,
    luck: Random,
    edges: Vec<Vec<Local>>,
    hedges: Vec<f64>,
    /// The probe that each edge is to send, and the one that it has just sent.
    probes: Vec<Option<usize>>,
    probing: Vec<Option<usize>>,
    per_region: usize,
    control: Control,
    pushed: Push,
}

impl EdgeRank {
    pub(super) fn new(scenario: &Scenario, options: Options, luck: Random) -> Self {
        let local = Local {
            seen: 0.0,
            bad: 0.0,
            updated: 0.0,
            in_a_row: 0,
            until: 0.0,
            doublings: 0,
            bucket: 2.0,
            filled: 0.0,
            factor: 1.0,
        };
        let edges = scenario.edges();
        Self {
            options,
            luck,
            edges: vec![vec![local; scenario.offers.len()]; edges],
            hedges: vec![2.0; edges],
            probes: vec![None; edges],
            probing: vec![None; edges],
            per_region: scenario.edges_per_region,
            control: Control::new(scenario, options),
            pushed: Push::first(scenario),
        }
    }

    fn region(&self, edge: usize) -> usize {
        edge / self.per_region
    }

    fn saw(&mut self, leg: Leg, bad: f64, now: f64) {
        self.edges[leg.edge][leg.offer].saw(bad, now, &mut self.luck);
    }

    fn report(&mut self, leg: Leg, seen: Seen) {
        let region = self.region(leg.edge);
        self.control.saw(leg.offer, region, seen);
    }

    /// A draw by share, as corrected here.
    fn draw(&mut self, ask: &Ask, offers: &[usize], now: f64) -> Option<usize> {
        let shares = &self.pushed.shares[self.region(ask.edge)];
        let (mut awake, mut any) = (Vec::new(), Vec::new());
        for offer in offers {
            let share = shares[*offer].max(1e-5);
            if !self.options.local {
                awake.push((*offer, share));
                continue;
            }
            let lease = self.pushed.leases[ask.edge][*offer];
            let local = &mut self.edges[ask.edge][*offer];
            local.decay(now);
            let failing = local.bad / (local.seen + 3.0);
            let share = share * (1.0 - failing).powi(6);
            any.push((*offer, share + 1e-7));
            if local.until > now {
                continue;
            }
            if self.options.caps {
                let more = (now - local.filled) * lease * local.factor;
                local.bucket = (local.bucket + more).min(2.0 + 2.0 * lease);
                local.filled = now;
                if local.bucket < 1.0 {
                    continue;
                }
            }
            awake.push((*offer, share));
        }
        if awake.iter().map(|it| it.1).sum::<f64>() < 1e-4 && !any.is_empty() {
            awake = any;
        }
        let weights: Vec<f64> = awake.iter().map(|it| it.1).collect();
        Some(awake[self.luck.weighted(&weights)?].0)
    }
}

impl Policy for EdgeRank {
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        let region = self.region(ask.edge);
        let offers = untried(world, ask);
        if ask.turn == Turn::First {
            self.control.asked(region, ask.edge, ask.model);
            self.hedges[ask.edge] = (self.hedges[ask.edge] + 0.05).min(4.0);
            self.probing[ask.edge] = None;
            let probe = self.probes[ask.edge];
            if probe.is_some_and(|offer| offers.contains(&offer)) {
                self.probing[ask.edge] = self.probes[ask.edge].take();
                return probe;
            }
        } else {
            self.probing[ask.edge] = None;
        }
        if self.options.top {
            let shares = &self.pushed.shares[region];
            let best = |a: &usize, b: &usize| shares[*b].total_cmp(&shares[*a]);
            return offers.into_iter().min_by(best);
        }
        self.draw(ask, &offers, now)
    }

    fn patience(&mut self, _world: &World, leg: Leg, _now: f64) -> Patience {
        let p95 = self.pushed.p95[self.region(leg.edge)][leg.offer];
        let hedges = self.options.hedges;
        let probing = self.probing[leg.edge] == Some(leg.offer);
        let hedge = if probing {
            0.7
        } else {
            (self.options.weights.4 * p95).max(0.8)
        };
        Patience {
            deadline: if hedges {
                (3.0 * p95).clamp(3.0, 10.0)
            } else {
                10.0
            },
            hedge: hedges.then_some(hedge),
            silence: self.options.local.then_some((1.15 * p95).max(0.7)),
        }
    }

    fn may_hedge(&mut self, leg: Leg, _now: f64) -> bool {
        let left = &mut self.hedges[leg.edge];
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }

    fn begun(&mut self, leg: Leg, _now: f64) {
        self.edges[leg.edge][leg.offer].bucket -= 1.0;
    }

    fn first_token(&mut self, leg: Leg, now: f64, ttft: f64) {
        self.saw(leg, 0.0, now);
        self.report(leg, Seen::Ok(ttft));
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        let asked = match how {
            Failed::RateLimited(seconds) => seconds,
            Failed::Overload => self.luck.uniform(0.3, 1.0),
            Failed::Hard | Failed::Timeout => {
                self.saw(leg, 1.0, now);
                self.report(leg, Seen::Failed);
                return;
            }
        };
        let local = &mut self.edges[leg.edge][leg.offer];
        local.decay(now);
        local.until = local.until.max(now + asked);
        local.factor *= 0.7;
        self.report(leg, Seen::Full);
    }

    fn ended(&mut self, leg: Leg, now: f64, whole: bool, _speed: f64) {
        if !whole {
            self.report(leg, Seen::Truncated);
            self.saw(leg, 1.0, now);
        }
    }

    fn progress(&mut self, leg: Leg, _now: f64, speed: f64) {
        self.report(leg, Seen::Speed(speed));
    }

    fn silent(&mut self, leg: Leg, now: f64) {
        self.saw(leg, 0.5, now);
    }

    fn tick(&mut self, world: &mut World, now: f64) {
        let cut = world.scenario.is_cut(now);
        if !cut && let Some(push) = self.control.arrived(now) {
            for (edge, offer) in &push.probes {
                self.probes[*edge] = Some(*offer);
            }
            self.pushed = push;
        }
        if !(now as u64).is_multiple_of(self.options.period) {
            return;
        }
        if cut || !self.options.control {
            self.control.deaf();
            return;
        }
        self.control.tick(&world.scenario, now, &mut self.luck);
    }
}
