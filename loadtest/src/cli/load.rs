//! `loadtest run`: one load against one URL, with a verdict.

use super::{Verdict, say, say_json};
use crate::provider::expected_answer;
use crate::run::{Limits, Plan, Shape, Target, drive, judge};
use serde_json::{Value, json};
use std::time::Duration;

/// Connections for a fixed rate, unless said otherwise.
const RATE_CONNECTIONS: usize = 256;

#[derive(clap::Args)]
pub(super) struct RunArguments {
    /// The whole URL (plain HTTP).
    #[arg(long, default_value = "http://127.0.0.1:8080/api/v1/chat/completions")]
    url: String,
    /// The key, sent as bearer.
    #[arg(long)]
    key: Option<String>,
    /// The model asked for.
    #[arg(long)]
    model: String,
    /// Requests at a time (closed loop); with --rate the connections to spread over.
    #[arg(long)]
    concurrency: Option<usize>,
    /// Requests per second (open loop).
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds that count.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds that one answer may take.
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
    /// Ask for streams.
    #[arg(long)]
    stream: bool,
    /// Tokens of each answer (a simulated provider obeys).
    #[arg(long, default_value_t = 100)]
    tokens: u64,
    /// Bytes of each prompt.
    #[arg(long, default_value_t = 1_500)]
    prompt_bytes: usize,
    /// Compare every answer with what a simulated provider says.
    #[arg(long)]
    check: bool,
    /// Most failures.
    #[arg(long)]
    max_errors: Option<u64>,
    /// Most milliseconds to the first token, p99.
    #[arg(long)]
    max_ttft_p99_ms: Option<f64>,
    /// Most milliseconds to the end of an answer, p99.
    #[arg(long)]
    max_total_p99_ms: Option<f64>,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: RunArguments) -> Result<Verdict, String> {
    let body = body(&arguments);
    let mut target = Target::parse(&arguments.url).map_err(|error| error.to_string())?;
    if let Some(key) = &arguments.key {
        target = target.header("authorization", &format!("Bearer {key}"));
    }
    let shape = match arguments.rate {
        Some(per_second) => Shape::Rate {
            per_second,
            connections: arguments.concurrency.unwrap_or(RATE_CONNECTIONS),
        },
        None => Shape::Closed {
            connections: arguments.concurrency.unwrap_or(16),
        },
    };
    let seconds = |name: &str, value: f64| {
        Duration::try_from_secs_f64(value).map_err(|error| format!("--{name}: {error}"))
    };
    let plan = Plan {
        target,
        expected: arguments.check.then(|| expected_answer(&body).text()),
        body: body.to_string().into(),
        shape,
        warm_up: seconds("warm-up", arguments.warm_up)?,
        window: seconds("duration", arguments.duration)?,
        patience: seconds("patience", arguments.patience)?,
        stamps: None,
        stagger: Duration::ZERO,
    };
    let mut tally = drive(&plan).await;
    let limits = Limits {
        errors: arguments.max_errors,
        ttft_p99_ms: arguments.max_ttft_p99_ms,
        total_p99_ms: arguments.max_total_p99_ms,
    };
    let broken = judge(&mut tally, &limits);
    let mut report = tally.to_json();
    if let Some(members) = report.as_object_mut() {
        members.insert("pass".into(), broken.is_empty().into());
        members.insert("broken".into(), json!(broken));
    }
    say_json(&report, !arguments.json);
    for reason in &broken {
        if !arguments.json {
            say(reason);
        }
    }
    Ok(if broken.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    })
}

fn body(arguments: &RunArguments) -> Value {
    let mut text = format!("#tokens={} ", arguments.tokens);
    while text.len() < arguments.prompt_bytes {
        text.push_str("a godwit crosses the ocean without a rest; ");
    }
    json!({
        "model": arguments.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": arguments.tokens,
        "stream": arguments.stream,
    })
}
