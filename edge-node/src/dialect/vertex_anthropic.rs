//! Anthropic's models on Vertex: their own bodies but for the version, which stands inside, and the
//! model, which stands in the path. Answers are read by the dialect that they are of.

use crate::dialect::anthropic_messages::{self, Host};
use crate::dialect::write::refuse;
use crate::dialect::{Outgoing, Target};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::message::{Media, Part, Request};

/// How the body begins; the rest is as anywhere.
const HEAD: &str = "{\"anthropic_version\":\"vertex-2023-10-16\"";
/// What stands in a passing body in place of its model.
const VERSION: Host<'_> = Host {
    head: ("anthropic_version", "\"vertex-2023-10-16\""),
    with_limit: true,
    streams: true,
    more: "",
};

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call);
    if let Ok(request) = &request {
        has_no_links(request)?;
    }
    let body = if anthropic_messages::passes(call) {
        anthropic_messages::spliced(call, target, &VERSION)
    } else {
        anthropic_messages::body(&request?, target, HEAD)?.into()
    };
    let name = &target.endpoint.provider_model;
    let collection = if name.starts_with("publishers/") {
        ""
    } else {
        "publishers/anthropic/models/"
    };
    let verb = if call.stream {
        "streamRawPredict"
    } else {
        "rawPredict"
    };
    Ok(Outgoing {
        path: format!("/{collection}{name}:{verb}"),
        headers: anthropic_messages::headers(call),
        body,
        translator: anthropic_messages::translator(call, target),
    })
}

/// Only Anthropic itself fetches links and keeps files.
///
/// # Errors
/// A picture or a document is a link.
pub(super) fn has_no_links(request: &Request<'_>) -> Result<(), Failure> {
    for turn in &request.turns {
        for (index, part) in turn.parts.iter().enumerate() {
            let (Part::Image { source, .. } | Part::File { source, .. }) = part else {
                continue;
            };
            if !matches!(source.resolve(), Media::Inline { .. }) {
                let place = format!("{}.content[{index}]", turn.place);
                return Err(refuse(&place, "needs the bytes in a data URL"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::dialect::fixture::Fixture;
    use crate::dialect::prepare;
    use crate::failure::Retry;
    use crate::ingress::Api;
    use serde_json::{Value, json};
    use shared::catalog::Dialect;

    const REQUEST: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;

    #[test]
    fn the_version_stands_inside_and_the_model_in_the_path() {
        let fixture = Fixture::new(Dialect::VertexAnthropic);
        let path = |request: &str| {
            let call = fixture.call(request);
            let prepared = fixture.with_target(|target| prepare(&call, target));
            prepared.unwrap().path
        };
        assert_eq!(
            path(REQUEST),
            "/publishers/anthropic/models/theirs:rawPredict"
        );
        let streamed = REQUEST.replace("}]}", "}],\"stream\":true}");
        assert_eq!(
            path(&streamed),
            "/publishers/anthropic/models/theirs:streamRawPredict"
        );
        let body: Value = serde_json::from_str(&fixture.body(&streamed).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "anthropic_version": "vertex-2023-10-16", "max_tokens": 4096, "stream": true,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
            })
        );
    }

    #[test]
    fn links_are_for_others() {
        let fixture = Fixture::new(Dialect::VertexAnthropic);
        let request = r#"{"model":"a/b","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#;
        let failure = fixture.body(request).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("messages[0].content[0]"));
        assert_eq!(failure.retry, Retry::OtherEndpoint);
    }

    #[test]
    fn bodies_of_the_same_dialect_pass() {
        let fixture = Fixture::new(Dialect::VertexAnthropic).api(Api::Messages);
        let request = r#"{ "messages":[{"role":"user","content":"x"}], "model" : "a/b", "anthropic_version":"y","z":1e400,"max_tokens":9}"#;
        let expected = r#"{ "messages":[{"role":"user","content":"x"}], "anthropic_version" : "vertex-2023-10-16","z":1e400,"max_tokens":9}"#;
        assert_eq!(fixture.body(request).unwrap(), expected);
    }

    #[test]
    fn answers_are_anthropics() {
        let fixture = Fixture::new(Dialect::VertexAnthropic);
        let answer = r#"{"id":"msg_vrtx_1","type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;
        let played = fixture.play(REQUEST, answer.as_bytes(), 5);
        assert_eq!(played.answer()["choices"][0]["message"]["content"], "hi");
    }
}
