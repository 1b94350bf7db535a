//! Which path means what. Pure. Paths of OpenRouter's API that come later are known by name, so
//! that their answer says so instead of "not found".

use crate::ingress::{Api, Surface};
use http::Method;

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// An inference API.
    Infer(Api, Surface),
    /// How many tokens a Messages request has.
    CountTokens(Surface),
    /// All models.
    Models(Surface),
    /// How many models there are.
    ModelCount,
    /// One model.
    Model(Surface, String),
    /// A model's endpoints.
    Endpoints(String),
    /// All providers.
    Providers,
    /// Keys, credits and the rest of an account: the control plane answers.
    Manage,
    /// A documented route that is not built yet.
    Later(&'static str),
    /// The path exists, the method does not; what is allowed.
    Method(&'static str),
    /// No such path.
    Unknown,
}

impl Route {
    /// The metric label.
    #[must_use]
    pub const fn api(&self) -> &'static str {
        match self {
            Self::Infer(api, _) => api.as_str(),
            Self::CountTokens(_) => "count_tokens",
            Self::Models(_) | Self::ModelCount | Self::Model(..) => "models",
            Self::Endpoints(_) => "endpoints",
            Self::Providers => "providers",
            Self::Manage => "manage",
            Self::Later(_) | Self::Method(_) | Self::Unknown => "other",
        }
    }
}

/// Routes whose whole family comes with later issues: first path segment and what it is.
const LATER: &[(&str, &str)] = &[
    ("images", "image generation"),
    ("videos", "video generation"),
    ("audio", "audio"),
    ("batches", "batches"),
    ("auth", "log-in of other programs"),
    ("analytics", "analytics"),
    ("presets", "presets"),
];

/// First path segments of what the control plane answers.
const MANAGED: [&str; 9] = [
    "key",
    "keys",
    "credits",
    "activity",
    "generation",
    "guardrails",
    "byok",
    "workspaces",
    "organization",
];

/// The route of a request line.
#[must_use]
pub fn of(method: &Method, path: &str) -> Route {
    let (surface, rest) = if let Some(rest) = path.strip_prefix("/api/v1/") {
        (Surface::OpenRouter, rest)
    } else if let Some(rest) = path.strip_prefix("/v1/") {
        (Surface::OpenAi, rest)
    } else {
        return Route::Unknown;
    };
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let get = |route: Route| {
        if *method == Method::GET {
            return route;
        }
        Route::Method("GET")
    };
    match segments.as_slice() {
        ["chat", "completions"] if method == Method::POST => Route::Infer(Api::Chat, surface),
        ["completions"] if method == Method::POST => Route::Infer(Api::Completions, surface),
        ["embeddings"] if method == Method::POST => Route::Infer(Api::Embeddings, surface),
        ["rerank"] if method == Method::POST => Route::Infer(Api::Rerank, surface),
        ["messages"] if method == Method::POST => Route::Infer(Api::Messages, surface),
        ["messages", "count_tokens"] if method == Method::POST => Route::CountTokens(surface),
        ["responses"] if method == Method::POST => Route::Infer(Api::Responses, surface),
        ["chat", "completions"]
        | ["completions" | "embeddings" | "messages" | "rerank" | "responses"]
        | ["messages", "count_tokens"] => Route::Method("POST"),
        ["models"] => get(Route::Models(surface)),
        ["models", "count"] => get(Route::ModelCount),
        ["models", author, slug, "endpoints"] => get(Route::Endpoints(format!("{author}/{slug}"))),
        ["model" | "models", author, slug] => {
            get(Route::Model(surface, format!("{author}/{slug}")))
        }
        ["providers"] => get(Route::Providers),
        ["auth", "key"] => Route::Manage,
        [first, ..] if MANAGED.contains(first) => Route::Manage,
        [first, ..] => LATER
            .iter()
            .find(|(segment, _)| segment == first)
            .map_or(Route::Unknown, |(_, what)| Route::Later(what)),
        [] => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_the_contract_says() {
        let post = |path| of(&Method::POST, path);
        let get = |path| of(&Method::GET, path);
        let chat = |surface| Route::Infer(Api::Chat, surface);
        assert_eq!(post("/api/v1/chat/completions"), chat(Surface::OpenRouter));
        assert_eq!(post("/v1/chat/completions/"), chat(Surface::OpenAi));
        assert_eq!(get("/v1/chat/completions"), Route::Method("POST"));
        let messages = Route::Infer(Api::Messages, Surface::OpenRouter);
        assert_eq!(post("/api/v1/messages"), messages);
        assert_eq!(
            post("/v1/messages/count_tokens"),
            Route::CountTokens(Surface::OpenAi)
        );
        assert_eq!(get("/v1/messages"), Route::Method("POST"));
        assert_eq!(get("/api/v1/models"), Route::Models(Surface::OpenRouter));
        assert_eq!(
            get("/api/v1/models/meta-llama/llama-3.3-70b-instruct/endpoints"),
            Route::Endpoints("meta-llama/llama-3.3-70b-instruct".into())
        );
        assert_eq!(get("/api/v1/providers"), Route::Providers);
        let responses = Route::Infer(Api::Responses, Surface::OpenAi);
        assert_eq!(post("/v1/responses"), responses);
        assert_eq!(get("/api/v1/responses"), Route::Method("POST"));
        assert!(matches!(post("/v1/images"), Route::Later(_)));
        for managed in [
            "/api/v1/key",
            "/v1/auth/key",
            "/api/v1/keys/00",
            "/v1/credits/",
        ] {
            assert_eq!(get(managed), Route::Manage, "{managed}");
            assert_eq!(post(managed), Route::Manage, "{managed}");
        }
        assert!(matches!(post("/v1/auth/keys"), Route::Later(_)));
        for unknown in [
            "/",
            "/api/v2/models",
            "/v1",
            "/v1/",
            "/v1/nothing",
            "//v1/models",
        ] {
            assert_eq!(get(unknown), Route::Unknown, "{unknown}");
        }
    }
}
