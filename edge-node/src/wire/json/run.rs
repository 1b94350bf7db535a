//! Where strings end. Short ones are read eight bytes at a time, on every machine; long ones 64 bytes
//! at a time where the machine has the vectors for it (AVX2, told at run time). Both say only where a
//! string ends that is fine: for anything else the caller goes piece by piece.

#[cfg(target_arch = "x86_64")]
mod wide;

/// Strings up to this length count as short.
const SHORT: usize = 48;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The length of a short string without escapes that begins with `bytes`, without quotes. None when
/// it is long, has escapes, or something is wrong with it. Most strings of a request or an event are
/// shorter than a call to a search that is made for long ones.
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<usize> {
    let near = bytes.get(..SHORT).unwrap_or(bytes);
    let (words, rest) = near.as_chunks();
    let mut at = 0;
    for word in words {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            at += special.trailing_zeros() as usize / 8;
            return (near.get(at) == Some(&b'"')).then_some(at);
        }
        at += 8;
    }
    at += rest.iter().position(|byte| is_special(*byte))?;
    (near.get(at) == Some(&b'"')).then_some(at)
}

/// The upper bit of the first byte, and of none before it, that is a quote, a backslash or a control
/// character. Bits of later bytes mean nothing.
#[inline]
const fn specials(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    // A byte below the bound borrows from its upper bit, which it has not got.
    let quotes = quotes.wrapping_sub(ONES) & !quotes;
    let backslashes = backslashes.wrapping_sub(ONES) & !backslashes;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & TOPS
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// True where [`length`] knows anything.
pub(super) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        wide::is_there()
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The length of a string that begins with `bytes`, without quotes, and whether it has escapes in it.
/// None when something is wrong with it, or when it can't be told.
pub(super) fn length(bytes: &[u8]) -> Option<(usize, bool)> {
    #[cfg(target_arch = "x86_64")]
    {
        wide::length(bytes)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// True when there is a control character.
pub(super) fn has_controls(bytes: &[u8]) -> bool {
    let fold = |found, byte: &u8| found | (*byte < 0x20);
    bytes.iter().fold(false, fold)
}
