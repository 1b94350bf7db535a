//! `godwit.discovery.v1.ControlMessage`, by hand: what a thousand edges are sent is encoded once and
//! shared, with each edge's own fields behind it. On the wire, and for whoever reads it, it is the
//! message of the `.proto` file. Deliberately not here: who shares what.

use super::discovery::{AccountUpdate, AuthorityUpdate, PeerUpdate, RankingUpdate};
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len, skip_field,
};
use prost::{DecodeError, Message};

/// What is in a message.
pub mod control_message {
    use super::{AccountUpdate, AuthorityUpdate, PeerUpdate, RankingUpdate};

    /// One of the four.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Body {
        /// Catalogue.
        #[prost(message, tag = "1")]
        Authority(AuthorityUpdate),
        /// Keys.
        #[prost(message, tag = "2")]
        Account(AccountUpdate),
        /// Weights.
        #[prost(message, tag = "3")]
        Ranking(RankingUpdate),
        /// Peers.
        #[prost(message, tag = "4")]
        Peers(PeerUpdate),
    }
}

use control_message::Body;

/// One message to an edge.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ControlMessage {
    /// What was read, or what is to be encoded. None in what was made of shared bytes.
    pub body: Option<Body>,
    shared: Option<Shared>,
}

/// Which member of the message shared bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Member {
    /// An [`AuthorityUpdate`].
    Authority = 1,
    /// A [`RankingUpdate`].
    Ranking = 3,
}

#[derive(Clone, PartialEq, Debug)]
struct Shared {
    member: Member,
    bytes: Bytes,
    own: Vec<u8>,
}

impl From<Body> for ControlMessage {
    fn from(body: Body) -> Self {
        let body = Some(body);
        Self { body, shared: None }
    }
}

impl ControlMessage {
    /// A message whose `member` is what `bytes` encode, with the fields of `own` added: fields of
    /// one message may stand in any order, and what is encoded twice is merged.
    #[must_use]
    pub fn of_shared(member: Member, bytes: Bytes, own: &impl Message) -> Self {
        let own = own.encode_to_vec();
        let shared = Shared { member, bytes, own };
        Self {
            body: None,
            shared: Some(shared),
        }
    }
}

impl Shared {
    fn len(&self) -> usize {
        self.bytes.len() + self.own.len()
    }
}

impl Message for ControlMessage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if let Some(shared) = &self.shared {
            encode_key(shared.member as u32, WireType::LengthDelimited, buf);
            encode_varint(shared.len() as u64, buf);
            buf.put_slice(&shared.bytes);
            buf.put_slice(&shared.own);
        } else if let Some(body) = &self.body {
            body.encode(buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1..=4 => Body::merge(&mut self.body, tag, wire_type, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        match (&self.shared, &self.body) {
            (Some(shared), _) => {
                let len = shared.len();
                key_len(shared.member as u32) + encoded_len_varint(len as u64) + len
            }
            (None, Some(body)) => body.encoded_len(),
            (None, None) => 0,
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::discovery::{Portion, RankingRow, Version};

    fn row(endpoint: &str) -> RankingRow {
        RankingRow {
            endpoint: endpoint.to_owned(),
            cap: 7,
            ..RankingRow::default()
        }
    }

    #[test]
    fn shared_bytes_and_own_fields_are_one_message() {
        let common = RankingUpdate {
            version: Some(Version {
                epoch: 1,
                number: 2,
            }),
            rows: vec![row("a@b"), row("c@d")],
            ..RankingUpdate::default()
        };
        let own = RankingUpdate {
            portion: Some(Portion {
                usual: Some(3),
                ..Portion::default()
            }),
            acknowledge: true,
            ..RankingUpdate::default()
        };
        let bytes = Bytes::from(common.encode_to_vec());
        let message = ControlMessage::of_shared(Member::Ranking, bytes, &own);
        let encoded = message.encode_to_vec();
        assert_eq!(encoded.len(), message.encoded_len());
        let whole = RankingUpdate {
            portion: own.portion,
            acknowledge: true,
            ..common
        };
        let read = ControlMessage::decode(encoded.as_slice()).unwrap();
        assert_eq!(read, Body::Ranking(whole).into());
        assert_eq!(
            ControlMessage::decode(read.encode_to_vec().as_slice()).unwrap(),
            read
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        // Field 9, two bytes long.
        let read = ControlMessage::decode([0x4a, 2, 1, 2].as_slice()).unwrap();
        assert_eq!(read, ControlMessage::default());
        assert_eq!(read.encoded_len(), 0);
    }
}
