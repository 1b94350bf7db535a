//! The arithmetic of balances: how much a lease gets, what a batch of records takes from which
//! account, when a lease is abandoned. Pure.

use super::LeaseTimes;
use super::journal::{Account, Line};
use shared::clock::Moment;
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::money::Amount;
use shared::record::{Origin, Outcome, UsageRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// A lease gets at most one in this many of what is available, so that the first edge that asks
/// does not take all; but never less than what its waiting request needs.
const SHARE: i128 = 2;
/// Added to a lease's time here, besides a fiftieth of it: clocks run apart.
const MARGIN: Duration = Duration::from_secs(1);

/// What an overrun is repaid with: above zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repayment(pub Amount);

/// What a request for a lease gets of `available`: nothing when that does not carry `least`,
/// otherwise what is wanted up to a share of the balance, and at least `least`.
#[must_use]
pub fn grant(available: Amount, wanted: Amount, least: Amount) -> Amount {
    if least > available || available <= Amount::ZERO {
        return Amount::ZERO;
    }
    let share = Amount(available.0 / SHARE);
    wanted.min(share).max(least)
}

/// What can be repaid of `owed` with `available`; none when nothing can.
#[must_use]
pub fn repayment(available: Amount, owed: Amount) -> Option<Repayment> {
    let amount = available.min(owed);
    (amount > Amount::ZERO).then_some(Repayment(amount))
}

/// What a batch charges one organisation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Charge {
    /// Settled, by key.
    pub usage: BTreeMap<KeyHash, Amount>,
    /// Held by requests that were in flight when the node died.
    pub suspense: Amount,
}

impl Charge {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.usage.values().copied().sum::<Amount>() + self.suspense
    }
}

/// What records charge, by organisation.
#[must_use]
pub fn charges(records: &[UsageRecord]) -> BTreeMap<OrgId, Charge> {
    let mut charges: BTreeMap<OrgId, Charge> = BTreeMap::new();
    for record in records {
        let charge = charges.entry(record.org.clone()).or_default();
        match record.outcome {
            Outcome::Settled => *charge.usage.entry(record.key).or_default() += record.cost,
            Outcome::Suspense => charge.suspense += record.held,
            Outcome::Released => {}
        }
    }
    charges
}

/// The lines of a charge: out of `leases` in their order, the rest out of the overrun account,
/// into usage and suspense.
#[must_use]
pub fn charge_lines(org: &OrgId, charge: &Charge, leases: &[(Origin, Amount)]) -> Vec<Line> {
    let mut left = charge.total();
    let mut lines = Vec::new();
    for (origin, holds) in leases {
        let part = left.min(*holds).at_least_zero();
        left -= part;
        lines.push((Account::Lease(org.clone(), origin.clone()), -part));
    }
    lines.push((Account::Overrun(org.clone()), -left));
    for (key, cost) in &charge.usage {
        lines.push((Account::Usage(org.clone(), *key), *cost));
    }
    lines.push((Account::Suspense(org.clone()), charge.suspense));
    lines
}

/// True when the lease of a run that was last heard of at `contact` is over at `now`. `replaced`:
/// a newer run of its node is known.
#[must_use]
pub fn is_over(times: &LeaseTimes, contact: Moment, now: Moment, replaced: bool) -> bool {
    let limit = if replaced {
        times.replaced.min(times.ttl)
    } else {
        times.ttl
    };
    now.since(contact) > limit + limit / 50 + MARGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_share_but_enough_to_start() {
        // available, wanted, least -> granted
        for (available, wanted, least, granted) in [
            (100, 10, 5, 10),
            (100, 80, 5, 50),
            (100, 80, 70, 70),
            (100, 200, 100, 100),
            (100, 10, 30, 30),
            (100, 200, 101, 0),
            (1, 1, 1, 1),
            (0, 5, 0, 0),
            (-5, 5, 0, 0),
        ] {
            assert_eq!(
                grant(Amount(available), Amount(wanted), Amount(least)),
                Amount(granted),
                "{available} {wanted} {least}"
            );
        }
    }

    #[test]
    fn a_lease_outlives_its_time_on_the_edge() {
        let times = LeaseTimes {
            ttl: Duration::from_secs(100),
            replaced: Duration::from_secs(10),
        };
        let at = |seconds: u64| Moment(0).plus(Duration::from_secs(seconds));
        assert!(!is_over(&times, at(0), at(103), false));
        assert!(is_over(&times, at(0), at(104), false));
        assert!(!is_over(&times, at(0), at(11), true));
        assert!(is_over(&times, at(0), at(12), true));
    }
}
