//! How long to wait for an endpoint: when its silence becomes evidence, when a competitor starts,
//! when it is given up. Pure: from what the fleet knows of its speed and what the request asks.
//! The timers themselves are the edge's.

use super::Tuning;
use crate::catalog::Timeouts;
use crate::ranking::Mode;
use std::time::Duration;

/// What the fleet knows of an endpoint's speed.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pace {
    /// 95th percentile of the time to the first token.
    pub ttft_p95: Option<Duration>,
    /// Median tokens per second.
    pub tokens_per_second: Option<f64>,
}

/// What of a request takes time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Task {
    /// What the client wants most.
    pub mode: Mode,
    /// A stream's first content comes early; a whole answer's only with its end.
    pub stream: bool,
    /// An estimate of the prompt's tokens.
    pub prompt_tokens: u64,
    /// The longest answer; none is not told.
    pub max_tokens: Option<u64>,
    /// It tries an endpoint out.
    pub probe: bool,
}

/// How long to wait for the first content, from the moment the request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Then its silence is half a failure, once; the attempt goes on.
    pub silence: Duration,
    /// Then a competitor may start, within the budget.
    pub hedge: Duration,
    /// Then it is given up.
    pub deadline: Duration,
}

impl Patience {
    /// The patience for one attempt; the provider's own bounds are never exceeded. Without
    /// knowledge of the endpoint's speed they are all there is, but for a whole answer whose length
    /// is bounded: nobody sells one slower than [`Tuning::whole_slowest`].
    #[must_use]
    pub fn of(tuning: &Tuning, pace: &Pace, task: &Task, bounds: &Timeouts) -> Self {
        let patience = if task.stream {
            Self::of_stream(tuning, pace, task, bounds)
        } else {
            Self::of_whole(tuning, pace, task, bounds)
        };
        let probe = task.probe.then_some(tuning.hedge_probe);
        Self {
            hedge: patience.hedge.min(probe.unwrap_or(Duration::MAX)),
            ..patience
        }
    }

    fn of_stream(tuning: &Tuning, pace: &Pace, task: &Task, bounds: &Timeouts) -> Self {
        let bound = bounds.first_token.min(bounds.total);
        let Some(p95) = pace.ttft_p95 else {
            return Self {
                silence: bound,
                hedge: bound,
                deadline: bound,
            };
        };
        let known = first_content(tuning, p95, task);
        Self {
            silence: known.silence.min(bound),
            hedge: known.hedge.min(bound),
            deadline: known.deadline.min(bound),
        }
    }

    fn of_whole(tuning: &Tuning, pace: &Pace, task: &Task, bounds: &Timeouts) -> Self {
        let first = bounds.first_token.min(bounds.total);
        let unknown = |deadline| Self {
            silence: first,
            hedge: first,
            deadline,
        };
        let Some(tokens) = task.max_tokens else {
            return unknown(bounds.total);
        };
        let speed = pace.tokens_per_second.filter(|speed| *speed > 0.0);
        let (Some(p95), Some(speed)) = (pace.ttft_p95, speed) else {
            // Who never answers would have the whole bound, however short the answer is to be.
            let reading = prefill(tuning, task.prompt_tokens);
            let slowest = written(tokens, tuning.whole_slowest);
            let deadline = first.saturating_add(reading).saturating_add(slowest);
            return unknown(deadline.min(bounds.total));
        };
        let writing = |part: f64| written(tokens, speed * part);
        let known = first_content(tuning, p95, task);
        let slowly = writing(tuning.whole_silence);
        Self {
            silence: known.silence.saturating_add(slowly).min(bounds.total),
            hedge: known.hedge.saturating_add(slowly).min(bounds.total),
            deadline: known
                .deadline
                .saturating_add(writing(tuning.whole_deadline))
                .min(bounds.total),
        }
    }
}

/// The patience for the first content of a stream, as far as the endpoint's speed tells.
fn first_content(tuning: &Tuning, p95: Duration, task: &Task) -> Patience {
    let reading = prefill(tuning, task.prompt_tokens);
    let times = |factor: f64| p95.saturating_add(reading).mul_f64(factor.clamp(0.0, 1e3));
    let least = tuning.deadline_least;
    let most = tuning.deadline_most.max(least).saturating_add(reading);
    Patience {
        silence: times(tuning.silence).max(tuning.silence_least),
        hedge: times(tuning.hedge_of(task.mode)).max(tuning.hedge_least),
        deadline: times(tuning.deadline)
            .clamp(least, most)
            .max(times(tuning.deadline_fair)),
    }
}

/// The time that so many tokens take at a speed in tokens per second.
#[expect(clippy::cast_precision_loss, reason = "a time needs no exact digits")]
fn written(tokens: u64, speed: f64) -> Duration {
    seconds(tokens as f64 / speed.max(1e-3))
}

/// The time that a prompt takes beyond a usual one.
fn prefill(tuning: &Tuning, prompt_tokens: u64) -> Duration {
    let beyond = prompt_tokens.saturating_sub(tuning.prompt_usual);
    #[expect(clippy::cast_precision_loss, reason = "a time needs no exact digits")]
    seconds(beyond as f64 / tuning.prompt_per_s.max(1.0))
}

/// Bounded: a day is longer than any timeout.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or(Duration::ZERO)
}
#[cfg(test)]
mod tests;
