//! Requests per minute over the fleet: what edges ask for on their streams, and what they get
//! ([`shared::rate`]). All of it is in memory; after a start nothing is given before the edges that
//! are known have said what they have, or for ten seconds. Whoever stays cut off longer than that
//! keeps its share all the same, and the others do not know of it until it comes back.

use crate::metrics;
use shared::clock::{Clock, Moment};
use shared::id::NodeId;
use shared::rate::fleet::Fleet;
use shared::rate::{Ask, Minute, Share};
use shared::record::Origin;
use shared::task::lock;
use std::sync::Mutex;
use std::time::Duration;

/// How long it is waited for the edges that were known before.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// The shares of the fleet.
#[derive(Debug)]
pub struct Rates {
    fleet: Mutex<Fleet>,
    clock: Clock,
    started: Moment,
}

impl Rates {
    /// Nothing is shared yet, as far as is known here; `known` may have shares.
    #[must_use]
    pub fn new(clock: Clock, known: impl IntoIterator<Item = NodeId>) -> Self {
        let mut fleet = Fleet::default();
        fleet.wait_for(known);
        Self {
            fleet: Mutex::new(fleet),
            started: clock.now(),
            clock,
        }
    }

    /// What a run of an edge gets of what it asks for.
    pub fn hear(&self, run: &Origin, ask: &Ask) -> Vec<Share> {
        let mut fleet = lock(&self.fleet);
        if self.clock.now().since(self.started) >= SETTLED_AFTER {
            fleet.wait_no_longer();
        }
        let shares = fleet.hear(run, ask, Minute::of(self.clock.unix_ms()));
        for _ in 0..fleet.take_shed() {
            metrics::shed("rate_shares");
        }
        if fleet.take_ahead() > 0 {
            metrics::shed("rate_clock_ahead");
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::BootEpoch;
    use shared::rate::Wish;

    #[test]
    fn after_a_start_the_known_edges_are_heard_first() {
        let clock = Clock::manual();
        let rates = Rates::new(clock.clone(), ["gone".into()]);
        let run = Origin {
            node: "here".into(),
            epoch: BootEpoch(1),
        };
        let minute = Minute::of(clock.unix_ms());
        let ask = Ask {
            waived: minute,
            wishes: vec![Wish {
                subject: "key:a".parse().unwrap(),
                limit: 10,
                minute,
                holds: 2,
                wanted: 8,
                waiting: 1,
                demand: 3,
            }],
        };
        let share = |ask: &Ask| rates.hear(&run, ask).first().map(|share| share.share);
        assert_eq!(share(&ask), Some(2), "what it has is not taken away");
        clock.advance(SETTLED_AFTER);
        assert!(share(&ask) > Some(2));
    }
}
