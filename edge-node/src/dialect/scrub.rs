//! Provider texts made fit for a client: bounded, on one line, and without anything that looks like
//! a credential.

/// The longest text, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 500;
/// A run of letters and digits of this length is taken for a secret.
const SECRET_CHARS: usize = 40;
const HIDDEN: &str = "[hidden]";

/// Beginnings of keys that providers and clouds hand out.
const KEY_PREFIXES: [&str; 20] = [
    "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "xai-", "pplx-", "hf_", "nvapi-", "r8_", "fw_",
    "csk-", "AIza", "ya29.", "AKIA", "ASIA", "ghp_", "eyJ", "key-",
];

/// The text as a client may see it.
#[must_use]
pub(crate) fn scrub(text: &str) -> String {
    let mut clean = String::new();
    let mut after_bearer = false;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        let secret_follows = std::mem::take(&mut after_bearer);
        after_bearer = word.to_ascii_lowercase().ends_with("bearer");
        if secret_follows {
            clean.push_str(HIDDEN);
        } else {
            hide(word, &mut clean);
        }
        if clean.len() > 4 * TEXT_CHARS_MAX {
            break;
        }
    }
    if let Some((end, _)) = clean.char_indices().nth(TEXT_CHARS_MAX) {
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// Appends a word, its secret parts hidden. Parts end at what keys are not made of.
fn hide(word: &str, clean: &mut String) {
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        clean.push_str(if is_secret(part) { HIDDEN } else { part });
        let mut rest_chars = after.chars();
        if let Some(between) = rest_chars.next() {
            clean.push(between);
        }
        rest = rest_chars.as_str();
    }
}

/// Masks such as `sk-abc***xyz` count as one part.
const fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '+' | '=')
}

fn is_secret(part: &str) -> bool {
    let prefixed = KEY_PREFIXES.iter().any(|prefix| part.starts_with(prefix));
    let masked = part.contains("**");
    let long = part.chars().filter(char::is_ascii_alphanumeric).count() >= SECRET_CHARS
        && part.contains(|c: char| c.is_ascii_digit());
    (prefixed && part.len() >= 8) || masked || long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_looks_like_a_key_stays() {
        let check = |text: &str, expected: &str| assert_eq!(scrub(text), expected);
        check(
            "Rate limit reached.\n Try again in 7.66s",
            "Rate limit reached. Try again in 7.66s",
        );
        check(
            "Incorrect API key provided: sk-abcd1234efgh5678. See https://x.y/z",
            "Incorrect API key provided: [hidden] See https://x.y/z",
        );
        check("provided: sk-ab***********cd.", "provided: [hidden]");
        check(
            "got \"Authorization: Bearer abc.def\"",
            "got \"Authorization: Bearer [hidden]",
        );
        check("key='gsk_0123456789abcdef'", "key='[hidden]'");
        check("x AIzaSyA0123456789 y", "x [hidden] y");
        check(&format!("hash {}", "a1".repeat(20)), "hash [hidden]");
        check(
            "model meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "model meta-llama/Llama-3.3-70B-Instruct-Turbo",
        );
        check("a\0b\tc", "a b c");
    }

    #[test]
    fn texts_are_bounded() {
        assert_eq!(
            scrub(&"ä ".repeat(100_000)).chars().count(),
            TEXT_CHARS_MAX + 1
        );
        assert_eq!(
            scrub(&"ä".repeat(100_000)).chars().count(),
            TEXT_CHARS_MAX + 1
        );
    }
}
