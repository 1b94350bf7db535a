//! Own provider keys on real databases: who gets which, sealed, and the master key's rotation.

use super::*;
use crate::accounts::NewKey;
use crate::accounts::workspaces::WorkspaceChange;
use crate::security::vault::MASTER_KEY_FILE;
use crate::sql::Engine;
use crate::testing::{TestDatabase, on_both};
use shared::byok::SealedCredential;
use shared::byok::seal::NodeKey;
use shared::clock::Clock;
use shared::key::unhex;
use shared::key::{KeyHash, hex};
use shared::policy::KeyKind;

const SECRET: &str = "sk-marked-0123456789-secret";

struct Fixture {
    accounts: Arc<Accounts>,
    vault: Arc<Vault>,
    node: NodeKey,
    key: KeyHash,
    on: TestDatabase,
    folder: tempfile::TempDir,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open(&folder.path().join(MASTER_KEY_FILE)).unwrap());
    let accounts = Accounts::open(on.database.clone(), Clock::manual()).await;
    let accounts = accounts.unwrap().with_vault(Arc::clone(&vault));
    accounts.ensure_first_org("op", "Acme").await.unwrap();
    let new = NewKey::of(KeyKind::Inference, "k");
    let key = accounts.create_key("op", &new).await.unwrap().hash();
    Fixture {
        accounts: Arc::new(accounts),
        vault,
        node: NodeKey::derive(&[7; 32]),
        key,
        on,
        folder,
    }
}

fn new(provider: &str, sort_order: i64, filters: Filters) -> NewCredential {
    NewCredential {
        org: None,
        workspace: None,
        provider: provider.to_owned(),
        located: Located {
            origin: format!("https://{provider}.example"),
            place: Place::default(),
        },
        secret: ProviderSecret::new(SECRET),
        terms: CredentialTerms {
            name: provider.to_owned(),
            sort_order,
            filters,
            ..CredentialTerms::default()
        },
    }
}

impl Fixture {
    async fn create(&self, provider: &str, sort_order: i64, filters: Filters) -> CredentialRow {
        let new = new(provider, sort_order, filters);
        self.accounts.create_credential("op", &new).await.unwrap()
    }

    async fn sealed(&self) -> Vec<Arc<SealedCredential>> {
        let all = self
            .accounts
            .sealed_credentials(self.key, self.node.public());
        all.await.unwrap()
    }

    fn open(&self, credential: &SealedCredential) -> Vec<u8> {
        let sealed = unhex(&credential.sealed).unwrap();
        self.node.open(&sealed, &credential.binding()).unwrap()
    }
}

async fn a_credential_travels_sealed_and_in_its_order(f: Fixture) {
    let only = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
    let second = f.create("b", 2, Filters::default()).await;
    let first = f.create("a", 1, Filters::default()).await;
    let mine = Filters {
        allowed_api_key_hashes: only(&[&f.key.to_string()]),
        allowed_models: only(&["z/z", "a/b"]),
        ..Filters::default()
    };
    let third = f.create("c", 3, mine).await;
    let anothers = Filters {
        allowed_api_key_hashes: only(&[&KeyHash::of("x").to_string()]),
        ..Filters::default()
    };
    f.create("d", 0, anothers).await;
    let somebodys = Filters {
        allowed_user_ids: only(&["user_1"]),
        ..Filters::default()
    };
    f.create("e", 0, somebodys).await;
    let sealed = f.sealed().await;
    let ids: Vec<_> = sealed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, [&first.id, &second.id, &third.id]);
    assert_eq!(f.open(&sealed[0]), SECRET.as_bytes());
    assert!(sealed[2].is_for(&"a/b".into()) && !sealed[2].is_for(&"a/c".into()));
    let moved = SealedCredential {
        origin: "https://evil.example".to_owned(),
        ..(*sealed[0]).clone()
    };
    let bytes = unhex(&moved.sealed).unwrap();
    assert!(f.node.open(&bytes, &moved.binding()).is_err());
    assert_eq!(first.label, "sk-...cret");
    let off = |terms: &mut CredentialTerms| {
        terms.disabled = true;
        None
    };
    let changed = f.accounts.change_credential("op", None, &first.id, off);
    assert!(changed.await.unwrap().terms.disabled);
    assert_eq!(f.sealed().await.len(), 2);
    f.accounts
        .delete_credential("op", None, &second.id)
        .await
        .unwrap();
    assert_eq!(f.sealed().await.len(), 1);
}

async fn a_new_secret_replaces_the_old_one(f: Fixture) {
    let row = f.create("a", 1, Filters::default()).await;
    let secret = ProviderSecret::new(" sk-another-secret-0123 \n");
    let changed = f
        .accounts
        .change_credential("op", None, &row.id, |_| Some(secret));
    assert_eq!(changed.await.unwrap().label, "sk-...0123");
    assert_eq!(f.open(&f.sealed().await[0]), b"sk-another-secret-0123");
    for bad in ["", "  ", "a\nb", "é", &"x".repeat(SECRET_MAX + 1)] {
        let bad = ProviderSecret::new(bad);
        let refused = f
            .accounts
            .change_credential("op", None, &row.id, |_| Some(bad));
        assert!(matches!(refused.await, Err(AccountsError::Invalid { .. })));
    }
    let secret = ProviderSecret::new("sk-another-secret");
    assert!(!format!("{secret:?}").contains("another"));
}

async fn no_secret_is_in_the_database(f: Fixture) {
    f.create("a", 1, Filters::default()).await;
    let row =
        sqlx::query("SELECT secret || data_key || label || filters FROM provider_credentials")
            .fetch_one(f.on.database.readers())
            .await
            .unwrap();
    let text: String = row.try_get(0).unwrap();
    assert!(!text.contains("marked") && !text.contains(&hex(b"marked")));
    let other = tempfile::tempdir().unwrap();
    let other = Vault::open(&other.path().join("k")).unwrap();
    let accounts = Accounts::open(f.on.database.clone(), Clock::manual()).await;
    let accounts = accounts.unwrap().with_vault(Arc::new(other));
    let refused = accounts.sealed_credentials(f.key, f.node.public()).await;
    assert!(matches!(refused, Err(AccountsError::Vault(_))));
}

async fn what_is_required_is_never_left_out(f: Fixture) {
    let most = i64::try_from(CREDENTIALS_MAX).unwrap();
    for at in 0..most + 1 {
        f.create("a", at, Filters::default()).await;
    }
    let required = |sort_order, workspace: Option<&WorkspaceId>| {
        let mut new = new("b", sort_order, Filters::default());
        new.terms.is_required = true;
        new.workspace = workspace.cloned();
        let accounts = &f.accounts;
        async move { accounts.create_credential("op", &new).await }
    };
    let last = required(1000, None).await.unwrap();
    let sealed = f.sealed().await;
    assert_eq!(sealed.len(), CREDENTIALS_MAX);
    assert_eq!(sealed.last().unwrap().id, last.id, "and its order is kept");
    let orders = f.accounts.credentials(None).await.unwrap();
    assert_eq!(sealed[0].id, orders[0].id);

    // In one workspace and everywhere there are no more of them than come with a look-up.
    let own = |name: &str| WorkspaceChange {
        name: Some(name.to_owned()),
        slug: Some(name.to_owned()),
        ..WorkspaceChange::default()
    };
    let org = last.org.clone();
    let mut made = Vec::new();
    for name in ["lab", "shop"] {
        let given = own(name);
        let workspace = f.accounts.create_workspace("op", &org, None, &given);
        made.push(workspace.await.unwrap().id);
    }
    for at in 1..most {
        required(at, Some(&made[0])).await.unwrap();
    }
    for refused in [None, Some(&made[0])] {
        let refused = required(0, refused).await;
        assert!(matches!(refused, Err(AccountsError::Conflict(_))));
    }
    let elsewhere = required(0, Some(&made[1])).await.unwrap();
    let off = |terms: &mut CredentialTerms| {
        terms.disabled = true;
        None
    };
    let on = |terms: &mut CredentialTerms| {
        terms.disabled = false;
        None
    };
    let change = f.accounts.change_credential("op", None, &last.id, off);
    change.await.unwrap();
    required(0, None).await.unwrap();
    let change = f.accounts.change_credential("op", None, &last.id, on);
    assert!(matches!(change.await, Err(AccountsError::Conflict(_))));
    let change = f.accounts.change_credential("op", None, &elsewhere.id, on);
    change.await.unwrap();

    // What was there before this was so: no answer, rather than one that leaves a rule out.
    let mut transaction = f.on.database.write().await.unwrap();
    sqlx::query("UPDATE provider_credentials SET is_required = 1, workspace = ''")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let refused = f.accounts.sealed_credentials(f.key, f.node.public()).await;
    assert!(matches!(refused, Err(AccountsError::Conflict(_))));
}

async fn the_master_key_rotates_under_load(f: Fixture) {
    for at in 0..250 {
        f.create("a", at, Filters::default()).await;
    }
    let before = f.vault.current().unwrap();
    let (accounts, (key, public)) = (Arc::clone(&f.accounts), (f.key, f.node.public().to_vec()));
    // Look-ups and changes go on while it rotates; none fails.
    let load = async {
        for at in 0..40 {
            let all = accounts.sealed_credentials(key, &public).await.unwrap();
            assert_eq!(all.len(), CREDENTIALS_MAX);
            let made = new("b", 1000 + at, Filters::default());
            let made = accounts.create_credential("op", &made).await.unwrap();
            let secret = ProviderSecret::new("sk-changed-0123456789");
            let changed = accounts.change_credential("op", None, &made.id, |_| Some(secret));
            changed.await.unwrap();
        }
    };
    let (rotated, ()) = tokio::join!(f.accounts.rotate_master_key("op"), load);
    let rotated = rotated.unwrap();
    assert_ne!(rotated.master_key, before);
    assert!(rotated.rewrapped >= 250);
    for row in f.accounts.credentials(None).await.unwrap() {
        assert_eq!(row.sealed.master_key, rotated.master_key);
        f.accounts.sealed_to(&row, f.node.public()).unwrap();
    }
    let again = f.accounts.rotate_master_key("op").await.unwrap();
    assert_eq!(again.rewrapped, 290);
}

async fn rotations_at_once_lose_nothing(f: Fixture) {
    for at in 0..120 {
        f.create("a", at, Filters::default()).await;
    }
    let accounts = Arc::clone(&f.accounts);
    let load = async {
        for at in 0..20 {
            let made = new("b", 1000 + at, Filters::default());
            accounts.create_credential("op", &made).await.unwrap();
        }
    };
    // Two programs with one file, as two control planes have it.
    let path = f.folder.path().join(MASTER_KEY_FILE);
    let other = Accounts::open(f.on.database.clone(), Clock::manual()).await;
    let vault = Arc::new(Vault::open(&path).unwrap());
    let other = other.unwrap().with_vault(Arc::clone(&vault));
    let (one, two, ()) = tokio::join!(
        f.accounts.rotate_master_key("op"),
        other.rotate_master_key("op"),
        load
    );
    // The later one has ended both; the earlier one was done before or says so.
    let done = [&one, &two].into_iter().filter(|it| it.is_ok()).count();
    assert!(done >= 1, "{one:?} {two:?}");
    let last = f.accounts.rotate_master_key("op").await.unwrap();
    for row in f.accounts.credentials(None).await.unwrap() {
        assert_eq!(row.sealed.master_key, last.master_key);
        f.accounts.sealed_to(&row, f.node.public()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    let stale = f.vault.end_rotation("mk_other");
    assert!(matches!(stale, Err(VaultError::Overtaken)));
}

on_both! {
    a_credential_travels_sealed_and_in_its_order,
    a_new_secret_replaces_the_old_one,
    no_secret_is_in_the_database,
    what_is_required_is_never_left_out,
    the_master_key_rotates_under_load,
    rotations_at_once_lose_nothing,
}
