//! One provider of any dialect and one endpoint of it, for everything that plays answers through
//! the dialects: unit tests, golden tests, benchmarks and fuzz targets include this file.

use shared::catalog::{Auth, Dialect, Endpoint, Model, Pricing, Provider};

/// Who answers; nothing listens there.
pub(crate) fn provider(dialect: Dialect) -> Provider {
    Provider {
        name: "Acme AI".to_owned(),
        auth: Auth::Bearer,
        ..Provider::new("acme", dialect, "http://127.0.0.1:1/v1")
    }
}

/// What it offers: this model under another name, at 1 and 2 USD for a million tokens.
pub(crate) fn endpoint(model: &str, theirs: &str) -> Endpoint {
    let price = |text: &str| text.parse().unwrap_or_default();
    Endpoint {
        provider_model: theirs.to_owned(),
        pricing: Pricing {
            prompt: price("0.000001"),
            completion: price("0.000002"),
            ..Pricing::default()
        },
        ..Endpoint::new(&Model::new(model, 100_000), &"acme".into())
    }
}
