//! Every timer, factor and limit of what a node decides for itself, in one place: tests and the
//! simulation vary them. Where not said otherwise the numbers are those of the reference
//! simulation, in which each was tried against its neighbours.

use std::time::Duration;

/// The numbers that local health goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// After which half of what was seen is forgotten.
    pub half_life: Duration,
    /// So many failures in a row make a pause.
    pub failures_to_pause: u32,
    /// After a pause, so many before the first success make the next: who has just been left alone
    /// is tried, not trusted (1 instead of 3 brings the reaction to an outage without a control
    /// plane from 7 s to 4 in the simulation).
    pub failures_after_pause: u32,
    /// The first pause is one to two of these.
    pub pause: Duration,
    /// A pause doubles with each one before, at most so often.
    pub doublings_max: u32,
    /// An own key that was refused is tried again after one to two of these.
    pub refused: Duration,
    /// The longest rest that a provider may ask for.
    pub retry_after_max: Duration,
    /// The rest after a 429 that doesn't say how long: between these.
    pub rest: (Duration, Duration),
    /// Good observations that nobody made, so that one failure is not everything.
    pub prior: f64,
    /// Being turned away for want of capacity cuts what is sent to this part …
    pub turned_away: f64,
    /// … which grows again by so much per second …
    pub recovery_per_s: f64,
    /// … and never falls below this, so that it can be seen to recover.
    pub acceptance_min: f64,
    /// A lease may be saved up for so long …
    pub quota_burst: Duration,
    /// … and this many requests more, so that a tiny lease lets somebody through.
    pub quota_burst_requests: f64,
    /// … or so many tokens.
    pub quota_burst_tokens: f64,
    /// Retries that an endpoint takes for each first attempt sent to it (Google's SRE book: a
    /// budget by ratio; the ratio is ours) …
    pub retry_ratio: f64,
    /// … and per second besides …
    pub retry_per_s: f64,
    /// … saved up to so many. A fault at a neighbour that this node has not noticed yet comes as
    /// one burst: all that were in flight there.
    pub retry_burst: f64,
    /// Hedges for each request of this node …
    pub hedge_ratio: f64,
    /// … saved up to so many …
    pub hedge_burst: f64,
    /// … of which there are so many at the start.
    pub hedge_start: f64,
    /// The time constant with which the peak of the time to the first token fades (linkerd's).
    pub peak_decay: Duration,
    /// What was not seen for so long makes room when the board is full.
    pub forgotten: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(6),
            failures_to_pause: 3,
            failures_after_pause: 1,
            pause: Duration::from_secs(1),
            doublings_max: 4,
            refused: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(300),
            rest: (Duration::from_millis(300), Duration::from_secs(1)),
            prior: 3.0,
            turned_away: 0.7,
            recovery_per_s: 0.04,
            acceptance_min: 0.05,
            quota_burst: Duration::from_secs(2),
            quota_burst_requests: 2.0,
            quota_burst_tokens: 2_000.0,
            retry_ratio: 0.2,
            retry_per_s: 1.0,
            retry_burst: 50.0,
            hedge_ratio: 0.05,
            hedge_burst: 4.0,
            hedge_start: 2.0,
            peak_decay: Duration::from_secs(10),
            forgotten: Duration::from_secs(300),
        }
    }
}
