//! The order of those that may serve: a draw by share without replacement, or the strict order
//! that the client asked for; who fails or rests goes to the end in either case. What is left can
//! be drawn again later, with the health of that moment.

use super::filter::{Offer, Offers, is_tight, names, supports};
use super::place::{self, Key, Place, Standing};
use super::prefer::{Rule, continues, lateness, reliability};
use super::price::stickiness;
use super::random::{Luck, Purpose};
use super::resolve::Wanted;
use super::{Candidate, Context, Exclude, Exclusion, Plan, Preferences, Reason, View};
use crate::catalog::Parameter;
use crate::health::{Ask, Evidence, Handle, Lease, Local};
use crate::ranking::Mode;
use smallvec::SmallVec;
use std::sync::Arc;

/// Who has no share races at the price's, so much slower than all others.
const LAST_RESORT_RATE: f64 = 1e-9;

/// Parameters that change what is answered: without them it would be the answer to another question,
/// so who takes them comes first. The others only change how it is answered.
const PREFERRED: [Parameter; 4] = [
    Parameter::ResponseFormat,
    Parameter::StructuredOutputs,
    Parameter::Verbosity,
    Parameter::WebSearchOptions,
];

/// Who takes part in a draw, as it must know them.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) handle: Handle,
    pub(super) lease: Lease,
    pub(super) lease_to_probe: Option<u32>,
    /// Asked with the organisation's own key.
    pub(super) own: bool,
    pub(super) place: Place,
}

/// What a draw came to.
pub(super) struct Drawn {
    pub(super) share: f64,
    pub(super) reason: Reason,
    pub(super) probe: Option<u32>,
    pub(super) local: Local,
}

/// Where each of the offers stands, one for one.
pub(super) type Entries = SmallVec<[Entry; 16]>;

/// Enters a model's offers, which are the last ones, for the draw.
pub(super) fn enter(
    context: &Context<'_>,
    wanted: &Wanted<'_>,
    model: usize,
    offers: &Offers<'_>,
    entries: &mut Entries,
) {
    let offers = offers.get(entries.len()..).unwrap_or_default();
    let demand = context.demand;
    let rule = Rule::of(context, wanted, offers);
    let takes_tools = |offer: &Offer<'_>| supports(offer.endpoint, Parameter::Tools);
    let prefer_tools = demand.needs_tools && offers.iter().any(takes_tools);
    let takes = |offer: &Offer<'_>, one: Parameter| supports(offer.endpoint, one);
    let sent = |one: &Parameter| demand.parameters.contains(one);
    let mut preferred: SmallVec<[Parameter; 4]> = SmallVec::new();
    preferred.extend(PREFERRED.into_iter().filter(sent));
    preferred.retain(|one| offers.iter().any(|offer| takes(offer, *one)));
    let prior_sum: f64 = offers.iter().map(|offer| offer.known.prior).sum();
    let strict = rule.is_strict() || !demand.preferences.order.is_empty();
    let mode = rule.sort.unwrap_or(demand.mode);
    // A probe is safe for its client only because there is somebody else to ask.
    let may_probe = demand.preferences.allow_fallbacks;
    let lease_part = context.view.lease_part(context.now);
    let faded = context.view.faded(context.now);
    for offer in offers {
        let known = offer.known;
        let mut order = demand.preferences.order.iter();
        let group = if rule.across { 0 } else { model };
        let listed = order.position(|word| names(word, offer));
        let standing = match offer.own {
            Some((at, own)) => Standing::with_own_key(group, own.fallback, at, listed),
            None => Standing {
                group,
                key: Key::Shared,
                is_other: !continues(context, offer, &rule),
                late: if rule.bounded {
                    lateness(context, offer)
                } else {
                    0
                },
                listed,
                off_tier: rule.off_tier(offer),
                without_tools: prefer_tools && !takes_tools(offer),
                without_parameters: !preferred.iter().all(|one| takes(offer, *one)),
                doubt: rule.doubt(context.view, offer),
                tight: is_tight(demand, offer.endpoint),
            },
        };
        let shared = offer.own.is_none();
        let prior = known.prior / prior_sum;
        let given = known.given.as_ref();
        let sorted = sort_key(context.view, offer, &rule);
        let mut place = Place::new(standing, model, reason(&standing, &rule, sorted));
        (place.on_trial, place.sorted) = (strict && known.on_trial && shared, sorted);
        place.prior = prior;
        let share = given.map_or(prior, |it| it.share(mode, faded, prior));
        let weight = given.map_or(prior, |it| it.weight(mode, faded, prior));
        let sticky = stickiness(&context.view.tuning, demand, offer.endpoint, mode);
        (place.given, place.weight, place.sticky) = (small(share), small(weight), small(sticky));
        place.ttft = known.ttft;
        let mut sticky = demand.sticky.iter();
        place.warm = sticky.any(|it| it.endpoint == offer.endpoint.id);
        entries.push(Entry {
            // What the platform's key has met with says nothing of another's.
            handle: match offer.own {
                Some((_, own)) => known.handle.with_own(own),
                None => known.handle,
            },
            lease: if shared {
                known.lease.cut_to(lease_part)
            } else {
                Lease::default()
            },
            lease_to_probe: context.view.probe_of(known).filter(|_| may_probe && shared),
            own: !shared,
            place,
        });
    }
    place::spread(entries, model, |entry| &mut entry.place);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "shares and weights are told in fewer bits"
)]
fn small(value: f64) -> f32 {
    value as f32
}

/// Reads the health of the moment and makes the plan's candidates in order by it. They are large:
/// made when their order is known, they are not moved again.
pub(super) fn first(
    context: &Draw<'_>,
    offers: &Offers<'_>,
    entries: &mut Entries,
    plan: &mut Plan,
) {
    // Lists are extended where they lie: collecting moves them.
    let mut drawn: SmallVec<[Drawn; 16]> = SmallVec::new();
    drawn.extend(entries.iter_mut().map(|entry| draw(context, entry)));
    let all = offers.iter().zip(entries.iter()).zip(&drawn);
    let places = all
        .clone()
        .map(|((offer, entry), _)| (&entry.place, offer.index));
    let ranks = place::ranks(places);
    let mut sorted: SmallVec<[_; 16]> = SmallVec::new();
    sorted.extend(all.clone());
    for (one, rank) in all.zip(ranks) {
        if let Some(place) = sorted.get_mut(rank) {
            *place = one;
        }
    }
    plan.candidates.reserve_exact(sorted.len());
    let made = sorted.iter().map(|((offer, entry), drawn)| Candidate {
        offered: Arc::clone(&offer.known.offered),
        share: drawn.share,
        reason: drawn.reason,
        index: offer.index,
        handle: entry.handle,
        own: offer.own.map(|(_, own)| Arc::clone(own)),
        lease: entry.lease,
        tokens: context.tokens,
        probe: drawn.probe,
        lease_to_probe: entry.lease_to_probe,
        local: drawn.local,
        place: entry.place,
    });
    plan.candidates.extend(made);
    finish(context, &mut plan.candidates);
}

/// Puts candidates in order again, by the health of the moment.
pub(super) fn again(context: &Draw<'_>, candidates: &mut [Candidate]) {
    let models = candidates.iter().map(|it| it.place.model).max();
    for model in 0..models.map_or(0, |last| last + 1) {
        place::spread(candidates, model, |it| &mut it.place);
    }
    for candidate in candidates.iter_mut() {
        let mut entry = candidate.entry();
        let drawn = draw(context, &mut entry);
        candidate.share = drawn.share;
        candidate.reason = drawn.reason;
        candidate.probe = drawn.probe;
        candidate.local = drawn.local;
        candidate.place = entry.place;
    }
    place::sort(candidates);
    finish(context, candidates);
}

fn finish(context: &Draw<'_>, candidates: &mut [Candidate]) {
    if context.by_load() {
        keep_the_less_loaded(candidates);
    }
    normalise(candidates);
}

/// All that a draw depends on.
pub(super) struct Draw<'a> {
    pub(super) view: &'a View,
    pub(super) health: &'a dyn Evidence,
    pub(super) now: crate::clock::Moment,
    pub(super) luck: Luck,
    pub(super) mode: Mode,
    pub(super) prompt_tokens: u64,
    /// With those of the answer.
    pub(super) tokens: u64,
}

impl Draw<'_> {
    fn by_load(&self) -> bool {
        self.mode == Mode::Latency && self.view.tuning.two_choices
    }
}

#[inline]
fn draw(context: &Draw<'_>, entry: &mut Entry) -> Drawn {
    let ask = Ask {
        handle: entry.handle,
        lease: entry.lease,
        prompt_tokens: context.prompt_tokens,
        tokens: context.tokens,
        warm: entry.place.warm,
        peak: context.by_load(),
        own: entry.own,
    };
    let local = context.health.local(&ask, context.now);
    let random = |purpose| context.luck.unit(entry.handle, purpose);
    let place = &mut entry.place;
    let mut share = place.fleet;
    if local.penalty > 0.0 {
        share *= (1.0 - local.penalty).powi(context.view.penalty_power(context.now));
    }
    // Where there is a lease, the quota refills the slower the more was turned away.
    if !entry.lease.limits_flow() {
        share *= local.acceptance;
    }
    // Before it is full it is slow: who has less room gets less.
    if entry.lease.in_flight.is_some() {
        let spare = context.view.tuning.in_flight_spare;
        share *= entry.lease.room(local.in_flight, spare);
    }
    // A lease to probe is for one request, and that one goes wherever it leads; a strict order is
    // kept, but who is on trial is not held back in it.
    let probe = entry.lease_to_probe;
    let probe = probe.filter(|number| !local.has_probed(*number));
    let may_probe = place.because == Reason::Drawn || place.on_trial;
    let probe = probe.filter(|_| may_probe && !local.full);
    let reason = match place.because {
        _ if probe.is_some() => Reason::Probe,
        _ if local.paused => Reason::Paused,
        _ if local.full => Reason::Full,
        because if entry.own => because,
        _ if place.fleet <= 0.0 => Reason::Open,
        because => because,
    };
    let last_resort = !reason.is_ready();
    // Exponential races: the order of arrival is a draw without replacement by rate.
    let rate = if share > 0.0 {
        share
    } else {
        place.prior * LAST_RESORT_RATE
    };
    let drawn = match reason {
        Reason::Probe => 0.0,
        _ => -random(Purpose::Draw).ln() / rate.max(f64::MIN_POSITIVE),
    };
    // A strict order would send everything to an endpoint that is only being tried out: it gets
    // its share of strict requests, too, and no more.
    let held_back = place.on_trial && probe.is_none() && random(Purpose::Trial) > place.fleet;
    place.stand(last_resort, held_back, drawn);
    Drawn {
        share: if last_resort { 0.0 } else { share },
        reason,
        probe,
        local,
    }
}

/// Two were drawn by share: of these the less loaded one, seen from here, goes first.
fn keep_the_less_loaded(candidates: &mut [Candidate]) {
    let [first, second, ..] = candidates else {
        return;
    };
    // A median that the fleet knows stands for a peak that was not seen, or has faded below it.
    let load = |it: &Candidate| {
        let ttft = it.local.peak.max(it.place.ttft);
        ttft * (f64::from(it.local.in_flight) + 1.0)
    };
    let (one, other) = (load(first), load(second));
    let alike = first.place.is_like(&second.place) && first.reason == second.reason;
    if alike && other > 0.0 && other < one {
        std::mem::swap(first, second);
    }
}

/// Makes shares sum to 1 within each model.
fn normalise(candidates: &mut [Candidate]) {
    let mut from = 0;
    // A model's candidates need not stand together: those that rest come last.
    while let Some(model) = candidates.get(from).map(|it| it.place.model) {
        let of_model = |it: &&mut Candidate| it.place.model == model;
        let sum: f64 = candidates
            .iter()
            .filter(|it| it.place.model == model && it.share > 0.0)
            .map(|it| it.share)
            .sum();
        if sum > 0.0 {
            let all = candidates.iter_mut().filter(of_model);
            all.for_each(|it| it.share /= sum);
        }
        let next = candidates.iter().skip(from);
        from += next.take_while(|it| it.place.model == model).count();
    }
}

/// Without fallbacks: those that `order` lists or, where it lists none, each model's first. That is
/// an own key where there is one, however it fares: the platform's is what it would fall back to.
pub(super) fn keep_first_choice(preferences: &Preferences, plan: &mut Plan) {
    let (excluded, passed_over) = (&mut plan.excluded, &mut plan.passed_over);
    let model = |candidate: &Candidate| 1_u64 << candidate.place.model.min(63);
    let has_own = plan.candidates.iter().filter(|it| it.place.is_own());
    let has_own = has_own.fold(0, |all, it| all | model(it));
    let mut served = 0_u64;
    plan.candidates.retain(|candidate| {
        let model = model(candidate);
        let kept = if preferences.order.is_empty() {
            served & model == 0 && (has_own & model == 0 || candidate.place.is_own())
        } else {
            candidate.place.is_listed
        };
        if kept {
            served |= model;
        } else {
            excluded.push(Exclusion {
                endpoint: candidate.endpoint.id.clone(),
                why: Exclude::NoFallbacks,
            });
            passed_over.push((candidate.handle, candidate.local));
        }
        kept
    });
}

/// Why it stands where it stands, unless its health says otherwise. What is not measured has no place
/// in an order by measurements but the last.
fn reason(standing: &Standing, rule: &Rule, sorted: f64) -> Reason {
    match (standing.listed, rule.sort) {
        _ if matches!(standing.key, Key::Own(_)) => Reason::OwnKey,
        _ if matches!(standing.key, Key::Fallback(_)) => Reason::OwnKeyFallback,
        _ if !standing.is_other => Reason::Sticky,
        _ if standing.late == 2 => Reason::Slow,
        (Some(at), _) => Reason::Ordered(u16::try_from(at).unwrap_or(u16::MAX)),
        _ if standing.off_tier => Reason::OtherTier,
        _ if standing.without_tools => Reason::WithoutTools,
        _ if standing.without_parameters => Reason::WithoutParameters,
        _ if standing.tight => Reason::Tight,
        (_, sort) if rule.is_strict() && !sorted.is_finite() => {
            Reason::Unmeasured(sort.unwrap_or_default())
        }
        _ if rule.exacto => Reason::Exacto,
        (_, Some(mode)) if mode != Mode::Balanced => Reason::Sorted(mode),
        _ if standing.doubt > 0 => Reason::Doubtful,
        _ => Reason::Drawn,
    }
}

/// Smaller is better; what is not known comes last.
fn sort_key(view: &View, offer: &Offer<'_>, rule: &Rule) -> f64 {
    if rule.exacto {
        return reliability(view, offer);
    }
    let Some(mode) = rule.sort else {
        return 0.0;
    };
    let row = offer.known.row.as_ref();
    match mode {
        Mode::Price => offer.known.price,
        Mode::Latency => row
            .filter(|row| row.ttft_ms.p50 > 0)
            .map_or(f64::INFINITY, |row| f64::from(row.ttft_ms.p50)),
        Mode::Throughput => row
            .filter(|row| row.throughput_tenths.p50 > 0)
            .map_or(f64::INFINITY, |row| -f64::from(row.throughput_tenths.p50)),
        Mode::Balanced => 0.0,
    }
}
