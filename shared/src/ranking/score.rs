//! What a request through an endpoint really costs: price, waiting and failing as one number, by
//! mode. Lower is better.

use super::Mode;

/// What a score is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Facts {
    /// USD per token of a usual mix.
    pub(super) price: f64,
    /// Median seconds to the first token.
    pub(super) ttft: f64,
    /// 90th percentile.
    pub(super) ttft_p90: f64,
    /// Median tokens per second.
    pub(super) throughput: f64,
    /// Probability of failure, broken tool calls included.
    pub(super) failure: f64,
}

/// What is free counts as that cheap, in USD per token.
const PRICE_MIN: f64 = 1e-10;
/// A first token later than this annoys.
const TTFT_TOLERATED: f64 = 2.2;
/// Fewer tokens per second than this annoy.
const THROUGHPUT_TOLERATED: f64 = 30.0;

/// The exponents of price, latency and throughput, and how sharply shares follow the score.
fn weights(mode: Mode) -> (f64, f64, f64, f64) {
    match mode {
        Mode::Balanced => (1.0, 0.20, 0.10, 8.0),
        Mode::Price => (1.0, 0.05, 0.05, 14.0),
        Mode::Latency => (0.08, 1.0, 0.10, 9.0),
        Mode::Throughput => (0.08, 0.10, 1.0, 9.0),
    }
}

/// The logarithm of the cost.
pub(super) fn cost(mode: Mode, facts: &Facts) -> f64 {
    let (price, latency, throughput, _) = weights(mode);
    let speed = facts.throughput.max(0.1);
    price * facts.price.max(PRICE_MIN).ln() + latency * facts.ttft.max(0.001).ln()
        - throughput * speed.ln()
        + 5.0 * facts.failure
        + 1.5 * (facts.ttft_p90 / TTFT_TOLERATED - 1.0).max(0.0)
        + 1.5 * (THROUGHPUT_TOLERATED / speed - 1.0).max(0.0)
}

/// How much more traffic an endpoint deserves than one that costs `worse` more.
pub(super) fn weight(mode: Mode, worse: f64) -> f64 {
    let (.., sharpness) = weights(mode);
    (-sharpness * worse).exp().max(1e-9)
}
