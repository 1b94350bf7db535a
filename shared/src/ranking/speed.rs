//! Latency and throughput of one endpoint over the last minutes: exact sums of slices, no decay.
//! When the newest slices tell of another regime than the rest, the rest is forgotten: otherwise
//! the past would outvote a change for as long as traffic stays away because of it.

use super::Tuning;
use crate::clock::Moment;
use crate::sketch::Sketch;
use std::collections::BTreeMap;

/// A change of regime: the newest median leaves this range around the whole one.
const SAME_REGIME: std::ops::Range<f64> = 0.55..1.8;
/// The slices that count as newest.
const NEWEST: u64 = 2;

/// A distribution over the last slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recent {
    slices: BTreeMap<u64, Sketch>,
    sum: Sketch,
}

/// Both speeds of an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Speed {
    /// Milliseconds to the first token.
    pub(super) ttft: Recent,
    /// Tokens per second.
    pub(super) throughput: Recent,
}

impl Recent {
    pub(super) fn add(&mut self, sketch: &Sketch, tuning: &Tuning, now: Moment) {
        if sketch.is_empty() {
            return;
        }
        self.slices
            .entry(slice(tuning, now))
            .or_default()
            .merge(sketch);
        self.sum.merge(sketch);
    }

    /// Drops what is too old, or of another regime.
    pub(super) fn forget(&mut self, tuning: &Tuning, now: Moment) {
        let current = slice(tuning, now);
        self.drop_before((current + 1).saturating_sub(tuning.slices));
        let newest_from = (current + 1).saturating_sub(NEWEST);
        let mut newest = Sketch::new();
        for (_, sketch) in self.slices.range(newest_from..) {
            newest.merge(sketch);
        }
        let (Some(now), Some(all)) = (newest.quantile(0.5), self.sum.quantile(0.5)) else {
            return;
        };
        let same = all > 0.0 && SAME_REGIME.contains(&(now / all));
        if newest.count() >= tuning.samples && !same {
            self.drop_before(newest_from);
        }
    }

    /// A quantile, where there are samples enough.
    pub(super) fn quantile(&self, q: f64, tuning: &Tuning) -> Option<f64> {
        if self.sum.count() < tuning.samples {
            return None;
        }
        self.sum.quantile(q)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    fn drop_before(&mut self, slice: u64) {
        let kept = self.slices.split_off(&slice);
        for old in std::mem::replace(&mut self.slices, kept).values() {
            self.sum.subtract(old);
        }
    }
}

impl Speed {
    pub(super) fn forget(&mut self, tuning: &Tuning, now: Moment) {
        self.ttft.forget(tuning, now);
        self.throughput.forget(tuning, now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ttft.is_empty() && self.throughput.is_empty()
    }
}

fn slice(tuning: &Tuning, now: Moment) -> u64 {
    let length = u64::try_from(tuning.slice.as_nanos()).unwrap_or(u64::MAX);
    now.0 / length.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn samples(value: f64, count: usize) -> Sketch {
        let mut sketch = Sketch::new();
        (0..count).for_each(|_| sketch.add_value(value));
        sketch
    }

    #[test]
    fn a_new_regime_is_believed_at_once_and_the_old_one_forgotten() {
        let (tuning, mut recent) = (Tuning::default(), Recent::default());
        for second in 0..60 {
            recent.add(&samples(500.0, 10), &tuning, at(second));
        }
        recent.add(&samples(4000.0, 4), &tuning, at(61));
        recent.forget(&tuning, at(61));
        let median = recent.quantile(0.5, &tuning).unwrap();
        assert!((median - 500.0).abs() < 10.0, "four are too few: {median}");
        recent.add(&samples(4000.0, 40), &tuning, at(63));
        recent.forget(&tuning, at(66));
        let median = recent.quantile(0.5, &tuning).unwrap();
        assert!((median - 4000.0).abs() < 80.0, "{median}");
    }

    #[test]
    fn five_minutes_later_nothing_is_left() {
        let (tuning, mut recent) = (Tuning::default(), Recent::default());
        recent.add(&samples(500.0, 10), &tuning, at(10));
        recent.forget(&tuning, at(200));
        assert!(recent.quantile(0.5, &tuning).is_some());
        recent.forget(&tuning, at(320));
        assert!(recent.is_empty());
        assert_eq!(recent.sum, Sketch::new());
    }
}
