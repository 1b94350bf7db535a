//! Catalogue resources on the wire. A resource of a newer build that can't be read becomes
//! [`Resource::Unreadable`]: it is refused by name, and the others are served.

use super::{ConvertError, named, parsed, present};
use crate::catalog::{
    Auth, AutoRow, AutoTable, CostTier, DataPolicy, Dialect, EffortWord, Endpoint, Limits,
    Modality, Model, Parameter, PriceOverride, Pricing, Provider, Quantization, Quirk, Timeouts,
};
use crate::id::EndpointId;
use crate::money::Price;
use crate::proto::discovery as wire;
use crate::snapshot::{Rejected, Resource, Unreadable};
use std::sync::Arc;
use std::time::Duration;
use wire::resource::Body;

impl From<&Resource> for wire::Resource {
    fn from(resource: &Resource) -> Self {
        let body = match resource {
            Resource::Provider(provider) => Body::Provider(provider.as_ref().into()),
            Resource::Model(model) => Body::Model(model.as_ref().into()),
            Resource::Endpoint(endpoint) => Body::Endpoint(endpoint.as_ref().into()),
            Resource::Auto(table) => Body::Auto(table.as_ref().into()),
            Resource::Unreadable(unreadable) => return unreadable.resource.clone(),
        };
        Self {
            name: resource.name(),
            body: Some(body),
        }
    }
}

impl TryFrom<wire::Resource> for Resource {
    type Error = Rejected;
    fn try_from(resource: wire::Resource) -> Result<Self, Rejected> {
        match Self::read(resource) {
            Self::Unreadable(unreadable) => Err(Rejected {
                resource: unreadable.resource.name.clone(),
                reason: unreadable.reason.clone(),
            }),
            readable => Ok(readable),
        }
    }
}

impl Resource {
    /// What a wire resource says; [`Resource::Unreadable`] when it can't be understood.
    #[must_use]
    pub fn read(resource: wire::Resource) -> Self {
        let readable = match &resource.body {
            Some(Body::Provider(body)) => {
                Provider::try_from(body).map(|it| Self::Provider(Arc::new(it)))
            }
            Some(Body::Model(body)) => Model::try_from(body).map(|it| Self::Model(Arc::new(it))),
            Some(Body::Endpoint(body)) => {
                Endpoint::try_from(body).map(|it| Self::Endpoint(Arc::new(it)))
            }
            Some(Body::Auto(body)) => AutoTable::try_from(body).map(|it| Self::Auto(Arc::new(it))),
            None => Err(ConvertError::new("body", "of a kind unknown here")),
        };
        let reason = match readable {
            // Bit for bit, or the root could not be checked.
            Ok(it) if wire::Resource::from(&it) == resource => return it,
            Ok(it) if it.name() != resource.name => format!("its content says {:?}", it.name()),
            Ok(_) => "not in the form that this build writes".to_owned(),
            Err(error) => error.to_string(),
        };
        Self::Unreadable(Arc::new(Unreadable { resource, reason }))
    }
}

impl From<&AutoTable> for wire::AutoTable {
    fn from(table: &AutoTable) -> Self {
        let row = |row: &AutoRow| wire::AutoRow {
            task: row.task.clone(),
            cost_tier: row.tier.to_string(),
            models: row.models.iter().map(ToString::to_string).collect(),
        };
        Self {
            classifier: table.classifier.into(),
            rows: table.rows.iter().map(row).collect(),
        }
    }
}

impl TryFrom<&wire::AutoTable> for AutoTable {
    type Error = ConvertError;
    fn try_from(table: &wire::AutoTable) -> Result<Self, ConvertError> {
        let classifier = u16::try_from(table.classifier)
            .map_err(|error| ConvertError::new("classifier", error))?;
        let row = |row: &wire::AutoRow| {
            Ok(AutoRow {
                task: named("rows.task", &row.task)?.to_owned(),
                tier: parsed("rows.cost_tier", &row.cost_tier, CostTier::parse)?,
                models: row.models.iter().map(|id| id.as_str().into()).collect(),
            })
        };
        let rows = table.rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { classifier, rows })
    }
}

impl From<&Provider> for wire::Provider {
    fn from(provider: &Provider) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            slug: provider.slug.to_string(),
            name: provider.name.clone(),
            dialect: provider.dialect.to_string(),
            base_url: provider.base_url.clone(),
            auth: provider.auth.to_string(),
            api_key_env: provider.api_key_env.clone(),
            regions: provider.regions.clone(),
            training: provider.data_policy.training,
            retention_days: provider.data_policy.retention_days,
            quirks: provider.quirks.iter().map(Quirk::to_string).collect(),
            connect_ms: ms(provider.timeouts.connect),
            first_token_ms: ms(provider.timeouts.first_token),
            stall_ms: ms(provider.timeouts.stall),
            total_ms: ms(provider.timeouts.total),
            requests_per_minute: provider.limits.requests_per_minute,
            tokens_per_minute: provider.limits.tokens_per_minute,
            concurrent: provider.limits.concurrent,
            privacy_policy_url: provider.privacy_policy_url.clone(),
            terms_of_service_url: provider.terms_of_service_url.clone(),
            status_page_url: provider.status_page_url.clone(),
            headquarters: provider.headquarters.clone(),
            datacenters: provider.datacenters.clone(),
        }
    }
}

impl TryFrom<&wire::Provider> for Provider {
    type Error = ConvertError;
    fn try_from(provider: &wire::Provider) -> Result<Self, ConvertError> {
        Ok(Self {
            slug: named("slug", &provider.slug)?.into(),
            name: provider.name.clone(),
            dialect: parsed("dialect", &provider.dialect, Dialect::parse)?,
            base_url: provider.base_url.clone(),
            auth: parsed("auth", &provider.auth, Auth::parse)?,
            api_key_env: provider.api_key_env.clone(),
            regions: provider.regions.clone(),
            data_policy: DataPolicy {
                training: provider.training,
                retention_days: provider.retention_days,
            },
            quirks: all("quirks", &provider.quirks, Quirk::parse)?,
            timeouts: Timeouts {
                connect: Duration::from_millis(provider.connect_ms),
                first_token: Duration::from_millis(provider.first_token_ms),
                stall: Duration::from_millis(provider.stall_ms),
                total: Duration::from_millis(provider.total_ms),
            },
            limits: Limits {
                requests_per_minute: provider.requests_per_minute,
                tokens_per_minute: provider.tokens_per_minute,
                concurrent: provider.concurrent,
            },
            privacy_policy_url: provider.privacy_policy_url.clone(),
            terms_of_service_url: provider.terms_of_service_url.clone(),
            status_page_url: provider.status_page_url.clone(),
            headquarters: provider.headquarters.clone(),
            datacenters: provider.datacenters.clone(),
        })
    }
}

impl From<&Model> for wire::Model {
    fn from(model: &Model) -> Self {
        let texts = |all: &[Modality]| all.iter().map(Modality::to_string).collect();
        Self {
            id: model.id.to_string(),
            name: model.name.clone(),
            created: model.created,
            context_length: model.context_length,
            input_modalities: texts(&model.input_modalities),
            output_modalities: texts(&model.output_modalities),
            tokenizer: model.tokenizer.clone(),
            canonical_slug: model.canonical_slug.clone(),
            description: model.description.clone(),
            hugging_face_id: model.hugging_face_id.clone(),
            instruct_type: model.instruct_type.clone(),
            knowledge_cutoff: model.knowledge_cutoff.clone(),
            expiration_date: model.expiration_date.clone(),
            distillable: model.distillable,
        }
    }
}

impl TryFrom<&wire::Model> for Model {
    type Error = ConvertError;
    fn try_from(model: &wire::Model) -> Result<Self, ConvertError> {
        let (input, output) = (&model.input_modalities, &model.output_modalities);
        Ok(Self {
            id: named("id", &model.id)?.into(),
            name: model.name.clone(),
            created: model.created,
            context_length: model.context_length,
            input_modalities: all("input_modalities", input, Modality::parse)?,
            output_modalities: all("output_modalities", output, Modality::parse)?,
            tokenizer: model.tokenizer.clone(),
            canonical_slug: model.canonical_slug.clone(),
            description: model.description.clone(),
            hugging_face_id: model.hugging_face_id.clone(),
            instruct_type: model.instruct_type.clone(),
            knowledge_cutoff: model.knowledge_cutoff.clone(),
            expiration_date: model.expiration_date.clone(),
            distillable: model.distillable,
        })
    }
}

impl From<&Endpoint> for wire::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let parameters = endpoint.supported_parameters.iter();
        Self {
            model: endpoint.model.to_string(),
            provider: endpoint.provider.to_string(),
            tag: endpoint.tag.clone(),
            provider_model: endpoint.provider_model.clone(),
            context_length: endpoint.context_length,
            max_completion_tokens: endpoint.max_completion_tokens,
            max_prompt_tokens: endpoint.max_prompt_tokens,
            quantization: endpoint.quantization.to_string(),
            supported_parameters: parameters.map(Parameter::to_string).collect(),
            quirks: endpoint.quirks.iter().map(Quirk::to_string).collect(),
            efforts: endpoint.efforts.iter().map(EffortWord::to_string).collect(),
            pricing: Some((&endpoint.pricing).into()),
        }
    }
}

impl TryFrom<&wire::Endpoint> for Endpoint {
    type Error = ConvertError;
    fn try_from(endpoint: &wire::Endpoint) -> Result<Self, ConvertError> {
        let model = named("model", &endpoint.model)?.into();
        let tag = named("tag", &endpoint.tag)?;
        let pricing = present("pricing", endpoint.pricing.as_ref())?;
        Ok(Self {
            id: EndpointId::of(&model, tag),
            model,
            provider: named("provider", &endpoint.provider)?.into(),
            tag: tag.to_owned(),
            provider_model: endpoint.provider_model.clone(),
            context_length: endpoint.context_length,
            max_completion_tokens: endpoint.max_completion_tokens,
            max_prompt_tokens: endpoint.max_prompt_tokens,
            quantization: parsed("quantization", &endpoint.quantization, Quantization::parse)?,
            supported_parameters: all(
                "supported_parameters",
                &endpoint.supported_parameters,
                Parameter::parse,
            )?,
            quirks: all("quirks", &endpoint.quirks, Quirk::parse)?,
            efforts: all("efforts", &endpoint.efforts, EffortWord::parse)?,
            pricing: pricing.try_into()?,
        })
    }
}

fn text(price: Option<Price>) -> Option<String> {
    price.map(|price| price.to_string())
}

fn price(field: &str, text: &str) -> Result<Price, ConvertError> {
    text.parse()
        .map_err(|error| ConvertError::new(format!("pricing.{field}"), error))
}

fn maybe(field: &str, text: Option<&String>) -> Result<Option<Price>, ConvertError> {
    text.map(|text| price(field, text)).transpose()
}

impl From<&Pricing> for wire::Pricing {
    fn from(pricing: &Pricing) -> Self {
        Self {
            prompt: pricing.prompt.to_string(),
            completion: pricing.completion.to_string(),
            request: text(pricing.request),
            image: text(pricing.image),
            image_token: text(pricing.image_token),
            image_output: text(pricing.image_output),
            audio: text(pricing.audio),
            audio_output: text(pricing.audio_output),
            input_audio_cache: text(pricing.input_audio_cache),
            web_search: text(pricing.web_search),
            maps: text(pricing.maps),
            citation: text(pricing.citation),
            internal_reasoning: text(pricing.internal_reasoning),
            input_cache_read: text(pricing.input_cache_read),
            input_cache_write: text(pricing.input_cache_write),
            input_cache_write_1h: text(pricing.input_cache_write_1h),
            overrides: pricing.overrides.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&wire::Pricing> for Pricing {
    type Error = ConvertError;
    fn try_from(it: &wire::Pricing) -> Result<Self, ConvertError> {
        Ok(Self {
            prompt: price("prompt", &it.prompt)?,
            completion: price("completion", &it.completion)?,
            request: maybe("request", it.request.as_ref())?,
            image: maybe("image", it.image.as_ref())?,
            image_token: maybe("image_token", it.image_token.as_ref())?,
            image_output: maybe("image_output", it.image_output.as_ref())?,
            audio: maybe("audio", it.audio.as_ref())?,
            audio_output: maybe("audio_output", it.audio_output.as_ref())?,
            input_audio_cache: maybe("input_audio_cache", it.input_audio_cache.as_ref())?,
            web_search: maybe("web_search", it.web_search.as_ref())?,
            maps: maybe("maps", it.maps.as_ref())?,
            citation: maybe("citation", it.citation.as_ref())?,
            internal_reasoning: maybe("internal_reasoning", it.internal_reasoning.as_ref())?,
            input_cache_read: maybe("input_cache_read", it.input_cache_read.as_ref())?,
            input_cache_write: maybe("input_cache_write", it.input_cache_write.as_ref())?,
            input_cache_write_1h: maybe("input_cache_write_1h", it.input_cache_write_1h.as_ref())?,
            overrides: it
                .overrides
                .iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&PriceOverride> for wire::PriceOverride {
    fn from(rule: &PriceOverride) -> Self {
        Self {
            min_prompt_tokens: rule.min_prompt_tokens,
            prompt: text(rule.prompt),
            completion: text(rule.completion),
            input_cache_read: text(rule.input_cache_read),
            input_cache_write: text(rule.input_cache_write),
            input_cache_write_1h: text(rule.input_cache_write_1h),
            internal_reasoning: text(rule.internal_reasoning),
        }
    }
}

impl TryFrom<&wire::PriceOverride> for PriceOverride {
    type Error = ConvertError;
    fn try_from(rule: &wire::PriceOverride) -> Result<Self, ConvertError> {
        let write_1h = rule.input_cache_write_1h.as_ref();
        let reasoning = rule.internal_reasoning.as_ref();
        Ok(Self {
            min_prompt_tokens: rule.min_prompt_tokens,
            prompt: maybe("overrides.prompt", rule.prompt.as_ref())?,
            completion: maybe("overrides.completion", rule.completion.as_ref())?,
            input_cache_read: maybe("overrides.input_cache_read", rule.input_cache_read.as_ref())?,
            input_cache_write: maybe(
                "overrides.input_cache_write",
                rule.input_cache_write.as_ref(),
            )?,
            input_cache_write_1h: maybe("overrides.input_cache_write_1h", write_1h)?,
            internal_reasoning: maybe("overrides.internal_reasoning", reasoning)?,
        })
    }
}

fn all<T>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConvertError> {
    let read = |text: &String| parsed(field, text, &parse);
    texts.iter().map(read).collect()
}
