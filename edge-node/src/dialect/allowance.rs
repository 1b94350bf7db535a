//! What a provider's rate-limit headers leave to us: OpenAI's `x-ratelimit-*`, with the time that
//! a limit is of in the name, in a header of its own or not at all; Anthropic's and Cohere's. Pure;
//! whether they are believed, and for how long, is the board's concern.

use super::{date, retry_after};
use http::HeaderMap;
use shared::health::Allowance;
use std::time::Duration;

/// Of requests and of tokens. Where a provider states several, that of which the least is left.
#[must_use]
pub fn allowances(headers: &HeaderMap) -> (Option<Allowance>, Option<Allowance>) {
    let mut stated = Statements::default();
    for (name, value) in headers {
        if let (Some(part), Ok(value)) = (Part::of(name.as_str()), value.to_str()) {
            stated.note(part, value, headers);
        }
    }
    if !stated.any {
        return (None, None);
    }
    stated.spread();
    let tokens = stated.tightest(Kind::PromptTokens).map(|told| Allowance {
        // What is read from a cache does not count there, but with us: no limit to keep to.
        limit: None,
        ..told
    });
    (
        stated.tightest(Kind::Requests),
        tokens.or_else(|| stated.tightest(Kind::Tokens)),
    )
}

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Requests,
    Tokens,
    PromptTokens,
}

const KINDS: usize = 3;

/// The times that limits are of, as names of headers say it; the first is not told.
const PERIODS: [(&str, Option<Duration>); 5] = [
    ("", None),
    ("second", Some(Duration::from_secs(1))),
    ("minute", Some(Duration::from_secs(60))),
    ("hour", Some(Duration::from_secs(3600))),
    ("day", Some(Duration::from_secs(86_400))),
];
const MINUTE: usize = 2;

/// A limit whose name tells neither what it limits nor of which time, and that is whole again so
/// soon, is one per second: Together's.
const SECOND_MOST: Duration = Duration::from_secs(2);

/// What a header tells of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Limit,
    Remaining,
    Reset,
    Period,
}

/// One header's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    kind: Kind,
    /// By [`PERIODS`].
    period: usize,
    what: What,
    /// The name says neither what is limited nor of which time.
    bare: bool,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_prefix("x-ratelimit-") {
            let (what, of) = name.split_once('-').unwrap_or((name, ""));
            let (kind, period) = subject(of)?;
            let bare = of.is_empty();
            return Part::new(what, kind, period, bare);
        }
        if let Some(name) = name.strip_prefix("anthropic-ratelimit-") {
            let (of, what) = name.rsplit_once('-')?;
            let kind = match of {
                "requests" => Kind::Requests,
                "tokens" => Kind::Tokens,
                "input-tokens" => Kind::PromptTokens,
                _ => return None,
            };
            return Part::new(what, kind, 0, false);
        }
        if let Some(what) = name.strip_prefix("x-tokenlimit-") {
            return Part::new(what, Kind::Tokens, 0, false);
        }
        let what = name.strip_prefix("x-trial-endpoint-call-")?;
        Part::new(what, Kind::Requests, MINUTE, false)
    }

    fn new(what: &str, kind: Kind, period: usize, bare: bool) -> Option<Self> {
        let what = match what {
            "limit" => What::Limit,
            "remaining" => What::Remaining,
            "reset" => What::Reset,
            "renewalperiod" => What::Period,
            _ => return None,
        };
        Some(Self {
            kind,
            period,
            what,
            bare,
        })
    }
}

/// `requests`, `tokens-minute`, `day` or nothing: what is limited, and by [`PERIODS`].
fn subject(of: &str) -> Option<(Kind, usize)> {
    let period = |name: &str| PERIODS.iter().position(|(period, _)| *period == name);
    let kind = |name: &str| match name {
        "requests" | "req" => Some(Kind::Requests),
        "tokens" => Some(Kind::Tokens),
        _ => None,
    };
    match of.split_once('-') {
        Some((what, time)) => kind(what).zip(period(time)),
        None => match kind(of) {
            Some(kind) => Some((kind, 0)),
            None => Some(Kind::Requests).zip(period(of)),
        },
    }
}

/// What is told of one limit.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    limit: Option<f64>,
    remaining: Option<f64>,
    reset: Option<Duration>,
    period: Option<Duration>,
}

/// What an answer's headers tell, by kind and by period.
#[derive(Debug, Default)]
struct Statements {
    told: [[Told; PERIODS.len()]; KINDS],
    any: bool,
    /// Some limit of requests has a bare name.
    bare: bool,
}

impl Statements {
    fn note(&mut self, part: Part, value: &str, headers: &HeaderMap) {
        let by_period = self.told.get_mut(part.kind as usize);
        let Some(told) = by_period.and_then(|all| all.get_mut(part.period)) else {
            return;
        };
        self.any = true;
        self.bare |= part.bare;
        match part.what {
            What::Limit => told.limit = count(value),
            What::Remaining => told.remaining = count(value),
            What::Reset => told.reset = until(headers, value),
            What::Period => told.period = retry_after::duration(value),
        }
    }

    /// Who names a limit of requests `x-ratelimit-limit` means its reset for tokens, too.
    fn spread(&mut self) {
        let [[requests, ..], [tokens, ..], _] = &mut self.told;
        if !self.bare {
            return;
        }
        if requests.reset.is_some_and(|reset| reset <= SECOND_MOST) {
            requests.period = requests.period.or(Some(Duration::from_secs(1)));
        }
        tokens.reset = tokens.reset.or(requests.reset);
        tokens.period = tokens.period.or(requests.period);
    }

    fn tightest(&self, kind: Kind) -> Option<Allowance> {
        let by_period = self.told.get(kind as usize)?.iter().zip(PERIODS);
        let allowances = by_period.filter_map(|(told, (_, period))| {
            Some(Allowance {
                limit: told.limit,
                remaining: told.remaining?,
                reset: told.reset,
                period: told.period.or(period).filter(|period| !period.is_zero()),
            })
        });
        allowances.min_by(|a, b| a.remaining.total_cmp(&b.remaining))
    }
}

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn count(text: &str) -> Option<f64> {
    text.trim().parse::<u64>().ok().map(|count| count as f64)
}

/// A duration such as `1s` or `6m0s`, or a date.
fn until(headers: &HeaderMap, reset: &str) -> Option<Duration> {
    let pause = retry_after::duration(reset).or_else(|| date::after_answer(headers, reset))?;
    Some(pause.min(retry_after::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
