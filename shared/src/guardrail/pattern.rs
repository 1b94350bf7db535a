//! Patterns of content filters: JavaScript's flavour without look-around and back-references, so
//! that matching takes linear time. `\d`, `\w` and `\b` mean ASCII there, and a bracket has no
//! brackets inside; all else is the same here.

use super::PATTERN_MAX;
use regex::{Regex, RegexBuilder};

/// Largest compiled pattern, in bytes.
pub const COMPILED_MAX: usize = 1 << 20;
/// How deep groups may nest.
const NEST_MAX: u32 = 50;

/// Compiles a pattern.
///
/// # Errors
/// In words, when it is too long or large, or not of the flavour.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("it is empty".to_owned());
    }
    if pattern.chars().count() > PATTERN_MAX {
        return Err(format!("longer than {PATTERN_MAX} characters"));
    }
    let mut builder = RegexBuilder::new(&translated(pattern));
    builder
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX);
    let regex = builder.nest_limit(NEST_MAX).build();
    let regex = regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "too large when compiled".to_owned(),
        // The last line says what is wrong; the others draw where.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    })?;
    if regex.is_match("") {
        return Err("it matches the empty text, so it would match everywhere".to_owned());
    }
    Ok(regex)
}

/// The pattern in this flavour.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if in_class => out.push_str("\\x08"),
                Some('b') => out.push_str("(?-u:\\b)"),
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                }
                None => out.push('\\'),
            },
            '[' if in_class => out.push_str("\\["),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(char);
            }
            '[' => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, found: Option<&str>) {
        let regex = compile(pattern).unwrap();
        let got = regex.find(text).map(|it| it.as_str());
        assert_eq!(got, found, "{pattern} in {text}");
    }

    #[test]
    fn classes_are_ascii() {
        check(r"\d{3}", "٣٤٥ 678", Some("678"));
        check(r"\w+", "é ab_1", Some("ab_1"));
        check(r"\bcat\b", "concat écaté", Some("cat"));
        check(r"[\w.-]+@[\w-]+\.\w+", "x é.a-b@c.de", Some(".a-b@c.de"));
        check(r"[^\d\s]+", "12 é3", Some("é"));
        check(r"a.c", "aéc", Some("aéc"));
        check(r"[[&~]+", "a[&&~", Some("[&&~"));
        check(r"(?i)secret-(?<id>\d+)", "SECRET-42", Some("SECRET-42"));
        check(r"https?:\/\/x", "http://x", Some("http://x"));
    }

    #[test]
    fn what_takes_more_than_linear_time_is_refused() {
        for pattern in [
            "",
            "(?=a)b",
            "(?!a)b",
            "(?<=a)b",
            r"(a)\1",
            "a*",
            "(",
            "(((\\w{1000}){1000}){1000}){1000}",
            &"a".repeat(PATTERN_MAX + 1),
        ] {
            let refused = compile(pattern).unwrap_err();
            assert!(!refused.is_empty() && !refused.contains('\n'), "{refused}");
        }
    }
}
