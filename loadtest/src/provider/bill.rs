//! What the simulated provider would invoice, request by request: input and the tokens that were
//! given out, also when the caller hung up. Bounded: beyond [`BILL_ENTRIES_MAX`] the oldest
//! entries go and are counted; the totals stay exact.

use serde::{Deserialize, Serialize};
use shared::task::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedSemaphorePermit;

/// Most entries kept; older ones are dropped and counted in `dropped`.
pub const BILL_ENTRIES_MAX: usize = 200_000;

/// One request that the provider began to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The id that the answer carries.
    pub id: String,
    /// The model that was asked for.
    pub model: String,
    /// HTTP status; 0 when no head was sent.
    pub status: u16,
    /// True when the answer was to be streamed.
    pub stream: bool,
    /// Tokens of the prompt that are charged, cached ones included.
    pub input_tokens: u64,
    /// Of these: read from a cache.
    pub cached_tokens: u64,
    /// Tokens given out.
    pub output_tokens: u64,
    /// The whole answer was given out.
    pub completed: bool,
    /// The caller went away before that.
    pub cancelled: bool,
    /// The fault that struck, by kind; empty for none.
    pub fault: String,
}

/// Sums over all requests since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests begun.
    pub requests: u64,
    /// Of these: answered whole.
    pub completed: u64,
    /// Of these: left by the caller.
    pub cancelled: u64,
    /// Requests still open.
    pub open: u64,
    /// Tokens of prompts charged.
    pub input_tokens: u64,
    /// Tokens given out.
    pub output_tokens: u64,
    /// Tokens given out to callers that left.
    pub cancelled_output_tokens: u64,
}

/// The bill as `GET /_bill` gives it. Open requests are in the totals' `requests` and `open` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Ended requests, oldest first.
    pub requests: Vec<Entry>,
    /// Sums.
    pub totals: Totals,
    /// Entries that were dropped because of the limit.
    pub dropped: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    totals: Totals,
    dropped: u64,
}

impl Book {
    /// Opens a request; it is written down when the guard is dropped.
    pub(crate) fn open(&self, entry: Entry, room: OwnedSemaphorePermit) -> Open {
        let mut inner = lock(&self.0);
        inner.totals.requests += 1;
        inner.totals.open += 1;
        Open {
            book: self.clone(),
            entry,
            _room: room,
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        lock(&self.0).totals
    }

    pub(crate) fn read(&self) -> Bill {
        let inner = lock(&self.0);
        Bill {
            requests: inner.entries.iter().cloned().collect(),
            totals: inner.totals,
            dropped: inner.dropped,
        }
    }

    /// Forgets everything but the open requests.
    pub(crate) fn reset(&self) {
        let mut inner = lock(&self.0);
        let open = inner.totals.open;
        *inner = Inner::default();
        inner.totals.open = open;
        inner.totals.requests = open;
    }
}

/// A request that is being served. Dropped without [`Open::complete`], the caller had left or a
/// fault had struck.
pub(crate) struct Open {
    book: Book,
    pub(crate) entry: Entry,
    _room: OwnedSemaphorePermit,
}

impl Open {
    pub(crate) fn complete(&mut self) {
        self.entry.completed = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut entry = std::mem::take(&mut self.entry);
        // A fault of ours that ended the answer is not the caller's doing.
        let ours = matches!(
            entry.fault.as_str(),
            "status" | "reset" | "truncate" | "garbage" | "error_event" | "html" | "empty_stream"
        );
        entry.cancelled = !entry.completed && !ours;
        let inner = &mut *lock(&self.book.0);
        let totals = &mut inner.totals;
        totals.open = totals.open.saturating_sub(1);
        totals.completed += u64::from(entry.completed);
        totals.cancelled += u64::from(entry.cancelled);
        totals.input_tokens += entry.input_tokens;
        totals.output_tokens += entry.output_tokens;
        if entry.cancelled {
            totals.cancelled_output_tokens += entry.output_tokens;
        }
        if inner.entries.len() >= BILL_ENTRIES_MAX {
            inner.entries.pop_front();
            inner.dropped += 1;
        }
        inner.entries.push_back(entry);
    }
}
