//! Purchases, fees, refunds and providers' bills, on real databases of both kinds.

use super::tests::{FENCE, Fixture, fixture, record, run, usd};
use super::*;
use crate::testing::on_both;
use shared::id::Version;
use shared::record::{Outcome, Tried, UsageRecord};
use shared::usage::Usage;

async fn a_purchase_pays_the_fee_of_its_terms_once(f: Fixture) {
    for new in [true, false] {
        let bought = f.ledger.purchase(FENCE, &f.org, "card-1", usd(40)).await;
        assert_eq!(bought.unwrap(), Movement { new, fee: usd(2) });
    }
    // A gift of the same reference is another thing.
    assert!(
        f.ledger
            .credit(FENCE, &f.org, "card-1", usd(1))
            .await
            .unwrap()
    );
    let terms = Terms {
        purchase_fee_ppm: 10_000,
        spend_fee_ppm: 20_000,
        ..Terms::default()
    };
    f.ledger.set_terms(FENCE, &f.org, terms).await.unwrap();
    assert_eq!(f.ledger.terms_of(&f.org).await.unwrap(), terms);
    let bought = f.ledger.purchase(FENCE, &f.org, "card-2", usd(100)).await;
    assert_eq!(bought.unwrap().fee, usd(1));
    let totals = f.totals().await;
    assert_eq!(totals.available, usd(100 + 38 + 1 + 99));
    assert_eq!((totals.bought, totals.fees), (usd(140), usd(3)));
    assert_eq!(totals.given, usd(101));
    let greedy = Terms {
        spend_fee_ppm: FEE_PPM_MAX + 1,
        ..terms
    };
    let refused = f.ledger.set_terms(FENCE, &f.org, greedy).await;
    assert!(matches!(refused, Err(LedgerError::Invalid { .. })));
    f.sound().await;
}

async fn a_refund_gives_back_what_was_bought_and_not_used(f: Fixture) {
    f.ledger
        .purchase(FENCE, &f.org, "card-1", usd(40))
        .await
        .unwrap();
    let gift = f.ledger.refund(FENCE, &f.org, "back-1", usd(39)).await;
    let reason = gift.unwrap_err().to_string();
    assert!(reason.contains("at most 38 USD"), "{reason}");
    for new in [true, false] {
        let back = f.ledger.refund(FENCE, &f.org, "back-1", usd(38)).await;
        assert_eq!(back.unwrap(), new);
    }
    let totals = f.totals().await;
    assert_eq!((totals.available, totals.bought), (usd(100), usd(2)));
    let more = f.ledger.refund(FENCE, &f.org, "back-2", usd(1)).await;
    assert!(matches!(more, Err(LedgerError::Invalid { .. })));
    f.sound().await;
}

async fn a_fee_on_what_was_spent_takes_nothing_from_what_was_bought(f: Fixture) {
    let bought = f.ledger.purchase(FENCE, &f.org, "card-1", usd(40)).await;
    bought.unwrap();
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    let mut spent = used(&f, 1, Outcome::Settled, "a");
    spent.fee_ppm = 500_000;
    f.ship(run("n", 1), &[spent]).await.unwrap();
    assert!(f.totals().await.fees > usd(2));
    let more = f.ledger.refund(FENCE, &f.org, "back-1", usd(39)).await;
    let reason = more.unwrap_err().to_string();
    assert!(reason.contains("at most 38 USD"), "{reason}");
    f.sound().await;
}

fn used(f: &Fixture, sequence: u64, outcome: Outcome, upstream: &str) -> UsageRecord {
    let mut record = record(&f.org, sequence, outcome, usd(4), usd(1));
    record.provider = Some("acme".into());
    record.upstream_id = upstream.to_owned();
    record
}

fn line(id: &str, dollars: i128) -> BillLine {
    BillLine {
        id: id.to_owned(),
        billed: Billed::Usd(usd(dollars)),
    }
}

fn in_tokens(id: &str) -> BillLine {
    let used = Usage {
        prompt: 1,
        ..Usage::default()
    };
    BillLine {
        id: id.to_owned(),
        billed: Billed::Used(used),
    }
}

async fn a_bill_settles_suspense_once(f: Fixture) {
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    // In tokens it is priced as it was held: by the prices of that time.
    let then = Version {
        epoch: 1,
        number: 7,
    };
    let mut records = [
        used(&f, 1, Outcome::Settled, "a"),
        used(&f, 2, Outcome::Settled, "b"),
        used(&f, 3, Outcome::Suspense, "c"),
        used(&f, 4, Outcome::Suspense, "d"),
        used(&f, 5, Outcome::Suspense, ""),
        used(&f, 6, Outcome::Suspense, "e"),
        used(&f, 7, Outcome::Suspense, "f"),
    ];
    records[5].price_version = then;
    records[6].price_version = Version { number: 6, ..then };
    f.ship(run("n", 1), &records).await.unwrap();
    let before = f.totals().await;
    assert_eq!((before.used, before.suspense), (usd(2), usd(20)));
    let mut bill = Bill {
        provider: "acme".into(),
        lines: vec![
            line("a", 1),
            line("b", 2),
            line("c", 3),
            line("d", 6),
            line("x", 1),
        ],
        complete_until_unix_ms: None,
    };
    assert!(f.ledger.price_versions(&bill).await.unwrap().is_empty());
    bill.lines.extend(["e", "f"].map(in_tokens));
    let needed = f.ledger.price_versions(&bill).await.unwrap();
    assert_eq!(needed, [records[6].price_version, then].into());
    let price = |version, place: &Place, _: &Usage| {
        let there = *place == Place::Endpoint("a/b@c".to_owned());
        (version == then && there).then_some(usd(2))
    };
    let done = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((done.equal, done.settled, done.released), (1, 3, 0));
    assert_eq!((done.unknown, done.differences.len()), (2, 3));
    let unpriced = done.differences.iter().find(|it| it.starts_with("f: "));
    assert!(
        unpriced
            .unwrap()
            .contains("in version 1.6 of the catalogue")
    );
    assert_eq!((done.charged, done.expense), (usd(3 + 4 + 2), usd(2)));
    assert_eq!(done.returned, usd(1 + 2));
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.suspense), (usd(2 + 9), usd(8)));
    assert_eq!(totals.available, before.available + usd(3));
    f.sound().await;

    bill.complete_until_unix_ms = Some(f.clock.unix_ms());
    let done = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((done.settled, done.released, done.before), (0, 1, 3));
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.suspense), (usd(11), usd(4)), "f waits");
    f.sound().await;
    let done = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((done.settled, done.released, done.before), (0, 0, 3));
    // The provider is owed what it bills for what is in the books.
    let owed = f.owed("acme").await;
    assert_eq!(owed, usd(1 + 1 + 3 + 6 + 2));
}

async fn a_bill_corrects_what_we_counted_ourselves(f: Fixture) {
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    let counted = |sequence, id: &str| {
        let mut record = used(&f, sequence, Outcome::Settled, id);
        record.cost = usd(3);
        record.usage.estimated = true;
        record
    };
    let mut lost = used(&f, 4, Outcome::Suspense, "");
    lost.generation = "gen-lost".into();
    let mut broken = used(&f, 5, Outcome::Released, "broken");
    broken.generation = "gen-broken".into();
    let mut won = used(&f, 6, Outcome::Settled, "won");
    won.generation = "gen-won".into();
    won.provider = Some("other".into());
    let records = [
        counted(1, "less"),
        counted(2, "more"),
        counted(3, "much"),
        lost,
        broken,
        won,
    ];
    f.ship(run("n", 1), &records).await.unwrap();
    let before = f.totals().await;
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![
            line("less", 0),
            line("less", 2),
            line("less", 1),
            line("more", 4),
            line("much", 6),
            line("gen-lost", 2),
            line("gen-broken", 1),
            line("gen-won", 1),
        ],
        complete_until_unix_ms: None,
    };
    let price = |_: Version, _: &Place, _: &Usage| None;
    let done = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!(
        (done.adjusted, done.settled, done.beyond),
        (3, 1, 3),
        "{done:?}"
    );
    assert_eq!((done.unknown, done.differences), (0, Vec::new()));
    assert_eq!((done.corrected, done.charged), (usd(-2 + 1 + 1), usd(2)));
    assert_eq!(done.expense, usd(2 + 2 + 1 + 1));
    let totals = f.totals().await;
    assert_eq!(totals.used, before.used + usd(2));
    assert_eq!(
        (totals.suspense, totals.overrun),
        (Amount::ZERO, Amount::ZERO)
    );
    assert_eq!(
        f.owed("acme").await,
        usd(3 + 4 + 6 + 2 + 1 + 1),
        "what is billed"
    );
    f.sound().await;
    let again = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((again.before, again.adjusted, again.beyond), (7, 0, 0));
    assert_eq!(f.owed("acme").await, usd(17));
    f.sound().await;
}

/// Requests some of whose attempts nobody was charged for: only who was tried tells at which price those
/// are billed.
async fn with_attempts(f: &Fixture) {
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    let tried = |tags: &[(&str, u16)]| -> Vec<Tried> {
        let one = |(tag, status): &(&str, u16)| Tried {
            endpoint: format!("a/b@{tag}").into(),
            provider: tag.split('/').next().unwrap().into(),
            status: *status,
            latency_ms: 1,
            own_key: false,
        };
        tags.iter().map(one).collect()
    };
    let request = |sequence, outcome, tags: &[(&str, u16)]| {
        let mut record = used(f, sequence, outcome, "");
        record.generation = format!("gen-{sequence}").as_str().into();
        (record.endpoint, record.provider, record.model) = (None, None, None);
        record.particulars.tried = tried(tags);
        record
    };
    let failed = request(1, Outcome::Released, &[("acme/us", 500), ("other", 429)]);
    let mut hedged = request(2, Outcome::Settled, &[("acme/eu", 0), ("other", 200)]);
    hedged.endpoint = Some("a/b@other".into());
    hedged.provider = Some("other".into());
    let mut second = request(3, Outcome::Settled, &[("acme/eu", 502), ("acme/us", 200)]);
    second.endpoint = Some("a/b@acme/us".into());
    second.provider = Some("acme".into());
    // An edge of before does not tell who was tried, and an own key is on its owner's bill.
    let mut before = request(4, Outcome::Released, &[]);
    before.requested_model = "a/b:nitro".to_owned();
    let mut own = request(5, Outcome::Released, &[("acme/eu", 500)]);
    own.particulars.tried[0].own_key = true;
    let records = [failed, hedged, second, before, own];
    f.ship(run("n", 1), &records).await.unwrap();
}

async fn a_bill_in_tokens_has_a_price_for_what_was_never_charged(f: Fixture) {
    with_attempts(&f).await;
    let used_before = f.totals().await.used;
    let ids = ["gen-1", "gen-2", "gen-3", "gen-3", "gen-4"];
    let bill = Bill {
        provider: "acme".into(),
        lines: ids.map(in_tokens).into(),
        complete_until_unix_ms: None,
    };
    let price = |_: Version, place: &Place, _: &Usage| match place {
        Place::Endpoint(id) if id == "a/b@acme/us" => Some(usd(1)),
        Place::Endpoint(id) if id == "a/b@acme/eu" => Some(usd(2)),
        Place::Offers(model) if model == "a/b" => Some(usd(3)),
        Place::Endpoint(_) | Place::Offers(_) => None,
    };
    let done = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((done.unknown, &*done.differences), (0, &[][..]), "{done:?}");
    assert_eq!((done.equal, done.beyond), (1, 4), "{done:?}");
    assert_eq!(done.expense, usd(1 + 2 + 2 + 3));
    assert_eq!(
        f.owed("acme").await,
        usd(1) + done.expense,
        "what is billed"
    );
    assert_eq!(f.totals().await.used, used_before, "no client pays for it");
    let again = f.ledger.reconcile(FENCE, &bill, price).await.unwrap();
    assert_eq!((again.before, again.beyond), (4, 0));
    f.sound().await;
}

/// A line that stands twice, one of an own key's, one of a provider that was never asked, and, where
/// it is not known who was asked, one of more than was held.
async fn a_line_of_no_attempt_is_told_and_not_booked(f: Fixture) {
    with_attempts(&f).await;
    let owed = f.owed("acme").await;
    let price = |_: Version, _: &Place, _: &Usage| None;
    let of = |provider: &str, ids: &[&str]| Bill {
        provider: provider.into(),
        lines: ids.iter().map(|id| line(id, 1)).collect(),
        complete_until_unix_ms: None,
    };
    let too_much = Bill {
        lines: vec![line("gen-4", 5)],
        ..of("other", &[])
    };
    for (wrong, booked) in [
        (of("acme", &["gen-1", "gen-1"]), 1),
        (of("acme", &["gen-5"]), 0),
        (of("never", &["gen-3"]), 0),
        (too_much, 0),
    ] {
        let done = f.ledger.reconcile(FENCE, &wrong, price).await.unwrap();
        assert_eq!((done.unknown, done.beyond), (1, booked), "{done:?}");
        let told = &done.differences[0];
        assert!(told.contains("nothing is booked"), "{told}");
    }
    assert_eq!(f.owed("acme").await, owed + usd(1));
    f.sound().await;
}

async fn what_a_complete_bill_left_out_and_a_later_one_has_is_told(f: Fixture) {
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    f.ship(run("n", 1), &[used(&f, 1, Outcome::Suspense, "a")])
        .await
        .unwrap();
    let bill = |lines, until| Bill {
        provider: "acme".into(),
        lines,
        complete_until_unix_ms: until,
    };
    let price = |_: Version, _: &Place, _: &Usage| None;
    let now = f.clock.unix_ms();
    let early = bill(Vec::new(), Some(now + 3_600_000));
    let refused = f.ledger.reconcile(FENCE, &early, price).await;
    assert!(
        matches!(refused, Err(LedgerError::Invalid { .. })),
        "{refused:?}"
    );
    let whole = bill(Vec::new(), Some(now));
    let done = f.ledger.reconcile(FENCE, &whole, price).await.unwrap();
    assert_eq!((done.released, &*done.differences), (1, &[][..]));
    let later = bill(vec![line("a", 2)], None);
    let done = f.ledger.reconcile(FENCE, &later, price).await.unwrap();
    assert_eq!((done.before, done.differences.len()), (1, 1), "{done:?}");
    assert!(done.differences[0].contains("settled at 0 USD"), "{done:?}");
    assert_eq!(f.totals().await.used, Amount::ZERO);
    f.sound().await;
}

async fn a_generation_tells_what_it_cost_with_the_fee(f: Fixture) {
    f.acquire("l1", run("n", 1), 50).await.unwrap();
    let mut records = [
        used(&f, 1, Outcome::Settled, "a"),
        used(&f, 2, Outcome::Suspense, "b"),
    ];
    for record in &mut records {
        record.generation = format!("gen-{}", record.upstream_id).as_str().into();
        record.fee_ppm = 50_000;
    }
    f.ship(run("n", 1), &records).await.unwrap();
    let told = async |id: &str| {
        let found = f.ledger.generation(&f.org, id).await.unwrap().unwrap();
        (found.cost, found.fee)
    };
    let fee = |cost: i128| Amount(usd(cost).0 / 20);
    assert_eq!(told("gen-a").await, (usd(1), fee(1)));
    assert_eq!(told("gen-b").await, (Amount::ZERO, Amount::ZERO));
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![line("b", 2)],
        complete_until_unix_ms: None,
    };
    f.ledger
        .reconcile(FENCE, &bill, |_, _, _| None)
        .await
        .unwrap();
    assert_eq!(told("gen-b").await, (usd(2), fee(2)));
    assert_eq!(f.totals().await.fees, fee(3));
}

async fn a_correction_of_an_empty_purse_is_owed(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let mut counted = used(&f, 1, Outcome::Settled, "a");
    counted.usage.estimated = true;
    f.ship(run("n", 1), &[counted]).await.unwrap();
    f.acquire("l2", run("n", 2), 10).await.unwrap();
    let rest = f.totals().await.available;
    let request = LeaseRequest {
        origin: run("m", 1),
        purse: f.org.clone().into(),
        lease_id: "all".to_owned(),
        wanted: rest,
        least: rest,
        need: None,
    };
    f.ledger.acquire(FENCE, &request).await.unwrap();
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![line("a", 4)],
        complete_until_unix_ms: None,
    };
    f.ledger
        .reconcile(FENCE, &bill, |_, _, _| None)
        .await
        .unwrap();
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.overrun), (usd(4), usd(3)));
    f.sound().await;
}

on_both! {
    a_fee_on_what_was_spent_takes_nothing_from_what_was_bought,
    a_bill_corrects_what_we_counted_ourselves,
    a_bill_in_tokens_has_a_price_for_what_was_never_charged,
    a_line_of_no_attempt_is_told_and_not_booked,
    what_a_complete_bill_left_out_and_a_later_one_has_is_told,
    a_correction_of_an_empty_purse_is_owed,
    a_generation_tells_what_it_cost_with_the_fee,
    a_purchase_pays_the_fee_of_its_terms_once,
    a_refund_gives_back_what_was_bought_and_not_used,
    a_bill_settles_suspense_once,
}
