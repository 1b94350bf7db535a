//! Operators' wishes on disk: out of service stays out of service over a restart.

use crate::store::{Epoch, Key, Precondition, Store, StoreError};
use serde::{Deserialize, Serialize};
use shared::id::EndpointId;
use shared::ranking::{OperatorWish, State};
use std::collections::BTreeMap;

/// A wish as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawn: Option<String>,
    #[serde(default)]
    pinned: bool,
    weight: f64,
}

/// What the store remembers; what can't be read is told and left out.
pub(super) async fn load(
    store: &dyn Store,
) -> Result<BTreeMap<EndpointId, OperatorWish>, StoreError> {
    let Some(entry) = store.get(&Key::Wishes).await? else {
        return Ok(BTreeMap::new());
    };
    let stored: BTreeMap<EndpointId, Stored> = match serde_json::from_slice(&entry.value) {
        Ok(stored) => stored,
        Err(error) => {
            tracing::error!(%error, "operators' wishes for endpoints can't be read");
            BTreeMap::new()
        }
    };
    let wish = |stored: Stored| OperatorWish {
        withdrawn: stored.withdrawn.as_deref().and_then(State::parse),
        pinned: stored.pinned,
        favour: stored.weight,
    };
    let all = stored.into_iter();
    Ok(all
        .map(|(endpoint, stored)| (endpoint, wish(stored)))
        .collect())
}

/// Remembers all wishes.
pub(super) async fn save(
    store: &dyn Store,
    epoch: Epoch,
    wishes: &BTreeMap<EndpointId, OperatorWish>,
) -> Result<(), StoreError> {
    let stored = wishes.iter().map(|(endpoint, wish)| {
        let stored = Stored {
            withdrawn: wish.withdrawal().map(|state| state.as_str().to_owned()),
            pinned: wish.pinned,
            weight: wish.weight(),
        };
        (endpoint, stored)
    });
    let stored: BTreeMap<_, _> = stored.collect();
    // A map of texts and numbers can't fail to be written.
    let value = serde_json::to_vec(&stored).unwrap_or_default();
    store
        .put(&Key::Wishes, value, Precondition::None, Some(epoch))
        .await?;
    Ok(())
}
