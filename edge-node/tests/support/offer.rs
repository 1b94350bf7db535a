//! One provider of any dialect and one endpoint of it, for everything that plays answers through
//! the dialects: unit tests, golden tests, benchmarks and fuzz targets include this file.

use shared::catalog::{
    Auth, DataPolicy, Dialect, Endpoint, Limits, Pricing, Provider, Quantization, Timeouts,
};
use shared::id::{EndpointId, ModelId};

/// Who answers; nothing listens there.
pub(crate) fn provider(dialect: Dialect) -> Provider {
    Provider {
        slug: "acme".into(),
        name: "Acme AI".to_owned(),
        dialect,
        base_url: "http://127.0.0.1:1/v1".to_owned(),
        auth: Auth::Bearer,
        api_key_env: None,
        regions: Vec::new(),
        data_policy: DataPolicy::default(),
        quirks: Vec::new(),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
        privacy_policy_url: None,
        terms_of_service_url: None,
        status_page_url: None,
        headquarters: None,
        datacenters: Vec::new(),
    }
}

/// What it offers: this model under another name, at 1 and 2 USD for a million tokens.
pub(crate) fn endpoint(model: &str, theirs: &str) -> Endpoint {
    let model = ModelId::from(model);
    Endpoint {
        id: EndpointId::of(&model, "acme"),
        model,
        provider: "acme".into(),
        tag: "acme".to_owned(),
        provider_model: theirs.to_owned(),
        context_length: 100_000,
        max_completion_tokens: None,
        max_prompt_tokens: None,
        quantization: Quantization::Unknown,
        supported_parameters: Vec::new(),
        quirks: Vec::new(),
        efforts: Vec::new(),
        pricing: Pricing {
            prompt: "0.000001".parse().unwrap_or_default(),
            completion: "0.000002".parse().unwrap_or_default(),
            ..Pricing::default()
        },
    }
}
