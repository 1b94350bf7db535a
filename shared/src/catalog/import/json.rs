//! JSON read member by member, numbers as the text that stands in the file: a price never passes
//! through a float. Members of an unexpected type count as absent; a price that can't be kept
//! exactly is an error.

use crate::money::Price;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A JSON object whose values are still text.
pub(super) struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// Members that are objects, by key.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Object<'a>)> {
        let object = |raw: &'a RawValue| Self::parse(raw.get()).ok();
        self.0
            .iter()
            .filter_map(move |(key, raw)| Some((key.as_str(), object(raw)?)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value's text in the file.
    pub(super) fn raw(&self, key: &str) -> Option<&'a str> {
        let raw = self.0.get(key)?.get();
        (raw != "null").then_some(raw)
    }

    pub(super) fn object(&self, key: &str) -> Option<Object<'a>> {
        Self::parse(self.raw(key)?).ok()
    }

    pub(super) fn objects(&self, key: &str) -> Vec<Object<'a>> {
        let list: Option<Vec<BTreeMap<String, &RawValue>>> = self.list(key);
        list.unwrap_or_default().into_iter().map(Object).collect()
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key)
    }

    /// A list of numbers.
    pub(super) fn integers(&self, key: &str) -> Vec<u64> {
        let list: Option<Vec<&RawValue>> = self.list(key);
        let raw = list.unwrap_or_default();
        raw.iter().filter_map(|raw| integer(raw.get())).collect()
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    pub(super) fn integer(&self, key: &str) -> Option<u64> {
        integer(self.raw(key)?)
    }

    /// A price in USD per 10^`shift` units, a number or a text that holds one.
    pub(super) fn price(&self, key: &str, shift: u8) -> Result<Option<Price>, String> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match exact(raw, shift) {
            Ok(price) => Ok(Some(price)),
            Err(reason) => Err(format!("{key} {raw}: {reason}")),
        }
    }

    fn list<T: serde::Deserialize<'a>>(&self, key: &str) -> Option<Vec<T>> {
        serde_json::from_str(self.raw(key)?).ok()
    }
}

/// `raw` / 10^`shift`, to the last digit. Exponents are moved, not computed.
pub(super) fn exact(raw: &str, shift: u8) -> Result<Price, String> {
    plain(raw, shift)?.parse().map_err(|e| format!("{e}"))
}

/// The plain decimal of a JSON number (quoted or not) divided by 10^`shift`.
fn plain(raw: &str, shift: u8) -> Result<String, String> {
    let raw = raw.trim_matches('"').trim();
    let (number, exponent) = match raw.split_once(['e', 'E']) {
        None => (raw, 0),
        Some((number, exponent)) => {
            let exponent: i32 = exponent.parse().map_err(|_| "bad exponent".to_owned())?;
            (number, exponent)
        }
    };
    if number.starts_with('-') {
        return Err("negative".to_owned());
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) || exponent.abs() > 64 {
        return Err("not a number".to_owned());
    }
    // Where the point stands in `digits`.
    let whole_digits = i32::try_from(whole.len()).unwrap_or(i32::MAX);
    let point = whole_digits
        .saturating_add(exponent)
        .saturating_sub(i32::from(shift));
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let text = if point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else if point >= length {
        format!("{digits}{}", zeros(point - length))
    } else {
        let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{part}")
    };
    let text = text.trim_start_matches('0');
    Ok(match text.strip_prefix('.') {
        Some(part) => format!("0.{part}"),
        None if text.is_empty() => "0".to_owned(),
        None => text.to_owned(),
    })
}

/// A whole number, also when it is written `128000.0` or `1e6`.
fn integer(raw: &str) -> Option<u64> {
    exact(raw, 0).ok()?.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_of_a_number_is_kept() {
        for (raw, shift, expect) in [
            ("1e-07", 0, "0.0000001"),
            ("2.625e-07", 0, "0.0000002625"),
            ("1.3200000000000002e-07", 0, "0.00000013200000000000002"),
            ("0.0", 0, "0"),
            ("0", 6, "0"),
            ("3", 6, "0.000003"),
            ("0.049999999999999996", 6, "0.000000049999999999999996"),
            ("14.993999999999998", 6, "0.000014993999999999998"),
            (
                "\"0.0000000833333333333333\"",
                0,
                "0.0000000833333333333333",
            ),
            ("1.5E+2", 0, "150"),
            ("12345.678e2", 0, "1234567.8"),
            ("1000000", 6, "1"),
        ] {
            assert_eq!(exact(raw, shift).unwrap().to_string(), expect, "{raw}");
        }
        for bad in [
            "-1",
            "-1e-6",
            "",
            "\"\"",
            "abc",
            "1e-99",
            "[]",
            "1e",
            "0.1234567890123456789012345",
        ] {
            assert!(exact(bad, 0).is_err(), "{bad}");
        }
        assert_eq!(integer("256000.0"), Some(256_000));
        assert_eq!(integer("1e6"), Some(1_000_000));
        assert_eq!(integer("0.5"), None);
    }

    #[test]
    fn members_of_another_type_are_absent() {
        let text = r#"{"a": null, "b": "x", "c": {"d": 1e3}, "l": ["p", "q"], "n": [0, 128000.0]}"#;
        let object = Object::parse(text).unwrap();
        assert!(object.raw("a").is_none());
        assert_eq!(object.text("b").as_deref(), Some("x"));
        assert_eq!(object.integer("b"), None);
        assert_eq!(object.object("c").unwrap().integer("d"), Some(1000));
        assert_eq!(object.texts("l").unwrap(), ["p", "q"]);
        assert_eq!(object.integers("n"), [0, 128_000]);
        assert!(object.price("b", 0).is_err());
    }
}
