//! What the fleet knows of every endpoint: shares of traffic by mode, states, speeds. Computed at
//! the control plane from all windows, read by the edges, linked by the simulation. Pure: the
//! time is passed in, maps are ordered, and the same reports give the same tables.

pub mod mode;
mod table;

pub use mode::Mode;
pub use table::{
    DeltaMismatch, ROWS_MAX, RankingDelta, RankingRow, RankingTable, drastic, share_u16,
};

use crate::catalog::text_enum;

text_enum! {
    /// Whether an endpoint gets traffic.
    State {
        /// By its score.
        Closed = "closed",
        /// None: it fails.
        Open = "open",
        /// Probes only: it may have recovered, or one observer says that it fails.
        HalfOpen = "half_open",
        /// A growing share: it has recovered.
        Ramp = "ramp",
        /// No new requests, says the operator.
        Draining = "draining",
        /// No requests at all, says the operator.
        Disabled = "disabled",
    }
}

impl State {
    /// True for what an operator has taken out of service: no emergency overrides that.
    #[must_use]
    pub const fn is_withdrawn(self) -> bool {
        matches!(self, Self::Draining | Self::Disabled)
    }
}
