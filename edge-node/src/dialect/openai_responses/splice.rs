//! The client's body for an upstream of the same dialect: its bytes, but for the model's name,
//! members that are addressed to us, parameters that the endpoint does not know, and what follows
//! from nothing being stored: `store`, the wish for encrypted reasoning, and reasoning that this
//! provider could not read.

#[cfg(test)]
mod tests;

use crate::dialect::Target;
use crate::dialect::openai_chat::{effort, takes_effort, word};
use crate::dialect::openai_responses::{maker, request::thinks};
use crate::egress::quoted;
use crate::ingress::Call;
use crate::ingress::peek::{Field, Member};
use crate::wire::json::{self, Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Splices, Tail};
use bytes::Bytes;
use shared::catalog::Parameter;

const ENCRYPTED: &str = "\"reasoning.encrypted_content\"";
/// Whose reasoning it is that names nobody.
const NATIVE: &str = "openai-responses-v1";

/// The body to send.
pub(super) fn body(call: &Call, target: &Target<'_>) -> Bytes {
    let text = call.text();
    let mut request = Request {
        call,
        target,
        splices: Splices::default(),
        has_model: false,
        has_store: false,
        has_include: false,
        has_limit: false,
        has_tier: false,
    };
    let first = call.members.first();
    let mut members = Members::new(first.map_or(0, |member| member.key.start));
    for member in &call.members {
        let (start, end) = (member.key.start, member.value.end);
        if request.member(member) {
            members.keep(&mut request.splices, start, end);
        } else {
            members.remove(&mut request.splices, start, end);
        }
    }
    let mut tail = members.finish(&mut request.splices);
    request.add(&mut tail);
    let mut out = Vec::with_capacity(text.len() + 256);
    request
        .splices
        .pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
    out.into()
}

struct Request<'a> {
    call: &'a Call,
    target: &'a Target<'a>,
    splices: Splices,
    has_model: bool,
    has_store: bool,
    has_include: bool,
    has_limit: bool,
    has_tier: bool,
}

impl Request<'_> {
    fn raw(&self, span: Span) -> &str {
        self.call.text().get(span.start..span.end).unwrap_or("")
    }

    /// Notes the edits of one member; false takes it out.
    fn member(&mut self, member: &Member) -> bool {
        let value = member.value;
        match member.field {
            Field::Model => {
                self.has_model = true;
                let name = quoted(&self.target.endpoint.provider_model);
                self.splices.replace(value, name);
                true
            }
            Field::Turns => {
                // The text was checked when it came in.
                let _ = self.history(value);
                true
            }
            Field::Special("store") => {
                self.has_store = true;
                if self.raw(value) != "false" {
                    self.splices.replace(value, "false");
                }
                true
            }
            Field::Special("include") => {
                self.has_include = true;
                self.include(value);
                true
            }
            // These say no more than that nothing is wanted.
            Field::Special(
                "background" | "previous_response_id" | "conversation" | "prompt" | "n",
            ) => false,
            Field::ServiceTier => {
                self.has_tier = true;
                self.tier(value)
            }
            Field::Parameter(parameter) => self.parameter(parameter, value),
            Field::StreamOptions => self.call.stream,
            Field::Own(_) | Field::Choices | Field::Modalities | Field::Audio => false,
            Field::Special(_)
            | Field::Stream
            | Field::User
            | Field::PromptCacheKey
            | Field::Metadata
            | Field::Other => true,
        }
    }

    fn parameter(&mut self, parameter: Parameter, value: Span) -> bool {
        match parameter {
            Parameter::MaxTokens => {
                let Some(own) = json::count(self.raw(value)) else {
                    // Null: as if it were not there.
                    return false;
                };
                self.has_limit = true;
                let clamp = self.target.max_tokens_clamp;
                if let Some(clamp) = clamp.filter(|clamp| *clamp < own) {
                    self.splices.replace(value, clamp.to_string());
                }
                true
            }
            Parameter::Reasoning => {
                let known = takes_effort(self.target);
                if known {
                    // The text was checked when it came in.
                    let _ = self.reasoning(value);
                }
                known
            }
            Parameter::ToolChoice => true,
            Parameter::Temperature
            | Parameter::TopP
            | Parameter::TopLogprobs
            | Parameter::ParallelToolCalls => self.target.supports(parameter),
            // Words that this dialect does not have.
            _ => false,
        }
    }

    /// The endpoint's tier, whatever the client wished.
    fn tier(&mut self, value: Span) -> bool {
        let mut scanner = Scanner::starting(self.call.text(), value.start);
        if scanner.kind() == Ok(Kind::Null) && self.target.endpoint.tier().is_none() {
            return true;
        }
        let word = self.target.tier_word(scanner.string().ok());
        if let Some(word) = word {
            self.splices.replace(value, word);
        }
        word.is_some()
    }

    fn include(&mut self, value: Span) {
        let raw = self.raw(value);
        if !thinks(self.target) || raw.contains(ENCRYPTED) {
            return;
        }
        match raw.strip_prefix('[').and_then(|raw| raw.strip_suffix(']')) {
            Some(inner) if !inner.trim().is_empty() => {
                self.splices.insert(value.end - 1, format!(",{ENCRYPTED}"));
            }
            _ => self.splices.replace(value, format!("[{ENCRYPTED}]")),
        }
    }

    /// `reasoning` without OpenRouter's words; an effort becomes the next that the endpoint knows, a
    /// budget an effort.
    fn reasoning(&mut self, value: Span) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::starting(self.call.text(), value.start);
        if scanner.kind()? != Kind::Object {
            return Ok(());
        }
        let wish = effort(&self.call.reasoning, self.call.max_tokens);
        let mut owed = wish.and_then(|effort| word(effort, self.target));
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let mut inner = scanner.clone();
            let value = scanner.value()?;
            let stays = match &*key.name.decode() {
                "max_tokens" | "exclude" | "enabled" => false,
                "effort" => {
                    let said = match kind {
                        Kind::String => Some(inner.string()?.decode()),
                        _ => None,
                    };
                    let word = owed.take();
                    if let Some(word) = word.filter(|word| said.as_deref() != Some(*word)) {
                        self.splices.replace(value, format!("\"{word}\""));
                    }
                    // Null says nothing; no word is left of one that the endpoint has none for.
                    word.is_some() || said.is_none()
                }
                _ => true,
            };
            if stays {
                members.keep(&mut self.splices, key.start, value.end);
            } else {
                members.remove(&mut self.splices, key.start, value.end);
            }
        }
        let mut tail = members.finish(&mut self.splices);
        if let Some(word) = owed {
            let member = format!("\"effort\":\"{word}\"");
            tail.add(&mut self.splices, member);
        }
        Ok(())
    }

    /// Takes out reasoning of other makers and what the provider would look for in its store, and
    /// our marks on the rest.
    fn history(&mut self, value: Span) -> Result<(), SyntaxError> {
        let raw = self.raw(value);
        if !raw.starts_with('[') || memchr::memmem::find(raw.as_bytes(), b"\"reasoning\"").is_none()
        {
            return Ok(());
        }
        let mut scanner = Scanner::starting(self.call.text(), value.start);
        scanner.begin_array()?;
        let mut items = Members::new(scanner.at());
        while scanner.element()? {
            scanner.kind()?;
            let start = scanner.at();
            if self.item(&mut scanner)? {
                items.keep(&mut self.splices, start, scanner.at());
            } else {
                items.remove(&mut self.splices, start, scanner.at());
            }
        }
        items.finish(&mut self.splices);
        Ok(())
    }

    /// Consumes an item; false takes it out.
    fn item(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, SyntaxError> {
        let (mut is_reasoning, mut is_whole) = (false, false);
        let mut marks: Vec<(usize, usize, bool)> = Vec::new();
        let mut format = None;
        scanner.begin_object()?;
        let at = scanner.at();
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let value = scanner.value()?;
            let raw = scanner.raw(value);
            let name = key.name.decode();
            match (&*name, kind) {
                ("type", Kind::String) => is_reasoning = raw == "\"reasoning\"",
                ("encrypted_content", Kind::String) => is_whole = raw.len() > 2,
                ("format", Kind::String) => format = Some(raw.trim_matches('"')),
                _ => {}
            }
            let is_ours = matches!(&*name, "format" | "signature");
            marks.push((key.start, value.end, is_ours));
        }
        if !is_reasoning {
            return Ok(true);
        }
        let mut members = Members::new(at);
        for (start, end, is_ours) in marks {
            if is_ours {
                members.remove(&mut self.splices, start, end);
            } else {
                members.keep(&mut self.splices, start, end);
            }
        }
        members.finish(&mut self.splices);
        Ok(is_whole && format.unwrap_or(NATIVE) == maker(self.target))
    }

    /// Adds what must be there and is not.
    fn add(&mut self, tail: &mut Tail) {
        // The client may have named it in `models` alone.
        if !self.has_model {
            let name = quoted(&self.target.endpoint.provider_model);
            tail.add(&mut self.splices, format!("\"model\":{name}"));
        }
        if !self.has_store {
            tail.add(&mut self.splices, "\"store\":false");
        }
        if !self.has_include && thinks(self.target) {
            tail.add(&mut self.splices, format!("\"include\":[{ENCRYPTED}]"));
        }
        if let Some(clamp) = self.target.max_tokens_clamp
            && !self.has_limit
        {
            tail.add(&mut self.splices, format!("\"max_output_tokens\":{clamp}"));
        }
        if !self.has_tier
            && let Some(word) = self.target.tier_word(None)
        {
            tail.add(&mut self.splices, format!("\"service_tier\":{word}"));
        }
    }
}
