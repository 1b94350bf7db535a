//! Which request parameters an endpoint supports: what the model's listing says, less what the
//! offer denies and what the provider's dialect cannot say.

use super::card::Card;
use super::offer::Abilities;
use crate::catalog::{Dialect, Parameter};
use std::collections::BTreeSet;

use Parameter as P;

/// What most dialects can say.
const COMMON: &[P] = &[
    P::Temperature,
    P::TopP,
    P::MaxTokens,
    P::MaxCompletionTokens,
    P::Stop,
    P::Tools,
    P::ToolChoice,
    P::ResponseFormat,
    P::StructuredOutputs,
    P::Reasoning,
    P::IncludeReasoning,
    P::ReasoningEffort,
];
const ANTHROPIC: &[P] = &[
    P::TopK,
    P::ParallelToolCalls,
    P::Verbosity,
    P::WebSearchOptions,
];
const GEMINI: &[P] = &[
    P::TopK,
    P::Seed,
    P::FrequencyPenalty,
    P::PresencePenalty,
    P::Logprobs,
    P::TopLogprobs,
    P::WebSearchOptions,
];
const BEDROCK: &[P] = &[P::TopK];
const COHERE: &[P] = &[
    P::TopK,
    P::Seed,
    P::FrequencyPenalty,
    P::PresencePenalty,
    P::Logprobs,
];
const MISTRAL: &[P] = &[
    P::Seed,
    P::FrequencyPenalty,
    P::PresencePenalty,
    P::ParallelToolCalls,
    P::Prediction,
];

/// Sorted, without repetitions.
pub(super) fn of(card: &Card, can: Abilities, dialect: Dialect) -> Vec<Parameter> {
    let told = card.parameters.iter().flatten().copied();
    let mut all: BTreeSet<P> = match card.parameters {
        Some(_) => told.collect(),
        None => guessed(can),
    };
    let mut deny = |denied: Option<bool>, parameters: &[P]| {
        if denied == Some(false) {
            all.retain(|parameter| !parameters.contains(parameter));
        }
    };
    deny(can.tools, &[P::Tools, P::ToolChoice, P::ParallelToolCalls]);
    deny(can.tool_choice, &[P::ToolChoice]);
    deny(can.parallel_tools, &[P::ParallelToolCalls]);
    deny(can.schema, &[P::StructuredOutputs]);
    deny(
        can.sampling,
        &[P::Temperature, P::TopP, P::TopK, P::MinP, P::TopA],
    );
    // One parameter under two names, of which clients may say either: where a provider takes but one
    // of them, a quirk of its row or of the endpoint tells which, and what is said is renamed.
    if all.contains(&P::MaxTokens) || all.contains(&P::MaxCompletionTokens) {
        all.extend([P::MaxTokens, P::MaxCompletionTokens]);
    }
    all.into_iter()
        .filter(|parameter| says(dialect, *parameter))
        .collect()
}

fn guessed(can: Abilities) -> BTreeSet<P> {
    let mut all = BTreeSet::from([P::Temperature, P::TopP, P::MaxTokens, P::Stop]);
    let mut add = |able: Option<bool>, parameters: &[P]| {
        if able == Some(true) {
            all.extend(parameters);
        }
    };
    add(can.tools, &[P::Tools, P::ToolChoice]);
    add(can.parallel_tools, &[P::ParallelToolCalls]);
    add(can.schema, &[P::ResponseFormat, P::StructuredOutputs]);
    add(can.reasoning, &[P::Reasoning, P::IncludeReasoning]);
    add(can.effort, &[P::ReasoningEffort]);
    add(can.search, &[P::WebSearchOptions]);
    all
}

fn says(dialect: Dialect, parameter: P) -> bool {
    let own = match dialect {
        Dialect::AnthropicMessages | Dialect::VertexAnthropic | Dialect::BedrockInvoke => ANTHROPIC,
        Dialect::Gemini | Dialect::VertexGemini => GEMINI,
        Dialect::BedrockConverse => BEDROCK,
        Dialect::CohereV2 => COHERE,
        Dialect::MistralChat => MISTRAL,
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::AzureOpenai | Dialect::Ollama => {
            return true;
        }
    };
    COMMON.contains(&parameter) || own.contains(&parameter)
}
