//! The client's side of one exchange: keeps it informed while it waits, notices when it leaves,
//! and knows whether the head of the answer is out, so that a failure becomes a status before and
//! an error event after.

use crate::egress::{self, Marks};
use crate::exchange::{Exchange, Framing, Gone};
use crate::failure::{Failure, Fault, seconds_up};
use crate::ingress::Api;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use shared::id::{GenerationId, Version};
use shared::routing::auto::Choice;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;

/// What a waiting client of a stream gets to keep its connection open: an SSE comment.
const KEEP_ALIVE: &[u8] = b": GODWIT PROCESSING\n\n";

/// The client of one exchange.
pub struct Client<'a> {
    /// The exchange underneath.
    pub exchange: &'a mut dyn Exchange,
    generation: GenerationId,
    edge: String,
    table: Option<Version>,
    /// What a router took the prompt for.
    task: Option<&'static str>,
    /// In whose form errors come.
    api: Option<Api>,
    keep_alive: Duration,
    /// True when the answer is to be a stream.
    streaming: bool,
    begun: bool,
    /// It has left, and its answer was heard out for nobody.
    left: bool,
    /// Events sent so far, where the API numbers them.
    events: u64,
}

impl<'a> Client<'a> {
    /// A client that has got nothing yet.
    #[must_use]
    pub fn new(
        exchange: &'a mut dyn Exchange,
        generation: GenerationId,
        edge: String,
        keep_alive: Duration,
    ) -> Self {
        Self {
            exchange,
            generation,
            edge,
            table: None,
            task: None,
            api: None,
            keep_alive,
            streaming: false,
            begun: false,
            left: false,
            events: 0,
        }
    }

    /// The request's id.
    #[must_use]
    pub fn generation(&self) -> &GenerationId {
        &self.generation
    }

    /// True once the head of the answer is out.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// From now on errors have the form of this API.
    pub fn speaks(&mut self, api: Api) {
        self.api = Some(api);
    }

    /// Names the table that decides about this request, for `x-godwit-table`.
    pub fn decided_by(&mut self, table: Version) {
        self.table = Some(table);
    }

    /// Names the task that decided about the model, for `x-router-task`.
    pub fn routed_as(&mut self, choice: Option<&Choice>) {
        self.task = choice.map(Choice::task);
    }

    /// From now on the answer is a stream of events.
    pub fn expect_stream(&mut self) {
        self.streaming = true;
    }

    /// Waits for `work` on the client's behalf: a client that leaves ends it, a client of a stream
    /// gets a comment each interval.
    ///
    /// # Errors
    /// What `work` fails with, or that the client has gone.
    pub async fn wait_for<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        loop {
            let tick = tokio::time::sleep(self.keep_alive);
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.exchange.gone() => return Err(Failure::client_gone()),
                () = tick, if self.streaming => {
                    self.send(Bytes::from_static(KEEP_ALIVE)).await?;
                }
            }
        }
    }

    /// Waits for `work` as [`Client::wait_for`] does, but hears it out for nobody while `billed` counts
    /// something that is billed whoever waits for it.
    ///
    /// # Errors
    /// As [`Client::wait_for`].
    pub async fn wait_for_billed<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
        billed: &watch::Sender<usize>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        match self.wait_for(work.as_mut()).await {
            Err(failure) if failure.fault == Fault::ClientGone && *billed.borrow() > 0 => {}
            done => return done,
        }
        self.left = true;
        let mut billed = billed.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            // What comes next nobody has to pay for.
            _ = billed.wait_for(|billed| *billed == 0) => Err(Failure::client_gone()),
        }
    }

    /// Sends a piece of a stream, after its head when that is not out yet.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn send(&mut self, data: Bytes) -> Result<(), Failure> {
        if self.left {
            return Err(Failure::client_gone());
        }
        if !self.begun {
            self.begun = true;
            let mut headers = self.headers("text/event-stream");
            headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")));
            // Proxies in front must not collect events.
            let unbuffered = HeaderName::from_static("x-accel-buffering");
            headers.push((unbuffered, HeaderValue::from_static("no")));
            self.exchange
                .send_head(200, &headers, Framing::Stream)
                .await
                .map_err(gone)?;
        }
        if self.api == Some(Api::Responses) {
            // What is sent begins with an event; a line end inside of an event's data is escaped.
            let events = memchr::memmem::find_iter(&data, b"\ndata: ").count();
            self.events += events as u64 + u64::from(data.starts_with(b"data: "));
        }
        self.exchange.send(data).await.map_err(gone)
    }

    /// Sends a comment that keeps the connection open.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn keep_alive(&mut self) -> Result<(), Failure> {
        self.send(Bytes::from_static(KEEP_ALIVE)).await
    }

    /// Ends a stream that has begun with the API's error event; `told` stands beside the error.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn fail(
        &mut self,
        failure: &Failure,
        told: Map<String, Value>,
        marks: Marks<'_>,
    ) -> Result<(), Failure> {
        if self.events == 0
            && let Some(cut) = self.cut(failure, marks, &told)
        {
            self.send(cut).await?;
        } else if let Some(api) = self.api {
            let generation = &self.generation;
            let event = egress::error_event(api, failure, generation, (marks, &told), self.events);
            self.send(event).await?;
        }
        self.end().await
    }

    /// An answer in place of the failure, where the API has one.
    fn cut(&self, failure: &Failure, marks: Marks<'_>, told: &Map<String, Value>) -> Option<Bytes> {
        let how = (marks, told, self.streaming);
        egress::cut(self.api, failure, &self.generation, how)
    }

    /// Ends a stream.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn end(&mut self) -> Result<(), Failure> {
        self.exchange.end().await.map_err(gone)
    }

    /// Sends a whole JSON answer.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn answer(&mut self, status: u16, body: Bytes) -> Result<(), Failure> {
        let headers = self.headers("application/json");
        self.whole(status, headers, body).await
    }

    /// Answers a failure that came before the answer had begun; `told` stands beside the error.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn refuse(
        &mut self,
        failure: &Failure,
        told: Map<String, Value>,
        marks: Marks<'_>,
    ) -> Result<(), Failure> {
        if let Some(cut) = self.cut(failure, marks, &told) {
            if self.streaming {
                self.send(cut).await?;
                return self.end().await;
            }
            return self.answer(200, cut).await;
        }
        let mut headers = self.headers("application/json");
        if let Some(after) = failure.retry_after {
            headers.push((header::RETRY_AFTER, HeaderValue::from(seconds_up(after))));
        }
        for (name, value) in failure.rate_headers() {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.push((HeaderName::from_static(name), value));
            }
        }
        let mut body = egress::error_body(self.api, failure, &self.generation);
        if let Some(members) = body.as_object_mut() {
            members.extend(told);
        }
        let body = serde_json::to_vec(&body).unwrap_or_default();
        self.whole(failure.status, headers, body.into()).await
    }

    async fn whole(
        &mut self,
        status: u16,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<(), Failure> {
        if self.left {
            return Err(Failure::client_gone());
        }
        self.begun = true;
        self.exchange
            .send_head(status, &headers, Framing::Length(body.len()))
            .await
            .map_err(gone)?;
        self.exchange.send(body).await.map_err(gone)?;
        self.exchange.end().await.map_err(gone)
    }

    fn headers(&self, content_type: &'static str) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(8);
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        let mut text = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.push((HeaderName::from_static(name), value));
            }
        };
        text("x-generation-id", self.generation.as_str());
        text("x-godwit-edge", &self.edge);
        if let Some(table) = self.table {
            text("x-godwit-table", &table.to_string());
        }
        if let Some(task) = self.task {
            text("x-router-task", task);
        }
        headers
    }
}

fn gone(_: Gone) -> Failure {
    Failure::client_gone()
}
