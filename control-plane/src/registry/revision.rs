//! How a catalogue revision lies in the store: a description that names its parent and its chunks
//! by their digests, and chunks that each hold the resources of one bucket of names, encoded as
//! they go over the wire. A change of one resource changes one chunk. The layout must stay
//! readable.

use crate::store::key::Digest;
use prost::Message;
use serde::{Deserialize, Serialize};
use shared::proto::discovery as wire;
use shared::snapshot::{Resource, Snapshot};
use std::collections::BTreeMap;

/// Aimed at per chunk; a chunk of typical resources is about 20 KB.
const RESOURCES_PER_CHUNK: usize = 64;
/// A description names at most so many chunks (64 bytes of hex each).
const CHUNKS_MAX: usize = 4096;

/// One revision of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Description {
    /// Counts up from 1.
    pub number: u64,
    /// The revision before.
    pub parent: Option<Digest>,
    /// When, in milliseconds since 1970.
    pub applied_unix_ms: u64,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
    /// How many resources it holds.
    pub resources: usize,
    /// Of the catalogue's folder, as it was when last loaded.
    pub source: Option<Digest>,
    /// Its content.
    pub chunks: Vec<Digest>,
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256 in hex"))
    }
}

/// The digest of a folder's files: names and texts.
pub(super) fn source_of(files: &BTreeMap<String, String>) -> Digest {
    let mut all = Vec::new();
    for (name, text) in files {
        for part in [name.as_bytes(), text.as_bytes()] {
            all.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            all.extend(part);
        }
    }
    Digest::of(&all)
}

/// A snapshot's resources as chunks.
pub(super) fn chunks_of(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let wanted = snapshot.resource_count().div_ceil(RESOURCES_PER_CHUNK);
    // A power of two, so that the count, and with it every chunk, changes seldom.
    let count = wanted.next_power_of_two().clamp(1, CHUNKS_MAX);
    let mut chunks = vec![Vec::new(); count];
    for resource in snapshot.resources() {
        let bucket = bucket_of(&resource.name(), count);
        if let Some(chunk) = chunks.get_mut(bucket) {
            let encoded = wire::Resource::from(&resource).encode_length_delimited_to_vec();
            chunk.extend(encoded);
        }
    }
    chunks
}

/// The resources of one chunk.
///
/// # Errors
/// When the bytes are no chunk.
pub(super) fn resources_of(mut chunk: &[u8]) -> Result<Vec<Resource>, prost::DecodeError> {
    let mut resources = Vec::new();
    while !chunk.is_empty() {
        let resource = wire::Resource::decode_length_delimited(&mut chunk)?;
        resources.push(Resource::read(resource));
    }
    Ok(resources)
}

/// Where a resource of that name lies; `count` is a power of two.
fn bucket_of(name: &str, count: usize) -> usize {
    let Digest(digest) = Digest::of(name.as_bytes());
    let [first, second, ..] = digest;
    usize::from(u16::from_be_bytes([first, second])) & (count - 1)
}
