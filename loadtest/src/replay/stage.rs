//! Recordings behind a running edge, a provider and a model each, and the questions that get them
//! as answers. Whoever asks, the replay or an SDK, is not here.

use super::api::Api;
use super::corpus::Case;
use super::reading::{self, Reading};
use super::server::{ASKED_PATH, Recordings};
use super::{ReplayError, compare, request};
use crate::cluster::{
    CatalogSpec, EndpointSpec, ModelSpec, ProviderSpec, Standalone, StandaloneConfig,
};
use crate::server::Server;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// An edge whose providers are recordings.
pub struct Stage {
    edge: Standalone,
    server: Server,
    recordings: Arc<Recordings>,
    cases: Vec<Case>,
}

/// How to get one recording as an answer, and what it says.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// As in the corpus.
    pub name: String,
    /// Where the edge's own request can be seen, below [`Stage::asked_url`].
    pub key: String,
    /// The answer is a stream.
    pub stream: bool,
    /// The provider's HTTP status.
    pub status: u16,
    /// As the recorded client asked it, in the API's words.
    pub body: Value,
    /// The shortest request that the answer fits.
    pub plain: Value,
    /// What the API can say of it.
    pub expected: Reading,
}

impl Stage {
    /// Starts an edge, and a server that answers for all its providers.
    ///
    /// # Errors
    /// The edge or the server.
    pub async fn start(cases: Vec<Case>) -> Result<Self, ReplayError> {
        let recordings = Arc::new(Recordings::new(&cases));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(any, None, Arc::clone(&recordings)).await?;
        let catalog = catalog(&cases, server.addr());
        let edge = StandaloneConfig::new(catalog).start().await?;
        Ok(Self {
            edge,
            server,
            recordings,
            cases,
        })
    }

    /// What asks this API for each case that it has words for.
    #[must_use]
    pub fn questions(&self, api: Api) -> Vec<Question> {
        let mut questions = Vec::new();
        for case in &self.cases {
            let recorded = reading::recorded(case);
            if api.lacks(case, &recorded).is_none() {
                questions.push(Question {
                    name: case.name.clone(),
                    key: case.key.clone(),
                    stream: case.stream,
                    status: case.status,
                    body: request::body(case, api, &recorded),
                    plain: request::plain_body(case, api, &recorded),
                    expected: compare::expected(case, api, &recorded),
                });
            }
        }
        questions
    }

    /// The running edge.
    #[must_use]
    pub const fn edge(&self) -> &Standalone {
        &self.edge
    }

    /// With a question's key behind it: the JSON body that its provider got last.
    #[must_use]
    pub fn asked_url(&self) -> String {
        format!("http://{}/{ASKED_PATH}", self.server.addr())
    }

    /// Stops the providers' server.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    pub(super) fn cases(&self) -> &[Case] {
        &self.cases
    }

    pub(super) fn recordings(&self) -> &Recordings {
        &self.recordings
    }
}

/// One provider, model and endpoint per case, so that no case's failures touch another.
fn catalog(cases: &[Case], addr: SocketAddr) -> CatalogSpec {
    let mut catalog = CatalogSpec::default();
    for case in cases {
        let url = format!("http://{addr}/{}/v1", case.key);
        let patient = |provider: &mut ProviderSpec| {
            provider.first_token_ms = 10_000;
            provider.stall_ms = 10_000;
            provider.quirks = request::quirks(case);
        };
        catalog = catalog.provider_of(&case.key, case.dialect(), &url, patient);
        catalog.models.push(ModelSpec {
            id: request::model(case),
            context_length: 1_000_000,
            gives: case.format.gives().to_owned(),
        });
        catalog.endpoints.push(EndpointSpec {
            model: request::model(case),
            provider: case.key.clone(),
            tag: None,
            provider_model: case.model.clone(),
            prompt: "0.0000001".to_owned(),
            completion: "0.0000002".to_owned(),
            cache_read: None,
            max_completion_tokens: 128_000,
            quirks: Vec::new(),
        });
        // Who asks for a tier gets it; who asks as another API's client does, the default.
        if let Some(tier) = request::tier(case)
            && let Some(mut endpoint) = catalog.endpoints.last().cloned()
        {
            endpoint.tag = Some(format!("{}/{tier}", case.key));
            catalog.endpoints.push(endpoint);
        }
    }
    catalog
}
