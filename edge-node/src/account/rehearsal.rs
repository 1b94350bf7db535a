//! The desk by itself with leases that suffice: what admission costs, for its test and its benchmark.

use super::desk::{Desk, Ended, Leases, May};
use super::lease::Time;
use super::recover::Inherited;
use shared::id::{LimitId, OrgId};
use shared::limit::{Interval, Purse, Scope, Window};
use shared::money::Amount;
use std::time::Duration;

/// What a request holds.
const CEILING: Amount = Amount(2_000_000);

/// A desk at which every organisation has leased of its balance, and of budgets of its key, member and
/// whole.
pub struct Rehearsal {
    desk: Leases,
    orgs: Vec<Vec<Purse>>,
    next: usize,
}

/// A request that is admitted.
#[derive(Debug)]
pub struct Admitted {
    org: usize,
    amount: Amount,
}

impl Rehearsal {
    /// With so many organisations, at least one.
    #[must_use]
    pub fn new(orgs: usize) -> Self {
        let desk = Leases::new(Duration::from_secs(1));
        let orgs: Vec<Vec<Purse>> = (0..orgs.max(1)).map(purses).collect();
        let lease = Inherited {
            left: Amount::USD,
            ttl: Duration::from_secs(7200),
            age: Duration::ZERO,
            central: false,
        };
        for purse in orgs.iter().flatten() {
            desk.inherit(purse, &lease, Time::default().now);
        }
        Self {
            desk,
            orgs,
            next: 0,
        }
    }

    /// Admits one request of the next organisation, all in turn. None when its leases do not suffice.
    pub fn admit(&mut self) -> Option<Admitted> {
        let org = self.next;
        self.next = (org + 1) % self.orgs.len();
        let may = May {
            ask: true,
            credit: Amount::USD,
        };
        let wants = self.orgs.get(org)?;
        let most = (CEILING, Amount(1));
        match self.desk.reserve(wants, most, may, Time::default()) {
            Desk::Set(set) => Some(Admitted {
                org,
                amount: set.amount,
            }),
            _ => None,
        }
    }

    /// Ends it.
    pub fn end(&self, Admitted { org, amount }: Admitted) {
        for purse in self.orgs.get(org).into_iter().flatten() {
            let ended = Ended {
                held: purse.part(amount),
                credit: Amount::ZERO,
                charged: Amount(100),
                owed: Amount::ZERO,
            };
            self.desk.end(purse, ended, Time::default().now);
        }
    }
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}

fn purses(org: usize) -> Vec<Purse> {
    let org = OrgId::from(format!("org_{org}").as_str());
    let window = |scope, interval: Interval| Window {
        scope,
        id: LimitId::from(format!("{org}-{scope}").as_str()),
        interval,
        start: interval.start(1_790_000_000),
    };
    let windows = [
        None,
        Some(window(Scope::Key, Interval::Daily)),
        Some(window(Scope::Member, Interval::Weekly)),
        Some(window(Scope::Org, Interval::Monthly)),
    ];
    let purse = |window| Purse {
        org: org.clone(),
        window,
    };
    windows.into_iter().map(purse).collect()
}
