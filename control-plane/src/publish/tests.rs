use super::edges::{Edges, Introduction, Presence, TurnedAway};
use super::session::{Session, Update};
use crate::accounts::{AccountEvent, Change, Events};
use crate::encoded::Encoded;
use crate::registry::Published;
use crate::store::{Embedded, Store};
use crate::testing::{self, catalog};
use shared::catalog::file;
use shared::clock::{Clock, Moment};
use shared::duty::Duty;
use shared::id::{BootEpoch, NodeId, Region, Version};
use shared::key::KeyHash;
use shared::proto::discovery as wire;
use shared::proto::pushed::control_message::Body;
use shared::ranking::{Portion, RankingTable};
use shared::snapshot::{Rejected, Snapshot};
use std::sync::Arc;
use std::time::Duration;

const START: Moment = Moment(0);

const fn version(number: u64) -> Version {
    Version { epoch: 1, number }
}

fn published(number: u64, providers: &[&str]) -> Arc<Published> {
    let catalog = file::parse(&catalog(providers)).unwrap();
    let snapshot = Snapshot::from_catalog(version(number), &catalog).unwrap();
    let manifest = testing::signer().sign(&snapshot);
    Arc::new(Published::new(snapshot, manifest, START))
}

fn authority(update: Option<Update>) -> wire::AuthorityUpdate {
    match update.unwrap().read() {
        Some(Body::Authority(update)) => update,
        other => panic!("{other:?}"),
    }
}

fn names(update: &wire::AuthorityUpdate) -> Vec<&str> {
    update
        .upserts
        .iter()
        .map(|resource| resource.name.as_str())
        .collect()
}

#[test]
fn the_first_update_is_whole_and_the_next_are_changes() {
    let mut session = Session::new(None, 0, START);
    let (one, two) = (published(1, &["acme"]), published(2, &["acme", "beta"]));
    let first = authority(session.authority(&one, START));
    assert_eq!((first.base, first.upserts.len()), (None, 3));
    // One is on its way: what is newer waits and is then compared with what the edge holds.
    assert!(session.authority(&two, START).is_none());
    let took = session.acked(version(1), START.plus(Duration::from_millis(30)));
    assert_eq!(took, Some(Duration::from_millis(30)));
    let second = authority(session.authority(&two, START));
    assert_eq!(second.base, Some(version(1).into()));
    assert_eq!(names(&second), ["endpoint/lab/one@beta", "provider/beta"]);
    session.acked(version(2), START);
    let third = authority(session.authority(&published(3, &["beta"]), START));
    assert_eq!(third.removals, ["endpoint/lab/one@acme", "provider/acme"]);
    assert!(third.upserts.is_empty());
}

#[test]
fn an_edge_that_holds_the_content_gets_only_the_version() {
    let held = published(1, &["acme"]);
    let mut session = Session::new(Some((version(1), held.snapshot.clone())), 0, START);
    assert!(session.authority(&held, START).is_none());
    let update = authority(session.authority(&published(2, &["acme"]), START));
    assert_eq!(update.base, Some(version(1).into()));
    assert_eq!((update.upserts.len(), update.removals.len()), (0, 0));
}

#[test]
fn a_refused_version_is_not_sent_again_and_the_next_is_whole() {
    let mut session = Session::new(None, 0, START);
    let (one, two, three) = (
        published(1, &["acme"]),
        published(2, &["beta"]),
        published(3, &["acme"]),
    );
    session.authority(&one, START);
    session.acked(version(1), START);
    session.authority(&two, START);
    session.nacked(version(2));
    assert!(session.authority(&two, START).is_none());
    let next = authority(session.authority(&three, START));
    assert_eq!((next.base, next.upserts.len()), (None, 3));
}

#[test]
fn an_edge_that_refuses_single_resources_holds_the_rest() {
    let mut session = Session::new(None, 0, START);
    session.authority(&published(1, &["acme"]), START);
    session.nacked(version(1));
    assert!(session.acked(version(1), START).is_some());
    let next = authority(session.authority(&published(2, &["acme", "beta"]), START));
    assert_eq!(next.base, Some(version(1).into()));
}

#[test]
fn nothing_is_sent_before_the_first_catalogue_and_late_words_change_nothing() {
    let mut session = Session::new(None, 0, START);
    let empty = Snapshot::empty();
    let manifest = testing::signer().sign(&empty);
    let nothing = Arc::new(Published::new(empty, manifest, START));
    assert!(session.authority(&nothing, START).is_none());
    assert_eq!(session.acked(version(7), START), None);
    session.nacked(version(7));
    assert_eq!(session.waiting_since(), None);
    let first = authority(session.authority(&published(1, &["acme"]), START));
    assert_eq!(first.base, None);
}

#[test]
fn account_events_follow_on() {
    let mut session = Session::new(None, 4, START);
    // Asked once in any case: the edge may be ahead of the log.
    assert!(session.account_is_due(4));
    let none = Events {
        events: Vec::new(),
        sequence: 4,
        reset: false,
    };
    assert!(session.account(none).is_none());
    assert!(!session.account_is_due(4));
    assert!(session.account_is_due(5));
    let change = Change::Denied(KeyHash([7; 32]));
    let events = vec![AccountEvent {
        sequence: 5,
        change,
    }];
    let update = session
        .account(Events {
            events,
            sequence: 5,
            reset: false,
        })
        .unwrap();
    let Some(Body::Account(update)) = update.read() else {
        panic!("not an account update");
    };
    let denied = wire::account_event::Body::KeyDenied(vec![7; 32]);
    assert_eq!(update.events[0].body, Some(denied));
    assert_eq!((update.sequence, session.account_sequence()), (5, 5));
    let reset = Events {
        events: Vec::new(),
        sequence: 2,
        reset: true,
    };
    assert!(session.account(reset).is_some_and(|update| update.full));
    assert_eq!(session.account_sequence(), 2);
}

#[test]
fn rankings_are_whole_once_and_only_newer_ones_follow() {
    let mut session = Session::new(None, 0, START);
    let table = |number| {
        Arc::new(RankingTable {
            version: version(number),
            ..RankingTable::default()
        })
    };
    let portion = |usual| {
        Arc::new(Portion {
            usual,
            ..Portion::default()
        })
    };
    let rank = |session: &mut Session, number, usual| {
        let encoded = Encoded::default();
        session.ranking((&table(number), &encoded), &portion(usual), false)
    };
    let first = rank(&mut session, 1, 7);
    assert!(first.is_some_and(|update| update.full));
    assert!(rank(&mut session, 1, 7).is_none());
    let next = rank(&mut session, 3, 9).unwrap();
    let Some(Body::Ranking(update)) = next.read() else {
        panic!("not a ranking");
    };
    assert_eq!(update.base, Some(version(1).into()));
    assert_eq!(update.portion.and_then(|portion| portion.usual), Some(9));
    assert!(rank(&mut session, 2, 9).is_none());
    session.ranking_nacked();
    let whole = rank(&mut session, 3, 9);
    assert!(whole.is_some_and(|update| update.full));
}

fn introduction(node: &str, boot_epoch: u64) -> Introduction {
    Introduction {
        node: node.into(),
        pop: "fra1".into(),
        region: Region::from("eu"),
        boot_epoch: BootEpoch(boot_epoch),
        api_address: "127.0.0.1:8080".to_owned(),
        gossip_address: String::new(),
        build: "test".to_owned(),
        held: None,
        duty: Duty::default(),
    }
}

async fn edges(folder: &tempfile::TempDir, clock: &Clock) -> Edges {
    let store = Embedded::open(&folder.path().join("store.db"))
        .await
        .unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    Edges::open(store, clock.clone()).await.unwrap()
}

#[tokio::test]
async fn the_table_of_edges_says_who_serves_what() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    let edges = edges(&folder, &clock).await;
    let presence = edges.connect(introduction("a", 1)).unwrap();
    presence.acked(version(1));
    let resource = "endpoint/lab/one@acme".to_owned();
    let rejected = [Rejected {
        resource,
        reason: "odd".to_owned(),
    }];
    presence.nacked(version(2), &rejected);
    let edge = edges.list().remove(0);
    assert!(edge.connected && edge.is_refusing());
    assert_eq!((edge.acked, edge.nacks), (Some(version(1)), 1));
    assert_eq!(
        edge.last_nack,
        Some(("endpoint/lab/one@acme".to_owned(), "odd".to_owned()))
    );
    presence.acked(version(3));
    assert!(!edges.list().remove(0).is_refusing());
    drop(presence);
    assert!(!edges.list().remove(0).connected);
}

#[tokio::test]
async fn a_later_stream_of_a_node_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let edges = edges(&folder, &Clock::manual()).await;
    let mut first: Presence = edges.connect(introduction("a", 5)).unwrap();
    let refused = edges.connect(introduction("a", 4)).err();
    assert_eq!(refused, Some(TurnedAway::Superseded));
    let second = edges.connect(introduction("a", 5)).unwrap();
    first.replaced().await;
    // What the old stream still says is not the node's state any more.
    first.acked(version(9));
    drop(first);
    let edge = edges.list().remove(0);
    assert!(edge.connected && edge.acked.is_none());
    drop(second);
    // Without a stream, a clock that was set back is no reason to refuse.
    assert!(edges.connect(introduction("a", 1)).is_ok());
}

#[tokio::test]
async fn an_edge_is_remembered_until_it_has_been_gone_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    let table = edges(&folder, &clock).await;
    let presence = table.connect(introduction("a", 1)).unwrap();
    presence.acked(version(1));
    drop(presence);
    table.save(&NodeId::from("a")).await;
    drop(table);

    let table = edges(&folder, &clock).await;
    let edge = table.list().remove(0);
    assert!(!edge.connected);
    assert_eq!(edge.acked, Some(version(1)));
    let hour = Duration::from_secs(3600);
    clock.advance(hour);
    table.forget(2 * hour).await;
    assert_eq!(table.list().len(), 1);
    let present = table.connect(introduction("b", 1)).unwrap();
    clock.advance(3 * hour);
    table.forget(2 * hour).await;
    assert_eq!(table.list().len(), 1);
    drop((present, table));
    let table = edges(&folder, &clock).await;
    assert!(
        table.list().is_empty(),
        "it was forgotten for good, b was never saved"
    );
}
