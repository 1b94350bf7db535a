//! What is in a store: every kind of key with its layout, what its value is and whether it ever
//! changes. Paths have `/` between parts. The layout is on disk and must be kept stable.

use shared::id::NodeId;
use shared::key::{hex, unhex};
use std::fmt;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(digest)
    }

    /// The digest that `text` writes in hex.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// `catalog/chunk/SHA256`: a part of a catalogue revision, or a revision's description; its
    /// name is the digest of its value. Immutable.
    Chunk(Digest),
    /// `catalog/head`: the digest of the newest revision's description. Compare-and-set only.
    Head,
    /// `catalog/pause`: that no newer revision goes out, as JSON. Absent: the newest does.
    Pause,
    /// `ranking/wishes`: what operators want of endpoints, as JSON.
    Wishes,
    /// `fleet/duties`: which edges operators want drained, as JSON.
    Duties,
    /// `edge/NODE_ID`: what was last known of an edge, as JSON. Written when it comes and goes.
    Edge(NodeId),
}

/// A group of keys that are listed or watched together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefix {
    /// Everything.
    All,
    /// `catalog/head` alone: a revision is complete once it changes.
    Head,
    /// `catalog/chunk/`
    Chunks,
    /// `edge/`
    Edges,
}

impl Prefix {
    /// What the paths begin with.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Head => "catalog/head",
            Self::Chunks => "catalog/chunk/",
            Self::Edges => "edge/",
        }
    }
}

impl Key {
    /// Where the key is.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Chunk(digest) => format!("catalog/chunk/{digest}"),
            Self::Head => "catalog/head".to_owned(),
            Self::Pause => "catalog/pause".to_owned(),
            Self::Wishes => "ranking/wishes".to_owned(),
            Self::Duties => "fleet/duties".to_owned(),
            Self::Edge(node) => format!("edge/{node}"),
        }
    }

    /// The key at `path`; none when this version knows no such kind.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if let Some(text) = path.strip_prefix("catalog/chunk/") {
            return Digest::parse(text).map(Self::Chunk);
        }
        if let Some(node) = path.strip_prefix("edge/") {
            return (!node.is_empty()).then(|| Self::Edge(NodeId::from(node)));
        }
        match path {
            "catalog/head" => Some(Self::Head),
            "catalog/pause" => Some(Self::Pause),
            "ranking/wishes" => Some(Self::Wishes),
            "fleet/duties" => Some(Self::Duties),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = Key> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(|bytes| Key::Chunk(Digest(bytes))),
            Just(Key::Head),
            Just(Key::Pause),
            Just(Key::Wishes),
            Just(Key::Duties),
            "[A-Za-z0-9._-]{1,64}".prop_map(|node| Key::Edge(NodeId::from(node))),
        ]
    }

    proptest! {
        #[test]
        fn a_path_names_its_key(key in keys()) {
            prop_assert_eq!(Key::parse(&key.path()), Some(key));
        }
    }

    #[test]
    fn the_layout_is_stable() {
        let digest = Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Key::Chunk(digest).path(), format!("catalog/chunk/{hex}"));
        assert_eq!(Key::Head.path(), "catalog/head");
        assert_eq!(Key::Wishes.path(), "ranking/wishes");
        assert_eq!(Key::Edge(NodeId::from("fra1-a")).path(), "edge/fra1-a");
        for odd in ["", "catalog/heads", "catalog/chunk/ab", "edge/", "edges"] {
            assert_eq!(Key::parse(odd), None, "{odd}");
        }
    }
}
