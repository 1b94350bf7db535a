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
use shared::money::Amount;
use shared::record::Tried;

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
    origin: String,
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
    web_search_engine: Option<&'static str>,
    total_cost: Usd,
    usage: Usd,
    upstream_inference_cost: Option<Usd>,
    cache_discount: Option<Usd>,
    is_byok: bool,
    service_tier: Option<String>,
    response_cache_source_id: Option<String>,
    provider_responses: Vec<Response>,
    /// Godwit's own: what content filters found and let pass, `flag:NAME` or `redact:NAME`.
    guardrail_flags: Vec<String>,
    /// Godwit's own: what the application calls itself (`X-Title`).
    app_title: Option<String>,
}

/// One attempt, those that failed or were called off included, in the order in which they were begun.
/// OpenRouter's own SDKs take all but the status as given or left out, never as null.
#[derive(Serialize)]
struct Response {
    /// The provider's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    endpoint_id: String,
    provider_name: String,
    model_permaslug: String,
    is_byok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<u64>,
    /// Null when nobody waited for the answer.
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routed_service_tier: Option<String>,
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
    let provider_responses = responses(rest, &found);
    let asked = found.particulars;
    Told {
        // A request makes one generation.
        request_id: Some(id.clone()),
        id,
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
        session_id: given(asked.session),
        external_user: given(asked.user),
        app_id: None,
        origin: origin(&asked.referer).to_owned(),
        http_referer: given(asked.referer),
        user_agent: given(asked.agent),
        app_title: given(asked.title),
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
        num_media_prompt: some(asked.media),
        num_media_completion: some(usage.images),
        num_input_audio_prompt: some(asked.sounds),
        num_search_results: some(usage.web_searches),
        num_fetches: some(usage.fetches),
        // Searches are the providers' own.
        web_search_engine: (usage.web_searches > 0).then_some("native"),
        // All that left the balance; limits and `/activity` count it without the fee.
        total_cost: Usd(found.cost + found.fee),
        usage: Usd(found.cost),
        upstream_inference_cost: found.own_key.map(Usd),
        cache_discount: (asked.cache_discount != Amount::ZERO).then_some(Usd(asked.cache_discount)),
        is_byok: found.own_key.is_some(),
        guardrail_flags: found.flags,
        service_tier: given(asked.tier),
        response_cache_source_id: None,
        provider_responses,
    }
}

fn responses(rest: &Rest, found: &Generation) -> Vec<Response> {
    let told = &found.particulars;
    // The last of the endpoint that served is the one that did.
    let served = told
        .tried
        .iter()
        .rposition(|tried| tried.endpoint.as_str() == found.endpoint);
    let response = |(place, tried): (usize, &Tried)| {
        let of_served = |text: &String| {
            let serves = Some(place) == served && !text.is_empty();
            serves.then(|| text.clone())
        };
        let model = tried.endpoint.as_str().split_once('@');
        Response {
            id: of_served(&found.upstream_id),
            endpoint_id: tried.endpoint.to_string(),
            provider_name: provider_name(rest, tried.provider.to_string()),
            model_permaslug: model.map_or("", |(model, _)| model).to_owned(),
            is_byok: tried.own_key,
            latency: (tried.status > 0).then_some(tried.latency_ms),
            status: (tried.status > 0).then_some(tried.status),
            routed_service_tier: of_served(&told.tier),
        }
    };
    told.tried.iter().enumerate().map(response).collect()
}

/// Scheme and host of a page; empty when it is not known.
fn origin(page: &str) -> &str {
    let host = page.find("://").map_or(0, |at| at + 3);
    let end = page.get(host..).and_then(|rest| rest.find('/'));
    end.map_or(page, |end| page.get(..host + end).unwrap_or_default())
}
