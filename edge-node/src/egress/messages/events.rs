//! Canonical events as the events of a Messages stream, each at once. Blocks come one after the
//! other; only calls whose arguments a provider mixes are open side by side.

use crate::dialect::{Bill, Target};
use crate::egress::messages::depth::Depth;
use crate::egress::messages::{Ending, citation, image, put, used};
use crate::egress::{Envelope, Writer, seal};
use crate::ingress::Call;
use crate::message::{Detail, DetailKind, Escaped, Event};
use bytes::BytesMut;

const NO_USAGE: &str = concat!(
    "{\"input_tokens\":0,\"cache_creation_input_tokens\":0,",
    "\"cache_read_input_tokens\":0,\"output_tokens\":0}",
);

/// Writes one answer's events.
#[derive(Debug)]
pub(crate) struct Events {
    envelope: Envelope,
    begun: bool,
    /// True while the steps are of another choice than the first: this API has one.
    elsewhere: bool,
    /// How many blocks there were.
    blocks: usize,
    current: Current,
    /// Open calls: their index among the calls, their block, their arguments.
    calls: Vec<(usize, usize, Depth)>,
    ending: Ending,
}

/// The block that text goes to.
#[derive(Debug, PartialEq, Eq)]
enum Current {
    None,
    Text,
    Thinking {
        index: usize,
        kind: DetailKind,
        /// What tells whose it is, where no signature does.
        owner: Option<String>,
    },
}

impl Events {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            begun: false,
            elsewhere: false,
            blocks: 0,
            current: Current::None,
            calls: Vec::new(),
            ending: Ending::default(),
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        begin_event("message_start", out);
        put(out, &[",\"message\":{\"id\":", &self.envelope.id]);
        put(
            out,
            &[",\"type\":\"message\",\"role\":\"assistant\",\"model\":"],
        );
        put(out, &[&self.envelope.model, ",\"provider\":"]);
        put(out, &[&self.envelope.provider, ",\"content\":[]"]);
        put(out, &[",\"stop_reason\":null,\"stop_sequence\":null"]);
        put(out, &[",\"usage\":", NO_USAGE, "}}\n\n"]);
        begin_event("ping", out);
        put(out, &["}\n\n"]);
    }

    /// Opens a block, given by its members, and returns its index.
    fn open(&mut self, members: &[&str], out: &mut BytesMut) -> usize {
        let index = self.blocks;
        self.blocks += 1;
        begin_indexed("content_block_start", index, out);
        put(out, &[",\"content_block\":{"]);
        put(out, members);
        put(out, &["}}\n\n"]);
        index
    }

    /// Ends the block that text goes to, and the calls that are complete.
    fn shut(&mut self, out: &mut BytesMut) {
        match std::mem::replace(&mut self.current, Current::None) {
            Current::None => {}
            Current::Text => stop(self.blocks.saturating_sub(1), out),
            Current::Thinking { owner, .. } => {
                let index = self.blocks.saturating_sub(1);
                if let Some(owner) = owner {
                    delta(index, "signature_delta", "signature", &owner, out);
                }
                stop(index, out);
            }
        }
        self.calls.retain(|(_, block, depth)| {
            if depth.is_complete() {
                stop(*block, out);
            }
            !depth.is_complete()
        });
    }

    /// Ends everything.
    fn shut_all(&mut self, out: &mut BytesMut) {
        self.shut(out);
        for (_, block, _) in self.calls.drain(..) {
            stop(block, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut BytesMut) {
        self.open_text(out);
        if !text.is_empty() {
            let index = self.blocks.saturating_sub(1);
            delta(index, "text_delta", "text", text, out);
        }
    }

    fn open_text(&mut self, out: &mut BytesMut) {
        if self.current != Current::Text {
            self.shut(out);
            self.open(&["\"type\":\"text\",\"text\":\"\""], out);
            self.current = Current::Text;
        }
    }

    /// The block of a thought.
    fn think(&mut self, detail: &Detail<'_>, out: &mut BytesMut) -> usize {
        let same = matches!(&self.current, Current::Thinking { index, kind, .. }
            if *index == detail.index && *kind == detail.kind);
        if !same {
            self.shut(out);
            let members = "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"";
            self.open(&[members], out);
            let ours = detail.kind == DetailKind::Summary && !detail.format.is_empty();
            self.current = Current::Thinking {
                index: detail.index,
                kind: detail.kind,
                owner: ours.then(|| seal::close(detail, Escaped(""))),
            };
        }
        self.blocks.saturating_sub(1)
    }

    fn signature(&mut self, detail: &Detail<'_>, signature: Escaped<'_>, out: &mut BytesMut) {
        let block = self.think(detail, out);
        let sealed = seal::close(detail, signature);
        delta(block, "signature_delta", "signature", &sealed, out);
        if let Current::Thinking { owner, .. } = &mut self.current {
            *owner = None;
        }
        self.shut(out);
    }

    fn redacted(&mut self, detail: &Detail<'_>, data: Escaped<'_>, out: &mut BytesMut) {
        self.shut(out);
        let sealed = seal::close(detail, data);
        let members = ["\"type\":\"redacted_thinking\",\"data\":\"", &sealed, "\""];
        let block = self.open(&members, out);
        stop(block, out);
    }

    /// What a provider's own tool did: in Anthropic's words, or under a seal.
    fn ran(&mut self, detail: &Detail<'_>, blocks: Escaped<'_>, out: &mut BytesMut) {
        let text = blocks.decode();
        let Some(own) = seal::blocks(&text).filter(|_| seal::is_own(detail)) else {
            return self.redacted(detail, blocks, out);
        };
        self.shut(out);
        for raw in own {
            let members = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
            // Line ends between members would end the event.
            let members = members.replace(['\n', '\r'], " ");
            let block = self.open(&[members.as_str()], out);
            stop(block, out);
        }
    }

    fn call(&mut self, (index, id, name): (usize, &str, &str), out: &mut BytesMut) {
        self.shut(out);
        let head = [
            "\"type\":\"tool_use\",\"id\":\"",
            id,
            "\",\"name\":\"",
            name,
        ];
        let members = [&head[..], &["\",\"input\":{}"]].concat();
        let block = self.open(&members, out);
        self.calls.push((index, block, Depth::default()));
    }

    fn arguments(&mut self, index: usize, text: &str, out: &mut BytesMut) {
        let mut calls = self.calls.iter_mut();
        if let Some((_, block, depth)) = calls.find(|(call, _, _)| *call == index) {
            depth.take(text);
            delta(*block, "input_json_delta", "partial_json", text, out);
        }
    }
}

impl Writer for Events {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        if let Event::Choice(choice) = event {
            self.elsewhere = *choice != 0;
        }
        if self.elsewhere {
            return;
        }
        self.begin(out);
        self.ending.note(event);
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text(text.0, out),
            Event::Reasoning { detail, text } => {
                let block = self.think(detail, out);
                if !self.envelope.hides_reasoning {
                    delta(block, "thinking_delta", "thinking", text.0, out);
                }
            }
            Event::Signature { detail, signature } => self.signature(detail, *signature, out),
            Event::Encrypted { detail, data } => self.redacted(detail, *data, out),
            Event::Ran { detail, blocks, .. } => self.ran(detail, *blocks, out),
            Event::Call { index, id, name } => self.call((*index, id.0, name.0), out),
            Event::Arguments { index, text } => self.arguments(*index, text.0, out),
            Event::Citation { .. } => {
                self.open_text(out);
                let block = self.blocks.saturating_sub(1);
                begin_indexed("content_block_delta", block, out);
                put(
                    out,
                    &[",\"delta\":{\"type\":\"citations_delta\",\"citation\":"],
                );
                citation(event, out);
                put(out, &["}}\n\n"]);
            }
            Event::Image { url } => {
                self.shut(out);
                let block = self.open(&[&image(url.0)], out);
                stop(block, out);
            }
            Event::Audio { transcript, .. } if !transcript.is_empty() => {
                self.text(transcript.0, out);
            }
            Event::Finish { .. } => self.shut_all(out),
            // Calls with free text were made functions before.
            Event::Freeform { .. } | Event::Input { .. } => {}
            Event::Start | Event::Choice(_) | Event::Logprobs { .. } | Event::Audio { .. } => {}
        }
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.begin(out);
        self.shut_all(out);
        if self.ending.reason().is_none() {
            begin_event("error", out);
            put(out, &[",\"error\":{\"type\":\"api_error\",\"message\":"]);
            put(
                out,
                &["\"the provider gave up in the middle of its answer\"}"],
            );
            put(out, &[",\"request_id\":", &self.envelope.id, "}\n\n"]);
            return;
        }
        begin_event("message_delta", out);
        put(out, &[",\"delta\":{"]);
        self.ending.write(out);
        put(out, &["},\"usage\":", &used(bill), "}\n\n"]);
        end(bill, out);
    }
}

/// Appends the last event of a stream.
pub(crate) fn end(bill: &Bill<'_>, out: &mut BytesMut) {
    begin_event("message_stop", out);
    put(out, &[bill.told, "}\n\n"]);
}

/// Appends the beginning of an event, up to the comma behind its type.
fn begin_event(kind: &str, out: &mut BytesMut) {
    put(out, &["event: ", kind, "\ndata: {\"type\":\"", kind, "\""]);
}

fn begin_indexed(kind: &str, index: usize, out: &mut BytesMut) {
    begin_event(kind, out);
    put(out, &[",\"index\":", &index.to_string()]);
}

fn delta(index: usize, kind: &str, member: &str, text: &str, out: &mut BytesMut) {
    begin_indexed("content_block_delta", index, out);
    put(out, &[",\"delta\":{\"type\":\"", kind, "\",\"", member]);
    put(out, &["\":\"", text, "\"}}\n\n"]);
}

fn stop(index: usize, out: &mut BytesMut) {
    begin_indexed("content_block_stop", index, out);
    put(out, &["}\n\n"]);
}
