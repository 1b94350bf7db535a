//! Reads an answer as OpenAI's dialect does, but for errors, which have a form of their own inside
//! an answer.

use crate::dialect::openai_chat;
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify};
use crate::failure::Failure;
use crate::wire::json::{Kind, Scanner, SyntaxError};

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer(openai_chat::Answer);

impl Answer {
    pub(super) fn new(target: &Target<'_>) -> Self {
        Self(openai_chat::Answer::new(target))
    }

    /// Texts without choices may be `{"object":"error",…}` or `{"detail":…}`.
    fn check(&self, text: &str) -> Result<(), Failure> {
        if !text.contains("\"choices\"") && is_error(text) == Ok(true) {
            return Err(classify::in_band(&self.0.notes().name, text));
        }
        Ok(())
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.check(frame.data)?;
        self.0.frame(frame, sink)
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.check(text)?;
        self.0.whole(text, sink)
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        self.0.end(sink);
    }

    fn notes(&self) -> &Notes {
        self.0.notes()
    }

    fn notes_mut(&mut self) -> &mut Notes {
        self.0.notes_mut()
    }
}

fn is_error(text: &str) -> Result<bool, SyntaxError> {
    let mut scanner = Scanner::new(text);
    if scanner.kind()? != Kind::Object {
        return Ok(false);
    }
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let kind = scanner.kind()?;
        let span = scanner.value()?;
        match &*key.name.decode() {
            "object" if scanner.raw(span) == "\"error\"" => return Ok(true),
            "detail" if kind != Kind::Null => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
