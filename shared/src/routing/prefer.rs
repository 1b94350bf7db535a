//! What the client, or the kind of request, makes come first without excluding anybody: measured
//! bounds, service tiers, the reliability of tool calls, the endpoint of the conversation so far.
//! What the fleet does not know never counts against an endpoint as much as what it knows.

use super::filter::Offer;
use super::resolve::Wanted;
use super::{Context, Cutoffs, DefaultSort, Partition, View};
use crate::catalog::Tier;
use crate::ranking::{Mode, Percentiles};
use smallvec::SmallVec;

/// So many endpoints must be measured before one of them can be called worse than the others.
const PEERS_MIN: usize = 4;
/// A deviation is at least this part of the median, so that alike endpoints stay alike.
const DEVIATION_LEAST: f64 = 0.02;
/// From the median absolute deviation to a standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// Slower than the median by so many deviations is too slow for tool calls.
const THROUGHPUT_SIGMAS: f64 = 1.5;
/// Broken tool calls, more often than the median by so many deviations, are too many.
const SUCCESS_SIGMAS: f64 = 2.0;
/// Breaks ties between equally reliable endpoints: the faster one first.
const TENTHS_WEIGHT: f64 = 1e-9;

/// How the offers of one model are to be ordered.
pub(super) struct Rule {
    /// The strict order.
    pub(super) sort: Option<Mode>,
    /// Strictly by the reliability of tool calls.
    pub(super) exacto: bool,
    /// The models' endpoints are ordered together.
    pub(super) across: bool,
    /// The client prefers those that keep its bounds.
    pub(super) bounded: bool,
    /// The tier that comes first.
    tier: Option<Tier>,
    /// Who is worse than its peers at tool calls.
    bounds: Option<Bounds>,
}

/// The least that the peers give.
#[derive(Clone, Copy)]
struct Bounds {
    throughput: f64,
    success: f64,
}

impl Rule {
    /// By the client's word, else the model's suffix, else what the service tier implies.
    pub(super) fn of(context: &Context<'_>, wanted: &Wanted<'_>, offers: &[Offer<'_>]) -> Self {
        let (demand, chosen) = (context.demand, &context.demand.preferences);
        let by_word = chosen.sort.is_some() || chosen.exacto;
        let by_tier = demand.tier.map(|tier| match tier {
            Tier::Flex => Mode::Price,
            Tier::Priority | Tier::Scale => Mode::Throughput,
        });
        let said = if by_word {
            (chosen.sort, chosen.exacto)
        } else {
            (wanted.sort, wanted.exacto)
        };
        let (sort, exacto) = match (said, chosen.default_sort) {
            ((_, true), _) => (None, true),
            ((None, _), by_default) if chosen.order.is_empty() => match (by_tier, by_default) {
                (None, Some(DefaultSort::By(mode))) => (Some(mode), false),
                (None, Some(DefaultSort::Exacto)) => (None, true),
                (by_tier, _) => (by_tier, false),
            },
            ((sort, _), _) => (sort, false),
        };
        // What a suffix of one model says is not said of the others.
        let sorts_all = by_word || wanted.alike || !(wanted.sort.is_some() || wanted.exacto);
        let strict = sort.is_some() || exacto;
        let judged = exacto || (demand.needs_tools && sort.is_none());
        Self {
            sort,
            exacto,
            across: strict && sorts_all && chosen.partition == Some(Partition::None),
            bounded: chosen.min_throughput.any() || chosen.max_latency.any(),
            tier: demand.tier.filter(|tier| *tier != Tier::Flex),
            bounds: judged.then(|| Bounds::of(context.view, offers)).flatten(),
        }
    }

    /// True when the order is not a draw.
    pub(super) fn is_strict(&self) -> bool {
        self.sort.is_some() || self.exacto
    }

    /// Asked for at another tier than this one's.
    #[inline]
    pub(super) fn off_tier(&self, offer: &Offer<'_>) -> bool {
        self.tier.is_some() && offer.endpoint.tier() != self.tier
    }

    /// How far its tool calls can be relied on: 0 like its peers', 1 not known, 2 worse.
    #[inline]
    pub(super) fn doubt(&self, view: &View, offer: &Offer<'_>) -> u8 {
        let Some(bounds) = self.bounds else {
            return 0;
        };
        match measured(view, offer) {
            None => 1,
            Some((throughput, success)) => {
                let worse = throughput < bounds.throughput || success < bounds.success;
                if worse { 2 } else { 0 }
            }
        }
    }
}

impl Bounds {
    /// None while there are too few peers to compare.
    fn of(view: &View, offers: &[Offer<'_>]) -> Option<Self> {
        let known = offers.iter().filter_map(|offer| measured(view, offer));
        let mut throughputs: SmallVec<[f64; 16]> = SmallVec::new();
        let mut successes: SmallVec<[f64; 16]> = SmallVec::new();
        for (throughput, success) in known {
            throughputs.push(throughput);
            successes.push(success);
        }
        (throughputs.len() >= PEERS_MIN).then(|| Self {
            throughput: least(&mut throughputs, THROUGHPUT_SIGMAS),
            success: least(&mut successes, SUCCESS_SIGMAS),
        })
    }
}

/// The median less so many deviations.
fn least(values: &mut [f64], sigmas: f64) -> f64 {
    let middle = median(values);
    for value in values.iter_mut() {
        *value = (*value - middle).abs();
    }
    let sigma = (median(values) * MAD_TO_SIGMA).max(middle.abs() * DEVIATION_LEAST);
    middle - sigmas * sigma
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Tenths of tokens per second, and the part of the tool calls that is sound.
fn measured(view: &View, offer: &Offer<'_>) -> Option<(f64, f64)> {
    let row = view.row(offer.index)?;
    let throughput = f64::from(row.throughput_tenths.p50);
    let broken = f64::from(row.tool_failure) / f64::from(u16::MAX);
    (throughput > 0.0).then_some((throughput, 1.0 - broken))
}

/// For `exacto`: the rarer broken tool calls are, then the faster, the smaller.
pub(super) fn reliability(view: &View, offer: &Offer<'_>) -> f64 {
    measured(view, offer).map_or(f64::INFINITY, |(throughput, success)| {
        (1.0 - success) - throughput * TENTHS_WEIGHT
    })
}

/// Does it keep the bounds that the client prefers: 0 yes, 1 not known, 2 no?
#[inline]
pub(super) fn lateness(context: &Context<'_>, offer: &Offer<'_>) -> u8 {
    let chosen = &context.demand.preferences;
    let (fast, soon) = (&chosen.min_throughput, &chosen.max_latency);
    let Some(row) = context.view.row(offer.index) else {
        return 1;
    };
    let fast = worst(fast, &row.throughput_tenths, |bound, seen| seen >= bound);
    let soon = worst(soon, &row.ttft_ms, |bound, seen| seen <= bound);
    fast.max(soon)
}

/// All bounds must hold.
fn worst(bounds: &Cutoffs, seen: &Percentiles, holds: fn(u32, u32) -> bool) -> u8 {
    let each = [
        (bounds.p50, seen.p50),
        (bounds.p75, seen.p75),
        (bounds.p90, seen.p90),
        (bounds.p99, seen.p99),
    ];
    let judge = |(bound, seen): (Option<u32>, u32)| match bound {
        None => 0,
        Some(_) if seen == 0 => 1,
        Some(bound) if holds(bound, seen) => 0,
        Some(_) => 2,
    };
    each.into_iter().map(judge).max().unwrap_or(0)
}

/// Does the conversation go on where it was, before all others? In a draw the cheaper prompt says
/// so by its price; what the client named a session, and a strict order, leave nothing to a draw. It
/// does not hold a request that asks for another service tier: who pays for it gets it.
#[inline]
pub(super) fn continues(context: &Context<'_>, offer: &Offer<'_>, rule: &Rule) -> bool {
    let demand = context.demand;
    let elsewhere = !demand.preferences.order.is_empty() || rule.off_tier(offer);
    if demand.sticky.is_empty() || elsewhere {
        return false;
    }
    let mut sticky = demand.sticky.iter();
    sticky.any(|it| it.endpoint == offer.endpoint.id && (it.pinned || rule.is_strict()))
}
