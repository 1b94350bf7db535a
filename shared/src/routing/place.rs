//! Where a candidate stands, as numbers that compare fast: all that is yes or no, or of a few
//! grades, in one word; then the client's sort; then the draw.

use super::{Candidate, Reason};
use smallvec::SmallVec;

/// What a candidate is ordered by before the draw; from the top, smaller is earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Among which of the models it is ordered: they may be ordered together.
    pub(super) group: usize,
    /// Whose key it is asked with.
    pub(super) key: Key,
    /// The conversation does not go on here.
    pub(super) is_other: bool,
    /// 1 not known, 2 slower than the client prefers.
    pub(super) late: u8,
    /// The place in the client's `order`.
    pub(super) listed: Option<usize>,
    /// Not at the service tier that was asked for.
    pub(super) off_tier: bool,
    /// Tools were sent and it is not known to take them.
    pub(super) without_tools: bool,
    /// 1 not known, 2 worse at tool calls than its peers.
    pub(super) doubt: u8,
}

/// With whose key an endpoint is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// The organisation's own, before the platform's; with its place among them.
    Own(usize),
    /// The platform's.
    Shared,
    /// The organisation's own, after the platform's.
    Fallback(usize),
}

/// Only because nobody else may be left: before all else.
const LAST_RESORT: u64 = 1 << 63;
/// Strictly ordered, but not to be relied on yet: after the group.
const HELD_BACK: u64 = 1 << 54;
/// Not in the client's `order`; longer orders than this end in a draw.
const UNLISTED: u64 = 0xffff;

impl Standing {
    /// Of an endpoint that is asked with an own key: only the client's `order` and the key's place
    /// count. `at` is the key's place among all, `fallback` that it comes last.
    pub(super) fn with_own_key(
        group: usize,
        fallback: bool,
        at: usize,
        listed: Option<usize>,
    ) -> Self {
        let key = if fallback {
            Key::Fallback(at)
        } else {
            Key::Own(at)
        };
        Self {
            group,
            key,
            is_other: false,
            late: 0,
            listed,
            off_tier: false,
            without_tools: false,
            doubt: 0,
        }
    }

    /// In one word: 6 bits of group from bit 57, whose key, then the rest in its order.
    #[inline]
    fn class(self) -> u64 {
        let bits = |value: u64, most: u64, at: u32| value.min(most) << at;
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let listed = self
            .listed
            .map_or(UNLISTED, |at| number(at).min(UNLISTED - 1));
        let (turn, place) = match self.key {
            Key::Own(place) => (0, place),
            Key::Shared => (1, 0),
            Key::Fallback(place) => (2, place),
        };
        bits(number(self.group), 0x3f, 57)
            | bits(turn, 3, 55)
            | bits(number(place), 0xffff, 15)
            | bits(self.is_other.into(), 1, 53)
            | bits(self.late.into(), 3, 51)
            | bits(listed, UNLISTED, 35)
            | bits(self.off_tier.into(), 1, 34)
            | bits(self.without_tools.into(), 1, 33)
            | bits(self.doubt.into(), 3, 31)
    }
}

/// Where a candidate stands, and what moves it at each draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    class: u64,
    /// By the client's `sort`.
    pub(super) sorted: f64,
    /// The draw.
    pub(super) drawn: f64,
    /// The weight that the fleet gives it, before local health.
    pub(super) fleet: f64,
    /// The weight that its price gives it, of 1 for the model.
    pub(super) prior: f64,
    /// The median time to its first token as the fleet knows it, in seconds; 0 is unknown.
    pub(super) ttft: f64,
    /// Which of the models asked for.
    pub(super) model: usize,
    /// The client's `order` names it.
    pub(super) is_listed: bool,
    /// It stands in a strict order, and the fleet is only trying it out.
    pub(super) on_trial: bool,
    /// Why it stands here unless its health says otherwise.
    pub(super) because: Reason,
}

impl Place {
    #[inline]
    pub(super) fn new(standing: Standing, model: usize, because: Reason) -> Self {
        Self {
            class: standing.class(),
            sorted: 0.0,
            drawn: 0.0,
            fleet: 0.0,
            prior: 0.0,
            ttft: 0.0,
            model,
            is_listed: standing.listed.is_some(),
            on_trial: false,
            because,
        }
    }

    /// What changes with each draw.
    #[inline]
    pub(super) fn stand(&mut self, last_resort: bool, held_back: bool, drawn: f64) {
        let set = |is: bool, bit: u64| if is { bit } else { 0 };
        self.class &= !(LAST_RESORT | HELD_BACK);
        self.class |= set(last_resort, LAST_RESORT) | set(held_back, HELD_BACK);
        self.drawn = drawn;
    }

    /// True when only the draw decides between them.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.class == other.class && self.sorted.total_cmp(&other.sorted).is_eq()
    }
}

/// What candidates are sorted by, small enough to be moved about: numbers that compare as what they
/// stand for does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    class: u64,
    sorted: i64,
    drawn: i64,
    index: u32,
    at: u32,
}

/// Compares as `f64::total_cmp` does.
#[inline]
fn ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Puts candidates in order; equals by their place in the snapshot.
pub(super) fn sort(candidates: &mut [Candidate]) {
    let key = |(at, it): (u32, &Candidate)| SortKey {
        class: it.place.class,
        sorted: ordered(it.place.sorted),
        drawn: ordered(it.place.drawn),
        index: it.index.0,
        at,
    };
    let keys = (0..).zip(candidates.iter()).map(key);
    let mut keys: SmallVec<[SortKey; 16]> = keys.collect();
    keys.sort_unstable();
    // Who belongs here may have been swapped away already: then to where its place's owner was.
    for here in 0..keys.len() {
        let mut from = here;
        while let Some(key) = keys.get(from) {
            from = usize::try_from(key.at).unwrap_or(usize::MAX);
            if from >= here {
                candidates.swap(here, from);
                break;
            }
        }
    }
}
