//! What operators want of an endpoint: out of service, all the traffic, more or less of it. A wish
//! stands above all evidence, but for one thing: an endpoint that is shut off because it fails is
//! not kept in service by a pin.

use super::State;

/// The largest factor on a weight.
pub const FAVOUR_MAX: f64 = 1000.0;

/// An operator's wish.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OperatorWish {
    /// Out of service: [`State::Draining`] or [`State::Disabled`]; others are as none.
    pub withdrawn: Option<State>,
    /// Its model's requests go to it, and others like it, as long as it isn't shut off.
    pub pinned: bool,
    /// A factor on its weight, 0..=[`FAVOUR_MAX`]; 1 is none.
    pub favour: f64,
}

impl Default for OperatorWish {
    fn default() -> Self {
        Self {
            withdrawn: None,
            pinned: false,
            favour: 1.0,
        }
    }
}

impl OperatorWish {
    /// The state that withdraws it, if it is withdrawn.
    #[must_use]
    pub fn withdrawal(&self) -> Option<State> {
        self.withdrawn.filter(|state| state.is_withdrawn())
    }

    /// The factor on its weight, whatever was asked for.
    #[must_use]
    pub fn weight(&self) -> f64 {
        if self.favour.is_finite() {
            self.favour.clamp(0.0, FAVOUR_MAX)
        } else {
            1.0
        }
    }
}
