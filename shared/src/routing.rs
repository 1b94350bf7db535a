//! Which endpoints a request tries, in which order, and why. Pure: the view, the node's health,
//! the time and a seed go in, a plan comes out, and the same input gives the same plan. Sending
//! anything is not here.

pub mod demand;
mod explain;
mod filter;
mod order;
mod plan;
mod resolve;
mod view;

pub use demand::{Demand, MaxPrice, Preferences};
pub use plan::{Candidate, Exclude, Exclusion, Plan, Reason, Refusal};
pub use view::{PROBE_SHARE, View};

use crate::catalog::Provider;
use crate::clock::Moment;
use crate::health::Board;
use crate::policy::Principal;

/// All that a plan is made from.
struct Context<'a> {
    view: &'a View,
    health: &'a Board,
    usable: &'a dyn Fn(&Provider) -> bool,
    principal: &'a Principal,
    demand: &'a Demand,
    now: Moment,
}

/// Plans a request. Each model's usable endpoints are drawn without replacement by share, as
/// corrected by what this node saw; those that fail or rest come after all others, of the
/// fallback models too, so that there is always somebody left to ask.
///
/// `usable` says whether a provider can be called from here at all: a credential, a dialect.
///
/// # Errors
/// When no model is known, or every endpoint is excluded.
#[expect(
    clippy::too_many_arguments,
    reason = "the inputs of a pure decision, spelled out at the one place that calls it"
)]
pub fn plan(
    view: &View,
    health: &Board,
    usable: &dyn Fn(&Provider) -> bool,
    principal: &Principal,
    demand: &Demand,
    now: Moment,
    seed: u64,
) -> Result<Plan, Refusal> {
    let resolved = resolve::resolve(&view.snapshot, demand)?;
    let context = Context {
        view,
        health,
        usable,
        principal,
        demand,
        now,
    };
    let mut excluded = Vec::new();
    let mut random = order::Random::new(seed);
    let (mut ready, mut last_resort) = (Vec::new(), Vec::new());
    for wanted in &resolved {
        let offers = filter::filter(&context, wanted, &mut excluded);
        let mut placed = order::order(&context, wanted, offers, &mut random);
        if !demand.preferences.allow_fallbacks {
            order::keep_first_choice(&demand.preferences, &mut placed, &mut excluded);
        }
        for (candidate, is_last_resort) in placed {
            let list = if is_last_resort {
                &mut last_resort
            } else {
                &mut ready
            };
            list.push(candidate);
        }
    }
    ready.append(&mut last_resort);
    if ready.is_empty() {
        return Err(Refusal::NoEndpoints { excluded });
    }
    Ok(Plan {
        candidates: ready,
        excluded,
        snapshot_version: view.snapshot.version(),
        ranking_version: view.ranking.version,
        seed,
    })
}

#[cfg(test)]
mod tests;
