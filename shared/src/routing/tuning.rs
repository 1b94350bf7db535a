//! The numbers that plans and deadlines go by, in one place: tests and the simulation vary them.
//! Where not said otherwise they are those of the reference simulation.

use crate::ranking::Mode;
use std::time::Duration;

/// The numbers of a decision.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// How sharply local failures cut a share: it is multiplied with (1 - penalty) to this power.
    pub penalty_power: i32,
    /// The same while nobody else's evidence comes in, that is, while the ranking is older than
    /// [`Self::ranking_fresh`]: a rarely used endpoint would have to fail several times at each node
    /// of the fleet. With 24 instead of 6 three such that die while the control plane is cut off
    /// lose their traffic in 3 s, not in 10 (held-out scenarios 4 and 8 of the simulation).
    pub penalty_power_alone: i32,
    /// A ranking older than this begins to lose weight against the long record …
    pub ranking_fresh: Duration,
    /// … until, so much later, it has none.
    pub ranking_fades: Duration,
    /// A lease from a ranking older than this …
    pub lease_stale: Duration,
    /// … is cut to this part: others may have got what it stands for.
    pub lease_stale_part: f64,
    /// Where less than this part of the requests that may be under way is left, the share shrinks
    /// with what is left.
    pub in_flight_spare: f64,
    /// How sharply a share follows the effective price, by [`Mode::index`]: what scores do.
    pub price_power: [f64; 4],
    /// Tokens of an answer whose length nobody told, in the effective price.
    pub usual_completion: u64,
    /// The most that a warm cache may multiply a share by.
    pub sticky_most: f64,
    /// In latency mode draw two and keep the one that is less loaded here.
    pub two_choices: bool,
    /// Silence longer than so many times the 95th percentile is half a failure …
    pub silence: f64,
    /// … but not before this.
    pub silence_least: Duration,
    /// An attempt may take so many times the 95th percentile to its first content …
    pub deadline: f64,
    /// … at least this …
    pub deadline_least: Duration,
    /// … at most this …
    pub deadline_most: Duration,
    /// … unless the endpoint rightly takes longer: never less than so many times the 95th
    /// percentile.
    pub deadline_fair: f64,
    /// A competitor starts after so many times the 95th percentile, by [`Mode::index`] …
    pub hedge: [f64; 4],
    /// … but not before this.
    pub hedge_least: Duration,
    /// A probe gets its competitor after this: no user waits for it.
    pub hedge_probe: Duration,
    /// Prompts up to so many tokens are what the percentiles are made of; what is beyond takes
    /// time of its own …
    pub prompt_usual: u64,
    /// … at so many tokens per second: a slow prefill.
    pub prompt_per_s: f64,
    /// A whole answer may come at this part of the median speed before it counts as silent …
    pub whole_silence: f64,
    /// … and at this part before it is given up …
    pub whole_deadline: f64,
    /// … or, where no speed is known, at so many tokens per second: slower than any endpoint of the
    /// catalogue's lists.
    pub whole_slowest: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            penalty_power: 6,
            penalty_power_alone: 24,
            ranking_fresh: Duration::from_secs(3),
            ranking_fades: Duration::from_secs(60),
            lease_stale: Duration::from_secs(60),
            lease_stale_part: 0.8,
            in_flight_spare: 0.7,
            price_power: [8.0, 14.0, 0.72, 0.72],
            usual_completion: 300,
            sticky_most: 1e6,
            two_choices: true,
            silence: 1.15,
            silence_least: Duration::from_millis(700),
            deadline: 3.0,
            deadline_least: Duration::from_secs(3),
            deadline_most: Duration::from_secs(10),
            deadline_fair: 1.25,
            hedge: [1.6, 2.2, 1.2, 1.4],
            hedge_least: Duration::from_millis(800),
            hedge_probe: Duration::from_millis(700),
            prompt_usual: 4_000,
            prompt_per_s: 2_500.0,
            whole_silence: 0.5,
            whole_deadline: 0.25,
            whole_slowest: 4.0,
        }
    }
}

impl Tuning {
    pub(super) fn price_power_of(&self, mode: Mode) -> f64 {
        let power = self.price_power.get(mode.index());
        power.copied().unwrap_or_default()
    }

    pub(super) fn hedge_of(&self, mode: Mode) -> f64 {
        self.hedge.get(mode.index()).copied().unwrap_or(1.6)
    }
}
