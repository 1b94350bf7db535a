//! What a request optimises for: each mode has its own share of every endpoint.

use crate::catalog::text_enum;

text_enum! {
    /// The order that a request prefers.
    Mode {
        /// Price against health and speed: the default.
        Balanced = "balanced",
        /// Cheapest first.
        Price = "price",
        /// Fastest first token first.
        Latency = "latency",
        /// Most tokens per second first.
        Throughput = "throughput",
    }
}

#[expect(
    clippy::derivable_impls,
    reason = "the macro that declares it derives no default"
)]
impl Default for Mode {
    fn default() -> Self {
        Self::Balanced
    }
}

impl Mode {
    /// The mode's place in a row's shares.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Self::Balanced => 0,
            Self::Price => 1,
            Self::Latency => 2,
            Self::Throughput => 3,
        }
    }
}
