//! A provider's bill against the books. What was in flight when a node died is charged as the
//! provider bills it, at most what it had held; the rest goes back, and what is billed beyond is
//! the platform's. Each record is settled once, however often a bill comes. A record that had
//! settled and is billed otherwise is told and not changed.

use super::account::Account;
use super::journal::{Book, Kind, split};
use super::{Ledger, LedgerError, usage};
use crate::sql::rows::{Cell, Table, Type, storable};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::id::{OrgId, ProviderSlug};
use shared::key::KeyHash;
use shared::limit::Window;
use shared::money::Amount;
use shared::usage::Usage;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Most lines of one bill.
const LINES_MAX: usize = 200_000;
/// Differences that are listed.
const LISTED_MAX: usize = 100;

const RECONCILIATIONS: Table<16> = Table {
    name: "reconciliations",
    columns: [
        ("node", Type::Text),
        ("epoch", Type::Big),
        ("sequence", Type::Big),
        ("org", Type::Text),
        ("key_id", Type::Text),
        ("provider", Type::Text),
        ("held_nano", Type::Big),
        ("held_pico_rem", Type::Small),
        ("charged_nano", Type::Big),
        ("charged_pico_rem", Type::Small),
        ("billed_nano", Type::Big),
        ("billed_pico_rem", Type::Small),
        ("unix_ms", Type::Big),
        ("limit_windows", Type::Text),
        ("fee_nano", Type::Big),
        ("fee_pico_rem", Type::Small),
    ],
    conflict: "",
};

/// What a provider wants to be paid for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bill {
    /// Whose it is.
    pub provider: ProviderSlug,
    /// By request, oldest first.
    pub lines: Vec<BillLine>,
    /// It has everything that began before this, in milliseconds since 1970: what is still in
    /// suspense from before and not on it was never served. None: it is a part.
    pub complete_until_unix_ms: Option<u64>,
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BillLine {
    /// The provider's own id of the generation.
    pub id: String,
    /// How much.
    pub billed: Billed,
}

/// How much a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Billed {
    /// Money.
    Usd(Amount),
    /// What was used, to be priced.
    Used(Usage),
}

/// What came of a bill.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reconciled {
    /// Settled records that the bill agrees with.
    pub equal: u64,
    /// Records that were in suspense and are charged now.
    pub settled: u64,
    /// Records that were in suspense and are given back whole.
    pub released: u64,
    /// Records that were settled by a bill before.
    pub before: u64,
    /// Lines of no record, and lines that can't be priced.
    pub unknown: u64,
    /// Charged out of suspense.
    pub charged: Amount,
    /// Given back out of suspense.
    pub returned: Amount,
    /// Billed beyond what had been held.
    pub expense: Amount,
    /// In words: settled records that the bill disagrees with, and lines of no record; at most
    /// 100 of them.
    pub differences: Vec<String>,
}

/// A usage record, as far as a bill is about it.
struct Known {
    place: (String, i64, i64),
    org: OrgId,
    key: KeyHash,
    endpoint: String,
    in_suspense: bool,
    held: Amount,
    cost: Amount,
    done: bool,
    windows: Vec<Window>,
    fee_ppm: u32,
}

/// One record out of suspense.
struct Move<'a> {
    record: &'a Known,
    billed: Amount,
}

impl Ledger {
    /// Settles suspense against `bill`. `price` says what usage costs at an endpoint.
    ///
    /// # Errors
    /// When the bill is too long, this process no longer leads, or the database fails; what was
    /// settled until then stays so, and the same bill can come again.
    pub async fn reconcile(
        &self,
        fence: Epoch,
        bill: &Bill,
        price: impl Fn(&str, &Usage) -> Option<Amount>,
    ) -> Result<Reconciled, LedgerError> {
        if bill.lines.len() > LINES_MAX {
            return Err(LedgerError::Invalid {
                what: "bill",
                reason: format!("{} lines, at most {LINES_MAX}", bill.lines.len()),
            });
        }
        let mut done = Reconciled::default();
        let mut known = self.records_of(bill).await?;
        let absent = self.absent_from(bill).await?;
        let mut billed: Vec<(Known, Amount)> = Vec::new();
        for line in &bill.lines {
            let id = storable(&line.id);
            let records = known.get_mut(id.as_ref());
            let Some(record) = records.and_then(VecDeque::pop_front) else {
                done.unknown += 1;
                done.differ(|| format!("{id} is not in the books"));
                continue;
            };
            let amount = match &line.billed {
                Billed::Usd(amount) => Some(*amount),
                Billed::Used(usage) => price(&record.endpoint, usage),
            };
            match amount {
                Some(amount) => billed.push((record, amount)),
                None => {
                    done.unknown += 1;
                    done.differ(|| format!("{id}: {} has no price", record.endpoint));
                }
            }
        }
        let mut moves: BTreeMap<OrgId, Vec<Move<'_>>> = BTreeMap::new();
        for (record, billed) in &billed {
            if record.done {
                done.before += 1;
            } else if record.in_suspense {
                let (record, billed) = (record, *billed);
                let of = moves.entry(record.org.clone()).or_default();
                of.push(Move { record, billed });
            } else if record.cost == *billed {
                done.equal += 1;
            } else {
                let place = &record.place;
                done.differ(|| {
                    let (cost, key) = (record.cost, record.key);
                    format!("{place:?} of {key}: charged {cost} USD, billed {billed} USD")
                });
            }
        }
        for record in &absent {
            let billed = Amount::ZERO;
            let of = moves.entry(record.org.clone()).or_default();
            of.push(Move { record, billed });
        }
        for (org, moves) in moves {
            self.retried(|| self.settle(fence, &org, &bill.provider, &moves))
                .await?;
            moves.iter().for_each(|one| done.count(one));
        }
        Ok(done)
    }

    /// The records that the bill's lines may be about, by id, oldest first.
    async fn records_of(
        &self,
        bill: &Bill,
    ) -> Result<HashMap<String, VecDeque<Known>>, LedgerError> {
        let engine = self.database.engine();
        let sql = format!(
            "SELECT {KNOWN}, u.upstream_id FROM {FROM}
             WHERE u.provider = $2 AND u.outcome <> 'released' AND u.upstream_id{}
             ORDER BY u.started_unix_ms, u.node, u.epoch, u.sequence",
            engine.in_list()
        );
        let mut snapshot = self.database.snapshot().await?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(bill.lines.iter().map(|line| line.id.as_str())))
            .bind(bill.provider.as_str())
            .fetch_all(&mut *snapshot)
            .await?;
        let mut known: HashMap<String, VecDeque<Known>> = HashMap::new();
        for row in &rows {
            let id: String = row.try_get(13)?;
            known.entry(id).or_default().push_back(known_of(row)?);
        }
        Ok(known)
    }

    /// What is in suspense and, the bill being complete, was never served.
    async fn absent_from(&self, bill: &Bill) -> Result<Vec<Known>, LedgerError> {
        let Some(until) = bill.complete_until_unix_ms else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {KNOWN}, u.upstream_id FROM {FROM}
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
        let on_it: std::collections::HashSet<_> = ids.collect();
        let mut absent = Vec::new();
        for row in &rows {
            let id: String = row.try_get(13)?;
            if !on_it.contains(id.as_str()) {
                absent.push(known_of(row)?);
            }
        }
        Ok(absent)
    }

    async fn settle(
        &self,
        fence: Epoch,
        org: &OrgId,
        provider: &ProviderSlug,
        moves: &[Move<'_>],
    ) -> Result<(), LedgerError> {
        let mut book = self.book_of(fence, org).await?;
        let mut rows = Vec::with_capacity(moves.len());
        for one in moves {
            book.settle(org, provider, one).await?;
            book.roll_up_settled(&one.record.place, one.charged())
                .await?;
            rows.push(row(provider, one, self.clock.unix_ms())?);
        }
        let engine = book.engine();
        RECONCILIATIONS.insert(book.sql(), engine, &rows).await?;
        book.cover(org).await?;
        book.commit().await
    }
}

impl Book {
    async fn settle(
        &mut self,
        org: &OrgId,
        provider: &ProviderSlug,
        one: &Move<'_>,
    ) -> Result<(), LedgerError> {
        let (record, billed) = (one.record, one.billed);
        let (charged, beyond) = (one.charged(), billed - one.charged());
        let fee = one.fee();
        let mut lines = vec![
            (Account::Suspense(org.clone()), -record.held),
            (Account::Usage(org.clone(), record.key), charged),
            (Account::Fees(org.clone()), fee),
            (Account::Available(org.clone()), record.held - charged - fee),
            (Account::Cost(org.clone()), -charged),
            (Account::Expense(org.clone()), -beyond),
            (Account::Payable(org.clone(), provider.clone()), billed),
        ];
        for window in &record.windows {
            let back = window.charges(record.held) - window.charges(charged);
            let (org, window) = (org.clone(), window.clone());
            lines.push((Account::WindowUsed(org.clone(), window.clone()), -back));
            lines.push((Account::Window(org, window), back));
        }
        let (node, epoch, sequence) = &record.place;
        let reference = format!("{node}/{epoch}/{sequence}");
        self.post(org, Kind::Reconcile, &reference, &lines).await
    }
}

impl Move<'_> {
    fn charged(&self) -> Amount {
        self.billed.min(self.record.held)
    }

    /// The platform's fee, as far as the hold covers it.
    fn fee(&self) -> Amount {
        let charged = self.charged();
        let fee = charged.millionths(self.record.fee_ppm);
        fee.min(self.record.held - charged)
    }
}

impl Reconciled {
    fn count(&mut self, one: &Move<'_>) {
        let charged = one.charged();
        if one.billed == Amount::ZERO {
            self.released += 1;
        } else {
            self.settled += 1;
        }
        self.charged += charged;
        self.returned += one.record.held - charged - one.fee();
        self.expense += one.billed - charged;
    }

    fn differ(&mut self, text: impl FnOnce() -> String) {
        if self.differences.len() < LISTED_MAX {
            self.differences.push(text());
        }
    }
}

const KNOWN: &str = "u.held_nano, u.held_pico_rem, u.cost_nano, u.cost_pico_rem, u.node, u.epoch,
    u.sequence, u.org, u.key_id, u.endpoint,
    CASE WHEN r.sequence IS NOT NULL THEN 'done' ELSE u.outcome END, u.limit_windows, u.fee_ppm";
const FROM: &str = "usage_records u LEFT JOIN reconciliations r
    ON r.node = u.node AND r.epoch = u.epoch AND r.sequence = u.sequence";

fn known_of(row: &sqlx::any::AnyRow) -> Result<Known, LedgerError> {
    let key: String = row.try_get(8)?;
    let state: String = row.try_get(10)?;
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
        in_suspense: state == "suspense",
        held: amount(row, 0)?,
        cost: amount(row, 2)?,
        done: state == "done",
        windows: usage::windows_of(&row.try_get::<String, _>(11)?)?,
        fee_ppm: u32::try_from(unsigned(row, 12)?).unwrap_or_default(),
    })
}

/// In the order of [`RECONCILIATIONS`].
fn row<'a>(
    provider: &'a ProviderSlug,
    one: &'a Move<'_>,
    unix_ms: u64,
) -> Result<[Cell<'a>; 16], LedgerError> {
    let record = one.record;
    let (held, charged) = (split(record.held)?, split(one.charged())?);
    let (billed, fee) = (split(one.billed)?, split(one.fee())?);
    let (node, epoch, sequence) = &record.place;
    Ok([
        Cell::text(node),
        Cell::Int(*epoch),
        Cell::Int(*sequence),
        Cell::text(record.org.as_str()),
        Cell::from(record.key.to_string()),
        Cell::text(provider.as_str()),
        Cell::Int(held.0),
        Cell::from(held.1),
        Cell::Int(charged.0),
        Cell::from(charged.1),
        Cell::Int(billed.0),
        Cell::from(billed.1),
        Cell::Int(bigint(unix_ms)),
        Cell::from(usage::windows_text(&record.windows)),
        Cell::Int(fee.0),
        Cell::from(fee.1),
    ])
}
