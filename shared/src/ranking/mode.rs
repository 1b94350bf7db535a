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
