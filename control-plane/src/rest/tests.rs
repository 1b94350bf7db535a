//! The management API on real databases of both kinds: what each route says, who may call it, and
//! what browsers must show.

mod budgets;
mod members;
mod money;
mod policy;

use super::*;
use crate::accounts::people::{self, NewMember, Role as MemberRole};
use crate::accounts::{AccountsError, NewKey};
use crate::ledger::{Batch, LeaseRequest};
use crate::security::vault::Vault;
use crate::sql::Engine;
use crate::store::{Embedded, Store};
use crate::testing::{TestDatabase, on_both, signer};
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use shared::date::DAY_S;
use shared::id::{BootEpoch, GenerationId, NodeId, OrgId, UserId, Version};
use shared::key::SecretKey;
use shared::limit::{Interval, Purse, Scope, Window};
use shared::money::Amount;
use shared::policy::KeyKind;
use shared::record::{Origin, Outcome, Particulars, Tried, UsageRecord};
use shared::usage::Usage;
use std::time::Duration;
use tokio::sync::watch;
use tower_service::Service;

const SECRET: &str = "whsec_0123456789abcdef";
const PASSWORD: &str = "correct horse battery";

struct Fixture {
    rest: Rest,
    org: OrgId,
    management: SecretKey,
    inference: SecretKey,
    leads: watch::Sender<Option<Epoch>>,
    _on: TestDatabase,
    _folder: tempfile::TempDir,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(40 * DAY_S));
    let open = Accounts::open(on.database.clone(), clock.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("master.key")).unwrap();
    let accounts = Arc::new(open.unwrap().with_vault(Arc::new(vault)));
    let ledger = Ledger::open(on.database.clone(), clock.clone()).await;
    let (org, _) = accounts.ensure_first_org("op", "Acme").await.unwrap();
    let key = |kind| NewKey::of(kind, "a key");
    let management = accounts.create_key("op", &key(KeyKind::Management)).await;
    let inference = accounts.create_key("op", &key(KeyKind::Inference)).await;
    let (leads, leadership) = watch::channel(Some(Epoch(1)));
    let store = Embedded::open(&folder.path().join("store.db")).await;
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let registry = Registry::open(store, Epoch(1), signer(), clock.clone()).await;
    Fixture {
        rest: Rest {
            accounts,
            ledger: Arc::new(ledger.unwrap()),
            registry: registry.unwrap(),
            leadership,
            payments: Some(Arc::new(WebhookSecret::new(SECRET).unwrap())),
            oidc: None,
            clock,
        },
        org: org.id,
        management: management.unwrap(),
        inference: inference.unwrap(),
        leads,
        _on: on,
        _folder: folder,
    }
}

/// What an edge knows of a request that was tried twice.
fn particulars() -> Particulars {
    let tried = |provider: &str, status| Tried {
        endpoint: format!("a/b@{provider}").into(),
        provider: provider.into(),
        status,
        latency_ms: 10,
        own_key: false,
    };
    Particulars {
        session: "talk-1".to_owned(),
        user: "u-7".to_owned(),
        referer: "https://app.example/chat".to_owned(),
        title: "An app".to_owned(),
        agent: "client/1".to_owned(),
        tier: "flex".to_owned(),
        media: 2,
        sounds: 1,
        cache_discount: "-0.5".parse().unwrap(),
        tried: vec![tried("beta", 429), tried("slow", 0), tried("acme", 200)],
    }
}

/// A request to the console's port.
struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

fn ask(method: &'static str, path: &str) -> Ask {
    Ask {
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

impl Ask {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn by(self, key: &SecretKey) -> Self {
        let bearer = format!("Bearer {}", key.reveal());
        self.with("authorization", &bearer)
    }

    fn of(mut self, body: Value) -> Self {
        self.body = Some(body);
        self.with("content-type", "application/json")
    }
}

impl Fixture {
    async fn raw(&self, ask: Ask) -> Response {
        let mut request = axum::http::Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("host", "127.0.0.1:7080");
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let body = ask
            .body
            .map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut router = self.rest.clone().for_people();
        router.call(request.body(body).unwrap()).await.unwrap()
    }

    async fn answer(&self, ask: Ask) -> (u16, Value) {
        loop {
            let text = format!("{} {}", ask.method, ask.path);
            let again = Ask {
                headers: ask.headers.clone(),
                body: ask.body.clone(),
                path: ask.path.clone(),
                method: ask.method,
            };
            let answer = self.raw(again).await;
            let status = answer.status().as_u16();
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            // Passwords of tests at the same time want places, too.
            let message = value["error"]["message"].as_str().unwrap_or_default();
            if message.starts_with("too many log-ins") {
                tokio::task::yield_now().await;
                continue;
            }
            assert!(status < 500 || status == 503, "{text}: {value}");
            return (status, value);
        }
    }

    /// One request of this cost, so many days ago.
    async fn spend(&self, key: &SecretKey, sequence: u64, cost: Amount, ago_days: u64) {
        let of = (key, sequence);
        self.used(of, cost, ago_days, |_| {}).await;
    }

    /// A record that is `change`d, and what it needs of purses.
    async fn used(
        &self,
        (key, sequence): (&SecretKey, u64),
        cost: Amount,
        ago_days: u64,
        change: impl FnOnce(&mut UsageRecord),
    ) {
        let origin = Origin {
            node: NodeId::from("n"),
            epoch: BootEpoch(1),
        };
        let mut record = UsageRecord {
            sequence,
            generation: GenerationId::from(format!("gen-{sequence}")),
            org: self.org.clone(),
            key: key.hash(),
            outcome: Outcome::Settled,
            held: cost,
            cost,
            api: "chat".to_owned(),
            requested_model: "a/b".to_owned(),
            model: Some("a/b".into()),
            endpoint: Some("a/b@acme".into()),
            provider: Some("acme".into()),
            price_version: Version::default(),
            usage: Usage {
                prompt: 7,
                completion: 3,
                reasoning: 1,
                ..Usage::default()
            },
            streamed: true,
            finish_reason: "stop".to_owned(),
            fault: None,
            started_unix_ms: self.rest.clock.unix_ms() - ago_days * DAY_S * 1000,
            duration_ms: 20,
            ttft_ms: 10,
            attempts: 1,
            upstream_id: "up".to_owned(),
            windows: Vec::new(),
            fee_ppm: 0,
            own_key: false,
            flags: Vec::new(),
            on_credit: Amount::ZERO,
            fee_free: Amount::ZERO,
            particulars: particulars(),
        };
        change(&mut record);
        let org = || self.org.clone();
        let windows = record.windows.iter().cloned();
        let windows = windows.map(|window| (Some(window), cost.max(Window::ONE)));
        let money = std::iter::once((None, cost)).filter(|(_, cost)| *cost > Amount::ZERO);
        for (at, (window, wanted)) in money.chain(windows).enumerate() {
            let lease = LeaseRequest {
                origin: origin.clone(),
                purse: Purse { org: org(), window },
                lease_id: format!("l{sequence}-{at}"),
                wanted,
                least: wanted,
                need: None,
            };
            self.rest.ledger.acquire(Epoch(1), &lease).await.unwrap();
        }
        let batch = Batch {
            origin,
            inherited: Vec::new(),
            records: vec![record],
        };
        self.rest.ledger.ship(Epoch(1), &batch).await.unwrap();
    }

    async fn member(&self, email: &str, role: MemberRole) -> UserId {
        let password = loop {
            match people::hashed(PASSWORD.to_owned()).await {
                Err(AccountsError::Busy) => tokio::task::yield_now().await,
                done => break done.unwrap(),
            }
        };
        let new = NewMember {
            email: email.to_owned(),
            name: "Ada L".to_owned(),
            role,
            password: Some(password),
            operator: true,
        };
        let added = self.rest.accounts.add_member("op", &self.org, &new).await;
        added.unwrap().user
    }

    /// Cookie and token against forgery.
    async fn log_in(&self, email: &str) -> (String, String) {
        let given = json!({ "email": email, "password": PASSWORD });
        loop {
            let answer = self
                .raw(ask("POST", "/api/v1/session").of(given.clone()))
                .await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                tokio::task::yield_now().await;
                continue;
            }
            assert_eq!(answer.status(), StatusCode::OK);
            let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
            assert!(cookie.contains("; HttpOnly; SameSite=Strict; Max-Age="));
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            let told: Value = serde_json::from_slice(&body).unwrap();
            let token = told["data"]["csrf_token"].as_str().unwrap().to_owned();
            let cookie = cookie.split(';').next().unwrap().to_owned();
            return (cookie, token);
        }
    }
}

async fn keys_are_managed(f: Fixture) {
    let given = json!({
        "name": "one", "limit": 0.3, "limit_reset": "monthly", "include_byok_in_limit": true,
        "expires_at": "2999-01-01T00:00:00Z",
    });
    let (status, made) = f
        .answer(ask("POST", "/api/v1/keys").by(&f.management).of(given))
        .await;
    assert_eq!(status, 201, "{made}");
    let secret = SecretKey::from_text(made["key"].as_str().unwrap());
    let hash = secret.hash().to_string();
    assert_eq!(made["data"]["hash"], hash.as_str());
    assert_eq!(made["data"]["limit"], 0.3);
    let path = format!("/v1/keys/{hash}");
    let (status, told) = f.answer(ask("GET", "/v1/auth/key").by(&secret)).await;
    assert_eq!(
        (status, &told["data"]["limit_remaining"]),
        (200, &json!(0.3))
    );
    assert_eq!(told["data"]["effective_budget"]["scope"], "key_limit");
    assert_eq!(told["data"]["expires_at"], "2999-01-01T00:00:00Z");

    let change = json!({ "disabled": true, "limit": null, "name": "two" });
    let (status, told) = f
        .answer(ask("PATCH", &path).by(&f.management).of(change))
        .await;
    assert_eq!((status, &told["data"]["limit"]), (200, &Value::Null));
    assert_eq!(told["data"]["limit_reset"], "monthly");
    let (status, told) = f.answer(ask("GET", "/v1/key").by(&secret)).await;
    assert_eq!((status, &told["error"]["code"]), (401, &json!(401)));
    let count = |query: &str| {
        let ask = ask("GET", &format!("/api/v1/keys{query}")).by(&f.management);
        let answer = f.answer(ask);
        async move { answer.await.1["data"].as_array().unwrap().len() }
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?include_disabled=true").await, 3);
    assert_eq!(count("?include_disabled=true&offset=2").await, 1);
    assert_eq!(count("?workspace_id=ws_none").await, 0);

    for (name, bad) in [
        ("name", json!("")),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
    ] {
        for asked in [ask("PATCH", &path), ask("POST", "/api/v1/keys")] {
            let mut given = json!({ "name": "x" });
            given[name] = bad.clone();
            let (status, told) = f.answer(asked.of(given).by(&f.management)).await;
            let message = told["error"]["message"].as_str().unwrap();
            assert_eq!(status, 400, "{told}");
            assert!(message.starts_with(name), "{message}");
        }
    }

    let (status, told) = f.answer(ask("DELETE", &path).by(&f.management)).await;
    assert_eq!((status, told), (200, json!({ "deleted": true })));
    let (status, _) = f.answer(ask("GET", &path).by(&f.management)).await;
    assert_eq!(status, 404);
}

async fn only_who_may_is_answered(f: Fixture) {
    for (method, path) in [
        ("GET", "/api/v1/keys"),
        ("GET", "/api/v1/credits"),
        ("GET", "/api/v1/activity"),
        ("GET", "/api/v1/workspaces"),
        ("GET", "/api/v1/organization/members"),
    ] {
        let status = |ask: Ask| {
            let answer = f.answer(ask);
            async move { answer.await.0 }
        };
        assert_eq!(status(ask(method, path)).await, 401, "{path}");
        assert_eq!(
            status(ask(method, path).by(&f.inference)).await,
            403,
            "{path}"
        );
        assert_eq!(
            status(ask(method, path).by(&f.management)).await,
            200,
            "{path}"
        );
        let nobody = SecretKey::from_text("sk-gw-v1-0");
        assert_eq!(status(ask(method, path).by(&nobody)).await, 401, "{path}");
    }
    // Another organisation's keys are not there.
    let other = f.rest.accounts.create_org("op", "Other").await.unwrap();
    let key = NewKey {
        org: Some(other.id),
        ..NewKey::of(KeyKind::Management, "other")
    };
    let foreign = f.rest.accounts.create_key("op", &key).await.unwrap();
    let path = format!("/api/v1/keys/{}", f.inference.hash());
    for method in ["GET", "DELETE"] {
        assert_eq!(f.answer(ask(method, &path).by(&foreign)).await.0, 404);
    }
    let buy = || ask("POST", "/v1/credits").of(json!({ "amount": 1 }));
    let buy_foreign = buy().with("idempotency-key", "i").by(&foreign);
    assert_eq!(f.answer(buy_foreign).await.0, 403);
    assert_eq!(f.answer(buy().by(&f.management)).await.0, 400);
}

async fn odd_requests_are_refused(f: Fixture) {
    for (ask, expect) in [
        (ask("GET", "/api/v1/nothing").by(&f.management), 404),
        (ask("PUT", "/api/v1/keys").by(&f.management), 405),
        (ask("GET", "/api/v1/keys/xyz").by(&f.management), 404),
        (ask("GET", "/api/v1/keys?offset=x").by(&f.management), 400),
        (
            ask("GET", "/api/v1/keys?workspace_id=%00").by(&f.management),
            400,
        ),
        (ask("GET", "/api/v1/workspaces/%00").by(&f.management), 404),
        (ask("POST", "/api/v1/keys").by(&f.management), 415),
        (
            ask("POST", "/api/v1/keys")
                .of(json!({ "nam": 1 }))
                .by(&f.management),
            400,
        ),
        (
            ask("POST", "/api/v1/organization/members")
                .of(json!(["zed@x.test", "", "admin", null]))
                .by(&f.management),
            400,
        ),
        (
            ask("GET", "/api/v1/activity?date=1970-01-01").by(&f.management),
            400,
        ),
        (
            ask("GET", "/api/v1/generation?id=gen-0").by(&f.inference),
            404,
        ),
    ] {
        let path = ask.path.clone();
        let (status, told) = f.answer(ask).await;
        assert_eq!(
            (status, &told["error"]["code"]),
            (expect, &json!(expect)),
            "{path}"
        );
    }
    let large = json!({ "name": "x".repeat(BODY_BYTES_MAX) });
    let (status, _) = f
        .answer(ask("POST", "/api/v1/keys").of(large).by(&f.management))
        .await;
    assert_eq!(status, 413);
}

on_both! {
    keys_are_managed,
    only_who_may_is_answered,
    odd_requests_are_refused,
}
