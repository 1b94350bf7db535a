//! The fee on what own provider keys serve. An edge takes the whole fee out of its lease, as it is a
//! function of the record alone; here the part within the month's allowance is given back, in the
//! transaction that applies the record, so that over all edges the fee is exact to the digit. A
//! month is that of the request's beginning, UTC.

use super::account::Account;
use super::journal::{Book, Line};
use super::{LedgerError, Terms};
use crate::sql::{amount, unsigned};
use shared::id::OrgId;
use shared::limit::{Interval, Scope, Window};
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

/// What own keys have served in one month.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Served {
    list: Amount,
    requests: u64,
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

/// The two counters of the month that a request came in.
pub(super) fn months(org: &OrgId, unix_ms: u64) -> [Window; 2] {
    let start = Interval::Monthly.start(unix_ms / 1000);
    [Scope::Byok, Scope::ByokRequests].map(|scope| Window {
        scope,
        id: org.as_str().into(),
        interval: Interval::Monthly,
        start,
    })
}

/// What is charged for a request of this list price, so much having been served before it.
fn net_fee(allowance: &Allowance, before: Served, record: &UsageRecord) -> Amount {
    if before.requests < allowance.requests {
        return Amount::ZERO;
    }
    let free = (allowance.list - before.list).at_least_zero();
    (record.cost - free)
        .at_least_zero()
        .millionths(record.fee_ppm)
}

impl Book {
    /// The fees of records that are applied in this transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn fees(
        &mut self,
        default: &Terms,
        records: &[UsageRecord],
    ) -> Result<Fees, LedgerError> {
        let owners = records.iter().filter(|record| is_own(record));
        let owners: BTreeSet<&OrgId> = owners.map(|record| &record.org).collect();
        let allowances = self.allowances(default, &owners).await?;
        let mut months: BTreeMap<(&OrgId, [Window; 2]), (Served, Served)> = BTreeMap::new();
        let mut back: BTreeMap<&OrgId, Amount> = BTreeMap::new();
        let mut net = Vec::with_capacity(records.len());
        for record in records {
            let gross = record.fee();
            let allowance = allowances.get(&record.org).filter(|_| is_own(record));
            let Some(allowance) = allowance else {
                net.push(gross);
                continue;
            };
            let windows = self::months(&record.org, record.started_unix_ms);
            let place = (&record.org, windows);
            if !months.contains_key(&place) {
                let before = self.served(place.0, &place.1).await?;
                months.insert(place.clone(), (before, Served::default()));
            }
            let Some((before, more)) = months.get_mut(&place) else {
                continue;
            };
            let so_far = Served {
                list: before.list + more.list,
                requests: before.requests.saturating_add(more.requests),
            };
            let fee = net_fee(allowance, so_far, record);
            more.list += record.cost;
            more.requests += 1;
            *back.entry(&record.org).or_default() += gross - fee;
            net.push(fee);
        }
        let mut orgs: BTreeMap<OrgId, Vec<Line>> = BTreeMap::new();
        for ((org, [list, requests]), (_, more)) in months {
            let lines = orgs.entry(org.clone()).or_default();
            let count = Amount(i128::from(more.requests));
            for (window, used) in [(list, more.list), (requests, count)] {
                lines.push((Account::Window(org.clone(), window.clone()), -used));
                lines.push((Account::WindowUsed(org.clone(), window), used));
            }
        }
        for (org, back) in back {
            let lines = orgs.entry(org.clone()).or_default();
            lines.push((Account::Fees(org.clone()), -back));
            lines.push((Account::Available(org.clone()), back));
        }
        Ok(Fees { net, orgs })
    }

    async fn served(
        &mut self,
        org: &OrgId,
        [list, requests]: &[Window; 2],
    ) -> Result<Served, LedgerError> {
        let of = |window: &Window| Account::WindowUsed(org.clone(), window.clone());
        let (list, requests) = (of(list), of(requests));
        self.load([&list, &requests]).await?;
        let count = self.balance(&requests).await?;
        Ok(Served {
            list: self.balance(&list).await?,
            requests: u64::try_from(count.0).unwrap_or(u64::MAX),
        })
    }

    async fn allowances(
        &mut self,
        default: &Terms,
        orgs: &BTreeSet<&OrgId>,
    ) -> Result<BTreeMap<OrgId, Allowance>, LedgerError> {
        if orgs.is_empty() {
            return Ok(BTreeMap::new());
        }
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
        let none = orgs.iter().map(|org| ((*org).clone(), default.byok_free));
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

#[cfg(test)]
mod tests;
