//! Envoy's `LEAST_REQUEST` (the better of two at random by requests in flight) with outlier
//! detection, per edge. No price; a 429 is no outlier.

use super::{Ask, Failed, Leg, Policy, untried};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;

/// Failures in a row that eject.
const IN_A_ROW: u32 = 5;
/// Seconds of the first ejection; the n-th lasts n times as long.
const EJECTION: f64 = 30.0;
/// Below this part of hosts in service, ejections are ignored.
const PANIC: f64 = 0.5;
/// Seconds between two sweeps.
const SWEEP: u64 = 10;

pub(super) struct Envoy {
    luck: Random,
    /// The largest part of the hosts that may be ejected.
    ejected_max: f64,
    edges: Vec<Vec<Host>>,
}

#[derive(Clone, Default)]
struct Host {
    running: u32,
    failures: u32,
    ejected_until: f64,
    ejections: u32,
}

impl Envoy {
    pub(super) fn new(scenario: &Scenario, ejected_max: f64, luck: Random) -> Self {
        Self {
            luck,
            ejected_max,
            edges: vec![vec![Host::default(); scenario.offers.len()]; scenario.edges()],
        }
    }

    fn host(&mut self, leg: Leg) -> &mut Host {
        &mut self.edges[leg.edge][leg.offer]
    }
}

impl Policy for Envoy {
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        let hosts = &self.edges[ask.edge];
        let all: Vec<usize> = world.scenario.offers_of(ask.model).collect();
        let awake = all.iter().copied();
        let mut awake: Vec<usize> = awake
            .filter(|offer| hosts[*offer].ejected_until <= now)
            .collect();
        if (awake.len() as f64) < PANIC * all.len() as f64 {
            awake = all;
        }
        awake.retain(|offer| ask.tried & (1 << offer) == 0);
        if awake.is_empty() {
            awake = untried(world, ask);
        }
        let (a, b) = (self.luck.choose(&awake)?, self.luck.choose(&awake)?);
        let better = hosts[a].running <= hosts[b].running;
        Some(if better { a } else { b })
    }

    fn begun(&mut self, leg: Leg, _now: f64) {
        self.host(leg).running += 1;
    }

    fn first_token(&mut self, leg: Leg, _now: f64, _ttft: f64) {
        self.host(leg).failures = 0;
    }

    fn ended(&mut self, leg: Leg, _now: f64, _whole: bool, _speed: f64) {
        self.dropped(leg, 0.0);
    }

    fn dropped(&mut self, leg: Leg, _now: f64) {
        let host = self.host(leg);
        host.running = host.running.saturating_sub(1);
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        self.dropped(leg, now);
        let ejected_max = self.ejected_max;
        let hosts = &mut self.edges[leg.edge];
        let ejected = hosts.iter().filter(|it| it.ejected_until > now).count();
        let part = (ejected + 1) as f64 / hosts.len() as f64;
        let host = &mut hosts[leg.offer];
        if matches!(how, Failed::RateLimited(_)) {
            host.failures = 0;
            return;
        }
        host.failures += 1;
        if host.failures < IN_A_ROW {
            return;
        }
        host.failures = 0;
        if ejected == 0 || part <= ejected_max {
            host.ejections += 1;
            host.ejected_until = now + EJECTION * f64::from(host.ejections);
        }
    }

    fn tick(&mut self, _world: &mut World, now: f64) {
        if !(now as u64).is_multiple_of(SWEEP) {
            return;
        }
        for host in self.edges.iter_mut().flatten() {
            if now - host.ejected_until > EJECTION {
                host.ejections = host.ejections.saturating_sub(1);
            }
        }
    }
}
