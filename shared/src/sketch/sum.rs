//! The sum of many sketches, for whoever adds up all the time: counts stand side by side, so that
//! adding is one addition per bucket between the lowest and the highest. Says the same as a
//! [`Sketch`] of all that was added; encoding is a sketch's concern.

use super::{Sketch, rank, value_of};

/// Room is made for so many buckets at a time: values come closer and closer to the bounds of
/// what is usual.
const STRIDE: u16 = 16;

/// What several sketches counted together.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// The bucket of the first count, a multiple of [`STRIDE`].
    first: u16,
    /// As many as whole strides have.
    counts: Vec<u32>,
    total: u64,
}

impl Sum {
    /// Adds what `other` counted.
    pub fn add(&mut self, other: &Sketch) {
        let (Some((lowest, _)), Some((highest, _))) = (other.counts.first(), other.counts.last())
        else {
            return;
        };
        self.reach(*lowest, *highest);
        for (index, more) in &other.counts {
            if let Some(count) = self.counts.get_mut(usize::from(index - self.first)) {
                let before = *count;
                *count = count.saturating_add(*more);
                self.total += u64::from(*count - before);
            }
        }
    }

    /// Adds what `other` counted, but no more than `most` of it.
    pub fn add_at_most(&mut self, other: &Sketch, most: u64) {
        if other.total > most {
            self.add(&other.thinned(most));
        } else {
            self.add(other);
        }
    }

    /// Adds another sum.
    pub fn add_sum(&mut self, other: &Self) {
        let Some(behind) = other.counts.len().checked_sub(1) else {
            return;
        };
        let behind = u16::try_from(behind).unwrap_or(u16::MAX);
        self.reach(other.first, other.first + behind);
        let from = usize::from(other.first - self.first);
        let mine = self.counts.get_mut(from..).unwrap_or_default();
        for (count, more) in mine.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
    }

    /// Takes away what was added before.
    pub fn subtract(&mut self, other: &Sketch) {
        for (index, less) in &other.counts {
            let at = index.checked_sub(self.first).map(usize::from);
            if let Some(count) = at.and_then(|at| self.counts.get_mut(at)) {
                let taken = (*count).min(*less);
                *count -= taken;
                self.total = self.total.saturating_sub(u64::from(taken));
            }
        }
        if self.total == 0 {
            *self = Self::default();
        }
    }

    /// Nothing was counted; the room is kept.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.total = 0;
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// True when nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// As [`Sketch::quantile`].
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let [value] = self.quantiles([q])?;
        Some(value)
    }

    /// As [`Sketch::quantiles`].
    #[must_use]
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let last = self.total.checked_sub(1)?;
        let strides = self.counts.chunks(usize::from(STRIDE));
        let firsts = (self.first..).step_by(usize::from(STRIDE));
        let mut strides = firsts.zip(strides).map(|(first, stride)| {
            let sum: u64 = stride.iter().copied().map(u64::from).sum();
            (first, stride, sum)
        });
        let (mut before, mut here) = (0, strides.next());
        Some(shares.map(|q| {
            let rank = rank(q, last);
            while let Some((.., sum)) = here.filter(|(.., sum)| before + sum <= rank) {
                before += sum;
                here = strides.next();
            }
            let (first, stride, _) = here.unwrap_or_default();
            let mut seen = before;
            let found = (first..).zip(stride).find(|(_, count)| {
                seen += u64::from(**count);
                seen > rank
            });
            value_of(found.map_or(first, |(index, _)| index))
        }))
    }

    /// The same as a sketch.
    #[must_use]
    pub fn to_sketch(&self) -> Sketch {
        let used = self.counts.iter().filter(|count| **count > 0).count();
        let mut counts = Vec::with_capacity(used);
        let buckets = (self.first..).zip(self.counts.iter().copied());
        counts.extend(buckets.filter(|(_, count)| *count > 0));
        Sketch {
            counts,
            total: self.total,
        }
    }

    /// Makes room for these buckets and all between.
    fn reach(&mut self, lowest: u16, highest: u16) {
        let lowest = lowest - lowest % STRIDE;
        if self.counts.is_empty() {
            self.first = lowest;
        }
        if let Some(missing) = self.first.checked_sub(lowest).filter(|it| *it > 0) {
            let zeros = std::iter::repeat_n(0, usize::from(missing));
            self.counts.splice(0..0, zeros);
            self.first = lowest;
        }
        let needed = usize::from((highest - self.first) / STRIDE + 1) * usize::from(STRIDE);
        if self.counts.len() < needed {
            self.counts.resize(needed, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::new();
        values.iter().for_each(|value| sketch.add_value(*value));
        sketch
    }

    proptest! {
        #[test]
        fn it_says_what_a_sketch_says(
            a in prop::collection::vec(0.0_f64..1e7, 0..50),
            b in prop::collection::vec(0.0_f64..1e7, 0..50),
            c in prop::collection::vec(0.2_f64..900.0, 0..50),
        ) {
            let (first, b, c) = (sketch(&a), sketch(&b), sketch(&c));
            let mut expect = first.clone();
            let mut sum = Sum::default();
            let mut other = Sum::default();
            sum.add(&first);
            for more in [&b, &c] {
                expect.merge(more);
                other.clear();
                other.add(more);
                sum.add_sum(&other);
                prop_assert_eq!(&sum.to_sketch(), &expect);
                let asked = [0.0, 0.5, 0.9, 1.0];
                prop_assert_eq!(sum.quantiles(asked), expect.quantiles(asked));
                prop_assert_eq!((sum.count(), sum.is_empty()), (expect.count(), expect.is_empty()));
            }
            let mut rest = b.clone();
            rest.merge(&c);
            sum.subtract(&first);
            prop_assert_eq!(&sum.to_sketch(), &rest);
            sum.subtract(&rest);
            prop_assert!(sum.is_empty() && sum.quantile(0.5).is_none());
            let mut few = Sum::default();
            few.add_at_most(&expect, 3);
            prop_assert_eq!(few.to_sketch(), expect.thinned(3));
        }
    }
}
