//! Usage as this dialect reports it: the prompt without its cached parts, cumulative, spread over
//! the first and the last event. The last value of each field holds; zeros and gaps overwrite
//! nothing.

use crate::message::Served;
use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;

/// Bytes of output per token, where the provider's count has not come.
const BYTES_PER_TOKEN: u64 = 4;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    input: u64,
    output: u64,
    read: u64,
    write: u64,
    write_5m: u64,
    write_1h: u64,
    thinking: u64,
    searches: u64,
    fetches: u64,
    code_runs: u64,
    served: Option<Served>,
    seen: bool,
    /// The count of the output is the last one.
    complete: bool,
}

impl Counts {
    /// Consumes a usage object. At the start of a stream `output_tokens` is a cursor, not a count.
    pub(crate) fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        complete: bool,
    ) -> Result<(), SyntaxError> {
        self.object(scanner, "")?;
        if complete {
            self.complete = true;
        } else {
            self.output = 0;
        }
        Ok(())
    }

    /// What was used; while the provider's own count of the output is missing, it is made of the
    /// bytes that came.
    pub(crate) fn usage(&self, output_bytes: u64) -> Option<Usage> {
        if !self.seen {
            return None;
        }
        let completion = if self.complete {
            self.output
        } else {
            output_bytes.div_ceil(BYTES_PER_TOKEN)
        };
        // With server tools the split by age is of the first step only; the rest is of the class
        // that is in use.
        let write = self.write.max(self.write_5m.saturating_add(self.write_1h));
        let cache_write_1h = if self.write_5m == 0 && self.write_1h > 0 {
            write
        } else {
            self.write_1h
        };
        Some(Usage {
            prompt: self.input.saturating_add(self.read).saturating_add(write),
            cache_read: self.read,
            cache_write: write - cache_write_1h,
            cache_write_1h,
            completion,
            reasoning: self.thinking.min(completion),
            web_searches: self.searches,
            fetches: self.fetches,
            code_runs: self.code_runs,
            estimated: !self.complete,
            ..Usage::default()
        })
    }

    /// The tier that served, where it was named.
    pub(crate) const fn served(&self) -> Option<Served> {
        self.served
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
                // The speed stands beside the tier, which is `standard` all the same.
                Kind::String if matches!(&*name, "service_tier" | "speed") => {
                    let served = Served::parse(&scanner.string()?.decode());
                    if self.served.is_none_or(|known| known == Served::Default) {
                        self.served = served.or(self.served);
                    }
                }
                Kind::Number => {
                    let span = scanner.value()?;
                    let count = json::count(scanner.raw(span)).unwrap_or(0);
                    if let Some(field) = self.field(outer, &name) {
                        if count > 0 {
                            *field = count;
                        }
                        self.seen = true;
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, outer: &str, name: &str) -> Option<&mut u64> {
        Some(match (outer, name) {
            ("", "input_tokens") => &mut self.input,
            ("", "output_tokens") => &mut self.output,
            ("", "cache_read_input_tokens") => &mut self.read,
            ("", "cache_creation_input_tokens") => &mut self.write,
            ("cache_creation", "ephemeral_5m_input_tokens") => &mut self.write_5m,
            ("cache_creation", "ephemeral_1h_input_tokens") => &mut self.write_1h,
            ("output_tokens_details", "thinking_tokens") => &mut self.thinking,
            ("server_tool_use", "web_search_requests") => &mut self.searches,
            ("server_tool_use", "web_fetch_requests") => &mut self.fetches,
            ("server_tool_use", "code_execution_requests") => &mut self.code_runs,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(start: &str, end: Option<&str>, bytes: u64) -> Usage {
        let mut counts = Counts::default();
        counts.read(&mut Scanner::new(start), false).unwrap();
        if let Some(end) = end {
            counts.read(&mut Scanner::new(end), true).unwrap();
        }
        counts.usage(bytes).unwrap()
    }

    #[test]
    fn the_prompt_is_the_sum_of_its_classes() {
        let start = r#"{"input_tokens":10,"cache_read_input_tokens":30,
            "cache_creation_input_tokens":7,"output_tokens":1,
            "cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":5}}"#;
        let got = usage(start, Some(r#"{"output_tokens":50}"#), 0);
        assert_eq!((got.prompt, got.cache_read), (47, 30));
        assert_eq!((got.cache_write, got.cache_write_1h), (2, 5));
        assert_eq!((got.completion, got.estimated), (50, false));
    }

    #[test]
    fn later_values_replace_and_zeros_do_not() {
        let start = r#"{"input_tokens":2479,"output_tokens":8,"cache_read_input_tokens":5}"#;
        let end = r#"{"input_tokens":404500,"cache_read_input_tokens":0,"output_tokens":943,
            "output_tokens_details":{"thinking_tokens":261},
            "server_tool_use":{"web_search_requests":10,"web_fetch_requests":2}}"#;
        let got = usage(start, Some(end), 0);
        assert_eq!((got.prompt, got.cache_read), (404_505, 5));
        assert_eq!((got.completion, got.reasoning), (943, 261));
        assert_eq!((got.web_searches, got.fetches), (10, 2));
        let end = r#"{"input_tokens":0,"output_tokens":3}"#;
        let got = usage(start, Some(end), 0);
        assert_eq!((got.prompt, got.completion), (2484, 3));
    }

    #[test]
    fn classes_of_the_cache_may_come_with_the_end_only() {
        let start = r#"{"input_tokens":10,"output_tokens":1}"#;
        let end = r#"{"input_tokens":10,"cache_read_input_tokens":30,"output_tokens":3,
            "cache_creation_input_tokens":7,
            "cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":5}}"#;
        let got = usage(start, Some(end), 0);
        assert_eq!((got.prompt, got.cache_read, got.completion), (47, 30, 3));
        assert_eq!((got.cache_write, got.cache_write_1h), (2, 5));
    }

    #[test]
    fn a_cursor_is_not_a_count() {
        let start = r#"{"input_tokens":10,"output_tokens":1}"#;
        let got = usage(start, None, 41);
        assert_eq!((got.prompt, got.completion, got.estimated), (10, 11, true));
    }

    #[test]
    fn the_split_of_cache_writes_covers_the_first_step_only() {
        let start = r#"{"input_tokens":1,"cache_creation_input_tokens":100,
            "cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":100}}"#;
        let end = r#"{"cache_creation_input_tokens":400,"output_tokens":1}"#;
        let got = usage(start, Some(end), 0);
        assert_eq!(got.prompt, 401);
        assert_eq!((got.cache_write, got.cache_write_1h), (0, 400));
        let start = r#"{"input_tokens":1,"cache_creation_input_tokens":100}"#;
        let got = usage(start, Some(end), 0);
        assert_eq!((got.cache_write, got.cache_write_1h), (400, 0));
    }
}
