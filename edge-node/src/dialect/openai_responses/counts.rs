//! Usage as this dialect reports it: once, in the last event or the whole answer, cached tokens
//! inside the input and reasoning inside the output.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cached: u64,
    written: u64,
    audio_in: u64,
    reasoning: u64,
    audio_out: u64,
    searches: u64,
    file_searches: u64,
    code_runs: u64,
}

impl Counts {
    /// Consumes `usage` or `tool_usage`.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        self.object(scanner, "")
    }

    /// So many searches were seen, which the provider may not have counted itself.
    pub(super) fn searched(&mut self, searches: u64) {
        self.searches = self.searches.max(searches);
    }

    /// So many searches of files and runs of code were seen.
    pub(super) fn ran(&mut self, file_searches: u64, code_runs: u64) {
        self.file_searches = self.file_searches.max(file_searches);
        self.code_runs = self.code_runs.max(code_runs);
    }

    /// What was used; none while nothing was reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let prompt = self.input.unwrap_or(0);
        let completion = self.output.unwrap_or(0);
        let cache_read = self.cached.min(prompt);
        Some(Usage {
            prompt,
            cache_read,
            cache_write: self.written.min(prompt - cache_read),
            prompt_audio: self.audio_in.min(prompt),
            completion,
            reasoning: self.reasoning.min(completion),
            completion_audio: self.audio_out.min(completion),
            web_searches: self.searches,
            file_searches: self.file_searches,
            code_runs: self.code_runs,
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
                        self.set(outer, &name, count);
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, outer: &str, name: &str, count: u64) {
        match (outer, name) {
            ("", "input_tokens") => self.input = Some(count),
            ("", "output_tokens") => self.output = Some(count),
            ("input_tokens_details", "cached_tokens") => self.cached = count,
            ("input_tokens_details", "cache_write_tokens") => self.written = count,
            ("input_tokens_details", "audio_tokens") => self.audio_in = count,
            ("output_tokens_details", "reasoning_tokens") => self.reasoning = count,
            ("output_tokens_details", "audio_tokens") => self.audio_out = count,
            ("web_search", "num_requests")
            // xAI.
            | ("server_side_tool_usage_details", "web_search_calls") => self.searches = count,
            _ => {}
        }
    }
}
