//! A provider's bill against the books. What was in flight when a node died is charged as the
//! provider bills it, at most what it had held; so is what had settled by our own count because
//! the client left before the provider's came. What is billed beyond is the platform's. Each record
//! is settled once, however often a bill comes. A record that had settled by the provider's own
//! count and is billed otherwise is told and not changed.

mod known;
mod post;

use super::journal::Kind;
use super::{Ledger, LedgerError};
use crate::store::Epoch;
pub use known::Place;
use known::{Found, Known, Shelf};
use post::{Beyond, Move};
use shared::id::{OrgId, ProviderSlug, Version};
use shared::money::Amount;
use shared::usage::Usage;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most lines of one bill.
const LINES_MAX: usize = 200_000;
/// A bill may say that it is complete until so much later than now: clocks run apart.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Differences that are listed.
const LISTED_MAX: usize = 100;

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
    /// Records that had settled by our own count and are charged as billed now.
    pub adjusted: u64,
    /// Lines of what was never charged: competitors that were called off, attempts that broke.
    pub beyond: u64,
    /// Lines of no record, and lines that can't be priced.
    pub unknown: u64,
    /// Charged out of suspense.
    pub charged: Amount,
    /// Given back out of suspense.
    pub returned: Amount,
    /// What the adjustments add to what was charged; below zero when they take away.
    pub corrected: Amount,
    /// Billed beyond what had been held, and for what was never charged: the platform's.
    pub expense: Amount,
    /// In words: settled records that the bill disagrees with, and lines of no record; at most
    /// 100 of them.
    pub differences: Vec<String>,
}

/// What a bill makes of one organisation's books.
#[derive(Default)]
struct Due<'a> {
    moves: Vec<Move<'a>>,
    beyond: Vec<Beyond>,
}

impl Ledger {
    /// The versions of the catalogue by whose prices a bill in tokens is to be settled: those that
    /// its requests were held by. None of a bill in money.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn price_versions(&self, bill: &Bill) -> Result<BTreeSet<Version>, LedgerError> {
        let tokens = |line: &&BillLine| matches!(line.billed, Billed::Used(_));
        let in_tokens = Bill {
            lines: bill.lines.iter().filter(tokens).cloned().collect(),
            ..bill.clone()
        };
        check_length(&in_tokens)?;
        if in_tokens.lines.is_empty() {
            return Ok(BTreeSet::new());
        }
        let records = self.records_of(&in_tokens).await?;
        let shelf = Shelf::new(&records, &bill.provider);
        let found = in_tokens.lines.iter();
        let found = found.filter_map(|line| shelf.find(&line.id));
        Ok(found.map(|found| found.prices()).collect())
    }

    /// Settles against `bill`. `price` says what usage cost at one of the provider's endpoints, in a
    /// version of the catalogue, if that is still known.
    ///
    /// # Errors
    /// When the bill is too long, this process no longer leads, or the database fails; what was
    /// settled until then stays so, and the same bill can come again.
    pub async fn reconcile(
        &self,
        fence: Epoch,
        bill: &Bill,
        price: impl Fn(Version, &Place, &Usage) -> Option<Amount>,
    ) -> Result<Reconciled, LedgerError> {
        check_length(bill)?;
        self.check_complete(bill)?;
        let mut done = Reconciled::default();
        let records = self.records_of(bill).await?;
        let absent = self.absent_from(bill).await?;
        let shelf = Shelf::new(&records, &bill.provider);
        let mut due: BTreeMap<OrgId, Due<'_>> = BTreeMap::new();
        let mut by_id: BTreeMap<&str, Vec<&Billed>> = BTreeMap::new();
        for line in &bill.lines {
            by_id.entry(&line.id).or_default().push(&line.billed);
        }
        for (id, lines) in by_id {
            let Some(found) = shelf.find(id) else {
                done.unknown += lines.len() as u64;
                done.differ(|| format!("{id} is not in the books"));
                continue;
            };
            let prices = found.prices();
            let amounts = lines
                .iter()
                .enumerate()
                .filter_map(|(nth, billed)| match billed {
                    Billed::Usd(amount) => Some(*amount),
                    Billed::Used(usage) if *usage == Usage::default() => Some(Amount::ZERO),
                    Billed::Used(usage) => {
                        let places = found.places(&bill.provider, (nth, lines.len()));
                        places.iter().find_map(|place| price(prices, place, usage))
                    }
                });
            let amounts: Vec<Amount> = amounts.collect();
            if amounts.len() < lines.len() {
                done.unknown += (lines.len() - amounts.len()) as u64;
                let places = found.places(&bill.provider, (0, lines.len()));
                done.differ(|| {
                    format!(
                        "{id}: what {} served of it ({places:?}) has no price in version {prices} of \
                         the catalogue, by which it was held, or that is not kept any more: give the \
                         amount in USD",
                        bill.provider
                    )
                });
            }
            let (own, others) = found.pair(amounts);
            for (record, billed) in &own {
                done.meet(id, record, *billed, &mut due);
            }
            let others = done.of_attempts(id, &found, (&bill.provider, own.len()), others);
            for (nth, billed) in others.into_iter().enumerate() {
                let reference = format!("beyond/{}/{id}/{nth}", bill.provider);
                let of = due.entry(found.org().clone()).or_default();
                of.beyond.push(Beyond { reference, billed });
            }
        }
        for record in &absent {
            let of = due.entry(record.org.clone()).or_default();
            of.moves.push(Move::new(record, Amount::ZERO));
        }
        for (org, due) in due {
            let again = self
                .retried(|| self.settle(fence, &org, &bill.provider, &due))
                .await?;
            done.count(&due, &again);
        }
        Ok(done)
    }

    fn check_complete(&self, bill: &Bill) -> Result<(), LedgerError> {
        let ahead = u64::try_from(AHEAD_MAX.as_millis()).unwrap_or(u64::MAX);
        let most = self.clock.unix_ms().saturating_add(ahead);
        match bill.complete_until_unix_ms {
            Some(until) if until > most => Err(LedgerError::Invalid {
                what: "complete until",
                reason: "lies in the future, of which no bill has everything".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// True when something was ever owed to a provider, or is in suspense because of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_in_books(&self, provider: &ProviderSlug) -> Result<bool, LedgerError> {
        let row = sqlx::query(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM balances WHERE kind = 'payable' AND provider = $1)
                 OR EXISTS (SELECT 1 FROM usage_records
                     WHERE outcome = 'suspense' AND provider = $1)",
        )
        .bind(provider.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        Ok(row.is_some())
    }

    /// Posts what is due. Gives the references of what had been posted before.
    async fn settle(
        &self,
        fence: Epoch,
        org: &OrgId,
        provider: &ProviderSlug,
        due: &Due<'_>,
    ) -> Result<Vec<String>, LedgerError> {
        let mut book = self.book_of(fence, org).await?;
        let mut rows = Vec::with_capacity(due.moves.len());
        for one in &due.moves {
            book.settle(org, provider, one).await?;
            let counted = (one.added(), one.fee());
            book.roll_up_settled(&one.record.place, counted).await?;
            rows.push(post::row(provider, one, self.clock.unix_ms())?);
        }
        post::insert(&mut book, &rows).await?;
        let mut again = Vec::new();
        for one in &due.beyond {
            if book.has(org, Kind::Reconcile, &one.reference).await? {
                again.push(one.reference.clone());
                continue;
            }
            book.pay_beyond(org, provider, one).await?;
        }
        book.cover(org).await?;
        book.commit().await?;
        Ok(again)
    }
}

fn check_length(bill: &Bill) -> Result<(), LedgerError> {
    if bill.lines.len() <= LINES_MAX {
        return Ok(());
    }
    Err(LedgerError::Invalid {
        what: "bill",
        reason: format!("{} lines, at most {LINES_MAX}", bill.lines.len()),
    })
}

impl Reconciled {
    /// A line meets the record that it is about.
    fn meet<'a>(
        &mut self,
        id: &str,
        record: &'a Known,
        billed: Amount,
        due: &mut BTreeMap<OrgId, Due<'a>>,
    ) {
        if record.done {
            self.before += 1;
            let before = record.billed;
            if before != billed {
                self.differ(|| {
                    format!(
                        "{id} was settled at {before} USD by a bill before; that this one says \
                         {billed} USD changes nothing"
                    )
                });
            }
        } else if !record.in_suspense && record.cost == billed {
            self.equal += 1;
        } else if record.in_suspense || record.estimated {
            let of = due.entry(record.org.clone()).or_default();
            of.moves.push(Move::new(record, billed));
        } else {
            let (cost, key, place) = (record.cost, record.key, &record.place);
            self.differ(|| format!("{place:?} of {key}: charged {cost} USD, billed {billed} USD"));
        }
    }

    /// Of lines besides those of the `own` records, which may be of attempts; the rest is told.
    fn of_attempts(
        &mut self,
        id: &str,
        found: &Found<'_>,
        (provider, own): (&ProviderSlug, usize),
        mut others: Vec<Amount>,
    ) -> Vec<Amount> {
        if let Some(asked) = found.asked(provider) {
            let more = others.split_off(others.len().min(asked.saturating_sub(own)));
            self.surplus(id, provider, (asked, more.len()));
            return others;
        }
        // Who was asked is not known; what an attempt may cost is.
        let most = found.held();
        let (fits, beyond): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|billed| *billed <= most);
        self.too_much(id, most, &beyond);
        fits
    }

    /// Lines of more than any attempt of the request could cost: nothing is booked for them.
    fn too_much(&mut self, id: &str, most: Amount, beyond: &[Amount]) {
        self.unknown += beyond.len() as u64;
        for billed in beyond {
            self.differ(|| {
                format!(
                    "{id}: {billed} USD are billed for an attempt of a request for which {most} USD \
                     were held; is it this provider's? nothing is booked"
                )
            });
        }
    }

    /// Lines that are of no attempt: nothing is booked for them.
    fn surplus(&mut self, id: &str, provider: &ProviderSlug, (asked, more): (usize, usize)) {
        if more == 0 {
            return;
        }
        self.unknown += more as u64;
        self.differ(|| {
            format!(
                "{id}: {more} more lines than {provider} was asked for it ({asked} times); nothing \
                 is booked for them"
            )
        });
    }

    fn count(&mut self, due: &Due<'_>, again: &[String]) {
        for one in &due.moves {
            let charged = one.charged();
            self.expense += one.billed - charged;
            if !one.record.in_suspense {
                self.adjusted += 1;
                self.corrected += charged - one.record.cost;
                continue;
            }
            if one.billed == Amount::ZERO {
                self.released += 1;
            } else {
                self.settled += 1;
            }
            self.charged += charged;
            self.returned += one.record.held - charged - one.fee();
        }
        for one in &due.beyond {
            if again.contains(&one.reference) {
                self.before += 1;
                continue;
            }
            self.beyond += 1;
            self.expense += one.billed;
        }
    }

    fn differ(&mut self, text: impl FnOnce() -> String) {
        if self.differences.len() < LISTED_MAX {
            self.differences.push(text());
        }
    }
}
