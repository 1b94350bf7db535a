//! The ledger on real databases, SQLite and PostgreSQL alike: what each rule says, and what breaks
//! them.

use super::*;
use crate::sql::Engine;
use crate::testing::{TestDatabase, on_both};
use shared::id::{BootEpoch, GenerationId, NodeId, Version};
use shared::key::KeyHash;
use shared::record::{Outcome, Particulars, UsageRecord};
use shared::usage::Usage;
use sqlx::{Executor, Row};

pub(super) const FENCE: Epoch = Epoch(5);

pub(super) fn key(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

pub(super) fn record(
    org: &OrgId,
    sequence: u64,
    outcome: Outcome,
    held: Amount,
    cost: Amount,
) -> UsageRecord {
    UsageRecord {
        sequence,
        generation: GenerationId::from(format!("gen-{sequence}-{}-{}", held.0, cost.0)),
        org: org.clone(),
        key: key(1),
        outcome,
        held,
        cost,
        api: "chat".to_owned(),
        requested_model: "a/b".to_owned(),
        model: Some("a/b".into()),
        endpoint: Some("a/b@c".into()),
        provider: None,
        price_version: Version::default(),
        usage: Usage {
            prompt: 7,
            ..Usage::default()
        },
        streamed: true,
        finish_reason: "stop".to_owned(),
        fault: None,
        started_unix_ms: 1,
        duration_ms: 2,
        ttft_ms: 3,
        attempts: 1,
        upstream_id: "up".to_owned(),
        windows: Vec::new(),
        fee_ppm: 0,
        own_key: false,
        flags: Vec::new(),
        on_credit: Amount::ZERO,
        fee_free: Amount::ZERO,
        particulars: Particulars::default(),
    }
}

pub(super) struct Fixture {
    pub(super) ledger: Ledger,
    pub(super) on: TestDatabase,
    pub(super) clock: Clock,
    pub(super) org: OrgId,
}

/// A ledger with one organisation that has 100 USD.
pub(super) async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let clock = Clock::manual();
    let ledger = Ledger::open(on.database.clone(), clock.clone())
        .await
        .unwrap();
    let org = OrgId::from("org_a");
    assert!(ledger.credit(FENCE, &org, "first", usd(100)).await.unwrap());
    Fixture {
        ledger,
        on,
        clock,
        org,
    }
}

pub(super) fn usd(dollars: i128) -> Amount {
    Amount(dollars * Amount::USD.0)
}

pub(super) fn run(node: &str, epoch: u64) -> Origin {
    Origin {
        node: NodeId::from(node),
        epoch: BootEpoch(epoch),
    }
}

impl Fixture {
    pub(super) async fn acquire(
        &self,
        id: &str,
        origin: Origin,
        wanted: i128,
    ) -> Result<Grant, LedgerError> {
        let request = LeaseRequest {
            origin,
            purse: self.org.clone().into(),
            lease_id: id.to_owned(),
            wanted: usd(wanted),
            least: usd(1),
            need: None,
        };
        self.ledger.acquire(FENCE, &request).await
    }

    pub(super) async fn ship(
        &self,
        origin: Origin,
        records: &[UsageRecord],
    ) -> Result<u64, LedgerError> {
        let batch = Batch {
            origin,
            inherited: Vec::new(),
            records: records.to_vec(),
        };
        self.ledger.ship(FENCE, &batch).await
    }

    pub(super) fn settled(&self, sequence: u64, dollars: i128) -> UsageRecord {
        let cost = usd(dollars);
        record(&self.org, sequence, Outcome::Settled, cost, cost)
    }

    pub(super) async fn totals(&self) -> Totals {
        self.ledger.totals().await.unwrap()[&self.org]
    }

    pub(super) fn database(&self) -> &crate::sql::Database {
        &self.on.database
    }

    pub(super) async fn sound(&self) {
        let verdict = self.ledger.verify().await.unwrap();
        assert_eq!(verdict.problems, Vec::<String>::new());
    }

    pub(super) async fn owed(&self, provider: &str) -> Amount {
        let row = sqlx::query("SELECT nano, pico_rem FROM balances WHERE provider = $1")
            .bind(provider.to_owned())
            .fetch_one(self.on.database.readers())
            .await
            .unwrap();
        crate::sql::amount(&row, 0).unwrap()
    }

    async fn run_sql(&self, sql: &'static str) {
        let mut transaction = self.on.database.write().await.unwrap();
        transaction.execute(sql).await.unwrap();
        transaction.commit().await.unwrap();
    }
}

async fn a_dollars_life(f: Fixture) {
    let grant = f.acquire("l1", run("n", 1), 10).await.unwrap();
    assert_eq!((grant.granted, grant.available), (usd(10), usd(90)));
    assert_eq!(grant.ttl, Duration::from_secs(7200));
    let suspense = record(&f.org, 3, Outcome::Suspense, usd(2), usd(1));
    let released = record(&f.org, 2, Outcome::Released, usd(4), Amount::ZERO);
    let records = [f.settled(1, 3), released, suspense];
    assert_eq!(f.ship(run("n", 1), &records).await.unwrap(), 3);
    let expect = Totals {
        available: usd(90),
        leased: usd(5),
        used: usd(3),
        suspense: usd(2),
        given: usd(100),
        ..Totals::default()
    };
    assert_eq!(f.totals().await, expect);
    let release = ReleaseRequest {
        origin: run("n", 1),
        purse: f.org.clone().into(),
        release_id: "r1".to_owned(),
        part: Part::Amount(usd(5), None),
    };
    for _ in 0..2 {
        f.ledger.release(FENCE, &release).await.unwrap();
    }
    assert_eq!(f.totals().await.available, usd(95));
    let by_key = f.ledger.usage_by_key(Some(&f.org)).await.unwrap();
    assert_eq!(by_key, BTreeMap::from([(key(1), usd(3))]));
    f.sound().await;
}

async fn a_batch_counts_once_however_often_it_comes(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let records: Vec<_> = (1..=4).map(|n| f.settled(n, 1)).collect();
    assert_eq!(f.ship(run("n", 1), &records[..2]).await.unwrap(), 2);
    assert_eq!(f.ship(run("n", 1), &records[..2]).await.unwrap(), 2);
    assert_eq!(f.ship(run("n", 1), &records[1..4]).await.unwrap(), 4);
    assert_eq!(f.ship(run("n", 1), &records[..1]).await.unwrap(), 4);
    assert_eq!(f.ship(run("n", 1), &[]).await.unwrap(), 4);
    assert_eq!(f.totals().await.used, usd(4));
    f.sound().await;
}

async fn a_gap_and_a_reused_epoch_are_refused(f: Fixture) {
    f.ship(run("n", 1), &[f.settled(1, 1)]).await.unwrap();
    let gap = f.ship(run("n", 1), &[f.settled(3, 1)]).await;
    let expected = LedgerError::Gap {
        expected: 2,
        found: 3,
    };
    assert_eq!(gap.unwrap_err().to_string(), expected.to_string());
    let other = [f.settled(1, 2), f.settled(2, 2)];
    let reused = f.ship(run("n", 1), &other).await;
    assert!(matches!(
        reused,
        Err(LedgerError::EpochReused { sequence: 1 })
    ));
    let hole = [f.settled(2, 1), f.settled(4, 1)];
    let invalid = f.ship(run("n", 1), &hole).await;
    assert!(matches!(invalid, Err(LedgerError::Invalid { .. })));
    let mut negative = f.settled(2, 1);
    negative.cost = usd(-1);
    let invalid = f.ship(run("n", 1), &[negative]).await;
    assert!(matches!(invalid, Err(LedgerError::Invalid { .. })));
    // Another run and another node count for themselves.
    assert_eq!(f.ship(run("n", 2), &[f.settled(1, 1)]).await.unwrap(), 1);
    assert_eq!(f.ship(run("m", 1), &[f.settled(1, 1)]).await.unwrap(), 1);
    assert_eq!(f.totals().await.used, usd(3));
    f.sound().await;
}

async fn what_was_used_on_credit_is_owed_and_takes_nothing_of_a_lease(f: Fixture) {
    f.acquire("l1", run("a", 1), 12).await.unwrap();
    let mut record = f.settled(1, 5);
    record.on_credit = usd(3);
    record.fee_ppm = 200_000;
    f.ship(run("a", 1), &[record]).await.unwrap();
    // 5 and a fee of 1: of the lease 3, of the rest of the balance 3.
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.fees), (usd(5), usd(1)));
    assert_eq!((totals.leased, totals.available), (usd(9), usd(85)));
    // Whose balance is out at others owes it.
    let rest = f.totals().await.available;
    let request = LeaseRequest {
        origin: run("b", 1),
        purse: f.org.clone().into(),
        lease_id: "all".to_owned(),
        wanted: rest,
        least: rest,
        need: None,
    };
    f.ledger.acquire(FENCE, &request).await.unwrap();
    let mut record = f.settled(2, 5);
    record.on_credit = usd(5);
    f.ship(run("a", 1), &[record]).await.unwrap();
    let totals = f.totals().await;
    assert_eq!((totals.overrun, totals.leased), (usd(5), usd(9 + 85)));
    f.sound().await;
}

async fn what_a_lease_does_not_cover_is_an_overrun(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    f.ship(run("n", 1), &[f.settled(1, 30)]).await.unwrap();
    let totals = f.totals().await;
    assert_eq!((totals.available, totals.overrun), (usd(70), Amount::ZERO));
    f.ship(run("n", 1), &[f.settled(2, 100)]).await.unwrap();
    let totals = f.totals().await;
    assert_eq!((totals.available, totals.overrun), (Amount::ZERO, usd(30)));
    assert_eq!(totals.used, usd(130));
    let grant = f.acquire("l2", run("n", 1), 10).await.unwrap();
    assert_eq!(grant.granted, Amount::ZERO);
    f.ledger
        .credit(FENCE, &f.org, "more", usd(50))
        .await
        .unwrap();
    let totals = f.totals().await;
    assert_eq!((totals.available, totals.overrun), (usd(20), Amount::ZERO));
    // An id that got nothing is not used up.
    let grant = f.acquire("l2", run("n", 1), 2).await.unwrap();
    assert_eq!(grant.granted, usd(2));
    f.sound().await;
}

async fn leases_of_many_edges_never_exceed_the_balance(f: Fixture) {
    let mut leased = Amount::ZERO;
    for edge in 0..40 {
        let node = format!("n{edge}");
        let grant = f.acquire(&node, run(&node, 1), 1000).await.unwrap();
        leased += grant.granted;
        assert_eq!(grant.available, usd(100) - leased);
    }
    assert!(leased <= usd(100) && leased > usd(98), "{leased}");
    f.sound().await;
}

async fn a_copy_of_a_machine_takes_nothing_over(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let claims = |epoch: u64, inherited: &[u64]| Batch {
        origin: run("n", epoch),
        inherited: inherited.iter().copied().map(BootEpoch).collect(),
        records: Vec::new(),
    };
    for batch in [claims(2, &[1]), claims(2, &[1])] {
        f.ledger.ship(FENCE, &batch).await.unwrap();
    }
    // Nor does a late question of the run that is over, even before its heir has asked for anything:
    // what that run has used is in what the heir has.
    let late = f.acquire("late", run("n", 1), 10).await;
    assert!(
        matches!(late, Err(LedgerError::Replaced { newer: 2 })),
        "{late:?}"
    );
    // The same disk in another machine.
    let copied = f.ledger.ship(FENCE, &claims(3, &[1])).await;
    let refused = matches!(copied, Err(LedgerError::Copied { epoch: 1 }));
    assert!(refused, "{copied:?}");
    // Who comes after the heir knows of it.
    f.ledger.ship(FENCE, &claims(4, &[1, 2])).await.unwrap();
    f.ledger.ship(FENCE, &claims(5, &[4])).await.unwrap();
    assert_eq!(f.totals().await.leased, usd(10));
    f.sound().await;
}

async fn a_restarted_run_takes_over_or_loses_its_lease(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    f.acquire("l2", run("m", 1), 10).await.unwrap();
    let heir = Batch {
        origin: run("n", 2),
        inherited: vec![BootEpoch(1)],
        records: Vec::new(),
    };
    for _ in 0..2 {
        assert_eq!(f.ledger.ship(FENCE, &heir).await.unwrap(), 0);
    }
    // The old run's last records still find their money.
    f.ship(run("n", 1), &[f.settled(1, 4)]).await.unwrap();
    // A node without its log has inherited nothing.
    f.ship(run("m", 2), &[]).await.unwrap();
    assert_eq!(f.totals().await.leased, usd(16));
    f.clock.advance(Duration::from_secs(700));
    let now = f.clock.now();
    assert_eq!(f.ledger.sweep(FENCE, now).await.unwrap(), 1);
    let totals = f.totals().await;
    assert_eq!((totals.available, totals.leased), (usd(90), usd(6)));
    f.acquire("l4", run("n", 2), 1).await.unwrap();
    let late = f.acquire("l5", run("n", 1), 1).await;
    assert!(matches!(late, Err(LedgerError::Replaced { newer: 2 })));
    f.sound().await;
}

async fn what_nobody_heard_of_comes_back_and_takes_nothing_else(f: Fixture) {
    let release = |epoch, id: &str, part| ReleaseRequest {
        origin: run("n", epoch),
        purse: f.org.clone().into(),
        release_id: id.to_owned(),
        part,
    };
    let of = |id: &str| Part::Grant(id.to_owned());
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    f.acquire("l2", run("n", 1), 1).await.unwrap();
    // What was had before l2, and no more, whatever is claimed.
    let before = release(1, "r1", Part::Amount(usd(50), Some("l2".to_owned())));
    f.ledger.release(FENCE, &before).await.unwrap();
    assert_eq!(f.totals().await.leased, usd(1));
    let heir = Batch {
        origin: run("n", 2),
        inherited: vec![BootEpoch(1)],
        records: Vec::new(),
    };
    f.ledger.ship(FENCE, &heir).await.unwrap();
    let late = release(1, "r2", Part::Amount(usd(1), None));
    let late = f.ledger.release(FENCE, &late).await;
    assert!(matches!(late, Err(LedgerError::Replaced { newer: 2 })));
    for _ in 0..2 {
        let unheard = release(2, "r2", of("l2"));
        f.ledger.release(FENCE, &unheard).await.unwrap();
        assert_eq!(f.totals().await.available, usd(100));
    }
    // Given back before it was asked for: a copy of the question that was under way.
    let early = release(2, "r3", of("l3"));
    f.ledger.release(FENCE, &early).await.unwrap();
    for run in [run("n", 1), run("n", 2)] {
        let grant = f.acquire("l3", run, 10).await.unwrap();
        assert_eq!(grant.granted, Amount::ZERO);
    }
    assert_eq!(f.totals().await.leased, Amount::ZERO);
    f.sound().await;
}

async fn an_abandoned_lease_comes_back_once_and_its_grant_is_void(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let sweep = |seconds| {
        f.clock.advance(Duration::from_secs(seconds));
        f.ledger.sweep(FENCE, f.clock.now())
    };
    assert_eq!(sweep(7200).await.unwrap(), 0);
    f.ship(run("n", 1), &[]).await.unwrap();
    assert_eq!(sweep(7200).await.unwrap(), 0);
    assert_eq!(sweep(200).await.unwrap(), 1);
    assert_eq!(sweep(1).await.unwrap(), 0);
    assert_eq!(f.totals().await.available, usd(100));
    let again = f.acquire("l1", run("n", 1), 10).await.unwrap();
    assert_eq!(again.granted, Amount::ZERO);
    // What was spent all the same is not lost.
    f.ship(run("n", 1), &[f.settled(1, 3)]).await.unwrap();
    assert_eq!(f.totals().await.available, usd(97));
    f.sound().await;
}

async fn a_leader_that_was_replaced_writes_nothing(f: Fixture) {
    f.ledger
        .credit(Epoch(6), &f.org, "next", usd(1))
        .await
        .unwrap();
    let before = f.totals().await;
    assert!(matches!(
        f.acquire("l", run("n", 1), 1).await,
        Err(LedgerError::Fenced(FENCE))
    ));
    assert!(matches!(
        f.ship(run("n", 1), &[f.settled(1, 1)]).await,
        Err(LedgerError::Fenced(FENCE))
    ));
    assert_eq!(f.totals().await, before);
    f.sound().await;
}

async fn concurrent_callers_are_one_after_the_other(f: Fixture) {
    for n in 0..10 {
        // A node asks one question at a time, and each may come more than once.
        let id = format!("l{n}");
        let calls = (0..4).map(|_| f.acquire(&id, run("n", 1), 1));
        for grant in futures::future::join_all(calls).await {
            assert_eq!(grant.unwrap().granted, usd(1));
        }
    }
    assert_eq!(f.totals().await.leased, usd(10));
    let records: Vec<_> = (1..=300).map(|n| f.settled(n, 0)).collect();
    let ships = (0..8).map(|_| f.ship(run("n", 1), &records));
    for shipped in futures::future::join_all(ships).await {
        assert_eq!(shipped.unwrap(), 300);
    }
    f.sound().await;
}

async fn what_others_have_leased_is_told_and_recalled(f: Fixture) {
    f.acquire("ahead", run("n", 1), 10).await.unwrap();
    let given = f.ledger.totals_of(&f.org).await.unwrap();
    let ask = async |node: &str, id: &str, least: Amount, central| {
        let request = LeaseRequest {
            origin: run(node, 1),
            purse: f.org.clone().into(),
            lease_id: id.to_owned(),
            wanted: least,
            least,
            need: Some(Need {
                now: least,
                largest: least,
                central,
            }),
        };
        f.ledger.acquire(FENCE, &request).await.unwrap()
    };
    // What is there is reserved; that it is too small to be leased ahead is news, and recalls.
    let all = ask("m", "all", given.available, false).await;
    assert!(all.central && all.recall);
    assert_eq!(
        (all.granted, all.elsewhere),
        (given.available, given.leased)
    );
    // Who gets nothing because of others says so, at once, but not with each question.
    let none = ask("o", "none", Amount(1), true).await;
    assert_eq!(none.granted, Amount::ZERO);
    assert_eq!(none.elsewhere, given.available + given.leased);
    assert!(!none.recall, "just recalled");
    f.clock.advance(Duration::from_secs(1));
    assert!(ask("o", "none-2", Amount(1), true).await.recall);
    assert!(!ask("o", "none-3", Amount(1), true).await.recall);
    // The longer it lasts, the seldomer: up to every ten seconds.
    let mut recalls = 0;
    for second in 0..60 {
        f.clock.advance(Duration::from_secs(1));
        let none = ask("o", &format!("later-{second}"), Amount(1), true).await;
        recalls += u32::from(none.recall);
    }
    assert!((5..=8).contains(&recalls), "{recalls}");
    f.sound().await;
}

async fn edited_books_do_not_verify(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    f.ship(run("n", 1), &[f.settled(1, 3)]).await.unwrap();
    f.sound().await;
    let broken = || async { f.ledger.verify().await.unwrap().problems };
    f.run_sql("UPDATE balances SET nano = nano + 1 WHERE kind = 'available'")
        .await;
    assert_eq!(broken().await.len(), 2, "{:?}", broken().await);
    f.run_sql("UPDATE balances SET nano = nano - 1 WHERE kind = 'available'")
        .await;
    f.run_sql("UPDATE usage_records SET cost_pico_rem = 1")
        .await;
    assert_eq!(broken().await.len(), 2, "{:?}", broken().await);
    f.run_sql("UPDATE usage_records SET cost_pico_rem = 0")
        .await;
    f.run_sql("UPDATE watermarks SET sequence = 2").await;
    assert_eq!(broken().await.len(), 1, "{:?}", broken().await);
}

async fn odd_text_is_kept_or_replaced_but_never_in_the_way(f: Fixture) {
    let mut odd = f.settled(1, 1);
    odd.requested_model = "a'; DROP TABLE orgs; -- \"\\{},NULL".to_owned();
    odd.upstream_id = "nul\0byte".to_owned();
    odd.fault = Some("\u{1f9ff} \n\t".to_owned());
    f.ship(run("n", 1), &[odd]).await.unwrap();
    let row = sqlx::query("SELECT requested_model, upstream_id, fault FROM usage_records")
        .fetch_one(f.on.database.readers())
        .await
        .unwrap();
    let texts: [String; 3] = [row.get(0), row.get(1), row.get(2)];
    let expect = [
        "a'; DROP TABLE orgs; -- \"\\{},NULL",
        "nul\u{fffd}byte",
        "\u{1f9ff} \n\t",
    ];
    assert_eq!(texts, expect);
    f.sound().await;
}

async fn one_reference_is_one_credit_of_each_organisation(f: Fixture) {
    let other = OrgId::from("org_b");
    for first in [true, false] {
        let given = f.ledger.credit(FENCE, &other, "first", usd(7)).await;
        assert_eq!(given.unwrap(), first);
    }
    let totals = f.ledger.totals().await.unwrap();
    assert_eq!(totals[&other].available, usd(7));
    f.sound().await;
}

async fn a_batch_of_many_organisations_is_posted_to_each(f: Fixture) {
    let orgs: Vec<_> = (0..40).map(|n| OrgId::from(format!("org_{n}"))).collect();
    for org in &orgs {
        f.ledger.credit(FENCE, org, "first", usd(10)).await.unwrap();
    }
    let records: Vec<_> = (1..=2000)
        .map(|n| {
            let org = &orgs[usize::try_from(n).unwrap() % orgs.len()];
            let cost = Amount(i128::from(n));
            let mut record = record(org, n, Outcome::Settled, cost, cost);
            record.key = key(u8::try_from(n % 7).unwrap());
            record
        })
        .collect();
    assert_eq!(f.ship(run("n", 1), &records).await.unwrap(), 2000);
    let totals = f.ledger.totals().await.unwrap();
    let used: Amount = orgs.iter().map(|org| totals[org].used).sum();
    assert_eq!(used, Amount(2000 * 2001 / 2));
    f.sound().await;
}

async fn ids_and_amounts_are_checked(f: Fixture) {
    for (id, wanted) in [("", 1), ("a b", 1), ("l", 0)] {
        let request = LeaseRequest {
            origin: run("n", 1),
            purse: f.org.clone().into(),
            lease_id: id.to_owned(),
            wanted: usd(wanted),
            least: Amount::ZERO,
            need: None,
        };
        let refused = f.ledger.acquire(FENCE, &request).await;
        assert!(matches!(refused, Err(LedgerError::Invalid { .. })), "{id}");
    }
    f.acquire("l1", run("n", 1), 1).await.unwrap();
    let other = f.acquire("l1", run("m", 1), 1).await;
    assert!(matches!(other, Err(LedgerError::Invalid { .. })));
    let huge = Amount(i128::MAX);
    let refused = f.ledger.credit(FENCE, &f.org, "huge", huge).await;
    assert!(matches!(refused, Err(LedgerError::Invalid { .. })));
}

on_both! {
    odd_text_is_kept_or_replaced_but_never_in_the_way,
    one_reference_is_one_credit_of_each_organisation,
    a_batch_of_many_organisations_is_posted_to_each,
    a_dollars_life,
    a_batch_counts_once_however_often_it_comes,
    a_gap_and_a_reused_epoch_are_refused,
    what_a_lease_does_not_cover_is_an_overrun,
    what_was_used_on_credit_is_owed_and_takes_nothing_of_a_lease,
    leases_of_many_edges_never_exceed_the_balance,
    a_restarted_run_takes_over_or_loses_its_lease,
    a_copy_of_a_machine_takes_nothing_over,
    what_nobody_heard_of_comes_back_and_takes_nothing_else,
    an_abandoned_lease_comes_back_once_and_its_grant_is_void,
    a_leader_that_was_replaced_writes_nothing,
    concurrent_callers_are_one_after_the_other,
    what_others_have_leased_is_told_and_recalled,
    edited_books_do_not_verify,
    ids_and_amounts_are_checked,
}
