//! The simulation's own randomness: SplitMix64 streams by (seed, purpose), so that what one part
//! draws never moves what another part sees, and a seed means the same for ever.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed for one purpose.
    #[must_use]
    pub fn stream(seed: u64, purpose: u64) -> Self {
        let mut mixed = Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(mixed.bits() ^ purpose)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In [from, to).
    pub fn uniform(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// In 0..n; 0 when n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// One of the items.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }

    /// The place of one of the weights, by weight.
    pub fn weighted(&mut self, weights: &[f64]) -> Option<usize> {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (at, weight) in weights.iter().enumerate() {
            left -= weight;
            if left <= 0.0 {
                return Some(at);
            }
        }
        weights.len().checked_sub(1)
    }

    /// Exponentially distributed with that rate.
    pub fn exponential(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }

    /// The exponential of a normal with that mean and deviation.
    pub fn log_normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        (mean + deviation * normal).exp()
    }
}

/// The reference's generator (MT19937 with Python's seeding), for the few draws that make a
/// held-out scenario: so that scenario K here is its scenario K.
pub(crate) struct Mersenne {
    state: Vec<u32>,
    at: usize,
}

const SIZE: usize = 624;
const SHIFT: usize = 397;

impl Mersenne {
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = vec![19_650_218_u32];
        for at in 1..SIZE {
            let before = state[at - 1];
            let next = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30));
            state.push(next.wrapping_add(at as u32));
        }
        let mut at = 1;
        for _ in 0..SIZE {
            let before = state[at - 1];
            let mixed = (before ^ (before >> 30)).wrapping_mul(1_664_525);
            state[at] = (state[at] ^ mixed).wrapping_add(seed);
            at = Self::wrap(&mut state, at);
        }
        for _ in 1..SIZE {
            let before = state[at - 1];
            let mixed = (before ^ (before >> 30)).wrapping_mul(1_566_083_941);
            state[at] = (state[at] ^ mixed).wrapping_sub(at as u32);
            at = Self::wrap(&mut state, at);
        }
        state[0] = 0x8000_0000;
        Self { state, at: SIZE }
    }

    fn wrap(state: &mut [u32], at: usize) -> usize {
        if at + 1 < SIZE {
            return at + 1;
        }
        state[0] = state[SIZE - 1];
        1
    }

    fn word(&mut self) -> u32 {
        if self.at >= SIZE {
            for at in 0..SIZE {
                let mixed =
                    (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % SIZE] & 0x7fff_ffff);
                let twist = (mixed >> 1) ^ if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[at] = self.state[(at + SHIFT) % SIZE] ^ twist;
            }
            self.at = 0;
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// In 0..n, as `randrange` draws it.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let drawn = (self.word() >> (32 - bits)) as usize;
            if drawn < n {
                return drawn;
            }
        }
    }

    /// As `uniform` draws it.
    pub(crate) fn uniform(&mut self, from: f64, to: f64) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        let unit = (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0;
        from + (to - from) * unit
    }

    /// 0..n in random order, as `sample` of all draws it.
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut pool: Vec<usize> = (0..n).collect();
        let mut drawn = Vec::with_capacity(n);
        for left in (1..=n).rev() {
            let at = self.below(left);
            drawn.push(pool[at]);
            pool[at] = pool[left - 1];
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_scenarios_are_the_references() {
        let mut random = Mersenne::new(9001);
        assert_eq!(random.permutation(6), [0, 2, 4, 5, 1, 3]);
        assert_eq!(random.below(3), 2);
        assert!((random.uniform(0.6, 1.4) - 1.1283523255151766).abs() < 1e-12);
    }

    #[test]
    fn distributions_have_their_means() {
        let mut random = Random::stream(7, 1);
        let n = 200_000;
        let mean =
            |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || random.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut || random.exponential(4.0)) - 0.25).abs() < 0.005);
        let expected = (0.4_f64 * 0.4 / 2.0).exp();
        assert!((mean(&mut || random.log_normal(0.0, 0.4)) - expected).abs() < 0.01);
        let mut counts = [0; 3];
        for _ in 0..n {
            counts[random.weighted(&[0.45, 0.35, 0.2]).unwrap()] += 1;
        }
        assert!((f64::from(counts[2]) / f64::from(n) - 0.2).abs() < 0.01);
    }
}
