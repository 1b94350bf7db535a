//! Canonical events as one whole chat answer.

use crate::dialect::{Bill, Target};
use crate::egress::chat::{annotation, detail, image, put, ran};
use crate::egress::{Envelope, Writer, usage};
use crate::failure::Failure;
use crate::ingress::Call as ClientCall;
use crate::message::{Detail, DetailKind, Escaped, Event, Finish, Spoken};
use bytes::BytesMut;

/// An answer that is being put together; texts are the insides of JSON strings.
#[derive(Debug)]
pub(crate) struct Answer {
    envelope: Envelope,
    choices: Vec<(usize, Choice)>,
    /// The choice that is spoken of: its place in `choices`.
    at: usize,
    /// Why the provider gave up, a JSON text.
    error: String,
}

#[derive(Debug, Default)]
struct Choice {
    text: String,
    refusal: String,
    reasoning: String,
    details: Vec<Thought>,
    calls: Vec<Call>,
    /// Lists, as they will be written.
    annotations: BytesMut,
    images: BytesMut,
    image_count: usize,
    audio: Option<Audio>,
    content_tokens: String,
    refusal_tokens: String,
    finish: Option<(Finish, String)>,
}

#[derive(Debug)]
struct Thought {
    index: usize,
    kind: DetailKind,
    id: String,
    format: String,
    text: String,
    signature: String,
    /// Of a tool that the provider ran: its name and what it was asked.
    asked: (String, String),
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    /// Or, of a tool that takes it, a text.
    arguments: String,
    is_text: bool,
}

#[derive(Debug, Default)]
struct Audio {
    id: String,
    data: String,
    transcript: String,
    expires_at: Option<u64>,
}

impl Answer {
    pub(crate) fn new(call: &ClientCall, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            choices: vec![(0, Choice::default())],
            at: 0,
            error: String::new(),
        }
    }

    fn turn_to(&mut self, index: usize) {
        let mut all = self.choices.iter();
        self.at = all
            .position(|(known, _)| *known == index)
            .unwrap_or_else(|| {
                self.choices.push((index, Choice::default()));
                self.choices.len() - 1
            });
    }
}

impl Writer for Answer {
    fn write(&mut self, event: &Event<'_>, _out: &mut BytesMut) {
        if let Event::Choice(index) = event {
            self.turn_to(*index);
        } else if let Some((_, choice)) = self.choices.get_mut(self.at) {
            choice.add(event);
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.error = failure.error_object().to_string();
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.choices.sort_by_key(|(index, _)| *index);
        self.envelope.head("chat.completion", out);
        put(out, &["\"system_fingerprint\":null,\"choices\":["]);
        for (place, (index, choice)) in self.choices.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            put(out, &[comma, "{\"index\":", &index.to_string()]);
            choice.write(self.envelope.hides_reasoning, out);
            if choice.failed() {
                put(out, &[",\"error\":", &self.error]);
            }
            put(out, &["}"]);
        }
        put(out, &["]"]);
        let mut end = Vec::with_capacity(512);
        usage::end_answer(bill, true, &mut end);
        out.extend_from_slice(&end);
        put(out, &["}"]);
    }
}

impl Choice {
    fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start | Event::Choice(_) => {}
            Event::Text(text) => self.text.push_str(text.0),
            Event::Refusal(text) => self.refusal.push_str(text.0),
            Event::Reasoning { detail, text } => {
                self.reasoning.push_str(text.0);
                self.thought(detail).text.push_str(text.0);
            }
            Event::Signature { detail, signature } => {
                signature.0.clone_into(&mut self.thought(detail).signature);
            }
            Event::Encrypted { detail, data } => self.thought(detail).text.push_str(data.0),
            Event::Ran {
                detail,
                name,
                arguments,
                blocks,
            } => {
                let thought = self.thought(detail);
                thought.asked = (name.0.to_owned(), arguments.0.to_owned());
                thought.text.push_str(blocks.0);
            }
            Event::Call { id, name, .. } | Event::Freeform { id, name, .. } => {
                self.calls.push(Call {
                    id: id.0.to_owned(),
                    name: name.0.to_owned(),
                    arguments: String::new(),
                    is_text: matches!(event, Event::Freeform { .. }),
                });
            }
            Event::Arguments { index, text } | Event::Input { index, text } => {
                if let Some(call) = self.calls.get_mut(*index) {
                    call.arguments.push_str(text.0);
                }
            }
            Event::Citation { .. } => {
                comma(&mut self.annotations);
                annotation(event, &mut self.annotations);
            }
            Event::Image { url } => {
                comma(&mut self.images);
                image(url.0, self.image_count, &mut self.images);
                self.image_count += 1;
            }
            Event::Audio { .. } => self.speak(event),
            Event::Logprobs { of, tokens } => {
                let list = match of {
                    Spoken::Content => &mut self.content_tokens,
                    Spoken::Refusal => &mut self.refusal_tokens,
                };
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(tokens);
            }
            Event::Finish { finish, native, .. } => {
                self.finish = Some((*finish, native.0.to_owned()));
            }
        }
    }

    fn thought(&mut self, detail: &Detail<'_>) -> &mut Thought {
        let same = |known: &Thought| known.index == detail.index && known.kind == detail.kind;
        let place = self.details.iter().rposition(same).unwrap_or_else(|| {
            self.details.push(Thought {
                index: detail.index,
                kind: detail.kind,
                id: String::new(),
                format: detail.format.0.to_owned(),
                text: String::new(),
                signature: String::new(),
                asked: <(String, String)>::default(),
            });
            self.details.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or pushed just now")]
        let thought = &mut self.details[place];
        if thought.id.is_empty() {
            detail.id.0.clone_into(&mut thought.id);
        }
        thought
    }

    fn speak(&mut self, event: &Event<'_>) {
        let Event::Audio {
            id,
            data,
            transcript,
            expires_at,
        } = event
        else {
            return;
        };
        let audio = self.audio.get_or_insert_default();
        if !id.is_empty() {
            id.0.clone_into(&mut audio.id);
        }
        audio.data.push_str(data.0);
        audio.transcript.push_str(transcript.0);
        audio.expires_at = expires_at.or(audio.expires_at);
    }

    fn failed(&self) -> bool {
        let finish = self.finish.as_ref().map(|(finish, _)| *finish);
        finish == Some(Finish::Error)
    }

    /// Appends what follows the choice's index.
    fn write(&self, hides_reasoning: bool, out: &mut BytesMut) {
        put(out, &[",\"message\":{\"role\":\"assistant\",\"content\":"]);
        let silent = !self.calls.is_empty() || !self.refusal.is_empty() || self.audio.is_some();
        text(&self.text, silent, out);
        put(out, &[",\"refusal\":"]);
        text(&self.refusal, true, out);
        if !hides_reasoning && !self.details.is_empty() {
            self.thoughts(out);
        }
        self.calls(out);
        for (name, list) in [("annotations", &self.annotations), ("images", &self.images)] {
            if !list.is_empty() {
                put(out, &[",\"", name, "\":["]);
                out.extend_from_slice(list);
                put(out, &["]"]);
            }
        }
        if let Some(audio) = &self.audio {
            put(out, &[",\"audio\":{\"id\":\"", &audio.id]);
            put(out, &["\",\"data\":\"", &audio.data]);
            put(out, &["\",\"transcript\":\"", &audio.transcript]);
            let expires_at = audio.expires_at.unwrap_or(0).to_string();
            put(out, &["\",\"expires_at\":", &expires_at, "}"]);
        }
        put(out, &["},\"logprobs\":"]);
        self.logprobs(out);
        let (finish, native) = match &self.finish {
            Some((finish, native)) => (finish.as_str(), native.as_str()),
            None => (Finish::Stop.as_str(), ""),
        };
        put(out, &[",\"finish_reason\":\"", finish]);
        put(out, &["\",\"native_finish_reason\":\"", native, "\""]);
    }

    fn thoughts(&self, out: &mut BytesMut) {
        put(out, &[",\"reasoning\":"]);
        text(&self.reasoning, true, out);
        put(out, &[",\"reasoning_details\":["]);
        for (place, thought) in self.details.iter().enumerate() {
            put(out, &[if place == 0 { "" } else { "," }]);
            let about = Detail {
                index: thought.index,
                kind: thought.kind,
                id: Escaped(&thought.id),
                format: Escaped(&thought.format),
            };
            let own = thought.text.as_str();
            match thought.kind {
                DetailKind::Text if thought.signature.is_empty() => {
                    detail(&about, &[("text", own)], out);
                }
                DetailKind::Text => {
                    let signature = ("signature", thought.signature.as_str());
                    detail(&about, &[("text", own), signature], out);
                }
                DetailKind::Summary => detail(&about, &[("summary", own)], out),
                DetailKind::Encrypted => detail(&about, &[("data", own)], out),
                DetailKind::Tool => {
                    let (name, arguments) = &thought.asked;
                    ran(&about, (name, arguments, own), out);
                }
            }
        }
        put(out, &["]"]);
    }

    fn calls(&self, out: &mut BytesMut) {
        for (place, call) in self.calls.iter().enumerate() {
            let before = if place == 0 { ",\"tool_calls\":[" } else { "," };
            put(out, &[before, "{\"id\":\"", &call.id]);
            let (kind, member) = if call.is_text {
                ("custom", "input")
            } else {
                ("function", "arguments")
            };
            put(out, &["\",\"type\":\"", kind, "\",\"", kind]);
            put(out, &["\":{\"name\":\"", &call.name, "\",\"", member]);
            put(out, &["\":\"", &call.arguments, "\"}}"]);
        }
        if !self.calls.is_empty() {
            put(out, &["]"]);
        }
    }

    fn logprobs(&self, out: &mut BytesMut) {
        if self.content_tokens.is_empty() && self.refusal_tokens.is_empty() {
            return put(out, &["null"]);
        }
        let lists = [
            ("{\"content\":", &self.content_tokens),
            (",\"refusal\":", &self.refusal_tokens),
        ];
        for (name, tokens) in lists {
            if tokens.is_empty() {
                put(out, &[name, "null"]);
            } else {
                put(out, &[name, "[", tokens, "]"]);
            }
        }
        put(out, &["}"]);
    }
}

fn comma(list: &mut BytesMut) {
    if !list.is_empty() {
        list.extend_from_slice(b",");
    }
}

/// Appends a string, or null for an empty one where that may stand.
fn text(text: &str, may_be_null: bool, out: &mut BytesMut) {
    if text.is_empty() && may_be_null {
        put(out, &["null"]);
    } else {
        put(out, &["\"", text, "\""]);
    }
}
