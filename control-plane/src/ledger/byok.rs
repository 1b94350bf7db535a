//! The fee on what own provider keys serve. The month's allowance is a window as a limit has them:
//! what a node has leased of it is free of the fee by the record itself. What is charged beyond is
//! given back here as far as the allowance has some outside of leases, in the transaction that
//! applies the record; and once leases come back unused, for what was charged while they were away.
//! So over all edges a month's fee is that on what is beyond the allowance. A month is that of the
//! request's beginning, UTC.

use super::account::Account;
use super::journal::{Book, Kind, Line};
use super::{LedgerError, Terms};
use crate::sql::{amount, unsigned};
use shared::id::OrgId;
use shared::limit::{Purse, Scope, Window};
use shared::money::Amount;
use shared::record::{Outcome, UsageRecord};
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

/// What is free of the fee each month.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// So much, at list prices.
    pub list: Amount,
    /// The first requests, whatever they cost.
    pub requests: u64,
}

/// Of one month: what the allowance has outside of leases, below zero what went beyond it; or what
/// records take of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Month {
    list: Amount,
    requests: Amount,
}

/// What a batch of records is charged as fees, and what of that is given back.
pub(super) struct Fees {
    /// Of each record, in their order: what it is charged in the end.
    pub(super) net: Vec<Amount>,
    /// What is posted beside the charges of each organisation whose own keys served something.
    pub(super) orgs: BTreeMap<OrgId, Vec<Line>>,
}

/// Did an own key serve something that is charged for?
pub(super) fn is_own(record: &UsageRecord) -> bool {
    record.own_key && record.outcome == Outcome::Settled
}

/// The counters of the month that a request came in: at list prices, in requests, of fees.
pub(super) fn months(org: &OrgId, unix_ms: u64) -> [Window; 3] {
    [Scope::Byok, Scope::ByokRequests, Scope::ByokFees]
        .map(|scope| Window::month(scope, org, unix_ms / 1000))
}

/// What a record takes of its month besides what its node had leased.
fn takes(record: &UsageRecord) -> Month {
    let leased = |scope| {
        let windows = record.windows.iter();
        let leased = windows.filter(|window| window.scope == scope);
        leased
            .map(|window| record.charge_of(window))
            .sum::<Amount>()
    };
    Month {
        list: record.cost - leased(Scope::Byok),
        requests: Window::ONE - leased(Scope::ByokRequests),
    }
}

impl Month {
    /// What a record is charged that takes what is left here.
    fn charge(&mut self, record: &UsageRecord) -> Amount {
        let takes = takes(record);
        let left = *self;
        self.list -= takes.list;
        self.requests -= takes.requests;
        if left.requests > Amount::ZERO {
            return Amount::ZERO;
        }
        let free = record.fee_free + left.list.at_least_zero();
        let beyond = (record.cost - free).at_least_zero();
        beyond.millionths(record.fee_ppm)
    }
}

/// What stays charged of `fees` on what went beyond an allowance, `before` and `after` it got
/// something back.
fn still_charged(fees: Amount, before: Amount, after: Amount) -> Amount {
    if before <= Amount::ZERO || after >= before {
        return fees;
    }
    // A share of it; where the product is beyond all numbers, to fewer digits.
    let mut unit = 1;
    while fees.0.checked_mul(after.0 / unit).is_none() {
        unit *= 1000;
    }
    Amount(fees.0.saturating_mul(after.0 / unit) / (before.0 / unit).max(1))
}

impl Book {
    /// The fees of records that are applied in this transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn fees(&mut self, records: &[UsageRecord]) -> Result<Fees, LedgerError> {
        let owners = records.iter().filter(|record| is_own(record));
        let owners: BTreeSet<&OrgId> = owners.map(|record| &record.org).collect();
        let allowances = self.allowances(&owners).await?;
        let mut left: BTreeMap<(&OrgId, [Window; 3]), Month> = BTreeMap::new();
        let mut fees = Fees {
            net: Vec::with_capacity(records.len()),
            orgs: BTreeMap::new(),
        };
        for record in records {
            let gross = record.fee();
            let allowance = allowances.get(&record.org).filter(|_| is_own(record));
            let Some(allowance) = allowance else {
                fees.net.push(gross);
                continue;
            };
            let place = (&record.org, months(&record.org, record.started_unix_ms));
            if !left.contains_key(&place) {
                let month = self.left(*allowance, place.0, &place.1).await?;
                left.insert(place.clone(), month);
            }
            let Some(month) = left.get_mut(&place) else {
                continue;
            };
            let takes = takes(record);
            let net = month.charge(record);
            fees.net.push(net);
            let (org, windows) = place;
            let lines = fees.orgs.entry(org.clone()).or_default();
            for (window, used) in windows.into_iter().zip([takes.list, takes.requests, net]) {
                lines.push((Account::Window(org.clone(), window.clone()), -used));
                lines.push((Account::WindowUsed(org.clone(), window), used));
            }
            lines.push((Account::Fees(org.clone()), net - gross));
            lines.push((Account::Available(org.clone()), gross - net));
        }
        for lines in fees.orgs.values_mut() {
            *lines = summed(lines);
        }
        Ok(fees)
    }

    /// Something of an allowance has come back from a lease: what was charged for want of it is given
    /// back, too.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn regain(
        &mut self,
        purse: &Purse,
        back: Amount,
        reference: &str,
    ) -> Result<(), LedgerError> {
        let counts = |it: &&Window| matches!(it.scope, Scope::Byok | Scope::ByokRequests);
        let Some(window) = purse.window.as_ref().filter(counts) else {
            return Ok(());
        };
        let org = &purse.org;
        let month = Window {
            scope: Scope::ByokFees,
            ..window.clone()
        };
        let counters = [
            Account::Window(org.clone(), month.clone()),
            Account::WindowUsed(org.clone(), month),
        ];
        let [source, charged] = counters;
        let fees = self.balance(&charged).await?;
        let allowance = self.allowances(&BTreeSet::from([org])).await?;
        let allowed = allowance.get(org).map(|it| match window.scope {
            Scope::ByokRequests => Amount(it.requests.into()),
            _ => it.list,
        });
        let outside = self.balance(&Account::outside(purse)).await?;
        let beyond = -(allowed.unwrap_or_default() + outside);
        let still = still_charged(fees, beyond + back, beyond.at_least_zero());
        let given = fees - still;
        if given <= Amount::ZERO {
            return Ok(());
        }
        let lines = [
            (Account::Fees(org.clone()), -given),
            (Account::Available(org.clone()), given),
            (charged, -given),
            (source, given),
        ];
        self.post(org, Kind::Allowance, reference, &lines).await
    }

    async fn left(
        &mut self,
        allowance: Allowance,
        org: &OrgId,
        [list, requests, _]: &[Window; 3],
    ) -> Result<Month, LedgerError> {
        let of = |window: &Window| Account::Window(org.clone(), window.clone());
        let (list, requests) = (of(list), of(requests));
        self.load([&list, &requests]).await?;
        Ok(Month {
            list: allowance.list + self.balance(&list).await?,
            requests: Amount(allowance.requests.into()) + self.balance(&requests).await?,
        })
    }

    /// What is agreed with each of these organisations, or else holds for all.
    pub(super) async fn allowances(
        &mut self,
        orgs: &BTreeSet<&OrgId>,
    ) -> Result<BTreeMap<OrgId, Allowance>, LedgerError> {
        if orgs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let default = Terms::default().byok_free;
        let engine = self.engine();
        let sql = format!(
            "SELECT byok_free_nano, byok_free_pico_rem, byok_free_requests, org FROM org_terms
             WHERE org{}",
            engine.in_list()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(orgs.iter().map(|org| org.as_str())))
            .fetch_all(&mut **self.sql())
            .await?;
        let none = orgs.iter().map(|org| ((*org).clone(), default));
        let mut all: BTreeMap<OrgId, Allowance> = none.collect();
        for row in &rows {
            let agreed = Allowance {
                list: amount(row, 0)?,
                requests: unsigned(row, 2)?,
            };
            all.insert(OrgId::from(row.try_get::<String, _>(3)?), agreed);
        }
        Ok(all)
    }
}

/// One line for each account.
fn summed(lines: &[Line]) -> Vec<Line> {
    let mut sums: BTreeMap<&Account, Amount> = BTreeMap::new();
    for (account, gain) in lines {
        *sums.entry(account).or_default() += *gain;
    }
    let sums = sums.into_iter();
    sums.map(|(account, gain)| (account.clone(), gain))
        .collect()
}

#[cfg(test)]
mod tests;
