//! What the fuzz targets try, without a fuzzer: over each recording as it is, and over some
//! mutations of it, the same in each run. Fuzzing itself is `make fuzz`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[allow(unreachable_pub, reason = "a crate of its own for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[allow(dead_code, reason = "other tests read more of a recording")]
#[path = "golden/recording.rs"]
mod recording;

use recording::recordings;
use targets::Api;

/// Longer answers say nothing new.
const BYTES_MAX: usize = 8 << 10;
/// Mutations of one recording …
const MUTATIONS: usize = 6;
/// … and of one head of an answer that was made, for short texts.
const MUTATIONS_SHORT: usize = 400;
/// Heads of answers: every form of a time, and what is none.
const HEADS: [&str; 6] = [
    "x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 59\n\
     x-ratelimit-reset-requests: 6m0s\nretry-after: 1m30.5s",
    "date: Wed, 21 Oct 2026 07:28:00 GMT\nretry-after: Wed, 21 Oct 2026 07:28:30 GMT",
    "date: Wed, 21 Oct 2026 07:28:00 GMT\nanthropic-ratelimit-tokens-remaining: 0\n\
     anthropic-ratelimit-tokens-reset: 2026-10-21T09:28:12.5+02:00",
    "retry-after: -1\nretry-after-ms: 99999999999999999999",
    "x-ratelimit-limit: 30\nx-ratelimit-remaining: 29\nx-ratelimit-reset: 1e400\n\
     x-ratelimit-renewalperiod: 60",
    "date: Thu, 01 Jan 1970 00:00:00 GMT\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT",
];

/// These bytes, the recorded ones behind them, then with some bytes changed, taken out or repeated.
fn mutations(before: &[u8], body: &[u8]) -> Vec<Vec<u8>> {
    so_many_mutations(MUTATIONS, before, body)
}

fn so_many_mutations(count: usize, before: &[u8], body: &[u8]) -> Vec<Vec<u8>> {
    let body = &body[..body.len().min(BYTES_MAX)];
    let seed = [before, body].concat();
    let mut random = fastrand::Rng::with_seed(body.len() as u64);
    let mut all = vec![seed];
    while all.len() <= count && !body.is_empty() {
        let mut mutated = all[random.usize(..all.len())].clone();
        for _ in 0..random.usize(1..8) {
            if mutated.len() <= before.len() {
                break;
            }
            let at = random.usize(before.len()..mutated.len());
            match random.u8(..4) {
                0 => mutated[at] = random.u8(..),
                1 => mutated[at] = *random.choice(b"{}[]\",:\\\n 0-e\xc3").unwrap(),
                2 => {
                    let end = mutated.len().min(at + random.usize(1..40));
                    mutated.drain(at..end);
                }
                _ => {
                    let end = mutated.len().min(at + random.usize(1..40));
                    let piece = mutated[at..end].to_vec();
                    let into = random.usize(before.len()..=mutated.len());
                    mutated.splice(into..into, piece);
                }
            }
        }
        all.push(mutated);
    }
    all
}

#[test]
fn answers_of_every_dialect() {
    for recording in recordings() {
        for api in 0..4 {
            for stream in [0, 4] {
                for data in mutations(&[api | stream, 7, 0], &recording.body) {
                    targets::answer(recording.dialect, &data);
                }
            }
        }
        for data in mutations(&recording.status.to_be_bytes(), &recording.body) {
            targets::error(&data);
        }
    }
}

#[test]
fn requests_of_every_api() {
    let apis = [Api::Chat, Api::Messages, Api::Responses, Api::Completions];
    for recording in recordings() {
        for api in apis {
            let body = recording.client_request(api);
            for data in mutations(&[0], body.as_bytes()) {
                targets::request(api, &data);
            }
        }
    }
}

#[test]
fn headers_of_limits() {
    for recording in recordings() {
        let headers = recording.headers();
        let lines = headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap();
            format!("{name}: {value}\n")
        });
        let lines: String = lines.collect();
        for data in mutations(&[], lines.as_bytes()) {
            targets::limits(&data);
        }
    }
    for head in HEADS {
        for data in so_many_mutations(MUTATIONS_SHORT, &[], head.as_bytes()) {
            targets::limits(&data);
        }
    }
}

#[test]
fn the_wires_own_readers() {
    for recording in recordings() {
        for data in mutations(&[7], &recording.body) {
            targets::sse(&data);
            targets::lines(&data);
            targets::eventstream(&data);
            targets::splice(&data);
            targets::json(&data[1..]);
        }
        for data in mutations(&[1, 7], &recording.body) {
            targets::vectors(&data);
        }
    }
}
