//! Forged, replayed and odd packets count for nothing; a liar is bounded.

use super::*;
use crate::clock::Moment;
use crate::health::Handle;
use proptest::prelude::*;
use std::time::Duration;

const NOW_MS: u64 = 1_000_000;

fn packet(sequence: u64) -> Packet {
    Packet {
        sender: "edge-1".to_owned(),
        boot_epoch: 7,
        sequence,
        sent_unix_ms: NOW_MS,
        news: vec![News {
            endpoint: Handle(5),
            left: Duration::from_millis(1500),
        }],
    }
}

fn at(seconds: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(seconds))
}

#[test]
fn what_was_sealed_is_opened_with_the_same_key_only() {
    let key = Key::new(&[1; 32]);
    let bytes = seal(&key, &packet(1));
    assert_eq!(open(&key, &bytes), Ok(packet(1)));
    assert_eq!(open(&Key::new(&[2; 32]), &bytes), Err(Dropped::Forged));
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        assert_eq!(open(&key, &bent), Err(Dropped::Forged), "byte {at}");
    }
    assert_eq!(open(&key, &bytes[..31]), Err(Dropped::Size));
    assert_eq!(open(&key, &[0; PACKET_MAX + 1]), Err(Dropped::Size));
    let mut full = packet(1);
    full.sender = "x".repeat(200);
    full.news = vec![full.news[0]; 200];
    assert!(seal(&key, &full).len() <= PACKET_MAX);
    assert_eq!(open(&key, &seal(&key, &full)).unwrap().news.len(), NEWS_MAX);
    assert!(!format!("{key:?}").contains('1'));
}

#[test]
fn a_packet_is_let_in_once_and_only_from_peers() {
    let mut arrivals = Arrivals::default();
    let admit = |arrivals: &mut Arrivals, packet: &Packet| arrivals.admit(packet, at(0), NOW_MS);
    assert_eq!(admit(&mut arrivals, &packet(1)), Err(Dropped::Stranger));
    arrivals.expect(["edge-1"].into_iter(), at(0));
    assert_eq!(admit(&mut arrivals, &packet(3)), Ok(()));
    assert_eq!(admit(&mut arrivals, &packet(3)), Err(Dropped::Replayed));
    assert_eq!(admit(&mut arrivals, &packet(1)), Ok(()), "overtaken");
    assert_eq!(admit(&mut arrivals, &packet(1)), Err(Dropped::Replayed));
    assert_eq!(admit(&mut arrivals, &packet(500)), Ok(()));
    assert_eq!(
        admit(&mut arrivals, &packet(2)),
        Err(Dropped::Replayed),
        "too old to know"
    );
    let mut later = packet(1);
    later.boot_epoch = 8;
    assert_eq!(admit(&mut arrivals, &later), Ok(()));
    assert_eq!(
        admit(&mut arrivals, &packet(501)),
        Err(Dropped::Replayed),
        "an earlier run"
    );
    later.sequence = 2;
    later.sent_unix_ms = NOW_MS - CLOCK_MAX - 1;
    assert_eq!(admit(&mut arrivals, &later), Err(Dropped::Late));
    // The list comes again: what was had stays known.
    arrivals.expect(["edge-1", "edge-2"].into_iter(), at(0));
    later.sequence = 1;
    later.sent_unix_ms = NOW_MS;
    assert_eq!(admit(&mut arrivals, &later), Err(Dropped::Replayed));
    arrivals.expect(["edge-2"].into_iter(), at(0));
    later.sequence = 9;
    assert_eq!(admit(&mut arrivals, &later), Err(Dropped::Stranger));
}

#[test]
fn a_flood_is_shed_and_ends() {
    let mut arrivals = Arrivals::default();
    arrivals.expect(["edge-1"].into_iter(), at(0));
    let let_in = (1..=1000).filter(|n| arrivals.admit(&packet(*n), at(0), NOW_MS).is_ok());
    assert_eq!(let_in.count(), 100);
    assert_eq!(arrivals.admit(&packet(2000), at(1), NOW_MS), Ok(()));
}

#[test]
fn one_peer_alone_is_bounded_and_a_second_one_is_believed() {
    let mut hearsay = Hearsay::default();
    let news = News {
        endpoint: Handle(9),
        left: Duration::from_secs(60),
    };
    let mut hear = |peer, own, now| hearsay.hear(peer, &news, own, now);
    assert_eq!(hear(1, 0.0, at(0)), Some(at(10)));
    assert_eq!(hear(1, 0.0, at(5)), None);
    assert_eq!(hear(1, 0.0, at(15)), None);
    // What this node saw itself supports it.
    assert_eq!(hear(1, 0.3, at(15)), Some(at(25)));
    assert_eq!(hear(2, 0.0, at(20)), Some(at(30)));
    // A new window.
    assert_eq!(hear(1, 0.0, at(40)), Some(at(50)));
}

proptest! {
    /// Whatever one peer says, whenever: alone it never takes more than about a third of the time.
    #[test]
    fn a_liar_condemns_nobody_for_ever(words in prop::collection::vec((0_u64..1000, 0_u64..100_000), 1..300)) {
        let mut words = words;
        words.sort_unstable();
        let mut hearsay = Hearsay::default();
        let (mut paused, mut until) = (Duration::ZERO, Moment::default());
        for (second, left) in words {
            let now = at(second);
            let left = Duration::from_millis(left);
            let endpoint = Handle(1);
            if let Some(new) = hearsay.hear(1, &News { endpoint, left }, 0.0, now) {
                prop_assert!(new.since(now) <= HEARD_MAX);
                paused += new.since(until.max(now));
                until = new;
            }
        }
        prop_assert!(paused <= Duration::from_secs(1000 / 3 + 20));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let key = Key::new(&[1; 32]);
        prop_assert!(open(&key, &bytes).is_err());
    }
}
