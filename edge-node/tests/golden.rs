//! Recorded provider traffic, played through the dialects: what the client reads in our answer must
//! be what the recording says. The recordings are read here by plain tree walking, independent of
//! the code under test. Sources and licences: `corpus/LICENSES.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "support/offer.rs"]
mod offer;

mod golden {
    pub(crate) mod bedrock;
    pub(crate) mod cohere;
    pub(crate) mod gemini;
    pub(crate) mod ollama;
    pub(crate) mod recording;
    pub(crate) mod said;
    pub(crate) mod spelling;
}

use bytes::BytesMut;
use edge_node::dialect::{self, Bill, Target};
use edge_node::failure::Failure;
use edge_node::ingress::{Api, Call, Surface, parse};
use golden::recording::{Recording, recordings};
use golden::said::Said;
use golden::spelling::{Spelling, spelled};
use http::HeaderMap;
use shared::catalog::Dialect;
use shared::id::GenerationId;
use shared::usage::{Cost, Usage, cost};

/// The client's bytes, or the failure that they end in; and the usage that was metered.
struct Played {
    out: Vec<u8>,
    failure: Option<Failure>,
    usage: Option<Usage>,
}

/// Plays a body in pieces of `size` bytes.
fn play(call: &Call, dialect: Dialect, body: &[u8], size: usize) -> Played {
    let (provider, endpoint) = (
        offer::provider(dialect),
        offer::endpoint("test/model", "upstream-model"),
    );
    let generation = GenerationId::from("gen-test");
    let target = Target {
        endpoint: &endpoint,
        provider: &provider,
        generation: &generation,
        created: 1,
        max_tokens_clamp: None,
    };
    let mut translator = dialect::prepare(call, &target).unwrap().translator;
    let mut out = BytesMut::new();
    let fed = body
        .chunks(size)
        .try_for_each(|chunk| translator.feed(chunk, &mut out))
        .and_then(|()| translator.end(&mut out));
    let usage = translator.progress().usage;
    if fed.is_ok() {
        let usage = usage.unwrap_or_default();
        let cost: Cost = cost(&usage, &endpoint.pricing);
        let bill = Bill {
            usage: &usage,
            cost: &cost,
            charged: cost.total(),
            served: None,
            told: "",
            took: std::time::Duration::from_secs(2),
        };
        translator.close(&bill, &mut out);
    }
    Played {
        out: out.to_vec(),
        failure: fed.err(),
        usage,
    }
}

/// Notes a difference.
fn differ<T: PartialEq + std::fmt::Debug>(faults: &mut Vec<String>, what: &str, got: &T, said: &T) {
    if got != said {
        faults.push(format!("{what}: {got:?}, recorded {said:?}"));
    }
}

/// Plays this body, which says what was recorded.
fn check(recording: &Recording, body: &[u8], api: Api) -> Vec<String> {
    let mut faults = Vec::new();
    let request = recording.client_request(api).into();
    let call = match parse(api, Surface::OpenRouter, &HeaderMap::new(), request) {
        Ok(call) => call,
        Err(failure) => return vec![failure.message],
    };
    if recording.status != 200 {
        let provider = offer::provider(recording.dialect);
        let headers = recording.headers();
        let failure = dialect::classify(&provider, recording.status, &headers, &recording.body);
        let clean = failure.status >= 400 && !failure.message.contains("sk-");
        differ(&mut faults, &failure.message, &clean, &true);
        return faults;
    }
    let mut expected = Said::in_recording(recording).told_to(api);
    let played = play(&call, recording.dialect, body, usize::MAX);
    let mut said = Said::to_client(&played.out, api, call.stream).told_to(api);
    if body != recording.body {
        // Arguments are spelled as the provider does.
        for said in [&mut said, &mut expected] {
            for (.., arguments) in said.calls.values_mut().flatten() {
                if let Ok(value) = serde_json::from_str::<serde_json::Value>(arguments) {
                    *arguments = value.to_string();
                }
            }
        }
    }
    let failed = played.failure.is_some();
    differ(&mut faults, "error", &failed, &expected.error);
    differ(&mut faults, "texts", &said.texts, &expected.texts);
    differ(
        &mut faults,
        "reasoning",
        &said.reasoning,
        &expected.reasoning,
    );
    differ(&mut faults, "calls", &said.calls, &expected.calls);
    if !expected.error {
        differ(&mut faults, "finish", &said.finish, &expected.finish);
        let metered = played.usage;
        let metered = metered.map(|u| (u.prompt, u.cache_read, u.completion, u.reasoning));
        differ(&mut faults, "metered", &metered, &expected.usage);
        let told = said.usage.filter(|_| expected.usage.is_some());
        differ(&mut faults, "usage", &told, &expected.usage);
    }
    for size in [1, 7, 1000] {
        let pieces = play(&call, recording.dialect, body, size);
        let same = pieces.out == played.out;
        differ(&mut faults, &format!("pieces of {size}"), &same, &true);
    }
    faults
}

#[test]
fn what_the_client_reads_is_what_the_provider_said() {
    let all = recordings();
    assert!(all.len() >= 12, "{} recordings", all.len());
    let mut faults = Vec::new();
    for recording in &all {
        for api in [Api::Chat, Api::Completions, Api::Messages, Api::Responses] {
            let name = format!("{} as {}", recording.name, api.as_str());
            let found = check(recording, &recording.body, api);
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_long_answer_is_what_the_provider_said() {
    let made = Recording::made(900_000);
    for api in [Api::Chat, Api::Completions, Api::Messages, Api::Responses] {
        let found = check(&made, &made.body, api);
        assert!(found.is_empty(), "{}: {found:?}", api.as_str());
    }
}

#[test]
fn it_does_not_matter_how_the_provider_spells_it() {
    let mut faults = Vec::new();
    for recording in recordings().iter().filter(|it| it.status == 200) {
        for spelling in [Spelling::Escaped, Spelling::Lined] {
            let Some(body) = spelled(&recording.body, spelling) else {
                continue;
            };
            for api in [Api::Chat, Api::Completions, Api::Messages, Api::Responses] {
                let name = format!("{} {spelling:?} as {}", recording.name, api.as_str());
                let found = check(recording, &body, api);
                faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
