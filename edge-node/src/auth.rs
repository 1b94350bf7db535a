//! Who calls: the credential's hash against the keys that this node knows, and one question to
//! the control plane for a key that it does not. A 401 needs an authoritative no; when nobody can
//! say, the answer is 503. Deliberately not here: what a key may use (routing, admission).

use crate::control::ControlClient;
use crate::failure::{ErrorType, Failure, Fault};
use crate::timers::Timers;
use http::HeaderMap;
use shared::clock::Clock;
use shared::policy::Principal;
use shared::task::Tasks;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The keys that this node knows.
pub struct KeyRing {
    _private: (),
}

impl KeyRing {
    /// A key ring, filled from `file` when there is a good one and kept there.
    #[must_use]
    pub fn open(
        file: Option<PathBuf>,
        control: Option<Arc<ControlClient>>,
        clock: Clock,
        timers: &Timers,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let _ = (file, control, clock, timers, tasks);
        Arc::new(Self { _private: () })
    }

    /// Who sent these headers, for inference.
    ///
    /// # Errors
    /// 401 without a valid key, 403 for a management key, 503 when nobody can say.
    #[expect(clippy::unused_async, reason = "waits for a look-up")]
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Failure> {
        let _ = headers;
        Err(Failure::new(
            Fault::ControlPlane,
            503,
            ErrorType::ProviderOverloaded,
            "key_lookup",
            "the key can't be checked now; try again",
        )
        .with_retry_after(Duration::from_secs(1)))
    }

    /// The last account event that was applied.
    #[must_use]
    pub fn account_sequence(&self) -> u64 {
        0
    }

    /// Applies changes of keys.
    pub fn apply(&self, update: shared::proto::discovery::AccountUpdate) {
        drop(update);
    }
}
