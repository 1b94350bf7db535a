//! Canonical events as one whole message.

use crate::dialect::{Bill, Target};
use crate::egress::messages::{Ending, citation, error_object, image, put, used};
use crate::egress::{Envelope, Writer, seal};
use crate::failure::Failure;
use crate::ingress::Call as ClientCall;
use crate::message::{Detail, DetailKind, Escaped, Event};
use crate::wire::json::{self, Kind};
use bytes::BytesMut;

/// A message that is being put together; texts are the insides of JSON strings.
#[derive(Debug)]
pub(crate) struct Answer {
    envelope: Envelope,
    blocks: Vec<Block>,
    /// True while the steps are of another choice than the first: this API has one.
    elsewhere: bool,
    ending: Ending,
    /// Why the provider gave up: a member behind a comma. Anthropic has no reason to stop for it,
    /// and gives none.
    error: String,
}

#[derive(Debug)]
enum Block {
    Text {
        text: String,
        /// A list, as it will be written.
        citations: BytesMut,
    },
    Thinking {
        index: usize,
        kind: DetailKind,
        text: String,
        signature: String,
    },
    Redacted(String),
    /// As its maker wrote it.
    Raw(String),
    /// Its members.
    Image(String),
    Call {
        index: usize,
        id: String,
        name: String,
        arguments: String,
    },
}

impl Answer {
    pub(crate) fn new(call: &ClientCall, target: &Target<'_>) -> Self {
        Self {
            envelope: Envelope::new(call, target),
            blocks: Vec::new(),
            elsewhere: false,
            ending: Ending::default(),
            error: String::new(),
        }
    }

    fn text(&mut self, more: &str) {
        if let Some(Block::Text { text, .. }) = self.blocks.last_mut() {
            text.push_str(more);
        } else if !more.is_empty() {
            self.blocks.push(Block::Text {
                text: more.to_owned(),
                citations: BytesMut::new(),
            });
        }
    }

    fn cite(&mut self, event: &Event<'_>) {
        if !matches!(self.blocks.last(), Some(Block::Text { .. })) {
            self.blocks.push(Block::Text {
                text: String::new(),
                citations: BytesMut::new(),
            });
        }
        if let Some(Block::Text { citations, .. }) = self.blocks.last_mut() {
            put(citations, &[if citations.is_empty() { "" } else { "," }]);
            citation(event, citations);
        }
    }

    /// Adds to the thought of a detail: text, or what replaces its signature.
    fn think(&mut self, detail: &Detail<'_>, more: &str, signed: Option<String>) {
        let same = |block: &Block| {
            matches!(block, Block::Thinking { index, kind, .. }
            if *index == detail.index && *kind == detail.kind)
        };
        if !self.blocks.last().is_some_and(same) {
            let ours = detail.kind == DetailKind::Summary && !detail.format.is_empty();
            let owner = ours.then(|| seal::close(detail, Escaped("")));
            self.blocks.push(Block::Thinking {
                index: detail.index,
                kind: detail.kind,
                text: String::new(),
                signature: owner.unwrap_or_default(),
            });
        }
        if let Some(Block::Thinking {
            text, signature, ..
        }) = self.blocks.last_mut()
        {
            if !self.envelope.hides_reasoning {
                text.push_str(more);
            }
            if let Some(signed) = signed {
                *signature = signed;
            }
        }
    }

    /// What a provider's own tool did: in Anthropic's words, or under a seal.
    fn ran(&mut self, detail: &Detail<'_>, blocks: Escaped<'_>) {
        let text = blocks.decode();
        match seal::blocks(&text).filter(|_| seal::is_own(detail)) {
            Some(own) => {
                let own = own.into_iter().map(|raw| Block::Raw(raw.to_owned()));
                self.blocks.extend(own);
            }
            None => {
                let sealed = seal::close(detail, blocks);
                self.blocks.push(Block::Redacted(sealed));
            }
        }
    }

    fn arguments(&mut self, call: usize, more: &str) {
        let mut blocks = self.blocks.iter_mut().rev();
        let found = blocks.find_map(|block| match block {
            Block::Call {
                index, arguments, ..
            } if *index == call => Some(arguments),
            _ => None,
        });
        if let Some(arguments) = found {
            arguments.push_str(more);
        }
    }
}

impl Writer for Answer {
    fn write(&mut self, event: &Event<'_>, _out: &mut BytesMut) {
        if let Event::Choice(choice) = event {
            self.elsewhere = *choice != 0;
        }
        if self.elsewhere {
            return;
        }
        self.ending.note(event);
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text(text.0),
            Event::Reasoning { detail, text } => self.think(detail, text.0, None),
            Event::Signature { detail, signature } => {
                self.think(detail, "", Some(seal::close(detail, *signature)));
            }
            Event::Encrypted { detail, data } => {
                self.blocks
                    .push(Block::Redacted(seal::close(detail, *data)));
            }
            Event::Ran { detail, blocks, .. } => self.ran(detail, *blocks),
            Event::Call { index, id, name } => self.blocks.push(Block::Call {
                index: *index,
                id: id.0.to_owned(),
                name: name.0.to_owned(),
                arguments: String::new(),
            }),
            Event::Arguments { index, text } => self.arguments(*index, text.0),
            Event::Citation { .. } => self.cite(event),
            Event::Image { url } => self.blocks.push(Block::Image(image(url.0))),
            Event::Audio { transcript, .. } => self.text(transcript.0),
            // Calls with free text were made functions before.
            Event::Freeform { .. } | Event::Input { .. } => {}
            Event::Start | Event::Choice(_) | Event::Logprobs { .. } | Event::Finish { .. } => {}
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.error = format!(",\"error\":{}", error_object(failure));
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        put(out, &["{\"id\":", &self.envelope.id]);
        put(
            out,
            &[",\"type\":\"message\",\"role\":\"assistant\",\"model\":"],
        );
        put(out, &[&self.envelope.model, ",\"provider\":"]);
        put(out, &[&self.envelope.provider, ",\"content\":["]);
        for (place, block) in self.blocks.iter().enumerate() {
            put(out, &[if place == 0 { "" } else { "," }]);
            block.write(out);
        }
        put(out, &["],"]);
        self.ending.write(out);
        put(out, &[&self.error]);
        put(out, &[",\"usage\":", &used(bill)]);
        put(out, &[bill.told, "}"]);
    }
}

impl Block {
    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Text { text, citations } => {
                put(out, &["{\"type\":\"text\",\"text\":\"", text, "\""]);
                if !citations.is_empty() {
                    put(out, &[",\"citations\":["]);
                    out.extend_from_slice(citations);
                    put(out, &["]"]);
                }
                put(out, &["}"]);
            }
            Self::Thinking {
                text, signature, ..
            } => {
                put(out, &["{\"type\":\"thinking\",\"thinking\":\"", text]);
                put(out, &["\",\"signature\":\"", signature, "\"}"]);
            }
            Self::Raw(raw) => put(out, &[raw]),
            Self::Image(members) => put(out, &["{", members, "}"]),
            Self::Redacted(data) => {
                put(out, &["{\"type\":\"redacted_thinking\",\"data\":\"", data]);
                put(out, &["\"}"]);
            }
            Self::Call {
                id,
                name,
                arguments,
                ..
            } => {
                put(out, &["{\"type\":\"tool_use\",\"id\":\"", id]);
                put(out, &["\",\"name\":\"", name, "\",\"input\":"]);
                put(out, &[&input(arguments), "}"]);
            }
        }
    }
}

/// Arguments as an object. What is none is kept as the text that the model gave.
fn input(arguments: &str) -> String {
    let escaped = Escaped(arguments);
    let text = escaped.decode();
    if text.trim().is_empty() {
        return "{}".to_owned();
    }
    if json::check(&text) == Ok(Kind::Object) {
        return text.into_owned();
    }
    ["{\"invalid_arguments\":\"", arguments, "\"}"].concat()
}
