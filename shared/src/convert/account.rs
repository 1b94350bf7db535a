//! Keys and usage records on the wire.

use super::{ConvertError, bytes, named, parsed};
use crate::id::Version;
use crate::key::KeyHash;
use crate::limit::Window;
use crate::money::Amount;
use crate::policy::{KeyKind, Principal};
use crate::proto::{discovery, ledger};
use crate::record::{Outcome, Particulars, TRIED_MAX, Tried, UsageRecord};
use crate::usage::Usage;

impl From<&Principal> for discovery::KeyRecord {
    fn from(principal: &Principal) -> Self {
        let kind = match principal.kind {
            KeyKind::Inference => "inference",
            KeyKind::Management => "management",
        };
        Self {
            key_hash: principal.key.0.to_vec(),
            org: principal.org.to_string(),
            name: principal.key_name.clone(),
            kind: kind.to_owned(),
            expires_at: principal.expires_at,
            // A policy is numbers, texts and lists: it can always be written.
            policy_json: serde_json::to_string(&principal.policy).unwrap_or_default(),
        }
    }
}

impl TryFrom<discovery::KeyRecord> for Principal {
    type Error = ConvertError;
    fn try_from(record: discovery::KeyRecord) -> Result<Self, ConvertError> {
        let kind = |text: &str| match text {
            "inference" => Some(KeyKind::Inference),
            "management" => Some(KeyKind::Management),
            _ => None,
        };
        Ok(Self {
            org: named("org", &record.org)?.into(),
            key: KeyHash(bytes("key_hash", &record.key_hash)?),
            key_name: record.name,
            kind: parsed("kind", &record.kind, kind)?,
            expires_at: record.expires_at,
            // An unreadable policy must not become "no rules".
            policy: serde_json::from_str(&record.policy_json)
                .map_err(|error| ConvertError::new("policy_json", error))?,
        })
    }
}

impl From<&UsageRecord> for ledger::UsageRecord {
    fn from(record: &UsageRecord) -> Self {
        let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
        let (usage, told) = (&record.usage, &record.particulars);
        Self {
            sequence: record.sequence,
            generation_id: record.generation.to_string(),
            org: record.org.to_string(),
            key_hash: record.key.0.to_vec(),
            outcome: outcome_text(record.outcome).to_owned(),
            held_pico: record.held.0.to_string(),
            cost_pico: record.cost.0.to_string(),
            api: record.api.clone(),
            requested_model: record.requested_model.clone(),
            model: text(record.model.as_ref().map(|id| id.as_str())),
            endpoint: text(record.endpoint.as_ref().map(|id| id.as_str())),
            provider: text(record.provider.as_ref().map(|id| id.as_str())),
            price_epoch: record.price_version.epoch,
            price_number: record.price_version.number,
            prompt_tokens: usage.prompt,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            cache_write_1h_tokens: usage.cache_write_1h,
            completion_tokens: usage.completion,
            reasoning_tokens: usage.reasoning,
            estimated: usage.estimated,
            streamed: record.streamed,
            finish_reason: record.finish_reason.clone(),
            fault: text(record.fault.as_deref()),
            started_unix_ms: record.started_unix_ms,
            duration_ms: record.duration_ms,
            ttft_ms: record.ttft_ms,
            attempts: record.attempts,
            upstream_id: record.upstream_id.clone(),
            prompt_audio_tokens: usage.prompt_audio,
            completion_audio_tokens: usage.completion_audio,
            completion_image_tokens: usage.completion_image,
            web_searches: usage.web_searches,
            maps: usage.maps,
            citation_tokens: usage.citations,
            fetches: usage.fetches,
            file_searches: usage.file_searches,
            code_runs: usage.code_runs,
            prompt_free_tokens: usage.prompt_free,
            completion_free_tokens: usage.completion_free,
            prompt_image_tokens: usage.prompt_image,
            search_units: usage.search_units,
            images: usage.images,
            windows: record.windows.iter().map(ToString::to_string).collect(),
            fee_ppm: record.fee_ppm,
            own_key: record.own_key,
            flags: record.flags.clone(),
            on_credit_pico: pico(record.on_credit),
            fee_free_pico: pico(record.fee_free),
            session_id: told.session.clone(),
            external_user: told.user.clone(),
            http_referer: told.referer.clone(),
            app_title: told.title.clone(),
            user_agent: told.agent.clone(),
            service_tier: told.tier.clone(),
            prompt_media: told.media,
            prompt_sounds: told.sounds,
            cache_discount_pico: pico(told.cache_discount),
            tried: told.tried.iter().map(tried_to).collect(),
        }
    }
}

impl TryFrom<ledger::UsageRecord> for UsageRecord {
    type Error = ConvertError;
    fn try_from(record: ledger::UsageRecord) -> Result<Self, ConvertError> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Self {
            sequence: record.sequence,
            generation: named("generation_id", &record.generation_id)?.into(),
            org: named("org", &record.org)?.into(),
            key: KeyHash(bytes("key_hash", &record.key_hash)?),
            outcome: parsed("outcome", &record.outcome, outcome_of)?,
            held: amount("held_pico", &record.held_pico)?,
            cost: amount("cost_pico", &record.cost_pico)?,
            usage: usage_of(&record),
            particulars: particulars_of(&record)?,
            model: given(&record.model).map(Into::into),
            endpoint: given(&record.endpoint).map(Into::into),
            provider: given(&record.provider).map(Into::into),
            fault: given(&record.fault),
            api: record.api,
            requested_model: record.requested_model,
            price_version: Version {
                epoch: record.price_epoch,
                number: record.price_number,
            },
            streamed: record.streamed,
            finish_reason: record.finish_reason,
            started_unix_ms: record.started_unix_ms,
            duration_ms: record.duration_ms,
            ttft_ms: record.ttft_ms,
            attempts: record.attempts,
            upstream_id: record.upstream_id,
            windows: windows("windows", &record.windows)?,
            fee_ppm: record.fee_ppm,
            own_key: record.own_key,
            flags: record.flags,
            on_credit: match &*record.on_credit_pico {
                "" => Amount::ZERO,
                some => amount("on_credit_pico", some)?,
            },
            fee_free: match &*record.fee_free_pico {
                "" => Amount::ZERO,
                some => amount("fee_free_pico", some)?,
            },
        })
    }
}

/// An amount that is usually nothing.
fn pico(amount: Amount) -> String {
    match amount {
        Amount::ZERO => String::new(),
        some => some.0.to_string(),
    }
}

fn tried_to(tried: &Tried) -> ledger::Tried {
    ledger::Tried {
        endpoint: tried.endpoint.to_string(),
        provider: tried.provider.to_string(),
        status: tried.status.into(),
        latency_ms: tried.latency_ms,
        own_key: tried.own_key,
    }
}

/// Within their bounds, whoever sends them.
fn particulars_of(record: &ledger::UsageRecord) -> Result<Particulars, ConvertError> {
    let tried = |tried: &ledger::Tried| Tried {
        endpoint: tried.endpoint.as_str().into(),
        provider: tried.provider.as_str().into(),
        status: u16::try_from(tried.status).unwrap_or_default(),
        latency_ms: tried.latency_ms,
        own_key: tried.own_key,
    };
    let discount = match &*record.cache_discount_pico {
        "" => 0,
        some => some
            .parse()
            .map_err(|_| ConvertError::new("cache_discount_pico", format_args!("{some:?}")))?,
    };
    let told = Particulars {
        session: record.session_id.clone(),
        user: record.external_user.clone(),
        referer: record.http_referer.clone(),
        title: record.app_title.clone(),
        agent: record.user_agent.clone(),
        tier: record.service_tier.clone(),
        media: record.prompt_media,
        sounds: record.prompt_sounds,
        cache_discount: Amount(discount),
        tried: record.tried.iter().take(TRIED_MAX).map(tried).collect(),
    };
    Ok(told.bounded())
}

/// Pico-USD as the wire writes it.
///
/// # Errors
/// When the text is no integer, or below zero.
pub(crate) fn amount(field: &str, text: &str) -> Result<Amount, ConvertError> {
    let pico = text.parse::<i128>().ok().filter(|pico| *pico >= 0);
    pico.map(Amount)
        .ok_or_else(|| ConvertError::new(field, format_args!("{text:?} is not an amount in pico")))
}

/// Windows of limits as the wire writes them.
fn windows(field: &str, texts: &[String]) -> Result<Vec<Window>, ConvertError> {
    let window = |text: &String| {
        text.parse()
            .map_err(|error| ConvertError::new(field, error))
    };
    texts.iter().map(window).collect()
}

fn usage_of(record: &ledger::UsageRecord) -> Usage {
    Usage {
        prompt: record.prompt_tokens,
        cache_read: record.cache_read_tokens,
        cache_write: record.cache_write_tokens,
        cache_write_1h: record.cache_write_1h_tokens,
        prompt_audio: record.prompt_audio_tokens,
        prompt_free: record.prompt_free_tokens,
        completion: record.completion_tokens,
        reasoning: record.reasoning_tokens,
        completion_audio: record.completion_audio_tokens,
        completion_image: record.completion_image_tokens,
        completion_free: record.completion_free_tokens,
        prompt_image: record.prompt_image_tokens,
        web_searches: record.web_searches,
        maps: record.maps,
        citations: record.citation_tokens,
        fetches: record.fetches,
        file_searches: record.file_searches,
        code_runs: record.code_runs,
        search_units: record.search_units,
        images: record.images,
        estimated: record.estimated,
    }
}

fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Settled => "settled",
        Outcome::Released => "released",
        Outcome::Suspense => "suspense",
    }
}

fn outcome_of(text: &str) -> Option<Outcome> {
    match text {
        "settled" => Some(Outcome::Settled),
        "released" => Some(Outcome::Released),
        "suspense" => Some(Outcome::Suspense),
        _ => None,
    }
}
