//! The clients of a money scenario: whole answers and streams, some of them left in the middle,
//! from all edges at once and whatever is dead. They remember which answers they got whole.

use super::{MODEL, Money};
use crate::client::{CallError, Client};
use crate::cluster::Fleet;
use crate::cluster::scene::CHAT;
use serde_json::{Value, json};
use shared::task::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two tries at an edge that is dead or refuses.
const PAUSE: Duration = Duration::from_millis(20);

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Generations whose answers came whole.
    pub(super) whole: Vec<String>,
    /// Requests that were begun.
    pub(super) asked: u64,
    /// Answers that were left.
    pub(super) left: u64,
    /// Calls that were cut off, because their edge was killed.
    pub(super) cut: u64,
    /// Other answers, by status and error type.
    pub(super) refused: BTreeMap<String, u64>,
}

/// Clients at work.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub(super) fn start(money: &Money, fleet: &Fleet) -> Self {
        let mut clients = Self {
            stop: Arc::default(),
            seen: Arc::default(),
            tasks: JoinSet::new(),
        };
        for number in 0..money.edges * money.clients {
            let one = One {
                client: fleet.client(number % money.edges),
                tokens: money.tokens,
                random: fastrand::Rng::with_seed(money.seed ^ (number as u64 + 1) << 20),
                seen: Arc::clone(&clients.seen),
            };
            clients.tasks.spawn(one.run(Arc::clone(&clients.stop)));
        }
        clients
    }

    /// Lets every client end what it is at.
    pub(super) async fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        std::mem::take(&mut lock(&self.seen))
    }
}

struct One {
    client: Client,
    tokens: u64,
    random: fastrand::Rng,
    seen: Arc<Mutex<Seen>>,
}

/// How one request went.
enum Ended {
    Whole(String),
    Left,
    Refused(String),
}

impl One {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let ended = match self.random.u8(0..10) {
                0..=3 => self.whole().await,
                4..=6 => self.stream(u64::MAX).await,
                7 => self.hang_up().await,
                _ => {
                    let events = self.random.u64(1..self.tokens.max(2));
                    self.stream(events).await
                }
            };
            let pause = !matches!(ended, Ok(Ended::Whole(_) | Ended::Left));
            self.note(ended);
            if pause {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn note(&self, ended: Result<Ended, CallError>) {
        let mut seen = lock(&self.seen);
        seen.asked += 1;
        match ended {
            Ok(Ended::Whole(generation)) => seen.whole.push(generation),
            Ok(Ended::Left) => seen.left += 1,
            Ok(Ended::Refused(status)) => *seen.refused.entry(status).or_default() += 1,
            Err(_) => seen.cut += 1,
        }
    }

    fn body(&mut self, stream: bool) -> Value {
        let (tokens, salt) = (self.random.u64(1..=self.tokens), self.random.u32(..));
        let text = format!("godwits {salt} #tokens={tokens}");
        json!({
            "model": MODEL,
            "stream": stream,
            "max_tokens": self.tokens,
            "messages": [{ "role": "user", "content": text }],
        })
    }

    async fn whole(&mut self) -> Result<Ended, CallError> {
        let body = self.body(false);
        let reply = self.client.post(CHAT, &body).await?;
        if reply.status != 200 {
            return Ok(refused(reply.status, &reply.json()));
        }
        Ok(Ended::Whole(reply.header("x-generation-id").to_owned()))
    }

    /// Asks for a whole answer and does not wait for it.
    async fn hang_up(&mut self) -> Result<Ended, CallError> {
        let body = self.body(false);
        let patience = Duration::from_millis(self.random.u64(1..60));
        let call = self.client.post(CHAT, &body);
        match tokio::time::timeout(patience, call).await {
            Err(_) => Ok(Ended::Left),
            Ok(reply) => match reply? {
                reply if reply.status == 200 => {
                    Ok(Ended::Whole(reply.header("x-generation-id").to_owned()))
                }
                reply => Ok(refused(reply.status, &reply.json())),
            },
        }
    }

    /// Reads a stream, and leaves after so many events.
    async fn stream(&mut self, most: u64) -> Result<Ended, CallError> {
        let body = self.body(true);
        let mut events = self.client.stream(CHAT, &body).await?;
        if events.status != 200 {
            let status = events.status;
            let body = events.bytes().await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            return Ok(refused(status, &body));
        }
        let id = events.headers.get("x-generation-id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
        let mut count = 0;
        while let Some(event) = events.next().await? {
            count += 1;
            if event.data == "[DONE]" {
                return Ok(Ended::Whole(id));
            }
            if count >= most {
                return Ok(Ended::Left);
            }
        }
        // An error event ended it: the provider broke it off.
        Ok(Ended::Refused("200, broken off".to_owned()))
    }
}

/// The status and what the body says of it.
fn refused(status: u16, body: &Value) -> Ended {
    let message = body.pointer("/error/message").and_then(Value::as_str);
    Ended::Refused(format!("{status}: {}", message.unwrap_or_default()))
}
