//! Anthropic's models on Bedrock's invoke API: their own bodies but for the version and the betas,
//! which stand inside, and the model, which stands in the path; their own events, each wrapped into
//! a frame. Other makers' bodies go through Converse.

use crate::dialect::anthropic_messages::{self, Host};
use crate::dialect::shape::{Shape, Stop};
use crate::dialect::vertex_anthropic::has_no_links;
use crate::dialect::write::segment;
use crate::dialect::{Bill, Outgoing, Target, Translator, classify};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::message::{Progress, Request};
use crate::wire::eventstream::{self, Message};
use crate::wire::json::{Kind, Scanner, SyntaxError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};

#[cfg(test)]
mod tests;

/// This API's word for the service tier: the body is Anthropic's.
const TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");
const VERSION: &str = "\"bedrock-2023-05-31\"";

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let (verb, accept) = if call.stream {
        (
            "invoke-with-response-stream",
            "application/vnd.amazon.eventstream",
        )
    } else {
        ("invoke", "application/json")
    };
    let translator = anthropic_messages::translator(call, target);
    let mut headers = vec![
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::ACCEPT, HeaderValue::from_static(accept)),
    ];
    if let Some(tier) = target.endpoint.tier() {
        headers.push((TIER, HeaderValue::from_static(tier.as_str())));
    }
    Ok(Outgoing {
        path: format!("/model/{}/{verb}", segment(&target.endpoint.provider_model)),
        headers,
        body: body(call, target)?,
        translator: if call.stream {
            Box::new(Unwrapped {
                parser: eventstream::Parser::default(),
                shape: Shape::Unknown,
                name: target.provider.name.clone(),
                inner: translator,
            })
        } else {
            translator
        },
    })
}

/// Whether the answer is streamed is said by the path alone.
fn body(call: &Call, target: &Target<'_>) -> Result<Bytes, Failure> {
    let request = ingress::request(call);
    if let Ok(request) = &request {
        has_no_links(request)?;
    }
    let betas = betas(call);
    if anthropic_messages::passes(call) {
        let host = Host {
            head: ("anthropic_version", VERSION),
            with_limit: true,
            streams: false,
            more: &betas,
        };
        return Ok(anthropic_messages::spliced(call, target, &host));
    }
    let comma = if betas.is_empty() { "" } else { "," };
    let head = format!("{{\"anthropic_version\":{VERSION}{comma}{betas}");
    let request = Request {
        stream: false,
        ..request?
    };
    Ok(anthropic_messages::body(&request, target, &head)?.into())
}

/// The member `anthropic_beta`; empty for none.
fn betas(call: &Call) -> String {
    let betas = call.anthropic_beta.as_ref();
    let betas = betas.and_then(|value| value.to_str().ok()).unwrap_or("");
    let named = betas.split(',').map(str::trim);
    let named: Vec<String> = named.filter(|it| !it.is_empty()).map(quoted).collect();
    if named.is_empty() {
        return String::new();
    }
    format!("\"anthropic_beta\":[{}]", named.join(","))
}

/// Takes the events out of their frames and gives them on as Anthropic itself sends them.
struct Unwrapped {
    parser: eventstream::Parser,
    shape: Shape,
    /// The provider's, for messages.
    name: String,
    inner: Box<dyn Translator>,
}

impl Translator for Unwrapped {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        // No frame begins with white space.
        let chunk = match self.shape {
            Shape::Unknown => chunk.trim_ascii_start(),
            Shape::Events | Shape::Whole(_) => chunk,
        };
        if !self.shape.take(chunk, &self.name)? {
            return Ok(());
        }
        let (name, inner) = (&self.name, &mut self.inner);
        let fed = self.parser.feed(chunk, |message| {
            if let Some(event) = event(name, &message)? {
                inner.feed(&event, out)?;
            }
            Ok::<(), Stop>(())
        });
        fed.map_err(|Stop(failure)| *failure)
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        if let Shape::Whole(body) = &self.shape {
            let text = String::from_utf8_lossy(body);
            return Err(classify::in_band(&self.name, &text));
        }
        self.inner.end(out)
    }

    fn progress(&self) -> &Progress {
        self.inner.progress()
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.inner.close(bill, out);
    }
}

/// The event in a frame, as a server-sent one.
fn event(provider: &str, message: &Message<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let garbage = |what: &str| classify::garbage(provider, what);
    let text = std::str::from_utf8(message.payload);
    let text = text.map_err(|_| garbage("text that is not UTF-8"))?;
    if !matches!(message.kind, "" | "event") || message.name.ends_with("Exception") {
        return Err(classify::in_frame(provider, message.name, text));
    }
    if message.name != "chunk" {
        return Ok(None);
    }
    let data = string(text, "bytes").map_err(|error| garbage(error.reason))?;
    let data = STANDARD.decode(data).ok();
    let data = data.and_then(|data| String::from_utf8(data).ok());
    let data = data.ok_or_else(|| garbage("a chunk that is not base64"))?;
    let kind = string(&data, "type").map_err(|error| garbage(error.reason))?;
    Ok(Some(
        format!("event: {kind}\ndata: {data}\n\n").into_bytes(),
    ))
}

/// A member of an object, empty where there is none; none of those asked for is ever escaped.
fn string<'a>(text: &'a str, wanted: &str) -> Result<&'a str, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let mut found = "";
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if scanner.kind()? == Kind::String && key.name.decode() == wanted {
            found = scanner.string()?.inner();
        } else {
            scanner.value()?;
        }
    }
    Ok(found)
}
