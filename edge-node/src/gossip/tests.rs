//! Two nodes over loopback: what one leaves alone, the other does; what is forged, replayed or odd
//! does nothing.

use super::*;
use crate::control::Pem;
use shared::id::EndpointId;
use shared::task::Tasks;

const SECRET: [u8; 32] = [7; 32];

fn circle(peers: &[(&str, SocketAddr)]) -> Circle {
    let peers = peers.iter().map(|(node, at)| ((*node).to_owned(), *at));
    Circle {
        secret: SECRET,
        peers: peers.collect(),
    }
}

async fn node(name: &str, clock: &Clock) -> (Gossip, Service, Arc<Board>) {
    let board = Arc::new(Board::default());
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        address: None,
    };
    let who = (NodeId::from(name), BootEpoch(1));
    let keep = Keep::default();
    let bound = bind(config, who, Arc::clone(&board), keep, clock.clone()).await;
    let (gossip, service) = bound.unwrap();
    (gossip, service, board)
}

fn handle() -> Handle {
    Handle::of(&EndpointId::from("a/b@c"))
}

fn paused(board: &Board, now: Moment) -> bool {
    let ask = Ask {
        handle: handle(),
        ..Ask::default()
    };
    board.local(&ask, now).paused
}

#[tokio::test]
async fn what_one_leaves_alone_the_other_does() {
    let clock = Clock::system();
    let (one, talks, _) = node("one", &clock).await;
    let (two, listens, board) = node("two", &clock).await;
    one.meet(circle(&[("two", two.address)])).await;
    two.meet(circle(&[("one", one.address)])).await;
    let tasks = Tasks::new();
    tasks.spawn("one", talks.run(tasks.stop_signal()));
    tasks.spawn("two", listens.run(tasks.stop_signal()));
    let until = clock.now().plus(Duration::from_secs(5));
    one.announce(handle(), until);
    let heard = async {
        while !paused(&board, clock.now()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard)
        .await
        .unwrap();
    tasks.drain(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_is_forged_replayed_or_odd_is_dropped() {
    let clock = Clock::manual();
    let (_, mut listens, board) = node("two", &clock).await;
    let circle = circle(&[("one", SocketAddr::from(([127, 0, 0, 1], 9)))]);
    let (now, unix_ms) = (clock.now(), 1_000_000);
    listens.ears.arrivals.expect(["one"].into_iter(), now);
    let news = News {
        endpoint: handle(),
        left: Duration::from_secs(5),
    };
    let packet = Packet {
        sender: "one".to_owned(),
        boot_epoch: 1,
        sequence: 1,
        sent_unix_ms: unix_ms,
        news: vec![news],
    };
    let mut hear = |bytes: &[u8]| listens.ears.hear(&circle, bytes, now, unix_ms);
    let forged = seal(&Key::new(&[8; 32]), &packet);
    assert_eq!(hear(&forged), Err(Dropped::Forged));
    assert_eq!(hear(b"garbage"), Err(Dropped::Size));
    assert_eq!(hear(&[0; 100]), Err(Dropped::Forged));
    let stranger = Packet {
        sender: "three".to_owned(),
        ..packet.clone()
    };
    assert_eq!(
        hear(&seal(&Key::new(&SECRET), &stranger)),
        Err(Dropped::Stranger)
    );
    assert!(!paused(&board, now));
    let good = seal(&Key::new(&SECRET), &packet);
    assert_eq!(hear(&good), Ok(()));
    assert_eq!(hear(&good), Err(Dropped::Replayed));
    assert!(paused(&board, now));
}

#[tokio::test]
async fn the_peers_are_kept_sealed_and_opened_by_the_same_node_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peers");
    let key = Pem::Text(b"my key".to_vec());
    let keep = Keep::new(path.clone(), Some(&key));
    assert!(keep.load().is_none());
    let circle = circle(&[("one", SocketAddr::from(([10, 0, 0, 1], 9)))]);
    keep.save(&circle).await;
    assert_eq!(keep.load(), Some(circle.clone()));
    let raw = std::fs::read(&path).unwrap();
    assert!(!raw.windows(32).any(|piece| piece == SECRET));
    let other = Keep::new(path.clone(), Some(&Pem::Text(b"another".to_vec())));
    assert!(other.load().is_none());
    std::fs::write(&path, &raw[..20]).unwrap();
    assert!(keep.load().is_none());
    assert!(Keep::new(path, None).load().is_none());
}
