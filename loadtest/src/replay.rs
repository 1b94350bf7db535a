//! Replays recorded provider traffic through a running edge: a local server answers with the
//! recorded bytes, the edge is asked as a client would, and what comes out is compared with an
//! independent reading of the recording. It shares no code with the edge; it asserts nothing about
//! how the edge got there except what it sent upstream.

mod api;
mod compare;
mod corpus;
mod format;
mod reading;
mod request;
mod server;
mod stage;

pub use api::Api;
pub use corpus::{Case, CorpusError, LeftOut, left_out, load};
pub use format::Format;
pub use reading::{Choice, Reading};
pub use stage::{Question, Stage};

use crate::client::Client;
use crate::cluster::ClusterError;
use serde::Serialize;
use std::collections::BTreeMap;

/// Which cases are played.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only recordings in this format.
    pub format: Option<Format>,
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
    /// What stands in the corpus and was not played.
    pub left_out: Vec<LeftOut>,
}

/// What came out of one case.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// As in the corpus.
    pub name: String,
    /// Right in every API that was asked.
    pub pass: bool,
    /// By client API; one that has no words for the case is not asked.
    pub api: BTreeMap<&'static str, ApiReport>,
}

/// What came out in one API.
#[derive(Debug, Serialize)]
pub struct ApiReport {
    /// As the recording says.
    pub pass: bool,
    /// False when the API has no words for the case; `why` says for what.
    pub asked: bool,
    /// What differs; empty when it passed.
    pub why: String,
    /// The API is for other requests altogether.
    #[serde(skip)]
    pub is_other: bool,
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

/// Starts an edge whose providers are the recordings, and plays every case through these APIs.
///
/// # Errors
/// The corpus, the edge or the local server.
pub async fn run(cases: Vec<Case>, apis: &[Api]) -> Result<Report, ReplayError> {
    let stage = Stage::start(cases).await?;
    let client = stage.edge().client();
    let mut report = Report::default();
    for case in stage.cases() {
        let mut said = BTreeMap::new();
        for api in apis {
            let outcome = play(case, *api, &client, &stage).await;
            said.insert(api.as_str(), outcome);
        }
        let pass = said.values().all(|outcome| outcome.pass);
        report.passed += usize::from(pass);
        report.failed += usize::from(!pass);
        report.cases.push(CaseReport {
            name: case.name.clone(),
            pass,
            api: said,
        });
    }
    stage.stop().await;
    Ok(report)
}

/// Asks one case through one API and tells what is wrong with the answer.
async fn play(case: &Case, api: Api, client: &Client, stage: &Stage) -> ApiReport {
    let recorded = reading::recorded(case);
    if let Some(lack) = api.lacks(case, &recorded) {
        return ApiReport {
            pass: true,
            asked: false,
            why: lack.to_owned(),
            is_other: lack == api::OTHER,
        };
    }
    let body = request::body(case, api, &recorded);
    let expected = compare::expected(case, api, &recorded);
    let recordings = stage.recordings();
    recordings.forget(&case.key);
    let mut why = match api.ask(client, &body).await {
        Err(error) => vec![format!("no answer: {error}")],
        Ok((status, seen)) => compare::answers(case, api, &expected, (status, &seen)),
    };
    match recordings.asked(&case.key) {
        // What its provider refuses may be refused before it is sent.
        None if case.status >= 400 => {}
        None => why.push("nothing was sent upstream".to_owned()),
        Some(sent) => why.extend(compare::upstream(case, api, &body, &sent)),
    }
    ApiReport {
        pass: why.is_empty(),
        asked: true,
        why: why.join("; "),
        is_other: false,
    }
}
