//! Usage as this dialect reports it: `tokens` are what the model read and wrote, its own template
//! of hundreds of tokens among them; `billed_units` are what is charged.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    tokens: Pair,
    billed: Pair,
    reasoning: u64,
    cached: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    input: Option<u64>,
    output: Option<u64>,
}

impl Counts {
    /// Consumes a usage object, or null.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        self.object(scanner, "")
    }

    /// What was used and what of it is charged; none while nothing was reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        let (tokens, billed) = (self.tokens, self.billed);
        let prompt = tokens.input.or(billed.input);
        let completion = tokens.output.or(billed.output);
        if prompt.is_none() && completion.is_none() {
            return None;
        }
        let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
        let free = |all: u64, charged: Option<u64>| all.saturating_sub(charged.unwrap_or(all));
        Some(Usage {
            prompt,
            prompt_free: free(prompt, billed.input),
            cache_read: self.cached.min(prompt),
            completion,
            completion_free: free(completion, billed.output),
            reasoning: self.reasoning.min(completion),
            ..Usage::default()
        })
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, outer: &str) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(());
        }
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            match scanner.kind()? {
                Kind::Object if outer.is_empty() => self.object(scanner, &name)?,
                Kind::Number => {
                    let span = scanner.value()?;
                    if let Some(count) = json::count(scanner.raw(span)) {
                        self.note(outer, &name, count);
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, outer: &str, name: &str, count: u64) {
        match (outer, name) {
            ("tokens", "input_tokens") => self.tokens.input = Some(count),
            ("tokens", "output_tokens") => self.tokens.output = Some(count),
            ("tokens", "reasoning_tokens") => self.reasoning = count,
            ("billed_units", "input_tokens") => self.billed.input = Some(count),
            ("billed_units", "output_tokens") => self.billed.output = Some(count),
            ("" | "tokens", "cached_tokens") => self.cached = count,
            _ => {}
        }
    }
}
