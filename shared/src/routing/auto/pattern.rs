//! Patterns of model ids: `*` stands for any run of characters, everything else for itself, upper
//! or lower case. Linear in memory; no recursion.

/// Does the pattern fit the whole text?
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if wanted.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expect) in [
            ("anthropic/*", "anthropic/claude-opus-5", true),
            ("anthropic/*", "openai/gpt-5", false),
            ("*", "a/b", true),
            ("", "a/b", false),
            ("*/claude-*", "anthropic/claude-opus-5", true),
            ("*/claude-*-5", "anthropic/claude-opus-5", true),
            ("*/claude-*-5", "anthropic/claude-opus-5.5", false),
            ("openai/GPT-5*", "openai/gpt-5-mini", true),
            ("openai/gpt-5", "openai/gpt-5-mini", false),
            ("a*b*c", "aXbXbXc", true),
            ("**a**", "bab", true),
        ] {
            assert_eq!(fits(pattern, text), expect, "{pattern} {text}");
        }
        let stars = "*a".repeat(200);
        assert!(!fits(&stars, &"a".repeat(199)));
    }
}
