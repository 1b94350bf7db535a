//! The answer: candidates in order and exclusions, each with its reason; or why there is no plan.

use super::filter::{is_named, is_tight, lacks, room};
use super::order::{self, Draw, Entry};
use super::place::Place;
use super::random::Luck;
use super::{Demand, Preferences, Sticky, View};
use crate::byok::SealedCredential;
use crate::catalog::{Endpoint, Modality, Parameter, Provider, text_enum};
use crate::clock::Moment;
use crate::health::{Departure, Evidence, Handle, Lease, Local};
use crate::id::{EndpointId, ModelId, Version};
use crate::ranking::Mode;
use crate::snapshot::EndpointIndex;
use std::sync::Arc;
use std::time::Duration;

/// Whom to try, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every usable endpoint once: the whole fallback order.
    pub candidates: Vec<Candidate>,
    /// Every other endpoint of the models asked for.
    pub excluded: Vec<Exclusion>,
    /// The catalogue that it was made from.
    pub snapshot_version: Version,
    /// The ranking that it was made from.
    pub ranking_version: Version,
    /// Makes it again.
    pub seed: u64,
    /// How old the ranking was.
    pub ranking_age: Duration,
    /// What this node knew of candidates that are excluded because the client allows no fallbacks.
    pub(super) passed_over: Vec<(Handle, Local)>,
    /// How often what is left was drawn again.
    pub(super) round: u32,
    pub(super) mode: Mode,
    pub(super) prompt_tokens: u64,
    /// With those of the answer.
    pub(super) tokens: u64,
    /// Who served the conversation before: the only part of the demand that is not the client's.
    pub(super) sticky: Vec<Sticky>,
}

/// What to ask, and whom. Together, because a plan counts a reference for each of its candidates,
/// and counting is among the dearest things that it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// What to ask.
    pub endpoint: Arc<Endpoint>,
    /// Whom to ask.
    pub provider: Arc<Provider>,
}

/// An endpoint to try; reads as what it offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What to ask, and whom.
    pub offered: Arc<Offered>,
    /// Its share of the model's traffic as corrected here, 0..=1.
    pub share: f64,
    /// The organisation's own key with which it is asked; none is the platform's.
    pub own: Option<Arc<SealedCredential>>,
    /// Why it stands where it stands.
    pub reason: Reason,
    /// Its place in the snapshot.
    pub index: EndpointIndex,
    /// Its place on the board.
    pub handle: Handle,
    /// What this node may send it.
    pub lease: Lease,
    /// An estimate of the tokens that the request takes there, prompt and answer.
    pub tokens: u64,
    /// The probe lease that this attempt uses up.
    pub probe: Option<u32>,
    /// What this node knew of it.
    pub local: Local,
    /// The probe lease that this node has for it, used up or not.
    pub(super) lease_to_probe: Option<u32>,
    pub(super) place: Place,
}

impl std::ops::Deref for Candidate {
    type Target = Offered;

    fn deref(&self) -> &Offered {
        &self.offered
    }
}

impl Candidate {
    /// The weight that the fleet gives it, before what this node saw itself.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.place.fleet
    }

    /// What a draw must know of it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            handle: self.handle,
            lease: self.lease,
            lease_to_probe: self.lease_to_probe,
            own: self.own.is_some(),
            place: self.place,
        }
    }

    /// What the client sends along to this endpoint: of those that name it, the provider's before
    /// the more exact, so that the last word is the most exact one's.
    #[must_use]
    pub fn options<'a>(&self, preferences: &'a Preferences) -> Vec<&'a str> {
        let all = preferences.options.iter();
        let named = all.filter(|(word, _)| is_named(word, &self.endpoint, &self.provider));
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(word, _)| word.contains('/'));
        named
            .into_iter()
            .map(|(_, object)| object.as_str())
            .collect()
    }

    /// Parameters that the request sets and the endpoint is known not to take under any name: they
    /// are left out for it.
    #[must_use]
    pub fn unsupported(&self, demand: &Demand) -> Vec<Parameter> {
        let sent = demand.parameters.iter().copied();
        sent.filter(|one| is_left_out(&self.endpoint, *one))
            .collect()
    }

    /// What leaves for it.
    #[must_use]
    pub fn departure(&self, first: bool) -> Departure {
        Departure {
            lease: self.lease,
            tokens: self.tokens,
            first,
        }
    }

    /// Is it the same endpoint, asked with the same key?
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| it.own.as_ref().map(|own| own.id.clone());
        self.endpoint.id == other.endpoint.id && key(self) == key(other)
    }

    /// False when it stands here only because nobody else may be left.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reason.is_ready()
    }
}

impl Plan {
    /// An empty one, to be filled.
    pub(super) fn new(view: &View, demand: &Demand, now: Moment, seed: u64) -> Self {
        Self {
            candidates: Vec::new(),
            excluded: Vec::new(),
            snapshot_version: view.snapshot.version(),
            ranking_version: view.ranking.version,
            seed,
            ranking_age: view.ranking_age(now),
            passed_over: Vec::new(),
            round: 0,
            mode: demand.mode,
            prompt_tokens: demand.prompt_tokens,
            tokens: {
                let usual = view.tuning.usual_completion;
                let answer = demand.max_tokens.map_or(usual, |most| most.min(usual));
                demand.prompt_tokens.saturating_add(answer)
            },
            sticky: demand.sticky.clone(),
        }
    }

    /// Puts what is left in order, by the health of the moment. After each candidate that is taken
    /// out the next is drawn among the others: a draw without replacement.
    pub fn arrange(&mut self, view: &View, health: &dyn Evidence, now: Moment) {
        let draw = self.next_draw(view, health, now);
        order::again(&draw, &mut self.candidates);
    }

    /// The next draw among those that are left.
    pub(super) fn next_draw<'a>(
        &mut self,
        view: &'a View,
        health: &'a dyn Evidence,
        now: Moment,
    ) -> Draw<'a> {
        let round = self.round;
        self.round = round.saturating_add(1);
        Draw {
            view,
            health,
            now,
            luck: Luck::new(self.seed, round),
            mode: self.mode,
            prompt_tokens: self.prompt_tokens,
            tokens: self.tokens,
        }
    }

    /// The endpoint has counted, and the request is too long for it. Of its model those are left that
    /// take more or, where it promised more than that itself, surely take the request.
    pub fn outgrow(&mut self, refused: &Endpoint, demand: &Demand) {
        let least = room(demand, refused);
        let fits = |it: &Endpoint| room(demand, it) > least || !is_tight(demand, it);
        self.candidates
            .retain(|it| it.endpoint.model != refused.model || fits(&it.endpoint));
    }

    /// Another request has the endpoint's probe lease: from the next [`Plan::arrange`] on it stands
    /// where it does without.
    pub fn forgo_probe(&mut self, endpoint: Handle) {
        for candidate in &mut self.candidates {
            if candidate.handle == endpoint {
                candidate.lease_to_probe = None;
            }
        }
    }

    /// Takes the first candidate out that `may` serve; the others stay where they are.
    pub fn take(&mut self, may: impl FnMut(&Candidate) -> bool) -> Option<Candidate> {
        let at = self.candidates.iter().position(may)?;
        Some(self.candidates.remove(at))
    }
}

/// Words that say the same, or a part of it, stand for each other.
fn is_left_out(endpoint: &Endpoint, parameter: Parameter) -> bool {
    use Parameter as P;
    let kin: &[P] = match parameter {
        P::ResponseFormat | P::StructuredOutputs => &[P::ResponseFormat, P::StructuredOutputs],
        P::Reasoning | P::ReasoningEffort | P::IncludeReasoning => {
            &[P::Reasoning, P::ReasoningEffort, P::IncludeReasoning]
        }
        _ => &[],
    };
    lacks(endpoint, parameter) && kin.iter().all(|one| lacks(endpoint, *one))
}

/// Why a candidate stands where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Asked with the organisation's own key, before all others.
    OwnKey,
    /// The same, after all others.
    OwnKeyFallback,
    /// Drawn at random by its share.
    Drawn,
    /// The client's `order` names it, at this place.
    Ordered(u16),
    /// The client's `sort`, or the one of the service tier that was asked for.
    Sorted(Mode),
    /// By the reliability of its tool calls.
    Exacto,
    /// The order goes by what is not measured of it: after all of whom it is.
    Unmeasured(Mode),
    /// It served this conversation before.
    Sticky,
    /// Slower than the client prefers: after all who may not be.
    Slow,
    /// Of another service tier than was asked for.
    OtherTier,
    /// Tools were sent, and its tool calls are worse than its peers', or not known.
    Doubtful,
    /// This node sends the next probe.
    Probe,
    /// Tools were sent and it is not known to take them.
    WithoutTools,
    /// A form of the answer, a search or the like was asked for, and it is not known to take that.
    WithoutParameters,
    /// The prompt may be too long for it: its tokens are estimated, and near its limit.
    Tight,
    /// The fleet's ranking gives it nothing: it fails.
    Open,
    /// This node leaves it alone for a while: it fails.
    Paused,
    /// At its capacity, or this node's part of it is used up.
    Full,
}

impl Reason {
    /// False for those who are asked only when nobody else is left.
    #[must_use]
    #[inline]
    pub const fn is_ready(self) -> bool {
        !matches!(self, Self::Open | Self::Paused | Self::Full)
    }

    /// A word for logs and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnKey => "byok",
            Self::OwnKeyFallback => "byok_fallback",
            Self::Drawn => "drawn",
            Self::Ordered(_) => "order",
            Self::Sorted(Mode::Price) => "sort:price",
            Self::Sorted(Mode::Latency) => "sort:latency",
            Self::Sorted(Mode::Throughput) => "sort:throughput",
            Self::Sorted(Mode::Balanced) => "sort:balanced",
            Self::Exacto => "sort:exacto",
            Self::Sticky => "sticky",
            Self::Unmeasured(_) => "unmeasured",
            Self::Slow => "slower_than_preferred",
            Self::OtherTier => "other_tier",
            Self::Doubtful => "auto_exacto",
            Self::Probe => "probe",
            Self::WithoutTools => "without_tools",
            Self::WithoutParameters => "without_parameters",
            Self::Tight => "tight_context",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Full => "capacity",
        }
    }
}

text_enum! {
    /// Why an endpoint is no candidate; OpenRouter's word (`excluded_by`) where it has one.
    Exclude {
        /// The key may not use this model.
        AllowedModels = "allowed_models",
        /// A guardrail forbids this model.
        IgnoredModels = "ignored_models",
        /// The organisation wants only its own key at this provider, and it is not for this model.
        OwnKeyOnly = "byok_required",
        /// The key may not use this provider.
        AllowedProviders = "allowed_providers",
        /// The client's `only` doesn't name it.
        Only = "only",
        /// The client's or the key's `ignore` names it.
        Ignore = "ignore",
        /// Its service tier was not asked for, or another was that has no fallback.
        ServiceTier = "service_tier",
        /// An operator has taken it out of service.
        Disabled = "disabled",
        /// No credential that could be used.
        NotServed = "not_served",
        /// It trains on prompts.
        Training = "data_policy:training",
        /// It is free and may publish prompts.
        Publication = "data_policy:publication",
        /// It keeps prompts.
        Zdr = "data_policy:zdr",
        /// The model's author is not known to permit training on its text.
        Distillable = "enforce_distillable_text",
        /// Not known to serve in the region that was asked for.
        DataRegion = "data_region",
        /// Another precision.
        Quantization = "quantization",
        /// Too dear.
        MaxPrice = "max_price",
        /// The prompt, or prompt and answer, don't fit.
        ContextLength = "context_length",
        /// The longest answer asked for is longer than its longest.
        MaxTokens = "max_tokens",
        /// The model doesn't take such content.
        Modality = "modality",
        /// Tools were sent, and no endpoint of the model takes them.
        Tools = "tools",
        /// A parameter that was sent is not supported.
        RequireParameters = "require_parameters",
        /// Not the first choice, and the client allows no other.
        NoFallbacks = "allow_fallbacks",
        /// What can be paid does not carry it even at its least.
        Credits = "credits",
    }
}

/// An endpoint that is no candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Which.
    pub endpoint: EndpointId,
    /// Why: the first reason that was found.
    pub why: Exclude,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None of the models is in the catalogue.
    ModelNotFound {
        /// As the client wrote it.
        model: String,
        /// What it may have meant, nearest first.
        nearest: Vec<String>,
    },
    /// The models give something else than what is asked for.
    WrongOutput {
        /// The first of them.
        model: ModelId,
        /// What it gives.
        gives: Vec<Modality>,
    },
    /// There are models, but every endpoint is excluded.
    NoEndpoints {
        /// Why.
        excluded: Vec<Exclusion>,
    },
}
