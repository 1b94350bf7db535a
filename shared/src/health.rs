//! What one node saw of its endpoints in the last seconds: who fails pauses, who is at capacity
//! rests as long as it asked, and nobody gets more than this node's lease. Transitions are pure
//! (time and jitter are passed in); [`Board`] is the one shell that all threads of a machine share.
//! What the fleet saw is [`crate::ranking`]'s concern.

mod allowance;
mod board;
mod bucket;
mod evidence;
mod lease;
mod local;
mod tuning;

pub use allowance::Allowance;
pub use board::{BOARD_MAX, Board, Denied, Departure, Need, OWN_KEYS_MAX};
pub use evidence::{Ask, Boards, Evidence, Handle, Local, Recorded};
pub use lease::Lease;
pub use local::{LocalHealth, StateChange};
pub use tuning::Tuning;

use std::time::Duration;

/// What is left of 1 after `elapsed`.
#[must_use]
pub(crate) fn half_life(elapsed: Duration, half: Duration) -> f64 {
    if half.is_zero() {
        return 0.0;
    }
    (-elapsed.as_secs_f64() / half.as_secs_f64()).exp2()
}

#[cfg(test)]
mod tests;
