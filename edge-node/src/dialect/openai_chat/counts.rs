//! Usage as OpenAI-like providers report it, in all places and conventions. Later values replace
//! earlier ones field by field; nothing is ever added up over chunks.

#[cfg(test)]
mod tests;

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// More tokens than any answer has: a total beyond them counts something else.
const ANSWER_TOKENS_MAX: u64 = 1 << 20;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    /// The names of newer APIs, which some hosts use, and others set to 0 beside the right ones.
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    prompt_audio: Option<u64>,
    reasoning: Option<u64>,
    completion_audio: Option<u64>,
    completion_image: Option<u64>,
    searches: Option<u64>,
    /// Of what was read to be cited.
    citations: Option<u64>,
}

impl Counts {
    /// Consumes a usage object, or null.
    pub(crate) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let mut new = Self::default();
        new.object(scanner, "")?;
        self.merge(&new);
        Ok(())
    }

    /// So many searches were seen, which the provider may not have counted itself.
    pub(crate) fn searched(&mut self, searches: u64) {
        if searches > 0 {
            self.searches = self.searches.max(Some(searches));
        }
    }

    /// Totals are replaced, but not by zeros alone; their parts only grow, because they have several
    /// names, and hosts say 0 under those they don't mean.
    fn merge(&mut self, new: &Self) {
        if !new.is_blank() || self.is_blank() {
            // Another object's total says nothing of these counts.
            let is_whole = new.prompt.or(new.input).is_some();
            let known = self.total.filter(|_| !is_whole);
            self.total = new.total.or(known);
            self.prompt = new.prompt.or(self.prompt);
            self.completion = new.completion.or(self.completion);
            self.input = new.input.or(self.input);
            self.output = new.output.or(self.output);
        }
        self.cached = self.cached.max(new.cached);
        self.cache_write = self.cache_write.max(new.cache_write);
        self.prompt_audio = self.prompt_audio.max(new.prompt_audio);
        self.reasoning = self.reasoning.max(new.reasoning);
        self.completion_audio = self.completion_audio.max(new.completion_audio);
        self.completion_image = self.completion_image.max(new.completion_image);
        self.searches = self.searches.max(new.searches);
        self.citations = self.citations.max(new.citations);
    }

    /// True when nothing was counted.
    fn is_blank(&self) -> bool {
        let totals = [
            self.prompt,
            self.completion,
            self.input,
            self.output,
            self.total,
        ];
        totals.into_iter().flatten().all(|count| count == 0)
    }

    /// What was reported; none while both totals are missing. `outside` tells that reasoning is
    /// never inside `completion_tokens`.
    pub(crate) fn usage(&self, outside: bool) -> Option<Usage> {
        let (prompt, reported) = (self.prompt.or(self.input), self.completion.or(self.output));
        if prompt.is_none() && reported.is_none() {
            return None;
        }
        // Without the prompt's, a total says nothing of the answer.
        let total = self.total.filter(|total| *total > 0 && prompt.is_some());
        let (prompt, reported) = (prompt.unwrap_or(0), reported.unwrap_or(0));
        let reasoning = self.reasoning.unwrap_or(0);
        let completion = match total {
            Some(total) => reported.max(self.rest(total.saturating_sub(prompt), prompt, reported)),
            None if outside || reported < reasoning => reported.saturating_add(reasoning),
            None => reported,
        };
        let cache_read = self.cached.unwrap_or(0).min(prompt);
        Some(Usage {
            prompt,
            cache_read,
            cache_write: self.cache_write.unwrap_or(0).min(prompt - cache_read),
            prompt_audio: self.prompt_audio.unwrap_or(0).min(prompt),
            completion,
            reasoning: reasoning.min(completion),
            completion_audio: self.completion_audio.unwrap_or(0).min(completion),
            completion_image: self.completion_image.unwrap_or(0).min(completion),
            web_searches: self.searches.unwrap_or(0),
            citations: self.citations.unwrap_or(0),
            ..Usage::default()
        })
    }

    /// What of a total the answer is, given all of it but the prompt. Some hosts count reasoning
    /// there and nowhere else (xAI: 165 + 2 + 125 = 292; Google does not even name it).
    fn rest(&self, rest: u64, prompt: u64, reported: u64) -> u64 {
        let (read, write) = (self.cached.unwrap_or(0), self.cache_write.unwrap_or(0));
        let gap = rest.saturating_sub(reported);
        // A prompt without its cached parts: they stand in the total, too.
        let is_cache = [read, write, read.saturating_add(write)].contains(&gap);
        let rest = if is_cache && self.reasoning != Some(gap) {
            reported
        } else if read > prompt {
            rest.saturating_sub(read)
        } else {
            rest
        };
        if rest > ANSWER_TOKENS_MAX {
            reported
        } else {
            rest
        }
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
                    let count = json::count(scanner.raw(span));
                    if let (Some(count), Some(field)) = (count, self.field(outer, &name)) {
                        // Classes have several names, and hosts say 0 under those they don't mean.
                        let known = field.filter(|_| !is_whole(outer, &name));
                        *field = Some(count.max(known.unwrap_or(0)));
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, outer: &str, name: &str) -> Option<&mut Option<u64>> {
        let outer = match outer {
            // Mistral says it both ways.
            "prompt_tokens_details" | "prompt_token_details" | "input_tokens_details" => "prompt",
            "completion_tokens_details" | "output_tokens_details" => "completion",
            other => other,
        };
        let field = match (outer, name) {
            ("", "prompt_tokens") => &mut self.prompt,
            ("", "completion_tokens") => &mut self.completion,
            ("", "input_tokens") => &mut self.input,
            ("", "output_tokens") => &mut self.output,
            ("", "total_tokens") => &mut self.total,
            // DeepSeek, Together and Moonshot, older Mistral, Databricks.
            (
                "",
                "prompt_cache_hit_tokens"
                | "cached_tokens"
                | "num_cached_tokens"
                | "cache_read_input_tokens",
            )
            | ("prompt", "cached_tokens" | "cache_read_tokens" | "cache_read_input_tokens") => {
                &mut self.cached
            }
            ("", "cache_write_tokens" | "cache_creation_input_tokens")
            | (
                "prompt",
                "cache_write_tokens" | "cache_creation_tokens" | "cache_creation_input_tokens",
            ) => &mut self.cache_write,
            ("prompt", "audio_tokens") => &mut self.prompt_audio,
            ("", "reasoning_tokens" | "thinking_tokens")
            | ("completion", "reasoning_tokens" | "thinking_tokens") => &mut self.reasoning,
            ("completion", "audio_tokens") => &mut self.completion_audio,
            ("completion", "image_tokens") => &mut self.completion_image,
            // Perplexity.
            ("", "citation_tokens") => &mut self.citations,
            ("", "num_search_queries")
            | ("server_tool_use" | "server_tool_use_details", "web_search_requests") => {
                &mut self.searches
            }
            _ => return None,
        };
        Some(field)
    }
}

/// The totals, which later chunks replace; their parts only grow.
fn is_whole(outer: &str, name: &str) -> bool {
    let parts = [
        "prompt_tokens",
        "completion_tokens",
        "input_tokens",
        "output_tokens",
        "total_tokens",
    ];
    outer.is_empty() && parts.contains(&name)
}
