//! Load: closed loops, a fixed rate, streams, against anything that speaks chat completions, with
//! every answer counted as what it was. Open loop means that a late answer does not delay the next
//! request: a request that could not start in time is measured from when it was due.

mod shape;
mod target;
mod worker;

pub use shape::{Limits, Plan, Shape};
pub use target::{Target, TargetError};

use crate::measure::Samples;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Most different error words in one tally; the rest is `other`.
pub const ERROR_KINDS_MAX: usize = 64;

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that ended inside the window.
    pub requests: u64,
    /// Of these: answered whole, with status 200 and, where checked, the expected text.
    pub ok: u64,
    /// What the others were.
    pub errors: BTreeMap<String, u64>,
    /// From sending to the end of the answer.
    pub total: Samples,
    /// From sending to the first event of a stream that carries a token.
    pub ttft: Samples,
    /// Between two events of a stream.
    pub gap: Samples,
    /// From the making of an event at a stamping provider to its arrival.
    pub event_delay: Samples,
    /// Events of streams that came inside the window.
    pub events: u64,
    /// Bytes of bodies that came inside the window.
    pub bytes: u64,
    /// The window's length.
    pub window: Duration,
}

impl Tally {
    /// Counts a failure.
    pub fn error(&mut self, kind: &str) {
        let known = self.errors.contains_key(kind) || self.errors.len() < ERROR_KINDS_MAX;
        let kind = if known { kind } else { "other" };
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds another tally of the same window.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.ok += other.ok;
        self.events += other.events;
        self.bytes += other.bytes;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        self.total.merge(&other.total);
        self.ttft.merge(&other.ttft);
        self.gap.merge(&other.gap);
        self.event_delay.merge(&other.event_delay);
        self.window = self.window.max(other.window);
    }

    /// All failures.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The tally as a machine reads it.
    pub fn to_json(&mut self) -> Value {
        let seconds = self.window.as_secs_f64().max(1e-9);
        let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
        json!({
            "window_s": seconds,
            "requests": self.requests,
            "ok": self.ok,
            "errors": self.errors,
            "requests_per_second": rate(self.requests),
            "events": self.events,
            "events_per_second": rate(self.events),
            "bytes": self.bytes,
            "total": self.total.summary(),
            "ttft": self.ttft.summary(),
            "gap": self.gap.summary(),
            "event_delay": self.event_delay.summary(),
        })
    }
}

/// Runs a load: warms up, then counts for the length of the window.
pub async fn drive(plan: &Plan) -> Tally {
    let opens = Instant::now() + plan.warm_up;
    let span = worker::Span {
        opens,
        closes: opens + plan.window,
    };
    let workers = (0..plan.shape.workers()).map(|number| worker::run(plan, span, number));
    let mut sum = Tally {
        window: plan.window,
        ..Tally::default()
    };
    for tally in futures::future::join_all(workers).await {
        sum.merge(&tally);
    }
    sum
}

/// Checks a tally against limits; gives what is broken.
pub fn judge(tally: &mut Tally, limits: &Limits) -> Vec<String> {
    let mut broken = Vec::new();
    if tally.ok == 0 {
        broken.push("no request succeeded".to_owned());
    }
    if limits.errors.is_some_and(|most| tally.failed() > most) {
        broken.push(format!("{} requests failed", tally.failed()));
    }
    let mut check = |name: &str, seen: Option<f64>, most: Option<f64>| {
        if let (Some(seen), Some(most)) = (seen, most)
            && seen > most
        {
            broken.push(format!("{name} is {seen:.3} ms, more than {most} ms"));
        }
    };
    check("ttft p99", tally.ttft.quantile_ms(0.99), limits.ttft_p99_ms);
    check(
        "total p99",
        tally.total.quantile_ms(0.99),
        limits.total_p99_ms,
    );
    broken
}
