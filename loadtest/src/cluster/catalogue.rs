//! Writes a catalogue for tests in the contract's format. Independent of the parser that will
//! read it; shaped for many providers of few models.

use super::ClusterError;
use crate::provider::Dialect;
use shared::catalog::Parameter;
use std::path::Path;
use toml::{Table, Value};

/// One provider row.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    /// Its slug.
    pub slug: String,
    /// Its wire format, as the catalogue writes it.
    pub dialect: String,
    /// With `/v1`.
    pub base_url: String,
    /// The variable that holds its key; none: `auth = "none"`.
    pub api_key_env: Option<String>,
    /// Milliseconds for TCP and TLS.
    pub connect_ms: u64,
    /// Milliseconds to the first token.
    pub first_token_ms: u64,
    /// Milliseconds between two events.
    pub stall_ms: u64,
    /// Milliseconds for everything.
    pub total_ms: u64,
    /// Named deviations.
    pub quirks: Vec<String>,
    /// It trains on prompts.
    pub training: bool,
    /// How long it keeps them.
    pub retention_days: u64,
}

/// One model row.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// `author/slug`.
    pub id: String,
    /// Tokens.
    pub context_length: u64,
    /// What it gives: `text`, `embeddings`, `rerank`.
    pub gives: String,
}

/// One endpoint row.
#[derive(Clone, Debug)]
pub struct EndpointSpec {
    /// Its model.
    pub model: String,
    /// Its provider's slug.
    pub provider: String,
    /// Its tag; none is the provider's slug.
    pub tag: Option<String>,
    /// The model's name at the provider.
    pub provider_model: String,
    /// USD per prompt token.
    pub prompt: String,
    /// USD per completion token.
    pub completion: String,
    /// USD per cached prompt token.
    pub cache_read: Option<String>,
    /// Most completion tokens.
    pub max_completion_tokens: u64,
    /// Named deviations, beside its provider's.
    pub quirks: Vec<String>,
}

/// A catalogue that is being put together.
#[derive(Clone, Debug, Default)]
pub struct CatalogSpec {
    /// Provider rows.
    pub providers: Vec<ProviderSpec>,
    /// Model rows.
    pub models: Vec<ModelSpec>,
    /// Endpoint rows.
    pub endpoints: Vec<EndpointSpec>,
    /// Rows of `godwit/auto`: task, cost tier, models.
    pub auto: Vec<(String, String, Vec<String>)>,
}

impl CatalogSpec {
    /// Adds a row of `godwit/auto`; the first must be of the task `default`.
    #[must_use]
    pub fn auto(mut self, task: &str, tier: &str, models: &[&str]) -> Self {
        let models = models.iter().map(|id| (*id).to_owned()).collect();
        self.auto.push((task.to_owned(), tier.to_owned(), models));
        self
    }

    /// Adds a provider with patience fit for tests.
    #[must_use]
    pub fn provider(self, slug: &str, dialect: Dialect, base_url: &str) -> Self {
        self.provider_with(slug, dialect, base_url, |_| {})
    }

    /// Adds a provider and lets `change` adjust its row.
    #[must_use]
    pub fn provider_with(
        self,
        slug: &str,
        dialect: Dialect,
        base_url: &str,
        change: impl FnOnce(&mut ProviderSpec),
    ) -> Self {
        self.provider_of(slug, dialect.as_str(), base_url, change)
    }

    /// Adds a provider of any of the catalogue's dialects.
    #[must_use]
    pub fn provider_of(
        mut self,
        slug: &str,
        dialect: &str,
        base_url: &str,
        change: impl FnOnce(&mut ProviderSpec),
    ) -> Self {
        let mut provider = ProviderSpec {
            slug: slug.to_owned(),
            dialect: dialect.to_owned(),
            base_url: base_url.to_owned(),
            api_key_env: None,
            connect_ms: 500,
            first_token_ms: 1_000,
            stall_ms: 1_000,
            total_ms: 60_000,
            quirks: Vec::new(),
            training: false,
            retention_days: 0,
        };
        change(&mut provider);
        self.providers.push(provider);
        self
    }

    /// Adds a model with an endpoint at each of these providers, all at the same price.
    #[must_use]
    pub fn model(self, id: &str, providers: &[&str]) -> Self {
        self.model_giving("text", id, providers)
    }

    /// As [`CatalogSpec::model`], for a model that gives something else than text.
    #[must_use]
    pub fn model_giving(mut self, gives: &str, id: &str, providers: &[&str]) -> Self {
        self.models.push(ModelSpec {
            id: id.to_owned(),
            gives: gives.to_owned(),
            // The largest body that is taken must fit.
            context_length: 16_000_000,
        });
        for provider in providers {
            self.endpoints.push(EndpointSpec {
                model: id.to_owned(),
                provider: (*provider).to_owned(),
                tag: None,
                provider_model: id.rsplit('/').next().unwrap_or(id).to_owned(),
                prompt: "0.0000005".to_owned(),
                completion: "0.0000015".to_owned(),
                cache_read: Some("0.00000005".to_owned()),
                max_completion_tokens: 32_768,
                quirks: Vec::new(),
            });
        }
        self
    }

    /// Writes the folder's only file.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, folder: &Path) -> Result<(), ClusterError> {
        let named = || ClusterError::system(format!("{}", folder.display()));
        std::fs::create_dir_all(folder).map_err(named())?;
        std::fs::write(folder.join("catalog.toml"), self.to_toml()).map_err(named())
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut root = Table::new();
        let rows = |rows: Vec<Table>| Value::Array(rows.into_iter().map(Value::Table).collect());
        let providers = self.providers.iter().map(provider_row).collect();
        root.insert("providers".into(), rows(providers));
        root.insert(
            "models".into(),
            rows(self.models.iter().map(model_row).collect()),
        );
        let endpoints = self.endpoints.iter().map(endpoint_row).collect();
        root.insert("endpoints".into(), rows(endpoints));
        if !self.auto.is_empty() {
            root.insert("auto".into(), rows(auto_rows(&self.auto)));
        }
        root.to_string()
    }
}

/// One table for each task.
fn auto_rows(rows: &[(String, String, Vec<String>)]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (task, tier, models) in rows {
        let models = Value::Array(models.iter().map(|id| text(id)).collect());
        let of_task = |table: &&mut Table| table.get("task") == Some(&text(task));
        if let Some(table) = tables.iter_mut().find(of_task) {
            table.insert(tier.clone(), models);
            continue;
        }
        let mut table = Table::new();
        table.insert("task".into(), text(task));
        if task == "default" {
            table.insert("classifier".into(), Value::Integer(1));
        }
        table.insert(tier.clone(), models);
        tables.push(table);
    }
    tables
}

fn provider_row(provider: &ProviderSpec) -> Table {
    let mut row = Table::new();
    row.insert("slug".into(), text(&provider.slug));
    row.insert("name".into(), text(&provider.slug));
    row.insert("dialect".into(), text(&provider.dialect));
    row.insert("base_url".into(), text(&provider.base_url));
    match &provider.api_key_env {
        Some(variable) => row.insert("api_key_env".into(), text(variable)),
        None => row.insert("auth".into(), text("none")),
    };
    let mut timeouts = Table::new();
    for (name, ms) in [
        ("connect_ms", provider.connect_ms),
        ("first_token_ms", provider.first_token_ms),
        ("stall_ms", provider.stall_ms),
        ("total_ms", provider.total_ms),
    ] {
        timeouts.insert(name.into(), number(ms));
    }
    row.insert("timeouts".into(), Value::Table(timeouts));
    let quirks = provider.quirks.iter().map(|quirk| text(quirk)).collect();
    row.insert("quirks".into(), Value::Array(quirks));
    let mut policy = Table::new();
    policy.insert("training".into(), Value::Boolean(provider.training));
    policy.insert("retention_days".into(), number(provider.retention_days));
    row.insert("data_policy".into(), Value::Table(policy));
    row
}

fn model_row(model: &ModelSpec) -> Table {
    let mut row = Table::new();
    row.insert("id".into(), text(&model.id));
    row.insert("name".into(), text(&model.id));
    row.insert("created".into(), Value::Integer(1_733_506_137));
    row.insert("context_length".into(), number(model.context_length));
    let input = ["text", "image", "file", "audio"].map(text).to_vec();
    row.insert("input_modalities".into(), Value::Array(input));
    let output = vec![text(&model.gives)];
    row.insert("output_modalities".into(), Value::Array(output));
    row
}

fn endpoint_row(endpoint: &EndpointSpec) -> Table {
    let mut row = Table::new();
    row.insert("model".into(), text(&endpoint.model));
    row.insert("provider".into(), text(&endpoint.provider));
    let tag = endpoint.tag.as_ref().unwrap_or(&endpoint.provider);
    row.insert("tag".into(), text(tag));
    row.insert("provider_model".into(), text(&endpoint.provider_model));
    row.insert(
        "max_completion_tokens".into(),
        number(endpoint.max_completion_tokens),
    );
    let parameters = Parameter::ALL.iter().map(|it| text(it.as_str())).collect();
    row.insert("supported_parameters".into(), Value::Array(parameters));
    let quirks = endpoint.quirks.iter().map(|quirk| text(quirk)).collect();
    row.insert("quirks".into(), Value::Array(quirks));
    let mut pricing = Table::new();
    pricing.insert("prompt".into(), text(&endpoint.prompt));
    pricing.insert("completion".into(), text(&endpoint.completion));
    if let Some(price) = &endpoint.cache_read {
        pricing.insert("input_cache_read".into(), text(price));
    }
    row.insert("pricing".into(), Value::Table(pricing));
    row
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
