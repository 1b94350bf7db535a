//! Content filters: what an organisation's guardrails look for in prompts. A match refuses the
//! request, is replaced in place so that every other byte stays, or is told. All of a prompt is
//! read, or it is refused: tokens, too, which nobody can read here. The parts of a message are read
//! by themselves and put together. Compiled once per set of filters; a key without filters pays
//! nothing. Texts inside pictures and files are not read.

mod builtin;
mod find;
mod look;
mod person;
mod texts;

#[cfg(test)]
mod tests;

use crate::failure::{ErrorType, Failure, Fault};
use crate::ingress::{self, Call};
use crate::metrics::{GUARDRAIL_MATCHES, shed};
use crate::wire::json::Span;
use crate::wire::splice::Splices;
use find::Finder;
use http::HeaderMap;
use look::{LOOK_MAX, Limit, Seen};
use metrics::counter;
use serde_json::{Value, json};
use shared::guardrail::{Action, Check, Filter, Rules};
use shared::task::lock;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use texts::Piece;
use tokio::sync::Semaphore;

/// Texts up to here, in bytes, are looked through where the request runs; longer ones beside it, so
/// that no other request waits for them,
const INLINE_MAX: usize = 256 << 10;
/// so many at a time.
const LARGE_MAX: usize = 4;
/// Compiled patterns that one node keeps, over all sets; beyond it all are compiled anew when
/// they are needed.
pub const PATTERNS_MAX: usize = 1000;

/// The compiled filters of every organisation that has some.
pub struct Screens {
    sets: Mutex<Sets>,
    large: Semaphore,
}

impl Default for Screens {
    fn default() -> Self {
        Self {
            sets: Mutex::default(),
            large: Semaphore::new(LARGE_MAX),
        }
    }
}

#[derive(Default)]
struct Sets {
    known: HashMap<Box<[Filter]>, Arc<[Finder]>>,
    patterns: usize,
}

/// What filters found in a request that may go on. Names of filters, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Told.
    pub flagged: BTreeSet<String>,
    /// Replaced.
    pub redacted: BTreeSet<String>,
}

impl Found {
    /// True when nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flagged.is_empty() && self.redacted.is_empty()
    }

    /// As the usage record has it.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let flagged = self.flagged.iter().map(|name| format!("flag:{name}"));
        let redacted = self.redacted.iter().map(|name| format!("redact:{name}"));
        flagged.chain(redacted).collect()
    }

    /// As the client is told.
    #[must_use]
    pub fn tell(&self) -> Value {
        json!({ "flagged": self.flagged, "redacted": self.redacted })
    }
}

impl Screens {
    /// Looks through a call's texts; what is to be replaced is replaced in `call`.
    ///
    /// # Errors
    /// 403 naming the filters, when one that blocks has found something, or naming the limit that
    /// keeps one that blocks or redacts from reading all; 500 when a filter can't be compiled:
    /// unread is not let through.
    pub async fn screen(
        &self,
        rules: &Rules,
        call: &mut Call,
        headers: &HeaderMap,
    ) -> Result<Found, Failure> {
        if rules.filters.is_empty() {
            return Ok(Found::default());
        }
        let finders = self.finders(&rules.filters).await?;
        let texts = texts::of(call);
        let must_read = rules.filters.iter().filter(|it| it.action != Action::Flag);
        let must_read: BTreeSet<String> = must_read.map(|it| it.label.clone()).collect();
        if texts.has_tokens {
            shed("filter_tokens");
            if !must_read.is_empty() {
                return Err(unread(&must_read));
            }
        }
        let seen = self.look(call, texts.pieces, &finders).await?;
        let (found, blocked) = sorted(&seen, &finders);
        if !blocked.is_empty() {
            return Err(refused(&blocked));
        }
        if let Some(limit) = seen.limit {
            shed(limit.as_str());
            if !must_read.is_empty() {
                return Err(too_much(limit));
            }
        }
        let mut splices = Splices::default();
        redact(&seen.redactions, &finders, &mut splices);
        if !splices.is_empty() {
            let mut body = Vec::with_capacity(call.body.len());
            splices.pieces(&call.body, |piece| body.extend_from_slice(piece));
            *call = ingress::parse(call.api, call.surface, headers, body.into())?;
        }
        Ok(found)
    }

    async fn look(
        &self,
        call: &Call,
        pieces: Vec<Piece>,
        finders: &Arc<[Finder]>,
    ) -> Result<Seen, Failure> {
        let bytes: usize = pieces.iter().map(Piece::bytes).sum();
        if bytes <= INLINE_MAX {
            let deadline = Instant::now() + LOOK_MAX;
            return Ok(look::look(call.text(), &pieces, finders, deadline));
        }
        // Never closed; if it were, one more would look.
        let _place = self.large.acquire().await;
        let (body, finders) = (call.body.clone(), Arc::clone(finders));
        let looked = tokio::task::spawn_blocking(move || {
            let text = std::str::from_utf8(&body).unwrap_or_default();
            look::look(text, &pieces, &finders, Instant::now() + LOOK_MAX)
        });
        looked.await.map_err(|error| unreadable(&error.to_string()))
    }

    async fn finders(&self, filters: &[Filter]) -> Result<Arc<[Finder]>, Failure> {
        if let Some(known) = lock(&self.sets).known.get(filters) {
            return Ok(Arc::clone(known));
        }
        // It takes milliseconds: beside the requests, which don't wait for it.
        let all = filters.to_vec();
        let compiled =
            tokio::task::spawn_blocking(move || all.iter().map(Finder::compile).collect());
        let compiled: Result<Vec<_>, String> = compiled
            .await
            .map_err(|error| unreadable(&error.to_string()))?;
        let finders: Arc<[Finder]> = compiled.map_err(|error| unreadable(&error))?.into();
        let mut sets = lock(&self.sets);
        if sets.patterns + filters.len() > PATTERNS_MAX && !sets.known.is_empty() {
            *sets = Sets::default();
            shed("filter_patterns");
        }
        sets.patterns += filters.len();
        sets.known.insert(filters.into(), Arc::clone(&finders));
        Ok(finders)
    }
}

impl std::fmt::Debug for Screens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screens").finish_non_exhaustive()
    }
}

/// What goes on, and the names of filters that let nothing go on.
fn sorted(seen: &Seen, finders: &[Finder]) -> (Found, BTreeSet<String>) {
    let (mut found, mut blocked) = (Found::default(), BTreeSet::new());
    for finder in seen.matched.iter().filter_map(|at| finders.get(*at)) {
        let filter = finder.filter();
        count(filter);
        let name = filter.label.clone();
        match filter.action {
            Action::Block => blocked.insert(name),
            Action::Redact => found.redacted.insert(name),
            Action::Flag => found.flagged.insert(name),
        };
    }
    (found, blocked)
}

/// What overlaps is replaced together, under the name of the first.
fn redact(redactions: &[(usize, Span)], finders: &[Finder], splices: &mut Splices) {
    let mut redacted: Vec<_> = redactions.iter().collect();
    redacted.sort_by_key(|(at, span)| (span.start, std::cmp::Reverse(span.end), *at));
    let mut rest = redacted.into_iter().peekable();
    while let Some((at, first)) = rest.next() {
        let mut span = *first;
        while let Some((_, next)) = rest.next_if(|(_, next)| next.start < span.end) {
            span.end = span.end.max(next.end);
        }
        let Some(finder) = finders.get(*at) else {
            continue;
        };
        splices.replace_with(span, |out| {
            crate::wire::json::write_escaped(out, &placeholder(finder.filter()));
        });
    }
}

fn placeholder(filter: &Filter) -> String {
    match &filter.check {
        Check::Pattern(_) => format!("[{}]", filter.label),
        Check::Builtin { slug, .. } => {
            format!("[{}]", slug.as_str().replace('-', "_").to_ascii_uppercase())
        }
    }
}

fn count(filter: &Filter) {
    let name = match &filter.check {
        Check::Pattern(_) => "custom",
        Check::Builtin { slug, .. } => slug.as_str(),
    };
    let action = filter.action.as_str();
    counter!(GUARDRAIL_MATCHES, "action" => action, "filter" => name).increment(1);
}

fn refused(names: &BTreeSet<String>) -> Failure {
    let message = format!(
        "Request blocked by your organization's guardrail: it matches the content filter {}",
        listed(names)
    );
    blocked(names, message)
}

/// Tokens are numbered by each model in its own way.
fn unread(names: &BTreeSet<String>) -> Failure {
    let message = format!(
        "Request blocked by your organization's guardrail: its content filters ({}) can't read \
         tokens. Send text",
        listed(names)
    );
    blocked(names, message)
}

fn listed(names: &BTreeSet<String>) -> String {
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.join(", ")
}

fn blocked(names: &BTreeSet<String>, message: String) -> Failure {
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "guardrail", message);
    failure.metadata.insert("patterns".into(), all.into());
    failure
}

fn too_much(limit: Limit) -> Failure {
    let message = format!(
        "Request blocked by your organization's guardrail: its content filters can't read all of \
         it within their limit ({}). Send a shorter prompt",
        limit.told()
    );
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "guardrail_limit", message);
    let name = limit.as_str();
    failure.metadata.insert("limit_source".into(), name.into());
    failure
}

fn unreadable(error: &str) -> Failure {
    tracing::error!(error, "a content filter can't be compiled");
    let text = "a content filter of this key's guardrails can't be applied by this node";
    Failure::new(
        Fault::Gateway,
        500,
        ErrorType::Server,
        "guardrail_filter",
        text,
    )
}
