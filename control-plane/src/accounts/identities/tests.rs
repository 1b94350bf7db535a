//! Log-in of whom a provider vouches for, on real databases of both kinds.

use super::*;
use crate::accounts::NewKey;
use crate::accounts::people::{NewMember, hashed};
use crate::accounts::sessions::{LogIn, Network};
use crate::sql::Engine;
use crate::testing::{TestDatabase, on_both};
use shared::clock::Clock;
use shared::policy::KeyKind;
use std::sync::Arc;

const ISSUER: &str = "https://id.example.com";

struct Fixture {
    accounts: Arc<Accounts>,
    org: OrgId,
    _on: TestDatabase,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let accounts = Accounts::open(on.database.clone(), Clock::manual()).await;
    let accounts = accounts.unwrap();
    let (org, _) = accounts.ensure_first_org("op", "Acme").await.unwrap();
    Fixture {
        accounts: Arc::new(accounts),
        org: org.id,
        _on: on,
    }
}

fn who(subject: &str, email: &str) -> Vouched {
    Vouched {
        issuer: ISSUER.to_owned(),
        subject: subject.to_owned(),
        email: email.to_owned(),
        name: "Ada L".to_owned(),
    }
}

impl Fixture {
    async fn add(&self, email: &str) -> UserId {
        let new = NewMember {
            email: email.to_owned(),
            name: String::new(),
            role: Role::Admin,
            password: None,
            operator: true,
        };
        let added = self.accounts.add_member("op", &self.org, &new).await;
        added.unwrap().user
    }

    fn joining(&self) -> Joining {
        Joining {
            domains: vec!["example.com".to_owned()],
            org: self.org.clone(),
            role: Role::Member,
        }
    }

    async fn log_in(&self, who: &Vouched) -> VouchedLogIn {
        self.accounts.log_in_vouched(who, None).await.unwrap()
    }

    async fn user(&self, logged_in: VouchedLogIn) -> UserId {
        let VouchedLogIn::Done(token) = logged_in else {
            panic!("{logged_in:?}");
        };
        let session = self.accounts.session(&token).await.unwrap();
        session.unwrap().user
    }
}

async fn who_is_known_is_linked_once(f: Fixture) {
    let ada = f.add("ada@example.com").await;
    let first = f.log_in(&who("1", "Ada@Example.com")).await;
    assert_eq!(f.user(first).await, ada);
    // An address may change, and belong to somebody else later.
    let moved = f.log_in(&who("1", "ada@elsewhere.example")).await;
    assert_eq!(f.user(moved).await, ada);
    let heir = f.log_in(&who("2", "ada@example.com")).await;
    assert!(matches!(heir, VouchedLogIn::Another), "{heir:?}");
    let elsewhere = Vouched {
        issuer: "https://other.example.com".to_owned(),
        ..who("2", "ada@example.com")
    };
    assert_eq!(f.user(f.log_in(&elsewhere).await).await, ada);

    let (user, links) = f.accounts.unlink("op", "ada@example.com").await.unwrap();
    assert_eq!((user, links), (ada.clone(), 2));
    let anew = f.log_in(&who("2", "ada@example.com")).await;
    assert_eq!(f.user(anew).await, ada);
    let unknown = f.log_in(&who("1", "ada@elsewhere.example")).await;
    assert!(matches!(unknown, VouchedLogIn::Unknown));
    assert_eq!(f.accounts.verify_audit().await.unwrap(), None);
}

fn here() -> Network {
    std::net::IpAddr::from([192, 0, 2, 1]).into()
}

async fn who_made_the_account_does_not_keep_a_way_in(f: Fixture) {
    const KNOWN: &str = "known to another organisation";
    let password = loop {
        match hashed(KNOWN.to_owned()).await {
            Err(AccountsError::Busy) => tokio::task::yield_now().await,
            done => break done.unwrap(),
        }
    };
    let new = NewMember {
        email: "ada@example.com".to_owned(),
        name: String::new(),
        role: Role::Member,
        password: Some(password),
        operator: true,
    };
    f.accounts.add_member("op", &f.org, &new).await.unwrap();
    let log_in = async || loop {
        match f.accounts.log_in("ada@example.com", KNOWN, here()).await {
            Err(AccountsError::Busy) => tokio::task::yield_now().await,
            done => break done.unwrap(),
        }
    };
    let LogIn::Done(theirs) = log_in().await else {
        panic!("the password does not open");
    };
    let hers = f.log_in(&who("1", "ada@example.com")).await;
    f.user(hers).await;
    assert!(f.accounts.session(&theirs).await.unwrap().is_none());
    assert!(matches!(log_in().await, LogIn::Wrong));
}

async fn only_people_of_named_domains_join(f: Fixture) {
    let joining = f.joining();
    let join = async |who: Vouched| f.accounts.log_in_vouched(&who, Some(&joining)).await;
    for email in [
        "eve@evil-example.com",
        "eve@example.com.evil.org",
        "eve@sub.example.com",
        "example.com@evil.org",
    ] {
        let refused = join(who("9", email)).await.unwrap();
        assert!(matches!(refused, VouchedLogIn::Unknown), "{email}");
    }
    let bob = f
        .user(join(who("3", "Bob@EXAMPLE.com")).await.unwrap())
        .await;
    let members = f.accounts.members(&f.org).await.unwrap();
    let known: Vec<_> = members
        .iter()
        .map(|m| (&m.user, &*m.email, m.role))
        .collect();
    assert_eq!(known, [(&bob, "bob@example.com", Role::Member)]);
    assert_eq!(members[0].name, "Ada L");
    // Who was taken out does not come back in by the domain.
    let carol = f
        .user(join(who("4", "carol@example.com")).await.unwrap())
        .await;
    f.accounts
        .remove_member("op", &f.org, &carol)
        .await
        .unwrap();
    let VouchedLogIn::Done(token) = join(who("4", "carol@example.com")).await.unwrap() else {
        panic!("not logged in");
    };
    let session = f.accounts.session(&token).await.unwrap().unwrap();
    assert_eq!((session.user, session.orgs), (carol, Vec::new()));
    // Nobody logs in with a password who has none.
    let wrong = f.accounts.log_in("bob@example.com", "", here()).await;
    assert!(matches!(wrong, Ok(LogIn::Wrong) | Err(AccountsError::Busy)));

    let nowhere = Joining {
        org: OrgId::from("org_none"),
        ..f.joining()
    };
    let dan = who("5", "dan@example.com");
    let refused = f.accounts.log_in_vouched(&dan, Some(&nowhere)).await;
    assert!(matches!(refused, Err(AccountsError::NoSuchOrg(_))));
    assert!(matches!(f.log_in(&dan).await, VouchedLogIn::Unknown));
    for odd in [
        who("", "dan@example.com"),
        who("a\0b", "dan@example.com"),
        who(&"x".repeat(SUBJECT_LENGTH_MAX + 1), "dan@example.com"),
        who("5", "dan"),
    ] {
        let refused = join(odd).await;
        assert!(matches!(refused, Err(AccountsError::Invalid { .. })));
    }
}

async fn who_is_disabled_is_kept_out(f: Fixture) {
    let ada = f.add("ada@example.com").await;
    let set = async |disabled| {
        let set = f.accounts.set_disabled("op", "Ada@example.com", disabled);
        assert_eq!(set.await.unwrap(), ada);
    };
    let other = f.accounts.create_org("op", "Other").await.unwrap().id;
    let key = |org: &OrgId, created_by: Option<&UserId>| NewKey {
        org: Some(org.clone()),
        created_by: created_by.cloned(),
        ..NewKey::of(KeyKind::Inference, "k")
    };
    let mut keys = Vec::new();
    for new in [
        key(&f.org, Some(&ada)),
        key(&other, Some(&ada)),
        key(&other, None),
    ] {
        keys.push(f.accounts.create_key("op", &new).await.unwrap().hash());
    }
    let opens = async || {
        let mut opens = Vec::new();
        for key in &keys {
            opens.push(f.accounts.lookup(*key).await.unwrap().principal.is_ok());
        }
        opens
    };
    let told = f.accounts.subscribe();
    let before = *told.borrow();
    set(true).await;
    assert_eq!(opens().await, [false, false, true], "as for who is removed");
    let events = f.accounts.events_since(before).await.unwrap().events;
    let mut changes: Vec<_> = events.into_iter().map(|event| event.change).collect();
    let mut expected = [Change::Org(f.org.clone()), Change::Org(other)];
    for changes in [&mut changes[..], &mut expected[..]] {
        changes.sort_by_key(|change| format!("{change:?}"));
    }
    assert_eq!(changes, expected);
    assert_eq!(*told.borrow(), before + 2, "edges are woken");
    let refused = f.log_in(&who("1", "ada@example.com")).await;
    assert!(matches!(refused, VouchedLogIn::Disabled));
    set(false).await;
    assert_eq!(opens().await, [false, false, true]);
    let VouchedLogIn::Done(token) = f.log_in(&who("1", "ada@example.com")).await else {
        panic!("not logged in");
    };
    set(true).await;
    assert_eq!(f.accounts.session(&token).await.unwrap(), None);
    let refused = f.log_in(&who("1", "ada@example.com")).await;
    assert!(matches!(refused, VouchedLogIn::Disabled));
    set(false).await;
    assert_eq!(f.accounts.session(&token).await.unwrap(), None);
    let nobody = f.accounts.set_disabled("op", "eve@example.com", true).await;
    assert!(matches!(nobody, Err(AccountsError::NoSuch { .. })));
}

async fn two_windows_make_one_person(f: Fixture) {
    let joining = f.joining();
    let bob = who("3", "bob@example.com");
    let both = futures::future::join_all((0..4).map(|_| async {
        let logged_in = f.accounts.log_in_vouched(&bob, Some(&joining)).await;
        f.user(logged_in.unwrap()).await
    }));
    let users = both.await;
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    assert_eq!(f.accounts.members(&f.org).await.unwrap().len(), 1);
}

on_both! {
    who_is_known_is_linked_once,
    who_made_the_account_does_not_keep_a_way_in,
    only_people_of_named_domains_join,
    who_is_disabled_is_kept_out,
    two_windows_make_one_person,
}
