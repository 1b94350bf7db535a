//! Accounts at Google Cloud: where a provider's variable names an account's file instead of holding
//! a token, tokens are fetched by a task, ahead of their end. Requests only read the one in use.

mod grant;
mod refresh;

#[cfg(test)]
pub(super) mod tests;

pub(super) use grant::TOKEN_URI;
pub use refresh::Refresher;
pub(super) use refresh::mint;

use arc_swap::ArcSwapOption;
use grant::{File, Grant};
use http::HeaderValue;
use shared::clock::Moment;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How long before its end a token is replaced; shorter for tokens that do not live twice as long.
pub const REFRESH_MARGIN: Duration = Duration::from_mins(5);
/// How long before its end a token is not sent any more: it must not end on its way.
const GUARD: Duration = Duration::from_secs(15);
/// A token that was fetched so lately is not fetched anew, whoever refuses it.
const DISTRUST_AFTER: Duration = Duration::from_mins(1);
/// The longest account file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// An account, never printed.
pub(super) struct Account {
    source: Source,
    current: ArcSwapOption<Current>,
}

/// Where the account is described.
enum Source {
    File(PathBuf),
    /// In the variable itself.
    Inline(String),
}

/// A token in use.
struct Current {
    project: Option<String>,
    header: HeaderValue,
    since: Moment,
    /// When to fetch the next.
    renew: Moment,
    /// When it is of no use any more.
    end: Moment,
}

impl Account {
    /// The account that the text describes or names, which may be a token of Google's instead: those
    /// begin with no brace and no slash. Reads nothing.
    pub(super) fn of(text: &str) -> Option<Arc<Self>> {
        if text.starts_with('{') {
            return Some(Self::at(Source::Inline(text.to_owned())));
        }
        let is_path = text.starts_with('/') || text.ends_with(".json");
        is_path.then(|| Self::in_file(text))
    }

    /// The account that the file at this path describes. Reads nothing.
    pub(super) fn in_file(path: &str) -> Arc<Self> {
        Self::at(Source::File(path.into()))
    }

    fn at(source: Source) -> Arc<Self> {
        Arc::new(Self {
            source,
            current: ArcSwapOption::empty(),
        })
    }

    /// The header with the token; none while there is none that is good.
    pub(super) fn header(&self, now: Moment) -> Option<HeaderValue> {
        let current = self.current.load();
        let current = current.as_ref().filter(|current| now < current.end)?;
        Some(current.header.clone())
    }

    /// The account's project, once it is known.
    pub(super) fn project(&self) -> Option<String> {
        self.current.load().as_ref()?.project.clone()
    }

    /// The token was refused: another is fetched, unless this one is quite new.
    pub(super) fn distrust(&self, now: Moment) {
        if let Some(current) = &*self.current.load() {
            self.distrust_token(current, now);
        }
    }

    /// Meanwhile there may be another token in its place, which nobody has refused.
    fn distrust_token(&self, refused: &Arc<Current>, now: Moment) {
        if now >= refused.since.plus(DISTRUST_AFTER) && now < refused.renew {
            let due = Arc::new(Current {
                project: refused.project.clone(),
                header: refused.header.clone(),
                since: now,
                renew: now,
                end: refused.end,
            });
            self.current.compare_and_swap(refused, Some(due));
        }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        let current = self.current.load();
        current.as_ref().is_none_or(|current| now >= current.renew)
    }

    /// The file anew each time: it may have been replaced.
    async fn file(&self) -> Result<File, String> {
        let text = match &self.source {
            Source::Inline(text) => text.clone(),
            Source::File(path) => {
                let opened = tokio::fs::File::open(path).await;
                // A key may look like a path: it is not told.
                let failed = |error: std::io::Error| format!("its file: {}", error.kind());
                let opened = opened.map_err(failed)?;
                let mut text = String::new();
                let read = opened.take(FILE_BYTES_MAX).read_to_string(&mut text).await;
                read.map_err(failed)?;
                text
            }
        };
        // What is wrong with a secret's text is not told: the message might quote it.
        serde_json::from_str(&text).map_err(|_| "not an account file".to_owned())
    }

    /// Takes a token into use.
    fn put(&self, grant: &Grant, project: Option<String>, now: Moment) -> Result<(), String> {
        let header = HeaderValue::from_str(&format!("Bearer {}", grant.token));
        let mut header = header.map_err(|_| "the token is not a header value".to_owned())?;
        header.set_sensitive(true);
        let mut margin = REFRESH_MARGIN.min(grant.life / 2);
        if margin == REFRESH_MARGIN {
            // Not all nodes at once.
            margin += REFRESH_MARGIN.mul_f64(fastrand::f64() / 10.0);
        }
        let guard = GUARD.min(grant.life / 4);
        self.current.store(Some(Arc::new(Current {
            project,
            header,
            since: now,
            renew: now.plus(grant.life.saturating_sub(margin)),
            end: now.plus(grant.life.saturating_sub(guard)),
        })));
        Ok(())
    }
}
