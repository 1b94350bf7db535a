//! What a model's maker adds to this dialect: fields that pass unseen through Bedrock to the model,
//! and parts of the dialect that only some models know.

use crate::dialect::Target;

/// Whose model it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's first.
    Nova,
    /// Amazon's that think.
    Nova2,
    /// OpenAI's open ones.
    GptOss,
    /// Mistral's.
    Mistral,
    /// Cohere's.
    Cohere,
    /// Everybody else's.
    Other,
}

impl Family {
    /// By Bedrock's name of the model; where that is an ARN without it, by ours.
    pub(super) fn of(target: &Target<'_>) -> Self {
        let theirs = target.endpoint.provider_model.as_str();
        let named = |maker: &str| {
            theirs.contains(&format!("{maker}."))
                || target
                    .endpoint
                    .model
                    .as_str()
                    .starts_with(&format!("{maker}/"))
        };
        if named("anthropic") {
            Self::Claude
        } else if theirs.contains("nova-2") {
            Self::Nova2
        } else if named("amazon") && theirs.contains("nova") {
            Self::Nova
        } else if theirs.contains("gpt-oss") {
            Self::GptOss
        } else if named("mistral") || named("mistralai") {
            Self::Mistral
        } else if named("cohere") {
            Self::Cohere
        } else {
            Self::Other
        }
    }

    /// Takes cache points; others refuse them.
    pub(super) const fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2)
    }
}
