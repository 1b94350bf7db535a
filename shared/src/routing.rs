//! Which endpoints a request tries, in which order, and why; and how long it waits for each. Pure:
//! the view, the node's health, the time and a seed go in, a plan comes out, and the same input
//! gives the same plan. Sending anything is not here.

pub mod auto;
pub mod demand;
mod explain;
mod filter;
mod order;
mod patience;
mod place;
mod plan;
mod prefer;
mod price;
mod random;
mod replay;
mod resolve;
mod tuning;
mod view;

pub use demand::{Cutoffs, DefaultSort, Demand, MaxPrice, Partition, Preferences, Sticky};
pub use patience::{Pace, Patience, Task};
pub use plan::{Candidate, Exclude, Exclusion, Offered, Plan, Reason, Refusal};
pub use price::effective as effective_price;
pub use replay::Record;
pub use resolve::resolved;
pub use tuning::Tuning;
pub use view::View;

use crate::catalog::Provider;
use crate::clock::Moment;
use crate::health::Evidence;
use crate::policy::Principal;

/// Endpoints that one request may try.
pub const ATTEMPTS_MAX: usize = 8;

/// All that a plan is made from.
struct Context<'a> {
    view: &'a View,
    usable: &'a dyn Fn(&Provider) -> bool,
    principal: &'a Principal,
    demand: &'a Demand,
    /// The client's, if it bounds anything: looked at for each endpoint.
    max_price: Option<&'a MaxPrice>,
    now: Moment,
}

impl<'a> Context<'a> {
    fn new(
        view: &'a View,
        usable: &'a dyn Fn(&Provider) -> bool,
        principal: &'a Principal,
        demand: &'a Demand,
        now: Moment,
    ) -> Self {
        Self {
            view,
            usable,
            principal,
            demand,
            max_price: Some(&demand.preferences.max_price).filter(|most| most.any()),
            now,
        }
    }
}

/// Plans a request. Each model's usable endpoints are drawn without replacement by share, as
/// corrected by what this node saw; those that fail or rest come after all others, of the
/// fallback models too, so that there is always somebody left to ask.
///
/// `usable` says whether a provider can be called from here at all: a credential, a dialect.
/// `health` is the node's [`crate::health::Board`], or a record of what it said.
///
/// # Errors
/// When no model is known, or every endpoint is excluded.
#[expect(
    clippy::too_many_arguments,
    reason = "the inputs of a pure decision, spelled out at the one place that calls it"
)]
pub fn plan(
    view: &View,
    health: &dyn Evidence,
    usable: &dyn Fn(&Provider) -> bool,
    principal: &Principal,
    demand: &Demand,
    now: Moment,
    seed: u64,
) -> Result<Plan, Refusal> {
    let resolved = resolve::resolve(&view.snapshot, demand)?;
    let context = Context::new(view, usable, principal, demand, now);
    let mut plan = Plan::new(view, demand, now, seed);
    let (mut offers, mut entries) = (filter::Offers::new(), order::Entries::new());
    for (model, wanted) in resolved.iter().enumerate() {
        filter::filter(&context, wanted, &mut offers, &mut plan.excluded);
        order::enter(&context, wanted, model, &offers, &mut entries);
    }
    let draw = plan.next_draw(view, health, now);
    order::first(&draw, &offers, &mut entries, &mut plan);
    if !demand.preferences.allow_fallbacks {
        order::keep_first_choice(&demand.preferences, &mut plan);
    }
    if plan.candidates.is_empty() {
        let excluded = plan.excluded;
        return Err(Refusal::NoEndpoints { excluded });
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
