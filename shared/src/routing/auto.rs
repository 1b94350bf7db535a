//! From router models to concrete ones: `godwit/auto` by the prompt's task and the pushed table,
//! `openrouter/free` at random among what costs nothing. Pure. A request never fails because of the
//! classifier or the table: what they lack is made up for by the default rows, then by the
//! cheapest models that can do it.

mod pattern;
mod wants;

pub use wants::Nothing;

use super::filter::Offers;
use super::resolve::Wanted;
use super::{Context, Demand, View, filter};
use crate::catalog::auto::DEFAULT_TASK;
use crate::catalog::{CostTier, Parameter, Provider};
use crate::clock::Moment;
use crate::id::ModelId;
use crate::policy::Principal;
use crate::prompt::{self, Analysis, Task};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wants::{Wants, prices};

/// So many models stand in for a router: the best and what to fall back to. More would raise what
/// has to be held, since the dearest decides.
pub const CHOICES_MAX: usize = 3;
/// A task that is less probable is not believed; by chance each of the learned ones has a
/// twentieth.
pub const CONFIDENCE_MIN: f32 = 0.12;
/// Harder prompts get the tier behind, where the client names none.
const TIERS: [(f32, CostTier); 2] = [(0.3, CostTier::Low), (0.6, CostTier::Medium)];

/// A model that stands for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Router {
    /// `godwit/auto`, `openrouter/auto`.
    Auto,
    /// `godwit/free`, `openrouter/free`.
    Free,
}

impl Router {
    /// The router that a name means, and the suffixes behind it, with their colons.
    #[must_use]
    pub fn named(name: &str) -> Option<(Self, &str)> {
        let slug = name
            .strip_prefix("godwit/")
            .or_else(|| name.strip_prefix("openrouter/"))?;
        let (slug, suffix) = slug.split_at(slug.find(':').unwrap_or(slug.len()));
        match slug {
            "auto" => Some((Self::Auto, suffix)),
            "free" => Some((Self::Free, suffix)),
            _ => None,
        }
    }

    /// OpenRouter's word for its strategy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Free => "free",
        }
    }
}

/// What the client wants of `godwit/auto`: the plugin `auto-router`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// If not empty, only models that one of these fits; `*` stands for anything.
    pub allowed_models: Vec<String>,
    /// No model that one of these fits, allowed or not.
    pub excluded_models: Vec<String>,
    /// How dear; none goes by the prompt's difficulty.
    pub cost_tier: Option<CostTier>,
    /// A session keeps its model also when the task becomes another.
    pub pin_model: bool,
}

/// All that a choice is made from, besides the demand.
pub struct Ask<'a> {
    /// The catalogue and the ranking.
    pub view: &'a View,
    /// Whether a provider can be called from here at all.
    pub usable: &'a dyn Fn(&Provider) -> bool,
    /// Who asks.
    pub principal: &'a Principal,
    /// What the client wants.
    pub options: &'a Options,
    /// The model that the session's last answer came from.
    pub kept: Option<&'a ModelId>,
    /// The time.
    pub now: Moment,
    /// Decides between free models.
    pub seed: u64,
}

/// Where the models come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The session's model.
    Session,
    /// The task's row.
    Table,
    /// The default row.
    Default,
    /// What can do it at the lowest price.
    Cheapest,
    /// What costs nothing.
    Free,
}

impl Source {
    /// A word for explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Table => "table",
            Self::Default => "default",
            Self::Cheapest => "cheapest",
            Self::Free => "free",
        }
    }
}

/// What a router became.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which router.
    pub router: Router,
    /// As the client wrote it.
    pub requested: String,
    /// It is what was asked for first, and no model to fall back to.
    pub is_first: bool,
    /// What the prompt is; none when nothing could be read.
    pub analysis: Option<Analysis>,
    /// How dear.
    pub tier: CostTier,
    /// The models that stand in for it, best first; empty when the client allows none that there
    /// is.
    pub models: Vec<ModelId>,
    /// Where the first of them comes from.
    pub source: Source,
    /// Why there are none, where there are none.
    pub nothing: Option<Nothing>,
}

impl Choice {
    /// The task that was believed: the value of `x-router-task`.
    #[must_use]
    pub fn task(&self) -> &'static str {
        believed(self.analysis.as_ref()).map_or(DEFAULT_TASK, Task::as_str)
    }

    /// For people: a member of `godwit_explain`.
    #[must_use]
    pub fn explain(&self) -> Value {
        let rounded = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
        let mut told = json!({
            "router": self.router.as_str(),
            "requested": self.requested,
            "task": self.task(),
            "cost_tier": self.tier.as_str(),
            "source": self.source.as_str(),
            "models": self.models.iter().map(ModelId::as_str).collect::<Vec<_>>(),
        });
        if let (Some(object), Some(analysis)) = (told.as_object_mut(), &self.analysis) {
            let read = json!({
                "task": analysis.task.as_str(),
                "confidence": rounded(analysis.confidence),
                "difficulty": rounded(analysis.difficulty),
                "script": analysis.script.as_str(),
                "length": analysis.length.as_str(),
                "code": analysis.code,
                "maths": analysis.maths,
                "tools": analysis.tools,
                "schema": analysis.schema,
                "media": analysis.media,
                "turns": analysis.turns,
            });
            object.insert("prompt".into(), read);
        }
        told
    }
}

/// True when a model that is asked for is a router: then the prompt is worth an analysis.
#[must_use]
pub fn names_router(demand: &Demand) -> bool {
    let mut names = std::iter::once(&demand.model).chain(&demand.fallback_models);
    names.any(|name| Router::named(name).is_some())
}

/// The models among which a session's own is looked for: a router takes it again while it is one of
/// them.
#[must_use]
pub fn may_go_on_with(view: &View, demand: &Demand) -> BTreeSet<ModelId> {
    let mut all = BTreeSet::new();
    for name in std::iter::once(&demand.model).chain(&demand.fallback_models) {
        let wants = Router::named(name).and_then(|(router, suffix)| Wants::of(router, suffix));
        let Some(wants) = wants else {
            continue;
        };
        if wants.free {
            let models = view.snapshot.models().iter().map(|model| &model.id);
            all.extend(models.filter_map(|id| wants.variant_of(view, id)));
        } else if let Some(table) = view.snapshot.auto() {
            let models = table.rows.iter().flat_map(|row| &row.models);
            all.extend(models.filter_map(|id| wants.variant_of(view, id)));
        }
    }
    all
}

/// Puts concrete models in the place of routers; tells of the first. None when there is none.
pub fn expand(ask: &Ask<'_>, demand: &mut Demand, analysis: Option<Analysis>) -> Option<Choice> {
    if !names_router(demand) {
        return None;
    }
    let mut told = None;
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for name in std::iter::once(&demand.model).chain(&demand.fallback_models) {
        let Some((router, suffix)) = Router::named(name) else {
            add(name.clone());
            continue;
        };
        let (mut source, mut models) = (Source::Cheapest, Vec::new());
        let mut nothing = Some(Nothing::Variant);
        if let Some(wants) = Wants::of(router, suffix) {
            (source, models) = choose(ask, demand, (router, wants), analysis.as_ref());
            nothing = models.is_empty().then(|| wants.why_nothing(ask.view));
            for model in &models {
                add(wants.name(model));
            }
        }
        told.get_or_insert_with(|| Choice {
            router,
            requested: name.clone(),
            is_first: *name == demand.model,
            analysis,
            tier: tier(ask.options, analysis.as_ref()),
            models,
            source,
            nothing,
        });
    }
    let mut names = names.into_iter();
    // Where nothing is allowed the router's name stays.
    if let Some(first) = names.next() {
        demand.model = first;
        demand.fallback_models = names.collect();
    }
    told
}

fn believed(analysis: Option<&Analysis>) -> Option<Task> {
    analysis
        .filter(|analysis| analysis.confidence >= CONFIDENCE_MIN)
        .map(|analysis| analysis.task)
}

fn tier(options: &Options, analysis: Option<&Analysis>) -> CostTier {
    options.cost_tier.unwrap_or_else(|| {
        let difficulty = analysis.map_or(0.5, |analysis| analysis.difficulty);
        let easier = TIERS.iter().find(|(most, _)| difficulty < *most);
        easier.map_or(CostTier::High, |(_, tier)| *tier)
    })
}

/// The models for one router: those that can do all that is asked; else those that can do it but
/// for tools and schemas, which is then an endpoint's word; else those of which the plan says why
/// they can't. A variant that is asked for is looked at in a model's place, never another.
fn choose(
    ask: &Ask<'_>,
    demand: &Demand,
    (router, wants): (Router, Wants<'_>),
    analysis: Option<&Analysis>,
) -> (Source, Vec<ModelId>) {
    let ranked = match router {
        Router::Auto => ranked(ask, analysis),
        Router::Free => Vec::new(),
    };
    let variant =
        |(source, id): (Source, ModelId)| Some((source, wants.variant_of(ask.view, &id)?));
    let ranked: Vec<_> = ranked.into_iter().filter_map(variant).collect();
    let ranked = kept_first(ask, wants, ranked);
    for strict in [true, false] {
        let able =
            |id: &ModelId| wants.allow(ask.options, id) && able(ask, demand, wants, id, strict);
        let mut chosen = Vec::new();
        let mut first = Source::Cheapest;
        for (source, id) in &ranked {
            // The last resort is there for who has nothing.
            let full =
                chosen.len() >= CHOICES_MAX || (*source == Source::Cheapest && !chosen.is_empty());
            if full {
                break;
            }
            if !chosen.contains(id) && able(id) {
                if chosen.is_empty() {
                    first = *source;
                }
                chosen.push(id.clone());
            }
        }
        // A session's free model alone would have nobody to fall back to.
        if chosen.is_empty() || (wants.free && first == Source::Session) {
            let (source, rest) = by_price(ask, wants);
            if chosen.is_empty() {
                first = source;
            }
            let left = CHOICES_MAX.saturating_sub(chosen.len());
            let rest = rest.filter(|id| !chosen.contains(id) && able(id));
            let rest: Vec<_> = rest.take(left).collect();
            chosen.extend(rest);
        }
        if !chosen.is_empty() {
            return (first, chosen);
        }
    }
    let (source, rest) = by_price(ask, wants);
    let rest = rest.filter(|id| wants.allow(ask.options, id));
    (source, rest.take(CHOICES_MAX).collect())
}

/// The table's models, in the order in which they are to be looked at; with those that are used only
/// when nothing else is left marked as the cheapest.
fn ranked(ask: &Ask<'_>, analysis: Option<&Analysis>) -> Vec<(Source, ModelId)> {
    let tier = tier(ask.options, analysis);
    let mut all = Vec::new();
    let Some(table) = ask.view.snapshot.auto() else {
        return all;
    };
    let task = believed(analysis)
        .filter(|_| table.classifier == prompt::VERSION)
        .map_or(DEFAULT_TASK, Task::as_str);
    let mut add = |source, id: &ModelId| all.push((source, id.clone()));
    for id in table.models(task, tier) {
        add(Source::Table, id);
    }
    for id in table.models(DEFAULT_TASK, tier) {
        add(Source::Default, id);
    }
    let far = table.nearby(task, tier);
    for id in far.chain(table.nearby(DEFAULT_TASK, tier)) {
        add(Source::Cheapest, id);
    }
    if task == DEFAULT_TASK {
        for (source, _) in &mut all {
            if *source == Source::Table {
                *source = Source::Default;
            }
        }
    }
    all
}

/// A session's model goes first while it is among the others, or always when it is pinned.
fn kept_first(
    ask: &Ask<'_>,
    wants: Wants<'_>,
    mut all: Vec<(Source, ModelId)>,
) -> Vec<(Source, ModelId)> {
    let Some(kept) = ask.kept else {
        return all;
    };
    // What costs nothing is drawn anew for each request: all of it is among the others.
    let among = wants.free || ask.options.pin_model || all.iter().any(|(_, id)| id == kept);
    if among && wants.variant_of(ask.view, kept).as_ref() == Some(kept) {
        all.insert(0, (Source::Session, kept.clone()));
    }
    all
}

/// Can some endpoint of the model serve the request? What [`filter`] says, and when `strict` also
/// that it takes tools and schemas.
fn able(ask: &Ask<'_>, demand: &Demand, wants: Wants<'_>, id: &ModelId, strict: bool) -> bool {
    let found = ask.view.snapshot.model_with_endpoints(id.as_str());
    let Some(found) = found else {
        return false;
    };
    let wanted = Wanted::of(found, wants.routes);
    if !demand.gets(wanted.model) {
        return false;
    }
    let context = Context::new(ask.view, ask.usable, ask.principal, demand, ask.now);
    let mut offers = Offers::new();
    filter::filter(&context, &wanted, &mut offers, &mut Vec::new());
    let takes = |offer: &filter::Offer<'_>| {
        let has = |one| filter::supports(offer.endpoint, one);
        let schema = demand.parameters.contains(&Parameter::StructuredOutputs);
        (!demand.needs_tools || has(Parameter::Tools))
            && (!schema || has(Parameter::StructuredOutputs) || has(Parameter::ResponseFormat))
    };
    offers.iter().any(|offer| !strict || takes(offer))
}

/// All models that are meant: by price, what is free last, since it is rationed; or only what costs
/// nothing anywhere, in an order of the request's own.
fn by_price(ask: &Ask<'_>, wants: Wants<'_>) -> (Source, impl Iterator<Item = ModelId>) {
    let view = ask.view;
    let all = view.snapshot.models().iter();
    let all: BTreeSet<_> = all
        .filter_map(|model| wants.variant_of(view, &model.id))
        .collect();
    let cheapest = |id: &ModelId| prices(view, id).fold(f64::INFINITY, f64::min);
    let price = |id: &ModelId| {
        if wants.free {
            drawn(ask.seed, id)
        } else {
            cheapest(id)
        }
    };
    let mut models: Vec<(f64, ModelId)> = all.into_iter().map(|id| (price(&id), id)).collect();
    models.sort_by(|(a, _), (b, _)| (*a <= 0.0).cmp(&(*b <= 0.0)).then(a.total_cmp(b)));
    let source = if wants.free {
        Source::Free
    } else {
        Source::Cheapest
    };
    (source, models.into_iter().map(|(_, id)| id))
}

/// A number of a model's own for each seed.
fn drawn(seed: u64, id: &ModelId) -> f64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.as_str().bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, fold);
    #[expect(clippy::cast_precision_loss, reason = "an order is all it is for")]
    let drawn = (hash ^ (hash >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) as f64;
    drawn + 1.0
}

#[cfg(test)]
mod tests;
