//! The push to the edges: one stream per edge that carries what is newest of three classes of
//! change. It promises that a slow edge costs a bounded queue and gets the newest state, not every
//! state; that a delta is only sent to an edge that holds its base; and that what an edge refused
//! is known by name. Staged roll-outs are not here: a version goes to every edge at once.

mod duties;
pub mod edges;
mod peers;
mod service;
mod session;
mod wire;

pub use duties::{DRAINED_MAX, Duties, DutyError};
pub use edges::{Edge, Edges};
pub use peers::PopKeys;
pub use service::{DiscoveryService, Sources};
pub use wire::DiscoveryWire;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
