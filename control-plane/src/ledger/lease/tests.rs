//! What is left of grants: as little as a late message can still ask for, and never a second time
//! the money.

use crate::ledger::tests::{FENCE, Fixture, fixture, run, usd};
use crate::ledger::*;
use crate::sql::Engine;
use crate::testing::on_both;
use shared::id::BootEpoch;
use sqlx::{AssertSqlSafe, Executor, Row};

impl Fixture {
    /// The ids that the table of grants has.
    async fn grants(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT id FROM lease_grants ORDER BY id")
            .fetch_all(self.on.database.readers())
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn swept(&self) -> Vec<String> {
        let now = self.clock.now();
        self.ledger.sweep(FENCE, now).await.unwrap();
        self.grants().await
    }

    async fn gives_back(&self, epoch: u64, id: &str, part: Part) {
        let release = ReleaseRequest {
            origin: run("n", epoch),
            purse: self.org.clone().into(),
            release_id: id.to_owned(),
            part,
        };
        self.ledger.release(FENCE, &release).await.unwrap();
    }

    async fn takes_over(&self, epoch: u64, from: u64) {
        let heir = Batch {
            origin: run("n", epoch),
            inherited: vec![BootEpoch(from)],
            records: Vec::new(),
        };
        self.ledger.ship(FENCE, &heir).await.unwrap();
    }
}

fn unheard(id: &str) -> Part {
    Part::Grant(id.to_owned())
}

async fn a_grant_closes_those_before_it_and_their_late_copies_get_nothing(f: Fixture) {
    for number in 1..=20 {
        let id = format!("l{number:02}");
        let granted = f.acquire(&id, run("n", 1), 1).await.unwrap().granted;
        assert_eq!(granted, usd(1), "{id}");
        assert_eq!(f.grants().await, [id], "the last one alone");
    }
    // Whoever has not heard the last answer is told it again.
    let again = f.acquire("l20", run("n", 1), 1).await.unwrap();
    assert_eq!(again.granted, usd(1));
    let before = f.totals().await;
    assert_eq!(before.leased, usd(20));
    for id in ["l01", "l19"] {
        let late = f.acquire(id, run("n", 1), 1).await.unwrap();
        assert_eq!(late.granted, Amount::ZERO, "{id}");
        // A return of it, which was confirmed long ago, gives nothing back and leaves no trace.
        f.gives_back(1, &format!("late-{id}"), unheard(id)).await;
    }
    assert_eq!(f.totals().await, before);
    assert_eq!(f.swept().await, ["l20"], "of this one there is money");
    // Another node's and another purse's are their own.
    f.acquire("m1", run("m", 1), 2).await.unwrap();
    assert_eq!(f.grants().await, ["l20", "m1"]);
    f.sound().await;
}

async fn of_an_empty_lease_there_is_nothing_to_tell(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    assert_eq!(f.swept().await, ["l1"]);
    f.gives_back(1, "r1", Part::Amount(usd(10), None)).await;
    assert_eq!(f.swept().await, [""; 0]);
    let late = f.acquire("l1", run("n", 1), 10).await.unwrap();
    assert_eq!((late.granted, late.available), (Amount::ZERO, usd(100)));
    // What was taken back without its holder is nothing either.
    f.acquire("l2", run("n", 1), 10).await.unwrap();
    f.acquire("m1", run("m", 1), 10).await.unwrap();
    f.clock.advance(Duration::from_secs(7200));
    f.ship(run("m", 1), &[]).await.unwrap();
    f.clock.advance(Duration::from_secs(200));
    assert_eq!(f.swept().await, ["m1"]);
    let late = f.acquire("l2", run("n", 1), 10).await.unwrap();
    assert_eq!((late.granted, late.available), (Amount::ZERO, usd(90)));
    f.sound().await;
}

async fn what_an_earlier_run_did_not_hear_of_is_kept_until_it_is_back(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    f.takes_over(2, 1).await;
    assert_eq!(f.swept().await, ["l1"], "its heir may give it back");
    f.gives_back(2, "unheard-l1", unheard("l1")).await;
    assert_eq!(f.totals().await.leased, Amount::ZERO);
    assert_eq!(f.swept().await, [""; 0]);
    f.acquire("l2", run("n", 2), 10).await.unwrap();
    let before = f.totals().await;
    for copy in ["unheard-l1", "another"] {
        f.gives_back(2, copy, unheard("l1")).await;
    }
    assert_eq!(f.totals().await, before, "nothing of the next lease");
    f.sound().await;
}

async fn what_was_given_back_before_it_was_asked_for_is_known_while_it_can_be_asked(f: Fixture) {
    f.gives_back(1, "unheard-l1", unheard("l1")).await;
    f.acquire("l2", run("n", 1), 10).await.unwrap();
    f.acquire("l3", run("n", 1), 1).await.unwrap();
    assert_eq!(f.swept().await, ["l1", "l3"]);
    let late = f.acquire("l1", run("n", 1), 10).await.unwrap();
    assert_eq!(late.granted, Amount::ZERO);
    f.takes_over(2, 1).await;
    f.gives_back(2, "r1", Part::Amount(usd(20), None)).await;
    // The next run has asked for nothing yet: the first one's question may be under way still.
    assert_eq!(f.swept().await, ["l1"]);
    f.acquire("l4", run("n", 2), 10).await.unwrap();
    assert_eq!(f.swept().await, ["l4"]);
    f.gives_back(2, "r2", Part::Amount(usd(10), None)).await;
    assert_eq!(f.swept().await, [""; 0]);
    // That there was a second run is not forgotten with what it was granted.
    for id in ["l1", "l5"] {
        let late = f.acquire(id, run("n", 1), 10).await;
        let replaced = matches!(late, Err(LedgerError::Replaced { newer: 2 }));
        assert!(replaced, "{id}: {late:?}");
    }
    assert_eq!(f.totals().await.available, usd(100));
    f.sound().await;
}

/// A database of before: rows without end, of runs and purses that are long gone.
async fn what_has_piled_up_goes_a_few_at_a_time(f: Fixture) {
    let rows = 12_000;
    let numbers = match f.on.database.engine() {
        Engine::Postgres => format!("SELECT generate_series(1, {rows}) AS n"),
        Engine::Sqlite => format!(
            "WITH RECURSIVE numbers (n) AS (
                 SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}) SELECT n FROM numbers"
        ),
    };
    let piled = format!(
        "INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed, limit_window)
         SELECT 'old-' || n, 'org_a', 'old', 1, 1000000000, 0, 0, '' FROM ({numbers}) AS numbers"
    );
    let mut sql = f.on.database.write().await.unwrap();
    sql.execute(AssertSqlSafe(piled)).await.unwrap();
    sql.commit().await.unwrap();
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(f.swept().await.len());
    }
    assert_eq!(left, [7_002, 2_002, 1]);
    f.sound().await;
}

on_both! {
    a_grant_closes_those_before_it_and_their_late_copies_get_nothing,
    of_an_empty_lease_there_is_nothing_to_tell,
    what_an_earlier_run_did_not_hear_of_is_kept_until_it_is_back,
    what_was_given_back_before_it_was_asked_for_is_known_while_it_can_be_asked,
    what_has_piled_up_goes_a_few_at_a_time,
}

/// What is asked with each request for money and each report reads what there is, not what was.
#[tokio::test]
async fn hot_questions_read_leases_that_hold_something() {
    let f = fixture(Engine::Sqlite).await;
    let plans = [
        (
            "SELECT nano FROM balances WHERE kind = 'lease' AND org = 'a' AND limit_window = ''
                 AND (nano > 0 OR pico_rem > 0)",
            "balances_held_window",
        ),
        (
            "SELECT nano FROM balances
             WHERE kind IN ('lease', 'window_lease') AND org IN (SELECT value FROM json_each('[]'))
                 AND node = 'n' AND (nano > 0 OR pico_rem > 0)",
            "balances_held_node",
        ),
        (
            "SELECT DISTINCT org FROM balances
             WHERE kind IN ('lease', 'window_lease') AND node = 'n' AND epoch < 7
                 AND (nano > 0 OR pico_rem > 0)",
            "balances_held_node",
        ),
        (
            "SELECT org FROM balances
             WHERE kind IN ('lease', 'window_lease') AND (nano > 0 OR pico_rem > 0)
             ORDER BY org, node, epoch, limit_window",
            "balances_held_window",
        ),
        (
            "SELECT id FROM lease_grants
             WHERE node = 'n' AND org = 'a' AND limit_window = '' AND epoch <= 1 AND id <> 'x'",
            "lease_grants_purse",
        ),
    ];
    for (question, index) in plans {
        let plan = format!("EXPLAIN QUERY PLAN {question}");
        let rows = sqlx::query(AssertSqlSafe(plan))
            .fetch_all(f.on.database.readers())
            .await
            .unwrap();
        let told: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
        let found = told.iter().any(|text| text.contains(index));
        assert!(found, "{question}: {told:?}");
    }
}
