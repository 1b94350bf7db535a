//! What is pushed to an edge, read no further than a simulated edge needs: a thousand edges on one
//! machine would otherwise spend it on rows that nobody uses. Deliberately not here: the members
//! that no simulated edge looks at.

use prost::bytes::Bytes;
use shared::proto::discovery::{Manifest, RankingRow, RankingUpdate, Version};
use shared::ranking::State;

/// A `ControlMessage`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Glance {
    /// What is in it.
    #[prost(oneof = "Push", tags = "1, 2, 3, 4")]
    pub(super) push: Option<Push>,
}

/// What is in a message.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Push {
    #[prost(message, tag = "1")]
    Authority(Authority),
    #[prost(bytes, tag = "2")]
    Account(Bytes),
    #[prost(message, tag = "3")]
    Ranking(Ranking),
    #[prost(bytes, tag = "4")]
    Peers(Bytes),
}

/// An `AuthorityUpdate`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Authority {
    #[prost(message, optional, tag = "1")]
    pub(super) manifest: Option<Manifest>,
}

/// A `RankingUpdate`, with rows and removals as they came.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Ranking {
    #[prost(message, optional, tag = "1")]
    pub(super) version: Option<Version>,
    #[prost(message, optional, tag = "2")]
    pub(super) base: Option<Version>,
    #[prost(uint64, tag = "3")]
    pub(super) generated_unix_ms: u64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(super) rows: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) removals: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) portion: Option<Bytes>,
    #[prost(bool, tag = "7")]
    pub(super) acknowledge: bool,
}

impl Ranking {
    /// Does it tell that an endpoint is no longer as usual?
    pub(super) fn accuses(&self, endpoint: &str) -> bool {
        let row = |row: &&Bytes| {
            // The first field is the endpoint's name: a tag, its length, itself.
            row.get(2..)
                .is_some_and(|rest| rest.starts_with(endpoint.as_bytes()))
        };
        let row = self.rows.iter().find(row).cloned();
        let row = row.and_then(|row| <RankingRow as prost::Message>::decode(row).ok());
        row.is_some_and(|row| row.endpoint == endpoint && row.state != State::Closed.as_str())
    }

    /// Read in full.
    pub(super) fn whole(&self) -> Result<RankingUpdate, prost::DecodeError> {
        let bytes = prost::Message::encode_to_vec(self);
        prost::Message::decode(bytes.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use shared::proto::discovery::Portion;
    use shared::proto::pushed::ControlMessage;
    use shared::proto::pushed::control_message::Body;

    #[test]
    fn a_glance_holds_everything_of_a_ranking() {
        let version = Some(Version {
            epoch: 1,
            number: 2,
        });
        let update = RankingUpdate {
            version,
            base: version,
            generated_unix_ms: 3,
            rows: vec![RankingRow {
                endpoint: "a@b".to_owned(),
                state: "open".to_owned(),
                cap: 7,
                ..RankingRow::default()
            }],
            removals: vec!["c@d".to_owned()],
            portion: Some(Portion::default()),
            acknowledge: true,
        };
        let message = ControlMessage::from(Body::Ranking(update.clone()));
        let glance = Glance::decode(message.encode_to_vec().as_slice()).unwrap();
        let Some(Push::Ranking(ranking)) = glance.push else {
            panic!("not a ranking");
        };
        assert_eq!(ranking.whole().unwrap(), update);
        assert!(ranking.accuses("a@b"));
        assert!(!ranking.accuses("a@") && !ranking.accuses("c@d"));
        assert_eq!(ranking.encoded_len(), update.encoded_len());
    }
}
