//! Opening, bringing forward, and what transactions promise, on both engines.

use super::*;
use crate::accounts::Accounts;
use crate::ledger::journal::{Book, Kind};
use crate::ledger::{Ledger, LedgerError};
use crate::store::Epoch;
use crate::testing::{TestDatabase, empty, on_both};
use shared::clock::Clock;
use shared::id::OrgId;
use std::collections::BTreeSet;

async fn fixture(engine: Engine) -> TestDatabase {
    TestDatabase::new(engine).await
}

async fn opens_again_and_refuses_a_newer_schema(on: TestDatabase) {
    on.database.close().await;
    let database = Database::open(&on.source).await.unwrap();
    let mut transaction = database.write().await.unwrap();
    transaction
        .execute("INSERT INTO schema_migrations (version, name) VALUES (999, 'x')")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    database.close().await;
    let refused = Database::open(&on.source).await.err().unwrap();
    assert!(matches!(refused, DatabaseError::TooNew { found: 999, .. }));
}

async fn a_dropped_transaction_leaves_no_trace(on: TestDatabase) {
    let add = "INSERT INTO sequences (name, value) VALUES ('x', 1)";
    let mut transaction = on.database.write().await.unwrap();
    transaction.execute(add).await.unwrap();
    drop(transaction);
    let mut transaction = on.database.write().await.unwrap();
    transaction.execute(add).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn a_snapshot_sees_one_state(on: TestDatabase) {
    let count = "SELECT CAST(COUNT(*) AS BIGINT) FROM sequences";
    let mut snapshot = on.database.snapshot().await.unwrap();
    let before: i64 = snapshot.fetch_one(count).await.unwrap().get(0);
    let mut transaction = on.database.write().await.unwrap();
    let add = "INSERT INTO sequences (name, value) VALUES ('x', 1)";
    transaction.execute(add).await.unwrap();
    transaction.commit().await.unwrap();
    let after: i64 = snapshot.fetch_one(count).await.unwrap().get(0);
    assert_eq!(before, after);
}

on_both! {
    opens_again_and_refuses_a_newer_schema,
    a_dropped_transaction_leaves_no_trace,
    a_snapshot_sees_one_state,
}

#[tokio::test]
async fn sqlite_is_durable() {
    let on = fixture(Engine::Sqlite).await;
    let readers = on.database.readers();
    let mode: String = readers
        .fetch_one("PRAGMA journal_mode")
        .await
        .unwrap()
        .get(0);
    assert_eq!(mode, "wal");
    let synchronous: i64 = readers
        .fetch_one("PRAGMA synchronous")
        .await
        .unwrap()
        .get(0);
    assert_eq!(synchronous, 2);
}

#[tokio::test]
async fn programs_that_start_together_migrate_once() {
    let (source, _folder) = empty(Engine::Postgres);
    let opened = (0..4).map(|_| Database::open(&source));
    for database in futures::future::join_all(opened).await {
        database.unwrap();
    }
}

/// Books as the program before had them: one credit of 5 USD, 3 of them lent, 1 and 1 pico used.
const OLD_BOOKS: &str = "
INSERT INTO journal (id, kind, reference, unix_ms, fence) VALUES
    (1, 'credit', 'first', 1, 1), (2, 'grant', 'l1', 2, 1), (3, 'usage', 'n/1/0/org_a', 3, 1),
    (4, 'credit', 'other', 4, 1), (5, 'release', 'n/r0', 5, 1);
INSERT INTO journal_lines (transaction_id, line, account, nano, pico_rem) VALUES
    (1, 0, 'grants', -5000000000, 0), (1, 1, 'available:org_a', 5000000000, 0),
    (2, 0, 'available:org_a', -3000000000, 0), (2, 1, 'lease:org_a:n:1', 3000000000, 0),
    (3, 0, 'lease:org_a:n:1', -1000000001, 999),
    (3, 1, 'usage:org_a:0101010101010101010101010101010101010101010101010101010101010101',
     1000000000, 1),
    (4, 0, 'grants', -8, 1), (4, 1, 'available:org_b', 7, 999);
INSERT INTO balances (account, kind, org, node, epoch, key_id, nano, pico_rem) VALUES
    ('grants', 'grants', '', '', 0, '', -5000000008, 1),
    ('available:org_a', 'available', 'org_a', '', 0, '', 2000000000, 0),
    ('available:org_b', 'available', 'org_b', '', 0, '', 7, 999),
    ('lease:org_a:n:1', 'lease', 'org_a', 'n', 1, '', 1999999999, 999),
    ('usage:org_a:0101010101010101010101010101010101010101010101010101010101010101', 'usage',
     'org_a', '', 0, '0101010101010101010101010101010101010101010101010101010101010101',
     1000000000, 1);
INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed)
    VALUES ('l1', 'org_a', 'n', 1, 3000000000, 0, 0);
INSERT INTO watermarks (node, epoch, sequence) VALUES ('n', 1, 1);
INSERT INTO usage_records VALUES ('n', 1, 1, 'gen-1', 'org_a',
    '0101010101010101010101010101010101010101010101010101010101010101', 'settled',
    1000000000, 1, 1000000000, 1, 1, 'chat', 'a/b', 'a/b', 'a/b@c', 'c', 1, 1, 7, 0, '{}', 1,
    'stop', '', 2, 3, 1, 'up');
UPDATE ledger_head SET transactions = 5, fence = 1;
";

#[tokio::test]
async fn old_books_are_carried_over() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (source, _folder) = empty(engine);
        let database = Database::connect(&source).await.unwrap();
        migrate::up_to(&database, 2).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        for statement in OLD_BOOKS.split(";\n").filter(|s| !s.trim().is_empty()) {
            transaction.execute(statement).await.unwrap();
        }
        transaction.commit().await.unwrap();
        migrate::forward(&database).await.unwrap();
        let ledger = Ledger::open(database, Clock::manual()).await.unwrap();
        let verdict = ledger.verify().await.unwrap();
        assert_eq!(verdict.problems, Vec::<String>::new());
        assert_eq!((verdict.postings, verdict.records), (5, 1));
        let totals = ledger.totals().await.unwrap();
        assert_eq!(
            totals[&OrgId::from("org_a")].leased.to_string(),
            "1.999999999999"
        );
        // References stay taken, numbers go on.
        let org = OrgId::from("org_b");
        let again = ledger.credit(Epoch(1), &org, "other", Amount(7_999)).await;
        assert!(!again.unwrap());
        let more = ledger.credit(Epoch(1), &org, "other", Amount::USD).await;
        assert!(matches!(more, Err(LedgerError::OtherAmount)));
        let new = ledger.credit(Epoch(1), &org, "first", Amount::USD).await;
        assert!(new.unwrap());
        assert_eq!(
            ledger.verify().await.unwrap().problems,
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn old_fees_are_counted_on_their_days() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (source, _folder) = empty(engine);
        let database = Database::connect(&source).await.unwrap();
        migrate::up_to(&database, 2).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        for statement in OLD_BOOKS.split(";\n").filter(|s| !s.trim().is_empty()) {
            transaction.execute(statement).await.unwrap();
        }
        transaction.commit().await.unwrap();
        migrate::up_to(&database, migrate::FEES_OF_DAYS - 1)
            .await
            .unwrap();
        let mut transaction = database.write().await.unwrap();
        let fee = "UPDATE usage_records SET fee_nano = 7, fee_pico_rem = 999";
        transaction.execute(fee).await.unwrap();
        transaction.commit().await.unwrap();
        migrate::forward(&database).await.unwrap();
        let sums = "SELECT CAST(SUM(fee_nano) AS BIGINT), CAST(SUM(fee_pico_rem) AS BIGINT),
            CAST(SUM(requests) AS BIGINT) FROM usage_days";
        let row = sqlx::query(sums)
            .fetch_one(database.readers())
            .await
            .unwrap();
        let sum = |column: usize| row.try_get::<i64, _>(column).unwrap();
        assert_eq!((sum(0), sum(1), sum(2)), (7, 999, 1));
    }
}

#[tokio::test]
async fn old_keys_get_a_workspace() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (source, _folder) = empty(engine);
        let database = Database::connect(&source).await.unwrap();
        migrate::up_to(&database, 4).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        for statement in [
            "INSERT INTO orgs VALUES ('org_a1', 'A', 1, 7)",
            "INSERT INTO api_keys VALUES ('0101010101010101010101010101010101010101010101010101010101010101',
                 'org_a1', 'n', 'l', 'inference', '{}', 8, NULL, NULL)",
        ] {
            transaction.execute(statement).await.unwrap();
        }
        transaction.commit().await.unwrap();
        migrate::forward(&database).await.unwrap();
        let accounts = Accounts::open(database, Clock::manual()).await.unwrap();
        let keys = accounts.keys(None).await.unwrap();
        assert_eq!(keys[0].workspace.as_str(), "ws_a1");
        assert_eq!((&keys[0].created_by, keys[0].disabled), (&None, false));
    }
}

/// True when `work` has not ended after a while, in which it would have.
async fn waits<T>(work: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(300), work)
        .await
        .is_err()
}

#[tokio::test]
async fn organisations_do_not_wait_for_each_other() {
    let on = fixture(Engine::Postgres).await;
    let ledger = Ledger::open(on.database.clone(), Clock::manual())
        .await
        .unwrap();
    let (a, b) = (OrgId::from("org_a"), OrgId::from("org_b"));
    let fence = Epoch(3);
    for org in [&a, &b] {
        ledger
            .credit(fence, org, "first", Amount::USD)
            .await
            .unwrap();
    }
    let books = BTreeSet::from([a.clone()]);
    let open = Book::open(&on.database, fence, 1, &books);
    let book = open.await.unwrap();
    ledger.credit(fence, &b, "next", Amount::USD).await.unwrap();
    let mut same = Box::pin(ledger.credit(fence, &a, "next", Amount::USD));
    assert!(waits(&mut same).await, "the books of org_a are open");
    // A later leader waits for what an earlier one has begun; from then on that one is refused.
    let mut later = Box::pin(ledger.credit(Epoch(4), &b, "later", Amount::USD));
    assert!(
        waits(&mut later).await,
        "a transaction of the leader before is open"
    );
    drop(book);
    assert!(same.await.unwrap());
    assert!(later.await.unwrap());
    let refused = ledger.credit(fence, &b, "late", Amount::USD).await;
    assert!(matches!(refused, Err(LedgerError::Fenced(Epoch(3)))));
}

#[tokio::test]
async fn a_posting_elsewhere_is_refused() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let on = fixture(engine).await;
        let (a, b) = (OrgId::from("org_a"), OrgId::from("org_b"));
        let books = BTreeSet::from([a]);
        let open = Book::open(&on.database, Epoch(1), 1, &books);
        let mut book = open.await.unwrap();
        let refused = book.post(&b, Kind::Credit, "x", &[]).await;
        assert!(matches!(refused, Err(LedgerError::Unsound(_))));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("postgres://u:hidden@127.0.0.1:{port}/d");
    let source = Source::Server(url.parse().unwrap());
    let error = Database::open(&source).await.err().unwrap();
    assert!(matches!(error, DatabaseError::Engine(_)), "{error}");
    assert!(!error.to_string().contains("hidden"));
}
