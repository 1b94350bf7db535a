//! A provider, an endpoint and answers to play through them, for the tests of the dialects.

#[path = "../../tests/support/offer.rs"]
mod offer;

use crate::dialect::{Bill, Target, Translator, prepare};
use crate::failure::Failure;
use crate::ingress::{Api, Call, Surface, parse};
use crate::message::Finish;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use serde_json::Value;
use shared::catalog::{Dialect, Endpoint, Parameter, Provider, Quirk};
use shared::id::GenerationId;
use shared::money::Amount;
use shared::usage::{Usage, cost};

/// One endpoint and what is asked of it.
pub(crate) struct Fixture {
    pub(crate) provider: Provider,
    pub(crate) endpoint: Endpoint,
    pub(crate) api: Api,
    pub(crate) surface: Surface,
    pub(crate) clamp: Option<u64>,
    pub(crate) explain: Option<Value>,
}

/// What came of an answer.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) out: String,
    pub(crate) failure: Option<Failure>,
    pub(crate) usage: Option<Usage>,
    pub(crate) tool_error: bool,
    pub(crate) owed: bool,
}

impl Fixture {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            provider: offer::provider(dialect),
            endpoint: offer::endpoint("author/model", "theirs"),
            api: Api::Chat,
            surface: Surface::OpenRouter,
            clamp: None,
            explain: None,
        }
    }

    pub(crate) fn quirks(mut self, quirks: &[Quirk]) -> Self {
        self.provider.quirks = quirks.to_vec();
        self
    }

    pub(crate) fn api(mut self, api: Api) -> Self {
        self.api = api;
        self
    }

    pub(crate) fn supporting(mut self, parameters: &[Parameter]) -> Self {
        self.endpoint.supported_parameters = parameters.to_vec();
        self
    }

    pub(crate) fn call(&self, body: &str) -> Call {
        let body = Bytes::copy_from_slice(body.as_bytes());
        parse(self.api, self.surface, &HeaderMap::new(), body).unwrap()
    }

    /// The body that goes upstream.
    pub(crate) fn body(&self, request: &str) -> Result<String, Failure> {
        let call = self.call(request);
        let prepared = self.with_target(|target| prepare(&call, target))?;
        Ok(String::from_utf8(prepared.body.to_vec()).unwrap())
    }

    pub(crate) fn translator(&self, request: &str) -> Box<dyn Translator> {
        let call = self.call(request);
        let prepared = self.with_target(|target| prepare(&call, target));
        prepared.unwrap().translator
    }

    /// Plays an answer in pieces of `size` bytes.
    pub(crate) fn play(&self, request: &str, answer: &[u8], size: usize) -> Played {
        self.play_pieces(request, answer.chunks(size))
    }

    pub(crate) fn play_pieces<'a>(
        &self,
        request: &str,
        mut pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Played {
        let mut translator = self.translator(request);
        let mut out = BytesMut::new();
        let fed = pieces
            .try_for_each(|piece| translator.feed(piece, &mut out))
            .and_then(|()| translator.end(&mut out));
        let progress = translator.progress().clone();
        let usage = progress.usage.unwrap_or_default();
        let cost = cost(&usage, &self.endpoint.pricing);
        let told = self.explain.as_ref();
        let told = told.map(|told| format!(",\"godwit_explain\":{told}"));
        let bill = Bill {
            usage: &usage,
            cost: &cost,
            charged: cost.total(),
            served: progress.served,
            told: told.as_deref().unwrap_or(""),
            took: std::time::Duration::from_secs(2),
        };
        if fed.is_ok() {
            translator.close(&bill, &mut out);
        }
        Played {
            out: String::from_utf8(out.to_vec()).unwrap(),
            failure: fed.err(),
            usage: progress.usage,
            tool_error: progress.tool_error,
            owed: progress.owed,
        }
    }

    /// Plays a whole answer whose provider gave up; gives what is made of it, if anything is.
    pub(crate) fn concede(&self, request: &str, answer: &str) -> Option<(Value, Failure)> {
        let mut translator = self.translator(request);
        let mut out = BytesMut::new();
        let fed = translator.feed(answer.as_bytes(), &mut out);
        let failure = fed.and_then(|()| translator.end(&mut out)).unwrap_err();
        if !translator.concede(&failure) {
            return None;
        }
        let progress = translator.progress();
        assert_eq!(progress.finish_reason, Some(Finish::Error));
        let usage = progress.usage.unwrap_or_default();
        let bill = Bill {
            usage: &usage,
            cost: &cost(&usage, &self.endpoint.pricing),
            charged: Amount::ZERO,
            served: None,
            told: "",
            took: std::time::Duration::from_secs(2),
        };
        out.clear();
        translator.close(&bill, &mut out);
        Some((serde_json::from_slice(&out).unwrap(), failure))
    }

    pub(crate) fn with_target<T>(&self, run: impl FnOnce(&Target<'_>) -> T) -> T {
        let generation = GenerationId::from("gen-1");
        run(&Target {
            endpoint: &self.endpoint,
            provider: &self.provider,
            generation: &generation,
            created: 7,
            max_tokens_clamp: self.clamp,
        })
    }
}

impl Played {
    /// The chunks of a stream that ends as it should.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let body = self.out.strip_suffix("data: [DONE]\n\n").unwrap();
        let events = body.split_terminator("\n\n");
        events
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    /// The typed events of a stream, which names each by its type.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events = self.out.split_terminator("\n\n").map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        });
        events.collect()
    }

    /// A whole answer.
    pub(crate) fn answer(&self) -> Value {
        assert!(self.failure.is_none(), "{:?}", self.failure);
        serde_json::from_str(&self.out).unwrap()
    }

    /// The failure's reason.
    pub(crate) fn reason(&self) -> &'static str {
        self.failure.as_ref().map_or("", |failure| failure.reason)
    }
}

/// Events with only a `data` line.
pub(crate) fn data(chunks: &[&str]) -> String {
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.collect()
}
