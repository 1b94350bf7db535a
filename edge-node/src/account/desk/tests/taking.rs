//! Between an answer's being expected and its counting it is logged, and other threads go on.

use super::super::*;
use shared::id::OrgId;

const TTL: Duration = Duration::from_secs(10);

fn time(second: u64) -> Time {
    Time {
        now: Moment(second * 1_000_000_000),
        contact: None,
    }
}

#[test]
fn what_is_over_while_an_answer_is_logged_is_not_returned_with_it() {
    let (desk, purse) = (
        Leases::new(Duration::from_secs(1)),
        Purse::from(OrgId::from("org_a")),
    );
    let granted = Granted {
        amount: Amount(500),
        ttl: TTL,
        outside: Amount::ZERO,
        elsewhere: Amount::ZERO,
        central: false,
    };
    let ask = desk.ask(&purse, "one".to_owned(), time(0));
    desk.granted(&purse, &ask, granted, time(0).now);
    let ask = desk.ask(&purse, "two".to_owned(), time(9));
    // The answer comes at the last moment, and the sweep looks by what it knew before.
    assert!(desk.expects(&purse, &ask));
    assert_eq!(desk.expire(time(11)), []);
    desk.granted(&purse, &ask, granted, time(11).now);
    let heard = Time {
        contact: Some(time(9).now),
        ..time(11)
    };
    assert_eq!(desk.available(heard), Amount(1000));
    // From then on it is over when it is over, and nothing of it is still asked for.
    let over = desk.expire(time(20));
    assert_eq!(
        over.iter().map(|it| it.amount).sum::<Amount>(),
        Amount(1000)
    );
    assert!(over.iter().all(|it| it.asked.is_none()));
}
