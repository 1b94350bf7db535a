//! What edges of one point of presence tell each other, without a control plane between them: that
//! they leave an endpoint alone. Pure: packets in and out as bytes, time passed in. Sockets are the
//! edge's concern. What is heard is a peer's word: it counts here for a bounded time and is never
//! reported on.

mod hearsay;
mod packet;
mod window;

pub use hearsay::{HEARD_MAX, Hearsay};
pub use packet::{Key, NEWS_MAX, News, PACKET_MAX, Packet, SENDER_MAX, open, seal};
pub use window::{Arrivals, CLOCK_MAX};

use std::net::SocketAddr;

/// The most peers of an edge.
pub const PEERS_MAX: usize = 64;

/// The other edges of a point of presence, and the key that they share.
#[derive(Clone, PartialEq, Eq)]
pub struct Circle {
    /// What the key is made of.
    pub secret: [u8; 32],
    /// Name and address; without this node.
    pub peers: Vec<(String, SocketAddr)>,
}

impl std::fmt::Debug for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Circle")
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Why a packet counts for nothing; a metric label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// Too short or too long.
    Size,
    /// Not made with the key of this point of presence.
    Forged,
    /// Made with the key, and still no packet.
    Malformed,
    /// From nobody on the list.
    Stranger,
    /// Made too long ago, or in the future.
    Late,
    /// Had before, or of an earlier run of the sender.
    Replayed,
    /// More than the sender may send.
    Flood,
}

impl Dropped {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Late => "late",
            Self::Replayed => "replayed",
            Self::Flood => "flood",
        }
    }
}

#[cfg(test)]
mod tests;
