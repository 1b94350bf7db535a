//! Probabilities in the legacy form: lists side by side instead of a list of tokens.

use crate::egress::completions::put;
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};
use bytes::BytesMut;

/// What was told of one choice's tokens; lists, as they will be written.
#[derive(Debug, Default)]
pub(super) struct Logprobs {
    tokens: BytesMut,
    values: BytesMut,
    others: BytesMut,
    offsets: BytesMut,
    /// Characters so far.
    at: usize,
}

impl Logprobs {
    /// Takes `{"token":…,"logprob":…,"top_logprobs":[…]}` with commas between.
    pub(super) fn take(&mut self, tokens: &str) {
        let list = ["[", tokens, "]"].concat();
        // The reader has checked it: what can't be read is not there.
        let _ = self.list(&mut Scanner::new(&list));
    }

    /// True when there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Appends the object, and forgets all but the place in the text.
    pub(super) fn write(&mut self, out: &mut BytesMut) {
        if self.is_empty() {
            return put(out, &["null"]);
        }
        for (name, list) in [
            ("{\"tokens\":[", &mut self.tokens),
            ("],\"token_logprobs\":[", &mut self.values),
            ("],\"top_logprobs\":[", &mut self.others),
            ("],\"text_offset\":[", &mut self.offsets),
        ] {
            put(out, &[name]);
            out.extend_from_slice(list);
            list.clear();
        }
        put(out, &["]}"]);
    }

    fn list(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_array()?;
        while scanner.element()? {
            let (mut token, mut value, mut others) = (Str::EMPTY, "null", BytesMut::new());
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                match (&*key.name.decode(), scanner.kind()?) {
                    ("token", Kind::String) => token = scanner.string()?,
                    ("logprob", Kind::Number) => value = raw(scanner)?,
                    ("top_logprobs", Kind::Array) => alternatives(scanner, &mut others)?,
                    _ => {
                        scanner.value()?;
                    }
                }
            }
            let comma = if self.is_empty() { "" } else { "," };
            put(&mut self.tokens, &[comma, token.raw()]);
            put(&mut self.values, &[comma, value]);
            put(&mut self.others, &[comma, "{"]);
            self.others.extend_from_slice(&others);
            put(&mut self.others, &["}"]);
            put(&mut self.offsets, &[comma, &self.at.to_string()]);
            self.at += token.decode().chars().count();
        }
        Ok(())
    }
}

fn alternatives(scanner: &mut Scanner<'_>, out: &mut BytesMut) -> Result<(), SyntaxError> {
    scanner.begin_array()?;
    while scanner.element()? {
        let (mut token, mut value) = (Str::EMPTY, "null");
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("token", Kind::String) => token = scanner.string()?,
                ("logprob", Kind::Number) => value = raw(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        let comma = if out.is_empty() { "" } else { "," };
        put(out, &[comma, token.raw(), ":", value]);
    }
    Ok(())
}

fn raw<'a>(scanner: &mut Scanner<'a>) -> Result<&'a str, SyntaxError> {
    let span = scanner.value()?;
    Ok(scanner.raw(span))
}
