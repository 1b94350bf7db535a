//! Content filters: what an organisation's guardrails look for in prompts. A match refuses the
//! request, is replaced in place so that every other byte stays, or is told. Compiled once per set
//! of filters; a key without filters pays nothing. Texts inside pictures and files are not read.

mod builtin;
mod find;
mod person;
mod texts;

#[cfg(test)]
mod tests;

use crate::failure::{ErrorType, Failure, Fault};
use crate::ingress::{self, Call};
use crate::metrics::{GUARDRAIL_MATCHES, shed};
use crate::wire::splice::Splices;
use find::{Finder, Match};
use http::HeaderMap;
use metrics::counter;
use serde_json::{Value, json};
use shared::guardrail::{Action, Check, Filter, Rules};
use shared::task::lock;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use texts::Piece;

/// Characters of one request that are looked at, the newest first.
pub const SCANNED_CHARS_MAX: usize = 100_000;
/// Compiled patterns that one node keeps, over all sets; beyond it all are compiled anew when
/// they are needed.
pub const PATTERNS_MAX: usize = 1000;

/// The compiled filters of every organisation that has some.
#[derive(Default)]
pub struct Screens {
    sets: Mutex<Sets>,
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
    /// 403 naming the filters, when one that blocks has found something; 500 when a filter can't
    /// be compiled: unread is not let through.
    pub fn screen(
        &self,
        rules: &Rules,
        call: &mut Call,
        headers: &HeaderMap,
    ) -> Result<Found, Failure> {
        let mut found = Found::default();
        if rules.filters.is_empty() {
            return Ok(found);
        }
        let finders = self.finders(&rules.filters)?;
        let text = call.text();
        let mut left = SCANNED_CHARS_MAX;
        let (mut splices, mut blocked) = (Splices::default(), BTreeSet::new());
        for piece in texts::of(call).iter().rev() {
            if left == 0 {
                shed("filter_chars");
                break;
            }
            let matches = piece_matches(text, piece, &finders, &mut left);
            for one in &matches {
                let name = one.filter.label.clone();
                count(one.filter);
                match one.filter.action {
                    Action::Block => blocked.insert(name),
                    Action::Redact => found.redacted.insert(name),
                    Action::Flag => found.flagged.insert(name),
                };
            }
            redact(&matches, &mut splices);
        }
        if !blocked.is_empty() {
            return Err(refused(&blocked));
        }
        if !splices.is_empty() {
            let mut body = Vec::with_capacity(call.body.len());
            splices.pieces(&call.body, |piece| body.extend_from_slice(piece));
            *call = ingress::parse(call.api, call.surface, headers, body.into())?;
        }
        Ok(found)
    }

    fn finders(&self, filters: &[Filter]) -> Result<Arc<[Finder]>, Failure> {
        if let Some(known) = lock(&self.sets).known.get(filters) {
            return Ok(Arc::clone(known));
        }
        // Compiled outside the lock: others don't wait for it.
        let compiled: Result<Vec<_>, String> = filters.iter().map(Finder::compile).collect();
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

/// Everything that is found in one text, as spans of the body.
fn piece_matches<'a>(
    body: &str,
    piece: &Piece,
    finders: &'a [Finder],
    left: &mut usize,
) -> Vec<Match<'a>> {
    let decoded = piece.decode(body, left);
    let mut matches = Vec::new();
    for finder in finders.iter().filter(|it| it.looks_at(piece.is_users)) {
        finder.find(decoded.text(), |from, to| {
            matches.push(Match {
                filter: finder.filter(),
                span: decoded.span(from, to),
            });
        });
    }
    matches
}

/// What overlaps is replaced together, under the name of the first.
fn redact(matches: &[Match<'_>], splices: &mut Splices) {
    let redacted = matches
        .iter()
        .filter(|it| it.filter.action == Action::Redact);
    let mut redacted: Vec<&Match<'_>> = redacted.collect();
    redacted.sort_by_key(|it| (it.span.start, std::cmp::Reverse(it.span.end)));
    let mut rest = redacted.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut span = first.span;
        while let Some(next) = rest.next_if(|next| next.span.start < span.end) {
            span.end = span.end.max(next.span.end);
        }
        splices.replace_with(span, |out| {
            crate::wire::json::write_escaped(out, &placeholder(first.filter));
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
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!(
        "Request blocked by your organization's guardrail: it matches the content filter {}",
        all.join(", ")
    );
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "guardrail", message);
    failure.metadata.insert("patterns".into(), all.into());
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
