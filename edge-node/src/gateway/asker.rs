//! Who asks, in the client's own words: for `/generation` alone, nothing is decided by it.

use crate::ingress::Call;
use crate::ingress::conversation::Conversation;
use http::HeaderMap;
use shared::record::{Particulars, TEXT_MAX, line, page};

/// Where the page stands; OpenRouter's name first, then HTTP's.
const REFERER: [&str; 2] = ["http-referer", "referer"];
/// Where the application's name stands, and what it is called in newer programs.
const TITLE: [&str; 2] = ["x-title", "x-openrouter-title"];
/// A longer value of `user` is not read, whatever of it would be kept.
const USER_JSON_MAX: usize = 8 * TEXT_MAX;

/// What is told of a request's asker.
pub(super) fn of(call: &Call, headers: &HeaderMap) -> Particulars {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then_some(value)
    };
    let first = |names: [&str; 2]| names.into_iter().find_map(header).unwrap_or_default();
    let session = match &call.conversation {
        Some(Conversation::Named(id)) => line(id),
        _ => String::new(),
    };
    Particulars {
        session,
        user: user(call).unwrap_or_default(),
        referer: page(first(REFERER)),
        title: line(first(TITLE)),
        agent: line(header("user-agent").unwrap_or_default()),
        media: call.media,
        sounds: call.sounds,
        ..Particulars::default()
    }
}

fn user(call: &Call) -> Option<String> {
    let raw = call.user()?;
    let said: Option<String> = match raw.len() {
        0..=USER_JSON_MAX => serde_json::from_str(raw).ok(),
        _ => None,
    };
    said.map(|user| line(&user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{self, Api, Surface};
    use http::HeaderValue;

    fn asked(api: Api, body: &str, headers: &[(&'static str, &'static str)]) -> Particulars {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let body = bytes::Bytes::copy_from_slice(body.as_bytes());
        let call = ingress::parse(api, Surface::OpenRouter, &headers, body).unwrap();
        of(&call, &headers)
    }

    #[test]
    fn a_client_says_who_asks() {
        let body = r#"{"model":"a/b","session_id":"talk-1","user":"u\u002d7","messages":[{"role":"user",
            "content":[{"type":"text","text":"a secret prompt"},
            {"type":"image_url","image_url":{"url":"https://x.example/y.png"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]}"#;
        let told = asked(
            Api::Chat,
            body,
            &[
                ("http-referer", "https://app.example/chat?key=sk-1"),
                ("x-title", "An app"),
                ("user-agent", "client/1"),
                ("authorization", "Bearer sk-gw-v1-0"),
            ],
        );
        let expect = Particulars {
            session: "talk-1".to_owned(),
            user: "u-7".to_owned(),
            referer: "https://app.example/chat".to_owned(),
            title: "An app".to_owned(),
            agent: "client/1".to_owned(),
            media: 2,
            sounds: 1,
            ..Particulars::default()
        };
        assert_eq!(told, expect);
        assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    }

    #[test]
    fn whoever_says_nothing_is_nobody() {
        let body = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}]}"#;
        assert!(asked(Api::Chat, body, &[]).is_empty());
        let long = "u".repeat(3 * TEXT_MAX);
        let body = format!(
            r#"{{"model":"a/b","user":"{long}","messages":[{{"role":"user","content":"x"}}]}}"#
        );
        assert_eq!(asked(Api::Chat, &body, &[]).user.len(), TEXT_MAX);
    }
}
