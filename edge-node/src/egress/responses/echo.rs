//! What a response object says of itself and of its request, which it repeats.

use crate::egress::Envelope;
use crate::egress::responses::{error, put};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::Served;
use bytes::BytesMut;

/// Settings that every response object has, and what they are when the client did not say.
const SETTINGS: [(&str, &str); 19] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("store", "false"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("frequency_penalty", "null"),
    ("presence_penalty", "null"),
    ("truncation", "\"disabled\""),
];

/// The members that stay the same while an answer comes.
#[derive(Debug)]
pub(super) struct Echo {
    /// Up to the comma before `status`.
    head: String,
    /// From the comma before `instructions`.
    settings: String,
    /// The service tier, quoted: the client's wish, at the end what served.
    tier: String,
    /// Why the provider gave up: the value of `error`, and a member behind a comma.
    error: String,
}

impl Echo {
    pub(super) fn new(call: &Call, envelope: &Envelope) -> Self {
        let Envelope {
            id,
            model,
            provider,
            created,
            ..
        } = envelope;
        let mut settings = String::new();
        for (name, unsaid) in SETTINGS {
            let said = said(call, name).filter(|raw| *raw != "null");
            let raw = said.unwrap_or(unsaid);
            settings.push_str(",\"");
            settings.push_str(name);
            settings.push_str("\":");
            // Line ends between members would end an event.
            settings.extend(
                raw.chars()
                    .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
            );
        }
        if let Some(user) = said(call, "user") {
            settings.push_str(",\"user\":");
            settings.push_str(user);
        }
        Self {
            head: format!(
                "{{\"id\":{id},\"object\":\"response\",\"created_at\":{created},\"model\":{model},\"provider\":{provider}"
            ),
            settings,
            tier: said(call, "service_tier")
                .filter(|raw| *raw != "null")
                .unwrap_or("\"auto\"")
                .to_owned(),
            error: "null".to_owned(),
        }
    }

    /// From now on it is told why the provider gave up.
    pub(super) fn failed(&mut self, failure: &Failure) {
        let (error, kind) = (error::told(failure), failure.error_type.as_str());
        self.error = format!("{error},\"error_type\":\"{kind}\"");
    }

    /// From now on it is told which service tier served.
    pub(super) fn served(&mut self, served: Served) {
        self.tier = format!("\"{}\"", served.as_str("default"));
    }

    /// Appends a response object; `more` are further members, each with a comma before it.
    /// `completed` is in seconds since 1970, and told only of an answer that is complete.
    pub(super) fn write(
        &self,
        (status, reason): (&str, &str),
        completed: Option<u64>,
        more: &str,
        out: &mut BytesMut,
    ) {
        put(out, &[&self.head, ",\"status\":\"", status]);
        let completed = completed.filter(|_| status == "completed");
        let completed = completed.map_or_else(|| "null".to_owned(), |at| at.to_string());
        put(
            out,
            &["\",\"background\":false,\"completed_at\":", &completed],
        );
        let error = &self.error;
        put(out, &[",\"error\":", error, ",\"incomplete_details\":"]);
        if reason.is_empty() {
            put(out, &["null"]);
        } else {
            put(out, &["{\"reason\":\"", reason, "\"}"]);
        }
        put(
            out,
            &[&self.settings, ",\"service_tier\":", &self.tier, more, "}"],
        );
    }
}

/// The value of a member of the request, as written.
fn said<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let text = call.text();
    let mut members = call.members.iter();
    let member = members.find(|member| {
        let key = text.get(member.key.start + 1..member.key.end - 1);
        key == Some(name)
    })?;
    text.get(member.value.start..member.value.end)
}
