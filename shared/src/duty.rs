//! What operators want of an edge itself, whatever it serves: that it serves, or that it drains.

use serde::{Deserialize, Serialize};

/// An edge's duty. The default is what an edge does that was never told anything: it serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Duty {
    /// Larger with each change of any edge's duty; says which change an edge has heard of.
    pub number: u64,
    /// Not ready for new clients; what still arrives is served.
    pub draining: bool,
}
