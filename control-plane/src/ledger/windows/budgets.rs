//! Windows that follow from other rules: free requests a day, and budgets of guardrails and members.

use super::*;

async fn free_requests_a_day_follow_from_what_was_bought(f: Fixture) {
    let day = window(&f, "free", f.org.as_str(), Interval::Daily);
    let ask = |id: &'static str| LeaseRequest {
        origin: run("a", 1),
        purse: Purse {
            org: f.org.clone(),
            window: Some(day.clone()),
        },
        lease_id: id.to_owned(),
        wanted: Amount(2_000),
        least: Amount(50),
        need: None,
    };
    let most = f.ledger.acquire(FENCE, &ask("f1")).await.unwrap();
    assert_eq!((most.granted, most.available), (Amount(50), Amount::ZERO));
    let none = f.ledger.acquire(FENCE, &ask("f2")).await.unwrap();
    assert_eq!(none.granted, Amount::ZERO);
    f.ledger
        .purchase(FENCE, &f.org, "card", usd(10))
        .await
        .unwrap();
    let more = f.ledger.acquire(FENCE, &ask("f3")).await.unwrap();
    assert_eq!(more.granted + more.available, Amount(950));
    let other = window(&f, "free", "org_b", Interval::Daily);
    let request = LeaseRequest {
        purse: Purse {
            org: f.org.clone(),
            window: Some(other),
        },
        ..ask("f4")
    };
    let refused = f.ledger.acquire(FENCE, &request).await;
    assert!(matches!(refused, Err(LedgerError::NoLimit)));
    f.sound().await;
}

async fn a_guardrails_budget_is_lent_while_it_holds(f: Fixture) {
    with_key(&f, "{}").await;
    let hash = key(1).to_string();
    let set = async |statement: &'static str| {
        let mut sql = f.on.database.write().await.unwrap();
        let query = sqlx::query(statement).bind(f.org.as_str());
        let done = query.execute(&mut *sql).await.unwrap();
        sql.commit().await.unwrap();
        done.rows_affected()
    };
    let rules = "INSERT INTO guardrails
             (id, org, workspace, name, description, rules, created_unix_ms, updated_unix_ms)
         VALUES ('g1', $1, '', 'g', '', '{\"limit_usd\": \"9\"}', 0, 0)";
    assert_eq!(set(rules).await, 1);
    let life = window(
        &f,
        "guardrail",
        &format!("g1/key/{hash}"),
        Interval::Lifetime,
    );
    let none = lease(&f, "l1", run("a", 1), &life, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "of nobody: {none:?}"
    );
    let assign = "INSERT INTO guardrail_assignments
             (org, kind, subject, guardrail, assigned_by, created_unix_ms)
         VALUES ($1, 'organization', $1, 'g1', 'x', 0)";
    assert_eq!(set(assign).await, 1);
    let lent = lease(&f, "l2", run("a", 1), &life, (4, 4)).await.unwrap();
    assert_eq!((lent.granted, lent.available), (usd(4), usd(5)));
    let other = window(&f, "guardrail", "g1/key/x", Interval::Lifetime);
    let none = lease(&f, "l3", run("a", 1), &other, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "no such key: {none:?}"
    );
    assert_eq!(
        set("DELETE FROM guardrail_assignments WHERE org = $1").await,
        1
    );
    let none = lease(&f, "l4", run("a", 1), &life, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "no longer: {none:?}"
    );
}

/// A guardrail of a workspace: what its members spend in others is not in their budgets.
async fn a_members_budget_counts_the_keys_that_it_holds_for(f: Fixture) {
    with_key(&f, "{}").await;
    let mut sql = f.on.database.write().await.unwrap();
    for statement in [
        "UPDATE api_keys SET workspace = 'ws_a', created_by = 'usr_1' WHERE org = $1 AND id = $2",
        "INSERT INTO api_keys
             (id, org, name, label, kind, policy, workspace, created_by, created_unix_ms)
         VALUES ($2, $1, 'k', 'k', 'inference', '{}', 'ws_b', 'usr_1', 0)",
        "INSERT INTO guardrails
             (id, org, workspace, name, description, rules, created_unix_ms, updated_unix_ms)
         SELECT 'g1', $1, '', 'g', '', '{\"limit_usd\": \"9\"}', 0, 0 WHERE $2 <> ''",
        "INSERT INTO guardrail_assignments
             (org, kind, subject, guardrail, assigned_by, created_unix_ms)
         SELECT $1, 'workspace', 'ws_a', 'g1', 'x', 0 WHERE $2 <> ''",
    ] {
        let id = if statement.contains("'ws_b'") { 2 } else { 1 };
        let query = sqlx::query(statement).bind(f.org.as_str());
        let query = query.bind(key(id).to_string());
        query.execute(&mut *sql).await.unwrap();
    }
    sql.commit().await.unwrap();
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    let of = |sequence: u64, id: u8| {
        let mut record = record(&f.org, sequence, Outcome::Settled, usd(3), usd(3));
        record.key = key(id);
        record
    };
    f.ship(run("a", 1), &[of(1, 1), of(2, 2)]).await.unwrap();
    let life = window(&f, "guardrail", "g1/member/usr_1", Interval::Lifetime);
    let lent = lease(&f, "l1", run("a", 1), &life, (1, 1)).await.unwrap();
    assert_eq!((lent.granted, lent.available), (usd(1), usd(5)));
    // The same of what comes when the window is open.
    f.ship(run("a", 1), &[of(3, 2)]).await.unwrap();
    let used = Account::WindowUsed(f.org.clone(), life.clone());
    assert_eq!(holds(&f, &used).await, usd(3));
    f.ship(run("a", 1), &[of(4, 1)]).await.unwrap();
    assert_eq!(holds(&f, &used).await, usd(6));
    f.sound().await;
}

on_both! {
    free_requests_a_day_follow_from_what_was_bought,
    a_guardrails_budget_is_lent_while_it_holds,
    a_members_budget_counts_the_keys_that_it_holds_for,
}
