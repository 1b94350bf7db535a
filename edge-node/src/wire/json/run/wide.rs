//! What [`super`] does, with AVX2: each block becomes masks of 64 bits, one for each kind of byte, and
//! the rest is arithmetic on them, as in simdjson. Safe code: pulp says whether the machine can.

use pulp::x86::V3;
use std::arch::x86_64::__m256i;

/// Bytes that are looked at together.
const BLOCK: usize = 64;
const HALF: usize = BLOCK / 2;

/// A block.
type Halves = [__m256i; 2];

// Kinds of bytes, by how their upper halves begin.
/// `"` and `/`.
const MARK: u8 = 1;
/// `\`
const SLASH: u8 = 2;
/// `b`, `f` and `n`.
const LOW: u8 = 4;
/// `r` and `t`.
const HIGH: u8 = 8;
/// `u`
const U: u8 = 16;
const DIGIT: u8 = 32;
const A_TO_F: u8 = 64;
/// What may stand behind a backslash alone.
const FINE: u8 = MARK | SLASH | LOW | HIGH;

/// Kinds by the lower half of a byte, and by the upper: a byte is of the kinds that both have.
const LOWER: [u8; 16] = [
    DIGIT,
    DIGIT | A_TO_F,
    DIGIT | A_TO_F | MARK | LOW | HIGH, // " b r
    DIGIT | A_TO_F,
    DIGIT | A_TO_F | HIGH, // t
    DIGIT | A_TO_F | U,    // u
    DIGIT | A_TO_F | LOW,  // f
    DIGIT,
    DIGIT,
    DIGIT,
    0,
    0,
    SLASH, // \
    0,
    LOW,  // n
    MARK, // /
];
const UPPER: [u8; 16] = [
    0,
    0,
    MARK,
    DIGIT,
    A_TO_F,
    SLASH,
    LOW | A_TO_F,
    HIGH | U,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
];

/// Has the machine such vectors?
pub(super) fn is_there() -> bool {
    V3::try_new().is_some()
}

/// See [`super::length`]; none also where the machine has no such vectors.
pub(super) fn length(bytes: &[u8]) -> Option<(usize, bool)> {
    let simd = V3::try_new()?;
    simd.vectorize(
        #[inline(always)]
        || blocks(simd, bytes),
    )
}

// Whatever is not inlined here is a call for each instruction: no closures without the word.
#[inline(always)]
fn blocks(simd: V3, bytes: &[u8]) -> Option<(usize, bool)> {
    let mut carry = Carry::new(simd);
    let (mut at, mut last) = (0, [b' '; BLOCK]);
    while let Some(rest) = bytes.get(at..) {
        let block = match rest.first_chunk() {
            Some(block) => block,
            None if rest.is_empty() => return None,
            None => {
                for (to, from) in last.iter_mut().zip(rest) {
                    *to = *from;
                }
                &last
            }
        };
        match carry.block(simd, halves(block)) {
            Found::End(end) => return Some((at + end, carry.seen != 0)),
            Found::Wrong => return None,
            Found::Nothing => at += BLOCK,
        }
    }
    None
}

#[inline(always)]
fn halves(block: &[u8; BLOCK]) -> Halves {
    pulp::cast::<[u8; BLOCK], Halves>(*block)
}

/// Which bytes are this one.
#[inline(always)]
fn equal(simd: V3, [low, high]: Halves, byte: u8) -> u64 {
    let byte = simd.avx._mm256_set1_epi8(byte.cast_signed());
    mask(
        simd,
        [
            simd.avx2._mm256_cmpeq_epi8(low, byte),
            simd.avx2._mm256_cmpeq_epi8(high, byte),
        ],
    )
}

/// Which bytes are below 0x20.
#[inline(always)]
fn controls(simd: V3, [low, high]: Halves) -> u64 {
    let last = simd.avx._mm256_set1_epi8(0x1f);
    mask(
        simd,
        [
            simd.avx2
                ._mm256_cmpeq_epi8(low, simd.avx2._mm256_min_epu8(low, last)),
            simd.avx2
                ._mm256_cmpeq_epi8(high, simd.avx2._mm256_min_epu8(high, last)),
        ],
    )
}

/// Which bytes are of any of these kinds.
#[inline(always)]
fn of_kinds(simd: V3, [low, high]: Halves, wanted: u8) -> u64 {
    let wanted = simd.avx._mm256_set1_epi8(wanted.cast_signed());
    let zero = simd.avx._mm256_setzero_si256();
    let low = simd.avx2._mm256_and_si256(kinds(simd, low), wanted);
    let high = simd.avx2._mm256_and_si256(kinds(simd, high), wanted);
    !mask(
        simd,
        [
            simd.avx2._mm256_cmpeq_epi8(low, zero),
            simd.avx2._mm256_cmpeq_epi8(high, zero),
        ],
    )
}

/// The kinds of each byte.
#[inline(always)]
fn kinds(simd: V3, half: __m256i) -> __m256i {
    let nibble = simd.avx._mm256_set1_epi8(0x0f);
    let lower = simd.avx2._mm256_and_si256(half, nibble);
    let upper = simd.avx2._mm256_srli_epi16::<4>(half);
    let upper = simd.avx2._mm256_and_si256(upper, nibble);
    let lower_kinds = pulp::cast::<[[u8; 16]; 2], __m256i>([LOWER; 2]);
    let upper_kinds = pulp::cast::<[[u8; 16]; 2], __m256i>([UPPER; 2]);
    simd.avx2._mm256_and_si256(
        simd.avx2._mm256_shuffle_epi8(lower_kinds, lower),
        simd.avx2._mm256_shuffle_epi8(upper_kinds, upper),
    )
}

/// One bit of each byte.
#[inline(always)]
fn mask(simd: V3, [low, high]: Halves) -> u64 {
    let low = simd.avx2._mm256_movemask_epi8(low).cast_unsigned();
    let high = simd.avx2._mm256_movemask_epi8(high).cast_unsigned();
    u64::from(low) | u64::from(high) << HALF
}

/// What is carried from one block to the next.
struct Carry {
    /// The first byte is escaped: 0 or 1.
    escaped: u64,
    /// Which of the first bytes must be hexadecimal digits.
    digits: u64,
    /// Bits of backslashes; none while the string has no escapes.
    seen: u64,
    /// The least bytes of the blocks that are wholly the string's: they are looked at for control
    /// characters all together, when its end is found.
    least: Halves,
}

/// What a block says of the string.
enum Found {
    End(usize),
    Wrong,
    Nothing,
}

impl Carry {
    #[inline(always)]
    fn new(simd: V3) -> Self {
        Self {
            escaped: 0,
            digits: 0,
            seen: 0,
            least: [simd.avx._mm256_set1_epi8(-1); 2],
        }
    }

    #[inline(always)]
    fn block(&mut self, simd: V3, halves: Halves) -> Found {
        let quotes = equal(simd, halves, b'"');
        let backslashes = equal(simd, halves, b'\\');
        let (ends, wrong) = if backslashes | self.escaped | self.digits == 0 {
            (quotes, 0)
        } else {
            self.escapes(simd, halves, quotes, backslashes)
        };
        if wrong != 0 {
            return Found::Wrong;
        }
        if ends == 0 {
            let ([low, high], [least_low, least_high]) = (halves, self.least);
            self.least = [
                simd.avx2._mm256_min_epu8(least_low, low),
                simd.avx2._mm256_min_epu8(least_high, high),
            ];
            return Found::Nothing;
        }
        if controls(simd, halves) & up_to(ends) | controls(simd, self.least) != 0 {
            return Found::Wrong;
        }
        Found::End(ends.trailing_zeros() as usize)
    }

    /// In a block with escapes: the quotes that are none, and what is wrong before the first.
    #[inline(always)]
    fn escapes(&mut self, simd: V3, halves: Halves, quotes: u64, backslashes: u64) -> (u64, u64) {
        let escaped = self.escaped(backslashes);
        let ends = quotes & !escaped;
        // Behind the end a backslash is none of the string's.
        self.seen |= backslashes & up_to(ends);
        // Nearly all are quotes, backslashes or line ends.
        let mut wrong = escaped & !(quotes | backslashes);
        if wrong != 0 {
            wrong &= !equal(simd, halves, b'n');
        }
        if wrong != 0 {
            wrong &= !of_kinds(simd, halves, FINE);
        }
        // Numbers are rare, and looked for only where something seems wrong without them.
        if (wrong | self.digits) & up_to(ends) != 0 {
            let u = escaped & of_kinds(simd, halves, U);
            let wanted = u << 1 | u << 2 | u << 3 | u << 4 | self.digits;
            self.digits = u >> 63 | u >> 62 | u >> 61 | u >> 60;
            wrong = wrong & !u | wanted & !of_kinds(simd, halves, DIGIT | A_TO_F);
        }
        (ends, wrong & up_to(ends))
    }

    /// Which bytes are escaped: those behind an odd number of backslashes.
    #[inline(always)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let behind = backslashes << 1 | self.escaped;
        if backslashes & behind == 0 {
            // No backslash stands behind another: what stands behind one is escaped.
            self.escaped = backslashes >> 63;
            return behind;
        }
        let backslashes = backslashes & !self.escaped;
        let follows = backslashes << 1 | self.escaped;
        let odd_starts = backslashes & !EVEN & !follows;
        let (on_even, carried) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(carried);
        (EVEN ^ (on_even << 1)) & follows
    }
}

/// The bits up to the first of `ends`, or all.
#[inline(always)]
const fn up_to(ends: u64) -> u64 {
    ends ^ ends.wrapping_sub(1)
}
