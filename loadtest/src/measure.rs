//! Measuring: samples with quantiles, the operating system's account of a process, and one lean
//! HTTP/1.1 connection whose own cost is small beside what it measures. No load shapes here; those
//! are in `run`.

mod http1;
mod process;

pub use http1::{Connection, Head};
pub use process::{Account, account, children, listening_on, ticks_per_second};

use serde_json::{Value, json};
use std::time::Duration;

/// Most samples kept of one quantity; later ones are counted only.
pub const SAMPLES_MAX: usize = 4_000_000;

/// Times of one quantity, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    values: Vec<u64>,
    sorted: bool,
    dropped: u64,
}

impl Samples {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        if self.values.len() >= SAMPLES_MAX {
            self.dropped += 1;
            return;
        }
        self.sorted = false;
        self.values
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for nanos in &other.values {
            self.add(Duration::from_nanos(*nanos));
        }
        self.dropped += other.dropped;
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.values.len() as u64 + self.dropped
    }

    /// The value below which a share `q` of them lies, in milliseconds; none of none.
    pub fn quantile_ms(&mut self, q: f64) -> Option<f64> {
        if !self.sorted {
            self.values.sort_unstable();
            self.sorted = true;
        }
        let last = self.values.len().checked_sub(1)?;
        self.values
            .get(rank(last, q))
            .map(|nanos| milliseconds(*nanos))
    }

    /// Count, p50, p90, p99 and the highest, in milliseconds.
    pub fn summary(&mut self) -> Value {
        let mut at = |q| self.quantile_ms(q);
        let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
        json!({"count": self.count(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max})
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of an index is an index"
)]
fn rank(last: usize, q: f64) -> usize {
    let last_f = f64::from(u32::try_from(last).unwrap_or(u32::MAX));
    ((last_f * q.clamp(0.0, 1.0)).round() as usize).min(last)
}

fn milliseconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

/// The middle of some figures, and the lowest and highest.
#[must_use]
pub fn spread(figures: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let median = if sorted.len() % 2 == 1 {
        upper
    } else {
        (upper + *sorted.get(middle.checked_sub(1)?)?) / 2.0
    };
    Some((median, *sorted.first()?, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut samples = Samples::default();
        for ms in (1..=100).rev() {
            samples.add(Duration::from_millis(ms));
        }
        assert_eq!(samples.quantile_ms(0.0), Some(1.0));
        assert_eq!(samples.quantile_ms(1.0), Some(100.0));
        assert!((samples.quantile_ms(0.5).unwrap() - 50.5).abs() <= 0.5);
        assert_eq!(Samples::default().quantile_ms(0.5), None);
    }

    #[test]
    fn a_spread_is_median_lowest_highest() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[]), None);
    }
}
