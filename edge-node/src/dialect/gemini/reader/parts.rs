//! One part of a content: text, a thought, a call, a picture or speech, each with the signature
//! that proves it to the provider.

use crate::dialect::calls::{CALLS_MAX, Calls};
use crate::dialect::classify;
use crate::dialect::gemini::REASONING_FORMAT;
use crate::dialect::gemini::fields::{FunctionCall, Piece};
use crate::dialect::gemini::reader::Answer;
use crate::dialect::gemini::sources::Text;
use crate::dialect::reader::{Notes, Sink};
use crate::failure::Failure;
use crate::message::{Detail, DetailKind, Escaped, Event, Finish};
use crate::wire::json::{self, Str};

/// State of one choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) calls: Calls,
    pub(super) text: Text,
    /// Details of reasoning so far.
    details: usize,
    /// The detail that a further thought continues.
    thought: Option<usize>,
    /// What a tool of the provider's own was asked that has not answered, as written.
    asked: Option<(String, String)>,
    pub(super) finish: Option<(Finish, String)>,
}

impl Answer {
    pub(super) fn part(
        &mut self,
        at: usize,
        piece: &Piece<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let Some(choice) = self.choices.get_mut(at) else {
            return Ok(());
        };
        choice.text.begin_part();
        let text = piece.text.filter(|text| !text.is_empty());
        let signature = piece.signature.filter(|text| !text.is_empty());
        if piece.is_thought {
            choice.think(text, signature, &mut self.notes, sink);
            return Ok(());
        }
        if let Some(call) = &piece.call {
            return self.call(at, call, signature, sink);
        }
        if let Some(text) = text {
            choice.thought = None;
            choice.text.push(text);
            self.notes.give(Event::Text(text.into()), sink);
        }
        choice.run(piece, &mut self.notes, sink);
        if let Some((media, data)) = piece.inline {
            // The provider's own id stands behind the speech.
            let id = self.call_id.replacen("call_", "audio_", 1);
            let id = id.trim_end_matches('_');
            give_media(media, data, id, &mut self.notes, sink);
        }
        if let Some((media, url)) = piece.link
            && media.decode().starts_with("image")
        {
            self.notes.give(Event::Image { url: url.into() }, sink);
        }
        if let Some(signature) = signature {
            choice.encrypted("", signature, &mut self.notes, sink);
        }
        Ok(())
    }

    /// A call comes whole. Its signature is told before it, under its id.
    fn call(
        &mut self,
        at: usize,
        call: &FunctionCall<'_>,
        signature: Option<Str<'_>>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let Some(choice) = self.choices.get_mut(at) else {
            return Ok(());
        };
        if choice.calls.len() == CALLS_MAX {
            return Err(classify::too_large(&self.notes.name, "512 tool calls"));
        }
        let index = choice.calls.open();
        let made_up = match choice.index {
            0 => format!("{}{index}", self.call_id),
            other => format!("{}{other}_{index}", self.call_id),
        };
        let id = call.id.filter(|id| !id.is_empty());
        let id = id.map_or(made_up.as_str(), Str::inner);
        if let Some(signature) = signature {
            choice.encrypted(id, signature, &mut self.notes, sink);
        }
        choice.thought = None;
        let name = call.name.map(Escaped::from).unwrap_or_default();
        let id = Escaped(id);
        self.notes.give(Event::Call { index, id, name }, sink);
        let arguments = compact(call.arguments.unwrap_or("{}"));
        choice.calls.argue(index, &arguments);
        let text = Escaped(&arguments);
        self.notes.give(Event::Arguments { index, text }, sink);
        Ok(())
    }
}

impl Choice {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// A thought; its signature ends it.
    fn think(
        &mut self,
        text: Option<Str<'_>>,
        signature: Option<Str<'_>>,
        notes: &mut Notes,
        sink: &mut dyn Sink,
    ) {
        if text.is_none() && signature.is_none() {
            return;
        }
        let index = self.thought.unwrap_or_else(|| self.next_detail());
        let detail = detail(index, DetailKind::Text, "");
        if let Some(text) = text {
            let text = text.into();
            notes.give(Event::Reasoning { detail, text }, sink);
        }
        self.thought = Some(index).filter(|_| signature.is_none());
        if let Some(signature) = signature {
            let signature = signature.into();
            notes.give(Event::Signature { detail, signature }, sink);
        }
    }

    /// The signature of a call, or, without an id, of the text or picture before it.
    fn encrypted(&mut self, id: &str, data: Str<'_>, notes: &mut Notes, sink: &mut dyn Sink) {
        self.thought = None;
        let index = self.next_detail();
        let detail = detail(index, DetailKind::Encrypted, id);
        let data = data.into();
        notes.give(Event::Encrypted { detail, data }, sink);
    }

    /// What a tool of the provider's own was asked, or gave.
    fn run(&mut self, piece: &Piece<'_>, notes: &mut Notes, sink: &mut dyn Sink) {
        if let Some((name, raw)) = piece.asked {
            self.give_run(None, notes, sink);
            self.asked = Some((name.inner().to_owned(), raw.to_owned()));
        }
        if let Some((name, raw)) = piece.gave {
            self.give_run(Some((name.inner(), raw)), notes, sink);
        }
    }

    /// Gives what was asked, with what came of it; at the end, what has got no answer.
    pub(super) fn give_run(
        &mut self,
        gave: Option<(&str, &str)>,
        notes: &mut Notes,
        sink: &mut dyn Sink,
    ) {
        let asked = self.asked.take();
        if asked.is_none() && gave.is_none() {
            return;
        }
        self.thought = None;
        let asked_of = asked.as_ref().map(|(name, raw)| (&**name, &**raw));
        let parts = asked_of.into_iter().chain(gave);
        let parts: Vec<String> = parts
            .map(|(name, raw)| format!("{{\"{name}\":{raw}}}"))
            .collect();
        let blocks = escaped(&format!("[{}]", parts.join(",")));
        let arguments = escaped(asked_of.map_or("{}", |(_, raw)| raw));
        let is_code = |name: &str| matches!(name, "executableCode" | "codeExecutionResult");
        let kind = asked_of.or(gave).map_or("", |(name, _)| name);
        let index = self.next_detail();
        let event = Event::Ran {
            detail: detail(index, DetailKind::Tool, ""),
            name: Escaped(if is_code(kind) {
                "code_execution"
            } else {
                "server_tool"
            }),
            arguments: Escaped(&arguments),
            blocks: Escaped(&blocks),
        };
        notes.give(event, sink);
    }

    const fn next_detail(&mut self) -> usize {
        self.details += 1;
        self.details - 1
    }
}

const fn detail(index: usize, kind: DetailKind, id: &str) -> Detail<'_> {
    Detail {
        index,
        kind,
        id: Escaped(id),
        format: Escaped(REASONING_FORMAT),
    }
}

/// Pictures and speech; the client's API has no word for anything else.
fn give_media(media: Str<'_>, data: Str<'_>, id: &str, notes: &mut Notes, sink: &mut dyn Sink) {
    let kind = media.decode();
    if kind.starts_with("image") {
        let url = format!("data:{};base64,{}", media.inner(), data.inner());
        notes.give(Event::Image { url: Escaped(&url) }, sink);
    } else if kind.starts_with("audio") {
        let event = Event::Audio {
            id: Escaped(id),
            data: data.into(),
            transcript: Escaped(""),
            expires_at: None,
        };
        notes.give(event, sink);
    } else {
        tracing::warn!(media = media.inner(), "output of a kind that has no word");
    }
}

/// A text as the inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 16);
    json::write_escaped(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// A JSON text as the inside of a JSON string, without the white space between its tokens.
fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 16);
    let (mut inside, mut escaped) = (false, false);
    for character in raw.chars() {
        match character {
            ' ' | '\n' | '\r' | '\t' if !inside => continue,
            '"' => {
                inside ^= !escaped;
                out.push('\\');
            }
            '\\' => out.push('\\'),
            _ => {}
        }
        escaped = inside && character == '\\' && !escaped;
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn arguments_keep_everything_but_white_space() {
        let raw =
            "{ \"a b\" : [1.0,\n 12345678901234567890123], \"q\": \"x \\\" \\\\\" , \"é\":{ } }";
        let text: String = serde_json::from_str(&format!("\"{}\"", compact(raw))).unwrap();
        assert_eq!(
            text,
            r#"{"a b":[1.0,12345678901234567890123],"q":"x \" \\","é":{}}"#
        );
    }
}
