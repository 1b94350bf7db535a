//! Texts as JSON strings, and JSON strings as texts.

/// Appends a text as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends a text as the inside of a JSON string.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or(&[]));
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| {
                    if nibble < 10 {
                        b'0' + nibble
                    } else {
                        b'a' + nibble - 10
                    }
                };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or(&[]));
}

/// What the inside of a JSON string says. A lone surrogate becomes U+FFFD.
pub(super) fn unescape(inner: &str) -> String {
    unescape_noting(inner, |_, _| {})
}

/// As the inside of a JSON string reads; `note` is told the place behind each escape, in what was
/// read and in the string as it stands.
pub fn unescape_noting(inner: &str, mut note: impl FnMut(usize, usize)) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(rest.get(..at).unwrap_or(""));
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut length = 2;
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, consumed) = unicode(rest.get(at..).unwrap_or(""));
                text.push(character);
                length = consumed;
            }
            other => text.push(char::from(other)),
        }
        rest = rest.get(at + length..).unwrap_or("");
        note(text.len(), inner.len() - rest.len());
    }
    text.push_str(rest);
    text
}

/// The character of `\uXXXX` at the start, with the second half of a pair, and the bytes it takes.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |from: usize| {
        let digits = escape.get(from..from + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, 6);
    };
    if let 0xd800..=0xdbff = high
        && let Some(low @ 0xdc00..=0xdfff) = unit(6)
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        let pair = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        return (pair, 12);
    }
    let single = char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
    (single, 6)
}
