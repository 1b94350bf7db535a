//! Long runs inside JSON strings, many bytes at a time: text with escapes in it, but neither the
//! string's end nor anything that is wrong. Written as folds without an exit, which become vector
//! instructions of the widest kind that the machine has. Where a run ends, byte by byte goes on.

use pulp::Arch;

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 256;
/// What may be looked at behind a block: `uXXXX` of an escape that begins in it.
const AHEAD: usize = 5;

/// True when there is a control character.
pub(super) fn has_controls(bytes: &[u8]) -> bool {
    let any = || {
        let fold = |found, byte: &u8| found | (*byte < 0x20);
        bytes.iter().fold(false, fold)
    };
    if bytes.len() < BLOCK {
        any()
    } else {
        Arch::new().dispatch(any)
    }
}

/// Where the run ends that begins at `at`: inside a string, not inside an escape. Whole blocks
/// only; what follows may still be of the run.
pub(super) fn end(bytes: &[u8], at: usize) -> usize {
    let Some(before) = at.checked_sub(1) else {
        return at;
    };
    let Some(text) = bytes.get(before..) else {
        return at;
    };
    // A backslash that an escape ends with would look as if it began one.
    if text.len() < BLOCK + 1 + AHEAD || text.first() == Some(&b'\\') {
        return at;
    }
    let length = Arch::new().dispatch(
        #[inline(always)]
        || blocks(text),
    );
    let end = at + length;
    // A block may end in the middle of an escape: back to its beginning.
    let is_open = length > 0 && bytes.get(end - 1) == Some(&b'\\');
    if is_open { end - 1 } else { end }
}

/// Bytes in whole blocks of a run. The first byte stands before it.
#[inline(always)]
fn blocks(mut text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(window) = text.first_chunk() {
        if !is_simple(window) && !is_escaped(window) {
            break;
        }
        length += BLOCK;
        text = text.get(BLOCK..).unwrap_or_default();
    }
    length
}

/// A block with the byte before it and those that it may depend on behind it.
type Window = [u8; BLOCK + 1 + AHEAD];

/// True when all of the block is text and escapes of one character. A backslash behind another
/// depends on what was before it, so neither may be there.
#[inline(always)]
fn is_simple(window: &Window) -> bool {
    all(window, |bytes| is_letter(bytes[2]))
}

/// As [`is_simple`], also with characters given by their numbers.
#[inline(always)]
fn is_escaped(window: &Window) -> bool {
    let hex = |byte: u8| (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6);
    all(window, |bytes| {
        let number = hex(bytes[3]) & hex(bytes[4]) & hex(bytes[5]) & hex(bytes[6]);
        is_letter(bytes[2]) | ((bytes[2] == b'u') & number)
    })
}

#[inline(always)]
const fn is_letter(byte: u8) -> bool {
    (byte == b'n')
        | (byte == b'"')
        | (byte == b't')
        | (byte == b'r')
        | (byte == b'/')
        | (byte == b'b')
        | (byte == b'f')
}

/// `is_fine` tells of a byte with its neighbours, from the one before it, whether an escape that
/// begins there is fine.
#[inline(always)]
fn all(window: &Window, is_fine: impl Fn([u8; AHEAD + 2]) -> bool) -> bool {
    let mut wrong = false;
    for at in 0..BLOCK {
        #[expect(
            clippy::indexing_slicing,
            reason = "a window is as long as a block needs"
        )]
        let bytes: [u8; AHEAD + 2] = std::array::from_fn(|near| window[at + near]);
        let [before, byte, ..] = bytes;
        let is_end = (byte == b'"') & (before != b'\\');
        wrong |= (byte < 0x20) | is_end | ((byte == b'\\') & !is_fine(bytes));
    }
    !wrong
}
