//! Finagle's and linkerd's balancer: the better of two at random by peak-EWMA latency times
//! requests in flight, with failure accrual. No price.

use super::{Ask, Failed, Leg, Policy, untried};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;

/// Seconds in which an observation loses all but 1/e of its weight.
const DECAY: f64 = 10.0;
/// What is assumed of a host that was never used, in seconds.
const ASSUMED: f64 = 0.3;
/// What a timeout counts as, in seconds.
const TIMEOUT_COUNTS: f64 = 10.0;
/// Failures in a row that eject.
const IN_A_ROW: u32 = 5;
/// Seconds of the first ejection; doubles up to the longest.
const EJECTION: f64 = 5.0;
const EJECTION_MAX: f64 = 300.0;
/// Longer ago than this, in seconds, an ejection is forgotten step by step.
const FORGOTTEN: f64 = 30.0;

pub(super) struct PeakEwma {
    luck: Random,
    edges: Vec<Vec<Host>>,
}

#[derive(Clone)]
struct Host {
    running: u32,
    failures: u32,
    ejected_until: f64,
    ejections: u32,
    average: f64,
    seen: f64,
}

impl Host {
    fn kept(&self, now: f64) -> f64 {
        (-(now - self.seen) / DECAY).exp()
    }

    fn cost(&self, now: f64) -> f64 {
        self.average * self.kept(now) * f64::from(self.running + 1)
    }

    fn took(&mut self, seconds: f64, now: f64) {
        let kept = self.kept(now);
        self.average = if seconds > self.average {
            seconds
        } else {
            self.average * kept + seconds * (1.0 - kept)
        };
        self.seen = now;
    }
}

impl PeakEwma {
    pub(super) fn new(scenario: &Scenario, luck: Random) -> Self {
        let host = Host {
            running: 0,
            failures: 0,
            ejected_until: 0.0,
            ejections: 0,
            average: ASSUMED,
            seen: 0.0,
        };
        Self {
            luck,
            edges: vec![vec![host; scenario.offers.len()]; scenario.edges()],
        }
    }

    fn host(&mut self, leg: Leg) -> &mut Host {
        &mut self.edges[leg.edge][leg.offer]
    }
}

impl Policy for PeakEwma {
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        let hosts = &self.edges[ask.edge];
        let left = untried(world, ask);
        let awake = left.iter().copied();
        let mut awake: Vec<usize> = awake
            .filter(|offer| hosts[*offer].ejected_until <= now)
            .collect();
        if awake.is_empty() {
            awake = left;
        }
        let (a, b) = (self.luck.choose(&awake)?, self.luck.choose(&awake)?);
        let better = hosts[a].cost(now) <= hosts[b].cost(now);
        Some(if better { a } else { b })
    }

    fn begun(&mut self, leg: Leg, _now: f64) {
        self.host(leg).running += 1;
    }

    fn first_token(&mut self, leg: Leg, now: f64, ttft: f64) {
        let host = self.host(leg);
        (host.failures, host.ejections) = (0, 0);
        host.took(ttft, now);
    }

    fn ended(&mut self, leg: Leg, now: f64, _whole: bool, _speed: f64) {
        self.dropped(leg, now);
    }

    fn dropped(&mut self, leg: Leg, _now: f64) {
        let host = self.host(leg);
        host.running = host.running.saturating_sub(1);
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        self.dropped(leg, now);
        let spread = self.luck.uniform(0.5, 1.0);
        let host = self.host(leg);
        let counts = if how == Failed::Timeout {
            TIMEOUT_COUNTS
        } else {
            ASSUMED
        };
        host.took(counts, now);
        host.failures += 1;
        if host.failures >= IN_A_ROW {
            let doubled = EJECTION * f64::from(2_u32.saturating_pow(host.ejections));
            host.ejections = (host.ejections + 1).min(16);
            host.ejected_until = now + doubled.min(EJECTION_MAX) * spread;
            host.failures = 0;
        }
    }

    fn tick(&mut self, _world: &mut World, now: f64) {
        if !(now as u64).is_multiple_of(10) {
            return;
        }
        for host in self.edges.iter_mut().flatten() {
            if now - host.ejected_until > FORGOTTEN {
                host.ejections = host.ejections.saturating_sub(1);
            }
        }
    }
}
