//! The scene that most black-box tests play in: one `godwit`, a provider of each dialect that can
//! misbehave, and three models: one at each provider alone, one at both.

use super::{CatalogSpec, ClusterError, ProviderSpec, Standalone, StandaloneConfig, eventually};
use crate::client::{Client, Event};
use crate::provider::{Answer, Config, Dialect, Provider, Rule, Running};
use serde_json::{Value, json};
use std::time::Duration;

/// Served by the openai-chat provider alone.
pub const ALPHA: &str = "test/alpha";
/// Served by the anthropic-messages provider alone.
pub const BETA: &str = "test/beta";
/// Served by both.
pub const BOTH: &str = "test/both";
/// The chat completions of OpenRouter's surface.
pub const CHAT: &str = "/api/v1/chat/completions";
/// The chat completions of OpenAI's surface.
pub const OPENAI_CHAT: &str = "/v1/chat/completions";

/// How long the scene's providers may be silent, milliseconds: short, so that tests are.
pub const PATIENCE_MS: u64 = 500;

/// Pico-dollars per token at every endpoint of the scene.
const PROMPT_PICO: u64 = 500_000;
const COMPLETION_PICO: u64 = 1_500_000;
const CACHED_PICO: u64 = 50_000;

/// Two providers and a `godwit`.
pub struct Scene {
    /// openai-chat, slug `alpha`.
    pub alpha: Running,
    /// anthropic-messages, slug `beta`.
    pub beta: Running,
    /// The gateway.
    pub godwit: Standalone,
}

impl Scene {
    /// Starts everything; the providers answer at once.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start() -> Result<Self, ClusterError> {
        Self::start_with(0.0, |config| config).await
    }

    /// Starts everything with a pace for the providers and further flags.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start_with(
        tokens_per_second: f64,
        change: impl FnOnce(StandaloneConfig) -> StandaloneConfig,
    ) -> Result<Self, ClusterError> {
        let alpha = provider(Dialect::OpenaiChat, tokens_per_second).await?;
        let beta = provider(Dialect::AnthropicMessages, tokens_per_second).await?;
        let config = StandaloneConfig::new(catalog(&alpha, &beta));
        let config = config.flag("keep-alive", "100ms");
        let godwit = change(config).start().await?;
        Ok(Self {
            alpha,
            beta,
            godwit,
        })
    }

    /// A client with the funded key.
    #[must_use]
    pub fn client(&self) -> Client {
        self.godwit.client()
    }

    /// Both providers.
    #[must_use]
    pub const fn providers(&self) -> [&Running; 2] {
        [&self.alpha, &self.beta]
    }

    /// Ends all misbehaviour.
    pub fn behave(&self) {
        self.alpha.set_faults(Vec::new());
        self.beta.set_faults(Vec::new());
    }

    /// Waits until neither provider has an open request; false when one stays.
    pub async fn quiet(&self, patience: Duration) -> bool {
        let open = || async {
            let open: u64 = self.providers().iter().map(|p| p.totals().open).sum();
            (open == 0).then_some(())
        };
        eventually(patience, open).await.is_some()
    }
}

/// The scene's catalogue.
#[must_use]
pub fn catalog(alpha: &Running, beta: &Running) -> CatalogSpec {
    let hasty = |row: &mut ProviderSpec| {
        row.first_token_ms = PATIENCE_MS;
        row.stall_ms = PATIENCE_MS;
    };
    CatalogSpec::default()
        .provider_with("alpha", Dialect::OpenaiChat, &alpha.base_url(), hasty)
        .provider_with("beta", Dialect::AnthropicMessages, &beta.base_url(), hasty)
        .model(ALPHA, &["alpha"])
        .model(BETA, &["beta"])
        .model(BOTH, &["alpha", "beta"])
}

/// A provider that lets the tests' control of it be the only misbehaviour.
async fn provider(dialect: Dialect, tokens_per_second: f64) -> Result<Running, ClusterError> {
    let config = Config {
        dialect: Some(dialect),
        tokens_per_second,
        ..Config::default()
    };
    let started = Provider::start(config).await;
    started.map_err(ClusterError::system("simulated provider"))
}

/// A chat body.
#[must_use]
pub fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": text},
    ]})
}

/// The same body, asking for a stream.
#[must_use]
pub fn streamed(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.insert("stream".into(), true.into());
    }
    body
}

/// The same body, to be tried at `first` before `second`.
#[must_use]
pub fn ordered(mut body: Value, first: &str, second: &str) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.insert("provider".into(), json!({"order": [first, second]}));
    }
    body
}

/// The same body with a tool that takes a city and a number of days.
#[must_use]
pub fn with_tool(mut body: Value) -> Value {
    let schema = json!({"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}}});
    let tool = json!({"type": "function", "function": {
        "name": "get_weather", "description": "The weather.", "parameters": schema}});
    if let Some(members) = body.as_object_mut() {
        members.insert("tools".into(), json!([tool]));
    }
    body
}

/// What a stream of chat completions said, and whether it ended as it should.
#[must_use]
pub fn spoken(events: &[Event]) -> (String, bool) {
    let piece = |event: &Event| {
        let chunk = event.json();
        let delta = chunk.pointer("/choices/0/delta/content")?.as_str()?;
        Some(delta.to_owned())
    };
    let done = events.last().is_some_and(|event| event.data == "[DONE]");
    (events.iter().filter_map(piece).collect(), done)
}

/// What an answer costs at the scene's prices, in pico-dollars.
#[must_use]
pub fn cost_pico(answer: &Answer) -> u64 {
    let fresh = answer.input_tokens - answer.cached_tokens;
    fresh * PROMPT_PICO
        + answer.cached_tokens * CACHED_PICO
        + answer.output_tokens() * COMPLETION_PICO
}

/// One rule for [`Running::set_faults`].
#[must_use]
pub fn fault(kind: crate::provider::Kind, after_tokens: u64) -> Vec<Rule> {
    let mut rule = Rule::new(kind);
    rule.after_tokens = after_tokens;
    vec![rule]
}
