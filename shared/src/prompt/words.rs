//! Words of a prompt as hashed features: single words, pairs, beginnings of long words, the first
//! words once more by themselves. Scripts without blanks give characters and pairs of them. A
//! feature counts once; nothing is allocated.

use super::signs::{self, Signs};

/// How many features there are: a power of two.
pub(super) const FEATURES: usize = 1 << 14;
/// The most of the last user turn that is read, in bytes.
pub const USER_BYTES: usize = 4096;
/// The most of the system's text that is read, in bytes.
pub const SYSTEM_BYTES: usize = 1024;
/// So many words at the beginning count once more by themselves: they hold the instruction.
const HEAD_WORDS: u32 = 8;
/// Words longer than this count by their beginning, too: it is the same in most forms of a word.
const STEM_CHARS: u32 = 4;

const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;
/// What kind of feature a hash stands for.
const PAIR: u32 = 0x51ed_270b;
const STEM: u32 = 0x2545_f491;
const HEAD: u32 = 0x7a37_11d5;
const SIGN: u32 = 0x1b56_c4e9;
const MARK: u32 = 0x6c62_272e;
const SYSTEM: u32 = 0x3f84_d5b5;

/// Calls `see` once for each feature of a prompt, in 0..[`FEATURES`]; gives how many there were.
pub(super) fn features(user: &str, system: &str, signs: &Signs, see: impl FnMut(usize)) -> u32 {
    let mut seen = Seen {
        bits: [0; FEATURES / 64],
        count: 0,
        see,
    };
    words(cut(user, USER_BYTES), &mut seen);
    for sign in signs.features() {
        seen.note(mix(SIGN, sign));
    }
    each_word(cut(system, SYSTEM_BYTES), &mut |word| {
        if let Piece::Word { hash, .. } = word {
            seen.note(mix(SYSTEM, hash));
        }
    });
    seen.count
}

/// The beginning of a text, at most so many bytes, whole characters.
#[must_use]
pub(super) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

struct Seen<F> {
    bits: [u64; FEATURES / 64],
    count: u32,
    see: F,
}

impl<F: FnMut(usize)> Seen<F> {
    fn note(&mut self, hash: u32) {
        // The low bits of FNV are its best, but for the last.
        let at = (hash ^ (hash >> 15)) as usize % FEATURES;
        let bit = 1_u64 << (at % 64);
        if let Some(word) = self.bits.get_mut(at / 64)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
            (self.see)(at);
        }
    }
}

fn words<F: FnMut(usize)>(text: &str, seen: &mut Seen<F>) {
    let (mut before, mut place) = (BASIS, 0);
    each_word(text, &mut |piece| match piece {
        Piece::Word { hash, stem } => {
            seen.note(hash);
            seen.note(mix(mix(PAIR, before), hash));
            if place < HEAD_WORDS {
                seen.note(mix(HEAD, stem.unwrap_or(hash)));
            }
            if let Some(stem) = stem {
                seen.note(mix(STEM, stem));
            }
            (before, place) = (hash, place + 1);
        }
        Piece::Mark(mark) => seen.note(mix(MARK, mark)),
    });
}

enum Piece {
    /// A word in lower case, and its beginning when it is long.
    Word { hash: u32, stem: Option<u32> },
    /// A punctuation mark that says something.
    Mark(u32),
}

/// Walks over a text's words and marks.
fn each_word(text: &str, each: &mut impl FnMut(Piece)) {
    let mut word = Word::default();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(u32::from(c.to_ascii_lowercase()));
        } else if c.is_ascii() {
            word.end(each);
            if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '\'' | '-') {
                each(Piece::Mark(u32::from(c)));
            }
        } else if signs::stands_alone(c) {
            word.end(each);
            let hash = mix(BASIS, u32::from(c));
            each(Piece::Word { hash, stem: None });
        } else if c.is_alphanumeric() {
            word.push(c.to_lowercase().next().map_or(0, u32::from));
        } else {
            word.end(each);
        }
    }
    word.end(each);
}

#[derive(Default)]
struct Word {
    hash: Option<u32>,
    stem: u32,
    chars: u32,
}

impl Word {
    fn push(&mut self, c: u32) {
        let hash = mix(self.hash.unwrap_or(BASIS), c);
        self.hash = Some(hash);
        self.chars += 1;
        if self.chars == STEM_CHARS {
            self.stem = hash;
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Piece)) {
        let Some(hash) = self.hash.take() else { return };
        let stem = (self.chars > STEM_CHARS).then_some(self.stem);
        self.chars = 0;
        each(Piece::Word { hash, stem });
    }
}

const fn mix(hash: u32, value: u32) -> u32 {
    let hash = (hash ^ (value & 0xffff)).wrapping_mul(PRIME);
    (hash ^ (value >> 16)).wrapping_mul(PRIME)
}
