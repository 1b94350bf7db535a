//! The members of a request that mean something to us, by their names, and the kinds that their
//! values may have.

use super::Grammar;
use crate::wire::json::Kind;
use shared::catalog::Parameter;

/// The top-level members that mean something to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Model,
    /// The conversation: `messages`, `input` or `prompt`.
    Turns,
    Stream,
    StreamOptions,
    Choices,
    User,
    ServiceTier,
    PromptCacheKey,
    Metadata,
    Modalities,
    Audio,
    /// A member that only the call's API has, by its name.
    Special(&'static str),
    /// A sampling or tool parameter that an endpoint may or may not support.
    Parameter(Parameter),
    /// Addressed to us: never sent upstream.
    Own(Own),
    /// Anything else: sent as it stands.
    Other,
}

/// Members of the request that end here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Own {
    Models,
    Provider,
    Prompt,
    Route,
    Plugins,
    Preset,
    Usage,
    SessionId,
    Transforms,
    Trace,
    Debug,
    CacheControl,
    MaxToolCalls,
    StopServerToolsWhen,
}

impl Field {
    /// The members that most APIs have, under the same name.
    pub(crate) fn common(name: &str) -> Self {
        match name {
            "model" => Self::Model,
            "stream" => Self::Stream,
            "stream_options" => Self::StreamOptions,
            "n" => Self::Choices,
            "user" => Self::User,
            "service_tier" => Self::ServiceTier,
            "prompt_cache_key" => Self::PromptCacheKey,
            "metadata" => Self::Metadata,
            "modalities" => Self::Modalities,
            "audio" => Self::Audio,
            "models" => Self::Own(Own::Models),
            "provider" => Self::Own(Own::Provider),
            "prompt" => Self::Own(Own::Prompt),
            "route" => Self::Own(Own::Route),
            "plugins" => Self::Own(Own::Plugins),
            "preset" => Self::Own(Own::Preset),
            "usage" => Self::Own(Own::Usage),
            "session_id" => Self::Own(Own::SessionId),
            "transforms" => Self::Own(Own::Transforms),
            "trace" => Self::Own(Own::Trace),
            "debug" => Self::Own(Own::Debug),
            "cache_control" => Self::Own(Own::CacheControl),
            "max_tool_calls" => Self::Own(Own::MaxToolCalls),
            "stop_server_tools_when" => Self::Own(Own::StopServerToolsWhen),
            _ => Parameter::parse(name).map_or(Self::Other, Self::Parameter),
        }
    }

    /// The kinds that the value may have, besides null; none where it is not read.
    pub(super) fn kinds(self, grammar: &Grammar) -> &'static [Kind] {
        match self {
            Self::Model | Self::User | Self::ServiceTier => &[Kind::String],
            Self::Turns | Self::Special(_) => (grammar.kinds)(self),
            Self::Stream => &[Kind::Bool],
            Self::StreamOptions => &[Kind::Object],
            Self::Choices => &[Kind::Number],
            Self::Parameter(parameter) => parameter_kinds(parameter),
            Self::Own(own) => match own {
                Own::Models | Own::Plugins | Own::Transforms => &[Kind::Array],
                Own::Provider | Own::Usage | Own::Trace | Own::Debug => &[Kind::Object],
                Own::Route | Own::Preset | Own::SessionId => &[Kind::String],
                Own::MaxToolCalls => &[Kind::Number],
                Own::Prompt | Own::CacheControl | Own::StopServerToolsWhen => &[],
            },
            // Read only when a translation needs them.
            Self::PromptCacheKey
            | Self::Metadata
            | Self::Modalities
            | Self::Audio
            | Self::Other => &[],
        }
    }
}

/// The kinds that a parameter's value may have.
pub(super) const fn parameter_kinds(parameter: Parameter) -> &'static [Kind] {
    match parameter {
        Parameter::Temperature
        | Parameter::TopP
        | Parameter::TopK
        | Parameter::MinP
        | Parameter::TopA
        | Parameter::FrequencyPenalty
        | Parameter::PresencePenalty
        | Parameter::RepetitionPenalty
        | Parameter::MaxTokens
        | Parameter::MaxCompletionTokens
        | Parameter::TopLogprobs
        | Parameter::Seed => &[Kind::Number],
        // A count at some providers.
        Parameter::Logprobs => &[Kind::Bool, Kind::Number],
        Parameter::LogitBias
        | Parameter::Prediction
        | Parameter::ResponseFormat
        | Parameter::Reasoning
        | Parameter::WebSearchOptions => &[Kind::Object],
        Parameter::StructuredOutputs
        | Parameter::ParallelToolCalls
        | Parameter::IncludeReasoning => &[Kind::Bool],
        Parameter::Stop => &[Kind::String, Kind::Array],
        Parameter::Tools => &[Kind::Array],
        Parameter::ToolChoice => &[Kind::String, Kind::Object],
        Parameter::ReasoningEffort | Parameter::Verbosity => &[Kind::String],
    }
}
