//! Simulated providers for all models that give text or vectors, so that the first request works
//! without credentials and without a route to any provider. They say `simulated` in every answer,
//! and exist only in this program.

use loadtest::provider::{Config, Dialect, Provider, Running};
use shared::catalog::{self, Catalog, DataPolicy, Endpoint, Modality, Pricing};
use shared::id::{ModelId, ProviderSlug};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name in every simulated answer's `provider`.
pub(crate) const NAME: &str = "simulated";

/// The simulated providers of this process.
pub(crate) struct Simulation {
    /// Where the overlaid catalogue is.
    pub(crate) catalog: PathBuf,
    /// One model that is simulated, for the first request.
    pub(crate) example: ModelId,
    providers: Vec<Running>,
}

impl Simulation {
    /// Starts two providers, one of each dialect, and writes a catalogue in which the models are
    /// theirs to `folder`.
    ///
    /// # Errors
    /// No port or no disk.
    pub(crate) async fn start(real: &Catalog, folder: &Path) -> io::Result<Self> {
        let mut providers = Vec::new();
        for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            providers.push(Provider::start(configuration(dialect)).await?);
        }
        let urls: Vec<String> = providers.iter().map(Running::base_url).collect();
        let (overlaid, example) = overlay(real, &urls);
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        for (name, text) in catalog::file::to_toml(&overlaid) {
            std::fs::write(folder.join(name), text)?;
        }
        Ok(Self {
            catalog: folder.to_owned(),
            example,
            providers,
        })
    }

    /// Stops the providers.
    pub(crate) async fn stop(self) {
        for provider in &self.providers {
            provider.stop().await;
        }
    }
}

fn configuration(dialect: Dialect) -> Config {
    Config {
        dialect: Some(dialect),
        ttft: Duration::from_millis(120),
        tokens_per_second: 80.0,
        ..Config::default()
    }
}

/// The catalogue with its models moved to the simulated providers at `urls` (first openai-chat, then
/// anthropic-messages), at the price of their cheapest real endpoint; and the model that most
/// providers serve.
fn overlay(real: &Catalog, urls: &[String]) -> (Catalog, ModelId) {
    let mut served: BTreeMap<&ModelId, Vec<&Arc<Endpoint>>> = BTreeMap::new();
    for endpoint in &real.endpoints {
        served.entry(&endpoint.model).or_default().push(endpoint);
    }
    let models: Vec<_> = real.models.iter().filter(|it| gives_text(it)).collect();
    let vectors: Vec<_> = real.models.iter().filter(|it| gives_vectors(it)).collect();
    let example = models.iter().max_by_key(|model| {
        let count = served.get(&model.id).map_or(0, Vec::len);
        (count, std::cmp::Reverse(&model.id))
    });
    let example = example.map_or_else(|| ModelId::from(""), |model| model.id.clone());
    let mut overlaid = real.clone();
    let simulated: HashSet<_> = models.iter().chain(&vectors).map(|it| &it.id).collect();
    overlaid
        .endpoints
        .retain(|endpoint| !simulated.contains(&endpoint.model));
    let dialects = [
        catalog::Dialect::OpenaiChat,
        catalog::Dialect::AnthropicMessages,
    ];
    for ((url, dialect), slug) in urls
        .iter()
        .zip(dialects)
        .zip(["simulated", "simulated-messages"])
    {
        overlaid
            .providers
            .push(Arc::new(provider(slug, url, dialect)));
        let is_chat = dialect == catalog::Dialect::OpenaiChat;
        let vectors = vectors.iter().filter(|_| is_chat);
        for model in models.iter().chain(vectors) {
            let real = served.get(&model.id).map_or(&[][..], Vec::as_slice);
            overlaid
                .endpoints
                .push(Arc::new(endpoint(model, slug, real)));
        }
    }
    overlaid
        .endpoints
        .sort_by(|a, b| (&a.model, &a.tag).cmp(&(&b.model, &b.tag)));
    overlaid.providers.sort_by(|a, b| a.slug.cmp(&b.slug));
    (overlaid, example)
}

/// Not those that give pictures or sound: the simulated answer is text.
fn gives_text(model: &catalog::Model) -> bool {
    model.input_modalities.contains(&Modality::Text) && model.output_modalities == [Modality::Text]
}

/// Embeddings and rankings.
fn gives_vectors(model: &catalog::Model) -> bool {
    model.output_modalities == [Modality::Embeddings]
        || model.output_modalities == [Modality::Rerank]
}

fn provider(slug: &str, url: &str, dialect: catalog::Dialect) -> catalog::Provider {
    catalog::Provider {
        name: NAME.to_owned(),
        regions: vec!["local".to_owned()],
        data_policy: DataPolicy {
            training: false,
            retention_days: Some(0),
        },
        ..catalog::Provider::new(slug, dialect, url)
    }
}

fn endpoint(model: &catalog::Model, slug: &str, real: &[&Arc<Endpoint>]) -> Endpoint {
    let cheapest = real
        .iter()
        .min_by_key(|e| (e.pricing.completion, e.pricing.prompt));
    let pricing = cheapest.map_or_else(Pricing::default, |e| e.pricing.clone());
    let parameters = real.iter().max_by_key(|e| e.supported_parameters.len());
    Endpoint {
        // Another provider's bound may be larger than the model's own context.
        max_completion_tokens: real
            .iter()
            .filter_map(|e| e.max_completion_tokens)
            .max()
            .map(|most| most.min(model.context_length)),
        supported_parameters: parameters
            .map(|e| e.supported_parameters.clone())
            .unwrap_or_default(),
        pricing,
        ..Endpoint::new(model, &ProviderSlug::from(slug))
    }
}
