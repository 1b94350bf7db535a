//! Names as types, so that a provider slug can't be passed where a model id is meant. Cheap to
//! clone (shared text), ordered and hashed as their text.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id!(
    /// A provider's slug, `^[a-z0-9][a-z0-9-]*$`.
    ProviderSlug
);
text_id!(
    /// A model's id, `author/slug`.
    ModelId
);
text_id!(
    /// An endpoint's id, `author/slug@tag`: unique in a snapshot.
    EndpointId
);
text_id!(
    /// An organisation's id, `org_…`.
    OrgId
);
text_id!(
    /// A part of an organisation, `ws_…`: keys belong to one.
    WorkspaceId
);
text_id!(
    /// A person's id, `user_…`.
    UserId
);
text_id!(
    /// What a limit is about: a key's hash, or the id of a user, a workspace, an organisation.
    LimitId
);
text_id!(
    /// An edge node's id, unique in the fleet and stable over restarts.
    NodeId
);
text_id!(
    /// A point of presence, e.g. `fra1`.
    Pop
);
text_id!(
    /// A region of the world that shares latency evidence, e.g. `eu-west`.
    Region
);
text_id!(
    /// A request's id, `gen-…`; unique for ever, the key of every usage record.
    GenerationId
);

impl EndpointId {
    /// The id of the endpoint of `model` with `tag`.
    #[must_use]
    pub fn of(model: &ModelId, tag: &str) -> Self {
        Self(format!("{model}@{tag}").into())
    }
}

/// A run of one node between two starts: milliseconds since 1970 at its start, and larger than
/// any epoch of the node before.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootEpoch(pub u64);

/// A table's version: grows, never goes back. A new leadership starts a new epoch.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// The leadership under which it was made.
    pub epoch: u64,
    /// The count within the epoch.
    pub number: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}
