//! What a dialect costs: nanoseconds and allocations for each event of a stream, and for each
//! request body of 2 KB and 200 KB. Events are those of recorded streams; each stream is fed as it
//! would arrive, in pieces of a network segment. `cargo bench -p edge-node --bench dialects`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic"
)]

#[path = "../tests/support/offer.rs"]
mod offer;
#[allow(dead_code, reason = "the tests read more of a recording")]
#[path = "../tests/golden/recording.rs"]
mod recording;

use bytes::BytesMut;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use edge_node::dialect::{self, Target};
use edge_node::ingress::{Api, Call, Surface, parse};
use http::HeaderMap;
use recording::{Recording, recordings};
use serde_json::json;
use shared::catalog::{Dialect, Endpoint, Provider};
use shared::id::GenerationId;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Payload of a TCP segment on an Ethernet.
const SEGMENT_BYTES: usize = 1448;
const SIZES: [usize; 2] = [2_000, 200_000];

fn main() {
    divan::main();
}

/// Where a bench's requests go.
struct Way {
    provider: Provider,
    endpoint: Endpoint,
    generation: GenerationId,
}

impl Way {
    fn to(dialect: Dialect) -> Self {
        Self {
            provider: offer::provider(dialect),
            endpoint: Endpoint {
                context_length: 1 << 20,
                ..offer::endpoint("test/model", "upstream-model")
            },
            generation: GenerationId::from("gen-bench"),
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            endpoint: &self.endpoint,
            provider: &self.provider,
            generation: &self.generation,
            created: 1,
            max_tokens_clamp: None,
        }
    }
}

/// Text of letters and blanks, and text with escapes and accents in it.
const PLAIN: &str =
    "The quick brown fox says hello and jumps over the lazy dog while writing French. ";
const MIXED: &str =
    "The quick brown fox says \"hello\", jumps over the lazy dog and écrit en français. ";

/// A conversation of about so many bytes.
fn body(text: &str, bytes: usize) -> String {
    let turn = json!({"role": "user", "content": text.repeat(bytes / 2 / text.len())});
    json!({
        "model": "test/model",
        "messages": [turn.clone(), {"role": "assistant", "content": "Yes."}, turn],
        "max_tokens": 100,
        "temperature": 0.5,
        "stream": true,
    })
    .to_string()
}

fn call(body: String) -> Call {
    parse(
        Api::Chat,
        Surface::OpenRouter,
        &HeaderMap::new(),
        body.into(),
    )
    .unwrap()
}

/// The recorded streams, by name.
fn streams() -> Vec<String> {
    let kept = recordings()
        .into_iter()
        .filter(|recording| recording.status == 200 && recording.is_stream());
    kept.map(|recording| recording.name).collect()
}

fn events(recording: &Recording) -> usize {
    let lines = recording.body.split(|byte| *byte == b'\n');
    let data = lines.filter(|line| line.starts_with(b"data")).count();
    // Frames of AWS's event stream have no lines: their type is a header.
    let frames = recording
        .body
        .windows(11)
        .filter(|bytes| *bytes == b":event-type")
        .count();
    data.max(frames).max(1)
}

/// One recorded stream, from its first byte to its last.
#[divan::bench(args = streams())]
fn stream(bencher: Bencher<'_, '_>, name: &str) {
    let all = recordings();
    let recording = all.iter().find(|recording| recording.name == name).unwrap();
    let way = Way::to(recording.dialect);
    let call = call(recording.client_request(Api::Chat));
    bencher
        .counter(ItemsCount::new(events(recording)))
        .with_inputs(|| dialect::prepare(&call, &way.target()).unwrap().translator)
        .bench_local_values(|mut translator| {
            let mut out = BytesMut::with_capacity(64 << 10);
            for piece in recording.body.chunks(SEGMENT_BYTES) {
                if translator.feed(piece, &mut out).is_err() {
                    break;
                }
                out.clear();
            }
            translator
        });
}

/// A client's body, as far as routing and money need to know it.
#[divan::bench(args = [PLAIN, MIXED], consts = SIZES)]
fn peek<const BYTES: usize>(bencher: Bencher<'_, '_>, text: &str) {
    let body = bytes::Bytes::from(body(text, BYTES));
    let headers = HeaderMap::new();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            parse(
                Api::Chat,
                Surface::OpenRouter,
                &headers,
                black_box(body.clone()),
            )
            .unwrap()
        });
}

/// The body that goes upstream: a splice for OpenAI's dialect, a translation for all others.
#[divan::bench(args = Dialect::ALL, consts = SIZES)]
fn request<const BYTES: usize>(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let way = Way::to(dialect);
    let call = call(body(MIXED, BYTES));
    bencher
        .counter(BytesCount::new(call.body.len()))
        .bench_local(|| {
            dialect::prepare(black_box(&call), &way.target())
                .unwrap()
                .body
        });
}
