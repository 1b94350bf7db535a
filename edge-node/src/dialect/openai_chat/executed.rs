//! Tools that a host of this dialect has run by itself (Groq's `executed_tools`): what they found are
//! sources, and searches are counted. The list itself passes to clients of this API; what the tools
//! said stands in the reasoning, too, so that others miss nothing.

use crate::metrics;
use crate::wire::json::{self, Kind, Scanner, SyntaxError};

/// How many runs of one answer are told apart.
const RUNS_MAX: usize = 256;
/// How much of what they found is kept until it can be told.
const FOUND_BYTES_MAX: usize = 1 << 20;

/// The runs of one answer. A stream tells of each when it begins and when it ends.
#[derive(Debug, Default)]
pub(super) struct Executed {
    /// Those that searched, by their numbers.
    searched: Vec<u64>,
    /// What was found and not told yet, as it stands in a list.
    found: String,
}

impl Executed {
    /// Reads a list of runs.
    pub(super) fn read(&mut self, list: &str) -> Result<(), SyntaxError> {
        let mut place = 0;
        let mut scanner = Scanner::new(list);
        scanner.begin_array()?;
        while scanner.element()? {
            if scanner.kind()? == Kind::Object {
                self.run(&mut scanner, place)?;
            } else {
                scanner.value()?;
            }
            place += 1;
        }
        Ok(())
    }

    /// A list of what was found since the last time.
    pub(super) fn found(&mut self) -> String {
        format!("[{}]", std::mem::take(&mut self.found))
    }

    /// How many have searched so far.
    pub(super) fn searches(&self) -> u64 {
        self.searched.len() as u64
    }

    fn run(&mut self, scanner: &mut Scanner<'_>, place: u64) -> Result<(), SyntaxError> {
        let (mut number, mut searches) = (place, false);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("index", Kind::Number) => {
                    let span = scanner.value()?;
                    number = json::count(scanner.raw(span)).unwrap_or(place);
                }
                // `search`, `web_search`, `browser.search`.
                ("type", Kind::String) => searches = scanner.string()?.decode().contains("search"),
                ("search_results", Kind::Object) => {
                    scanner.begin_object()?;
                    while let Some(key) = scanner.key()? {
                        let is_list = scanner.kind()? == Kind::Array;
                        let span = scanner.value()?;
                        if is_list && key.name.decode() == "results" {
                            self.keep(scanner.raw(span));
                        }
                    }
                }
                ("browser_results", Kind::Array) => {
                    let span = scanner.value()?;
                    self.keep(scanner.raw(span));
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        if searches && self.searched.len() < RUNS_MAX && !self.searched.contains(&number) {
            self.searched.push(number);
        }
        Ok(())
    }

    /// Keeps what stands in a list.
    fn keep(&mut self, list: &str) {
        let inner = list.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let inner = inner.unwrap_or("").trim();
        if inner.is_empty() {
            return;
        }
        if self.found.len() + inner.len() > FOUND_BYTES_MAX {
            return metrics::shed("server_tool_sources");
        }
        if !self.found.is_empty() {
            self.found.push(',');
        }
        self.found.push_str(inner);
    }
}
