//! Scripted misbehaviour, set at run time: which fault strikes a request is drawn from the rules
//! in their order with a seeded generator, so that a run can be repeated. What a fault does to the
//! wire is decided in `reply` and `stream`.

use super::dialect::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::task::lock;
use std::sync::Mutex;
use std::time::Duration;

/// Most rules at a time.
pub const FAULT_RULES_MAX: usize = 64;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An error status with a body in the dialect's shape.
    Status,
    /// The request is read and never answered.
    BlackHole,
    /// The connection is reset (RST), after `after_tokens`.
    Reset,
    /// The answer comes at `tokens_per_second`.
    SlowDrip,
    /// The answer ends early, after `after_tokens`: the connection closes, or with `clean` the
    /// body ends properly but without the dialect's last event.
    Truncate,
    /// The answer stops coming after `after_tokens`; the connection stays open.
    Stall,
    /// Bytes that are not the dialect's, after `after_tokens`.
    Garbage,
    /// An error event inside a 200, after `after_tokens`.
    ErrorEvent,
    /// The first token comes `delay_ms` later. Adds to any other fault.
    Latency,
    /// 200 with an HTML page.
    Html,
    /// 200, the right content type, no byte of body.
    EmptyStream,
}

/// One rule: when it strikes and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What goes wrong.
    pub kind: Kind,
    /// How often, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// `status` and `error_event`: the HTTP status, 400 to 599.
    #[serde(default = "five_hundred")]
    pub status: u16,
    /// `status`: seconds for `Retry-After`.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// `status`: what the body says.
    #[serde(default)]
    pub message: Option<String>,
    /// Tokens before the fault strikes.
    #[serde(default)]
    pub after_tokens: u64,
    /// `latency`: milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// `slow_drip`: tokens per second.
    #[serde(default = "one_per_second")]
    pub tokens_per_second: f64,
    /// `truncate`: the body ends properly.
    #[serde(default)]
    pub clean: bool,
    /// Strikes so many times, then no more.
    #[serde(default)]
    pub times: Option<u64>,
    /// Only requests for this model.
    #[serde(default)]
    pub model: Option<String>,
}

fn always() -> f64 {
    1.0
}

fn five_hundred() -> u16 {
    500
}

fn one_per_second() -> f64 {
    1.0
}

impl Rule {
    /// A rule that always strikes, with the defaults of the control interface.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            probability: always(),
            status: five_hundred(),
            retry_after: None,
            message: None,
            after_tokens: 0,
            delay_ms: 0,
            tokens_per_second: one_per_second(),
            clean: false,
            times: None,
            model: None,
        }
    }

    /// What a `status` rule answers.
    pub(crate) fn refusal(&self) -> Refusal {
        let text = self.message.as_deref();
        let mut refusal = Refusal::new(
            self.status,
            text.unwrap_or("the simulated provider refuses"),
        );
        refusal.retry_after = self.retry_after;
        refusal
    }

    fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(format!("probability = {}: not in 0 to 1", self.probability));
        }
        if !(400..=599).contains(&self.status) {
            return Err(format!("status = {}: not in 400 to 599", self.status));
        }
        if !(self.tokens_per_second.is_finite() && self.tokens_per_second > 0.0) {
            return Err("tokens_per_second: must be more than 0".to_owned());
        }
        Ok(())
    }
}

/// What strikes one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Strike {
    pub(crate) rule: Option<Rule>,
    pub(crate) latency: Duration,
}

/// The rules in force.
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

struct Inner {
    rules: Vec<Rule>,
    random: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(seed: u64, rules: Vec<Rule>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                rules,
                random: fastrand::Rng::with_seed(seed),
            }),
        }
    }

    pub(crate) fn set(&self, rules: Vec<Rule>) {
        lock(&self.inner).rules = rules;
    }

    pub(crate) fn rules(&self) -> Vec<Rule> {
        lock(&self.inner).rules.clone()
    }

    pub(crate) fn draw(&self, model: &str) -> Strike {
        let mut strike = Strike::default();
        let inner = &mut *lock(&self.inner);
        for rule in &mut inner.rules {
            let spent = rule.times == Some(0);
            let other = rule.model.as_deref().is_some_and(|only| only != model);
            let taken = strike.rule.is_some() && rule.kind != Kind::Latency;
            if spent || other || taken || inner.random.f64() >= rule.probability {
                continue;
            }
            rule.times = rule.times.map(|times| times - 1);
            if rule.kind == Kind::Latency {
                strike.latency += Duration::from_millis(rule.delay_ms);
            } else {
                strike.rule = Some(rule.clone());
            }
        }
        strike
    }
}

/// Reads the body of `PUT /_fault`: one rule or a list of them.
///
/// # Errors
/// What is wrong with it.
pub fn read_rules(body: &[u8]) -> Result<Vec<Rule>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.len() > FAULT_RULES_MAX {
        return Err(format!("more than {FAULT_RULES_MAX} rules"));
    }
    let read = |value| {
        let rule: Rule = serde_json::from_value(value).map_err(|error| error.to_string())?;
        rule.check().map(|()| rule)
    };
    list.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_strictly() {
        let rules =
            read_rules(br#"{"kind":"status","status":429,"retry_after":2,"probability":0.5}"#);
        let rules = rules.unwrap();
        assert_eq!(rules[0].retry_after, Some(2));
        for bad in [
            r#"{"kind":"explode"}"#,
            r#"{"kind":"status","status":200}"#,
            r#"{"kind":"status","probability":2}"#,
            r#"{"kind":"status","prob":1}"#,
            r#"{"kind":"slow_drip","tokens_per_second":0}"#,
        ] {
            assert!(read_rules(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn latency_adds_to_the_first_other_fault_and_times_run_out() {
        let mut late = Rule::new(Kind::Latency);
        late.delay_ms = 5;
        let mut reset = Rule::new(Kind::Reset);
        reset.times = Some(1);
        let faults = Faults::new(1, vec![late, reset, Rule::new(Kind::Stall)]);
        let first = faults.draw("m");
        assert_eq!(first.latency, Duration::from_millis(5));
        assert_eq!(first.rule.unwrap().kind, Kind::Reset);
        assert_eq!(faults.draw("m").rule.unwrap().kind, Kind::Stall);
    }
}
