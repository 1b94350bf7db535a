//! Guardrails on real databases: whom they hold for, and what edges are told.

use super::*;
use crate::accounts::NewKey;
use crate::sql::Engine;
use crate::testing::{TestDatabase, on_both};
use shared::clock::Clock;
use shared::guardrail::Rules;
use shared::key::KeyHash;
use shared::policy::KeyKind;
use sqlx::Executor;

struct Fixture {
    accounts: Accounts,
    org: OrgId,
    on: TestDatabase,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let accounts = Accounts::open(on.database.clone(), Clock::manual());
    let accounts = accounts.await.unwrap();
    let (org, _) = accounts.ensure_first_org("op", "Acme").await.unwrap();
    Fixture {
        accounts,
        org: org.id,
        on,
    }
}

impl Fixture {
    async fn key(&self, created_by: Option<&str>) -> KeyHash {
        let new = NewKey {
            created_by: created_by.map(Into::into),
            ..NewKey::of(KeyKind::Inference, "k")
        };
        self.accounts.create_key("op", &new).await.unwrap().hash()
    }

    async fn guardrail(&self, json: &str) -> String {
        let new = NewGuardrail {
            name: "g".to_owned(),
            rules: Guardrail::parse(json).unwrap(),
            ..NewGuardrail::default()
        };
        let made = self.accounts.create_guardrail("op", &new).await;
        made.unwrap().id
    }

    async fn assign(&self, id: &str, subject: Subject) -> Result<u64, AccountsError> {
        let accounts = &self.accounts;
        accounts.assign_guardrail("op", None, id, &[subject]).await
    }

    async fn rules(&self, key: KeyHash) -> Option<Rules> {
        let answer = self.accounts.lookup(key).await.unwrap();
        let policy = answer.principal.unwrap().policy;
        policy.rules.map(|rules| (*rules).clone())
    }

    async fn changes(&self, since: u64) -> Vec<Change> {
        let events = self.accounts.events_since(since).await.unwrap().events;
        events.into_iter().map(|event| event.change).collect()
    }
}

async fn all_that_hold_for_a_key_are_combined(f: Fixture) {
    let (key, other) = (f.key(None).await, f.key(None).await);
    let workspace = f.accounts.key(key).await.unwrap().unwrap().workspace;
    let one = f
        .guardrail(r#"{"allowed_providers":["a","b"],"limit_usd":5}"#)
        .await;
    let two = f
        .guardrail(r#"{"allowed_providers":["b","c"],"enforce_zdr_openai":true}"#)
        .await;
    let three = f.guardrail(r#"{"ignored_models":["a/x"]}"#).await;
    assert_eq!(f.rules(key).await, None);
    assert_eq!(f.assign(&one, Subject::Key(key)).await.unwrap(), 1);
    assert_eq!(f.assign(&one, Subject::Key(key)).await.unwrap(), 0);
    f.assign(&two, Subject::Workspace(workspace)).await.unwrap();
    f.assign(&three, Subject::Organization).await.unwrap();
    let rules = f.rules(key).await.unwrap();
    assert_eq!(rules.allowed_providers.as_deref().unwrap(), ["b"]);
    assert!(rules.zdr.openai && rules.ignored_models.len() == 1);
    assert_eq!(
        (rules.budgets.len(), rules.budgets[0].guardrail.as_str()),
        (1, one.as_str())
    );
    let rules = f.rules(other).await.unwrap();
    assert_eq!(rules.allowed_providers.as_deref().unwrap(), ["b", "c"]);
    // One guardrail for each subject: the newer takes the place of the older.
    assert_eq!(f.assign(&two, Subject::Key(key)).await.unwrap(), 1);
    assert!(f.rules(key).await.unwrap().budgets.is_empty());
    f.accounts.delete_guardrail("op", None, &two).await.unwrap();
    let rules = f.rules(key).await.unwrap();
    assert_eq!(rules.allowed_providers, None);
    let left = f.accounts.guardrail_assignments(Some(&f.org), None).await;
    assert_eq!(left.unwrap().len(), 1);
}

async fn edges_are_told_of_every_change(f: Fixture) {
    let key = f.key(None).await;
    let id = f.guardrail("{}").await;
    let org = || Change::Org(f.org.clone());
    f.assign(&id, Subject::Key(key)).await.unwrap();
    assert_eq!(f.changes(1).await, [Change::Changed(key)]);
    f.assign(&id, Subject::Organization).await.unwrap();
    assert_eq!(f.changes(2).await, [org()]);
    let change = GuardrailChange {
        rules: Some(Guardrail::parse(r#"{"enforce_zdr":true}"#).unwrap()),
        ..GuardrailChange::default()
    };
    let changed = f.accounts.change_guardrail("op", None, &id, &change).await;
    assert_eq!(changed.unwrap().rules.enforce_zdr, Some(true));
    assert_eq!(f.changes(3).await, [org()]);
    assert!(f.rules(key).await.unwrap().zdr.other);
    let subjects = [Subject::Organization];
    let taken = f.accounts.unassign_guardrail("op", None, &id, &subjects);
    assert_eq!(taken.await.unwrap(), 1);
    assert_eq!(f.changes(4).await, [org()]);
    f.accounts.delete_guardrail("op", None, &id).await.unwrap();
    assert_eq!(f.changes(5).await, [org()]);
    assert_eq!(f.rules(key).await, None);
}

async fn nobody_reaches_into_another_organisation(f: Fixture) {
    let id = f.guardrail("{}").await;
    let other = f.accounts.create_org("op", "Other").await.unwrap();
    let elsewhere = NewKey {
        org: Some(other.id.clone()),
        ..NewKey::of(KeyKind::Inference, "k")
    };
    let elsewhere = f
        .accounts
        .create_key("op", &elsewhere)
        .await
        .unwrap()
        .hash();
    let refused = f.assign(&id, Subject::Key(elsewhere)).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    let refused = f.assign(&id, Subject::Member("user_x".into())).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    let accounts = &f.accounts;
    let refused = accounts.guardrail(Some(&other.id), &id).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    let refused = accounts.delete_guardrail("op", Some(&other.id), &id).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    assert_eq!(
        accounts.guardrails(Some(&other.id), None).await.unwrap(),
        []
    );
    assert_eq!(
        accounts.guardrails(Some(&f.org), None).await.unwrap().len(),
        1
    );
    assert_eq!(f.changes(1).await, []);
}

async fn a_rule_that_is_not_understood_is_no_answer(f: Fixture) {
    let key = f.key(None).await;
    let id = f.guardrail("{}").await;
    f.assign(&id, Subject::Key(key)).await.unwrap();
    let mut transaction = f.on.database.write().await.unwrap();
    let newer = r#"UPDATE guardrails SET rules = '{"only_on_sundays": true}'"#;
    transaction.execute(newer).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(f.accounts.lookup(key).await.is_err());
}

on_both! {
    all_that_hold_for_a_key_are_combined,
    edges_are_told_of_every_change,
    nobody_reaches_into_another_organisation,
    a_rule_that_is_not_understood_is_no_answer,
}
