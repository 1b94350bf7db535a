//! People, their log-in and workspaces, on real databases of both kinds.

use super::*;
use crate::accounts::guardrails::{NewGuardrail, Subject};
use crate::accounts::identities::Vouched;
use crate::accounts::sessions::{
    ATTEMPTS_MAX, ATTEMPTS_WITHIN, LogIn, Network, SESSION_LIFE, SESSIONS_MAX, SessionToken,
};
use crate::accounts::workspaces::WorkspaceChange;
use crate::accounts::{KeyFilter, NewKey, Refusal};
use crate::sql::Engine;
use crate::testing::{TestDatabase, on_both};
use shared::clock::Clock;
use shared::id::LimitId;
use shared::limit::{Interval, Scope};
use shared::money::Amount;
use shared::policy::KeyKind;
use std::time::Duration;

const PASSWORD: &str = "correct horse battery";

struct Fixture {
    accounts: Accounts,
    org: OrgId,
    clock: Clock,
    _on: TestDatabase,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let clock = Clock::manual();
    let accounts = Accounts::open(on.database.clone(), clock.clone())
        .await
        .unwrap();
    let (org, _) = accounts.ensure_first_org("op", "Acme").await.unwrap();
    Fixture {
        accounts,
        org: org.id,
        clock,
        _on: on,
    }
}

/// Hashing takes places that tests at the same time want, too.
async fn hash(text: &str) -> PasswordHash {
    loop {
        match hashed(text.to_owned()).await {
            Err(AccountsError::Busy) => tokio::task::yield_now().await,
            done => return done.unwrap(),
        }
    }
}

impl Fixture {
    async fn add(&self, email: &str, role: Role) -> Member {
        let new = NewMember {
            email: email.to_owned(),
            name: "Ada L".to_owned(),
            role,
            password: Some(hash(PASSWORD).await),
            operator: true,
        };
        let added = self.accounts.add_member("op", &self.org, &new).await;
        added.unwrap()
    }

    async fn log_in(&self, email: &str, password: &str) -> LogIn {
        loop {
            match self.accounts.log_in(email, password, here()).await {
                Err(AccountsError::Busy) => tokio::task::yield_now().await,
                done => return done.unwrap(),
            }
        }
    }

    async fn token(&self, email: &str) -> SessionToken {
        match self.log_in(email, PASSWORD).await {
            LogIn::Done(token) => token,
            other => panic!("{other:?}"),
        }
    }
}

async fn a_log_in_lasts_its_time(f: Fixture) {
    let ada = f.add("Ada@Example.com", Role::Admin).await;
    assert_eq!(ada.email, "ada@example.com");
    for (email, password) in [
        ("ada@example.com", "correct horse batterz"),
        ("bob@example.com", PASSWORD),
        ("ada", PASSWORD),
    ] {
        let refused = f.log_in(email, password).await;
        assert!(matches!(refused, LogIn::Wrong), "{email}");
    }
    let token = f.token("ADA@example.com").await;
    assert!(!format!("{token:?}").contains("gws-"));
    let session = f.accounts.session(&token).await.unwrap().unwrap();
    assert_eq!((&session.user, session.orgs.len()), (&ada.user, 1));
    assert_eq!(session.orgs[0].1, Role::Admin);
    let other = SessionToken::from_text("gws-0");
    assert_eq!(f.accounts.session(&other).await.unwrap(), None);
    f.clock.advance(SESSION_LIFE - Duration::from_secs(1));
    assert!(f.accounts.session(&token).await.unwrap().is_some());
    f.clock.advance(Duration::from_secs(1));
    assert_eq!(f.accounts.session(&token).await.unwrap(), None);

    let first = f.token("ada@example.com").await;
    let second = f.token("ada@example.com").await;
    f.accounts.log_out(&first).await.unwrap();
    f.accounts.log_out(&first).await.unwrap();
    assert_eq!(f.accounts.session(&first).await.unwrap(), None);
    let new = hash("another horse battery").await;
    let email = "ada@example.com";
    f.accounts.set_password("op", email, &new).await.unwrap();
    assert_eq!(f.accounts.session(&second).await.unwrap(), None);
    assert!(matches!(f.log_in(email, PASSWORD).await, LogIn::Wrong));
}

fn here() -> Network {
    std::net::IpAddr::from([192, 0, 2, 1]).into()
}

async fn attempts_are_bounded(f: Fixture) {
    f.add("ada@example.com", Role::Admin).await;
    for _ in 0..ATTEMPTS_MAX {
        let wrong = f.log_in("ada@example.com", "wrong wrong wrong").await;
        assert!(matches!(wrong, LogIn::Wrong));
    }
    let right = f.log_in("ada@example.com", PASSWORD).await;
    assert!(matches!(right, LogIn::TooMany(wait) if wait <= ATTEMPTS_WITHIN));
    // Who guesses shuts nobody out who is elsewhere.
    let elsewhere = std::net::IpAddr::from([198, 51, 100, 1]).into();
    let theirs = loop {
        match f
            .accounts
            .log_in("ada@example.com", PASSWORD, elsewhere)
            .await
        {
            Err(AccountsError::Busy) => tokio::task::yield_now().await,
            done => break done.unwrap(),
        }
    };
    assert!(matches!(theirs, LogIn::Done(_)));
    f.clock.advance(ATTEMPTS_WITHIN);
    f.token("ada@example.com").await;
    // Who has logged in begins anew; and only the latest sessions are kept.
    let first = f.token("ada@example.com").await;
    for _ in 0..SESSIONS_MAX {
        f.clock.advance(Duration::from_millis(1));
        f.token("ada@example.com").await;
    }
    assert_eq!(f.accounts.session(&first).await.unwrap(), None);
}

async fn nothing_is_left_of_a_member_who_is_removed(f: Fixture) {
    f.add("ada@example.com", Role::Admin).await;
    let bob = f.add("bob@example.com", Role::Member).await.user;
    let (accounts, org) = (&f.accounts, &f.org);
    let id = LimitId::from(bob.as_str());
    let limit = (Scope::Member, &id, Interval::Daily);
    let most = Some((Amount::USD, false));
    accounts.set_limit("op", org, limit, most).await.unwrap();
    let new = NewGuardrail {
        name: "g".to_owned(),
        ..NewGuardrail::default()
    };
    let made = accounts.create_guardrail("op", &new).await.unwrap();
    let subjects = [Subject::Member(bob.clone())];
    let assigned = accounts.assign_guardrail("op", None, &made.id, &subjects);
    assert_eq!(assigned.await.unwrap(), 1);
    accounts.remove_member("op", org, &bob).await.unwrap();
    assert_eq!(accounts.limits(org).await.unwrap(), []);
    let left = accounts.guardrail_assignments(Some(org), None).await;
    assert_eq!(left.unwrap(), []);
    let unknown = accounts.set_limit("op", org, limit, None).await;
    assert!(matches!(unknown, Err(AccountsError::NoSuch { .. })));
}

async fn an_organisation_keeps_an_administrator(f: Fixture) {
    let ada = f.add("ada@example.com", Role::Admin).await;
    let bob = f.add("bob@example.com", Role::Member).await;
    let (accounts, org) = (&f.accounts, &f.org);
    let refused = [
        accounts.set_role("op", org, &ada.user, Role::Member).await,
        accounts.remove_member("op", org, &ada.user).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(AccountsError::Conflict(_))));
    }
    let nobody = UserId::from("user_none");
    let refused = accounts.set_role("op", org, &nobody, Role::Admin).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    accounts
        .set_role("op", org, &bob.user, Role::Admin)
        .await
        .unwrap();

    let key = NewKey {
        created_by: Some(ada.user.clone()),
        ..NewKey::of(KeyKind::Inference, "ada's")
    };
    let secret = accounts.create_key("op", &key).await.unwrap();
    let token = f.token("ada@example.com").await;
    accounts.remove_member("op", org, &ada.user).await.unwrap();
    let answer = accounts.lookup(secret.hash()).await.unwrap();
    assert_eq!(answer.principal, Err(Refusal::Disabled));
    assert_eq!(accounts.session(&token).await.unwrap(), None);
    let after = f.log_in("ada@example.com", PASSWORD).await;
    assert!(matches!(after, LogIn::Wrong), "nobody's password is kept");
    let members = accounts.members(org).await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(
        (&members[0].user, members[0].role),
        (&bob.user, Role::Admin)
    );
    let events = accounts.events_since(0).await.unwrap().events;
    assert_eq!(events.last().unwrap().change, Change::Org(org.clone()));
}

async fn somebody_is_known_by_their_address(f: Fixture) {
    let ada = f.add("ada@example.com", Role::Admin).await;
    let other = f.accounts.create_org("op", "Other").await.unwrap();
    let mut again = NewMember {
        email: "ADA@example.com".to_owned(),
        name: "Somebody".to_owned(),
        role: Role::Member,
        password: Some(hash("not her own password").await),
        operator: true,
    };
    let refused = f.accounts.add_member("op", &other.id, &again).await;
    assert!(matches!(refused, Err(AccountsError::Conflict(_))));
    again.password = None;
    let added = f
        .accounts
        .add_member("op", &other.id, &again)
        .await
        .unwrap();
    assert_eq!((added.user, added.name), (ada.user, "Ada L".to_owned()));
    let twice = f.accounts.add_member("op", &other.id, &again).await;
    assert!(matches!(twice, Err(AccountsError::Conflict(_))));
    let token = f.token("ada@example.com").await;
    let session = f.accounts.session(&token).await.unwrap().unwrap();
    assert_eq!(session.orgs.len(), 2);
    for bad in ["", "ada", "@b", "a@", "a@b@c", "a b@c", "a\u{e9}@c"] {
        again.email = bad.to_owned();
        let refused = f.accounts.add_member("op", &other.id, &again).await;
        assert!(
            matches!(refused, Err(AccountsError::Invalid { .. })),
            "{bad}"
        );
    }
}

async fn an_organisation_vouches_for_its_own_people_only(f: Fixture) {
    let accounts = &f.accounts;
    let mut orgs = Vec::new();
    for name in ["A", "B"] {
        orgs.push(accounts.create_org("op", name).await.unwrap().id);
    }
    let cfo = |password| NewMember {
        email: "cfo@b.test".to_owned(),
        name: String::new(),
        role: Role::Admin,
        password,
        operator: false,
    };
    let chosen = hash(PASSWORD).await;
    let new = cfo(Some(chosen.clone()));
    let by_a = accounts.add_member("a", &orgs[0], &new).await.unwrap();
    let token = f.token("cfo@b.test").await;
    // While they are A's, neither B nor an operator makes an administrator of B out of them.
    let mut by_operator = cfo(None);
    by_operator.operator = true;
    for new in [cfo(None), by_operator.clone()] {
        let refused = accounts.add_member("b", &orgs[1], &new).await;
        assert!(
            matches!(refused, Err(AccountsError::Conflict(_))),
            "{refused:?}"
        );
    }
    let other = hash("another horse battery").await;
    accounts
        .set_password("op", "cfo@b.test", &other)
        .await
        .unwrap();
    let added = accounts
        .add_member("op", &orgs[1], &by_operator)
        .await
        .unwrap();
    assert_eq!(added.user, by_a.user);
    assert_eq!(accounts.session(&token).await.unwrap(), None);
    let refused = f.log_in("cfo@b.test", PASSWORD).await;
    assert!(matches!(refused, LogIn::Wrong));

    // Left over by A, they begin anew in B.
    let mut ceo = cfo(Some(chosen));
    ceo.email = "ceo@b.test".to_owned();
    let of_a = accounts.add_member("a", &orgs[0], &ceo).await.unwrap();
    let token = f.token("ceo@b.test").await;
    accounts
        .remove_member("a", &orgs[0], &of_a.user)
        .await
        .unwrap();
    ceo.password = None;
    accounts.add_member("b", &orgs[1], &ceo).await.unwrap();
    assert_eq!(accounts.session(&token).await.unwrap(), None);
    let refused = f.log_in("ceo@b.test", PASSWORD).await;
    assert!(matches!(refused, LogIn::Wrong));

    // Whose address a provider has verified may be added by anybody.
    let vouched = Vouched {
        issuer: "https://id.example.com".to_owned(),
        subject: "1".to_owned(),
        email: "ceo@b.test".to_owned(),
        name: String::new(),
    };
    accounts.log_in_vouched(&vouched, None).await.unwrap();
    accounts.add_member("a", &orgs[0], &ceo).await.unwrap();
    assert_eq!(accounts.verify_audit().await.unwrap(), None);
}

async fn a_workspaces_life(f: Fixture) {
    let (accounts, org) = (&f.accounts, &f.org);
    let ada = f.add("ada@example.com", Role::Admin).await;
    let all = accounts.workspaces(org).await.unwrap();
    assert_eq!((all.len(), all[0].is_default), (1, true));
    let given = |name: &str, slug: &str| WorkspaceChange {
        name: Some(name.to_owned()),
        slug: Some(slug.to_owned()),
        ..WorkspaceChange::default()
    };
    let make = |slug: &'static str| async move {
        let given = given("Research", slug);
        accounts.create_workspace("op", org, None, &given).await
    };
    let made = make("research").await.unwrap();
    let taken = make("research").await;
    assert!(matches!(taken, Err(AccountsError::Conflict(_))));
    let odd = make("Re search").await;
    assert!(matches!(odd, Err(AccountsError::Invalid { .. })));
    assert_eq!(accounts.workspace(org, "research").await.unwrap(), made);
    let other = accounts.create_org("op", "Other").await.unwrap();
    let foreign = accounts.workspace(&other.id, made.id.as_str()).await;
    assert!(matches!(foreign, Err(AccountsError::NoSuch { .. })));

    let change = given("Lab", "default");
    let taken = accounts
        .change_workspace("op", org, "research", &change)
        .await;
    assert!(matches!(taken, Err(AccountsError::Conflict(_))));
    let change = given("Lab", "lab");
    let changed = accounts
        .change_workspace("op", org, "research", &change)
        .await;
    assert_eq!(changed.unwrap().name, "Lab");

    let users = [ada.user.clone()];
    for moved in [1, 0] {
        let into = accounts.move_members("op", &made, &users, true).await;
        assert_eq!(into.unwrap(), moved);
    }
    let nobody = [UserId::from("user_none")];
    let refused = accounts.move_members("op", &made, &nobody, true).await;
    assert!(matches!(refused, Err(AccountsError::NoSuch { .. })));
    assert_eq!(accounts.workspace_members(&made).await.unwrap().len(), 1);

    let key = NewKey {
        workspace: Some(made.id.clone()),
        ..NewKey::of(KeyKind::Inference, "k")
    };
    let secret = accounts.create_key("op", &key).await.unwrap();
    let filter = KeyFilter {
        workspace: Some(made.id.clone()),
        ..KeyFilter::default()
    };
    assert_eq!(accounts.find_keys(&filter).await.unwrap().len(), 1);
    for name in ["lab", all[0].id.as_str()] {
        let refused = accounts.delete_workspace("op", org, name).await;
        assert!(matches!(refused, Err(AccountsError::Conflict(_))), "{name}");
    }
    accounts.revoke_key("op", secret.hash()).await.unwrap();
    accounts.delete_workspace("op", org, "lab").await.unwrap();
    assert_eq!(accounts.workspaces(org).await.unwrap().len(), 1);
}

on_both! {
    a_log_in_lasts_its_time,
    attempts_are_bounded,
    an_organisation_keeps_an_administrator,
    nothing_is_left_of_a_member_who_is_removed,
    somebody_is_known_by_their_address,
    an_organisation_vouches_for_its_own_people_only,
    a_workspaces_life,
}
