//! Looks through all texts of a request with all filters. Each search takes linear time; what may
//! take more, finding very much, has limits, beyond which a request with filters that block or
//! redact is refused rather than passed on unread.

use super::find::Finder;
use super::texts::Piece;
use crate::wire::json::Span;
use shared::guardrail::Action;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Places that are replaced in one request.
pub(super) const REDACTIONS_MAX: usize = 100_000;
/// How long filters may look at one request.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(2);

/// What was found: filters by their place in the list.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Those that have something; those that block or flag stop at the first.
    pub(super) matched: BTreeSet<usize>,
    /// What is to be replaced, in the body.
    pub(super) redactions: Vec<(usize, Span)>,
    /// Something is unread, because of this limit.
    pub(super) limit: Option<Limit>,
}

/// A limit that was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    Redactions,
    Time,
}

impl Limit {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Redactions => "filter_redactions",
            Self::Time => "filter_time",
        }
    }

    pub(super) fn told(self) -> String {
        match self {
            Self::Redactions => format!("more than {REDACTIONS_MAX} places to redact"),
            Self::Time => format!("more than {} s of filtering", LOOK_MAX.as_secs()),
        }
    }
}

/// Everything that all filters find.
pub(super) fn look(body: &str, pieces: &[Piece], finders: &[Finder], deadline: Instant) -> Seen {
    let mut looking = Looking {
        seen: Seen::default(),
        deadline,
    };
    for piece in pieces {
        let text = piece.decode(body);
        let mut redactions = Vec::new();
        for (at, finder) in finders.iter().enumerate() {
            if !finder.looks_at(piece.is_users) {
                continue;
            }
            // Behind the limit nothing more is looked for.
            if looking.find(at, finder, &text, &mut redactions).is_break() {
                return looking.seen;
            }
        }
        looking.seen.place(body, piece, redactions);
    }
    looking.seen
}

struct Looking {
    seen: Seen,
    deadline: Instant,
}

impl Looking {
    /// Breaks at a limit.
    fn find(
        &mut self,
        at: usize,
        finder: &Finder,
        text: &str,
        redactions: &mut Vec<(usize, usize, usize)>,
    ) -> ControlFlow<()> {
        let redacts = finder.filter().action == Action::Redact;
        if !redacts && self.seen.matched.contains(&at) {
            return ControlFlow::Continue(());
        }
        // What stops at the first place stops the search, not the look.
        let _enough = finder.find(text, |place| {
            // One more search may read all that is left.
            self.tick()?;
            let Some((from, to)) = place else {
                return ControlFlow::Continue(());
            };
            self.seen.matched.insert(at);
            if !redacts {
                return ControlFlow::Break(());
            }
            if self.seen.redactions.len() + redactions.len() >= REDACTIONS_MAX {
                self.seen.limit = Some(Limit::Redactions);
                return ControlFlow::Break(());
            }
            redactions.push((at, from, to));
            ControlFlow::Continue(())
        });
        if self.seen.limit.is_some() {
            return ControlFlow::Break(());
        }
        self.tick()
    }

    fn tick(&mut self) -> ControlFlow<()> {
        if Instant::now() > self.deadline {
            self.seen.limit = Some(Limit::Time);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Seen {
    /// Adds what is to be replaced in one piece.
    fn place(&mut self, body: &str, piece: &Piece, found: Vec<(usize, usize, usize)>) {
        if found.is_empty() {
            return;
        }
        let mut wanted: Vec<usize> = found
            .iter()
            .flat_map(|(_, from, to)| [*from, *to])
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let places = piece.places(body, &wanted);
        let place = |at: usize| {
            let place = wanted.binary_search(&at).ok();
            place.and_then(|place| places.get(place)).copied()
        };
        for (at, from, to) in found {
            if let (Some(start), Some(end)) = (place(from), place(to)) {
                self.redactions.push((at, Span { start, end }));
            }
        }
    }
}
