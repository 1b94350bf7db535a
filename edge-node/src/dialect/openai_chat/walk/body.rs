//! The delta or message of a choice: counts what it says and brings content and reasoning into one
//! form, wherever the provider put them.

use super::choice::Part;
use super::{Form, Walker};
use crate::dialect::openai_chat::content;
use crate::dialect::openai_chat::read::REASONING;
use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};
use crate::wire::splice::Members;

impl Walker {
    /// Consumes a delta or message, an object.
    pub(super) fn body<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        part: &mut Part<'a>,
    ) -> Result<(), SyntaxError> {
        let (mut has_role, mut has_content) = (false, false);
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            let keep = match &*name {
                "role" => {
                    has_role = true;
                    self.role(scanner)?
                }
                "content" => {
                    has_content = true;
                    self.content(scanner, part)?;
                    true
                }
                "reasoning" => {
                    let start = scanner.at();
                    let length = said(scanner)?.map_or(0, |text| text.inner().len());
                    let end = scanner.at();
                    part.named = Some((Span { start, end }, length));
                    !self.envelope.hides_reasoning
                }
                alias if REASONING.contains(&alias) => {
                    if let Some(text) = said(scanner)?
                        && part.alias.is_none_or(|(_, known)| known.is_empty())
                    {
                        part.alias = Some((key.span(), text));
                    }
                    !self.envelope.hides_reasoning
                }
                _ => self.body_member(scanner, &name, part)?,
            };
            if keep {
                members.keep(&mut self.splices, key.start, scanner.at());
            } else {
                members.remove(&mut self.splices, key.start, scanner.at());
            }
        }
        part.body_tail = members.finish(&mut self.splices);
        if self.form == Form::Answer && !has_role {
            let member = "\"role\":\"assistant\"";
            part.body_tail.add(&mut self.splices, member);
        }
        if self.form == Form::Answer && !has_content {
            part.body_tail.add(&mut self.splices, "\"content\":null");
        }
        Ok(())
    }

    /// The role is `assistant`, whatever the provider says.
    fn role(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, SyntaxError> {
        let span = scanner.value()?;
        let raw = scanner.raw(span);
        if self.form == Form::Chunk && raw == "null" {
            return Ok(false);
        }
        if raw != "\"assistant\"" {
            self.splices.replace(span, "\"assistant\"");
        }
        Ok(true)
    }

    fn content<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        part: &mut Part<'a>,
    ) -> Result<(), SyntaxError> {
        let kind = scanner.kind()?;
        let start = scanner.at();
        match kind {
            Kind::String => {
                let text = scanner.string()?;
                let end = scanner.at();
                part.bytes += text.inner().len() as u64;
                part.content = Some((Span { start, end }, text));
            }
            Kind::Array | Kind::Object => {
                let flat = content::flatten(scanner)?;
                let end = scanner.at();
                part.bytes += (flat.text.len() + flat.reasoning.len()) as u64;
                let text = format!("\"{}\"", flat.text);
                self.splices.replace(Span { start, end }, text);
                part.output |= !flat.images.is_empty();
                part.bytes += flat.refusal.len() as u64;
                part.reasoning = flat.reasoning;
                part.images = flat.images;
                part.refusal = flat.refusal;
            }
            Kind::Null | Kind::Number | Kind::Bool => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    /// Consumes another value; false takes the member out.
    fn body_member(
        &mut self,
        scanner: &mut Scanner<'_>,
        name: &str,
        part: &mut Part<'_>,
    ) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        let at = scanner.at();
        let span = scanner.value()?;
        let is_empty = scanner.raw(span).len() <= 2;
        if name == "annotations" {
            part.annotations = Some(span);
        }
        match (name, kind) {
            ("tool_calls", Kind::Array) => part.calls_at = Some(at),
            ("refusal", Kind::String) => part.bytes += (span.end - span.start - 2) as u64,
            // Legacy.
            ("function_call", Kind::Object) => part.bytes += (span.end - span.start) as u64,
            ("reasoning_details", Kind::Array) => {
                part.output |= !is_empty;
                return Ok(!self.envelope.hides_reasoning);
            }
            ("annotations", Kind::Array) => {
                part.output |= !is_empty;
                if !is_empty {
                    self.sources.told.note(scanner.raw(span))?;
                }
            }
            ("executed_tools", Kind::Array) => {
                self.executed.read(scanner.raw(span))?;
                self.counts.searched(self.executed.searches());
                self.sources.add(self.executed.found());
            }
            ("audio", Kind::Object) | ("images", Kind::Array) => part.output |= !is_empty,
            _ => {}
        }
        Ok(true)
    }

    /// Settles content and reasoning when the whole choice is known.
    pub(super) fn settle_text(&mut self, part: &mut Part<'_>) {
        if self.think_tags {
            self.split_thoughts(part);
        }
        self.settle_parts(part);
        let length = part.named.map_or(0, |(_, length)| length);
        let alias = part.alias.map_or(0, |(_, text)| text.inner().len());
        part.bytes += length.max(alias) as u64;
        if self.envelope.hides_reasoning {
            return;
        }
        match (part.named, part.alias) {
            // Some give it under both names, the one that clients read empty.
            (Some((span, 0)), Some((_, text))) if !text.is_empty() => {
                self.splices.replace(span, text.raw());
            }
            (None, Some((key, _))) => self.splices.replace(key, "\"reasoning\""),
            (None, None) if !part.reasoning.is_empty() => {
                let member = format!("\"reasoning\":\"{}\"", part.reasoning);
                part.body_tail.add(&mut self.splices, member);
            }
            _ => {}
        }
    }

    /// What stood among the parts of the content gets members of its own.
    fn settle_parts(&mut self, part: &mut Part<'_>) {
        if !part.refusal.is_empty() {
            let member = format!("\"refusal\":\"{}\"", part.refusal);
            part.body_tail.add(&mut self.splices, member);
        }
        if part.images.is_empty() {
            return;
        }
        part.body_tail.add_with(&mut self.splices, |out| {
            out.extend_from_slice(b"\"images\":[");
            for (place, url) in part.images.iter().enumerate() {
                let comma = if place > 0 { "," } else { "" };
                let head = "{\"type\":\"image_url\",\"image_url\":{\"url\":\"";
                out.extend_from_slice([comma, head, url, "\"}}"].concat().as_bytes());
            }
            out.extend_from_slice(b"]");
        });
    }

    /// Moves what stands between `<think>` tags from the content to the reasoning.
    fn split_thoughts(&mut self, part: &mut Part<'_>) {
        let Some(choice) = self.choices.get_mut(part.at) else {
            return;
        };
        let last = self.form == Form::Answer || part.finish.is_some();
        let text = part
            .content
            .map_or_else(Default::default, |(_, text)| text.decode());
        let split = choice.thoughts.split(&text, last);
        let mut reasoning = Vec::new();
        json::write_escaped(&mut reasoning, &split.reasoning);
        part.reasoning
            .push_str(&String::from_utf8_lossy(&reasoning));
        match part.content {
            Some((_, raw)) if split.text == text || raw.is_empty() && split.text.is_empty() => {}
            Some((span, _)) => self
                .splices
                .replace_with(span, |new| json::write_string(new, &split.text)),
            None if split.text.is_empty() => {}
            None => part.body_tail.add_with(&mut self.splices, |new| {
                new.extend_from_slice(b"\"content\":");
                json::write_string(new, &split.text);
            }),
        }
    }
}

/// Consumes a value; its text, if it is one.
fn said<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Str<'a>>, SyntaxError> {
    if scanner.kind()? == Kind::String {
        return scanner.string().map(Some);
    }
    scanner.value()?;
    Ok(None)
}
