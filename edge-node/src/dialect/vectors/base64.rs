//! Vectors between their forms: lists of numbers, base64 of little-endian 32-bit floats, and base64
//! of signed bytes, which is read only.

use crate::wire::json::{Scanner, SyntaxError};
use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A list of numbers as base64.
pub(super) fn encode(list: &str) -> Result<String, SyntaxError> {
    let mut bytes = Vec::with_capacity(list.len() / 2);
    let mut scanner = Scanner::new(list);
    scanner.begin_array()?;
    while scanner.element()? {
        let span = scanner.value()?;
        let number: f32 = scanner.raw(span).parse().map_err(|_| SyntaxError {
            at: span.start,
            reason: "not a number",
        })?;
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            out.push(if place <= group.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    Ok(out)
}

/// Base64 as a list of numbers; none when it is not that of whole floats.
pub(super) fn decode(text: &str) -> Option<String> {
    let bytes = bytes(text)?;
    let (floats, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    let numbers = floats.iter().map(|float| f32::from_le_bytes(*float));
    list(numbers)
}

/// Base64 of signed bytes as a list of numbers between -1 and 1; none when it is not base64.
pub(super) fn decode_bytes(text: &str) -> Option<String> {
    let scale = |byte: u8| f32::from(byte.cast_signed()).max(-127.0) / 127.0;
    list(bytes(text)?.into_iter().map(scale))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 255).ok()?);
        }
    }
    Some(bytes)
}

/// None when one of them is no finite number.
fn list(numbers: impl Iterator<Item = f32>) -> Option<String> {
    let mut out = String::from("[");
    for (index, number) in numbers.enumerate() {
        if !number.is_finite() {
            return None;
        }
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string can't fail.
        let _ = write!(out, "{comma}{number}");
    }
    out.push(']');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(encode("[1]").unwrap(), "AACAPw==");
        assert_eq!(encode("[1, -2.5]").unwrap(), "AACAPwAAIMA=");
        assert_eq!(encode("[]").unwrap(), "");
        assert_eq!(decode("AACAPwAAIMA=").unwrap(), "[1,-2.5]");
        assert_eq!(decode("AACAPw").unwrap(), "[1]");
        assert_eq!(decode("AACA"), None);
        assert_eq!(decode("A*"), None);
        assert_eq!(decode_bytes("f4GAAA==").unwrap(), "[1,-1,-1,0]");
        assert_eq!(decode_bytes("*"), None);
        assert!(encode("[true]").is_err());
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same(numbers in prop::collection::vec(-1e9_f32..1e9, 0..20)) {
            let texts: Vec<String> = numbers.iter().map(f32::to_string).collect();
            let list = format!("[{}]", texts.join(","));
            prop_assert_eq!(decode(&encode(&list).unwrap()).unwrap(), list);
        }
    }
}
