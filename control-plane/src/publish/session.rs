//! What one edge is sent next, as a state machine without I/O: it knows what the edge holds, what
//! is on its way, and compares that with what is newest. One authority update is on its way at a
//! time; after a refusal the next one is whole, because what the edge holds is then not certain.

use crate::accounts::{AccountEvent, Change as KeyChange, Events};
use crate::encoded::Encoded;
use crate::registry::Published;
use shared::clock::Moment;
use shared::duty::Duty;
use shared::gossip::Circle;
use shared::id::Version;
use shared::proto::discovery as wire;
use shared::proto::pushed::control_message::Body;
use shared::proto::pushed::{ControlMessage, Member};
use shared::ranking::{Portion, RankingTable};
use shared::rate::Share;
use shared::snapshot::{Resource, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// What an edge holds.
#[derive(Clone, Debug)]
enum Held {
    /// Nothing, or something of which the content is not known here: the next update is whole.
    Unknown,
    /// This content under this version.
    Known(Version, Snapshot),
}

struct OnItsWay {
    update: Arc<Published>,
    sent: Moment,
}

/// The ranking that was sent last.
struct SentRanking {
    table: Arc<RankingTable>,
    portion: Arc<Portion>,
}

/// One edge's session.
pub(super) struct Session {
    held: Held,
    on_its_way: Option<OnItsWay>,
    /// Sent and refused: not sent again. An edge that refuses single resources takes the rest, and
    /// says so after its refusal.
    refused: Option<Arc<Published>>,
    account_sequence: u64,
    /// The log was asked at least once: an edge may be ahead of it, and must then start anew.
    account_asked: bool,
    ranking: Option<SentRanking>,
    /// When the stream began: what is older could not have been pushed before.
    begun: Moment,
}

/// An update for the wire, and whether it is whole.
pub(super) struct Update {
    pub(super) message: ControlMessage,
    pub(super) full: bool,
}

impl Session {
    /// Of an edge that has applied account events up to `account_sequence`; `held` is what it
    /// says that it holds, where the content is known.
    pub(super) fn new(
        held: Option<(Version, Snapshot)>,
        account_sequence: u64,
        begun: Moment,
    ) -> Self {
        let held = held.map_or(Held::Unknown, |(version, snapshot)| {
            Held::Known(version, snapshot)
        });
        Self {
            held,
            on_its_way: None,
            refused: None,
            account_sequence,
            account_asked: false,
            ranking: None,
            begun,
        }
    }

    /// Whether [`Session::authority`] would send something.
    pub(super) fn authority_is_due(&self, newest: &Published) -> bool {
        let version = newest.snapshot.version();
        let holds = matches!(&self.held, Held::Known(held, _) if *held == version);
        let refused = self.refused.as_ref();
        let refused = refused.is_some_and(|update| update.snapshot.version() == version);
        let nothing_yet = version.number == 0;
        !(nothing_yet || holds || refused || self.on_its_way.is_some())
    }

    /// The catalogue, as a change where the edge holds a base for one.
    pub(super) fn authority(&mut self, newest: &Arc<Published>, now: Moment) -> Option<Update> {
        if !self.authority_is_due(newest) {
            return None;
        }
        let bytes = match &self.held {
            Held::Unknown => newest.encoded.whole(|| {
                let resources = newest.snapshot.resources().collect();
                authority_update(newest, None, (resources, Vec::new()))
            }),
            Held::Known(base, snapshot) => newest.encoded.change((*base, snapshot.root()), || {
                authority_update(newest, Some(*base), snapshot.diff(&newest.snapshot))
            }),
        };
        self.on_its_way = Some(OnItsWay {
            update: Arc::clone(newest),
            sent: now,
        });
        let full = matches!(self.held, Held::Unknown);
        let message = ControlMessage::of_shared(Member::Authority, bytes, &());
        Some(Update { message, full })
    }

    /// How long something made at `since` has taken to `now`, as far as this stream can be blamed.
    pub(super) fn took(&self, since: Moment, now: Moment) -> Duration {
        now.since(since.max(self.begun))
    }

    /// The edge serves `version`. Gives how long that took, if it was sent here.
    pub(super) fn acked(&mut self, version: Version, now: Moment) -> Option<Duration> {
        let is_it = |update: &Published| update.snapshot.version() == version;
        let sent = self.on_its_way.take_if(|way| is_it(&way.update));
        let partly = || self.refused.take_if(|update| is_it(update));
        let update = sent.map(|way| way.update).or_else(partly)?;
        self.held = Held::Known(version, update.snapshot.clone());
        Some(self.took(update.since, now))
    }

    /// The edge refuses `version`, or parts of it.
    pub(super) fn nacked(&mut self, version: Version) {
        let refused = |way: &mut OnItsWay| way.update.snapshot.version() == version;
        if let Some(OnItsWay { update, .. }) = self.on_its_way.take_if(refused) {
            self.refused = Some(update);
            self.held = Held::Unknown;
        }
    }

    /// When the update on its way was sent.
    pub(super) fn waiting_since(&self) -> Option<Moment> {
        self.on_its_way.as_ref().map(|way| way.sent)
    }

    /// The last account event that the edge was sent.
    pub(super) const fn account_sequence(&self) -> u64 {
        self.account_sequence
    }

    /// Whether the log is to be asked what has happened to keys, `newest` being its head.
    pub(super) const fn account_is_due(&self, newest: u64) -> bool {
        newest > self.account_sequence || !self.account_asked
    }

    /// What happened to keys since then.
    pub(super) fn account(&mut self, events: Events) -> Option<Update> {
        self.account_asked = true;
        if events.events.is_empty() && !events.reset {
            return None;
        }
        self.account_sequence = events.sequence;
        let full = events.reset;
        let update = wire::AccountUpdate {
            events: events.events.into_iter().map(account_event).collect(),
            sequence: events.sequence,
            reset: events.reset,
        };
        let message = Body::Account(update).into();
        Some(Update { message, full })
    }

    /// Whether [`Session::ranking`] would send something.
    pub(super) fn ranking_is_due(&self, newest: &RankingTable) -> bool {
        let sent = self.ranking.as_ref();
        sent.is_none_or(|sent| sent.table.version < newest.version)
    }

    /// The region's ranking and the edge's portion: whole at first, then what has changed, also when
    /// that is nothing but the time. `encoded` is what all edges are sent of `newest`;
    /// `acknowledge` asks this one to say that it took it.
    pub(super) fn ranking(
        &mut self,
        (newest, encoded): (&Arc<RankingTable>, &Encoded<Version>),
        portion: &Arc<Portion>,
        acknowledge: bool,
    ) -> Option<Update> {
        if !self.ranking_is_due(newest) {
            return None;
        }
        let full = self.ranking.is_none();
        let bytes = match &self.ranking {
            None => encoded.whole(|| wire::RankingUpdate::from(&**newest)),
            Some(sent) => encoded.change(sent.table.version, || {
                wire::RankingUpdate::from(&newest.diff(&sent.table))
            }),
        };
        let mut own = wire::RankingUpdate::default();
        let before = self.ranking.as_ref().map(|sent| &sent.portion);
        if !before.is_some_and(|before| Arc::ptr_eq(before, portion)) {
            let nothing = Portion::default();
            own = (&portion.diff(before.map_or(&nothing, AsRef::as_ref))).into();
        }
        own.acknowledge = acknowledge;
        self.ranking = Some(SentRanking {
            table: Arc::clone(newest),
            portion: Arc::clone(portion),
        });
        let message = ControlMessage::of_shared(Member::Ranking, bytes, &own);
        Some(Update { message, full })
    }

    /// The edge refuses a ranking: the next one is whole.
    pub(super) fn ranking_nacked(&mut self) {
        self.ranking = None;
    }
}

impl Update {
    /// As the edge reads it.
    #[cfg(test)]
    pub(super) fn read(&self) -> Option<Body> {
        let bytes = prost::Message::encode_to_vec(&self.message);
        let message: ControlMessage = prost::Message::decode(bytes.as_slice()).unwrap();
        message.body
    }

    /// Shares of limits of requests per minute.
    pub(super) fn rates(shares: &[Share]) -> Self {
        Self {
            message: Body::Rates(shares.into()).into(),
            full: false,
        }
    }

    /// What operators want of an edge.
    pub(super) fn duty(duty: Duty) -> Self {
        Self {
            message: Body::Duty(duty.into()).into(),
            full: true,
        }
    }

    /// The peers of an edge.
    pub(super) fn peers(circle: &Circle) -> Self {
        Self {
            message: Body::Peers(circle.into()).into(),
            full: true,
        }
    }
}

fn authority_update(
    newest: &Published,
    base: Option<Version>,
    (upserts, removals): (Vec<Resource>, Vec<String>),
) -> wire::AuthorityUpdate {
    wire::AuthorityUpdate {
        manifest: Some((&newest.manifest).into()),
        base: base.map(Into::into),
        upserts: upserts.iter().map(Into::into).collect(),
        removals,
    }
}

fn account_event(event: AccountEvent) -> wire::AccountEvent {
    use wire::account_event::Body;
    let body = match event.change {
        KeyChange::Denied(key) => Body::KeyDenied(key.0.to_vec()),
        KeyChange::Changed(key) => Body::KeyChanged(key.0.to_vec()),
        KeyChange::Org(org) => Body::OrgChanged(org.to_string()),
        KeyChange::Recall(purse) => Body::LeasesRecalled(purse.to_string()),
    };
    wire::AccountEvent {
        sequence: event.sequence,
        body: Some(body),
    }
}
