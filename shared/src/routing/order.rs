//! The order of those that may serve: a draw by share without replacement, or the strict order
//! that the client asked for; who fails or rests goes to the end in either case. What is left can
//! be drawn again later, with the health of that moment.

use super::filter::{Offer, Offers, names, supports};
use super::place::{self, Key, Place, Standing};
use super::prefer::{Rule, continues, lateness, reliability};
use super::price::stickiness;
use super::random::{Purpose, unit};
use super::resolve::Wanted;
use super::{Candidate, Context, Exclude, Exclusion, Plan, Preferences, Reason, View};
use crate::catalog::Parameter;
use crate::health::{Ask, Local};
use crate::ranking::{Mode, State};
use std::sync::Arc;

/// The least share of who is closed by its score: rounded down, not shut.
const SHARE_LEAST: f64 = 1e-5;
/// Who has no share races at the price's, so much slower than all others.
const LAST_RESORT_RATE: f64 = 1e-9;

/// Adds a model's offers to the plan; [`arrange`] puts them in order.
pub(super) fn place(
    context: &Context<'_>,
    wanted: &Wanted,
    model: usize,
    offers: &Offers<'_>,
    plan: &mut Plan,
) {
    let demand = context.demand;
    let rule = Rule::of(context, wanted, offers);
    let takes_tools = |offer: &Offer<'_>| supports(offer.endpoint, Parameter::Tools);
    let prefer_tools = demand.needs_tools && offers.iter().any(takes_tools);
    let prior_sum: f64 = offers.iter().map(|offer| offer.known.prior).sum();
    plan.candidates.reserve(offers.len());
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
                late: lateness(context, offer),
                listed,
                off_tier: rule.off_tier(offer),
                without_tools: prefer_tools && !takes_tools(offer),
                doubt: rule.doubt(context.view, offer),
            },
        };
        let mut place = Place::new(standing, model, reason(&standing, &rule));
        let strict = rule.is_strict() || !demand.preferences.order.is_empty();
        let row = known.row.as_ref();
        let on_trial = row.is_some_and(|it| matches!(it.state, State::HalfOpen | State::Ramp));
        let shared = offer.own.is_none();
        place.on_trial = strict && on_trial && shared;
        place.sorted = sort_key(context.view, offer, &rule);
        place.prior = known.prior / prior_sum;
        let mode = rule.sort.unwrap_or(demand.mode);
        place.fleet = fleet_share(context, offer, mode, place.prior);
        place.ttft = row.map_or(0.0, |row| f64::from(row.ttft_ms.p50) / 1e3);
        plan.candidates.push(Candidate {
            endpoint: offer.endpoint.clone(),
            provider: offer.provider.clone(),
            share: 0.0,
            reason: place.because,
            index: offer.index,
            handle: known.handle,
            own: offer.own.map(|(_, own)| Arc::clone(own)),
            lease: context.view.lease_of(known, context.now).filter(|_| shared),
            probe: None,
            lease_to_probe: context.view.probe_of(known).filter(|_| shared),
            local: Local::default(),
            place,
        });
    }
}

/// Reads the health of the moment and puts candidates in order by it.
pub(super) fn arrange(context: &Draw<'_>, candidates: &mut [Candidate]) {
    let by_load = context.mode == Mode::Latency && context.view.tuning.two_choices;
    for candidate in candidates.iter_mut() {
        let ask = Ask {
            handle: candidate.handle,
            lease: candidate.lease,
            prompt_tokens: context.prompt_tokens,
            peak: by_load,
        };
        // What the platform's key has met with says nothing of another's.
        let local = match candidate.own {
            Some(_) => Local::default(),
            None => context.health.local(&ask, context.now),
        };
        draw(context, candidate, local);
    }
    place::sort(candidates);
    if by_load {
        keep_the_less_loaded(candidates);
    }
    normalise(candidates);
}

/// All that a draw depends on.
pub(super) struct Draw<'a> {
    pub(super) view: &'a View,
    pub(super) health: &'a dyn crate::health::Evidence,
    pub(super) now: crate::clock::Moment,
    pub(super) seed: u64,
    /// 0 for the plan, then one more each time that what is left is drawn again.
    pub(super) round: u32,
    pub(super) mode: Mode,
    pub(super) prompt_tokens: u64,
}

#[inline]
fn draw(context: &Draw<'_>, candidate: &mut Candidate, local: Local) {
    let random = |purpose| unit(context.seed, context.round, candidate.handle, purpose);
    let place = &candidate.place;
    let mut share = place.fleet;
    if local.penalty > 0.0 {
        share *= (1.0 - local.penalty).powi(context.view.tuning.penalty_power);
    }
    // Where there is a lease, the quota refills the slower the more was turned away.
    if candidate.lease.is_none() {
        share *= local.acceptance;
    }
    // A lease to probe is for one request, and that one goes wherever it leads.
    let probe = candidate.lease_to_probe;
    let probe = probe.filter(|number| *number != local.probed);
    candidate.probe = probe.filter(|_| place.because == Reason::Drawn && !local.full);
    candidate.reason = match place.because {
        _ if candidate.probe.is_some() => Reason::Probe,
        because if candidate.own.is_some() => because,
        _ if local.paused => Reason::Paused,
        _ if local.full => Reason::Full,
        _ if place.fleet <= 0.0 => Reason::Open,
        because => because,
    };
    let last_resort = !candidate.reason.is_ready();
    // Exponential races: the order of arrival is a draw without replacement by rate.
    let rate = if share > 0.0 {
        share
    } else {
        place.prior * LAST_RESORT_RATE
    };
    let drawn = match candidate.reason {
        Reason::Probe => 0.0,
        _ => -random(Purpose::Draw).ln() / rate.max(f64::MIN_POSITIVE),
    };
    // A strict order would send everything to an endpoint that is only being tried out: it gets
    // its share of strict requests, too, and no more.
    let held_back = place.on_trial && random(Purpose::Trial) > place.fleet;
    candidate.share = if last_resort { 0.0 } else { share };
    candidate.local = local;
    candidate.place.stand(last_resort, held_back, drawn);
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

/// Without fallbacks: those that `order` lists or, where it lists none, each model's first.
pub(super) fn keep_first_choice(preferences: &Preferences, plan: &mut Plan) {
    let (excluded, passed_over) = (&mut plan.excluded, &mut plan.passed_over);
    let mut served = 0_u64;
    plan.candidates.retain(|candidate| {
        let model = 1_u64 << candidate.place.model.min(63);
        let kept = if preferences.order.is_empty() {
            served & model == 0
        } else {
            candidate.place.is_listed
        };
        served |= model;
        if !kept {
            excluded.push(Exclusion {
                endpoint: candidate.endpoint.id.clone(),
                why: Exclude::NoFallbacks,
            });
            if candidate.own.is_none() {
                passed_over.push((candidate.handle, candidate.local));
            }
        }
        kept
    });
}

/// What the fleet gives it: the ranking's share, the older the more of what its long record
/// deserves, and of what its price deserves where there is none.
fn fleet_share(context: &Context<'_>, offer: &Offer<'_>, mode: Mode, prior: f64) -> f64 {
    let (view, tuning) = (context.view, &context.view.tuning);
    let sticky = stickiness(tuning, context.demand, offer.endpoint, mode);
    let Some(row) = &offer.known.row else {
        return prior * sticky;
    };
    let stale = view
        .ranking_age(context.now)
        .saturating_sub(tuning.ranking_fresh);
    let faded = (stale.as_secs_f64() / tuning.ranking_fades.as_secs_f64().max(1e-3)).min(1.0);
    let pushed = match row.state {
        State::Closed | State::Ramp | State::HalfOpen => row.share_of(mode).max(SHARE_LEAST),
        State::Open | State::Draining | State::Disabled => row.share_of(mode),
    };
    let record = Some(row.long_run_of(mode)).filter(|share| *share > 0.0);
    let share = (1.0 - faded) * pushed + faded * record.unwrap_or(prior);
    share * sticky
}

/// Why it stands where it stands, unless its health says otherwise.
fn reason(standing: &Standing, rule: &Rule) -> Reason {
    match (standing.listed, rule.sort) {
        _ if matches!(standing.key, Key::Own(_)) => Reason::OwnKey,
        _ if matches!(standing.key, Key::Fallback(_)) => Reason::OwnKeyFallback,
        _ if !standing.is_other => Reason::Sticky,
        _ if standing.late == 2 => Reason::Slow,
        (Some(at), _) => Reason::Ordered(u16::try_from(at).unwrap_or(u16::MAX)),
        _ if standing.off_tier => Reason::OtherTier,
        _ if standing.without_tools => Reason::WithoutTools,
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
