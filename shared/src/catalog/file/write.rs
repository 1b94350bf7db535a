//! A catalogue as TOML texts: `providers.toml`, `models.toml`, `auto.toml` and one
//! `endpoints-SLUG.toml` per provider. Members that have their default are left out; the order is the catalogue's, so that
//! equal catalogues give equal bytes.

use crate::catalog::auto::{AutoTable, DEFAULT_TASK};
use crate::catalog::{
    Catalog, DataPolicy, Endpoint, Limits, Modality, Model, PriceOverride, Pricing, Provider,
    Quantization, Timeouts, Written,
};
use crate::money::Price;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

/// The catalogue's files by name; [`parse`](super::parse) gives the same catalogue back.
#[must_use]
pub fn to_toml(catalog: &Catalog) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut append = |file: String, record: String| {
        let text: &mut String = files.entry(file).or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&record);
    };
    for provider in &catalog.providers {
        append("providers.toml".to_owned(), self::provider(provider));
    }
    for model in &catalog.models {
        append("models.toml".to_owned(), self::model(model));
    }
    let contexts: BTreeMap<_, _> = catalog
        .models
        .iter()
        .map(|model| (&model.id, model.context_length))
        .collect();
    for endpoint in &catalog.endpoints {
        let file = format!("endpoints-{}.toml", endpoint.provider);
        let usual = contexts.get(&endpoint.model).copied();
        append(file, self::endpoint(endpoint, usual));
    }
    if let Some(table) = &catalog.auto {
        files.insert("auto.toml".to_owned(), auto(table));
    }
    files
}

fn auto(table: &AutoTable) -> String {
    let mut text = String::new();
    for rows in table.rows.chunk_by(|a, b| a.task == b.task) {
        let mut record = Record::new("[[auto]]");
        for (at, row) in rows.iter().enumerate() {
            if at == 0 {
                record.text("task", &row.task);
                if row.task == DEFAULT_TASK {
                    record.number("classifier", Some(u64::from(table.classifier)));
                }
            }
            let models: Vec<_> = row.models.iter().map(ToString::to_string).collect();
            record.texts(row.tier.as_str(), &models);
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&record.text);
    }
    text
}

fn provider(provider: &Provider) -> String {
    let mut record = Record::new("[[providers]]");
    record.text("slug", provider.slug.as_str());
    record.text("name", &provider.name);
    record.text("dialect", provider.dialect.as_str());
    record.text("base_url", &provider.base_url);
    if provider.auth != provider.dialect.default_auth() {
        record.text("auth", provider.auth.as_str());
    }
    record.optional("api_key_env", provider.api_key_env.as_deref());
    record.texts("regions", &provider.regions);
    if provider.data_policy != DataPolicy::default() {
        record.table("data_policy", &data_policy(provider.data_policy));
    }
    record.written("quirks", &provider.quirks);
    record.table("timeouts", &timeouts(&provider.timeouts));
    record.table("limits", &limits(provider.limits));
    record.optional("privacy_policy_url", provider.privacy_policy_url.as_deref());
    record.optional(
        "terms_of_service_url",
        provider.terms_of_service_url.as_deref(),
    );
    record.optional("status_page_url", provider.status_page_url.as_deref());
    record.optional("headquarters", provider.headquarters.as_deref());
    record.texts("datacenters", &provider.datacenters);
    record.text
}

fn data_policy(policy: DataPolicy) -> Members {
    let mut members = Members::default();
    members.add("training", policy.training);
    members.some("retention_days", policy.retention_days);
    members
}

fn timeouts(timeouts: &Timeouts) -> Members {
    let usual = Timeouts::default();
    let mut members = Members::default();
    let mut add = |key, value: Duration, usual: Duration| {
        members.some(key, (value != usual).then_some(value.as_millis()));
    };
    add("connect_ms", timeouts.connect, usual.connect);
    add("first_token_ms", timeouts.first_token, usual.first_token);
    add("stall_ms", timeouts.stall, usual.stall);
    add("total_ms", timeouts.total, usual.total);
    members
}

fn limits(limits: Limits) -> Members {
    let mut members = Members::default();
    members.some("requests_per_minute", limits.requests_per_minute);
    members.some("tokens_per_minute", limits.tokens_per_minute);
    members.some("concurrent", limits.concurrent);
    members
}

fn model(model: &Model) -> String {
    let text_only = [Modality::Text];
    let mut record = Record::new("[[models]]");
    record.text("id", model.id.as_str());
    record.text("name", &model.name);
    record.number("created", Some(model.created).filter(|at| *at > 0));
    record.number("context_length", Some(model.context_length));
    if model.input_modalities != text_only {
        record.written("input_modalities", &model.input_modalities);
    }
    if model.output_modalities != text_only {
        record.written("output_modalities", &model.output_modalities);
    }
    record.text("tokenizer", &model.tokenizer);
    record.optional("canonical_slug", model.canonical_slug.as_deref());
    record.optional("description", model.description.as_deref());
    record.optional("hugging_face_id", model.hugging_face_id.as_deref());
    record.optional("instruct_type", model.instruct_type.as_deref());
    record.optional("knowledge_cutoff", model.knowledge_cutoff.as_deref());
    record.optional("expiration_date", model.expiration_date.as_deref());
    record.flag("distillable", model.distillable);
    record.text
}

fn endpoint(endpoint: &Endpoint, usual_context: Option<u64>) -> String {
    let mut record = Record::new("[[endpoints]]");
    record.text("model", endpoint.model.as_str());
    record.text("provider", endpoint.provider.as_str());
    if endpoint.tag != endpoint.provider.as_str() {
        record.text("tag", &endpoint.tag);
    }
    record.text("provider_model", &endpoint.provider_model);
    let context = Some(endpoint.context_length).filter(|length| Some(*length) != usual_context);
    record.number("context_length", context);
    record.number("max_completion_tokens", endpoint.max_completion_tokens);
    record.number("max_prompt_tokens", endpoint.max_prompt_tokens);
    if endpoint.quantization != Quantization::Unknown {
        record.text("quantization", endpoint.quantization.as_str());
    }
    record.written("supported_parameters", &endpoint.supported_parameters);
    record.written("quirks", &endpoint.quirks);
    record.written("efforts", &endpoint.efforts);
    record.table("pricing", &pricing(&endpoint.pricing));
    record.text
}

fn pricing(pricing: &Pricing) -> Members {
    let mut members = Members::default();
    members.price("prompt", Some(pricing.prompt));
    members.price("completion", Some(pricing.completion));
    members.price("request", pricing.request);
    members.price("image", pricing.image);
    members.price("image_token", pricing.image_token);
    members.price("image_output", pricing.image_output);
    members.price("audio", pricing.audio);
    members.price("audio_output", pricing.audio_output);
    members.price("input_audio_cache", pricing.input_audio_cache);
    members.price("web_search", pricing.web_search);
    members.price("maps", pricing.maps);
    members.price("citation", pricing.citation);
    members.price("internal_reasoning", pricing.internal_reasoning);
    members.price("input_cache_read", pricing.input_cache_read);
    members.price("input_cache_write", pricing.input_cache_write);
    members.price("input_cache_write_1h", pricing.input_cache_write_1h);
    if !pricing.overrides.is_empty() {
        let rules: Vec<_> = pricing.overrides.iter().map(price_override).collect();
        members.add("overrides", format_args!("[{}]", rules.join(", ")));
    }
    members
}

fn price_override(rule: &PriceOverride) -> String {
    let mut members = Members::default();
    members.add("min_prompt_tokens", rule.min_prompt_tokens);
    members.price("prompt", rule.prompt);
    members.price("completion", rule.completion);
    members.price("internal_reasoning", rule.internal_reasoning);
    members.price("input_cache_read", rule.input_cache_read);
    members.price("input_cache_write", rule.input_cache_write);
    members.price("input_cache_write_1h", rule.input_cache_write_1h);
    members.to_string()
}

/// One `[[table]]`, a key per line.
struct Record {
    text: String,
}

impl Record {
    fn new(header: &str) -> Self {
        Self {
            text: format!("{header}\n"),
        }
    }

    fn line(&mut self, key: &str, value: impl Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.line(key, quoted(text));
    }

    fn optional(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.line(key, true);
        }
    }

    fn number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.line(key, number);
        }
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        if !texts.is_empty() {
            let quoted: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
            self.line(key, format_args!("[{}]", quoted.join(", ")));
        }
    }

    fn written<T: Written>(&mut self, key: &str, values: &[T]) {
        let texts: Vec<_> = values.iter().map(|value| value.text().to_owned()).collect();
        self.texts(key, &texts);
    }

    fn table(&mut self, key: &str, members: &Members) {
        if !members.0.is_empty() {
            self.line(key, members);
        }
    }
}

/// An inline table.
#[derive(Default)]
struct Members(String);

impl Members {
    fn add(&mut self, key: &str, value: impl Display) {
        let separator = if self.0.is_empty() { "" } else { ", " };
        // Writing to a String does not fail.
        let _ = write!(self.0, "{separator}{key} = {value}");
    }

    fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    fn price(&mut self, key: &str, price: Option<Price>) {
        self.some(key, price.map(|price| quoted(&price.to_string())));
    }
}

impl Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{ {} }}", self.0)
    }
}

/// A TOML string with its quotes.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
