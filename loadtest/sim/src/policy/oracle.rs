//! What can't be beaten fairly: it reads the faults, the limits and the load, and takes the
//! cheapest or the fastest offer that would serve well.

use super::{Ask, Policy, untried};
use crate::world::World;

pub(super) struct Oracle {
    by_price: bool,
}

impl Oracle {
    pub(super) const fn price_first() -> Self {
        Self { by_price: true }
    }

    pub(super) const fn latency_first() -> Self {
        Self { by_price: false }
    }
}

impl Policy for Oracle {
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        let region = world.scenario.region_of(ask.edge);
        let ranked = untried(world, ask).into_iter().map(|offer| {
            let flags = world.flags(offer, region, now);
            let load = world.load(offer, now);
            let about = world.scenario.offers[offer];
            let allowed = world.allowance(offer, flags.limit, now) >= 1.0;
            let up = !flags.down && flags.hole <= 0.0 && allowed && load < 0.97;
            let trip = world.scenario.round_trip(region, offer);
            let ttft = trip + about.ttft * World::slowed(load) * flags.latency;
            let healthy = flags.errors < 0.05 && flags.truncate < 0.05;
            let good = up && healthy && ttft < 1.35 && about.speed * flags.speed > 25.0;
            let hit = world.warm_at(ask.call, now);
            let hit = hit.filter(|(at, _)| *at == offer).map_or(0.0, |it| it.1);
            let by = if self.by_price {
                world.cost(ask.call, offer, hit)
            } else {
                ttft
            };
            ((!up, !good, load > 0.9), by, offer)
        });
        let best = ranked.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        best.map(|(.., offer)| offer)
    }
}
