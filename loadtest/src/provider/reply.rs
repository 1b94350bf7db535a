//! One request at the simulated provider: control interface, checks, the fault that strikes, the
//! answer. The order is that of a real API: authentication, size, syntax, then the work.

use super::answer::Answer;
use super::bill::{Entry, Open};
use super::dialect::{Dialect, Head, Place, Refusal, Script, Wire};
use super::fault::{Kind, Rule, read_rules};
use super::stream::{Body, Ending, How, Mishap, Paced, Plan};
use super::vectors::{Answered, Form};
use super::{BODY_BYTES_MAX, Desk, KEYS_SEEN_MAX};
use crate::server::{self, Cut};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};
use shared::task::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Longest id that is taken over from a request.
const CLIENT_ID_MAX: usize = 128;
const JSON: &str = "application/json";

impl server::Answer for Desk {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, cut: Cut) -> Response<Body> {
        let place = Place {
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or("").to_owned(),
        };
        let path = &place.path;
        if path.starts_with("/_") || path == "/healthz" {
            return self.control(path, request).await;
        }
        let only = self.config.dialect;
        let spoken = only.map_or_else(|| Dialect::of_path(path), |only| only.spoken_at(path));
        let vectors = Form::of_path(path);
        let spoken = spoken.or_else(|| vectors.map(|form| only.unwrap_or_else(|| form.dialect())));
        let Some(dialect) = spoken else {
            let wire = only.unwrap_or(Dialect::OpenaiChat).wire();
            return refuse(wire, &Refusal::new(404, &format!("unknown path {path}")));
        };
        let wire = dialect.wire();
        if request.method() != Method::POST {
            return refuse(wire, &Refusal::new(405, "method not allowed"));
        }
        match self.serve(wire, &place, request, cut).await {
            Ok(response) => response,
            Err(refusal) => refuse(wire, &refusal),
        }
    }
}

impl Desk {
    async fn control(&self, path: &str, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        match (&method, path) {
            (&Method::GET, "/healthz") => json_response(200, &json!({"status": "ok"})),
            (&Method::GET, "/_fault") => json_response(200, &json!(self.faults.rules())),
            (&Method::DELETE, "/_fault") => {
                self.faults.set(Vec::new());
                json_response(200, &json!([]))
            }
            (&Method::PUT, "/_fault") => {
                let body = match read_body(request).await {
                    Ok(body) => body,
                    Err(refusal) => return refuse(Dialect::OpenaiChat.wire(), &refusal),
                };
                match read_rules(&body) {
                    Ok(rules) => {
                        let shown = json!(rules);
                        self.faults.set(rules);
                        json_response(200, &shown)
                    }
                    Err(message) => json_response(400, &json!({"error": message})),
                }
            }
            (&Method::GET, "/_bill") => {
                let sums_only = request.uri().query() == Some("totals");
                let bill = if sums_only {
                    json!({"totals": self.book.totals()})
                } else {
                    json!(self.book.read())
                };
                json_response(200, &bill)
            }
            (&Method::DELETE, "/_bill") => {
                self.book.reset();
                json_response(200, &json!({}))
            }
            _ => json_response(404, &json!({"error": "unknown control path"})),
        }
    }

    async fn serve(
        &self,
        wire: &'static dyn Wire,
        place: &Place,
        request: Request<Incoming>,
        cut: Cut,
    ) -> Result<Response<Body>, Refusal> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(Refusal::new(503, "too many requests in flight"));
        };
        self.check_head(wire, request.headers())?;
        let id = self.answer_id(wire, request.headers());
        let body = read_body(request).await?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|error| Refusal::new(400, &format!("invalid JSON: {error}")))?;
        if let Some(form) = Form::of_path(&place.path) {
            return self
                .vectors((id, room), form.answer(&place.path, &body)?, wire)
                .await;
        }
        let prompt = wire.prompt(place, &body)?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let strike = self.faults.draw(&prompt.model);
        let entry = Entry {
            id: id.clone(),
            model: prompt.model.clone(),
            stream: prompt.stream,
            fault: strike.rule.as_ref().map(fault_name).unwrap_or_default(),
            ..Entry::default()
        };
        let open = self.book.open(entry, room);
        let head = Head {
            id,
            model: prompt.model.clone(),
            created: self.started_s,
        };
        let call = Exchange {
            wire,
            answer: wire.answer(&prompt),
            rate: self.config.tokens_per_second,
            first_at: Instant::now() + self.config.ttft + strike.latency,
            rule: strike.rule,
            stamps: self.config.stamps,
            cut,
            open,
        };
        if prompt.stream {
            Ok(call.stream(wire.script(place, head, &prompt)).await)
        } else {
            Ok(call.whole(head).await)
        }
    }

    /// Embeddings and rankings: of the faults they know refusals and delays.
    async fn vectors(
        &self,
        (id, room): (String, OwnedSemaphorePermit),
        answered: Answered,
        wire: &'static dyn Wire,
    ) -> Result<Response<Body>, Refusal> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let strike = self.faults.draw(&answered.model);
        let entry = Entry {
            id,
            model: answered.model,
            input_tokens: answered.tokens,
            fault: strike.rule.as_ref().map(fault_name).unwrap_or_default(),
            ..Entry::default()
        };
        let mut open = self.book.open(entry, room);
        wait_until(Instant::now() + self.config.ttft + strike.latency).await;
        if let Some(rule) = strike.rule.filter(|rule| rule.kind == Kind::Status) {
            open.entry.status = rule.status;
            open.entry.input_tokens = 0;
            return Ok(refuse(wire, &rule.refusal()));
        }
        open.entry.status = 200;
        Ok(response(
            200,
            JSON,
            Body::billed(answered.body.to_string(), open),
        ))
    }

    fn check_head(&self, wire: &dyn Wire, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = wire.key_headers().iter().find_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            if *name == "authorization" {
                return value.strip_prefix("Bearer ");
            }
            Some(value)
        });
        self.saw(given.unwrap_or_default());
        if let Some(key) = &self.config.api_key
            && given != Some(key)
        {
            return Err(wire.bad_key());
        }
        wire.check_head(headers)
    }

    fn saw(&self, key: &str) {
        let mut keys = lock(&self.keys);
        if let Some(count) = keys.get_mut(key) {
            *count += 1;
            return;
        }
        let room = keys.len() < KEYS_SEEN_MAX;
        let name = if room { key } else { "other" };
        *keys.entry(name.to_owned()).or_default() += 1;
    }

    /// The caller's own id where it gives one, so that both sides' books can be joined.
    fn answer_id(&self, wire: &dyn Wire, headers: &HeaderMap) -> String {
        let given = headers
            .get("x-client-request-id")
            .and_then(|id| id.to_str().ok());
        if let Some(id) = given.filter(|id| !id.is_empty() && id.len() <= CLIENT_ID_MAX) {
            return id.to_owned();
        }
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let port = self.config.seed;
        format!(
            "{}{:x}{port:04x}{number:010x}",
            wire.id_prefix(),
            self.started_s
        )
    }
}

/// One request whose answer is known.
struct Exchange {
    wire: &'static dyn Wire,
    answer: Answer,
    rate: f64,
    first_at: Instant,
    rule: Option<Rule>,
    stamps: Option<Instant>,
    cut: Cut,
    open: Open,
}

impl Exchange {
    fn kind(&self) -> Option<Kind> {
        self.rule.as_ref().map(|rule| rule.kind)
    }

    /// Between two tokens.
    fn interval(&self) -> Duration {
        let rate = match &self.rule {
            Some(rule) if rule.kind == Kind::SlowDrip => rule.tokens_per_second,
            _ => self.answer.rate.map_or(self.rate, f64::from),
        };
        if rate > 0.0 {
            Duration::from_secs_f64(1.0 / rate)
        } else {
            Duration::ZERO
        }
    }

    /// The faults that strike before there is a head of a proper answer.
    async fn early(mut self) -> Result<Self, Response<Body>> {
        let Some(rule) = self.rule.take() else {
            return Ok(self);
        };
        match rule.kind {
            Kind::BlackHole => std::future::pending().await,
            Kind::Reset if rule.after_tokens == 0 => {
                self.cut.reset();
                std::future::pending().await
            }
            Kind::Status => {
                self.open.entry.status = rule.status;
                Err(refuse(self.wire, &rule.refusal()))
            }
            Kind::Html => {
                self.open.entry.status = 200;
                let page = "<!doctype html><title>502</title><h1>Bad gateway</h1>\n";
                Err(response(200, "text/html", Body::bytes(page)))
            }
            _ => {
                self.rule = Some(rule);
                Ok(self)
            }
        }
    }

    async fn stream(self, script: Box<dyn Script>) -> Response<Body> {
        wait_until(self.first_at).await;
        let mut this = match self.early().await {
            Ok(this) => this,
            Err(response) => return response,
        };
        let interval = this.interval();
        let content_type = script.content_type();
        this.open.entry.status = 200;
        if this.kind() == Some(Kind::EmptyStream) {
            return response(200, content_type, Body::bytes(Bytes::new()));
        }
        let cut = this.cut;
        let rule = this.rule.filter(|rule| rule.kind != Kind::SlowDrip);
        let plan = Plan {
            script,
            answer: this.answer,
            interval,
            mishap: rule.map(|rule| Mishap { rule, cut }),
            stamps: this.stamps,
            open: this.open,
        };
        response(200, content_type, Body::Paced(Box::new(Paced::new(plan))))
    }

    async fn whole(self, head: Head) -> Response<Body> {
        wait_until(self.first_at).await;
        let mut this = match self.early().await {
            Ok(this) => this,
            Err(response) => return response,
        };
        this.open.entry.input_tokens = this.answer.input_tokens;
        this.open.entry.cached_tokens = this.answer.cached_tokens;
        this.work().await;
        this.open.entry.status = 200;
        let text = this.wire.whole(&head, &this.answer).to_string();
        let half = Bytes::from(text.get(..text.len() / 2).unwrap_or("{").to_owned());
        let how = match this.rule.as_ref().map(|rule| (rule.kind, rule.clean)) {
            None | Some((Kind::SlowDrip, _)) => {
                return response(200, JSON, Body::billed(text, this.open));
            }
            Some((Kind::ErrorEvent, _)) => {
                let status = this.rule.map_or(500, |rule| rule.status);
                let refusal = Refusal::new(status, "the simulated provider failed");
                return json_response(200, &this.wire.error(&refusal));
            }
            Some((Kind::Garbage, _)) => {
                return response(200, JSON, Body::bytes("%PDF-1.7 {garbage"));
            }
            Some((Kind::EmptyStream, _)) => return response(200, JSON, Body::bytes("")),
            Some((Kind::Reset, _)) => How::Reset(this.cut),
            Some((Kind::Truncate, true)) => How::Clean,
            Some((Kind::Truncate, false)) => How::Close,
            Some(_) => How::Hang,
        };
        let ending = Box::new(Ending::new(how, this.open));
        let bytes = Some(half);
        response(200, JSON, Body::Broken { bytes, ending })
    }

    /// Makes the tokens of an answer that is not streamed, one by one, so that a caller that
    /// leaves is billed for those made until then.
    async fn work(&mut self) {
        let interval = self.interval();
        let after = self
            .rule
            .as_ref()
            .filter(|rule| rule.kind != Kind::SlowDrip);
        let tokens = after.map_or(u64::MAX, |rule| rule.after_tokens);
        let tokens = tokens.min(self.answer.output_tokens());
        if interval.is_zero() {
            self.open.entry.output_tokens = tokens;
            return;
        }
        let mut due = self.first_at;
        for _ in 0..tokens {
            due += interval;
            tokio::time::sleep_until(due).await;
            self.open.entry.output_tokens += 1;
        }
    }
}

/// Waits, but not for a moment that has come: a timer's tick is a millisecond.
async fn wait_until(due: Instant) {
    if due > Instant::now() {
        tokio::time::sleep_until(due).await;
    }
}

fn fault_name(rule: &Rule) -> String {
    let name = serde_json::to_value(rule.kind).unwrap_or_default();
    name.as_str().unwrap_or("").to_owned()
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    match Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::new(413, "request body too large"))
        }
        Err(_) => Err(Refusal::new(400, "request body ended early")),
    }
}

fn refuse(wire: &dyn Wire, refusal: &Refusal) -> Response<Body> {
    let mut response = json_response(refusal.status, &wire.error(refusal));
    wire.error_headers(refusal, response.headers_mut());
    response
}

fn json_response(status: u16, body: &Value) -> Response<Body> {
    response(status, JSON, Body::bytes(body.to_string()))
}

fn response(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let fallback = StatusCode::INTERNAL_SERVER_ERROR;
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(fallback);
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
