//! The members of a line that mean something to us, in whatever order they stand.

use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// A line, or a whole answer.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) text: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    /// Where the list of calls starts.
    pub(super) calls: Option<usize>,
    /// The probabilities of tokens, as written, without their brackets.
    pub(super) logprobs: &'a str,
    pub(super) done: bool,
    pub(super) done_reason: Option<Str<'a>>,
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
    pub(super) has_message: bool,
    pub(super) has_error: bool,
}

impl<'a> Line<'a> {
    /// Reads a whole text.
    pub(super) fn read(text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let scanner = &mut scanner;
        let mut line = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            match (&*key.name.decode(), kind) {
                ("message", Kind::Object) => line.message(scanner)?,
                ("done_reason", Kind::String) => line.done_reason = Some(scanner.string()?),
                (name, _) => {
                    let span = scanner.value()?;
                    let raw = scanner.raw(span);
                    match (name, kind) {
                        ("done", Kind::Bool) => line.done = raw == "true",
                        ("prompt_eval_count", _) => line.prompt = json::count(raw),
                        ("eval_count", _) => line.completion = json::count(raw),
                        ("logprobs", Kind::Array) => {
                            line.logprobs = raw.get(1..raw.len() - 1).unwrap_or("").trim();
                        }
                        ("error", kind) => line.has_error |= kind != Kind::Null,
                        _ => {}
                    }
                }
            }
        }
        scanner.end()?;
        Ok(line)
    }

    fn message(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        self.has_message = true;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let start = scanner.at();
            match (&*key.name.decode(), scanner.kind()?) {
                ("content", Kind::String) => self.text = Some(scanner.string()?),
                ("thinking", Kind::String) => self.thinking = Some(scanner.string()?),
                ("tool_calls", Kind::Array) => {
                    scanner.value()?;
                    self.calls = Some(start);
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }
}

/// A call, whole.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    /// As written: an object, from some proxies a string.
    pub(super) arguments: Option<(Kind, &'a str)>,
}

impl<'a> Call<'a> {
    /// Consumes an element of the list.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut call = Self::default();
        call.object(scanner, true)?;
        Ok(call)
    }

    fn object(&mut self, scanner: &mut Scanner<'a>, outer: bool) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            match (&*key.name.decode(), kind) {
                ("function", Kind::Object) if outer => self.object(scanner, false)?,
                ("id", Kind::String) if outer => self.id = Some(scanner.string()?),
                ("name", Kind::String) => self.name = Some(scanner.string()?),
                ("arguments", _) => {
                    let span = scanner.value()?;
                    self.arguments = Some((kind, scanner.raw(span)));
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }
}
