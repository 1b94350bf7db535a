//! The delta or message of a choice: counts what it says and brings content and reasoning into one
//! form, wherever the provider put them.

use super::choice::Part;
use super::{Form, Walker};
use crate::dialect::openai_chat::content;
use crate::wire::json::{self, Key, Kind, Scanner, Span, SyntaxError};
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
                "reasoning" | "reasoning_content" => {
                    self.reasoning(scanner, &name, &key, part)?;
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
                part.reasoning = flat.reasoning;
            }
            Kind::Null | Kind::Number | Kind::Bool => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn reasoning(
        &mut self,
        scanner: &mut Scanner<'_>,
        name: &str,
        key: &Key<'_>,
        part: &mut Part<'_>,
    ) -> Result<(), SyntaxError> {
        if name == "reasoning" {
            part.has_reasoning = true;
        } else {
            part.reasoning_content = Some(key.span());
        }
        if scanner.kind()? == Kind::String {
            part.bytes += scanner.string()?.inner().len() as u64;
        } else {
            scanner.value()?;
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
        match (name, kind) {
            ("tool_calls", Kind::Array) => part.calls_at = Some(at),
            ("refusal", Kind::String) => part.bytes += (span.end - span.start - 2) as u64,
            // Legacy.
            ("function_call", Kind::Object) => part.bytes += (span.end - span.start) as u64,
            ("reasoning_details", Kind::Array) => {
                part.output |= !is_empty;
                return Ok(!self.envelope.hides_reasoning);
            }
            ("audio", Kind::Object) | ("images" | "annotations", Kind::Array) => {
                part.output |= !is_empty;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Settles content and reasoning when the whole choice is known.
    pub(super) fn settle_text(&mut self, part: &mut Part<'_>) {
        if self.think_tags {
            self.split_thoughts(part);
        }
        if self.envelope.hides_reasoning {
            return;
        }
        let named = part.has_reasoning || part.reasoning_content.is_some();
        if !part.reasoning.is_empty() && !named {
            let member = format!("\"reasoning\":\"{}\"", part.reasoning);
            part.body_tail.add(&mut self.splices, member);
        } else if let Some(key) = part.reasoning_content
            && !part.has_reasoning
        {
            self.splices.replace(key, "\"reasoning\"");
        }
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
