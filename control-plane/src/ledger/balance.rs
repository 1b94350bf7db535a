//! The arithmetic of balances: how much a lease gets, what a batch of records takes from which
//! account, when a lease is abandoned. Pure.

use super::LeaseTimes;
use super::account::Account;
use super::journal::Line;
use shared::clock::Moment;
use shared::id::{OrgId, ProviderSlug};
use shared::key::KeyHash;
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::record::{Origin, Outcome, UsageRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// A lease holds at most one in this many of what is available and in it, so that the first edges
/// that ask do not take all; but never less than what a waiting request needs.
const SHARE: i128 = 8;
/// A balance is leased ahead while each node's share of it carries so many of the largest holds: with
/// less, a lease would save few round trips and lie where nobody needs it.
const SHARE_HOLDS: i128 = 4;
/// What is not leased ahead is so again only with so many times as much.
const AGAIN: i128 = 2;
/// Added to a lease's time here, besides a fiftieth of it: clocks run apart.
const MARGIN: Duration = Duration::from_secs(1);

/// What an overrun is repaid with: above zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repayment(pub Amount);

/// What a request for a lease that holds `holds` gets of `available`: nothing when that does not
/// carry `least`, otherwise what is wanted up to the lease's share, and beyond it as much as there
/// is of `enough`, with which the largest that waits need not be cut short; at least `least`.
#[must_use]
pub fn grant(
    available: Amount,
    holds: Amount,
    wanted: Amount,
    (least, enough): (Amount, Amount),
) -> Amount {
    if least > available || available <= Amount::ZERO {
        return Amount::ZERO;
    }
    let holds = holds.at_least_zero();
    let share = Amount((available + holds).0 / SHARE) - holds;
    let enough = enough.min(available).at_least_zero();
    wanted.min(share.max(enough)).max(least)
}

/// True when a balance, or what is left of a window, leases included, is too small to be leased ahead: when the share of each of
/// the `nodes` that have some of it carries too few holds as large as the largest. `was`: it was so
/// until now.
#[must_use]
pub fn is_central(balance: Amount, nodes: u64, largest: Amount, was: bool) -> bool {
    let shares = SHARE.max(i128::from(nodes));
    let holds = SHARE_HOLDS * if was { AGAIN } else { 1 };
    balance.0 < largest.0.saturating_mul(shares * holds)
}

/// What waiting requests that need `now` get of a balance that is not leased ahead: all of it or what
/// there is, and nothing when that is not even the least that helps.
#[must_use]
pub fn reserve(available: Amount, now: Amount, least: Amount) -> Amount {
    if now <= Amount::ZERO || least > available {
        return Amount::ZERO;
    }
    now.max(least).min(available).at_least_zero()
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
    /// What providers are owed for what was settled.
    pub payable: BTreeMap<ProviderSlug, Amount>,
    /// The platform's fee on what was settled.
    pub fee: Amount,
    /// What was used of windows of limits.
    pub windows: BTreeMap<Window, Amount>,
    /// Own provider keys served something.
    pub by_own_keys: bool,
    /// What of all this no lease carried, by the nodes' own word.
    pub on_credit: Amount,
}

impl Charge {
    /// What is charged without the fee.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.usage.values().copied().sum::<Amount>() + self.suspense
    }

    /// What of the total, and what of the fee, is owed rather than leased.
    fn owed(&self) -> (Amount, Amount) {
        let total = self.on_credit.min(self.total());
        (total, (self.on_credit - total).min(self.fee))
    }

    /// True when nothing is charged to anything.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.total() == Amount::ZERO
            && !self.by_own_keys
            && self.windows.values().all(|used| *used == Amount::ZERO)
    }
}

/// What records charge, by organisation.
#[must_use]
pub fn charges(records: &[UsageRecord]) -> BTreeMap<OrgId, Charge> {
    let mut charges: BTreeMap<OrgId, Charge> = BTreeMap::new();
    for record in records {
        let charge = charges.entry(record.org.clone()).or_default();
        charge.fee += record.fee();
        charge.on_credit += record.on_credit.min(record.charge());
        for window in &record.windows {
            *charge.windows.entry(window.clone()).or_default() += record.charge_of(window);
        }
        match record.outcome {
            Outcome::Settled if record.own_key => charge.by_own_keys = true,
            Outcome::Settled => {
                *charge.usage.entry(record.key).or_default() += record.cost;
                let provider = record.provider.clone().unwrap_or_else(|| "".into());
                *charge.payable.entry(provider).or_default() += record.cost;
            }
            Outcome::Suspense => charge.suspense += record.held,
            Outcome::Released => {}
        }
    }
    charges
}

/// The accounts besides leases that a charge may change.
pub fn accounts(org: &OrgId, charge: &Charge) -> impl Iterator<Item = Account> {
    let keys = charge.usage.keys();
    let usage: Vec<_> = keys.map(|key| Account::Usage(org.clone(), *key)).collect();
    let providers = charge.payable.keys();
    let payable: Vec<_> = providers
        .map(|provider| Account::Payable(org.clone(), provider.clone()))
        .collect();
    let own = [
        Account::Available,
        Account::Overrun,
        Account::Suspense,
        Account::Cost,
        Account::Fees,
    ];
    let own = own.map(|kind| kind(org.clone()));
    let windows = charge.windows.keys();
    let windows: Vec<_> = windows
        .flat_map(|window| {
            let kinds = [Account::Window, Account::WindowUsed];
            kinds.map(|kind| kind(org.clone(), window.clone()))
        })
        .collect();
    usage.into_iter().chain(payable).chain(own).chain(windows)
}

/// Takes `amount` out of `leases` in their order, and what they don't carry out of `rest`.
fn take_from(
    lines: &mut Vec<Line>,
    purse: &Purse,
    leases: &[(Origin, Amount)],
    rest: Account,
    amount: Amount,
) {
    let mut left = amount;
    for (origin, holds) in leases {
        let part = left.min(*holds).at_least_zero();
        left -= part;
        lines.push((Account::lease(purse, origin.clone()), -part));
    }
    lines.push((rest, -left));
}

/// The lines that a charge has on a window of a limit: what its leases don't carry is drawn from
/// it all the same, for it was used.
#[must_use]
pub fn window_lines(purse: &Purse, used: Amount, leases: &[(Origin, Amount)]) -> Vec<Line> {
    let Some(window) = purse.window.clone() else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    take_from(&mut lines, purse, leases, Account::outside(purse), used);
    lines.push((Account::WindowUsed(purse.org.clone(), window), used));
    lines
}

/// The lines of a charge's fee.
#[must_use]
pub fn fee_lines(org: &OrgId, charge: &Charge, leases: &[(Origin, Amount)]) -> Vec<Line> {
    let (purse, overrun) = (Purse::from(org.clone()), Account::Overrun(org.clone()));
    let (fee, (_, owed)) = (charge.fee, charge.owed());
    let mut lines = vec![(overrun.clone(), -owed)];
    take_from(&mut lines, &purse, leases, overrun, fee - owed);
    lines.push((Account::Fees(org.clone()), fee));
    lines
}

/// The lines of a charge: out of `leases` in their order, the rest out of the overrun account,
/// into usage and suspense; and what the usage costs into what its providers are owed.
#[must_use]
pub fn charge_lines(org: &OrgId, charge: &Charge, leases: &[(Origin, Amount)]) -> Vec<Line> {
    let (purse, overrun) = (Purse::from(org.clone()), Account::Overrun(org.clone()));
    let (owed, _) = charge.owed();
    let mut lines = vec![(overrun.clone(), -owed)];
    take_from(&mut lines, &purse, leases, overrun, charge.total() - owed);
    for (key, cost) in &charge.usage {
        lines.push((Account::Usage(org.clone(), *key), *cost));
    }
    lines.push((Account::Suspense(org.clone()), charge.suspense));
    let mut cost = Amount::ZERO;
    for (provider, owed) in &charge.payable {
        lines.push((Account::Payable(org.clone(), provider.clone()), *owed));
        cost += *owed;
    }
    lines.push((Account::Cost(org.clone()), -cost));
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
        // available, in the lease, wanted, least, enough -> granted
        for (available, holds, wanted, least, enough, granted) in [
            (800, 0, 10, 5, 0, 10),
            (800, 0, 500, 5, 0, 100),
            (720, 80, 500, 5, 0, 20),
            (700, 100, 500, 5, 0, 5),
            (800, 0, 500, 300, 0, 300),
            (800, 0, 900, 800, 0, 800),
            (800, 0, 10, 30, 0, 30),
            (800, 0, 900, 801, 0, 0),
            (800, -80, 500, 5, 0, 100),
            (1, 0, 1, 1, 0, 1),
            (0, 0, 5, 0, 0, 0),
            (-5, 0, 5, 0, 0, 0),
            // Who waits is not cut short to a share, but to what there is.
            (800, 0, 500, 5, 300, 300),
            (800, 0, 5000, 5, 900, 800),
            (800, 0, 5000, 801, 900, 0),
            (800, 0, 200, 5, 300, 200),
        ] {
            let got = grant(
                Amount(available),
                Amount(holds),
                Amount(wanted),
                (Amount(least), Amount(enough)),
            );
            let of = format!("{available} {holds} {wanted} {least} {enough}");
            assert_eq!(got, Amount(granted), "{of}");
        }
    }

    #[test]
    fn a_small_balance_is_reserved_request_by_request() {
        let at = |balance, nodes, was| is_central(Amount(balance), nodes, Amount(10), was);
        assert!(
            at(319, 1, false) && !at(320, 1, false),
            "8 shares of 4 holds"
        );
        assert!(
            at(639, 1, true) && !at(640, 1, true),
            "and twice that again"
        );
        assert!(
            at(399, 10, false) && !at(400, 10, false),
            "more nodes, more shares"
        );
        // available, what is needed, the least -> reserved
        for (available, now, least, reserved) in [
            (100, 30, 10, 30),
            (20, 30, 10, 20),
            (9, 30, 10, 0),
            (100, 0, 1, 0),
            (100, 5, 10, 10),
            (-5, 5, 1, 0),
        ] {
            let got = reserve(Amount(available), Amount(now), Amount(least));
            assert_eq!(got, Amount(reserved), "{available} {now} {least}");
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
