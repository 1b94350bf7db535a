//! Own accounts at Google Cloud: where an own key is a service account's file, tokens are minted on
//! this node. The file's assertion goes to Google's token host alone, whatever the file says, and the
//! token to the key's own origin. One question at a time for each key; a token is replaced ahead of
//! its end by the first request that finds it due.

use super::Unusable;
use crate::credential::google::{Account, mint};
use crate::upstream::Upstream;
use http::HeaderValue;
use shared::clock::{Clock, Moment};
use std::sync::Arc;
use std::time::Duration;

/// After a failure nobody is asked for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// An account and its token.
pub(super) struct Minting {
    account: Arc<Account>,
    /// Not before this is the issuer asked again. Who holds it asks.
    again: tokio::sync::Mutex<Moment>,
}

impl Minting {
    /// None for what is no account's file.
    pub(super) fn of(text: &str) -> Option<Self> {
        let account = text.starts_with('{').then(|| Account::of(text)).flatten()?;
        Some(Self {
            account,
            again: tokio::sync::Mutex::default(),
        })
    }

    /// The token in use; none while there is none that is good.
    pub(super) fn header(&self, now: Moment) -> Option<HeaderValue> {
        self.account.header(now)
    }

    /// The token was refused.
    pub(super) fn distrust(&self, now: Moment) {
        self.account.distrust(now);
    }

    /// Sees to it that there is a good token. While the old one is good, one request fetches the next
    /// and the others go on.
    pub(super) async fn refresh(
        &self,
        issuer: &str,
        upstream: &dyn Upstream,
        clock: &Clock,
    ) -> Result<(), Unusable> {
        if !self.account.is_due(clock.now()) {
            return Ok(());
        }
        let good = || self.header(clock.now()).is_some();
        let mut again = match self.again.try_lock() {
            Ok(again) => again,
            Err(_) if good() => return Ok(()),
            Err(_) => self.again.lock().await,
        };
        let now = clock.now();
        if !self.account.is_due(now) {
            return Ok(());
        }
        if now >= *again
            && let Err(reason) = mint(&self.account, Some(issuer), upstream, clock).await
        {
            tracing::warn!(reason, "no token for an own account");
            *again = clock.now().plus(PAUSE);
        }
        if good() {
            Ok(())
        } else {
            Err(Unusable::NoToken)
        }
    }
}

#[cfg(test)]
mod tests;
