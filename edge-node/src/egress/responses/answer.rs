//! Canonical events as a response: a stream of typed events, each at once, or one object. Items of
//! the output follow each other; only calls may grow side by side, so they are closed at the end.

mod pieces;

use crate::dialect::{Bill, Target};
use crate::egress::responses::echo::Echo;
use crate::egress::responses::items::{Item, Part};
use crate::egress::responses::stream::{Spot, Stream};
use crate::egress::responses::{put, usage};
use crate::egress::{Envelope, Writer};
use crate::failure::Failure;
use crate::ingress;
use crate::message::{Escaped, Event, Finish, Spoken};
use bytes::BytesMut;
use pieces::Waiting;

/// A response that is being put together.
#[derive(Debug)]
pub(crate) struct Response {
    echo: Echo,
    stream: Stream,
    is_stream: bool,
    hides_reasoning: bool,
    /// Seconds since 1970.
    created: u64,
    /// What ids of items are made of.
    suffix: String,
    items: Vec<Item>,
    /// The item that grows, unless it is a call.
    open: Option<usize>,
    /// Places of the calls among the items.
    calls: Vec<usize>,
    /// Characters of text in parts that are closed.
    characters: usize,
    /// Events of other choices than the first are left out: there is no word for them.
    is_other_choice: bool,
    /// Seals of the text that is open.
    waiting: Vec<Waiting>,
    has_begun: bool,
    finish: Option<Finish>,
}

impl Response {
    pub(crate) fn new(call: &ingress::Call, target: &Target<'_>) -> Self {
        let envelope = Envelope::new(call, target);
        let generation = target.generation.as_str();
        Self {
            echo: Echo::new(call, &envelope),
            stream: Stream::new(call.stream),
            is_stream: call.stream,
            hides_reasoning: envelope.hides_reasoning,
            created: envelope.created,
            suffix: generation.trim_start_matches("gen-").to_owned(),
            items: Vec::new(),
            open: None,
            calls: Vec::new(),
            characters: 0,
            is_other_choice: false,
            waiting: Vec::new(),
            has_begun: false,
            finish: None,
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let echo = &self.echo;
        for name in ["created", "in_progress"] {
            self.stream.event(name, out, |out| {
                put(out, &[",\"response\":"]);
                let nothing = ",\"output\":[],\"usage\":null";
                echo.write(("in_progress", ""), None, nothing, out);
            });
        }
    }

    fn next_id(&self, kind: &str) -> String {
        format!("{kind}{}_{}", self.suffix, self.items.len())
    }

    fn push(&mut self, item: Item, out: &mut BytesMut) -> usize {
        let place = self.items.len();
        self.stream.item_added(place, &item, out);
        self.items.push(item);
        place
    }

    /// Ends the item that grows.
    fn close_open(&mut self, status: &str, out: &mut BytesMut) {
        let Some(place) = self.open.take() else {
            return;
        };
        let Some(item) = self.items.get(place) else {
            return;
        };
        match item {
            Item::Message { id, parts } => {
                if let Some(part) = parts.last() {
                    let spot = Spot::new(id, place, parts.len() - 1);
                    self.stream.part_done(&spot, part, out);
                    if let Part::Text { text, .. } = part {
                        self.characters += Escaped(text).decode().chars().count();
                    }
                }
            }
            Item::Reasoning(reasoning) => self.stream.reasoning_done(place, reasoning, out),
            Item::Call(_) | Item::Image { .. } | Item::Raw(_) => {}
        }
        self.stream.item_done(place, (item, status), out);
    }

    /// Ends all items; the last one may be cut short.
    fn end(&mut self, finish: Finish, out: &mut BytesMut) {
        let last = self.items.len().saturating_sub(1);
        let status = |place| status_of(finish, place == last);
        if let Some(place) = self.open {
            self.close_open(status(place), out);
        }
        for place in std::mem::take(&mut self.calls) {
            if let Some(item) = self.items.get(place) {
                if let Item::Call(call) = item {
                    self.stream.call_done(place, call, out);
                }
                self.stream.item_done(place, (item, status(place)), out);
            }
        }
    }

    /// The members `output` and `usage`, and what the client asked to be explained.
    fn rest(&self, finish: Finish, bill: &Bill<'_>) -> String {
        let mut output = BytesMut::new();
        put(&mut output, &[",\"output\":["]);
        for (place, item) in self.items.iter().enumerate() {
            put(&mut output, &[if place == 0 { "" } else { "," }]);
            let is_last = place + 1 == self.items.len();
            item.write(status_of(finish, is_last), false, &mut output);
        }
        put(&mut output, &["],\"usage\":", &usage::object(bill)]);
        put(&mut output, &[bill.told]);
        String::from_utf8_lossy(&output).into_owned()
    }
}

impl Writer for Response {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        if let Event::Choice(choice) = event {
            self.is_other_choice = *choice != 0;
        }
        if self.is_other_choice {
            return;
        }
        self.begin(out);
        let is_of_text = matches!(
            event,
            Event::Citation { .. }
                | Event::Logprobs { .. }
                | Event::Encrypted { .. }
                | Event::Signature { .. }
                | Event::Finish { .. }
        );
        if !is_of_text {
            self.settle(out);
        }
        match event {
            Event::Start | Event::Choice(_) => {}
            Event::Text(text) => self.say(text.0, false, out),
            Event::Refusal(text) => self.say(text.0, true, out),
            Event::Reasoning { .. }
            | Event::Signature { .. }
            | Event::Encrypted { .. }
            | Event::Ran { .. }
                if self.hides_reasoning => {}
            Event::Ran { detail, blocks, .. } => self.ran(detail, *blocks, out),
            Event::Reasoning { detail, text } => self.think(detail, text.0, out),
            Event::Signature { detail, signature } => self.seal(detail, signature.0, out),
            Event::Encrypted { detail, data } => self.seal(detail, data.0, out),
            Event::Call { id, name, .. } => self.call((id.0, name.0), false, out),
            Event::Freeform { id, name, .. } => self.call((id.0, name.0), true, out),
            Event::Arguments { index, text } | Event::Input { index, text } => {
                self.argue(*index, text.0, out);
            }
            Event::Citation { .. } => self.cite(event, out),
            Event::Image { url } => self.picture(*url, out),
            // Sound has no word here; what it says has.
            Event::Audio { transcript, .. } if transcript.is_empty() => {}
            Event::Audio { transcript, .. } => self.say(transcript.0, false, out),
            Event::Logprobs {
                of: Spoken::Content,
                tokens,
            } => self.probable(tokens, out),
            Event::Logprobs { .. } => {}
            // Some providers finish after each call and go on.
            Event::Finish { finish, .. } => {
                self.finish.get_or_insert(*finish);
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.echo.failed(failure);
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.begin(out);
        if let Some(served) = bill.served {
            self.echo.served(served);
        }
        let finish = self.finish.unwrap_or(Finish::Stop);
        self.settle(out);
        self.end(finish, out);
        let rest = self.rest(finish, bill);
        let (status, reason) = match finish {
            Finish::Length => ("incomplete", "max_output_tokens"),
            Finish::ContentFilter => ("incomplete", "content_filter"),
            Finish::Error => ("failed", ""),
            Finish::Stop | Finish::ToolCalls | Finish::FunctionCall => ("completed", ""),
        };
        let completed = Some(self.created.saturating_add(bill.took.as_secs()));
        if !self.is_stream {
            return self.echo.write((status, reason), completed, &rest, out);
        }
        let echo = &self.echo;
        self.stream.event(status, out, |out| {
            put(out, &[",\"response\":"]);
            echo.write((status, reason), completed, &rest, out);
        });
    }
}

/// An item that was cut short is incomplete.
const fn status_of(finish: Finish, is_last: bool) -> &'static str {
    match finish {
        Finish::Length | Finish::ContentFilter | Finish::Error if is_last => "incomplete",
        _ => "completed",
    }
}
