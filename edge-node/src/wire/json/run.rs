//! Long runs inside JSON strings, 64 bytes at a time with the machine's widest common vectors (AVX2,
//! told at run time). Says only where a string that is fine ends: for anything else, and on other
//! machines, the caller goes byte by byte. A string's end is found as in simdjson.

#[cfg(target_arch = "x86_64")]
mod wide;

/// The length of a string that begins with `bytes`, without quotes, and whether it has escapes in it.
/// None when something is wrong with it, or when it can't be told. No control character is looked for
/// where it is `clean`.
pub(super) fn length(bytes: &[u8], clean: bool) -> Option<(usize, bool)> {
    #[cfg(target_arch = "x86_64")]
    {
        wide::length(bytes, clean)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// True when there is a control character.
pub(super) fn has_controls(bytes: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 2 * wide::BLOCK
        && let Some(found) = wide::has_controls(bytes)
    {
        return found;
    }
    let fold = |found, byte: &u8| found | (*byte < 0x20);
    bytes.iter().fold(false, fold)
}
