//! The wire formats that are recorded, and the catalogue's dialects that speak them.

/// What a recording is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// OpenAI's chat, and its lookalikes.
    Chat,
    /// Azure's chat.
    Azure,
    /// Mistral's chat.
    Mistral,
    /// OpenAI's Responses.
    Responses,
    /// Azure's Responses.
    AzureResponses,
    /// Anthropic's messages.
    Messages,
    /// The same at Google Vertex.
    VertexMessages,
    /// Gemini at AI Studio.
    Gemini,
    /// Gemini at Vertex.
    VertexGemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Its stream of binary frames.
    BedrockStream,
    /// Bedrock's invoke API: the model's own format, here Anthropic's.
    Invoke,
    /// Its stream of binary frames.
    InvokeStream,
    /// Cohere's v2 chat.
    Cohere,
    /// Ollama's own chat.
    Ollama,
    /// Embeddings, of OpenAI, Gemini or Voyage.
    Embeddings,
    /// Cohere's embeddings.
    CohereEmbeddings,
    /// A ranking of Voyage or Jina.
    Ranking,
    /// Cohere's ranking.
    CohereRanking,
    /// How many tokens an Anthropic message has.
    Count,
}

/// The corpus' name, the format, the catalogue's dialect.
const ALL: [(&str, Format, &str); 20] = [
    ("openai-chat", Format::Chat, "openai-chat"),
    ("azure-openai-chat", Format::Azure, "azure-openai"),
    ("mistral-chat", Format::Mistral, "mistral-chat"),
    ("openai-responses", Format::Responses, "openai-responses"),
    (
        "azure-openai-responses",
        Format::AzureResponses,
        "openai-responses",
    ),
    ("anthropic-messages", Format::Messages, "anthropic-messages"),
    (
        "vertex-anthropic",
        Format::VertexMessages,
        "vertex-anthropic",
    ),
    ("gemini", Format::Gemini, "gemini"),
    ("vertex-gemini", Format::VertexGemini, "vertex-gemini"),
    ("bedrock-converse", Format::Bedrock, "bedrock-converse"),
    (
        "bedrock-converse-stream",
        Format::BedrockStream,
        "bedrock-converse",
    ),
    ("bedrock-invoke", Format::Invoke, "bedrock-invoke"),
    (
        "bedrock-invoke-stream",
        Format::InvokeStream,
        "bedrock-invoke",
    ),
    ("cohere-v2-chat", Format::Cohere, "cohere-v2"),
    ("ollama-native", Format::Ollama, "ollama"),
    ("embeddings", Format::Embeddings, "openai-chat"),
    ("cohere-v2-embed", Format::CohereEmbeddings, "cohere-v2"),
    ("rerank", Format::Ranking, "openai-chat"),
    ("cohere-v2-rerank", Format::CohereRanking, "cohere-v2"),
    (
        "anthropic-count-tokens",
        Format::Count,
        "anthropic-messages",
    ),
];

impl Format {
    /// By the corpus' name; none for what no client API of the edge asks for.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = ALL.iter();
        all.find(|(known, ..)| *known == name)
            .map(|(_, format, _)| *format)
    }

    /// What its models give, as the catalogue names it.
    #[must_use]
    pub const fn gives(self) -> &'static str {
        match self {
            Self::Embeddings | Self::CohereEmbeddings => "embeddings",
            Self::Ranking | Self::CohereRanking => "rerank",
            _ => "text",
        }
    }

    /// The catalogue's dialect of a provider that answers in it.
    #[must_use]
    pub fn dialect(self) -> &'static str {
        let mut all = ALL.iter();
        all.find(|(_, format, _)| *format == self)
            .map_or("openai-chat", |(.., dialect)| dialect)
    }
}
