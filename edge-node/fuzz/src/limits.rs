//! What headers say of limits and pauses: whatever stands there, it comes out as a time between
//! nothing and the longest that is believed, and as the same time wherever it stands.

use super::{Dialect, Way};
use edge_node::dialect::{RETRY_AFTER_MAX, allowances, classify};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use shared::clock::Moment;
use shared::health::{Allowance, Ask, Board, Evidence, Handle, Tuning};
use shared::window::Outcome;
use std::time::Duration;

/// More lines of headers say nothing new.
const LINES_MAX: usize = 64;
/// The longest time that a limit may be of.
const PERIOD_MAX: Duration = Duration::from_secs(86_400);

/// Headers, one a line.
pub fn limits(data: &[u8]) {
    let headers = headers(data);
    let told = allowances(&headers);
    let pause = pause(&headers);
    for allowance in [told.0, told.1].into_iter().flatten() {
        sound(&allowance);
    }
    assert!(pause.is_none_or(|it| it <= RETRY_AFTER_MAX), "{pause:?}");
    believed(told, pause);
    for value in headers.values() {
        alike(value, headers.get(header::DATE));
    }
}

fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    let way = Way::new(Dialect::OpenaiChat, 0);
    classify(&way.provider, 429, headers, b"").retry_after
}

fn sound(allowance: &Allowance) {
    let counts = [Some(allowance.remaining), allowance.limit];
    let counted = |count: f64| count.is_finite() && count >= 0.0;
    assert!(counts.into_iter().flatten().all(counted), "{allowance:?}");
    let reset = allowance.reset.unwrap_or_default();
    assert!(reset <= RETRY_AFTER_MAX, "{allowance:?}");
    let period = allowance.period;
    let told = period.is_none_or(|it| !it.is_zero() && it <= PERIOD_MAX);
    assert!(told, "{allowance:?}");
    let _ = allowance.per_minute();
}

/// However much is forbidden, it is over when the longest time is.
fn believed((requests, tokens): (Option<Allowance>, Option<Allowance>), pause: Option<Duration>) {
    let (board, tuning, now) = (Board::default(), Tuning::default(), Moment::default());
    let ask = Ask {
        handle: Handle(7),
        prompt_tokens: u64::MAX,
        ..Ask::default()
    };
    board.allowed(ask.handle, requests, tokens, now);
    let full_after = |waited| board.local(&ask, now.plus(waited)).full;
    let _ = full_after(Duration::ZERO);
    assert!(!full_after(RETRY_AFTER_MAX), "{requests:?} {tokens:?}");
    let limited = Outcome::RateLimited { retry_after: pause };
    board.observe(ask.handle, &limited, now, 1.0);
    let longest = tuning.retry_after_max.max(RETRY_AFTER_MAX);
    assert!(!full_after(longest), "{pause:?}");
}

/// A time is the same behind `retry-after` as behind a limit's `reset`.
fn alike(value: &HeaderValue, date: Option<&HeaderValue>) {
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-remaining-requests", HeaderValue::from(1));
    headers.insert("x-ratelimit-reset-requests", value.clone());
    headers.insert(header::RETRY_AFTER, value.clone());
    if let Some(date) = date {
        headers.insert(header::DATE, date.clone());
    }
    let (requests, _) = allowances(&headers);
    let reset = requests.and_then(|it| it.reset);
    assert_eq!(pause(&headers), reset, "{value:?} at {date:?}");
}
