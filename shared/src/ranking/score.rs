//! What a request through an endpoint really costs: price, waiting and failing as one number, by
//! mode. Lower is better.

use super::{Mode, ScoreTuning};

/// What a score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
    /// An operator's factor on the weight.
    pub(super) favour: f64,
}

/// What is free counts as that cheap, in USD per token.
const PRICE_MIN: f64 = 1e-10;

/// Facts with the logarithms that every mode needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Terms {
    price: f64,
    ttft: f64,
    speed: f64,
    trouble: f64,
    favour: f64,
}

impl Terms {
    pub(super) fn of(facts: &Facts, tuning: &ScoreTuning) -> Self {
        let speed = facts.throughput.max(0.1);
        let waiting = facts.ttft_p90 / tuning.ttft_tolerated - 1.0;
        let crawling = tuning.throughput_tolerated / speed - 1.0;
        Self {
            price: facts.price.max(PRICE_MIN).ln(),
            ttft: facts.ttft.max(0.001).ln(),
            speed: speed.ln(),
            trouble: tuning.failure * facts.failure
                + tuning.waiting * waiting.max(0.0)
                + tuning.crawling * crawling.max(0.0),
            favour: facts.favour,
        }
    }

    /// The logarithm of the cost.
    pub(super) fn cost(&self, mode: Mode, tuning: &ScoreTuning) -> f64 {
        self.lasting_cost(mode, tuning) + self.trouble
    }

    /// The same without what may pass: failing, being slow beyond bearing.
    pub(super) fn lasting_cost(&self, mode: Mode, tuning: &ScoreTuning) -> f64 {
        let mode = tuning.of(mode);
        mode.price * self.price + mode.latency * self.ttft - mode.throughput * self.speed
    }

    /// What the cost is the sum of, by name.
    pub(super) fn parts(&self, mode: Mode, tuning: &ScoreTuning) -> [(&'static str, f64); 4] {
        let mode = tuning.of(mode);
        [
            ("price", mode.price * self.price),
            ("first token", mode.latency * self.ttft),
            ("throughput", -mode.throughput * self.speed),
            ("trouble", self.trouble),
        ]
    }

    /// How much more traffic it deserves than one that costs `worse` more.
    pub(super) fn weight(&self, mode: Mode, worse: f64, tuning: &ScoreTuning) -> f64 {
        (-tuning.of(mode).sharpness * worse).exp().max(1e-9) * self.favour
    }

    /// The same as a natural logarithm, below the one's who costs nothing more.
    pub(super) fn behind(&self, mode: Mode, worse: f64, tuning: &ScoreTuning) -> f64 {
        tuning.of(mode).sharpness * worse - self.favour.ln()
    }
}
