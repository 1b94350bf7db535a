use super::*;
use std::collections::BTreeSet;

#[test]
fn every_dialect_of_the_catalogue_is_simulated() {
    let named = |dialect: &shared::catalog::Dialect| dialect.as_str();
    let catalogue: BTreeSet<&str> = shared::catalog::Dialect::ALL.iter().map(named).collect();
    let ours: BTreeSet<&str> = Dialect::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(ours, catalogue);
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::parse(dialect.as_str()), Some(dialect));
    }
}

#[test]
fn paths_name_their_dialect() {
    let vertex = "/v1/projects/p/locations/l/publishers";
    for (path, dialect) in [
        ("/v1/chat/completions".to_owned(), Dialect::OpenaiChat),
        ("/v1/responses".to_owned(), Dialect::OpenaiResponses),
        (
            "/openai/deployments/gpt-5/chat/completions".to_owned(),
            Dialect::AzureOpenai,
        ),
        ("/v1/messages".to_owned(), Dialect::AnthropicMessages),
        (
            "/v1beta/models/gemini-3-pro:streamGenerateContent".to_owned(),
            Dialect::Gemini,
        ),
        (
            format!("{vertex}/google/models/gemini-3-pro:generateContent"),
            Dialect::VertexGemini,
        ),
        (
            format!("{vertex}/anthropic/models/claude@1:streamRawPredict"),
            Dialect::VertexAnthropic,
        ),
        (
            "/model/us.anthropic.claude-v1%3A0/converse-stream".to_owned(),
            Dialect::BedrockConverse,
        ),
        (
            "/model/anthropic.claude-v1%3A0/invoke".to_owned(),
            Dialect::BedrockInvoke,
        ),
        ("/v2/chat".to_owned(), Dialect::CohereV2),
        (
            "/mistral-chat/v1/chat/completions".to_owned(),
            Dialect::MistralChat,
        ),
        ("/api/chat".to_owned(), Dialect::Ollama),
    ] {
        assert_eq!(Dialect::of_path(&path), Some(dialect), "{path}");
    }
    assert_eq!(Dialect::of_path("/v1/embeddings"), None);
    assert_eq!(
        Dialect::Gemini.spoken_at(&format!("{vertex}/google/models/m:generateContent")),
        Some(Dialect::VertexGemini)
    );
    assert_eq!(Dialect::CohereV2.spoken_at("/v1/chat/completions"), None);
}
