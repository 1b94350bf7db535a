//! One connection of a load: starts requests when its shape says so, reads answers, counts what
//! falls into the window. A broken connection is replaced; its request is counted as failed.

use super::{Plan, Shape, Tally};
use crate::measure::Connection;
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Pause after a connection that could not be opened, so that a dead server is not hammered.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// When counting begins and ends.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) opens: Instant,
    pub(super) closes: Instant,
}

impl Span {
    fn holds(self, at: Instant) -> bool {
        (self.opens..self.closes).contains(&at)
    }
}

/// Works until the window closes.
pub(super) async fn run(plan: &Plan, span: Span, number: usize) -> Tally {
    let mut worker = Worker {
        plan,
        span,
        request: plan.target.post(&plan.body),
        connection: None,
        tally: Tally::default(),
    };
    let share = fraction(number, plan.shape.workers());
    let mut due = Instant::now() + plan.stagger.mul_f64(share);
    let step = match plan.shape {
        Shape::Closed { .. } => Duration::ZERO,
        Shape::Rate {
            per_second,
            connections,
        } => {
            let each = fraction(connections, 1) / per_second.max(1e-6);
            let step = Duration::from_secs_f64(each);
            due = Instant::now() + step.mul_f64(share);
            step
        }
    };
    while due < span.closes {
        let free = Instant::now();
        if due > free {
            tokio::time::sleep_until(due).await;
        }
        // Waking late is the timer's doing; being busy when due is the server's.
        let started = if step > Duration::ZERO && due < free {
            due
        } else {
            Instant::now()
        };
        let one = worker.one(started);
        if tokio::time::timeout_at(span.closes, one).await.is_err() {
            break;
        }
        due = if step.is_zero() {
            Instant::now()
        } else {
            due + step
        };
    }
    worker.tally
}

fn fraction(part: usize, of: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    float(part) / float(of).max(1.0)
}

struct Worker<'a> {
    plan: &'a Plan,
    span: Span,
    request: Bytes,
    connection: Option<Connection>,
    tally: Tally,
}

/// What is read of one answer.
#[derive(Default)]
struct Answer {
    status: u16,
    text: String,
    terminal: bool,
    in_band_error: bool,
}

impl Worker<'_> {
    async fn one(&mut self, started: Instant) {
        let patience = self.plan.patience;
        let outcome = tokio::time::timeout(patience, self.exchange(started)).await;
        let now = Instant::now();
        let counted = self.span.holds(now);
        let failure = match outcome {
            Ok(Ok(answer)) => self.verdict(&answer),
            Ok(Err(error)) => Some(format!("io:{:?}", error.kind()).to_lowercase()),
            Err(_) => Some("timeout".to_owned()),
        };
        if counted {
            self.tally.requests += 1;
            self.tally.total.add(now - started);
        }
        match failure {
            None if counted => self.tally.ok += 1,
            Some(kind) if counted => self.tally.error(&kind),
            _ => {}
        }
    }

    fn verdict(&self, answer: &Answer) -> Option<String> {
        if answer.status != 200 {
            return Some(format!("status_{}", answer.status));
        }
        if answer.in_band_error {
            return Some("error_event".to_owned());
        }
        if !answer.terminal {
            return Some("no_end".to_owned());
        }
        let wrong = |expected: &String| *expected != answer.text;
        let wrong = self.plan.expected.as_ref().is_some_and(wrong);
        wrong.then(|| "wrong_text".to_owned())
    }

    async fn exchange(&mut self, started: Instant) -> io::Result<Answer> {
        let mut connection = match self.connection.take().filter(Connection::reusable) {
            Some(connection) => connection,
            None => match Connection::open(self.plan.target.addr()).await {
                Ok(connection) => connection,
                Err(error) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    return Err(error);
                }
            },
        };
        connection.send(&self.request).await?;
        let mut answer = Answer {
            status: connection.head().await?.status,
            ..Answer::default()
        };
        let mut reader = Reader {
            plan: self.plan,
            span: self.span,
            started,
            last: None,
            pending: BytesMut::new(),
            events: false,
        };
        while let Some(bytes) = connection.next().await? {
            reader.take(&bytes, &mut answer, &mut self.tally);
        }
        reader.end(&mut answer);
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// Reads the body of one answer: events of a stream as they come, anything else at its end.
struct Reader<'a> {
    plan: &'a Plan,
    span: Span,
    started: Instant,
    last: Option<Instant>,
    pending: BytesMut,
    events: bool,
}

impl Reader<'_> {
    fn take(&mut self, bytes: &Bytes, answer: &mut Answer, tally: &mut Tally) {
        let now = Instant::now();
        let counted = self.span.holds(now);
        if counted {
            tally.bytes += bytes.len() as u64;
        }
        if self.pending.is_empty() && !self.events {
            self.events = matches!(bytes.first(), Some(b'd' | b':' | b'e'));
        }
        self.pending.extend_from_slice(bytes);
        if !self.events {
            return;
        }
        while let Some(end) = memchr::memmem::find(&self.pending, b"\n\n") {
            let event = self.pending.split_to(end);
            self.pending.advance(2);
            self.event(&event, now, answer, tally);
        }
    }

    fn event(&mut self, event: &[u8], now: Instant, answer: &mut Answer, tally: &mut Tally) {
        let Some(at) = memchr::memmem::find(event, b"data: ") else {
            return;
        };
        let data = event.get(at + 6..).unwrap_or(&[]);
        if data == b"[DONE]" {
            answer.terminal = true;
            return;
        }
        let content = content(data);
        answer.in_band_error |= content.is_none() && find(data, b"\"error\":{");
        let counted = self.span.holds(now);
        if counted {
            tally.events += 1;
            if let Some(last) = self.last {
                tally.gap.add(now - last);
            }
        }
        let Some(content) = content.filter(|content| !content.is_empty()) else {
            return;
        };
        if self.last.is_none() && counted {
            tally.ttft.add(now - self.started);
        }
        self.last = Some(now);
        if let (Some(origin), true) = (self.plan.stamps, counted)
            && let Some(nanos) = stamp(content)
        {
            let made = origin + Duration::from_nanos(nanos);
            tally.event_delay.add(now.saturating_duration_since(made));
        }
        if self.plan.expected.is_some() {
            let quoted = [b"\"", content, b"\""].concat();
            let text: String = serde_json::from_slice(&quoted).unwrap_or_default();
            answer.text.push_str(&text);
        }
    }

    fn end(&self, answer: &mut Answer) {
        if self.events {
            return;
        }
        answer.terminal = !self.pending.is_empty();
        if self.plan.expected.is_some() {
            let body: Value = serde_json::from_slice(&self.pending).unwrap_or_default();
            let content = body.pointer("/choices/0/message/content");
            let content = content.and_then(Value::as_str).unwrap_or("");
            content.clone_into(&mut answer.text);
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// The raw JSON text of a chunk's content, still escaped; none when it has none.
fn content(data: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(data, b"\"content\":\"")? + 11;
    let rest = data.get(at..)?;
    let mut end = 0;
    loop {
        end += memchr::memchr(b'"', rest.get(end..)?)?;
        let before = rest.get(..end)?;
        let escapes = before
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if escapes % 2 == 0 {
            return Some(before);
        }
        end += 1;
    }
}

fn stamp(content: &[u8]) -> Option<u64> {
    std::str::from_utf8(content).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_found_with_its_escapes() {
        let data = br#"{"choices":[{"delta":{"content":" \"a\\"},"x":1}]}"#;
        assert_eq!(content(data), Some(br#" \"a\\"#.as_slice()));
        assert_eq!(content(br#"{"delta":{}}"#), None);
        assert_eq!(stamp(b" 123"), Some(123));
    }
}
