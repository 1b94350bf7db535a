//! A distribution in log buckets: every quantile within 1 %, merging is addition. Counts are
//! integers and nothing decays, so that merging in any order gives the same. Which unit a value
//! has is the caller's concern.

mod sum;

pub use sum::Sum;

use std::sync::LazyLock;
use std::time::Duration;

/// The ratio of two neighbouring buckets' bounds.
const GAMMA: f64 = 1.02;
/// The upper bound of the first bucket. With values in milliseconds: 0.1 ms.
pub const VALUE_MIN: f64 = 0.1;
/// With values in milliseconds: one hour.
pub const VALUE_MAX: f64 = 3_600_000.0;
/// The last bucket: holds [`VALUE_MAX`] and all beyond.
pub const INDEX_MAX: u16 = 880;

/// So many buckets are looked at one by one before the place of another is searched for.
const NEAR: usize = 4;

/// A mergeable distribution. Values below [`VALUE_MIN`] or above [`VALUE_MAX`] count at the
/// bounds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sketch {
    /// Buckets that have a count, ascending.
    counts: Vec<(u16, u32)>,
    total: u64,
}

/// An encoded sketch that isn't one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SketchError {
    /// As many distances as counts are needed.
    #[error("{0} distances for {1} counts")]
    Lengths(usize, usize),
    /// Beyond the last bucket, or not ascending.
    #[error("bucket {0} is out of order or range")]
    Index(u32),
}

impl Sketch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a duration, in milliseconds.
    pub fn add(&mut self, duration: Duration) {
        self.add_value(duration.as_secs_f64() * 1000.0);
    }

    /// Counts a value; not finite and negative ones are not counted.
    pub fn add_value(&mut self, value: f64) {
        if value.is_finite() && value >= 0.0 {
            self.add_bucket(index_of(value), 1);
        }
    }

    /// Adds all that `other` counted. Associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        // Both are ascending: one walk through both.
        let mut at = 0;
        for (index, more) in &other.counts {
            at = self.place_from(at, *index);
            match self.counts.get_mut(at) {
                Some((here, count)) if here == index => {
                    let before = *count;
                    *count = count.saturating_add(*more);
                    self.total += u64::from(*count - before);
                }
                _ => {
                    self.counts.insert(at, (*index, *more));
                    self.total += u64::from(*more);
                }
            }
        }
    }

    /// The same distribution with `most` counts, where it has more.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count"
    )]
    pub fn thinned(&self, most: u64) -> Self {
        if self.total <= most {
            return self.clone();
        }
        let kept = most as f64 / self.total as f64;
        let (mut thin, mut due) = (Self::default(), 0.5);
        for (index, count) in &self.counts {
            due += f64::from(*count) * kept;
            thin.add_bucket(*index, due as u32);
            due = due.fract();
        }
        thin
    }

    /// Where the bucket is, or belongs, from a place on that is not behind it. What tells of the same
    /// thing has the same buckets, so it is mostly the next one.
    fn place_from(&self, at: usize, index: u16) -> usize {
        let rest = self.counts.get(at..).unwrap_or_default();
        let (near, far) = rest.split_at(rest.len().min(NEAR));
        let is_before = |(here, _): &(u16, u32)| *here < index;
        let found = near.iter().position(|bucket| !is_before(bucket));
        at + found.unwrap_or_else(|| near.len() + far.partition_point(is_before))
    }

    fn add_bucket(&mut self, index: u16, more: u32) {
        if more == 0 {
            return;
        }
        let at = self
            .counts
            .binary_search_by_key(&index, |(index, _)| *index);
        match at {
            Ok(at) => {
                if let Some((_, count)) = self.counts.get_mut(at) {
                    let before = *count;
                    *count = count.saturating_add(more);
                    self.total += u64::from(*count - before);
                }
            }
            Err(at) => {
                self.counts.insert(at, (index, more));
                self.total += u64::from(more);
            }
        }
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// True when nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The value below which a share `q` (0..=1) of the counted values lie, within 1 %. `None`
    /// when nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let [value] = self.quantiles([q])?;
        Some(value)
    }

    /// As [`Sketch::quantile`] for several shares at once, ascending.
    #[must_use]
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let last = self.total.checked_sub(1)?;
        let mut buckets = self.counts.iter();
        let (mut seen, mut index) = (0, 0);
        Some(shares.map(|q| {
            let rank = rank(q, last);
            while seen <= rank {
                let Some((bucket, count)) = buckets.next() else {
                    break;
                };
                (seen, index) = (seen + u64::from(*count), *bucket);
            }
            value_of(index)
        }))
    }

    /// The buckets that have a count, ascending, as distances from the one before (the first from
    /// 0), and their counts.
    #[must_use]
    pub fn encode(&self) -> (Vec<u32>, Vec<u32>) {
        let mut before = 0;
        self.counts
            .iter()
            .map(|(index, count)| {
                let delta = u32::from(*index) - before;
                before = u32::from(*index);
                (delta, *count)
            })
            .unzip()
    }

    /// The inverse of [`Sketch::encode`]; empty buckets are dropped.
    ///
    /// # Errors
    /// When the lists differ in length, are not ascending or go beyond the last bucket.
    pub fn decode(index_deltas: &[u32], counts: &[u32]) -> Result<Self, SketchError> {
        if index_deltas.len() != counts.len() {
            return Err(SketchError::Lengths(index_deltas.len(), counts.len()));
        }
        let mut sketch = Self::default();
        let mut index = 0_u32;
        for (at, (delta, count)) in index_deltas.iter().zip(counts).enumerate() {
            index = index.saturating_add(*delta);
            let bucket = u16::try_from(index).map_err(|_| SketchError::Index(index))?;
            if bucket > INDEX_MAX || (at > 0 && *delta == 0) {
                return Err(SketchError::Index(index));
            }
            if *count > 0 {
                sketch.add_bucket(bucket, *count);
            }
        }
        Ok(sketch)
    }
}

/// How many of the values lie below the one that a share `q` of them does not exceed, where the last
/// one has this number.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank within the count; the clamp keeps it in range"
)]
fn rank(q: f64, last: u64) -> u64 {
    (q.clamp(0.0, 1.0) * last as f64).round() as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the buckets"
)]
fn index_of(value: f64) -> u16 {
    let index = (value.max(VALUE_MIN) / VALUE_MIN).ln() / GAMMA.ln();
    index.ceil().clamp(0.0, f64::from(INDEX_MAX)) as u16
}

/// The middle of a bucket: within 1 % of all that it holds.
fn value_of(index: u16) -> f64 {
    static VALUES: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let middle = |index| VALUE_MIN * GAMMA.powi(i32::from(index)) * 2.0 / (1.0 + GAMMA);
        (0..=INDEX_MAX).map(middle).collect()
    });
    VALUES.get(usize::from(index)).copied().unwrap_or(VALUE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::new();
        for value in values {
            sketch.add_value(*value);
        }
        sketch
    }

    #[test]
    fn odd_values_do_no_harm() {
        let all = sketch(&[f64::NAN, f64::INFINITY, -1.0]);
        assert_eq!((all.count(), all.quantile(0.5)), (0, None));
        let bounds = sketch(&[0.0, 1e12]);
        assert!(bounds.quantile(0.0).unwrap() < 0.11);
        assert!(bounds.quantile(1.0).unwrap() < VALUE_MAX * 1.05);
        assert!(Sketch::decode(&[1, 0], &[1, 1]).is_err());
        assert!(Sketch::decode(&[881], &[1]).is_err());
        assert!(Sketch::decode(&[u32::MAX, 5], &[1, 1]).is_err());
        assert!(Sketch::decode(&[1], &[]).is_err());
    }

    #[test]
    fn a_thinned_sketch_keeps_its_shape() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let thin = sketch(&values).thinned(300);
        assert!((299..=301).contains(&thin.count()), "{}", thin.count());
        assert!((thin.quantile(0.5).unwrap() / 500.0 - 1.0).abs() < 0.2);
        assert_eq!(sketch(&values).thinned(1000), sketch(&values));
    }

    proptest! {
        #[test]
        fn several_quantiles_are_the_single_ones(
            values in prop::collection::vec(0.2_f64..3_000_000.0, 1..200),
        ) {
            let sketch = sketch(&values);
            let asked = [0.0, 0.5, 0.5, 0.9, 1.0];
            let got = sketch.quantiles(asked).unwrap();
            for (q, got) in asked.into_iter().zip(got) {
                prop_assert!((sketch.quantile(q).unwrap() - got).abs() < 1e-12);
            }
        }

        #[test]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        fn a_quantile_is_within_one_percent(
            mut values in prop::collection::vec(0.2_f64..3_000_000.0, 1..200), q in 0.0_f64..=1.0,
        ) {
            let got = sketch(&values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).round() as usize];
            prop_assert!((got / exact - 1.0).abs() < 0.0101, "{got} for {exact}");
        }

        #[test]
        fn merging_is_adding(
            a in prop::collection::vec(0.0_f64..1e7, 0..50),
            b in prop::collection::vec(0.0_f64..1e7, 0..50),
            c in prop::collection::vec(0.0_f64..1e7, 0..50),
        ) {
            let all = sketch(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
            let mut left = a.clone();
            left.merge(&b);
            left.merge(&c);
            let mut right = c.clone();
            right.merge(&b);
            right.merge(&a);
            prop_assert_eq!(&left, &all);
            prop_assert_eq!(&right, &all);
        }

        #[test]
        fn encoding_round_trips(values in prop::collection::vec(0.0_f64..1e7, 0..100)) {
            let sketch = sketch(&values);
            let (deltas, counts) = sketch.encode();
            prop_assert_eq!(Sketch::decode(&deltas, &counts), Ok(sketch));
        }
    }
}
