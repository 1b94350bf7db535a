//! What has passed of a stream, as far as its last event repeats it: when the provider says in the
//! middle that there is no room for more, the response ends incomplete, as it does when it is
//! translated.

use super::Body;
use crate::dialect::openai_responses::fields::Fields;
use crate::dialect::reader::Sink;
use crate::dialect::translate::cut_to_length;
use crate::failure::Failure;
use crate::message::Event;
use crate::wire::json::{Span, Str};
use serde_json::{Value, json};

/// The response as it began, the items that ended, and the text of the one that has not.
#[derive(Debug, Default)]
pub(super) struct Kept {
    begun: String,
    items: Vec<String>,
    /// The inside of a JSON string.
    text: String,
}

impl Sink for Kept {
    fn take(&mut self, event: Event<'_>) {
        if let Event::Text(text) = event {
            self.text.push_str(text.0);
        }
    }
}

impl Kept {
    /// Notes an event that has passed.
    pub(super) fn note(&mut self, data: &str, event: &Fields<'_>) {
        let raw = |span: Option<Span>| span.and_then(|span| data.get(span.start..span.end));
        match event.kind.map(Str::inner) {
            Some("response.created") => raw(event.response)
                .unwrap_or("")
                .clone_into(&mut self.begun),
            Some("response.output_item.done") => {
                self.items.extend(raw(event.item).map(str::to_owned));
                self.text.clear();
            }
            _ => {}
        }
    }

    /// The response, cut to length.
    fn response(&self) -> Value {
        let parsed = |text: &String| serde_json::from_str::<Value>(text).ok();
        let begun = parsed(&self.begun).filter(Value::is_object);
        let mut response = begun.unwrap_or_else(|| json!({ "object": "response" }));
        let mut output: Vec<Value> = self.items.iter().filter_map(parsed).collect();
        if let Some(text) = parsed(&format!("\"{}\"", self.text)).filter(|text| *text != "") {
            let part =
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
            let id = format!("msg_cut_{}", output.len());
            output.push(json!({"id": id, "type": "message", "role": "assistant",
                "status": "incomplete", "content": [part]}));
        }
        if let Some(members) = response.as_object_mut() {
            members.insert("status".into(), "incomplete".into());
            let reason = json!({ "reason": "max_output_tokens" });
            members.insert("incomplete_details".into(), reason);
            members.insert("output".into(), output.into());
        }
        response
    }
}

impl Body {
    /// A context that is full ends an answer that has begun; any other failure stands.
    pub(super) fn cut(&mut self, failure: Failure) -> Result<(), Failure> {
        cut_to_length(&mut self.reader, failure, &mut self.kept)?;
        let event = json!({
            "type": "response.incomplete",
            "sequence_number": self.number,
            "response": self.kept.response(),
        });
        self.last = event.to_string();
        Ok(())
    }
}
