//! One request's way: what it asks, its plan, and the attempt that has just been chosen. The same
//! steps in the same order as the edge's attempt loop; the decisions are all the production code's.

use super::edge::Edge;
use super::{catalogue, moment};
use crate::policy::{Ask, Patience, Turn};
use crate::scenario::Scenario;
use crate::world::World;
use shared::health::{Departure, Handle, Need};
use shared::id::EndpointId;
use shared::key::KeyHash;
use shared::policy::{KeyKind, KeyPolicy, Principal};
use shared::ranking::Mode;
use shared::routing::{self, Candidate, Demand, Plan, Sticky};

/// What requests ask for.
pub(super) struct Demands {
    mode: Mode,
    models: Vec<String>,
    endpoints: Vec<EndpointId>,
}

impl Demands {
    pub(super) fn new(scenario: &Scenario, mode: Mode) -> Self {
        let endpoints = scenario.offers.iter().map(catalogue::endpoint_id);
        Self {
            mode,
            models: (0..scenario.models).map(catalogue::model_id).collect(),
            endpoints: endpoints.collect(),
        }
    }

    pub(super) fn of(&self, world: &World, ask: &Ask, now: f64) -> Demand {
        let sticky = world.warm_at(ask.call, now).map(|(offer, hit)| Sticky {
            endpoint: self.endpoints[offer].clone(),
            hit: (hit * f64::from(u16::MAX)) as u16,
            pinned: false,
        });
        Demand {
            model: self.models[ask.model].clone(),
            prompt_tokens: world.calls[ask.call].prompt as u64,
            mode: self.mode,
            sticky: sticky.into_iter().collect(),
            ..Demand::default()
        }
    }
}

/// A request that has no first token yet.
pub(super) struct Walk {
    plan: Plan,
    demand: Demand,
    /// The attempt that has just been chosen.
    chosen: Option<Candidate>,
    /// It is the request's first.
    first: bool,
}

impl Walk {
    pub(super) fn begin(edge: &Edge, demand: Demand, now: f64, seed: u64) -> Option<Self> {
        let (view, board) = (&edge.view, &edge.board);
        let (usable, principal) = (|_: &_| true, principal());
        let plan = routing::plan(view, board, &usable, &principal, &demand, moment(now), seed);
        Some(Self {
            plan: plan.ok()?,
            demand,
            chosen: None,
            first: true,
        })
    }

    /// The next attempt's endpoint.
    pub(super) fn next(&mut self, edge: &Edge, turn: Turn, now: f64) -> Option<Handle> {
        let (view, board, now) = (&edge.view, &edge.board, moment(now));
        if turn != Turn::First {
            self.plan.arrange(view, board, now);
        }
        let gives = |it: &Candidate| {
            let need = Need {
                retry: turn == Turn::Again,
                probe: it.probe,
            };
            board.give(it.handle, &need, now).is_ok()
        };
        let candidate = self
            .plan
            .take(|it| (turn != Turn::Hedge || it.is_ready()) && gives(it))?;
        let handle = candidate.handle;
        self.chosen = Some(candidate);
        self.first = turn == Turn::First;
        Some(handle)
    }

    /// The attempt that has just been chosen, then what is left in the order of the plan.
    pub(super) fn places(&self, has_chosen: bool) -> impl Iterator<Item = &Candidate> {
        let chosen = self.chosen.iter().filter(move |_| has_chosen);
        chosen.chain(&self.plan.candidates)
    }

    /// Takes another one than `own`, which was chosen, or nobody; whom it took in the end. Where
    /// that one is not left it stays as it is.
    pub(super) fn take_instead(
        &mut self,
        own: Option<Handle>,
        other: Option<Handle>,
        turn: Turn,
    ) -> Option<Handle> {
        let wanted = other.and_then(|other| self.plan.take(|it| it.handle == other));
        if other.is_some() && wanted.is_none() {
            return own;
        }
        if own.is_some() {
            self.plan.candidates.extend(self.chosen.take());
        }
        if wanted.is_some() {
            (self.chosen, self.first) = (wanted, turn == Turn::First);
        }
        other
    }

    pub(super) fn departure(&self) -> Departure {
        let chosen = self.chosen.as_ref();
        chosen.map_or_else(Departure::default, |it| it.departure(self.first))
    }

    pub(super) fn patience(&self, edge: &Edge) -> Patience {
        let Some(chosen) = &self.chosen else {
            return Patience::until(10.0);
        };
        let patience = edge.view.patience(chosen, &self.demand, true);
        Patience {
            deadline: patience.deadline.as_secs_f64(),
            hedge: Some(patience.hedge.as_secs_f64()),
            silence: Some(patience.silence.as_secs_f64()),
        }
    }
}

fn principal() -> Principal {
    Principal {
        org: "org_simulated".into(),
        key: KeyHash([0; 32]),
        key_name: String::new(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}
