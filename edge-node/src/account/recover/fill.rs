//! The ends that recovery makes itself: one suspense per request that was in flight, and a word for
//! each sequence that damage took. A function of what was read. Deliberately not here: reading.

use crate::account::wal::Book;
use crate::metrics;
use ::metrics::counter;
use shared::money::Amount;
use shared::record::{Outcome, Particulars, UsageRecord};
use shared::usage::Usage;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Missing sequences that are remembered per epoch; damage beyond it leaves the epoch unshipped.
const GAPS_MAX: usize = 100_000;

/// Which sequences are in the log.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) next: u64,
    begun: bool,
    missing: BTreeSet<u64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            next: 1,
            begun: false,
            missing: BTreeSet::new(),
        }
    }
}

impl Ends {
    /// All but these.
    pub(super) fn without(missing: Range<u64>) -> Self {
        Self {
            next: missing.end,
            begun: true,
            missing: missing.take(GAPS_MAX).collect(),
        }
    }

    /// A checkpoint says that all below `next` were written: here, or in a removed segment when
    /// it is the first.
    pub(super) fn start(&mut self, next: u64) {
        self.skip_to(next);
        self.begun = true;
    }

    pub(super) fn see(&mut self, sequence: u64) {
        if sequence < self.next {
            self.missing.remove(&sequence);
            return;
        }
        self.skip_to(sequence);
        self.begun = true;
        self.next = sequence.saturating_add(1);
    }

    /// How many are missing that the ledger may not have.
    pub(super) fn missing_after(&mut self, watermark: u64) -> usize {
        self.missing.retain(|sequence| *sequence > watermark);
        self.missing.len()
    }

    fn skip_to(&mut self, next: u64) {
        if self.begun {
            let room = GAPS_MAX.saturating_sub(self.missing.len());
            self.missing.extend((self.next..next).take(room));
        }
        self.next = self.next.max(next);
    }
}

/// One suspense per open intent. An end that was damaged left its intent open, so the missing
/// sequences are used first. What is missing then is told as lost, in the name of a request that
/// was `seen`: the ledger takes no gaps, and nothing is left out in silence.
pub(super) fn suspend(
    book: &Book,
    ends: &mut Ends,
    seen: Option<&UsageRecord>,
) -> Vec<Arc<UsageRecord>> {
    let mut fills = Vec::new();
    ends.next = ends.next.max(book.next);
    for entry in book.open_in_order() {
        let progress = entry.progress.clone().unwrap_or_default();
        let mut end = entry.hold.end(progress, Outcome::Suspense);
        end.sequence = match ends.missing.pop_first() {
            Some(missing) => missing,
            None => {
                ends.next += 1;
                ends.next - 1
            }
        };
        fills.push(Arc::new(end));
    }
    let like = seen
        .cloned()
        .or_else(|| fills.first().map(|fill| (**fill).clone()));
    if let Some(like) = like {
        let missing = std::mem::take(&mut ends.missing);
        counter!(metrics::LOG_LOST).increment(missing.len() as u64);
        let lost = missing.iter().map(|sequence| lost(book, *sequence, &like));
        fills.extend(lost.map(Arc::new));
    }
    fills.sort_by_key(|end| end.sequence);
    fills
}

/// The end that nothing is known of but its number.
fn lost(book: &Book, sequence: u64, like: &UsageRecord) -> UsageRecord {
    let (node, epoch) = (&book.node, book.epoch.0);
    UsageRecord {
        sequence,
        generation: format!("lost-{node}-{epoch}-{sequence}").into(),
        outcome: Outcome::Released,
        held: Amount::ZERO,
        cost: Amount::ZERO,
        api: String::new(),
        requested_model: String::new(),
        model: None,
        endpoint: None,
        provider: None,
        usage: Usage::default(),
        finish_reason: String::new(),
        fault: Some("log_damaged".to_owned()),
        duration_ms: 0,
        ttft_ms: 0,
        attempts: 0,
        upstream_id: String::new(),
        windows: Vec::new(),
        fee_ppm: 0,
        own_key: false,
        flags: Vec::new(),
        on_credit: Amount::ZERO,
        fee_free: Amount::ZERO,
        particulars: Particulars::default(),
        ..like.clone()
    }
}
