//! `godwit.discovery.v1.ControlMessage`, by hand: what a thousand edges are sent is encoded once and
//! shared, with each edge's own fields behind it. On the wire, and for whoever reads it, it is the
//! message of the `.proto` file. Deliberately not here: who shares what.

use super::discovery::{
    AccountUpdate, AuthorityUpdate, Duty, PeerUpdate, RankingUpdate, RateShares,
};
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len, skip_field,
};
use prost::{DecodeError, Message};

/// What is in a message.
pub mod control_message {
    use super::{AccountUpdate, AuthorityUpdate, Duty, PeerUpdate, RankingUpdate, RateShares};

    /// One of the six.
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
        /// Shares of requests per minute.
        #[prost(message, tag = "5")]
        Rates(RateShares),
        /// What operators want of the edge itself.
        #[prost(message, tag = "6")]
        Duty(Duty),
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

/// Before each message of a stream: not compressed, and how long it is.
const FRAME_HEADER: usize = 5;
/// Shared bytes up to here are copied: one short write costs less than two.
const COPIED_MAX: usize = 4 * 1024;

impl ControlMessage {
    /// The message as a gRPC stream has it, in one or two pieces; large shared bytes are not copied.
    /// None when it is longer than such a stream can say.
    #[must_use]
    pub fn into_frame(self) -> Option<(Bytes, Option<Bytes>)> {
        let len = self.encoded_len();
        let mut head = Vec::with_capacity(FRAME_HEADER + len.min(COPIED_MAX) + FRAME_HEADER);
        head.put_u8(0);
        head.put_u32(u32::try_from(len).ok()?);
        match self.shared {
            Some(shared) if shared.bytes.len() > COPIED_MAX => {
                shared.begin(&mut head);
                // Fields may stand in any order.
                head.put_slice(&shared.own);
                Some((head.into(), Some(shared.bytes)))
            }
            _ => {
                self.encode_raw(&mut head);
                Some((head.into(), None))
            }
        }
    }
}

impl Shared {
    /// What stands before its bytes.
    fn begin(&self, buf: &mut impl BufMut) {
        encode_key(self.member as u32, WireType::LengthDelimited, buf);
        encode_varint(self.len() as u64, buf);
    }

    fn len(&self) -> usize {
        self.bytes.len() + self.own.len()
    }
}

impl Message for ControlMessage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if let Some(shared) = &self.shared {
            shared.begin(buf);
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
            1..=6 => Body::merge(&mut self.body, tag, wire_type, buf, ctx),
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
    fn a_frame_is_the_message_with_its_length_and_large_bytes_are_not_copied() {
        let own = RankingUpdate {
            acknowledge: true,
            ..RankingUpdate::default()
        };
        for rows in [1, 2000] {
            let common = RankingUpdate {
                rows: vec![row("some-model@some-provider"); rows],
                ..RankingUpdate::default()
            };
            let bytes = Bytes::from(common.encode_to_vec());
            let message = ControlMessage::of_shared(Member::Ranking, bytes.clone(), &own);
            let (head, rest) = message.into_frame().unwrap();
            assert_eq!(rest.is_some(), rows > 1);
            if let Some(rest) = &rest {
                assert_eq!(rest.as_ptr(), bytes.as_ptr(), "the same bytes");
            }
            let frame = [head, rest.unwrap_or_default()].concat();
            let (header, body) = frame.split_at(FRAME_HEADER);
            let len = u32::try_from(body.len()).unwrap().to_be_bytes();
            assert_eq!(header, [&[0], len.as_slice()].concat());
            let whole = RankingUpdate {
                acknowledge: true,
                ..common
            };
            let read = ControlMessage::decode(body).unwrap();
            assert_eq!(read, Body::Ranking(whole).into());
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        // Field 9, two bytes long.
        let read = ControlMessage::decode([0x4a, 2, 1, 2].as_slice()).unwrap();
        assert_eq!(read, ControlMessage::default());
        assert_eq!(read.encoded_len(), 0);
    }
}
