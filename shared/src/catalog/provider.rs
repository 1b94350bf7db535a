//! A provider: where it is, how it talks, how patient to be with it.

use crate::catalog::text_enum;
use crate::id::ProviderSlug;
use std::time::Duration;

text_enum! {
    /// A wire format. A provider speaks one.
    Dialect {
        /// OpenAI's `POST /chat/completions`, and the many hosts compatible with it.
        OpenaiChat = "openai-chat",
        /// OpenAI's `POST /responses`.
        OpenaiResponses = "openai-responses",
        /// Azure's deployments of OpenAI's models.
        AzureOpenai = "azure-openai",
        /// Anthropic's `POST /v1/messages`.
        AnthropicMessages = "anthropic-messages",
        /// Google's `:generateContent`.
        Gemini = "gemini",
        /// Gemini on Vertex: `/publishers/google/models/M:generateContent`, OAuth2.
        VertexGemini = "vertex-gemini",
        /// Anthropic on Vertex: `/publishers/anthropic/models/M:rawPredict`, OAuth2.
        VertexAnthropic = "vertex-anthropic",
        /// Amazon Bedrock's `POST /model/{id}/converse`.
        BedrockConverse = "bedrock-converse",
        /// Anthropic on Amazon Bedrock: `POST /model/{id}/invoke`.
        BedrockInvoke = "bedrock-invoke",
        /// Cohere's `POST /v2/chat`.
        CohereV2 = "cohere-v2",
        /// Mistral's `POST /v1/chat/completions`, which refuses unknown fields.
        MistralChat = "mistral-chat",
        /// Ollama's native `POST /api/chat`.
        Ollama = "ollama",
    }
}

text_enum! {
    /// How a provider's key travels.
    Auth {
        /// `Authorization: Bearer KEY`.
        Bearer = "bearer",
        /// `x-api-key: KEY`.
        XApiKey = "x-api-key",
        /// `api-key: KEY`.
        ApiKey = "api-key",
        /// `x-goog-api-key: KEY`.
        XGoogApiKey = "x-goog-api-key",
        /// AWS Signature Version 4. The key is `ACCESS_KEY_ID:SECRET`, or with a session's token
        /// `ACCESS_KEY_ID:SECRET:TOKEN`; the region stands in the host's name.
        AwsSigv4 = "aws-sigv4",
        /// No key at all: a server of one's own.
        None = "none",
    }
}

impl Dialect {
    /// How a key travels in this dialect unless the catalogue says otherwise.
    #[must_use]
    pub const fn default_auth(self) -> Auth {
        match self {
            Self::AnthropicMessages => Auth::XApiKey,
            Self::AzureOpenai => Auth::ApiKey,
            Self::Gemini => Auth::XGoogApiKey,
            Self::Ollama => Auth::None,
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::VertexGemini
            | Self::VertexAnthropic
            | Self::BedrockConverse
            | Self::BedrockInvoke
            | Self::CohereV2
            | Self::MistralChat => Auth::Bearer,
        }
    }
}

text_enum! {
    /// A named deviation, handled in its dialect's file.
    Quirk {
        /// openai-chat: refuses `stream_options`; usage comes unasked.
        NoStreamOptions = "no-stream-options",
        /// openai-chat: takes `max_completion_tokens` only; `max_tokens` is renamed.
        MaxCompletionTokens = "max-completion-tokens",
        /// openai-chat: takes `max_tokens` only; `max_completion_tokens` is renamed.
        MaxTokensOnly = "max-tokens-only",
        /// openai-chat: takes no `developer` role; it becomes `system`.
        NoDeveloperRole = "no-developer-role",
        /// openai-chat: reasoning tokens are not inside `completion_tokens` (xAI).
        ReasoningOutsideCompletion = "reasoning-outside-completion",
        /// openai-chat: a stream may end without `[DONE]`.
        NoDone = "no-done",
        /// openai-chat: reasoning stands in `<think>` tags at the start of the content.
        ThinkTags = "think-tags",
        /// openai-chat: the reasoning of turns with tool calls must come back, as
        /// `reasoning_content` (DeepSeek V4, Moonshot).
        ReasoningContentBack = "reasoning-content-back",
        /// openai-chat, beside `reasoning-content-back`: what is empty counts as missing, so a space
        /// stands for reasoning that is lost (Kimi K2.6).
        ReasoningContentFilled = "reasoning-content-filled",
        /// openai-chat: ids of tool calls are nine letters and digits; others become such
        /// (templates of older Mistral models).
        NineLetterIds = "nine-letter-ids",
        /// openai-chat: takes `reasoning_details` back (OpenRouter, Vercel).
        ReasoningDetails = "reasoning-details",
        /// openai-chat, azure-openai: has OpenAI's Responses too, under the same base URL, for all of
        /// its models but those that speak or search; clients of that API are served by it.
        ResponsesApi = "responses-api",
        /// openai-chat: takes `cache_control` marks on content and tools.
        CacheControl = "cache-control",
        /// openai-chat: messages may carry no `name`.
        NoNames = "no-names",
        /// openai-chat: takes no more than one choice.
        SingleChoice = "single-choice",
        /// openai-chat: refuses the reasoning of earlier messages under any name.
        NoReasoningBack = "no-reasoning-back",
        /// openai-chat: takes the reasoning of earlier messages back as `reasoning`, and refuses
        /// its other names (Cerebras).
        ReasoningBack = "reasoning-back",
        /// openai-chat: thinking is switched by `thinking: {"type": "enabled"}`.
        ThinkingType = "thinking-type",
        /// openai-chat: thinking, which is on, is switched off by `thinking: {"type": "disabled"}`.
        ThinkingOff = "thinking-off",
        /// openai-chat: thinking is switched by `enable_thinking`.
        EnableThinking = "enable-thinking",
        /// openai-chat: thinking is bounded by `thinking_budget`, in tokens.
        ThinkingBudget = "thinking-budget",
        /// openai-chat: arguments of calls are streamed only with `tool_stream`.
        ToolStream = "tool-stream",
        /// openai-chat: of `tool_choice` it knows `auto` and `none` only.
        AutoToolChoice = "auto-tool-choice",
        /// openai-chat: as `auto-tool-choice` while it thinks, which it does unless it is told not
        /// to by `thinking`.
        AutoToolChoiceThinking = "auto-tool-choice-thinking",
        /// openai-chat: takes no schema for an answer, only the wish for JSON.
        JsonObjectOnly = "json-object-only",
        /// openai-chat: refuses `service_tier`.
        NoServiceTier = "no-service-tier",
        /// openai-chat: vectors are base64 of signed bytes, behind `/v1` (Perplexity).
        Int8Vectors = "int8-vectors",
        /// openai-chat: embeds and reranks in Voyage's own form.
        Voyage = "voyage",
        /// Any dialect: a stream that its reader leaves is made to its end and billed so.
        BillsAbandoned = "bills-abandoned",
    }
}

/// One company that serves models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Unique, `^[a-z0-9][a-z0-9-]*$`.
    pub slug: ProviderSlug,
    /// As shown to clients in `provider`.
    pub name: String,
    /// The wire format of its chat API.
    pub dialect: Dialect,
    /// `http://` or `https://`, without a trailing slash; the dialect appends its path.
    pub base_url: String,
    /// How the key travels.
    pub auth: Auth,
    /// The environment variable that holds the key; none where no key is needed.
    pub api_key_env: Option<String>,
    /// Where it serves, in its own words.
    pub regions: Vec<String>,
    /// What it does with prompts.
    pub data_policy: DataPolicy,
    /// Deviations from the dialect.
    pub quirks: Vec<Quirk>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// What it allows, where it says so.
    pub limits: Limits,
    /// For `GET /providers`.
    pub privacy_policy_url: Option<String>,
    /// For `GET /providers`.
    pub terms_of_service_url: Option<String>,
    /// For `GET /providers`.
    pub status_page_url: Option<String>,
    /// ISO 3166 code of its seat, for `GET /providers`.
    pub headquarters: Option<String>,
    /// ISO 3166 codes, for `GET /providers`.
    pub datacenters: Vec<String>,
}

impl Provider {
    /// A provider that says no more of itself than who it is and how it is reached: named like its
    /// slug, without a key, everything else unknown or by default.
    #[must_use]
    pub fn new(
        slug: impl Into<ProviderSlug>,
        dialect: Dialect,
        base_url: impl Into<String>,
    ) -> Self {
        let slug = slug.into();
        Self {
            name: slug.as_str().to_owned(),
            slug,
            dialect,
            base_url: base_url.into(),
            auth: Auth::None,
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
}

/// What a provider does with prompts. Unknown means: assume that it retains and trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPolicy {
    /// May train on prompts.
    pub training: bool,
    /// Days that prompts are kept; none is unknown, 0 is zero data retention.
    pub retention_days: Option<u32>,
}

impl Default for DataPolicy {
    fn default() -> Self {
        Self {
            training: true,
            retention_days: None,
        }
    }
}

/// How long to wait for a provider, per attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the request's last byte to the first content byte.
    pub first_token: Duration,
    /// Between two events of a stream.
    pub stall: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_token: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

/// Account limits that a provider publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute, all edges together.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, prompts and answers together, all edges together.
    pub tokens_per_minute: Option<u32>,
    /// Requests in flight, all edges together.
    pub concurrent: Option<u32>,
}
