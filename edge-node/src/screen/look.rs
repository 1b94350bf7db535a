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

/// What providers put between parts of one message: nothing, or a line's end.
const BETWEEN: [&str; 2] = ["", "\n"];

/// Everything that all filters find: in each text, and across the borders of texts that a provider
/// may put together.
pub(super) fn look(body: &str, pieces: &[Piece], finders: &[Finder], deadline: Instant) -> Seen {
    let mut looking = Looking {
        seen: Seen::default(),
        deadline,
    };
    // At a limit nothing more is looked for.
    let _limit = looking.all(body, pieces, finders);
    looking.seen
}

/// Places that a filter has found in a text, from and to.
type Places = Vec<(usize, usize, usize)>;

struct Looking {
    seen: Seen,
    deadline: Instant,
}

impl Looking {
    /// Breaks at a limit.
    fn all(&mut self, body: &str, pieces: &[Piece], finders: &[Finder]) -> ControlFlow<()> {
        for piece in pieces {
            let text = piece.decode(body);
            let found = self.text(finders, piece.is_users, &text, |_, _| true)?;
            self.seen.place(body, piece, found);
        }
        for parts in pieces.chunk_by(Piece::joins).filter(|it| it.len() > 1) {
            for between in BETWEEN {
                self.joined(body, parts, finders, between)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// What goes over a border of parts is replaced in each of them.
    fn joined(
        &mut self,
        body: &str,
        parts: &[Piece],
        finders: &[Finder],
        between: &str,
    ) -> ControlFlow<()> {
        let Some(first) = parts.first() else {
            return ControlFlow::Continue(());
        };
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(parts.len()));
        for part in parts {
            if !ends.is_empty() {
                text.push_str(between);
            }
            text.push_str(&part.decode(body));
            ends.push(text.len());
        }
        // The parts that something touches: the first that ends behind its start, and the last that
        // begins before its end.
        let touched = |from: usize, to: usize| {
            let first = ends.partition_point(|end| *end <= from);
            let last = ends.partition_point(|end| end + between.len() < to);
            (first, last.min(ends.len() - 1))
        };
        let crosses = |from, to| {
            let (first, last) = touched(from, to);
            first < last
        };
        let found = self.text(finders, first.is_users, &text, crosses)?;
        let mut of_parts: Vec<Places> = vec![Places::new(); parts.len()];
        for (at, from, to) in found {
            let (first, last) = touched(from, to);
            for index in first..=last {
                let before = index.checked_sub(1).and_then(|it| ends.get(it));
                let start = before.map_or(0, |end| end + between.len());
                let end = ends.get(index).copied().unwrap_or(start);
                let (from, to) = (from.max(start), to.min(end));
                if from < to
                    && let Some(places) = of_parts.get_mut(index)
                {
                    places.push((at, from - start, to - start));
                }
            }
        }
        for (part, places) in parts.iter().zip(of_parts) {
            self.seen.place(body, part, places);
        }
        ControlFlow::Continue(())
    }

    /// What is to be replaced in one text, of that which `counts`. Breaks at a limit.
    fn text(
        &mut self,
        finders: &[Finder],
        is_users: bool,
        text: &str,
        counts: impl Fn(usize, usize) -> bool,
    ) -> ControlFlow<(), Places> {
        let mut redactions = Places::new();
        for (at, finder) in finders.iter().enumerate() {
            if finder.looks_at(is_users) {
                self.find((at, finder), text, &counts, &mut redactions)?;
            }
        }
        ControlFlow::Continue(redactions)
    }

    /// Breaks at a limit.
    fn find(
        &mut self,
        (at, finder): (usize, &Finder),
        text: &str,
        counts: impl Fn(usize, usize) -> bool,
        redactions: &mut Places,
    ) -> ControlFlow<()> {
        let redacts = finder.filter().action == Action::Redact;
        if !redacts && self.seen.matched.contains(&at) {
            return ControlFlow::Continue(());
        }
        // What stops at the first place stops the search, not the look.
        let _enough = finder.find(text, |place| {
            // One more search may read all that is left.
            self.tick()?;
            let Some((from, to)) = place.filter(|(from, to)| counts(*from, *to)) else {
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
    fn place(&mut self, body: &str, piece: &Piece, found: Places) {
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
