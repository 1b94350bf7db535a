//! What a dialect costs: time and allocations for each event of a stream (`event`: those of all
//! recorded streams of the dialect, one by one, as they come from a model), for each recorded stream
//! whole, in pieces of a network segment (`stream`), and for each request body of 2 KB and 200 KB:
//! what routing must know of it (`peek`), what goes upstream (`request`), and how its strings are
//! scanned with wide vectors and without. `cargo bench -p edge-node --bench dialects`
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
use edge_node::dialect::{self, Target, Translator};
use edge_node::ingress::{Api, Call, Surface, parse};
use edge_node::wire::json::Scanner;
use http::HeaderMap;
use mimalloc::MiMalloc;
use recording::{Recording, recordings};
use serde_json::json;
use shared::catalog::{Dialect, Endpoint, Provider};
use shared::id::GenerationId;
use std::cell::RefCell;
use std::rc::Rc;

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

/// Payload of a TCP segment on an Ethernet.
const SEGMENT_BYTES: usize = 1448;
const SIZES: [usize; 2] = [2_000, 200_000];
/// Events in a sample: those of several streams, so that none decides.
const SAMPLE: u32 = 2_000;

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

/// The dialects of which there are recorded streams.
fn streamed() -> Vec<Dialect> {
    let all = recordings();
    let kept = all.iter().filter(|it| it.status == 200 && it.is_stream());
    let mut dialects: Vec<Dialect> = kept.map(|it| it.dialect).collect();
    dialects.sort_by_key(|dialect| dialect.as_str());
    dialects.dedup();
    dialects
}

/// The bytes of each event: SSE ends with a blank line, AWS's begins with its length, and lines end.
fn frames(body: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let behind = |mark: &[u8]| {
            let found = rest.windows(mark.len()).position(|bytes| bytes == mark);
            found.map(|at| at + mark.len())
        };
        let length = if rest[0] == 0 {
            u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize
        } else if rest[0] == b'{' {
            behind(b"\n").unwrap_or(rest.len())
        } else {
            let ends = [behind(b"\n\n"), behind(b"\r\n\r\n")];
            ends.into_iter().flatten().min().unwrap_or(rest.len())
        };
        let (frame, after) = rest.split_at(length.min(rest.len()));
        frames.push(frame);
        rest = after;
    }
    frames
}

/// One event, alone in its piece.
#[divan::bench(args = streamed(), sample_count = 50, sample_size = SAMPLE)]
fn event(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let mut all = recordings();
    all.retain(|it| it.dialect == dialect && it.status == 200 && it.is_stream());
    let way = Way::to(dialect);
    let calls: Vec<Call> = all
        .iter()
        .map(|recording| call(recording.client_request(Api::Chat)))
        .collect();
    let streams: Vec<Vec<&[u8]>> = all.iter().map(|it| frames(&it.body)).collect();
    let begin = |stream: usize| -> Rc<RefCell<Box<dyn Translator>>> {
        let outgoing = dialect::prepare(&calls[stream], &way.target()).unwrap();
        Rc::new(RefCell::new(outgoing.translator))
    };
    let (mut stream, mut at, mut translator) = (0, 0, begin(0));
    let next = move || {
        if at == streams[stream].len() {
            stream = (stream + 1) % streams.len();
            at = 0;
            translator = begin(stream);
        }
        at += 1;
        (Rc::clone(&translator), streams[stream][at - 1])
    };
    let out = RefCell::new(BytesMut::with_capacity(1 << 20));
    bencher
        .with_inputs(next)
        .bench_local_refs(|(translator, frame)| {
            let mut out = out.borrow_mut();
            // After an error nothing more comes; the recordings have few.
            let _ = translator.borrow_mut().feed(black_box(frame), &mut out);
            out.clear();
        });
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

/// A conversation of many short turns, as agents have them.
fn turns(bytes: usize) -> String {
    let turn = json!({"role": "user", "content": "Yes, do."});
    let turns = vec![turn; bytes / 40];
    json!({"model": "test/model", "messages": turns}).to_string()
}

#[divan::bench(consts = SIZES)]
fn peek_many_turns<const BYTES: usize>(bencher: Bencher<'_, '_>) {
    let body = bytes::Bytes::from(turns(BYTES));
    let headers = HeaderMap::new();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            let body = black_box(body.clone());
            parse(Api::Chat, Surface::OpenRouter, &headers, body).unwrap()
        });
}

/// The scanner alone, on a body of 200 KB.
#[divan::bench(args = ["wide, plain", "wide, mixed", "wide, turns", "narrow, plain", "narrow, mixed", "narrow, turns"])]
fn scan(bencher: Bencher<'_, '_>, what: &str) {
    let text = if what.ends_with("plain") {
        body(PLAIN, SIZES[1])
    } else if what.ends_with("mixed") {
        body(MIXED, SIZES[1])
    } else {
        turns(SIZES[1])
    };
    let wide = what.starts_with("wide");
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| {
            let text = black_box(&text);
            let mut scanner = if wide {
                Scanner::new(text)
            } else {
                Scanner::narrow(text)
            };
            scanner.value()
        });
}

/// Is the body UTF-8? As the edge asks, and without vectors.
#[divan::bench(args = ["simdutf8, plain", "simdutf8, mixed", "std, plain", "std, mixed"])]
fn check_utf8(bencher: Bencher<'_, '_>, what: &str) {
    let text = if what.ends_with("plain") {
        PLAIN
    } else {
        MIXED
    };
    let body = body(text, SIZES[1]).into_bytes();
    let with_vectors = what.starts_with("simd");
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            let body = black_box(&body);
            if with_vectors {
                simdutf8::basic::from_utf8(body).is_ok()
            } else {
                std::str::from_utf8(body).is_ok()
            }
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
