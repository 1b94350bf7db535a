//! The usage records that a bill may be about, and which line is about which. A provider names a
//! request by its own id, or by ours, which went along with the request.

use super::super::{Ledger, LedgerError, usage};
use super::Bill;
use crate::sql::rows::storable;
use crate::sql::{amount, bigint, unsigned};
use shared::id::{OrgId, ProviderSlug, Version};
use shared::key::KeyHash;
use shared::limit::Window;
use shared::money::Amount;
use shared::record::{TRIED_MAX, Tried};
use shared::usage::Usage;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{HashMap, HashSet};

const COLUMNS: &str = "u.held_nano, u.held_pico_rem, u.cost_nano, u.cost_pico_rem, u.node, u.epoch,
    u.sequence, u.org, u.key_id, u.endpoint,
    CASE WHEN r.sequence IS NOT NULL THEN 'done' ELSE u.outcome END, u.upstream_id, u.generation,
    u.provider, u.usage_json, u.outcome, COALESCE(r.billed_nano, 0),
    CAST(COALESCE(r.billed_pico_rem, 0) AS BIGINT), u.limit_windows, u.fee_ppm, u.own_key,
    u.price_epoch, u.price_number, u.requested_model, u.particulars";
const FROM: &str = "usage_records u LEFT JOIN reconciliations r
    ON r.node = u.node AND r.epoch = u.epoch AND r.sequence = u.sequence";

/// A usage record, as far as a bill is about it.
pub(super) struct Known {
    pub(super) place: (String, i64, i64),
    pub(super) org: OrgId,
    pub(super) key: KeyHash,
    endpoint: String,
    /// What the client asked for.
    requested: String,
    /// Who was asked for it with keys of the platform's, in order.
    tried: Vec<Tried>,
    /// It says who was asked, all of them.
    tells_tried: bool,
    /// The catalogue that it was held and charged by.
    prices: Version,
    provider: String,
    upstream_id: String,
    generation: String,
    pub(super) in_suspense: bool,
    /// No bill of the platform's own changes what was charged: nothing was, or an own key served it.
    released: bool,
    /// Settled by our own count.
    pub(super) estimated: bool,
    pub(super) held: Amount,
    pub(super) cost: Amount,
    /// Settled by a bill before.
    pub(super) done: bool,
    /// By which amount.
    pub(super) billed: Amount,
    /// The windows of limits that it held from.
    pub(super) windows: Vec<Window>,
    /// The platform's fee, in millionths.
    pub(super) fee_ppm: u32,
}

/// Where something was served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// There.
    Endpoint(String),
    /// At one of the provider's endpoints of this model.
    Offers(String),
}

/// The records that the lines of one id are about.
pub(super) struct Found<'a> {
    /// Those that this provider's bill decides on, oldest first.
    own: Vec<&'a Known>,
    /// One of that id.
    any: &'a Known,
}

impl<'a> Found<'a> {
    pub(super) fn org(&self) -> &'a OrgId {
        &self.any.org
    }

    fn record(&self) -> &'a Known {
        self.own.first().unwrap_or(&self.any)
    }

    /// Whose prices hold for it: those that the request was held by.
    pub(super) fn prices(&self) -> Version {
        self.record().prices
    }

    /// Where the provider may have served what the `nth` of `count` lines says, the likeliest first.
    /// Lines and attempts are both in order, so where there is one for each they belong together;
    /// where not, what served it is the last. An edge of before does not tell who was tried: then it
    /// is one of the provider's offers of the model.
    pub(super) fn places(
        &self,
        provider: &ProviderSlug,
        (nth, count): (usize, usize),
    ) -> Vec<Place> {
        let record = self.record();
        let tried = record.tried.iter().filter(|it| it.provider == *provider);
        let tried: Vec<&str> = tried.map(|it| it.endpoint.as_str()).collect();
        let served = record.provider == provider.as_str() && !record.endpoint.is_empty();
        let served = served.then_some(record.endpoint.as_str());
        let same = tried
            .get((nth + tried.len()).saturating_sub(count))
            .copied();
        let likeliest = match served {
            Some(served) if tried.len() != count && nth + 1 == count => Some(served),
            _ => same,
        };
        let mut places: Vec<Place> = Vec::new();
        let known = likeliest.into_iter().chain(served).chain(tried);
        let known = known.map(|id| Place::Endpoint(id.to_owned()));
        let model = record.endpoint.split_once('@').map(|(model, _)| model);
        let offers = model.into_iter().chain(record.requested.split(':').next());
        let offers = offers.map(|model| Place::Offers(model.to_owned()));
        for place in known.chain(offers) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// How often the provider was asked for it with keys of the platform's; none where that is not
    /// known, of a request that a kill cut off or that an edge of before has served.
    pub(super) fn asked(&self, provider: &ProviderSlug) -> Option<usize> {
        let record = self.record();
        let known = record.tells_tried && !record.in_suspense;
        let asked = record.tried.iter().filter(|it| it.provider == *provider);
        known.then(|| asked.count())
    }

    /// The worst case of one attempt, as it was held.
    pub(super) fn held(&self) -> Amount {
        self.record().held
    }

    /// Which amount is whose: an equal one where there is one, else the newest, for what came
    /// before is attempts that failed. The second list is what is nobody's and not nothing.
    pub(super) fn pair(&self, mut amounts: Vec<Amount>) -> (Vec<(&'a Known, Amount)>, Vec<Amount>) {
        let mut pairs = Vec::new();
        let mut open = Vec::new();
        for record in &self.own {
            let equal = amounts
                .iter()
                .position(|amount| *amount == record.expects());
            match equal {
                Some(place) => pairs.push((*record, amounts.remove(place))),
                None => open.push(*record),
            }
        }
        for record in open.into_iter().rev() {
            pairs.extend(amounts.pop().map(|amount| (record, amount)));
        }
        amounts.retain(|amount| *amount > Amount::ZERO);
        (pairs, amounts)
    }
}

/// The records by their names.
pub(super) struct Shelf<'a> {
    provider: &'a ProviderSlug,
    by_id: HashMap<&'a str, Vec<&'a Known>>,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(records: &'a [Known], provider: &'a ProviderSlug) -> Self {
        let mut by_id: HashMap<&str, Vec<&Known>> = HashMap::new();
        for record in records {
            by_id.entry(&record.generation).or_default().push(record);
            if !record.upstream_id.is_empty() && record.upstream_id != record.generation {
                by_id.entry(&record.upstream_id).or_default().push(record);
            }
        }
        Self { provider, by_id }
    }

    /// What the lines of that id are about.
    pub(super) fn find(&self, id: &str) -> Option<Found<'a>> {
        let records = self.by_id.get(storable(id).as_ref())?;
        let own = records.iter().filter(|record| record.is_of(self.provider));
        Some(Found {
            own: own.copied().collect(),
            any: records.first()?,
        })
    }
}

impl Known {
    /// What an undisputed line says.
    fn expects(&self) -> Amount {
        if self.done { self.billed } else { self.cost }
    }

    /// True when `provider`'s bill decides what is charged for it. In suspense without a provider
    /// is what was cut off before anybody was asked, as far as is known.
    fn is_of(&self, provider: &ProviderSlug) -> bool {
        let unknown = self.provider.is_empty() && self.in_suspense;
        !self.released && (unknown || self.provider == provider.as_str())
    }
}

impl Ledger {
    /// The records that the bill's lines may be about, oldest first.
    pub(super) async fn records_of(&self, bill: &Bill) -> Result<Vec<Known>, LedgerError> {
        let engine = self.database.engine();
        let listed = engine.in_list();
        let sql = format!(
            "SELECT {COLUMNS} FROM {FROM}
             WHERE u.generation{listed} OR (u.provider = $2 AND u.upstream_id{listed})
             ORDER BY u.started_unix_ms, u.node, u.epoch, u.sequence",
        );
        let mut snapshot = self.database.snapshot().await?;
        let ids = bill.lines.iter().map(|line| line.id.as_str());
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(ids.filter(|id| !id.is_empty())))
            .bind(bill.provider.as_str())
            .fetch_all(&mut *snapshot)
            .await?;
        rows.iter().map(known_of).collect()
    }

    /// What is in suspense and, the bill being complete, was never served.
    pub(super) async fn absent_from(&self, bill: &Bill) -> Result<Vec<Known>, LedgerError> {
        let Some(until) = bill.complete_until_unix_ms else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM {FROM}
             WHERE u.provider = $1 AND u.outcome = 'suspense' AND u.started_unix_ms < $2
               AND r.sequence IS NULL",
        );
        let mut snapshot = self.database.snapshot().await?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(bill.provider.as_str())
            .bind(bigint(until))
            .fetch_all(&mut *snapshot)
            .await?;
        let ids = bill.lines.iter().map(|line| storable(&line.id));
        let on_it: HashSet<_> = ids.collect();
        let mut absent = Vec::new();
        for row in &rows {
            let record = known_of(row)?;
            let ids = [record.upstream_id.as_str(), record.generation.as_str()];
            if !ids.iter().any(|id| on_it.contains(*id)) {
                absent.push(record);
            }
        }
        Ok(absent)
    }
}

fn known_of(row: &sqlx::any::AnyRow) -> Result<Known, LedgerError> {
    let key: String = row.try_get(8)?;
    let state: String = row.try_get(10)?;
    let usage: String = row.try_get(14)?;
    let outcome: String = row.try_get(15)?;
    let usage: Usage = serde_json::from_str(&usage).unwrap_or_default();
    let mut tried = usage::particulars_of(row.try_get(24)?)?.tried;
    let tells_tried = !tried.is_empty() && tried.len() < TRIED_MAX;
    // What an own key did is on its owner's bill.
    tried.retain(|it| !it.own_key);
    Ok(Known {
        place: (
            row.try_get(4)?,
            bigint(unsigned(row, 5)?),
            bigint(unsigned(row, 6)?),
        ),
        org: OrgId::from(row.try_get::<String, _>(7)?),
        key: key.parse().map_err(|_| {
            LedgerError::Database(crate::sql::DatabaseError::Corrupt {
                what: "key id",
                value: key,
            })
        })?,
        endpoint: row.try_get(9)?,
        requested: row.try_get(23)?,
        tried,
        tells_tried,
        prices: Version {
            epoch: unsigned(row, 21)?,
            number: unsigned(row, 22)?,
        },
        provider: row.try_get(13)?,
        upstream_id: row.try_get(11)?,
        generation: row.try_get(12)?,
        in_suspense: state == "suspense",
        released: outcome == "released" || unsigned(row, 20)? > 0,
        estimated: outcome == "settled" && usage.estimated,
        held: amount(row, 0)?,
        cost: amount(row, 2)?,
        done: state == "done",
        billed: amount(row, 16)?,
        windows: usage::windows_of(&row.try_get::<String, _>(18)?)?,
        fee_ppm: u32::try_from(unsigned(row, 19)?).unwrap_or_default(),
    })
}
