//! The legacy API for text completions: events as the chunks of a stream or as one answer. What it
//! has no word for and the chat API has (reasoning, sources, pictures) stands beside the text under chat's
//! names.

mod logprobs;

#[cfg(test)]
mod tests;

use crate::dialect::{Bill, Target};
use crate::egress::{Envelope, Marks, Writer, chat, extend, usage};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Event, Finish};
use bytes::{Bytes, BytesMut};
use logprobs::Logprobs;
use serde_json::{Map, Value, json};
use shared::id::GenerationId;

/// A chunk with `error`, after which the stream ends without `[DONE]`.
pub(crate) fn error_event(
    failure: &Failure,
    generation: &GenerationId,
    marks: Marks<'_>,
    told: &Map<String, Value>,
) -> Bytes {
    let mut chunk = json!({
        "id": generation.as_str(),
        "object": "text_completion",
        "created": marks.created,
        "model": marks.model,
        "error": failure.error_object(),
        "choices": [{ "index": 0, "text": "", "logprobs": null, "finish_reason": "error" }],
    });
    marks.name_provider(&mut chunk);
    extend(&mut chunk, told);
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// What a step adds to a choice; texts are the insides of JSON strings.
#[derive(Debug, Default)]
struct Choice {
    index: usize,
    text: String,
    reasoning: String,
    /// Lists, as they will be written.
    annotations: BytesMut,
    images: BytesMut,
    image_count: usize,
    logprobs: Logprobs,
    finish: Option<(Finish, String)>,
    /// Why the provider gave up, a JSON text.
    error: String,
}

impl Choice {
    fn add(&mut self, event: &Event<'_>, hides_reasoning: bool) {
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text.push_str(text.0),
            Event::Reasoning { text, .. } if !hides_reasoning => {
                self.reasoning.push_str(text.0);
            }
            Event::Citation { .. } => {
                if !self.annotations.is_empty() {
                    put(&mut self.annotations, &[","]);
                }
                chat::annotation(event, &mut self.annotations);
            }
            Event::Image { url } => {
                if !self.images.is_empty() {
                    put(&mut self.images, &[","]);
                }
                chat::image(url.0, self.image_count, &mut self.images);
                self.image_count += 1;
            }
            Event::Audio { transcript, .. } => self.text.push_str(transcript.0),
            Event::Logprobs { tokens, .. } => self.logprobs.take(tokens),
            Event::Finish { finish, native, .. } => {
                self.finish = Some((*finish, native.0.to_owned()));
            }
            _ => {}
        }
    }

    fn has_news(&self) -> bool {
        self.finish.is_some()
            || !self.text.is_empty()
            || !self.reasoning.is_empty()
            || !self.annotations.is_empty()
            || !self.images.is_empty()
            || !self.logprobs.is_empty()
    }

    /// Appends the choice and forgets what was written.
    fn write(&mut self, out: &mut BytesMut) {
        put(out, &["{\"index\":", &self.index.to_string()]);
        put(out, &[",\"text\":\"", &self.text, "\""]);
        if !self.reasoning.is_empty() {
            put(out, &[",\"reasoning\":\"", &self.reasoning, "\""]);
        }
        let lists = [
            ("annotations", &mut self.annotations),
            ("images", &mut self.images),
        ];
        for (name, list) in lists {
            if !list.is_empty() {
                put(out, &[",\"", name, "\":["]);
                out.extend_from_slice(list);
                put(out, &["]"]);
                list.clear();
            }
        }
        put(out, &[",\"logprobs\":"]);
        self.logprobs.write(out);
        match self.finish.take() {
            Some((finish, native)) => {
                put(out, &[",\"finish_reason\":\"", word(finish)]);
                put(out, &["\",\"native_finish_reason\":\"", &native, "\""]);
                if finish == Finish::Error {
                    put(out, &[",\"error\":", &self.error]);
                }
                put(out, &["}"]);
            }
            None => put(out, &[",\"finish_reason\":null}"]),
        }
        self.text.clear();
        self.reasoning.clear();
    }
}

const fn word(finish: Finish) -> &'static str {
    match finish {
        // Calls can't be asked for here.
        Finish::ToolCalls | Finish::FunctionCall => "stop",
        other => other.as_str(),
    }
}

/// The choices of one answer.
#[derive(Debug)]
struct Choices {
    list: Vec<Choice>,
    /// The one that is spoken of: its place in the list.
    at: usize,
}

impl Choices {
    fn new() -> Self {
        Self {
            list: vec![Choice::default()],
            at: 0,
        }
    }

    /// Takes a step, and gives the choice that it belongs to.
    fn take(&mut self, event: &Event<'_>, hides_reasoning: bool) -> Option<&mut Choice> {
        if let Event::Choice(index) = event {
            let mut all = self.list.iter();
            self.at = all
                .position(|choice| choice.index == *index)
                .unwrap_or_else(|| {
                    self.list.push(Choice {
                        index: *index,
                        ..Choice::default()
                    });
                    self.list.len() - 1
                });
        }
        let choice = self.list.get_mut(self.at)?;
        choice.add(event, hides_reasoning);
        Some(choice)
    }
}

/// Writes one answer's chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    envelope: Envelope,
    choices: Choices,
}

impl Chunks {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            choices: Choices::new(),
        }
    }
}

impl Writer for Chunks {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        let hides = self.envelope.hides_reasoning;
        if let Some(choice) = self.choices.take(event, hides)
            && choice.has_news()
        {
            self.envelope.begin_chunk(out);
            put(out, &["\"choices\":["]);
            choice.write(out);
            put(out, &["]}\n\n"]);
        }
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        usage::end_stream(&self.envelope, bill, out);
    }
}

/// A whole answer that is being put together.
#[derive(Debug)]
pub(crate) struct Answer {
    envelope: Envelope,
    choices: Choices,
}

impl Answer {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            choices: Choices::new(),
        }
    }
}

impl Writer for Answer {
    fn write(&mut self, event: &Event<'_>, _out: &mut BytesMut) {
        self.choices.take(event, self.envelope.hides_reasoning);
    }

    fn fail(&mut self, failure: &Failure) {
        let error = failure.error_object().to_string();
        for choice in &mut self.choices.list {
            choice.error.clone_from(&error);
        }
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.choices.list.sort_by_key(|choice| choice.index);
        self.envelope.head(self.envelope.object, out);
        put(out, &["\"choices\":["]);
        for (place, choice) in self.choices.list.iter_mut().enumerate() {
            put(out, &[if place == 0 { "" } else { "," }]);
            let stopped = || (Finish::Stop, String::new());
            choice.finish.get_or_insert_with(stopped);
            choice.write(out);
        }
        put(out, &["]"]);
        let mut end = Vec::with_capacity(512);
        usage::end_answer(bill, true, &mut end);
        out.extend_from_slice(&end);
        put(out, &["}"]);
    }
}
