//! What is lent while the ledger is silent.

use super::super::*;
use proptest::prelude::*;
use shared::id::OrgId;

const CREDIT: Amount = Amount(3000);

fn purse() -> Purse {
    OrgId::from("org_a").into()
}

fn time(second: u64) -> Time {
    Time {
        now: Moment(second * 1_000_000_000),
        contact: None,
    }
}

/// A desk whose ledger gave `leased`, and then fell silent.
fn silent(leased: i128) -> Leases {
    let desk = Leases::new(Duration::from_secs(1));
    let granted = Granted {
        amount: Amount(leased),
        ttl: Duration::from_secs(7200),
        outside: Amount::ZERO,
        elsewhere: Amount::ZERO,
        central: true,
    };
    let ask = desk.ask(&purse(), "one".to_owned(), time(0));
    desk.granted(&purse(), &ask, granted, time(0).now);
    desk.ask(&purse(), "two".to_owned(), time(0));
    desk.failed(&purse(), (Landed::Failed, false), time(0).now);
    desk
}

proptest! {
    /// However requests come and end while the ledger is silent: what is held and was charged never
    /// exceeds the lease and the credit, and it exceeds the lease by no more than it says.
    #[test]
    fn a_silent_ledger_lends_no_more_than_the_credit(
        leased in 0_i128..3000,
        steps in prop::collection::vec((any::<bool>(), 1_i128..2000, 0_i128..1000), 1..80),
    ) {
        let desk = silent(leased);
        let may = May { ask: true, credit: CREDIT };
        let mut open: Vec<(Amount, Amount)> = Vec::new();
        let (mut charged, mut owed) = (Amount::ZERO, Amount::ZERO);
        for (begins, size, share) in steps {
            if begins {
                let most = (Amount(size), Amount(size.min(10)));
                if let Desk::Set(set) = desk.reserve(&[purse()], most, may, time(0)) {
                    open.push((set.amount, set.credit));
                }
            } else if let Some((held, credit)) = open.pop() {
                let cost = Amount(held.0 * share / 999).min(held);
                let beyond = (cost - (held - credit)).at_least_zero();
                let ended = Ended { held, credit, charged: cost - beyond, owed: beyond };
                desk.end(&purse(), ended, time(0).now);
                charged += cost;
                owed += beyond;
            }
            let held: Amount = open.iter().map(|(held, _)| *held).sum();
            let lent: Amount = open.iter().map(|(_, credit)| *credit).sum();
            prop_assert!(lent + owed <= CREDIT);
            prop_assert!(held + charged <= Amount(leased) + lent + owed);
        }
    }
}

#[test]
fn credit_is_for_a_ledger_that_is_silent_and_for_the_balance() {
    let may = May {
        ask: true,
        credit: CREDIT,
    };
    let most = (Amount(1000), Amount(1000));
    let fresh = Leases::new(Duration::from_secs(1));
    let asked = fresh.reserve(&[purse()], most, may, time(0));
    assert!(
        matches!(asked, Desk::Wait(_)),
        "it is asked first: {asked:?}"
    );
    let desk = silent(0);
    let limit = Purse {
        window: Some("key:a:lifetime:0".parse().unwrap()),
        ..purse()
    };
    let asked = desk.reserve(&[purse(), limit], most, may, time(0));
    assert!(matches!(asked, Desk::Wait(_)), "of the limit: {asked:?}");
    // Whether the ledger is back is looked for by the first request after a while.
    for (second, looks) in [(0, 0), (2, 1), (2, 0)] {
        let Desk::Set(set) = desk.reserve(&[purse()], most, may, time(second)) else {
            panic!("not on credit");
        };
        assert_eq!((set.credit, set.refill.len()), (Amount(1000), looks));
    }
    let none = desk.reserve(&[purse()], most, may, time(2));
    assert!(
        matches!(none, Desk::Wait(_)),
        "the credit is used up: {none:?}"
    );
}

#[test]
fn what_went_back_is_asked_for_again_at_once() {
    let may = May {
        ask: true,
        credit: Amount::ZERO,
    };
    let (desk, most) = (
        Leases::new(Duration::from_secs(1)),
        (Amount(20), Amount(20)),
    );
    let ask = desk.ask(&purse(), "one".to_owned(), time(0));
    let granted = Granted {
        amount: Amount(45),
        ttl: Duration::from_secs(7200),
        outside: Amount::ZERO,
        elsewhere: Amount::ZERO,
        central: true,
    };
    desk.granted(&purse(), &ask, granted, time(0).now);
    for _ in 0..2 {
        let set = desk.reserve(&[purse()], most, may, time(0));
        assert!(matches!(set, Desk::Set(_)), "{set:?}");
    }
    // The ledger gives no more: nor is it asked so soon.
    let waits = desk.reserve(&[purse()], most, may, time(0));
    assert!(matches!(waits, Desk::Wait(_)), "{waits:?}");
    let ask = desk.ask(&purse(), "two".to_owned(), time(0));
    let nothing = Granted {
        amount: Amount::ZERO,
        ..granted
    };
    desk.granted(&purse(), &ask, nothing, time(0).now);
    let refused = desk.reserve(&[purse()], most, may, time(0));
    assert!(matches!(refused, Desk::Poor(_)), "{refused:?}");
    // One ends, and what it left goes back: the ledger has that now.
    let ended = Ended {
        held: Amount(20),
        credit: Amount::ZERO,
        charged: Amount(1),
        owed: Amount::ZERO,
    };
    desk.end(&purse(), ended, time(0).now);
    assert_eq!(desk.withdraw_idle(Some(Moment(0)))[0].amount, Amount(24));
    let asked = desk.reserve(&[purse()], most, may, time(0));
    assert!(matches!(asked, Desk::Wait(_)), "{asked:?}");
}
