//! Usage as this dialect reports it: the prompt without its cached parts.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: u64,
    output: u64,
    read: u64,
    write: u64,
    /// Of what was written: for an hour.
    write_1h: u64,
    seen: bool,
}

impl Counts {
    /// Consumes a usage object.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("cacheDetails", Kind::Array) => self.details(scanner)?,
                (name, Kind::Number) => {
                    let span = scanner.value()?;
                    let count = json::count(scanner.raw(span)).unwrap_or(0);
                    let field = match name {
                        "inputTokens" => &mut self.input,
                        "outputTokens" => &mut self.output,
                        "cacheReadInputTokens" => &mut self.read,
                        "cacheWriteInputTokens" => &mut self.write,
                        _ => continue,
                    };
                    *field = count;
                    self.seen = true;
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    /// What was used; none while nothing was reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        let write_1h = self.write_1h.min(self.write);
        let prompt = self.input.saturating_add(self.read);
        self.seen.then(|| Usage {
            prompt: prompt.saturating_add(self.write),
            cache_read: self.read,
            cache_write: self.write - write_1h,
            cache_write_1h: write_1h,
            completion: self.output,
            ..Usage::default()
        })
    }

    /// `[{"ttl":"1h","inputTokens":7}]`
    fn details(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        self.write_1h = 0;
        scanner.begin_array()?;
        while scanner.element()? {
            if scanner.kind()? != Kind::Object {
                scanner.value()?;
                continue;
            }
            let (mut is_hour, mut count) = (false, 0);
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                let span = scanner.value()?;
                let raw = scanner.raw(span);
                match &*key.name.decode() {
                    "ttl" => is_hour = raw == "\"1h\"",
                    "inputTokens" => count = json::count(raw).unwrap_or(0),
                    _ => {}
                }
            }
            if is_hour {
                self.write_1h = self.write_1h.saturating_add(count);
            }
        }
        Ok(())
    }
}
