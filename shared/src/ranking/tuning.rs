//! Every timer, half-life, threshold and exponent of ranking, in one place: tests and the
//! simulation vary them. Where nothing else is said the numbers are those that came out best in
//! the simulation.

use super::Mode;
use crate::health;
use std::time::Duration;

/// The numbers that ranking goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// What a node decides for itself.
    pub local: health::Tuning,
    /// Who is believed, and when an endpoint is shut off.
    pub verdict: VerdictTuning,
    /// What a request through an endpoint is held to cost.
    pub score: ScoreTuning,
    /// How shares move.
    pub share: ShareTuning,
    /// What an endpoint is held to take.
    pub cap: CapTuning,
    /// Who tries out what gets no share.
    pub probe: ProbeTuning,
    /// What is remembered of latency and throughput.
    pub speed: SpeedTuning,
    /// What is worth telling the edges.
    pub news: NewsTuning,
    /// A node that has not been heard for so long is gone.
    pub node_silence: Duration,
    /// After which half of a region's demand is forgotten.
    pub demand_half_life: Duration,
    /// The same of one node's part of it.
    pub portion_half_life: Duration,
    /// The least part of the demand that a node counts for, of an equal part.
    pub portion_floor: f64,
    /// Requests by the usual parts that are added to a model's own.
    pub portion_prior: f64,
}

/// Who is believed, and when an endpoint is shut off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct VerdictTuning {
    /// After which half of what an edge saw is forgotten.
    pub half_life: Duration,
    /// The same for what tells of a slow decline: a window of about a minute.
    pub decline_half_life: Duration,
    /// Failing more than this for certain, over that window, is a decline …
    pub decline: f64,
    /// … if so much was seen …
    pub decline_evidence: f64,
    /// … with so many standard deviations of certainty: 90 % on one side.
    pub decline_z: f64,
    /// An edge has seen enough to be an observer: three, less what a second forgets.
    pub observer: f64,
    /// Failures that an edge is credited with at least when it begins to leave an endpoint alone:
    /// as many in a row as that takes.
    pub turn: f64,
    /// An observer that has seen nothing for so long no longer speaks for an endpoint.
    pub observer_fresh: Duration,
    /// No observer counts more than so many times the median one.
    pub observer_clip: f64,
    /// Failing more than this is sick …
    pub sick: f64,
    /// … if so much was seen, region and fleet together.
    pub sick_evidence: f64,
    /// The first hold of an endpoint that is shut off; doubles with each one before.
    pub hold: Duration,
    /// The longest hold.
    pub hold_max: Duration,
    /// After which half of an endpoint's record of holds is forgotten.
    pub record_half_life: Duration,
    /// Successes in a row that end probing, after the first hold; doubles with each one before.
    pub probe_successes: u32,
    /// After this fewer successes are enough, and where only others than the accusers could tell
    /// and none did, the accusers may: where there is little traffic little can be proved.
    pub probe_patience: Duration,
    /// So many of a provider's models must be sick before its others are suspected …
    pub provider_models: u32,
    /// … and this share of those of which anything is known.
    pub provider_share: f64,
    /// Observations that the provider's record then counts for.
    pub provider_weight: f64,
}

/// What a request through an endpoint is held to cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ScoreTuning {
    /// By [`Mode::index`].
    pub modes: [ModeTuning; 4],
    /// Per probability of failure.
    pub failure: f64,
    /// Per multiple of [`Self::ttft_tolerated`] beyond the first.
    pub waiting: f64,
    /// Seconds to the first token, at the 90th percentile, beyond which it annoys.
    pub ttft_tolerated: f64,
    /// Per multiple by which it is slower than [`Self::throughput_tolerated`].
    pub crawling: f64,
    /// Tokens per second below which it annoys.
    pub throughput_tolerated: f64,
}

/// The exponents of a mode, and how sharply shares follow the score.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ModeTuning {
    /// Of the price.
    pub price: f64,
    /// Of the time to the first token.
    pub latency: f64,
    /// Of the throughput.
    pub throughput: f64,
    /// Of the whole.
    pub sharpness: f64,
}

/// How shares move.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ShareTuning {
    /// The share with which a recovered endpoint starts.
    pub ramp_start: f64,
    /// A share grows by this factor …
    pub ramp_factor: f64,
    /// … and this much …
    pub ramp_step: f64,
    /// … in this time.
    pub ramp_period: Duration,
    /// The share that every endpoint keeps so that it stays known.
    pub floor: f64,
    /// Rounds of fitting shares under the caps.
    pub rounds: u32,
}

/// What an endpoint is held to take: more while it accepts, less when it turns away.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CapTuning {
    /// A configured limit's part that is used at first …
    pub first: f64,
    /// … at most …
    pub most: f64,
    /// … and at least.
    pub least: f64,
    /// Requests per second below which no cap falls.
    pub least_rate: f64,
    /// Turning away more than this part of the accepted …
    pub hit_share: f64,
    /// … and this many per second is a hit.
    pub hit_rate: f64,
    /// A hit cuts the cap to this part of what is accepted.
    pub cut: f64,
    /// The cap grows only while this part of it is used.
    pub used: f64,
    /// Growth per second.
    pub grow: f64,
    /// Growth per second shortly after a hit.
    pub grow_carefully: f64,
    /// Requests per second by which it grows at least.
    pub grow_step: f64,
    /// How long after a hit it grows carefully.
    pub careful: Duration,
    /// A cap that was learned is forgotten so long after the last hit.
    pub memory: Duration,
    /// How often it is looked at.
    pub period: Duration,
    /// A provider's word of its limits is believed for so long …
    pub believed: Duration,
    /// … and a looser one counts when a stricter has not been heard for this.
    pub word: Duration,
    /// Who accepts so many times what its word allows was not understood …
    pub refutes: f64,
    /// … or, while it turns requests away, so many times: a limit that was cut lets through at first
    /// what was saved up, and who takes seconds for minutes is wrong by more.
    pub refutes_full: f64,
    /// Who lets nobody in is left alone as long as it asks, at most so long.
    pub rest_most: Duration,
    /// After which half of what requests usually take is forgotten.
    pub usual_half_life: Duration,
    /// The same of who was accepted and turned away, which tells whose word is contradicted.
    pub witness_half_life: Duration,
    /// Who would have been turned away so often, were another's word true …
    pub contradicts: f64,
    /// … and was so many times less, contradicts it; and who is contradicted counts for no more
    /// than so many times all others together.
    pub clip: f64,
}

/// Who tries out what gets no share.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProbeTuning {
    /// A half-open endpoint's next probe goes to the next node after this.
    pub period: Duration,
    /// An endpoint below this share …
    pub unused: f64,
    /// … that its long record would give more than this weight, of 1 for the best, is tried …
    pub deserving: f64,
    /// … by this part of a region's requests …
    pub part: f64,
    /// … and at most so often per second.
    pub rate: f64,
    /// After which half of the long record is forgotten.
    pub memory: Duration,
}

/// What is remembered of latency and throughput.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpeedTuning {
    /// The time that one slice covers.
    pub slice: Duration,
    /// Slices of which percentiles are told: together five minutes.
    pub slices: u64,
    /// Slices that count for scores and deadlines.
    pub current: u64,
    /// Slices that count as newest, at most.
    pub newest: u64,
    /// Samples that a quantile needs.
    pub samples: u64,
    /// A change of regime: the newest median is below this part of the current one …
    pub faster: f64,
    /// … or above this multiple.
    pub slower: f64,
}

/// What is worth telling the edges: what changes by less stays as it was told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NewsTuning {
    /// Of a share, relative …
    pub share: f64,
    /// … and absolute.
    pub share_step: f64,
    /// Of a latency or a throughput, relative.
    pub speed: f64,
    /// Of a probability of failure, absolute.
    pub failure: f64,
    /// Of a cap, relative.
    pub cap: f64,
    /// By how much a measured median moves without a reason, relative, however many samples it has …
    pub noise: f64,
    /// … and that of a single sample; of n, by the root of n less.
    pub noise_of_one: f64,
    /// Of the nodes' parts of a demand: half the sum of all differences.
    pub portion: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            local: health::Tuning::default(),
            verdict: VerdictTuning::default(),
            score: ScoreTuning::default(),
            share: ShareTuning::default(),
            cap: CapTuning::default(),
            probe: ProbeTuning::default(),
            speed: SpeedTuning::default(),
            news: NewsTuning::default(),
            node_silence: Duration::from_secs(10),
            demand_half_life: Duration::from_secs(2),
            portion_half_life: Duration::from_secs(20),
            portion_floor: 0.3,
            portion_prior: 20.0,
        }
    }
}

impl Default for VerdictTuning {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(8),
            decline_half_life: Duration::from_secs(42),
            decline: 0.15,
            decline_evidence: 15.0,
            decline_z: 1.28,
            observer: 2.5,
            turn: 3.0,
            observer_fresh: Duration::from_secs(5),
            observer_clip: 3.0,
            sick: 0.45,
            sick_evidence: 4.0,
            hold: Duration::from_secs(2),
            hold_max: Duration::from_secs(30),
            record_half_life: Duration::from_secs(60),
            probe_successes: 2,
            probe_patience: Duration::from_secs(120),
            provider_models: 2,
            provider_share: 0.5,
            provider_weight: 4.0,
        }
    }
}

impl ScoreTuning {
    /// The exponents of a mode.
    #[must_use]
    pub const fn of(&self, mode: Mode) -> ModeTuning {
        let [balanced, price, latency, throughput] = self.modes;
        match mode {
            Mode::Balanced => balanced,
            Mode::Price => price,
            Mode::Latency => latency,
            Mode::Throughput => throughput,
        }
    }
}

impl Default for ScoreTuning {
    fn default() -> Self {
        let mode = |price, latency, throughput, sharpness| ModeTuning {
            price,
            latency,
            throughput,
            sharpness,
        };
        Self {
            modes: [
                mode(1.0, 0.15, 0.10, 8.0),
                mode(1.0, 0.05, 0.05, 10.0),
                mode(0.08, 1.0, 0.10, 9.0),
                mode(0.08, 0.10, 1.0, 9.0),
            ],
            failure: 5.0,
            waiting: 1.5,
            ttft_tolerated: 2.2,
            crawling: 1.5,
            throughput_tolerated: 30.0,
        }
    }
}

impl Default for ShareTuning {
    fn default() -> Self {
        Self {
            ramp_start: 0.01,
            ramp_factor: 1.35,
            ramp_step: 0.02,
            ramp_period: Duration::from_secs(1),
            floor: 0.001,
            rounds: 24,
        }
    }
}

impl Default for CapTuning {
    fn default() -> Self {
        Self {
            first: 0.95,
            most: 0.98,
            least: 0.04,
            least_rate: 0.2,
            hit_share: 0.02,
            hit_rate: 1.0,
            cut: 0.97,
            used: 0.6,
            grow: 1.05,
            grow_carefully: 1.01,
            grow_step: 0.02,
            careful: Duration::from_secs(20),
            memory: Duration::from_secs(600),
            period: Duration::from_millis(800),
            believed: Duration::from_secs(3600),
            word: Duration::from_secs(60),
            refutes: 1.2,
            refutes_full: 5.0,
            rest_most: Duration::from_secs(60),
            usual_half_life: Duration::from_secs(30),
            witness_half_life: Duration::from_secs(5),
            contradicts: 9.0,
            clip: 3.0,
        }
    }
}

impl Default for ProbeTuning {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(1),
            unused: 0.02,
            deserving: 0.08,
            part: 0.012,
            rate: 0.3,
            memory: Duration::from_secs(24 * 3600),
        }
    }
}

impl Default for SpeedTuning {
    fn default() -> Self {
        Self {
            slice: Duration::from_secs(3),
            slices: 100,
            current: 20,
            newest: 4,
            samples: 5,
            faster: 0.55,
            slower: 1.8,
        }
    }
}

impl Default for NewsTuning {
    fn default() -> Self {
        Self {
            share: 0.1,
            share_step: 0.005,
            speed: 0.08,
            failure: 0.02,
            cap: 0.04,
            noise: 0.02,
            noise_of_one: 0.5,
            portion: 0.1,
        }
    }
}
