//! Accounts on real databases, SQLite and PostgreSQL alike.

use super::bootstrap::{self, Wishes};
use super::*;
use crate::ledger::Ledger;
use crate::sql::Engine;
use crate::store::Epoch;
use crate::testing::{TestDatabase, on_both};
use shared::id::{LimitId, OrgId, WorkspaceId};
use shared::key::SecretKey;
use shared::limit::{Interval, Purse, Scope};
use shared::money::Amount;
use shared::policy::{KeyKind, KeyPolicy, ResetInterval};
use sqlx::Executor;
use std::time::Duration;

struct Fixture {
    accounts: Accounts,
    on: TestDatabase,
    clock: Clock,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let clock = Clock::manual();
    let accounts = Accounts::open(on.database.clone(), clock.clone())
        .await
        .unwrap();
    Fixture {
        accounts,
        on,
        clock,
    }
}

fn inference(name: &str) -> NewKey {
    NewKey::of(KeyKind::Inference, name)
}

async fn a_keys_life(f: Fixture) {
    let refused = f.accounts.create_key("op", &inference("early")).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchOrg(_))));
    let (org, made) = f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    assert!(made);
    assert_eq!(
        f.accounts.ensure_first_org("op", "Other").await.unwrap(),
        (org.clone(), false)
    );

    let mut wake = f.accounts.subscribe();
    let new = NewKey {
        policy: KeyPolicy {
            limit: Some(Amount::USD),
            ..KeyPolicy::default()
        },
        ..inference("one")
    };
    let secret = f.accounts.create_key("op", &new).await.unwrap();
    assert!(wake.has_changed().unwrap());
    let answer = f.accounts.lookup(secret.hash()).await.unwrap();
    assert_eq!(answer.account_sequence, *wake.borrow_and_update());
    let principal = answer.principal.unwrap();
    assert_eq!(principal.org, org.id);
    assert_eq!(principal.policy.limit, Some(Amount::USD));

    let listed = f.accounts.keys(Some(&org.id)).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&*listed[0].label, listed[0].revoked),
        (&*secret.label(), false)
    );
    assert_eq!(f.accounts.keys(None).await.unwrap(), listed);
    assert_eq!(f.accounts.keys(Some(&"org_x".into())).await.unwrap(), []);

    f.accounts.revoke_key("op", secret.hash()).await.unwrap();
    f.accounts.revoke_key("op", secret.hash()).await.unwrap();
    let answer = f.accounts.lookup(secret.hash()).await.unwrap();
    assert_eq!(answer.principal, Err(Refusal::Revoked));
    assert_eq!(answer.account_sequence, 2);
    let unknown = KeyHash::of("nobody");
    let answer = f.accounts.lookup(unknown).await.unwrap();
    assert_eq!(answer.principal, Err(Refusal::Unknown));
    let refused = f.accounts.revoke_key("op", unknown).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchKey(_))));

    let events = f.accounts.events_since(0).await.unwrap();
    let expect = [
        Change::Changed(secret.hash()),
        Change::Denied(secret.hash()),
    ];
    let changes: Vec<_> = events.events.into_iter().map(|e| e.change).collect();
    assert_eq!((changes.as_slice(), events.reset), (&expect[..], false));

    let actions: Vec<_> = f.accounts.audit(10).await.unwrap();
    let actions: Vec<_> = actions.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["key.revoke", "key.create", "org.create"]);
}

async fn a_key_is_changed_and_edges_are_told(f: Fixture) {
    let (org, _) = f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    let other = f.accounts.create_org("op", "Other").await.unwrap();
    let secret = f.accounts.create_key("op", &inference("a")).await.unwrap();
    let id = secret.hash();
    let before = f.accounts.key(id).await.unwrap().unwrap();
    assert!(before.workspace.as_str().starts_with("ws_"));
    assert_eq!((before.updated_unix_ms, before.disabled), (None, false));
    f.clock.advance(Duration::from_millis(5));
    let change = KeyChange {
        name: Some("b".to_owned()),
        limit: Some(Some(Amount::USD)),
        limit_reset: Some(Some(ResetInterval::Weekly)),
        include_byok_in_limit: Some(true),
        ..KeyChange::default()
    };
    let change_by = |org: OrgId, change: KeyChange| {
        let accounts = &f.accounts;
        async move { accounts.change_key("op", &org, id, &change).await }
    };
    let refused = change_by(other.id.clone(), change.clone()).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchKey(_))));
    let changed = change_by(org.id.clone(), change).await.unwrap();
    assert_eq!(f.accounts.key(id).await.unwrap().unwrap(), changed);
    assert_eq!(
        (&*changed.name, changed.policy.limit),
        ("b", Some(Amount::USD))
    );
    assert!(changed.policy.include_byok_in_limit && changed.updated_unix_ms.is_some());

    let disabled = |on| KeyChange {
        disabled: Some(on),
        ..KeyChange::default()
    };
    change_by(org.id.clone(), disabled(true)).await.unwrap();
    let look = || async { f.accounts.lookup(id).await.unwrap().principal };
    assert_eq!(look().await, Err(Refusal::Disabled));
    let open = KeyFilter::default();
    assert_eq!(f.accounts.find_keys(&open).await.unwrap(), []);
    change_by(org.id.clone(), disabled(false)).await.unwrap();
    let told = shared::policy::KeyPolicy {
        byok_fee_ppm: 50_000,
        byok_free: Amount(25_000 * Amount::USD.0),
        ..changed.policy
    };
    let mut policy = look().await.unwrap().policy;
    // Every organisation has this one.
    policy.limits.retain(|limit| limit.scope != Scope::Free);
    assert_eq!(policy, told);
    assert_eq!(f.accounts.find_keys(&open).await.unwrap().len(), 1);

    let elsewhere = KeyChange {
        workspace: Some(WorkspaceId::from("ws_none")),
        ..KeyChange::default()
    };
    let refused = change_by(org.id.clone(), elsewhere).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    let below_zero = KeyChange {
        limit: Some(Some(-Amount::USD)),
        ..KeyChange::default()
    };
    let refused = change_by(org.id.clone(), below_zero).await;
    assert!(matches!(refused, Err(AccountsError::Invalid { .. })));

    let events = f.accounts.events_since(0).await.unwrap();
    assert_eq!(events.events.len(), 4, "refused changes are none");
    f.accounts.revoke_key("op", id).await.unwrap();
    let refused = change_by(org.id, disabled(false)).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchKey(_))));
    let audit = f.accounts.audit(2).await.unwrap();
    assert!(audit[1].object.ends_with(" disabled=false"), "{audit:?}");
}

async fn a_change_of_an_organisation_is_an_event(f: Fixture) {
    let (org, _) = f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    let mut transaction = f.on.database.write().await.unwrap();
    let change = Change::Org(org.id.clone());
    let sequence = events::append(&mut transaction, 7, &change).await.unwrap();
    transaction.commit().await.unwrap();
    f.accounts.announce(sequence);
    assert_eq!(*f.accounts.subscribe().borrow(), 1);
    let events = f.accounts.events_since(0).await.unwrap();
    assert_eq!(events.events, [AccountEvent { sequence, change }]);
    let balance = Purse::from(org.id.clone());
    let window = Purse {
        window: Some("key:ff:daily:0".parse().unwrap()),
        ..balance.clone()
    };
    for (sequence, purse) in (sequence..).zip([balance, window]) {
        f.accounts.recall_leases(&purse).await.unwrap();
        let change = Change::Recall(purse);
        let in_log = f.accounts.events_in_log(sequence).await.unwrap();
        let events = f.accounts.events_since(sequence).await.unwrap();
        assert_eq!(in_log, events);
        let sequence = sequence + 1;
        assert_eq!(events.events, [AccountEvent { sequence, change }]);
    }
}

async fn a_key_expires_by_the_clock(f: Fixture) {
    f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    let new = NewKey {
        expires_at: Some(f.clock.unix_s() + 60),
        ..inference("short")
    };
    let secret = f.accounts.create_key("op", &new).await.unwrap();
    let look = || async { f.accounts.lookup(secret.hash()).await.unwrap().principal };
    assert!(look().await.is_ok());
    f.clock.advance(Duration::from_secs(60));
    assert_eq!(look().await, Err(Refusal::Expired));
}

async fn a_chosen_key_is_made_once_and_stays_revoked(f: Fixture) {
    f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    let secret = SecretKey::from_text("sk-dev-0123456789");
    let ensure = |kind| {
        let new = NewKey {
            kind,
            ..inference("dev")
        };
        let (accounts, secret) = (&f.accounts, &secret);
        async move { accounts.ensure_key("op", secret, &new).await }
    };
    assert!(ensure(KeyKind::Inference).await.unwrap());
    assert!(!ensure(KeyKind::Inference).await.unwrap());
    assert!(matches!(
        ensure(KeyKind::Management).await,
        Err(AccountsError::KeyTaken(_))
    ));
    f.accounts.revoke_key("op", secret.hash()).await.unwrap();
    assert!(!ensure(KeyKind::Inference).await.unwrap());
    let answer = f.accounts.lookup(secret.hash()).await.unwrap();
    assert_eq!(answer.principal, Err(Refusal::Revoked));
    // Nothing but the two changes has a number.
    assert_eq!(answer.account_sequence, 2);
}

async fn an_edge_that_is_ahead_or_too_far_behind_starts_anew(f: Fixture) {
    f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    for name in ["a", "b", "c"] {
        f.accounts.create_key("op", &inference(name)).await.unwrap();
    }
    let since = |sequence| {
        let accounts = &f.accounts;
        async move { accounts.events_since(sequence).await.unwrap() }
    };
    assert_eq!(since(3).await.events, []);
    assert!(!since(3).await.reset);
    assert_eq!(since(1).await.events.len(), 2);
    assert!(since(4).await.reset);
    let mut transaction = f.on.database.write().await.unwrap();
    let cut = "DELETE FROM account_events WHERE sequence = 1";
    transaction.execute(cut).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(!since(0).await.reset, "kept in memory");
    let in_log = |sequence| {
        let accounts = &f.accounts;
        async move { accounts.events_in_log(sequence).await.unwrap() }
    };
    assert!(in_log(0).await.reset);
    assert_eq!(in_log(0).await.sequence, 3);
    assert!(!in_log(1).await.reset);
}

async fn the_sequence_goes_on_after_a_restart(f: Fixture) {
    f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    f.accounts.create_key("op", &inference("a")).await.unwrap();
    f.on.database.close().await;
    let database = Database::open(&f.on.source).await.unwrap();
    let accounts = Accounts::open(database, f.clock).await.unwrap();
    assert_eq!(*accounts.subscribe().borrow(), 1);
    accounts.create_key("op", &inference("b")).await.unwrap();
    assert_eq!(accounts.events_since(0).await.unwrap().events.len(), 2);
}

async fn an_edited_audit_row_is_found(f: Fixture) {
    for object in ["a", "b", "c"] {
        f.accounts.record("op", "x.y", object).await.unwrap();
    }
    assert_eq!(f.accounts.verify_audit().await.unwrap(), None);
    let run = |sql: &'static str| {
        let database = f.on.database.clone();
        async move {
            let mut transaction = database.write().await.unwrap();
            transaction.execute(sql).await.unwrap();
            transaction.commit().await.unwrap();
        }
    };
    run("UPDATE audit SET object = 'z' WHERE sequence = 2").await;
    assert_eq!(f.accounts.verify_audit().await.unwrap(), Some(2));
    run("UPDATE audit SET object = 'b' WHERE sequence = 2").await;
    assert_eq!(f.accounts.verify_audit().await.unwrap(), None);
    run("DELETE FROM audit WHERE sequence = 3").await;
    assert_eq!(f.accounts.verify_audit().await.unwrap(), Some(3));
}

async fn names_are_checked(f: Fixture) {
    f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    for name in ["a\nb", &"x".repeat(NAME_MAX + 1)] {
        let refused = f.accounts.create_key("op", &inference(name)).await;
        assert!(matches!(refused, Err(AccountsError::Invalid { .. })));
    }
    let elsewhere = NewKey {
        org: Some("org_none".into()),
        ..inference("a")
    };
    let refused = f.accounts.create_key("op", &elsewhere).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchOrg(_))));
}

async fn the_first_start_is_only_once(f: Fixture) {
    let ledger = Ledger::open(f.on.database.clone(), f.clock.clone())
        .await
        .unwrap();
    let fence = Epoch(1);
    let wishes = Wishes {
        credits: Amount::USD,
        first_key: true,
        ..Wishes::default()
    };
    let run = || bootstrap::run(&f.accounts, &ledger, fence, &wishes);
    let first = run().await.unwrap();
    let again = run().await.unwrap();
    assert!(first.first_key.is_some() && again.first_key.is_none());
    assert_eq!(first.org, again.org);
    let totals = ledger.totals().await.unwrap();
    assert_eq!(totals[&first.org.id].available, Amount::USD);

    let chosen = Wishes {
        inference_key: Some(SecretKey::from_text("short")),
        ..Wishes::default()
    };
    let refused = bootstrap::run(&f.accounts, &ledger, fence, &chosen).await;
    assert!(refused.is_err());
}

async fn limits_reach_the_key_at_its_look_up(f: Fixture) {
    let (org, _) = f.accounts.ensure_first_org("op", "Acme").await.unwrap();
    let secret = f.accounts.create_key("op", &inference("one")).await;
    let key = secret.unwrap().hash();
    let id = LimitId::from(org.id.as_str());
    let mut wake = f.accounts.subscribe();
    let set = |interval, dollars: Option<i128>| {
        let most = dollars.map(|dollars| (Amount(dollars * Amount::USD.0), false));
        let limit = (Scope::Org, &id, interval);
        f.accounts.set_limit("op", &org.id, limit, most)
    };
    set(Interval::Daily, Some(5)).await.unwrap();
    set(Interval::Monthly, Some(50)).await.unwrap();
    let narrow = set(Interval::Weekly, Some(50)).await;
    assert!(matches!(narrow, Err(AccountsError::Invalid { .. })));
    let stranger = LimitId::from("user_x");
    let limit = (Scope::Member, &stranger, Interval::Daily);
    let unknown = f.accounts.set_limit("op", &org.id, limit, None).await;
    assert!(unknown.is_err());
    assert!(wake.has_changed().unwrap());
    let terms = crate::ledger::Terms {
        purchase_fee_ppm: 0,
        spend_fee_ppm: 50_000,
        ..crate::ledger::Terms::default()
    };
    let ledger = Ledger::open(f.on.database.clone(), f.clock.clone()).await;
    let agreed = ledger.unwrap().set_terms(Epoch(1), &org.id, terms).await;
    agreed.unwrap();
    let answer = f.accounts.lookup(key).await.unwrap();
    assert_eq!(answer.account_sequence, *wake.borrow_and_update());
    let policy = answer.principal.unwrap().policy;
    let amounts: Vec<_> = policy
        .limits
        .iter()
        .map(|l| (l.interval, l.amount))
        .collect();
    let usd = |dollars: i128| Amount(dollars * Amount::USD.0);
    assert_eq!(amounts.len(), 3);
    assert!(amounts.contains(&(Interval::Monthly, usd(50))));
    // Free requests a day: nothing was bought.
    assert!(amounts.contains(&(Interval::Daily, Amount(50))));
    assert_eq!(policy.spend_fee_ppm, 50_000);
    assert_eq!(policy.byok_fee_ppm, 50_000, "unless agreed otherwise");
    assert_eq!(
        (policy.byok_free, policy.byok_free_requests),
        (usd(25_000), 0)
    );
    set(Interval::Daily, None).await.unwrap();
    assert_eq!(f.accounts.limits(&org.id).await.unwrap().len(), 1);
}

on_both! {
    limits_reach_the_key_at_its_look_up,
    a_keys_life,
    a_key_is_changed_and_edges_are_told,
    a_change_of_an_organisation_is_an_event,
    a_key_expires_by_the_clock,
    a_chosen_key_is_made_once_and_stays_revoked,
    an_edge_that_is_ahead_or_too_far_behind_starts_anew,
    the_sequence_goes_on_after_a_restart,
    an_edited_audit_row_is_found,
    names_are_checked,
    the_first_start_is_only_once,
}
