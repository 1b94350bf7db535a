//! What a plan may know of an endpoint's local health, and from where: the live [`super::Board`],
//! or a record of what a board said, so that a decision can be made again.

use super::{Board, Lease};
use crate::byok::SealedCredential;
use crate::clock::Moment;
use crate::id::EndpointId;
use std::hash::{BuildHasherDefault, Hasher};

/// So much of a sealed key's end tells it from any other: it is a part of its authentication tag.
const SEAL_CHARS: usize = 16;

/// An endpoint's place on every board, for ever: no text is hashed when it is looked up, and a new
/// catalogue moves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Handle(pub u64);

impl Handle {
    /// The endpoint's. Two of a million endpoints share one with a probability of 10^-8; they
    /// would share their health.
    #[must_use]
    pub fn of(endpoint: &EndpointId) -> Self {
        Self::hashed(0xcbf2_9ce4_8422_2325, endpoint.as_str().bytes())
    }

    /// The endpoint's when it is asked with that organisation's own key. A key that was changed is
    /// another one: what the old one met with says nothing of it.
    #[must_use]
    pub fn with_own(self, key: &SealedCredential) -> Self {
        let end = key.sealed.len().saturating_sub(SEAL_CHARS);
        let seal = key.sealed.get(end..).unwrap_or_default();
        Self::hashed(self.0, key.id.bytes().chain(seal.bytes()))
    }

    fn hashed(begin: u64, bytes: impl Iterator<Item = u8>) -> Self {
        // FNV-1a, its bits mixed by MurmurHash3's end.
        let hash = bytes.fold(begin, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self(hash ^ (hash >> 33))
    }
}

/// A handle is its own hash.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Builds [`AsItIs`].
pub(super) type BuildAsItIs = BuildHasherDefault<AsItIs>;

/// Of whom, and for what.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Ask {
    /// The endpoint.
    pub handle: Handle,
    /// What this node may send it.
    pub lease: Lease,
    /// An estimate of the prompt's tokens.
    pub prompt_tokens: u64,
    /// The same with those of the answer.
    pub tokens: u64,
    /// Part of the prompt is in its cache.
    pub warm: bool,
    /// True when the peak of its latency is wanted, too.
    pub peak: bool,
    /// It is asked with an organisation's own key.
    pub own: bool,
}

/// What a plan must know of one endpoint.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Local {
    /// The share of what was seen lately that failed, 0..1.
    pub penalty: f64,
    /// The part of its traffic that it takes, 0..=1: less than 1 after it turned some away.
    pub acceptance: f64,
    /// Failed so often in a row that it is left alone.
    pub paused: bool,
    /// At its capacity: it asked for a rest, its headers say that nothing is left, or this node's
    /// lease is used up.
    pub full: bool,
    /// The peak of the time to the first token, in seconds, as it has faded; 0 is unknown,
    /// or was not asked for.
    pub peak: f64,
    /// Attempts of this node that it has not ended.
    pub in_flight: u32,
    /// The number of the last probe that this node sent.
    pub probed: u32,
}

/// So many probe leases, the newest among them, count as used once the newest is: more do not come
/// between a plan and its first attempt.
const OLD_LEASES: u32 = 8;

impl Local {
    /// Has this probe lease sent its request? A request that was planned before the newest lease
    /// came may have an older one. A number far below is none of those: the fleet counts anew.
    #[must_use]
    #[inline]
    pub const fn has_probed(&self, number: u32) -> bool {
        is_used(self.probed, number)
    }
}

/// The same, by the number of the last probe that was sent.
#[inline]
pub(super) const fn is_used(probed: u32, number: u32) -> bool {
    probed.wrapping_sub(number) < OLD_LEASES
}

impl Default for Local {
    /// Nothing was seen: healthy.
    fn default() -> Self {
        Self {
            penalty: 0.0,
            acceptance: 1.0,
            paused: false,
            full: false,
            peak: 0.0,
            in_flight: 0,
            probed: 0,
        }
    }
}

/// Where a plan reads local health.
pub trait Evidence: Sync {
    /// What is known of one endpoint at that moment.
    fn local(&self, ask: &Ask, now: Moment) -> Local;
}

/// A node's two boards: what the platform's keys met with, and what organisations' own did. Neither
/// says anything of the other, and however many own keys there are, they take no place of an
/// endpoint's.
#[derive(Clone, Copy, Debug)]
pub struct Boards<'a> {
    /// Of the platform's keys.
    pub shared: &'a Board,
    /// Of own keys: nobody but this node hears of it.
    pub own: &'a Board,
}

impl Evidence for Boards<'_> {
    fn local(&self, ask: &Ask, now: Moment) -> Local {
        if ask.own {
            self.own.local(ask, now)
        } else {
            self.shared.local(ask, now)
        }
    }
}

/// What a board said when a decision was made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recorded {
    seen: Vec<(Handle, Local)>,
}

impl Recorded {
    /// Of these endpoints; all others are healthy.
    #[must_use]
    pub fn new(seen: Vec<(Handle, Local)>) -> Self {
        Self { seen }
    }
}

impl Evidence for Recorded {
    fn local(&self, ask: &Ask, _: Moment) -> Local {
        let mut all = self.seen.iter();
        all.find(|(handle, _)| *handle == ask.handle)
            .map_or_else(Local::default, |(_, local)| *local)
    }
}
