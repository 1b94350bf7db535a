//! A histogram in log buckets that forgets: the reference's.

/// The ratio of two buckets' bounds.
const RATIO: f64 = 1.1;
/// The least value.
const LEAST: f64 = 0.01;
/// Where 1 is.
const ONE: usize = 50;
const BUCKETS: usize = 160;
/// Samples that a quantile needs.
const ENOUGH: f64 = 5.0;

#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<f64>,
    pub(super) n: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0.0; BUCKETS],
            n: 0.0,
        }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, value: f64) {
        // Towards zero, as the reference rounds.
        let bucket = (value.max(LEAST).ln() / RATIO.ln()) as i64;
        let at = usize::try_from(bucket + ONE as i64).unwrap_or_default();
        self.counts[at.min(BUCKETS - 1)] += 1.0;
        self.n += 1.0;
    }

    pub(super) fn decay(&mut self, kept: f64) {
        self.n *= kept;
        for count in &mut self.counts {
            *count *= kept;
            if *count < 0.01 {
                *count = 0.0;
            }
        }
    }

    /// Becomes so many times the other.
    pub(super) fn reset_to(&mut self, other: &Self, times: f64) {
        self.counts.clone_from(&other.counts);
        self.counts.iter_mut().for_each(|count| *count *= times);
        self.n = other.n * times;
    }

    pub(super) fn quantile(&self, q: f64, otherwise: f64) -> f64 {
        if self.n < ENOUGH {
            return otherwise;
        }
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            below += count;
            if *count > 0.0 && below >= q * self.n {
                return RATIO.powf(at as f64 - ONE as f64 + 0.5);
            }
        }
        otherwise
    }
}
