//! What content filters cost per byte of prompt: one custom pattern, each built-in by itself, and
//! all of them, over plain text and over text with escapes. `cargo bench -p edge-node --bench screen`
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use edge_node::ingress::{Api, Call, Surface, parse};
use edge_node::screen::Screens;
use http::HeaderMap;
use serde_json::json;
use shared::guardrail::{Builtin, Guardrail, Layer, Rules, combine};

const SIZES: [usize; 2] = [20_000, 2_000_000];
const PLAIN: &str = "The quick brown fox jumps over the lazy dog, and 17 others watch it. ";
const ESCAPED: &str = "The \"quick\" brown fox\njumps over the lazy dog\tand 17 others watch. ";

fn main() {
    divan::main();
}

fn rules(guardrail: &serde_json::Value) -> Rules {
    let guardrail = Guardrail::parse(&guardrail.to_string()).unwrap();
    let layer = Layer {
        id: "g",
        assigned: "key",
        guardrail: &guardrail,
    };
    combine(&[layer])
}

fn call(words: &str, bytes: usize) -> Call {
    let text = words.repeat(bytes / words.len());
    let body = json!({"model": "a/b", "messages": [{"role": "user", "content": text}]});
    let headers = HeaderMap::new();
    let body = body.to_string().into();
    parse(Api::Chat, Surface::OpenRouter, &headers, body).unwrap()
}

fn run(bencher: Bencher<'_, '_>, rules: &Rules, call: &Call) {
    let (screens, headers) = (Screens::default(), HeaderMap::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    bencher
        .counter(BytesCount::new(call.body.len()))
        .with_inputs(|| call.clone())
        .bench_local_values(|mut call| {
            let screened = screens.screen(black_box(rules), &mut call, &headers);
            runtime.block_on(screened).unwrap()
        });
}

#[divan::bench(args = SIZES)]
fn custom_pattern(bencher: Bencher<'_, '_>, bytes: usize) {
    let filters = json!({"content_filters": [{"pattern": "secret-\\d+", "action": "redact"}]});
    run(bencher, &rules(&filters), &call(PLAIN, bytes));
}

#[divan::bench(args = Builtin::ALL.map(Builtin::as_str))]
fn builtin(bencher: Bencher<'_, '_>, slug: &str) {
    let filters = json!({"content_filter_builtins": [{"slug": slug, "action": "redact"}]});
    run(bencher, &rules(&filters), &call(PLAIN, 200_000));
}

#[divan::bench(args = SIZES)]
fn all(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, &everything(), &call(PLAIN, bytes));
}

#[divan::bench(args = SIZES)]
fn all_escaped(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, &everything(), &call(ESCAPED, bytes));
}

fn everything() -> Rules {
    let all = Builtin::ALL.map(|slug| json!({"slug": slug.as_str(), "action": "redact"}));
    rules(&json!({
        "content_filters": [{"pattern": "secret-\\d+", "action": "redact"}],
        "content_filter_builtins": all,
    }))
}
