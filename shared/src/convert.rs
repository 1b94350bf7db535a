//! The one door between wire types and ours: nothing else reads or makes protobuf messages but
//! the RPC edges. What can't be understood is refused with the field and the reason, never
//! guessed; what we made ourselves always survives the round trip.

mod account;
mod catalog;
mod gossip;
mod ranking;
mod rate;
mod telemetry;

use crate::duty::Duty;
use crate::id::Version;
use crate::manifest::Manifest;
use crate::proto::discovery as wire;
use crate::snapshot::Rejected;
use std::fmt::Display;

/// A wire message that isn't what it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConvertError {
    /// Where.
    pub field: String,
    /// What is wrong there.
    pub reason: String,
}

impl ConvertError {
    pub(crate) fn new(field: impl Into<String>, reason: impl Display) -> Self {
        Self {
            field: field.into(),
            reason: reason.to_string(),
        }
    }
}

/// A field that has to be there.
fn present<T>(field: &str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or_else(|| ConvertError::new(field, "missing"))
}

/// A name that has to be there.
fn named<'a>(field: &str, text: &'a str) -> Result<&'a str, ConvertError> {
    if text.is_empty() {
        return Err(ConvertError::new(field, "missing"));
    }
    Ok(text)
}

/// A text that stands for a value.
fn parsed<T>(
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, ConvertError> {
    parse(text).ok_or_else(|| ConvertError::new(field, format_args!("unknown value {text:?}")))
}

/// Exactly `N` bytes.
fn bytes<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], ConvertError> {
    bytes
        .try_into()
        .map_err(|_| ConvertError::new(field, format_args!("{} bytes instead of {N}", bytes.len())))
}

impl From<Version> for wire::Version {
    fn from(version: Version) -> Self {
        Self {
            epoch: version.epoch,
            number: version.number,
        }
    }
}
impl From<wire::Version> for Version {
    fn from(version: wire::Version) -> Self {
        Self {
            epoch: version.epoch,
            number: version.number,
        }
    }
}

impl From<Duty> for wire::Duty {
    fn from(Duty { number, draining }: Duty) -> Self {
        Self { number, draining }
    }
}
impl From<wire::Duty> for Duty {
    fn from(wire::Duty { number, draining }: wire::Duty) -> Self {
        Self { number, draining }
    }
}

impl From<&Manifest> for wire::Manifest {
    fn from(manifest: &Manifest) -> Self {
        Self {
            version: Some(manifest.version.into()),
            root: manifest.root.to_vec(),
            resource_count: manifest.resource_count,
            key_id: manifest.key_id.clone(),
            signature: manifest.signature.clone(),
        }
    }
}
impl TryFrom<wire::Manifest> for Manifest {
    type Error = ConvertError;
    fn try_from(manifest: wire::Manifest) -> Result<Self, ConvertError> {
        Ok(Self {
            version: present("manifest.version", manifest.version)?.into(),
            root: bytes("manifest.root", &manifest.root)?,
            resource_count: manifest.resource_count,
            key_id: manifest.key_id,
            signature: manifest.signature,
        })
    }
}

impl From<Rejected> for wire::Rejection {
    fn from(rejected: Rejected) -> Self {
        Self {
            resource: rejected.resource,
            reason: rejected.reason,
        }
    }
}
impl From<wire::Rejection> for Rejected {
    fn from(rejection: wire::Rejection) -> Self {
        Self {
            resource: rejection.resource,
            reason: rejection.reason,
        }
    }
}

#[cfg(test)]
mod tests;
