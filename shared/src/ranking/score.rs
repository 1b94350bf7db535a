//! What a request through an endpoint really costs: price, waiting and failing as one number, by
//! mode. Lower is better.

use super::{Mode, ModeTuning, ScoreTuning};

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

/// The power of the price by which traffic falls where nothing else is known.
const PRIOR_POWER: i32 = 2;

/// The weight of an endpoint of which nothing but its price is known, in USD per token of a usual mix:
/// half the price, four times the traffic. Edges go by it while they have no ranking of a model, and
/// the ranking of a model of which nothing is known goes by `ScoreTuning::prior`, which is the same.
#[must_use]
pub fn prior(price: f64) -> f64 {
    price.max(PRICE_MIN).powi(-PRIOR_POWER)
}

impl ScoreTuning {
    /// What a model's endpoints are told apart by while nothing is known of any: the price, and
    /// whether their provider fails elsewhere.
    pub(super) fn prior(&self) -> Self {
        let by_price = ModeTuning {
            price: 1.0,
            latency: 0.0,
            throughput: 0.0,
            sharpness: f64::from(PRIOR_POWER),
        };
        Self {
            modes: [by_price; 4],
            waiting: 0.0,
            crawling: 0.0,
            ..*self
        }
    }
}

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
