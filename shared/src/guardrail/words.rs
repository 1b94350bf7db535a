//! The words of guardrails: model ids, provider words, amounts; what may be written, and which word
//! stands for which.

use super::LIST_MAX;

/// Longest model id or provider word, in bytes.
const WORD_MAX: usize = 200;

/// Does the word stand for `other`, too: itself, or one of its variants after a slash?
#[must_use]
pub fn covers(word: &str, other: &str) -> bool {
    let Some((head, rest)) = other.split_at_checked(word.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(word) && (rest.is_empty() || rest.starts_with('/'))
}

/// What both lists allow: of two words of which one covers the other, the narrower.
pub(super) fn both(one: &[String], other: &[String]) -> Vec<String> {
    let narrower = |words: &[String], by: &[String]| -> Vec<String> {
        let covered = |word: &&String| by.iter().any(|it| covers(it, word));
        words.iter().filter(covered).cloned().collect()
    };
    let mut all = narrower(one, other);
    all.extend(narrower(other, one));
    all
}

/// Model ids: `author/slug`.
pub(super) fn models(name: &str, list: Option<&[String]>, allow: bool) -> Result<(), String> {
    let good = |word: &str| {
        let mut parts = word.split('/');
        let named = parts.next().is_some_and(|it| !it.is_empty());
        named && parts.next().is_some_and(|it| !it.is_empty()) && parts.next().is_none()
    };
    check(name, list, allow, good, "author/slug")
}

/// Provider words: a slug, or a tag.
pub(super) fn providers(name: &str, list: Option<&[String]>, allow: bool) -> Result<(), String> {
    let good = |word: &str| word.split('/').all(|part| !part.is_empty());
    check(
        name,
        list,
        allow,
        good,
        "a provider's slug, or slug/variant",
    )
}

fn check(
    name: &str,
    list: Option<&[String]>,
    allow: bool,
    good: impl Fn(&str) -> bool,
    form: &str,
) -> Result<(), String> {
    let Some(list) = list else { return Ok(()) };
    if allow && list.is_empty() {
        return Err(format!(
            "{name}: an empty list allows nothing; use null for no rule"
        ));
    }
    if list.len() > LIST_MAX {
        return Err(format!("{name}: more than {LIST_MAX} entries"));
    }
    for (at, word) in list.iter().enumerate() {
        let plain = word.len() <= WORD_MAX && word.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !good(word) {
            return Err(format!("{name}[{at}]: {form} was expected"));
        }
    }
    Ok(())
}

/// Dollars as a JSON number, or as a decimal in a text: read digit by digit as they stand, never
/// through a float. What a float would change is written as a text.
pub(super) mod dollars {
    use crate::money::{Amount, DecimalError};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_json::value::RawValue;

    /// Numbers with a larger exponent are no dollars.
    const EXPONENT_MAX: u32 = 40;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::guardrail) fn serialize<S: Serializer>(
        amount: &Option<Amount>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(amount) = amount else {
            return serializer.serialize_none();
        };
        let text = amount.to_string();
        match text.parse::<f64>() {
            Ok(float) if float.to_string() == text => serializer.serialize_f64(float),
            _ => serializer.serialize_str(&text),
        }
    }

    pub(in crate::guardrail) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Amount>, D::Error> {
        let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let raw = raw.get();
        let text = match raw.starts_with('"') {
            true => serde_json::from_str(raw).map_err(D::Error::custom)?,
            false => raw.to_owned(),
        };
        let amount = exact(&text).map_err(|error| D::Error::custom(format!("{raw}: {error}")))?;
        Ok(Some(amount))
    }

    /// A decimal, with an exponent or without.
    fn exact(text: &str) -> Result<Amount, DecimalError> {
        let Some((digits, exponent)) = text.split_once(['e', 'E']) else {
            return text.parse();
        };
        let exponent: i32 = exponent.parse().map_err(|_| DecimalError::Syntax)?;
        if exponent.unsigned_abs() > EXPONENT_MAX {
            return Err(DecimalError::TooLong);
        }
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", digits),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let zeros = "0".repeat(usize::try_from(exponent.unsigned_abs()).unwrap_or_default());
        let part = part.trim_end_matches('0');
        // The point goes to the right or to the left, as far as there are digits or zeros.
        let (whole, part) = if exponent >= 0 {
            let moved = zeros.len().min(part.len());
            let (into, part) = part.split_at_checked(moved).ok_or(DecimalError::Syntax)?;
            let filled = zeros.get(moved..).unwrap_or_default();
            (format!("{whole}{into}{filled}"), part.to_owned())
        } else {
            let all = format!("{zeros}{whole}");
            let at = all.len().saturating_sub(zeros.len());
            let (whole, into) = all.split_at_checked(at).ok_or(DecimalError::Syntax)?;
            let part = format!("{into}{part}");
            (format!("0{whole}"), part.trim_end_matches('0').to_owned())
        };
        match part.as_str() {
            "" => format!("{sign}{whole}").parse(),
            part => format!("{sign}{whole}.{part}").parse(),
        }
    }
}
