//! What the fleet knows of every endpoint: shares of traffic by mode, states, speeds. Computed at
//! the control plane from all windows, read by the edges, linked by the simulation. Pure: the
//! time is passed in, maps are ordered, and the same reports give the same tables.

mod account;
mod cap;
mod demand;
mod evidence;
mod explain;
mod fleet;
mod guard;
pub mod mode;
mod portion;
mod probe;
mod record;
mod roster;
mod score;
mod seen;
mod share;
mod speed;
mod state;
mod table;
mod tally;
mod tuning;
mod verdict;
mod wish;

pub use explain::Explanation;
pub use fleet::{Fleet, Merged};
pub use guard::{absurdity, drastic};
pub use mode::Mode;
pub use portion::{LEASE_MARGIN, PORTION_MODELS_MAX, Portion, PortionDelta};
pub use score::prior;
pub use state::State;
pub use table::{
    BEHIND_STEPS, DeltaMismatch, Percentiles, ProbeLease, ROWS_MAX, RankingDelta, RankingRow,
    RankingTable, behind_u8, share_u16,
};
pub use tuning::{
    CapTuning, ModeTuning, NewsTuning, ProbeTuning, ScoreTuning, ShareTuning, SpeedTuning, Tuning,
    VerdictTuning,
};
pub use wish::{FAVOUR_MAX, OperatorWish};

#[cfg(test)]
mod tests;
