//! A plan's randomness: one number for each endpoint and purpose, made from the seed. Small, and
//! the same for ever, so that a plan can be made again; and who else is a candidate changes
//! nobody's number.

use crate::health::Handle;

/// What a number is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The draw by share.
    Draw = 1,
    /// May an endpoint on trial be relied on this time?
    Trial = 2,
}

/// What all numbers of one draw begin with.
#[derive(Clone, Copy)]
pub(super) struct Luck(u64);

impl Luck {
    /// Of that round of a plan.
    pub(super) fn new(seed: u64, round: u32) -> Self {
        let round = u64::from(round).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(mix(seed ^ round))
    }

    /// In (0, 1].
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(super) fn unit(self, endpoint: Handle, purpose: Purpose) -> f64 {
        let purpose = (purpose as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // SplitMix64's end, a second time: seeds may be as alike as 0, 1, 2.
        let bits = mix(self.0.wrapping_add(endpoint.0) ^ purpose);
        ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[inline]
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
