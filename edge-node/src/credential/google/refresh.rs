//! The task that keeps every account's token fresh. A failure is tried again with growing pauses;
//! until the old token ends it stays in use.

use crate::credential::Credentials;
use crate::credential::google::Account;
use crate::credential::google::grant::Grant;
use crate::metrics;
use crate::upstream::{Request, Upstream};
use ::metrics::counter;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderValue, header};
use shared::clock::{Clock, Moment};
use shared::id::Version;
use shared::routing::View;
use shared::task::Stop;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often accounts are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Bound of connecting to the token's issuer, and of the wait for its answer.
const ISSUER_MAX: Duration = Duration::from_secs(10);
/// The longest answer of an issuer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Keeps tokens fresh.
pub struct Refresher {
    credentials: Arc<Credentials>,
    upstream: Arc<dyn Upstream>,
    /// By variable: when to try again, and the failures in a row.
    failed: HashMap<String, (Moment, u32)>,
}

impl Refresher {
    /// For these credentials, over this way out.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>, upstream: Arc<dyn Upstream>) -> Self {
        Self {
            credentials,
            upstream,
            failed: HashMap::new(),
        }
    }

    /// Runs until the program stops. Which accounts there are is told by the table in use.
    pub async fn run(mut self, view: Arc<ArcSwap<View>>, mut stop: Stop) {
        let mut noticed: Option<Version> = None;
        while !stop.requested() {
            let snapshot = view.load().snapshot.clone();
            if noticed != Some(snapshot.version()) {
                noticed = Some(snapshot.version());
                self.credentials.notice(snapshot.providers());
            }
            tokio::select! {
                () = self.round() => {}
                () = stop.wait() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Looks at every account once; those that are due ask their issuers at the same time.
    pub(super) async fn round(&mut self) {
        let now = self.credentials.clock.now();
        let mut due = self.credentials.accounts();
        due.retain(|(variable, account)| {
            let waits = self
                .failed
                .get(variable)
                .is_some_and(|(again, _)| now < *again);
            !waits && account.is_due(now)
        });
        let this = &*self;
        let fetches = due.into_iter().map(|(variable, account)| async move {
            let fetched = this.fetch(&account).await;
            (variable, fetched)
        });
        let fetched = join_all(fetches).await;
        for (variable, fetched) in fetched {
            let outcome = match fetched {
                Ok(()) => {
                    self.failed.remove(&variable);
                    "ok"
                }
                Err(reason) => {
                    tracing::warn!(variable, reason, "no token from the account's issuer");
                    let failures = self.failed.get(&variable).map_or(0, |(_, count)| *count);
                    let pause = TICK.saturating_mul(1 << failures.min(6)).min(PAUSE_MAX);
                    let again = self.credentials.clock.now().plus(pause);
                    self.failed.insert(variable, (again, failures + 1));
                    "failed"
                }
            };
            counter!(metrics::TOKEN_REFRESHES, "outcome" => outcome).increment(1);
        }
    }

    pub(super) async fn fetch(&self, account: &Account) -> Result<(), String> {
        let clock = &self.credentials.clock;
        mint(account, None, &*self.upstream, clock).await
    }
}

/// Asks for a token, of `issuer` or of whom the account's file names, and takes it into use.
pub(in crate::credential) async fn mint(
    account: &Account,
    issuer: Option<&str>,
    upstream: &dyn Upstream,
    clock: &Clock,
) -> Result<(), String> {
    let file = account.file().await?;
    let issuer = issuer.unwrap_or_else(|| file.token_uri());
    let form = file.form(issuer, clock.unix_s())?;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let request = Request {
        base_url: issuer.to_owned(),
        path: String::new(),
        headers: vec![(header::CONTENT_TYPE, kind)],
        body: Bytes::from(form),
        connect_timeout: ISSUER_MAX,
        head_timeout: ISSUER_MAX,
    };
    let asked = clock.now();
    let answer = tokio::time::timeout(ISSUER_MAX * 2, ask(upstream, &request));
    let (status, body) = answer.await.map_err(|_| "no answer in time".to_owned())??;
    let grant = Grant::read(status, &body)?;
    account.put(&grant, file.project(), asked)
}

async fn ask(upstream: &dyn Upstream, request: &Request) -> Result<(u16, Vec<u8>), String> {
    let sent = upstream.send(request).await;
    let mut answer = sent.map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    while let Some(piece) = answer.body.chunk().await.map_err(|e| e.to_string())? {
        if text.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err("the answer is over 64 KiB".to_owned());
        }
        text.extend_from_slice(&piece);
    }
    answer.body.release().await;
    Ok((answer.status, text))
}
