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

/// Dollars as a JSON number; a decimal in a text is taken, too.
pub(super) mod dollars {
    use crate::money::Amount;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(serde_json::Number),
        Text(String),
    }

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::guardrail) fn serialize<S: Serializer>(
        amount: &Option<Amount>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => serializer.serialize_f64(amount.to_usd_lossy()),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::guardrail) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Amount>, D::Error> {
        let text = match Option::<Written>::deserialize(deserializer)? {
            Some(Written::Number(number)) => plain(&number),
            Some(Written::Text(text)) => text,
            None => return Ok(None),
        };
        text.parse().map(Some).map_err(D::Error::custom)
    }

    /// Without an exponent, which small numbers have that come through a float: to the pico-dollar.
    fn plain(number: &serde_json::Number) -> String {
        let text = number.to_string();
        match number.as_f64() {
            Some(float) if text.contains(['e', 'E']) => format!("{float:.12}"),
            _ => text,
        }
    }
}
