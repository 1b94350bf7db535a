//! What a quirk demands of the messages of a client that speaks this dialect: roles that the
//! provider does not know, ids in its form, and reasoning under its own name for it.

use super::Request;
use crate::dialect::openai_chat::compose::lost;
use crate::dialect::write::nine_letters;
use crate::wire::json::{Key, Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::Members;
use shared::catalog::Quirk;

/// What a message has that may have to be edited.
#[derive(Default)]
struct Message<'a> {
    role: Option<Span>,
    reasoning: Option<Key<'a>>,
    /// Where the list starts.
    details: Option<usize>,
    has_reasoning_content: bool,
    /// Where the list starts, if anything stands in it.
    calls: Option<usize>,
    /// The call that a tool answers.
    call_id: Option<Span>,
    /// Empty reasoning is none.
    filled: bool,
}

impl Request<'_> {
    /// Notes the edits of the messages, an array at `start`.
    pub(super) fn history(&mut self, start: usize) -> Result<(), SyntaxError> {
        let renames = self.has(Quirk::NoDeveloperRole);
        let gives_back = self.has(Quirk::ReasoningContentBack);
        let shortens = self.has(Quirk::NineLetterIds);
        let refused = self.refused_members();
        let lost = lost(self.target);
        if !renames && !gives_back && !shortens && refused.is_empty() {
            return Ok(());
        }
        let mut scanner = Scanner::starting(self.text, start);
        scanner.begin_array()?;
        while scanner.element()? {
            let mut message = Message {
                filled: !lost.is_empty(),
                ..Message::default()
            };
            scanner.begin_object()?;
            let mut members = Members::new(scanner.at());
            while let Some(key) = scanner.key()? {
                // A null there would stand beside what is added.
                let stays = message.member(&key, &mut scanner)? || !gives_back;
                if stays && !refused.contains(&&*key.name.decode()) {
                    members.keep(&mut self.splices, key.start, scanner.at());
                } else {
                    members.remove(&mut self.splices, key.start, scanner.at());
                }
            }
            let mut tail = members.finish(&mut self.splices);
            if let Some(role) = message.role.filter(|_| renames)
                && scanner.raw(role) == "\"developer\""
            {
                self.splices.replace(role, "\"system\"");
            }
            if shortens {
                self.shorten(&message)?;
            }
            let spoke = || {
                message
                    .role
                    .is_some_and(|it| scanner.raw(it) == "\"assistant\"")
            };
            let owed = message.calls.is_some() || (self.call.demand.needs_tools && spoke());
            if !gives_back || !owed || message.has_reasoning_content {
                continue;
            }
            if let Some(key) = message.reasoning {
                self.splices.replace(key.span(), "\"reasoning_content\"");
                continue;
            }
            // What the model said without its reasoning is refused, with none of it is not.
            let told = match message.details {
                Some(start) => texts(Scanner::starting(self.text, start))?,
                None => String::new(),
            };
            let told = if told.is_empty() { lost } else { &told };
            let member = format!("\"reasoning_content\":\"{told}\"");
            tail.add(&mut self.splices, member);
        }
        Ok(())
    }

    /// The members of messages that the provider refuses.
    fn refused_members(&self) -> Vec<&'static str> {
        let mut refused = Vec::new();
        if self.has(Quirk::NoNames) {
            refused.push("name");
        }
        let none = self.has(Quirk::NoReasoningBack);
        if none || self.has(Quirk::ReasoningBack) {
            refused.extend(["reasoning_content", "reasoning_details"]);
        }
        if none {
            refused.push("reasoning");
        }
        refused
    }

    /// Notes the edits of a message's ids of calls.
    fn shorten(&mut self, message: &Message<'_>) -> Result<(), SyntaxError> {
        if let Some(span) = message.call_id {
            self.shorten_id(span)?;
        }
        let Some(start) = message.calls else {
            return Ok(());
        };
        let mut scanner = Scanner::starting(self.text, start);
        scanner.begin_array()?;
        while scanner.element()? {
            if scanner.kind()? != Kind::Object {
                scanner.value()?;
                continue;
            }
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                let kind = scanner.kind()?;
                let span = scanner.value()?;
                if key.name.decode() == "id" && kind == Kind::String {
                    self.shorten_id(span)?;
                }
            }
        }
        Ok(())
    }

    fn shorten_id(&mut self, span: Span) -> Result<(), SyntaxError> {
        let id = Scanner::starting(self.text, span.start).string()?;
        let short = format!("\"{}\"", nine_letters(&id.decode()));
        if id.raw() != short {
            self.splices.replace(span, short);
        }
        Ok(())
    }
}

impl<'a> Message<'a> {
    /// Consumes a member; false for reasoning by the provider's name that says nothing.
    fn member(&mut self, key: &Key<'a>, scanner: &mut Scanner<'a>) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        let start = scanner.at();
        let span = scanner.value()?;
        let says = kind == Kind::String && !(self.filled && span.end - span.start == 2);
        match (&*key.name.decode(), kind) {
            ("role", _) => self.role = Some(span),
            ("reasoning", _) if says => self.reasoning = Some(*key),
            ("reasoning_content", _) if says => self.has_reasoning_content = true,
            ("reasoning_content", _) => return Ok(false),
            ("reasoning_details", Kind::Array) => self.details = Some(start),
            ("tool_calls", Kind::Array) => {
                self.calls = Some(start).filter(|_| span.end - span.start > 2);
            }
            ("tool_call_id", Kind::String) => self.call_id = Some(span),
            _ => {}
        }
        Ok(true)
    }
}

/// The readable texts of a list of reasoning details, as the inside of one JSON string.
fn texts(mut scanner: Scanner<'_>) -> Result<String, SyntaxError> {
    let mut told = String::new();
    scanner.begin_array()?;
    while scanner.element()? {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            continue;
        }
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("text" | "summary", Kind::String) => told.push_str(scanner.string()?.inner()),
                _ => {
                    scanner.value()?;
                }
            }
        }
    }
    Ok(told)
}
