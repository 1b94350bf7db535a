//! The order of those that may serve: a draw by share without replacement, or the strict order
//! that the client asked for; who fails or rests goes to the end in either case.

use super::filter::{Offer, names, supports};
use super::resolve::Wanted;
use super::{Candidate, Context, Exclude, Exclusion, Preferences, Reason, View};
use crate::catalog::Parameter;
use crate::ranking::{Mode, State};
use std::time::Duration;

/// How sharply local failures cut a share: it is multiplied with (1 - penalty)^6.
const PENALTY_POWER: i32 = 6;
/// A ranking older than this begins to lose weight against the price's share …
const RANKING_FRESH: Duration = Duration::from_secs(3);
/// … until, so much later, it has none.
const RANKING_FADES: Duration = Duration::from_secs(60);

/// A candidate, and whether it is one only because nobody else may be left.
pub(super) type Placed = (Candidate, bool);

/// Where a candidate stands; smaller is earlier.
struct Place<'a> {
    offer: Offer<'a>,
    last_resort: bool,
    /// Strictly ordered, but not to be relied on yet.
    held_back: bool,
    /// The place in the client's `order`.
    listed: usize,
    without_tools: bool,
    /// The client's `sort`.
    sorted: f64,
    /// The draw.
    drawn: f64,
    share: f64,
    reason: Reason,
}

/// Puts a model's offers in order.
pub(super) fn order<'a>(
    context: &Context<'a>,
    wanted: &Wanted,
    offers: Vec<Offer<'a>>,
    random: &mut Random,
) -> Vec<Placed> {
    let preferences = &context.demand.preferences;
    let sort = preferences.sort.or(wanted.sort);
    let prefer_tools = context.demand.needs_tools
        && offers
            .iter()
            .any(|offer| supports(offer.endpoint, Parameter::Tools));
    let prior_sum: f64 = offers.iter().map(|it| context.view.prior(it.index)).sum();
    let mut places: Vec<_> = offers
        .into_iter()
        .map(|offer| {
            let mut place = place(context, offer, sort, prior_sum, random);
            place.without_tools = prefer_tools && !supports(place.offer.endpoint, Parameter::Tools);
            place.reason = reason(&place, sort);
            place
        })
        .collect();
    places.sort_by(|a, b| {
        a.last_resort
            .cmp(&b.last_resort)
            .then(a.held_back.cmp(&b.held_back))
            .then(a.listed.cmp(&b.listed))
            .then(a.without_tools.cmp(&b.without_tools))
            .then(a.sorted.total_cmp(&b.sorted))
            .then(a.drawn.total_cmp(&b.drawn))
    });
    let sum: f64 = places.iter().map(|place| place.share).sum();
    let placed = places.into_iter().map(|place| {
        let candidate = Candidate {
            endpoint: place.offer.endpoint.clone(),
            provider: place.offer.provider.clone(),
            share: if sum > 0.0 { place.share / sum } else { 0.0 },
            reason: place.reason,
        };
        (candidate, place.last_resort)
    });
    placed.collect()
}

/// Without fallbacks: those that `order` lists or, where it lists none, the first.
pub(super) fn keep_first_choice(
    preferences: &Preferences,
    placed: &mut Vec<Placed>,
    excluded: &mut Vec<Exclusion>,
) {
    let mut kept = Vec::with_capacity(placed.len());
    for (at, (candidate, last_resort)) in placed.drain(..).enumerate() {
        let first_choice = if preferences.order.is_empty() {
            at == 0
        } else {
            is_listed(preferences, &candidate)
        };
        if first_choice {
            kept.push((candidate, last_resort));
        } else {
            excluded.push(Exclusion {
                endpoint: candidate.endpoint.id.clone(),
                why: Exclude::NoFallbacks,
            });
        }
    }
    *placed = kept;
}

fn is_listed(preferences: &Preferences, candidate: &Candidate) -> bool {
    let offer = Offer {
        index: crate::snapshot::EndpointIndex(0),
        endpoint: &candidate.endpoint,
        provider: &candidate.provider,
    };
    preferences.order.iter().any(|word| names(word, &offer))
}

fn place<'a>(
    context: &Context<'a>,
    offer: Offer<'a>,
    sort: Option<Mode>,
    prior_sum: f64,
    random: &mut Random,
) -> Place<'a> {
    let view = context.view;
    let local = context.health.read(&offer.endpoint.id, context.now);
    let prior = view.prior(offer.index) / prior_sum;
    let fleet = fleet_share(context, &offer, sort.unwrap_or(Mode::Balanced), prior);
    let share = fleet * (1.0 - local.penalty).powi(PENALTY_POWER);
    let open = fleet <= 0.0;
    let probes = !local.paused && view.probes(offer.index);
    let reason = match (local.paused, probes, open) {
        (true, ..) => Reason::Paused,
        (false, true, _) => Reason::Probe,
        (false, false, true) => Reason::Open,
        (false, false, false) => Reason::Drawn,
    };
    let last_resort = matches!(reason, Reason::Paused | Reason::Open);
    // Exponential races: the order of arrival is a draw without replacement by rate. Who has no
    // share races at the price's, among the others that have none.
    let rate = if share > 0.0 { share } else { prior * 1e-9 };
    let order = &context.demand.preferences.order;
    let drawn = -random.unit().ln() / rate.max(f64::MIN_POSITIVE);
    // A strict order would send everything to an endpoint that is only being tried out: it gets
    // its share of strict requests, too, and no more.
    let strict = sort.is_some() || !order.is_empty();
    let on_trial = view
        .row(offer.index)
        .is_some_and(|row| matches!(row.state, State::HalfOpen | State::Ramp));
    Place {
        last_resort,
        held_back: strict && on_trial && random.unit() > fleet,
        listed: order
            .iter()
            .position(|word| names(word, &offer))
            .unwrap_or(usize::MAX),
        without_tools: false,
        sorted: sort.map_or(0.0, |mode| sort_key(view, &offer, mode)),
        drawn,
        share: if last_resort { 0.0 } else { share },
        reason,
        offer,
    }
}

/// What the fleet gives it: the ranking's share, the older the more of the price's.
fn fleet_share(context: &Context<'_>, offer: &Offer<'_>, mode: Mode, prior: f64) -> f64 {
    let view = context.view;
    let Some(row) = view.row(offer.index) else {
        return prior;
    };
    let stale = view.ranking_age(context.now).saturating_sub(RANKING_FRESH);
    let faded = (stale.as_secs_f64() / RANKING_FADES.as_secs_f64()).min(1.0);
    let pushed = match row.state {
        // Closed by its score and still without weight: rounded down, not shut.
        State::Closed | State::Ramp | State::HalfOpen => row.share_of(mode).max(1e-5),
        State::Open | State::Draining | State::Disabled => row.share_of(mode),
    };
    let share = (1.0 - faded) * pushed + faded * prior;
    if view.probes(offer.index) {
        return share.max(super::PROBE_SHARE);
    }
    share
}

/// Smaller is better; what is not known comes last.
fn sort_key(view: &View, offer: &Offer<'_>, mode: Mode) -> f64 {
    let row = view.row(offer.index);
    match mode {
        Mode::Price => view.price(offer.index),
        Mode::Latency => row
            .filter(|row| row.ttft_ms.p50 > 0)
            .map_or(f64::INFINITY, |row| f64::from(row.ttft_ms.p50)),
        Mode::Throughput => row
            .filter(|row| row.throughput_tenths.p50 > 0)
            .map_or(f64::INFINITY, |row| -f64::from(row.throughput_tenths.p50)),
        Mode::Balanced => 0.0,
    }
}

fn reason(place: &Place<'_>, sort: Option<Mode>) -> Reason {
    match (place.reason, sort) {
        (Reason::Paused | Reason::Open, _) => place.reason,
        _ if place.listed < usize::MAX => Reason::Ordered(place.listed),
        _ if place.without_tools => Reason::WithoutTools,
        (_, Some(mode)) if mode != Mode::Balanced => Reason::Sorted(mode),
        _ => place.reason,
    }
}

/// SplitMix64: small, and the same for ever, so that a plan can be made again from its seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In (0, 1].
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
