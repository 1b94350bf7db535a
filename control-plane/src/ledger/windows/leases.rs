//! What edges lease of a window together never exceeds its limit, whatever dies.

use super::*;
use proptest::prelude::*;

async fn edges_together_lease_no_more_than_the_limit(f: Fixture) {
    with_key(&f, r#"{"limit": "10", "limit_reset": "daily"}"#).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let one = lease(&f, "l1", run("a", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((one.granted, one.available), (usd(6), usd(4)));
    let again = lease(&f, "l1", run("a", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((again.granted, again.available), (usd(6), usd(4)));
    let two = lease(&f, "l2", run("b", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((two.granted, two.available), (Amount::ZERO, usd(4)));
    let two = lease(&f, "l3", run("b", 1), &day, (4, 4)).await.unwrap();
    assert_eq!((two.granted, two.available), (usd(4), Amount::ZERO));

    // What is not used goes to others; what is used does not.
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    f.ship(run("a", 1), &[spent(&f, 1, &day, 5)]).await.unwrap();
    let back = ReleaseRequest {
        origin: run("a", 1),
        purse: Purse {
            org: f.org.clone(),
            window: Some(day.clone()),
        },
        release_id: "r1".to_owned(),
        part: Part::Amount(usd(9), None),
    };
    f.ledger.release(FENCE, &back).await.unwrap();
    f.ledger.release(FENCE, &back).await.unwrap();
    let left = lease(&f, "l4", run("b", 1), &day, (2, 2)).await.unwrap();
    assert_eq!((left.granted, left.available), (Amount::ZERO, usd(1)));
    assert_eq!(
        holds(&f, &Account::WindowUsed(f.org.clone(), day.clone())).await,
        usd(5)
    );
    // The limit falls below what is used: nothing more, and what is used stays.
    with_key(&f, r#"{"limit": "3", "limit_reset": "daily"}"#).await;
    let less = lease(&f, "l5", run("b", 1), &day, (1, 1)).await.unwrap();
    assert_eq!((less.granted, less.available), (Amount::ZERO, -usd(6)));
    f.sound().await;
}

async fn what_little_is_left_of_a_window_is_reserved_request_by_request(f: Fixture) {
    with_key(&f, r#"{"limit": "100", "limit_reset": "daily"}"#).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let purse = Purse {
        org: f.org.clone(),
        window: Some(day.clone()),
    };
    let ask = async |id: &str, node: &str, largest: i128, central| {
        let request = LeaseRequest {
            origin: run(node, 1),
            purse: purse.clone(),
            lease_id: id.to_owned(),
            wanted: usd(64 * largest),
            least: usd(largest),
            need: Some(Need {
                now: usd(largest),
                largest: usd(largest),
                central,
            }),
        };
        f.ledger.acquire(FENCE, &request).await.unwrap()
    };
    // An eighth carries twelve requests: leased ahead.
    let ahead = ask("l1", "a", 1, false).await;
    assert_eq!(
        (ahead.granted, ahead.central),
        (Amount(usd(100).0 / 8), false)
    );
    assert!(!ahead.recall);
    // For requests of 20 it is little: no more than they hold, and what others have is wanted back.
    let first = ask("l2", "b", 20, false).await;
    assert!(first.central && first.recall);
    assert_eq!((first.granted, first.elsewhere), (usd(20), ahead.granted));
    for (nth, granted) in [20, 20, 20, 0].into_iter().enumerate() {
        let next = ask(&format!("m{nth}"), "b", 20, true).await;
        assert_eq!((next.granted, next.central), (usd(granted), true));
        // The last one is told who has what it lacks: that is no used-up limit.
        assert_eq!(next.elsewhere, ahead.granted);
    }
    let back = ReleaseRequest {
        origin: run("a", 1),
        purse: purse.clone(),
        release_id: "r1".to_owned(),
        part: Part::Amount(ahead.granted, None),
    };
    f.ledger.release(FENCE, &back).await.unwrap();
    let last = ask("m4", "b", 20, true).await;
    assert_eq!((last.granted, last.elsewhere), (usd(20), Amount::ZERO));
    // All of it is leased to b: c is told so, and that recalls after a while.
    let none = ask("n1", "c", 1, true).await;
    assert_eq!((none.granted, none.elsewhere), (Amount::ZERO, usd(100)));
    f.clock.advance(Duration::from_secs(1));
    assert!(ask("n2", "c", 1, true).await.recall);
    f.sound().await;
}

async fn a_window_ends_and_the_next_is_whole(f: Fixture) {
    with_key(&f, r#"{"limit": "10", "limit_reset": "daily"}"#).await;
    let id = key(1).to_string();
    let first = window(&f, "key", &id, Interval::Daily);
    lease(&f, "l1", run("a", 1), &first, (10, 10))
        .await
        .unwrap();
    f.clock.advance(Duration::from_secs(86_400));
    let second = window(&f, "key", &id, Interval::Daily);
    let fresh = lease(&f, "l2", run("a", 1), &second, (10, 10)).await;
    assert_eq!(fresh.unwrap().granted, usd(10));
    f.clock.advance(Duration::from_secs(601));
    for closed in [
        first,
        window(&f, "key", &id, Interval::Weekly),
        window(&f, "key", "ff", Interval::Daily),
        window(&f, "member", "usr_1", Interval::Daily),
    ] {
        let refused = lease(&f, "l3", run("a", 1), &closed, (1, 1)).await;
        assert!(matches!(refused, Err(LedgerError::NoLimit)), "{closed}");
    }
    f.sound().await;
}

async fn a_window_survives_the_death_of_its_holders(f: Fixture) {
    with_limit_of_member(&f).await;
    let month = window(&f, "member", "usr_1", Interval::Monthly);
    let purse = Purse {
        org: f.org.clone(),
        window: Some(month.clone()),
    };
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    lease(&f, "l1", run("a", 1), &month, (8, 8)).await.unwrap();
    lease(&f, "l2", run("b", 1), &month, (8, 8)).await.unwrap();
    // The next run of a takes over and one request of the old one is in suspense.
    let mut lost = record(&f.org, 1, Outcome::Suspense, usd(3), usd(1));
    lost.windows = vec![month.clone()];
    f.ship(run("a", 1), &[lost]).await.unwrap();
    let batch = Batch {
        origin: run("a", 2),
        inherited: vec![shared::id::BootEpoch(1)],
        records: vec![spent(&f, 1, &month, 2)],
    };
    f.ledger.ship(FENCE, &batch).await.unwrap();
    f.ledger.ship(FENCE, &batch).await.unwrap();
    assert_eq!(
        holds(&f, &Account::lease(&purse, run("a", 2))).await,
        usd(3)
    );
    let used = Account::WindowUsed(f.org.clone(), month.clone());
    assert_eq!(holds(&f, &used).await, usd(5));
    // Nothing is heard of b: what it had is there again.
    f.clock.advance(Duration::from_secs(3 * 3600));
    f.ship(run("a", 2), &[]).await.unwrap();
    assert!(f.ledger.sweep(FENCE, f.clock.now()).await.unwrap() > 0);
    let rest = lease(&f, "l3", run("a", 2), &month, (12, 12))
        .await
        .unwrap();
    assert_eq!((rest.granted, rest.available), (usd(12), Amount::ZERO));
    // A report of b that comes late is in the window all the same.
    f.ship(run("b", 1), &[spent(&f, 1, &month, 1)])
        .await
        .unwrap();
    assert_eq!(holds(&f, &used).await, usd(6));
    f.sound().await;
}

on_both! {
    edges_together_lease_no_more_than_the_limit,
    what_little_is_left_of_a_window_is_reserved_request_by_request,
    a_window_ends_and_the_next_is_whole,
    a_window_survives_the_death_of_its_holders,
}

proptest! {
    /// However edges ask, use and give back, what is out and used stays within the limit.
    #[test]
    fn grants_never_exceed_the_limit(
        limit in 0_i128..10_000,
        steps in prop::collection::vec((0_usize..6, 0_u8..3, 0_i128..5_000, 0_i128..5_000), 1..80),
    ) {
        let mut leases = [Amount::ZERO; 6];
        let mut used = Amount::ZERO;
        for (edge, kind, a, b) in steps {
            let lent: Amount = leases.iter().copied().sum();
            match kind {
                0 => {
                    let (wanted, least) = (Amount(a.max(b)), Amount(a.min(b)));
                    let has = Amount(limit) - lent - used;
                    let granted = balance::grant(has, leases[edge], wanted, (least, Amount::ZERO));
                    prop_assert!(granted >= Amount::ZERO && granted <= has.at_least_zero());
                    prop_assert!(granted == Amount::ZERO || granted >= least);
                    leases[edge] += granted;
                }
                1 => {
                    let cost = Amount(a).min(leases[edge]);
                    leases[edge] -= cost;
                    used += cost;
                }
                _ => leases[edge] -= Amount(a).min(leases[edge]),
            }
            let out: Amount = leases.iter().copied().sum();
            prop_assert!(out + used <= Amount(limit));
        }
    }
}
