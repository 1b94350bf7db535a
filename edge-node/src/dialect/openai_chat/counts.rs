//! Usage as OpenAI-like providers report it, in all places and conventions. Later values replace
//! earlier ones field by field; nothing is ever added up over chunks.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    prompt_audio: Option<u64>,
    reasoning: Option<u64>,
    completion_audio: Option<u64>,
    completion_image: Option<u64>,
    searches: Option<u64>,
}

impl Counts {
    /// Consumes a usage object, or null.
    pub(crate) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        self.object(scanner, "")
    }

    /// What was reported; none while both totals are missing. `outside` tells that reasoning is
    /// never inside `completion_tokens`.
    pub(crate) fn usage(&self, outside: bool) -> Option<Usage> {
        if self.prompt.is_none() && self.completion.is_none() {
            return None;
        }
        let prompt = self.prompt.unwrap_or(0);
        let reported = self.completion.unwrap_or(0);
        let reasoning = self.reasoning.unwrap_or(0);
        // xAI: the total says that reasoning stands beside the completion (165 + 2 + 125 = 292).
        let sum = prompt.saturating_add(reported).saturating_add(reasoning);
        let beside = reasoning > 0 && (outside || reported < reasoning || self.total == Some(sum));
        let fits = self.total.is_none_or(|total| total >= sum);
        let completion = if beside && fits {
            reported.saturating_add(reasoning)
        } else {
            reported
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
                    let count = json::count(scanner.raw(span));
                    if let (Some(count), Some(field)) = (count, self.field(outer, &name)) {
                        *field = Some(count);
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
        let field = match (outer, name) {
            ("", "prompt_tokens") => &mut self.prompt,
            ("", "completion_tokens") => &mut self.completion,
            ("", "total_tokens") => &mut self.total,
            // DeepSeek, Together, older Mistral.
            ("", "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens")
            | ("prompt_tokens_details", "cached_tokens") => &mut self.cached,
            ("", "cache_write_tokens" | "cache_creation_input_tokens")
            | (
                "prompt_tokens_details",
                "cache_write_tokens" | "cache_creation_tokens" | "cache_creation_input_tokens",
            ) => &mut self.cache_write,
            ("prompt_tokens_details", "audio_tokens") => &mut self.prompt_audio,
            ("", "reasoning_tokens") | ("completion_tokens_details", "reasoning_tokens") => {
                &mut self.reasoning
            }
            ("completion_tokens_details", "audio_tokens") => &mut self.completion_audio,
            ("completion_tokens_details", "image_tokens") => &mut self.completion_image,
            ("server_tool_use" | "server_tool_use_details", "web_search_requests") => {
                &mut self.searches
            }
            _ => return None,
        };
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Option<Usage> {
        let mut counts = Counts::default();
        for text in texts {
            counts.read(&mut Scanner::new(text)).unwrap();
        }
        counts.usage(false)
    }

    fn usage(prompt: u64, cache_read: u64, completion: u64, reasoning: u64) -> Option<Usage> {
        Some(Usage {
            prompt,
            cache_read,
            completion,
            reasoning,
            ..Usage::default()
        })
    }

    #[test]
    fn every_convention_comes_out_the_same() {
        let check = |texts: &[&str], expected| assert_eq!(read(texts), expected, "{texts:?}");
        check(&["null"], None);
        check(&["{}"], None);
        check(&[r#"{"prompt_tokens":null}"#], None);
        check(
            &[
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
                "prompt_tokens_details":{"cached_tokens":4},
                "completion_tokens_details":{"reasoning_tokens":3}}"#,
            ],
            usage(10, 4, 5, 3),
        );
        // xAI: reasoning beside the completion.
        check(
            &[
                r#"{"prompt_tokens":165,"completion_tokens":2,"total_tokens":292,
                "completion_tokens_details":{"reasoning_tokens":125}}"#,
            ],
            usage(165, 0, 127, 125),
        );
        // DeepSeek.
        check(
            &[
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":7,
                "prompt_cache_miss_tokens":3}"#,
            ],
            usage(10, 7, 5, 0),
        );
        // Together.
        check(
            &[r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":2}"#],
            usage(10, 2, 5, 0),
        );
        // More cached than there was.
        check(
            &[
                r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":163}}"#,
            ],
            usage(7, 7, 1, 0),
        );
        // Perplexity, Fireworks: cumulative on every chunk. Groq: twice.
        check(
            &[
                r#"{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}"#,
                r#"{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}"#,
                r#"{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}"#,
                "null",
            ],
            usage(8, 0, 3, 0),
        );
        // Databricks: null until the end.
        check(
            &[
                r#"{"prompt_tokens":8,"completion_tokens":null}"#,
                r#"{"completion_tokens":3,"prompt_tokens":null}"#,
            ],
            usage(8, 0, 3, 0),
        );
    }
}
