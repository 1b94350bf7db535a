//! Replays recorded provider traffic through a running edge: a local server answers with the
//! recorded bytes, the edge is asked as a client would, and what comes out is compared with an
//! independent reading of the recording. It shares no code with the edge; it asserts nothing about
//! how the edge got there except what it sent upstream.

mod compare;
mod corpus;
mod reading;
mod request;
mod server;

pub use corpus::{Case, CorpusError, load};
pub use reading::{Choice, Reading};

use crate::client::{CallError, Client};
use crate::cluster::{CatalogSpec, ClusterError, EndpointSpec, ModelSpec, StandaloneConfig};
use crate::provider::Dialect;
use crate::server::Server;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// Which cases are played.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this dialect; none: both that are built.
    pub dialect: Option<Dialect>,
    /// Only cases whose name contains this.
    pub name: Option<String>,
}

/// What came out of all cases.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// By name.
    pub cases: Vec<CaseReport>,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
}

/// What came out of one case.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// As in the corpus.
    pub name: String,
    /// Right in every API that was asked.
    pub pass: bool,
    /// By client API.
    pub api: Apis,
}

/// The client APIs that a case is asked through.
#[derive(Debug, Serialize)]
pub struct Apis {
    /// `POST /api/v1/chat/completions`.
    pub chat: ApiReport,
}

/// What came out in one API.
#[derive(Debug, Serialize)]
pub struct ApiReport {
    /// As the recording says.
    pub pass: bool,
    /// What differs; empty when it passed.
    pub why: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The edge does not run.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The local server does not run.
    #[error("local server: {0}")]
    Server(#[from] std::io::Error),
}

/// Starts an edge whose providers are the recordings, and plays every case that fits the filter.
///
/// # Errors
/// The corpus, the edge or the local server.
pub async fn run(cases: Vec<Case>) -> Result<Report, ReplayError> {
    let recordings = Arc::new(server::Recordings::new(&cases));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::start(any, None, Arc::clone(&recordings)).await?;
    let catalog = catalog(&cases, server.addr());
    let edge = StandaloneConfig::new(catalog).start().await?;
    let client = edge.client();
    let mut report = Report::default();
    for case in &cases {
        let why = play(case, &client, &recordings).await;
        report.passed += usize::from(why.is_empty());
        report.failed += usize::from(!why.is_empty());
        report.cases.push(CaseReport {
            name: case.name.clone(),
            pass: why.is_empty(),
            api: Apis {
                chat: ApiReport {
                    pass: why.is_empty(),
                    why: why.join("; "),
                },
            },
        });
    }
    server.stop().await;
    Ok(report)
}

/// One provider, model and endpoint per case, so that no case's failures touch another.
fn catalog(cases: &[Case], addr: SocketAddr) -> CatalogSpec {
    let mut catalog = CatalogSpec::default();
    for case in cases {
        let url = format!("http://{addr}/{}/v1", case.key);
        let patient = |provider: &mut crate::cluster::ProviderSpec| {
            provider.first_token_ms = 10_000;
            provider.stall_ms = 10_000;
            provider.quirks = request::quirks(case);
        };
        catalog = catalog.provider_with(&case.key, case.dialect, &url, patient);
        catalog.models.push(ModelSpec {
            id: request::model(case),
            context_length: 1_000_000,
        });
        catalog.endpoints.push(EndpointSpec {
            model: request::model(case),
            provider: case.key.clone(),
            provider_model: case.model.clone(),
            prompt: "0.0000001".to_owned(),
            completion: "0.0000002".to_owned(),
            cache_read: None,
            max_completion_tokens: 128_000,
        });
    }
    catalog
}

/// Asks one case and tells what is wrong with the answer.
async fn play(case: &Case, client: &Client, recordings: &server::Recordings) -> Vec<String> {
    let body = request::chat(case);
    let (status, reading) = match ask(client, &body).await {
        Ok(answer) => answer,
        Err(error) => return vec![format!("no answer: {error}")],
    };
    let expected = reading::recorded(case);
    let mut why = compare::answers(case, &expected, status, &reading);
    match recordings.asked(&case.key) {
        None => why.push("nothing was sent upstream".to_owned()),
        Some(sent) => why.extend(compare::upstream(case, &body, &sent)),
    }
    why
}

async fn ask(client: &Client, body: &Value) -> Result<(u16, Reading), CallError> {
    let path = "/api/v1/chat/completions";
    let mut answer = client.stream(path, body).await?;
    let status = answer.status;
    let kind = answer.headers.get("content-type");
    let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !events {
        let bytes = answer.bytes().await?;
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        return Ok((status, reading::chat_json(&json)));
    }
    let (events, end) = answer.rest().await;
    end?;
    let data: Vec<String> = events.into_iter().map(|event| event.data).collect();
    Ok((
        status,
        reading::chat_stream(data.iter().map(String::as_str)),
    ))
}
