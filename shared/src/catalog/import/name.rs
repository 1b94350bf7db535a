//! A model's name as providers write it, cut into words, so that one model's names at several
//! providers give one key. What a tail says about how it is served (precision, speed) is kept
//! apart; sizes and families are never cut.

#[cfg(test)]
mod tests;
mod words;

use crate::catalog::{Quantization, Written};
use words::is_number;

/// A name's words with what stood before each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name(Vec<Word>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Word {
    separator: char,
    text: String,
}

/// What a word at a name's end can be, besides part of the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tail {
    /// Precision, or how it is hosted.
    Serving,
    /// A release date.
    Date,
    /// Tuned to follow instructions, which every chat model is.
    Instruct,
    /// A speed tier.
    Speed,
}

/// What may be cut, from the least to the most.
pub(super) const CUTS: &[&[Tail]] = &[
    &[],
    &[Tail::Serving],
    &[Tail::Serving, Tail::Date],
    &[Tail::Serving, Tail::Instruct],
    &[Tail::Serving, Tail::Date, Tail::Instruct],
    &[Tail::Serving, Tail::Speed],
    &[Tail::Serving, Tail::Date, Tail::Speed],
    &[Tail::Serving, Tail::Instruct, Tail::Speed],
    &[Tail::Serving, Tail::Date, Tail::Instruct, Tail::Speed],
];

const SERVING: &[&str] = &[
    "awq",
    "cloud",
    "dynamic",
    "gguf",
    "gptq",
    "hf",
    "instant",
    "latest",
    "maas",
    "mtp",
    "paddle",
    "tee",
    "versatile",
];
const SPEED: &[&str] = &[
    "fast",
    "flex",
    "highspeed",
    "lightning",
    "throughput",
    "tput",
    "turbo",
    "ultraspeed",
];
/// Families whose speed words name models of their own: grok-4-fast is not grok-4, only faster.
const NO_TIERS: &[&str] = &["gemini", "gpt", "grok", "sonar"];
/// Makers' names that some hosts put before the model's own.
const MAKERS: &[&str] = &[
    "meta",
    "nvidia",
    "mistralai",
    "openai",
    "anthropic",
    "google",
    "minimaxai",
];
/// Words that tell models of one family apart.
const MARKS: &[&str] = &[
    "abliterated",
    "air",
    "audio",
    "base",
    "code",
    "coder",
    "codex",
    "deep",
    "distill",
    "embed",
    "embedding",
    "exp",
    "flash",
    "guard",
    "large",
    "lite",
    "math",
    "max",
    "medium",
    "micro",
    "mini",
    "multi",
    "nano",
    "next",
    "non",
    "ocr",
    "omni",
    "plus",
    "preview",
    "pro",
    "r1",
    "reasoner",
    "reasoning",
    "research",
    "rerank",
    "safeguard",
    "safety",
    "search",
    "small",
    "speciale",
    "spark",
    "terminus",
    "think",
    "thinking",
    "turbo",
    "ultra",
    "v",
    "vision",
    "vl",
    "x",
];

impl Name {
    /// Reads a provider's id of a model; `vendor_dots` when it begins with a region and a vendor,
    /// as in `us.anthropic.claude-…-v1:0`.
    pub(super) fn read(id: &str, vendor_dots: bool) -> Self {
        let mut name = Self(words::of(id, vendor_dots));
        name.drop_makers();
        name
    }

    /// The words joined without separators: equal for `Llama-3.3-70B` and `llama3-3-70b`. A
    /// Claude's number stands last, wherever it stood.
    pub(super) fn key(&self) -> String {
        let mut words: Vec<_> = self.0.iter().map(|word| word.text.as_str()).collect();
        if words.first() == Some(&"claude") {
            words.sort_by_key(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        }
        words.concat()
    }

    /// The name with the tails of these kinds cut off; at least one word stays.
    pub(super) fn cut(&self, tails: &[Tail]) -> Self {
        let mut words = self.0.clone();
        while words.len() > 1 {
            match tail_of(&words) {
                Some(tail) if tails.contains(&tail) => words.pop(),
                _ => break,
            };
        }
        Self(words)
    }

    /// As a slug: the words with their separators; a Claude's version with a point, as listed ones
    /// have it.
    pub(super) fn slug(&self) -> String {
        let claude = self.first_word() == "claude";
        let version = |text: &str| claude && text.len() == 1 && is_number(text);
        let mut slug = String::new();
        let mut last = "";
        for word in &self.0 {
            match word.separator {
                _ if slug.is_empty() => {}
                _ if version(last) && version(&word.text) => slug.push('.'),
                ':' => slug.push('-'),
                separator => slug.push(separator),
            }
            slug.push_str(&word.text);
            last = &word.text;
        }
        slug
    }

    /// The word by which the maker is known: the first, or Nvidia's that stands behind the name of
    /// what it was made from.
    pub(super) fn family(&self) -> &str {
        let made = self.0.iter().any(|word| word.text == "nemotron");
        if made { "nemotron" } else { self.first_word() }
    }

    /// False when this name has a word that tells relatives apart and `model` has not: a
    /// distillation is not what it was distilled from.
    pub(super) fn may_be(&self, model: &Self) -> bool {
        let mut apart = self
            .extra(model)
            .filter(|word| MARKS.contains(word) && !SPEED.contains(word));
        apart.next().is_none()
    }

    fn first_word(&self) -> &str {
        self.0.first().map_or("", |word| word.text.as_str())
    }

    /// The precision that this name tells and the model's own does not.
    pub(super) fn quantization(&self, model: &Self) -> Option<Quantization> {
        self.extra(model).find_map(quantization_of)
    }

    /// The speed tier that this name tells and the model's own does not.
    pub(super) fn speed(&self, model: &Self) -> Option<&'static str> {
        self.extra(model)
            .find_map(|word| SPEED.iter().find(|speed| **speed == word).copied())
    }

    /// What must agree before two names can be one model: sizes, versions, and the words that tell
    /// relatives apart.
    pub(super) fn marks(&self) -> Vec<String> {
        let texts = self.0.iter().map(|word| word.text.clone());
        let mut marks: Vec<_> = texts.filter(|word| is_mark(word)).collect();
        marks.sort();
        marks
    }

    fn extra<'a>(&'a self, model: &'a Self) -> impl Iterator<Item = &'a str> {
        let texts = self.0.iter().map(|word| word.text.as_str());
        texts.filter(|text| model.0.iter().all(|word| word.text != *text))
    }

    fn drop_makers(&mut self) {
        while let [first, _, ..] = self.0.as_slice()
            && MAKERS.contains(&first.text.as_str())
        {
            self.0.remove(0);
        }
    }
}

fn tail_of(words: &[Word]) -> Option<Tail> {
    let (last, before) = words.split_last()?;
    let first = words.first().map_or("", |word| word.text.as_str());
    let open_weights = words.get(1).is_some_and(|word| word.text == "oss");
    let tiered = !NO_TIERS.contains(&first) || open_weights;
    match last.text.as_str() {
        word if SERVING.contains(&word) || quantization_of(word).is_some() => Some(Tail::Serving),
        word if last.separator == ':' && word.starts_with('v') => Some(Tail::Serving),
        word if word.len() == 8 && word.starts_with("20") && is_number(word) => Some(Tail::Date),
        "instruct" => Some(Tail::Instruct),
        "it" if first == "gemma" => Some(Tail::Instruct),
        "chat" if before.iter().any(|word| is_size(&word.text)) => Some(Tail::Instruct),
        word if SPEED.contains(&word) && tiered => Some(Tail::Speed),
        _ => None,
    }
}

fn quantization_of(word: &str) -> Option<Quantization> {
    match word {
        "q4" | "4bit" | "w4a16" => Some(Quantization::Int4),
        "q8" | "8bit" => Some(Quantization::Int8),
        "unknown" => None,
        _ => Quantization::VALUES
            .iter()
            .find(|value| value.text() == word)
            .copied(),
    }
}

/// `70b`, `a22b`, `8x7b`, `17b`, `128e`, `270m`.
fn is_size(word: &str) -> bool {
    let digits = word.trim_start_matches('a');
    let Some(number) = digits.strip_suffix(['b', 'm', 'e']) else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'x')
}

fn is_mark(word: &str) -> bool {
    let digits = word.bytes().any(|b| b.is_ascii_digit());
    let date = word.len() == 8 && is_number(word);
    (digits && !date && quantization_of(word).is_none()) || MARKS.contains(&word)
}
