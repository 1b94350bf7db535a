//! OpenAI's models at Azure: the chat dialect, and Responses where the provider's row says so, under
//! Azure's paths. Its filter's marks pass with the chunks that carry them; what the filter refuses
//! is read as a refusal of content.

#[cfg(test)]
mod tests;

use crate::dialect::write::segment;
use crate::dialect::{Outgoing, Target, openai_chat, openai_responses, responds};
use crate::failure::Failure;
use crate::ingress::Call;

/// The version of the API where a path names the deployment.
const DEPLOYMENTS_VERSION: &str = "2024-12-01-preview";
/// The version that has Responses, where the base URL is not that of the versionless API.
const RESPONSES_VERSION: &str = "2025-04-01-preview";
/// The version of the API for models of all makers.
const MODELS_VERSION: &str = "2024-05-01-preview";

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let base = Base::of(&target.provider.base_url);
    if responds(call, target) && !matches!(base, Base::Models | Base::Deployment) {
        let mut outgoing = openai_responses::prepare(call, target)?;
        outgoing.path = base.responses();
        return Ok(outgoing);
    }
    let mut outgoing = openai_chat::prepare(call, target)?;
    outgoing.path = base.chat(&target.endpoint.provider_model);
    Ok(outgoing)
}

/// What a base URL leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    /// `…/openai/v1`: no versions, the deployment is the body's model.
    V1,
    /// `…/openai`: the path names deployment and version.
    Deployments,
    /// `…/openai/deployments/NAME`: one deployment, whatever the body's model.
    Deployment,
    /// `…/models`: all makers' models.
    Models,
    /// The resource itself.
    Resource,
}

impl Base {
    fn of(base_url: &str) -> Self {
        let before = base_url.rsplit_once('/').map_or("", |(before, _)| before);
        if base_url.ends_with("/v1") {
            Self::V1
        } else if before.ends_with("/openai/deployments") {
            Self::Deployment
        } else if base_url.ends_with("/openai") {
            Self::Deployments
        } else if base_url.ends_with("/models") {
            Self::Models
        } else {
            Self::Resource
        }
    }

    fn chat(self, deployment: &str) -> String {
        match self {
            Self::V1 => "/chat/completions".to_owned(),
            Self::Resource => "/openai/v1/chat/completions".to_owned(),
            Self::Models => format!("/chat/completions?api-version={MODELS_VERSION}"),
            Self::Deployment => format!("/chat/completions?api-version={DEPLOYMENTS_VERSION}"),
            Self::Deployments => {
                let name = segment(deployment);
                format!("/deployments/{name}/chat/completions?api-version={DEPLOYMENTS_VERSION}")
            }
        }
    }

    fn responses(self) -> String {
        match self {
            Self::V1 => "/responses".to_owned(),
            Self::Resource => "/openai/v1/responses".to_owned(),
            Self::Deployments | Self::Deployment | Self::Models => {
                format!("/responses?api-version={RESPONSES_VERSION}")
            }
        }
    }
}
