//! The clients: streams started at random times whatever became of earlier ones, spread evenly
//! over the edges, each judged by what its client saw.

use super::MODEL;
use crate::client::{Client, Events};
use serde_json::{Value, json};
use shared::task::lock;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Most streams at a time; what would be more counts as failed.
const IN_FLIGHT_MAX: usize = 4_000;

/// How requests are made.
pub(super) struct Load {
    pub(super) clients: Vec<Client>,
    pub(super) per_second: f64,
    pub(super) tokens: u64,
    pub(super) seed: u64,
}

/// What one client saw.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// Since the scenario's start.
    pub(super) asked: Duration,
    /// A whole answer; else in a word what came instead.
    pub(super) failure: Option<String>,
    pub(super) ttft: Duration,
    /// Tokens per second after the first.
    pub(super) pace: f64,
}

/// What all clients saw.
#[derive(Default)]
pub(super) struct Answers {
    asked: AtomicU64,
    all: Mutex<Vec<Answered>>,
}

impl Answers {
    /// Requests begun so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut lock(&self.all))
    }
}

impl Load {
    /// Asks until `length` is over, then waits for what is still open.
    pub(super) async fn run(
        &self,
        answers: &Arc<Answers>,
        started: Instant,
        length: Duration,
        drain: Duration,
    ) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut open = JoinSet::new();
        let mut due = Duration::ZERO;
        loop {
            let wait = -(1.0 - random.f64()).ln() / self.per_second;
            due += Duration::from_secs_f64(wait);
            if due >= length {
                break;
            }
            tokio::time::sleep_until(started + due).await;
            while open.try_join_next().is_some() {}
            let Some(client) = self.clients.get(random.usize(..self.clients.len().max(1))) else {
                return;
            };
            answers.asked.fetch_add(1, Ordering::Relaxed);
            let one = One {
                client: client.clone(),
                body: body(self.tokens, random.u64(..)),
                asked: due,
            };
            if open.len() >= IN_FLIGHT_MAX {
                lock(&answers.all).push(one.failed("too many open"));
                continue;
            }
            let answers = Arc::clone(answers);
            open.spawn(async move {
                let answered = one.ask().await;
                lock(&answers.all).push(answered);
            });
        }
        let _ =
            tokio::time::timeout(drain, async { while open.join_next().await.is_some() {} }).await;
        let left = open.len();
        for _ in 0..left {
            lock(&answers.all).push(Answered {
                asked: length,
                failure: Some("no end".to_owned()),
                ttft: drain,
                pace: 0.0,
            });
        }
    }
}

fn body(tokens: u64, salt: u64) -> Value {
    json!({
        "model": MODEL,
        "stream": true,
        "max_tokens": tokens,
        "messages": [{ "role": "user", "content": format!("godwits {salt}") }],
    })
}

struct One {
    client: Client,
    body: Value,
    asked: Duration,
}

impl One {
    fn failed(&self, why: &str) -> Answered {
        Answered {
            asked: self.asked,
            failure: Some(why.to_owned()),
            ttft: Duration::ZERO,
            pace: 0.0,
        }
    }

    async fn ask(self) -> Answered {
        let mut events = match self
            .client
            .stream("/api/v1/chat/completions", &self.body)
            .await
        {
            Ok(events) => events,
            Err(error) => return self.failed(&error.to_string()),
        };
        if events.status != 200 {
            return self.failed(&refusal(events).await);
        }
        let (mut first, mut last, mut tokens, mut done) = (None, Duration::ZERO, 0_u32, false);
        loop {
            match events.next().await {
                Ok(Some(event)) if event.data == "[DONE]" => done = true,
                Ok(Some(event)) => {
                    let chunk = event.json();
                    if chunk.get("error").is_some_and(|error| !error.is_null()) {
                        return self.failed("error event");
                    }
                    if has_text(&chunk) {
                        first.get_or_insert(event.at);
                        last = event.at;
                        tokens += 1;
                    }
                }
                Ok(None) => break,
                Err(error) => return self.failed(&error.to_string()),
            }
        }
        let Some(first) = first.filter(|_| done) else {
            return self.failed("no end event");
        };
        let took = (last - first).as_secs_f64().max(1e-3);
        Answered {
            asked: self.asked,
            failure: None,
            ttft: first,
            pace: f64::from(tokens.saturating_sub(1)) / took,
        }
    }
}

/// The status and what the body says of it.
async fn refusal(events: Events) -> String {
    let status = events.status;
    let body = events.bytes().await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = body.pointer("/error/message").and_then(Value::as_str);
    format!("status {status}: {}", message.unwrap_or_default())
}

fn has_text(chunk: &Value) -> bool {
    let text = chunk.pointer("/choices/0/delta/content");
    text.and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty())
}
