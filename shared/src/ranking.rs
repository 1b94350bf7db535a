//! Scores, shares and states of endpoints. Pure.

pub mod mode;

pub use mode::Mode;
