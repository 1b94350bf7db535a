//! What an upstream body says of the service tier: the endpoint's own, in words that most dialects
//! share; never the client's wish for a tier that this endpoint is not.

use crate::dialect::Target;
use crate::ingress::tier::is_tier;
use crate::wire::json::Str;
use shared::catalog::Tier;

impl<'a> Target<'a> {
    /// The tier as a JSON text: the endpoint's, else the client's word where it names none of the
    /// tiers that have endpoints of their own.
    pub(super) fn tier_word(&self, said: Option<Str<'a>>) -> Option<&'a str> {
        match self.endpoint.tier() {
            Some(Tier::Flex) => Some("\"flex\""),
            Some(Tier::Priority) => Some("\"priority\""),
            Some(Tier::Scale) => Some("\"scale\""),
            None => said.filter(|word| !is_tier(&word.decode())).map(Str::raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::fixture::Fixture;
    use crate::dialect::prepare;
    use crate::ingress::Api;
    use serde_json::{Value, json};
    use shared::catalog::Dialect;

    /// What goes upstream to an endpoint with this tag: the body and the header with this name.
    fn sent(dialect: Dialect, api: Api, tag: &str, more: &str, header: &str) -> (Value, String) {
        let mut fixture = Fixture::new(dialect).api(api);
        fixture.endpoint.tag = tag.to_owned();
        let turns = match api {
            Api::Responses => r#""input":"hi""#,
            _ => r#""messages":[{"role":"user","content":"hi"}]"#,
        };
        let call = fixture.call(&format!(
            r#"{{"model":"a/b","max_tokens":9,{turns}{more}}}"#
        ));
        let target = Target {
            endpoint: &fixture.endpoint,
            provider: &fixture.provider,
            generation: &"gen-1".into(),
            created: 1,
            max_tokens_clamp: None,
        };
        let outgoing = prepare(&call, &target).unwrap();
        let mut headers = outgoing.headers.iter();
        let value = headers.find(|(name, _)| name == header);
        let value = value.map(|(_, value)| value.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(&outgoing.body).unwrap();
        (body, value.unwrap_or_default())
    }

    fn check(dialect: Dialect, api: Api, (tag, said): (&str, &str), path: &str, expect: &Value) {
        let more = if said.is_empty() {
            String::new()
        } else {
            format!(r#","service_tier":"{said}""#)
        };
        let (body, _) = sent(dialect, api, tag, &more, "");
        let got = body.pointer(path).cloned().unwrap_or(Value::Null);
        assert_eq!(got, *expect, "{dialect} {api:?} {tag} {said}");
    }

    #[test]
    fn an_endpoint_is_told_its_own_tier_and_no_other() {
        let nothing = Value::Null;
        for (dialect, api) in [
            (Dialect::OpenaiChat, Api::Chat),
            (Dialect::OpenaiChat, Api::Messages),
            (Dialect::OpenaiResponses, Api::Responses),
            (Dialect::OpenaiResponses, Api::Chat),
        ] {
            let check = |tag: &str, said: &str, expect: Value| {
                check(dialect, api, (tag, said), "/service_tier", &expect);
            };
            check("acme/priority", "", json!("priority"));
            check("acme/priority", "fast", json!("priority"));
            check("acme/flex", "default", json!("flex"));
            check("acme", "flex", nothing.clone());
            check("acme", "", nothing.clone());
            if api != Api::Messages {
                check("acme/us-east", "default", json!("default"));
                check("acme", "on_demand", json!("on_demand"));
            }
        }
    }

    #[test]
    fn other_dialects_have_their_own_place_for_it() {
        let nothing = &Value::Null;
        let check = |dialect, tag, said, path, expect: &Value| {
            check(dialect, Api::Chat, (tag, said), path, expect);
        };
        let (gemini, path) = (Dialect::Gemini, "/serviceTier");
        check(gemini, "acme/flex", "", path, &json!("flex"));
        check(gemini, "acme", "flex", path, nothing);
        let (bedrock, path) = (Dialect::BedrockConverse, "/serviceTier/type");
        check(bedrock, "acme/priority", "", path, &json!("priority"));
        check(bedrock, "acme", "priority", path, nothing);
        let (anthropic, path) = (Dialect::AnthropicMessages, "/service_tier");
        let check = |said: &str, expect: &Value| {
            super::tests::check(anthropic, Api::Messages, ("acme", said), path, expect);
        };
        check("standard_only", &json!("standard_only"));
        check("priority", nothing);
    }

    #[test]
    fn anthropic_calls_it_speed_and_clouds_say_it_in_a_header() {
        for (api, more) in [
            (Api::Messages, r#","speed":"fast""#),
            (Api::Messages, ""),
            (Api::Chat, r#","service_tier":"priority""#),
        ] {
            let beta = "anthropic-beta";
            let (body, beta) = sent(Dialect::AnthropicMessages, api, "acme/priority", more, beta);
            assert_eq!(body["speed"], "fast", "{api:?} {more}");
            assert_eq!(beta, "fast-mode-2026-02-01");
        }
        let (body, beta) = sent(
            Dialect::AnthropicMessages,
            Api::Messages,
            "acme",
            r#","speed":"fast""#,
            "anthropic-beta",
        );
        assert_eq!((body.get("speed"), beta.as_str()), (None, ""));
        for (dialect, header) in [
            (Dialect::BedrockInvoke, "x-amzn-bedrock-service-tier"),
            (Dialect::VertexGemini, "x-vertex-ai-llm-shared-request-type"),
        ] {
            let (_, word) = sent(dialect, Api::Chat, "acme/flex", "", header);
            assert_eq!(word, "flex");
            let (_, word) = sent(dialect, Api::Chat, "acme", "", header);
            assert_eq!(word, "");
        }
    }

    /// The word that a client reads for an answer of this upstream.
    fn told(dialect: Dialect, api: Api, answer: &str, path: &str) -> Value {
        let fixture = Fixture::new(dialect).api(api);
        let request = match api {
            Api::Responses => r#"{"model":"a/b","input":"hi"}"#,
            _ => r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
        };
        let played = fixture.play(request, answer.as_bytes(), usize::MAX);
        let body: Value = serde_json::from_str(&played.out).unwrap();
        body.pointer(path).cloned().unwrap_or(Value::Null)
    }

    #[test]
    fn the_answer_says_which_tier_served() {
        let chat = r#"{"id":"x","service_tier":"flex","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
        let claude = r#"{"id":"x","type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1,"service_tier":"standard","speed":"fast"}}"#;
        let check = |dialect, api, answer: &str, path: &str, expect: &str| {
            assert_eq!(told(dialect, api, answer, path), expect, "{api:?}");
        };
        let (openai, anthropic) = (Dialect::OpenaiChat, Dialect::AnthropicMessages);
        check(openai, Api::Chat, chat, "/service_tier", "flex");
        check(openai, Api::Messages, chat, "/usage/service_tier", "flex");
        check(openai, Api::Responses, chat, "/service_tier", "flex");
        check(anthropic, Api::Chat, claude, "/service_tier", "priority");
        let path = "/usage/service_tier";
        check(anthropic, Api::Messages, claude, path, "standard");
    }
}
