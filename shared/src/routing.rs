//! Which endpoints may serve a request, and in which order. Pure: no clock, no randomness but the
//! seed, no I/O.

pub mod demand;

pub use demand::{Demand, MaxPrice, Preferences};
