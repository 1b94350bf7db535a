//! How many tokens a text has, from its bytes: each model's own ratio, learned from the usage that
//! providers report, and until then a default by tokenizer and script. Bounded; no locks.

use super::signs::Script;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many models' ratios are kept.
pub const MODELS_MAX: usize = 4096;
/// Shorter prompts say little: the chat template's tokens outweigh the text's.
pub const LEARN_BYTES_MIN: u64 = 400;
/// Reports until the ratio is believed.
const BELIEVED_AFTER: u64 = 3;
/// A report's least weight: an average over about so many.
const MEMORY: u64 = 32;
/// Bytes per token that are believed, in thousandths.
const RATIO: std::ops::RangeInclusive<u64> = 1_000..=12_000;

/// Bytes per token, before anything is known of a model: measured nowhere, meant to be on the side
/// of too many tokens, and replaced by what providers count.
#[must_use]
pub fn default_ratio(tokenizer: &str, script: Script) -> f64 {
    let by_script = match script {
        Script::Latin => 4.0,
        Script::Cyrillic => 4.2,
        Script::Greek | Script::Hebrew => 3.2,
        Script::Arabic => 3.6,
        Script::Indic => 4.6,
        Script::SoutheastAsian => 4.0,
        Script::Hangul | Script::Kana | Script::Han => 3.4,
    };
    let by_tokenizer = match tokenizer {
        "Claude" => 0.85,
        "Llama2" | "Mistral" => 0.85,
        _ => 1.0,
    };
    by_script * by_tokenizer
}

/// What was learned of all models. A slot holds one model: the upper half of its name's hash, a
/// count of 12 bits, thousandths of bytes per token in 20.
#[derive(Debug)]
pub struct Ratios {
    slots: Box<[AtomicU64]>,
    shed: AtomicU64,
}

impl Default for Ratios {
    fn default() -> Self {
        Self {
            slots: (0..MODELS_MAX).map(|_| AtomicU64::new(0)).collect(),
            shed: AtomicU64::new(0),
        }
    }
}

impl Ratios {
    /// Takes note of what a provider counted for so many bytes of text and nothing else.
    pub fn learn(&self, model: &str, bytes: u64, tokens: u64) {
        if bytes < LEARN_BYTES_MIN || tokens == 0 {
            return;
        }
        let hash = hash(model);
        let Some(slot) = self.slot(hash) else { return };
        let reported = (bytes.saturating_mul(1000) / tokens).clamp(*RATIO.start(), *RATIO.end());
        let learned = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| {
            Some(next(slot, hash, reported)).filter(|next| *next != slot || is_of(slot, hash))
        });
        if learned.is_err() {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes per token of a model, when enough is known.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<f64> {
        let hash = hash(model);
        let slot = self.slot(hash)?.load(Ordering::Relaxed);
        let (count, ratio) = parts(slot);
        #[expect(clippy::cast_precision_loss, reason = "20 bits")]
        let ratio = ratio as f64 / 1000.0;
        (is_of(slot, hash) && count >= BELIEVED_AFTER).then_some(ratio)
    }

    /// Reports that were not kept, because another model has the slot.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    fn slot(&self, hash: u64) -> Option<&AtomicU64> {
        let at = usize::try_from(hash & 0xffff_ffff).ok()? % MODELS_MAX;
        self.slots.get(at)
    }
}

/// Tokens of so many bytes.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; at least one byte per token"
)]
pub fn estimate(bytes: u64, ratio: f64) -> u64 {
    (bytes as f64 / ratio.max(1.0)).ceil() as u64
}

/// A slot after one more report; a slot of another model stays as it is.
fn next(slot: u64, hash: u64, reported: u64) -> u64 {
    let (count, ratio) = parts(slot);
    if slot != 0 && !is_of(slot, hash) {
        return slot;
    }
    let weight = (count + 1).min(MEMORY);
    let ratio = (ratio * (weight - 1) + reported) / weight;
    let count = (count + 1).min(MEMORY);
    (hash & 0xffff_ffff_0000_0000) | (count << 20) | ratio
}

const fn parts(slot: u64) -> (u64, u64) {
    ((slot >> 20) & 0xfff, slot & 0xf_ffff)
}

const fn is_of(slot: u64, hash: u64) -> bool {
    slot >> 32 == hash >> 32 && slot != 0
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_ratio_is_learned_and_bounded() {
        let ratios = Ratios::default();
        assert_eq!(ratios.of("a/b"), None);
        ratios.learn("a/b", 100, 50);
        for _ in 0..3 {
            assert_eq!(ratios.of("a/b"), None, "too early");
            ratios.learn("a/b", 3_000, 1_000);
        }
        assert_eq!(ratios.of("a/b"), Some(3.0));
        for _ in 0..200 {
            ratios.learn("a/b", 5_000, 1_000);
        }
        assert!((ratios.of("a/b").unwrap() - 5.0).abs() < 0.1);
        for _ in 0..300 {
            ratios.learn("a/b", 1 << 40, 1);
        }
        assert!(ratios.of("a/b").unwrap() <= 12.0);
        assert_eq!(ratios.of("c/d"), None);
    }

    #[test]
    fn a_full_slot_sheds_the_newcomer() {
        let ratios = Ratios::default();
        let models: Vec<String> = (0..20_000).map(|at| format!("m/{at}")).collect();
        for model in &models {
            ratios.learn(model, 4_000, 1_000);
        }
        assert!(ratios.shed() > 0);
        assert!(ratios.shed() < 20_000);
    }

    #[test]
    fn an_estimate_is_never_less_than_none() {
        assert_eq!(estimate(0, 4.0), 0);
        assert_eq!(estimate(9, 4.0), 3);
        assert_eq!(estimate(9, 0.0), 9);
        assert!(default_ratio("Claude", Script::Han) > 1.0);
    }
}
