//! Canonical events as one whole chat answer.

use crate::dialect::{Bill, Target};
use crate::egress::chat::{REASONING_FORMAT, annotation};
use crate::egress::{Envelope, usage};
use crate::ingress::Call as ClientCall;
use crate::message::{Event, Finish};
use bytes::BytesMut;

/// An answer that is being put together; texts are the insides of JSON strings.
#[derive(Debug)]
pub(crate) struct Answer {
    envelope: Envelope,
    text: String,
    reasoning: String,
    details: Vec<Detail>,
    calls: Vec<Call>,
    annotations: Vec<Vec<u8>>,
    finish: Option<(Finish, String)>,
}

#[derive(Debug, Default)]
struct Detail {
    text: String,
    signature: String,
    data: String,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    pub(crate) fn new(call: &ClientCall, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            text: String::new(),
            reasoning: String::new(),
            details: Vec::new(),
            calls: Vec::new(),
            annotations: Vec::new(),
            finish: None,
        }
    }

    /// Takes an event.
    pub(crate) fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start => {}
            Event::Text(text) => self.text.push_str(text.0),
            Event::Reasoning { index, text } => {
                self.reasoning.push_str(text.0);
                self.detail(*index).text.push_str(text.0);
            }
            Event::Signature { index, signature } => {
                signature.0.clone_into(&mut self.detail(*index).signature);
            }
            Event::Encrypted { index, data } => {
                data.0.clone_into(&mut self.detail(*index).data);
            }
            Event::Call { id, name, .. } => self.calls.push(Call {
                id: id.0.to_owned(),
                name: name.0.to_owned(),
                arguments: String::new(),
            }),
            Event::Arguments { index, text } => {
                if let Some(call) = self.calls.get_mut(*index) {
                    call.arguments.push_str(text.0);
                }
            }
            Event::Citation { .. } => {
                let mut text = Vec::new();
                annotation(event, &mut text);
                self.annotations.push(text);
            }
            Event::Finish { finish, native } => self.finish = Some((*finish, native.0.to_owned())),
        }
    }

    /// Appends the answer.
    pub(crate) fn close(&self, bill: &Bill<'_>, out: &mut BytesMut) {
        let mut text = Vec::with_capacity(self.text.len() + 1024);
        self.envelope.head("chat.completion", out);
        let mut put = |piece: &str| text.extend_from_slice(piece.as_bytes());
        put("\"system_fingerprint\":null,\"choices\":[{\"index\":0,\"message\":");
        put(&self.message());
        let (finish, native) = match &self.finish {
            Some((finish, native)) => (finish.as_str(), native.as_str()),
            None => (Finish::Stop.as_str(), ""),
        };
        put(&format!(
            ",\"logprobs\":null,\"finish_reason\":\"{finish}\",\"native_finish_reason\":\"{native}\"}}]"
        ));
        usage::end_answer(bill, true, &mut text);
        text.push(b'}');
        out.extend_from_slice(&text);
    }

    fn detail(&mut self, index: usize) -> &mut Detail {
        // Indices count up from 0, so the list grows by one at most.
        while self.details.len() <= index {
            self.details.push(Detail::default());
        }
        let last = self.details.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the loop has made the place")]
        &mut self.details[index.min(last)]
    }

    fn message(&self) -> String {
        let mut text = String::from("{\"role\":\"assistant\",\"content\":");
        if self.text.is_empty() && !self.calls.is_empty() {
            text.push_str("null");
        } else {
            text.push_str(&format!("\"{}\"", self.text));
        }
        text.push_str(",\"refusal\":null");
        if !self.envelope.hides_reasoning && !self.details.is_empty() {
            let reasoning = if self.reasoning.is_empty() {
                "null".to_owned()
            } else {
                format!("\"{}\"", self.reasoning)
            };
            text.push_str(&format!(
                ",\"reasoning\":{reasoning},\"reasoning_details\":["
            ));
            let details: Vec<String> = self.details.iter().enumerate().map(detail).collect();
            text.push_str(&details.join(","));
            text.push(']');
        }
        if !self.calls.is_empty() {
            let calls: Vec<String> = self.calls.iter().map(call).collect();
            text.push_str(&format!(",\"tool_calls\":[{}]", calls.join(",")));
        }
        if !self.annotations.is_empty() {
            let list: Vec<_> = self
                .annotations
                .iter()
                .map(|a| String::from_utf8_lossy(a))
                .collect();
            text.push_str(&format!(",\"annotations\":[{}]", list.join(",")));
        }
        text.push('}');
        text
    }
}

fn detail((index, detail): (usize, &Detail)) -> String {
    let own = if detail.data.is_empty() {
        format!(
            "\"type\":\"reasoning.text\",\"text\":\"{}\",\"signature\":\"{}\"",
            detail.text, detail.signature
        )
    } else {
        format!(
            "\"type\":\"reasoning.encrypted\",\"data\":\"{}\"",
            detail.data
        )
    };
    format!("{{{own},\"format\":\"{REASONING_FORMAT}\",\"index\":{index}}}")
}

fn call(call: &Call) -> String {
    format!(
        "{{\"id\":\"{}\",\"type\":\"function\",\"function\":{{\"name\":\"{}\",\"arguments\":\"{}\"}}}}",
        call.id, call.name, call.arguments
    )
}
