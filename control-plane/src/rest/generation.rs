//! `GET /generation`: one request by its id. It is there once the edge's record has been applied,
//! seconds after the answer; until then it is 404.

use super::activity::provider_name;
use super::read::Query;
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, data};
use crate::ledger::activity::Generation;
use axum::extract::State;
use serde::Serialize;
use shared::date::rfc3339_ms;

/// Longest id that is looked for, in bytes.
const ID_LENGTH_MAX: usize = 200;

/// OpenRouter's members; those that are nothing here are null.
#[derive(Serialize)]
struct Told {
    id: String,
    request_id: Option<String>,
    upstream_id: Option<String>,
    model: String,
    provider_name: Option<String>,
    api_type: &'static str,
    router: Option<String>,
    preset_id: Option<String>,
    session_id: Option<String>,
    external_user: Option<String>,
    app_id: Option<u64>,
    origin: &'static str,
    http_referer: Option<String>,
    user_agent: Option<String>,
    workspace_id: Option<String>,
    data_region: &'static str,
    created_at: String,
    streamed: bool,
    cancelled: bool,
    finish_reason: Option<String>,
    native_finish_reason: Option<String>,
    latency: Option<u64>,
    moderation_latency: Option<u64>,
    generation_time: u64,
    tokens_prompt: u64,
    tokens_completion: u64,
    native_tokens_prompt: u64,
    native_tokens_completion: u64,
    native_tokens_reasoning: u64,
    native_tokens_cached: u64,
    native_tokens_completion_images: Option<u64>,
    num_media_prompt: Option<u64>,
    num_media_completion: Option<u64>,
    num_input_audio_prompt: Option<u64>,
    num_search_results: Option<u64>,
    num_fetches: Option<u64>,
    web_search_engine: Option<String>,
    total_cost: Usd,
    usage: Usd,
    upstream_inference_cost: Option<Usd>,
    cache_discount: Option<Usd>,
    is_byok: bool,
    service_tier: Option<String>,
    response_cache_source_id: Option<String>,
    provider_responses: Option<Vec<()>>,
    /// Godwit's own: what content filters found and let pass, `flag:NAME` or `redact:NAME`.
    guardrail_flags: Vec<String>,
}

/// Any key may ask about requests of its organisation.
pub(super) async fn show(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    let id = query.get("id");
    let id = id.ok_or_else(|| Refused::invalid("id: which generation is meant"))?;
    if id.len() > ID_LENGTH_MAX {
        return Err(not_there());
    }
    let found = rest.ledger.generation(caller.org(), id).await?;
    let found = found.ok_or_else(not_there)?;
    let key = match found.key.parse() {
        Ok(hash) => rest.accounts.key(hash).await?,
        Err(_) => None,
    };
    let workspace = key.map(|key| key.workspace.to_string());
    Ok(data(&told(&rest, id.to_owned(), found, workspace)))
}

fn not_there() -> Refused {
    Refused::not_found("there is no such generation, or not yet: records come within seconds")
}

fn told(rest: &Rest, id: String, found: Generation, workspace_id: Option<String>) -> Told {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let usage = &found.usage;
    let some = |count: u64| (count > 0).then_some(count);
    let router = ["godwit/", "openrouter/"]
        .iter()
        .any(|author| found.requested_model.starts_with(author));
    Told {
        id,
        request_id: None,
        upstream_id: given(found.upstream_id),
        router: router.then(|| found.requested_model.clone()),
        model: if found.model.is_empty() {
            found.requested_model
        } else {
            found.model
        },
        provider_name: given(found.provider).map(|slug| provider_name(rest, slug)),
        api_type: match found.api.as_str() {
            "embeddings" => "embeddings",
            "rerank" => "rerank",
            _ => "completions",
        },
        preset_id: None,
        session_id: None,
        external_user: None,
        app_id: None,
        origin: "",
        http_referer: None,
        user_agent: None,
        workspace_id,
        data_region: "global",
        created_at: rfc3339_ms(found.started_unix_ms),
        streamed: found.streamed,
        cancelled: found.fault == "client_gone",
        native_finish_reason: given(found.finish_reason.clone()),
        finish_reason: given(found.finish_reason),
        latency: some(found.ttft_ms),
        moderation_latency: None,
        generation_time: found.duration_ms,
        tokens_prompt: usage.prompt,
        tokens_completion: usage.completion,
        native_tokens_prompt: usage.prompt,
        native_tokens_completion: usage.completion,
        native_tokens_reasoning: usage.reasoning,
        native_tokens_cached: usage.cache_read,
        native_tokens_completion_images: some(usage.completion_image),
        num_media_prompt: None,
        num_media_completion: some(usage.images),
        num_input_audio_prompt: None,
        num_search_results: some(usage.web_searches),
        num_fetches: some(usage.fetches),
        web_search_engine: None,
        // All that left the balance; limits and `/activity` count it without the fee.
        total_cost: Usd(found.cost + found.fee),
        usage: Usd(found.cost),
        upstream_inference_cost: found.own_key.map(Usd),
        cache_discount: None,
        is_byok: found.own_key.is_some(),
        guardrail_flags: found.flags,
        service_tier: None,
        response_cache_source_id: None,
        provider_responses: None,
    }
}
