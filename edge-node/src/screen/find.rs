//! One filter, compiled: where it looks and what it finds.

use super::builtin::Looker;
use regex::Regex;
use shared::guardrail::{Check, Filter, Scope, pattern};
use std::ops::ControlFlow;

/// A filter that can look.
pub(super) struct Finder {
    filter: Filter,
    what: What,
}

enum What {
    Pattern(Regex),
    Builtin(Looker),
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

    /// Gives the places in `text`, from and to, in bytes, until `give` has enough. What is not one
    /// after all is given as `None`, so that `give` can count it.
    pub(super) fn find(
        &self,
        text: &str,
        mut give: impl FnMut(Option<(usize, usize)>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &self.what {
            What::Pattern(regex) => {
                for found in regex.find_iter(text) {
                    let place = (found.start(), found.end());
                    give((!found.is_empty()).then_some(place))?;
                }
                ControlFlow::Continue(())
            }
            What::Builtin(looker) => looker.find(text, &mut give),
        }
    }
}
