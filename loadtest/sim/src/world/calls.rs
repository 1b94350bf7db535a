//! Who asks for what, when: drawn before the run, so that every policy of a seed serves the same
//! requests. Sessions and what is cached where are the extended world's.

use crate::random::Random;
use crate::scenario::{DEMAND, Kind, Scenario};
use std::collections::HashMap;

/// One request.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Call {
    /// Seconds.
    pub at: f64,
    /// Where it comes in.
    pub edge: usize,
    /// What it asks for.
    pub model: usize,
    /// Prompt tokens; 0 in the standard world, which doesn't count them.
    pub prompt: f64,
    /// Tokens of its answer.
    pub output: f64,
    /// The conversation that it belongs to, and how many tokens of the prompt are older than it.
    pub session: Option<(u32, f64)>,
    /// The client hangs up so many seconds after asking.
    pub leaves: Option<f64>,
}

/// A provider forgets a prompt after so many seconds.
const CACHE_SECONDS: f64 = 300.0;
/// Prompt tokens below this are not cached.
const CACHE_MIN: f64 = 256.0;
/// The part of the requests that belongs to sessions: with their longer prompts, 60 % of tokens.
const IN_SESSION: f64 = 0.4;
/// A session ends after a request with this probability.
const SESSION_ENDS: f64 = 0.15;
/// The part of the requests whose client hangs up early.
const LEAVERS: f64 = 0.02;

pub(super) fn calls(scenario: &Scenario, random: &mut Random) -> Vec<Call> {
    let mut talks = Talks::default();
    let mut calls = Vec::new();
    let mut now = 0.0_f64;
    while now < scenario.end {
        let tide = 1.0 + 0.15 * (now / 97.0).sin();
        let rate = scenario.rate * tide * scenario.surge(now);
        now += random.exponential(rate);
        let region = random.weighted(&DEMAND).unwrap_or_default();
        let per_region = scenario.edges_per_region;
        let mut call = Call {
            at: now,
            edge: region * per_region + random.below(per_region),
            output: random.log_normal(5.0, 0.8).min(2000.0),
            ..Call::default()
        };
        if scenario.kind == Kind::Extended {
            talks.dress(scenario, &mut call, random);
        }
        calls.push(call);
    }
    calls
}

/// The conversations that go on at each edge.
#[derive(Default)]
struct Talks {
    at_edge: HashMap<usize, Vec<Talk>>,
    begun: u32,
}

#[derive(Clone, Copy)]
struct Talk {
    id: u32,
    model: usize,
    tokens: f64,
}

impl Talks {
    fn dress(&mut self, scenario: &Scenario, call: &mut Call, random: &mut Random) {
        call.model = random.weighted(&scenario.popularity).unwrap_or_default();
        call.prompt = random.log_normal(5.6, 0.9).min(8_000.0);
        call.leaves = (random.unit() < LEAVERS).then(|| random.exponential(0.4));
        if random.unit() >= IN_SESSION {
            return;
        }
        let talks = self.at_edge.entry(call.edge).or_default();
        // A few talks at a time: the older ones' next turn comes within the cache's life.
        if talks.len() < 4 || random.unit() < SESSION_ENDS {
            self.begun += 1;
            talks.push(Talk {
                id: self.begun,
                model: call.model,
                tokens: 0.0,
            });
        }
        let at = random.below(talks.len());
        let talk = &mut talks[at];
        call.model = talk.model;
        call.session = Some((talk.id, talk.tokens));
        call.prompt += talk.tokens;
        talk.tokens = (call.prompt + call.output).min(30_000.0);
        if random.unit() < SESSION_ENDS {
            talks.swap_remove(at);
        }
    }
}

/// Where each conversation's prompt is cached.
#[derive(Default)]
pub(super) struct Sessions {
    /// The offer, when it last read it, and how many tokens that were.
    warm: HashMap<u32, (usize, f64, f64)>,
}

impl Sessions {
    /// The part of a prompt that an offer has cached.
    pub(super) fn hit(&self, call: &Call, offer: usize, now: f64) -> f64 {
        let warm = self.warm_at(call, now);
        warm.filter(|(at, _)| *at == offer).map_or(0.0, |it| it.1)
    }

    pub(super) fn warm_at(&self, call: &Call, now: f64) -> Option<(usize, f64)> {
        let (session, older) = call.session?;
        let (offer, at, tokens) = *self.warm.get(&session)?;
        let cached = tokens.min(older);
        if now - at > CACHE_SECONDS || cached < CACHE_MIN {
            return None;
        }
        Some((offer, (cached / call.prompt).min(1.0)))
    }

    pub(super) fn served(&mut self, call: &Call, offer: usize, now: f64) {
        if let Some((session, _)) = call.session {
            self.warm.insert(session, (offer, now, call.prompt));
        }
    }
}
