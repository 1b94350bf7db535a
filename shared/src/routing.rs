//! Which endpoints a request tries, in which order, and why. Pure: the view, the node's health,
//! the time and a seed go in, a plan comes out, and the same input gives the same plan. Sending
//! anything is not here.

pub mod demand;
mod plan;
mod view;

pub use demand::{Demand, MaxPrice, Preferences};
pub use plan::{Candidate, Exclude, Exclusion, Plan, Reason, Refusal};
pub use view::View;
