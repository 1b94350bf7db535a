//! The peers of a point of presence on the wire.

use super::{ConvertError, bytes, named};
use crate::gossip::{Circle, PEERS_MAX};
use crate::proto::discovery as wire;

impl From<&Circle> for wire::PeerUpdate {
    fn from(circle: &Circle) -> Self {
        let peer = |(node, address): &(String, std::net::SocketAddr)| wire::Peer {
            node_id: node.clone(),
            address: address.to_string(),
        };
        Self {
            peers: circle.peers.iter().map(peer).collect(),
            key: circle.secret.to_vec(),
        }
    }
}

impl TryFrom<wire::PeerUpdate> for Circle {
    type Error = ConvertError;
    fn try_from(update: wire::PeerUpdate) -> Result<Self, ConvertError> {
        let mut peers = Vec::new();
        for peer in update.peers.iter().take(PEERS_MAX) {
            let node = named("peers.node_id", &peer.node_id)?.to_owned();
            let address = peer.address.parse();
            let address = address.map_err(|error| ConvertError::new("peers.address", error))?;
            peers.push((node, address));
        }
        Ok(Self {
            secret: bytes("peers.key", &update.key)?,
            peers,
        })
    }
}
