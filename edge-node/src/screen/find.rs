//! One filter, compiled: where it looks and what it finds.

use super::builtin::Looker;
use crate::wire::json::Span;
use regex::Regex;
use shared::guardrail::{Check, Filter, Scope, pattern};

/// Matches of one filter in one text; more are left alone only after the text is nearly all match.
const MATCHES_MAX: usize = 10_000;

/// A filter that can look.
pub(super) struct Finder {
    filter: Filter,
    what: What,
}

enum What {
    Pattern(Regex),
    Builtin(Looker),
}

/// Something that was found, as a span of the body.
pub(super) struct Match<'a> {
    pub(super) filter: &'a Filter,
    pub(super) span: Span,
}

impl Finder {
    pub(super) fn compile(filter: &Filter) -> Result<Self, String> {
        let what = match &filter.check {
            Check::Pattern(text) => What::Pattern(pattern::compile(text)?),
            Check::Builtin { slug, .. } => {
                let looker = Looker::of(*slug);
                What::Builtin(looker.ok_or_else(|| format!("{} has no pattern", slug.as_str()))?)
            }
        };
        Ok(Self {
            filter: filter.clone(),
            what,
        })
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Custom patterns look at what users say.
    pub(super) fn looks_at(&self, is_users: bool) -> bool {
        is_users
            || matches!(
                self.filter.check,
                Check::Builtin {
                    scope: Scope::AllMessages,
                    ..
                }
            )
    }

    /// Gives the places in `text`, from and to, in bytes.
    pub(super) fn find(&self, text: &str, mut give: impl FnMut(usize, usize)) {
        match &self.what {
            What::Pattern(regex) => {
                let found = regex.find_iter(text).filter(|it| !it.is_empty());
                found
                    .take(MATCHES_MAX)
                    .for_each(|it| give(it.start(), it.end()));
            }
            What::Builtin(looker) => looker.find(text, MATCHES_MAX, &mut give),
        }
    }
}
