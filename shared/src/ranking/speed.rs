//! A distribution over the last minutes: exact sums of slices, no decay. All of them give the
//! percentiles that are told; the last minute counts for scores and deadlines. When the newest
//! slices tell of another regime than that minute, they alone count: otherwise the past would
//! outvote a change for as long as traffic stays away because of it.

use super::SpeedTuning;
use crate::clock::Moment;
use crate::sketch::{Sketch, Sum};
use std::collections::VecDeque;

/// Slices beyond the current ones are kept in groups of so many.
const GROUP: u64 = 10;

/// A distribution over the last slices.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// Since the last tick.
    fresh: Sum,
    /// The newest slice, that of the last tick.
    newest: Sum,
    newest_at: u64,
    /// Those before it, oldest first; old ones in groups under their first slice.
    slices: VecDeque<(u64, Sketch)>,
    /// The sum of all slices.
    whole: Sum,
    /// The sum of those that count now.
    current: Sum,
    current_from: u64,
    told: Option<Percentile>,
    now: Option<Quantiles>,
}

/// What is told: 50, 75, 90 and 99 percent of the requests.
pub(super) type Percentile = [f64; 4];

/// What scores and deadlines go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p95: f64,
}

/// Which way better is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Less,
    More,
}

impl Recent {
    /// Adds samples, no more than `most`; they count from the next tick.
    pub(super) fn add(&mut self, sketch: &Sketch, most: u64) {
        self.fresh.add_at_most(sketch, most);
    }

    /// Adds what came of another since the last tick.
    pub(super) fn add_fresh(&mut self, other: &Self) {
        self.fresh.add_sum(&other.fresh);
    }

    /// What came since the last tick counts from now on, and what is too old or of another regime
    /// no longer does. True when anything has changed.
    pub(super) fn fold(&mut self, better: Better, tuning: &SpeedTuning, now: Moment) -> bool {
        let slice = slice(tuning, now);
        self.begin(slice);
        let mut changed = self.age(slice, tuning);
        if !self.fresh.is_empty() {
            changed = true;
            for sum in [&mut self.newest, &mut self.whole, &mut self.current] {
                sum.add_sum(&self.fresh);
            }
            self.fresh.clear();
            self.notice(slice, tuning);
        }
        if changed {
            self.measure(better, tuning);
        }
        changed
    }

    /// The regime is another one, as is known from elsewhere: only that counts now.
    pub(super) fn replace_current(&mut self, with: &Self, better: Better, tuning: &SpeedTuning) {
        self.current_from = with.current_from;
        self.current.clear();
        if self.newest_at >= with.current_from {
            self.current.add_sum(&self.newest);
        }
        let kept = self.slices.iter().rev();
        for (_, sketch) in kept.take_while(|(at, _)| *at >= with.current_from) {
            self.current.add(sketch);
        }
        self.measure(better, tuning);
    }

    /// The slice from which on the current regime has lasted.
    pub(super) const fn current_from(&self) -> u64 {
        self.current_from
    }

    /// What counts now, where there are samples enough.
    pub(super) const fn now(&self) -> Option<Quantiles> {
        self.now
    }

    /// What is told of the last minutes, where there are samples enough.
    pub(super) const fn told(&self) -> Option<Percentile> {
        self.told
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.newest.is_empty() && self.fresh.is_empty()
    }

    /// How many samples count now.
    pub(super) fn samples(&self) -> u64 {
        self.current.count()
    }

    /// A new slice begins, if it isn't the one of the last tick.
    fn begin(&mut self, slice: u64) {
        if slice != self.newest_at && !self.newest.is_empty() {
            let done = (self.newest_at, self.newest.to_sketch());
            self.slices.push_back(done);
            self.newest.clear();
        }
        self.newest_at = slice;
    }

    fn age(&mut self, slice: u64, tuning: &SpeedTuning) -> bool {
        let mut changed = false;
        let oldest = (slice + 1).saturating_sub(tuning.slices);
        while self.slices.front().is_some_and(|(at, _)| *at < oldest) {
            if let Some((at, old)) = self.slices.pop_front() {
                self.whole.subtract(&old);
                if at >= self.current_from {
                    self.current.subtract(&old);
                }
                changed = true;
            }
        }
        let from = (slice + 1).saturating_sub(tuning.current);
        if from > self.current_from {
            for (at, old) in &self.slices {
                if *at >= self.current_from && *at < from {
                    self.current.subtract(old);
                    changed = true;
                }
            }
            self.current_from = from;
            self.group(from);
        }
        changed
    }

    /// Slices that no longer count one by one are put together.
    fn group(&mut self, before: u64) {
        let mut at = 0;
        while let Some((next, _)) = self.slices.get(at + 1) {
            let same = |(first, _): &(u64, Sketch)| first / GROUP == next / GROUP;
            if *next >= before {
                return;
            }
            if !self.slices.get(at).is_some_and(same) {
                at += 1;
            } else if let Some((_, sketch)) = self.slices.remove(at + 1)
                && let Some((_, group)) = self.slices.get_mut(at)
            {
                group.merge(&sketch);
            }
        }
    }

    /// Do the newest slices tell of another regime? As few of them as have samples enough.
    fn notice(&mut self, slice: u64, tuning: &SpeedTuning) {
        // A single slice is short: luck is ruled out by more samples.
        if self.newest.count() >= 2 * tuning.samples {
            if self.is_another(&self.newest, tuning) {
                self.current.clone_from(&self.newest);
                self.current_from = slice;
            }
            return;
        }
        let mut newest = self.newest.clone();
        for (at, sketch) in self.slices.iter().rev() {
            let age = slice.saturating_sub(*at);
            if *at < self.current_from || age >= tuning.newest {
                return;
            }
            newest.add(sketch);
            if newest.count() >= tuning.samples {
                if self.is_another(&newest, tuning) {
                    self.current_from = *at;
                    self.current = newest;
                }
                return;
            }
        }
    }

    /// Is this, a part of what counts now, of another regime than the whole of it?
    fn is_another(&self, newest: &Sum, tuning: &SpeedTuning) -> bool {
        if newest.count() >= self.current.count() {
            return false;
        }
        let medians = newest.quantile(0.5).zip(self.current.quantile(0.5));
        medians
            .is_some_and(|(now, usual)| now < tuning.faster * usual || now > tuning.slower * usual)
    }

    fn measure(&mut self, better: Better, tuning: &SpeedTuning) {
        let enough = |sum: &Sum| sum.count() >= tuning.samples;
        self.now = enough(&self.current)
            .then(|| self.current.quantiles([0.5, 0.9, 0.95]))
            .flatten()
            .map(|[p50, p90, p95]| Quantiles { p50, p90, p95 });
        let told = match better {
            Better::Less => self.whole.quantiles([0.5, 0.75, 0.9, 0.99]),
            Better::More => self.whole.quantiles([0.01, 0.1, 0.25, 0.5]).map(|values| {
                let [p99, p90, p75, p50] = values;
                [p50, p75, p90, p99]
            }),
        };
        self.told = told.filter(|_| enough(&self.whole));
    }
}

fn slice(tuning: &SpeedTuning, now: Moment) -> u64 {
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

    fn close(got: f64, expect: f64) {
        assert!((got / expect - 1.0).abs() < 0.02, "{got} is not {expect}");
    }

    #[test]
    fn a_new_regime_is_believed_at_once_and_the_old_one_is_still_told() {
        let (tuning, mut recent) = (SpeedTuning::default(), Recent::default());
        for second in 0..60 {
            recent.add(&samples(500.0, 10), u64::MAX);
            recent.fold(Better::Less, &tuning, at(second));
        }
        recent.add(&samples(4000.0, 4), u64::MAX);
        recent.fold(Better::Less, &tuning, at(63));
        close(recent.now().unwrap().p50, 500.0);
        recent.add(&samples(4000.0, 40), u64::MAX);
        recent.fold(Better::Less, &tuning, at(66));
        close(recent.now().unwrap().p50, 4000.0);
        assert_eq!(recent.samples(), 40);
        let [p50, .., p99] = recent.told().unwrap();
        close(p50, 500.0);
        close(p99, 4000.0);
    }

    #[test]
    fn more_is_better_the_other_way_round() {
        let (tuning, mut recent) = (SpeedTuning::default(), Recent::default());
        recent.add(&samples(100.0, 80), u64::MAX);
        recent.add(&samples(10.0, 20), u64::MAX);
        recent.fold(Better::More, &tuning, at(1));
        let [p50, p75, p90, _] = recent.told().unwrap();
        close(p50, 100.0);
        close(p75, 100.0);
        close(p90, 10.0);
    }

    #[test]
    fn after_a_minute_it_no_longer_counts_and_after_five_nothing_is_left() {
        let (tuning, mut recent) = (SpeedTuning::default(), Recent::default());
        for second in 0..30 {
            recent.add(&samples(500.0, 10), u64::MAX);
            recent.fold(Better::Less, &tuning, at(second));
        }
        recent.fold(Better::Less, &tuning, at(95));
        assert_eq!(recent.now(), None);
        close(recent.told().unwrap()[0], 500.0);
        assert!(recent.slices.len() < 12, "old slices are grouped");
        assert!(recent.fold(Better::Less, &tuning, at(400)));
        assert!(recent.is_empty());
        assert_eq!(recent.whole.to_sketch(), Sketch::new());
        assert!(!recent.fold(Better::Less, &tuning, at(401)));
    }
}
