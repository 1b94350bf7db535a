//! Where a candidate stands, as numbers that compare fast: all that is yes or no, or of a few
//! grades, in one word; then the client's sort; then the draw.

use super::{Candidate, Reason};
use crate::snapshot::EndpointIndex;
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
    /// A parameter was sent that changes what is answered, and it is not known to take it.
    pub(super) without_parameters: bool,
    /// 1 not known, 2 worse at tool calls than its peers.
    pub(super) doubt: u8,
    /// The prompt may be too long for it.
    pub(super) tight: bool,
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
/// Where it says whose key it is asked with.
const KEY: u32 = 55;
const KEY_BITS: u64 = 3;
/// Longer lists are sorted: comparing all with all would take longer.
const RANKED_MAX: usize = 12;
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
            without_parameters: false,
            doubt: 0,
            tight: false,
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
            | bits(turn, KEY_BITS, KEY)
            | bits(number(place), 0xffff, 14)
            | bits(self.is_other.into(), 1, 53)
            | bits(self.late.into(), 3, 51)
            | bits(listed, UNLISTED, 35)
            | bits(self.off_tier.into(), 1, 34)
            | bits(self.without_tools.into(), 1, 33)
            | bits(self.without_parameters.into(), 1, 32)
            | bits(self.doubt.into(), 3, 30)
            | bits(self.tight.into(), 1, 13)
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
    /// The weight that the fleet gives it among those who are left, before local health.
    pub(super) fleet: f64,
    /// The share that the fleet gives it among all.
    pub(super) given: f32,
    /// Its part of what the shares of those who are left lack.
    pub(super) weight: f32,
    /// What it is worth more for this request than for others.
    pub(super) sticky: f32,
    /// It is asked with the platform's key.
    pub(super) is_shared: bool,
    /// The weight that its price gives it, of 1 for the model.
    pub(super) prior: f64,
    /// The median time to its first token as the fleet knows it, in seconds; 0 is unknown.
    pub(super) ttft: f64,
    /// Which of the models asked for.
    pub(super) model: usize,
    /// The client's `order` names it.
    pub(super) is_listed: bool,
    /// It may have the conversation in its cache.
    pub(super) warm: bool,
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
            given: 0.0,
            weight: 0.0,
            sticky: 1.0,
            is_shared: standing.key == Key::Shared,
            prior: 0.0,
            ttft: 0.0,
            model,
            is_listed: standing.listed.is_some(),
            warm: false,
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

    /// Asked with an own key that comes before all others.
    pub(super) fn is_own(&self) -> bool {
        (self.class >> KEY) & KEY_BITS == 0
    }

    /// True when only the draw decides between them.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.class == other.class && self.sorted.total_cmp(&other.sorted).is_eq()
    }
}

/// What shares may lack of one without anybody missing: they are rounded.
const ROUNDED: f32 = 0.005;

/// Gives those of a model who may serve, or are left, their weights. What their shares lack of one
/// is that of endpoints that may not serve this request, or have failed it: it is theirs by what
/// they deserve. Shares alone would not tell them apart where most have just their floor.
#[inline]
pub(super) fn spread<T>(all: &mut [T], model: usize, place: impl Fn(&mut T) -> &mut Place) {
    let (mut given, mut weights) = (0.0, 0.0);
    for one in all.iter_mut() {
        let place = place(one);
        if place.model == model && place.is_shared {
            given += place.given;
            weights += place.weight;
        }
    }
    let missing = 1.0 - given;
    let part = if missing > ROUNDED && weights > 0.0 {
        missing / weights
    } else {
        0.0
    };
    for one in all {
        let place = place(one);
        if place.model == model {
            let more = if place.is_shared {
                part * place.weight
            } else {
                0.0
            };
            place.fleet = f64::from((place.given + more) * place.sticky);
        }
    }
}

/// What candidates are ordered by: numbers that compare as what they stand for does.
#[derive(Clone, Copy)]
struct SortKey {
    /// The class, then the client's sort.
    strict: u128,
    drawn: u64,
    /// The place in the snapshot, then the place in the list: equal to nobody else's.
    index: u64,
}

impl SortKey {
    #[inline]
    fn new(place: &Place, index: EndpointIndex, at: u32) -> Self {
        Self {
            strict: u128::from(place.class) << 64 | u128::from(ordered(place.sorted)),
            drawn: ordered(place.drawn),
            index: u64::from(index.0) << 32 | u64::from(at),
        }
    }

    #[inline]
    fn is_before(&self, other: &Self) -> bool {
        if self.strict != other.strict {
            return self.strict < other.strict;
        }
        if self.drawn != other.drawn {
            return self.drawn < other.drawn;
        }
        self.index < other.index
    }
}

/// Compares as `f64::total_cmp` does.
#[inline]
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    // Below zero all bits are turned over, else the sign alone.
    let negative = (bits.cast_signed() >> 63).cast_unsigned();
    bits ^ (negative | 1 << 63)
}

/// How many of the others come before each one.
pub(super) type Ranks = SmallVec<[usize; 16]>;

/// The ranks in the order of the draw; equals by their place in the snapshot. Lists are short, and
/// comparing all with all takes no branch that a draw could mislead, as sorting does.
#[inline]
pub(super) fn ranks<'a>(all: impl Iterator<Item = (&'a Place, EndpointIndex)>) -> Ranks {
    let mut keys: SmallVec<[SortKey; 16]> = SmallVec::new();
    let each = (0..).zip(all);
    keys.extend(each.map(|(at, (place, index))| SortKey::new(place, index, at)));
    if keys.len() > RANKED_MAX {
        return ranks_of_many(&keys);
    }
    let mut ranks = Ranks::new();
    ranks.resize(keys.len(), 0);
    for (at, key) in keys.iter().enumerate() {
        let (mut rank, earlier) = (0, keys.iter().take(at));
        for (other, its_rank) in earlier.zip(ranks.iter_mut()) {
            let is_after = usize::from(other.is_before(key));
            rank += is_after;
            *its_rank += 1 - is_after;
        }
        if let Some(own) = ranks.get_mut(at) {
            *own = rank;
        }
    }
    ranks
}

fn ranks_of_many(keys: &[SortKey]) -> Ranks {
    let mut order: Vec<(usize, &SortKey)> = keys.iter().enumerate().collect();
    order.sort_unstable_by_key(|(_, key)| (key.strict, key.drawn, key.index));
    let mut ranks = Ranks::from_elem(0, keys.len());
    for (rank, (at, _)) in order.into_iter().enumerate() {
        if let Some(own) = ranks.get_mut(at) {
            *own = rank;
        }
    }
    ranks
}

/// Puts candidates in order.
pub(super) fn sort(candidates: &mut [Candidate]) {
    let mut ranks = ranks(candidates.iter().map(|it| (&it.place, it.index)));
    for here in 0..candidates.len() {
        // Each exchange brings one to its place, for good.
        while let Some(there) = ranks.get(here).copied().filter(|there| *there != here) {
            candidates.swap(here, there);
            ranks.swap(here, there);
        }
    }
}
