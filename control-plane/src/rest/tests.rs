//! The management API on real databases of both kinds: what each route says, who may call it, and
//! what browsers must show.

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
use shared::limit::{Interval, Scope};
use shared::money::Amount;
use shared::policy::KeyKind;
use shared::record::{Origin, Outcome, UsageRecord};
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

    async fn spend(&self, key: &SecretKey, sequence: u64, cost: Amount, ago_days: u64) {
        let origin = Origin {
            node: NodeId::from("n"),
            epoch: BootEpoch(1),
        };
        let lease = LeaseRequest {
            origin: origin.clone(),
            purse: self.org.clone().into(),
            lease_id: format!("l{sequence}"),
            wanted: cost,
            least: cost,
        };
        self.rest.ledger.acquire(Epoch(1), &lease).await.unwrap();
        let record = UsageRecord {
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
        };
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

async fn money_and_use_are_told(f: Fixture) {
    let buy = || {
        let ask = ask("POST", "/api/v1/credits").of(json!({ "amount": 40.5 }));
        ask.with("idempotency-key", "card-1").by(&f.management)
    };
    let (status, told) = f.answer(buy()).await;
    assert_eq!(
        (status, &told["data"]["fee"]),
        (201, &json!(2.025)),
        "{told}"
    );
    let (status, told) = f.answer(buy()).await;
    assert_eq!((status, &told["data"]["added"]), (200, &json!(false)));
    let cost: Amount = "0.000000000123".parse().unwrap();
    f.spend(&f.inference, 1, cost, 1).await;
    f.spend(&f.inference, 2, cost, 0).await;

    let answer = f.raw(ask("GET", "/api/v1/credits").by(&f.management)).await;
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let exact = r#"{"data":{"total_credits":38.475,"total_usage":0.000000000246}}"#;
    assert_eq!(std::str::from_utf8(&body).unwrap(), exact);

    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    let told = &told["data"];
    assert_eq!(
        (&told["usage"], &told["usage_daily"]),
        (&json!(2.46e-10), &json!(1.23e-10))
    );
    assert_eq!(told["is_free_tier"], false);
    assert_eq!(told["effective_budget"], Value::Null);
    assert_eq!(told["free_model_daily_requests"]["limit"], 1000);

    let (_, told) = f
        .answer(ask("GET", "/api/v1/activity").by(&f.management))
        .await;
    let rows = told["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "today is not over");
    assert_eq!(
        (&rows[0]["requests"], &rows[0]["usage"]),
        (&json!(1), &json!(1.23e-10))
    );
    let today = shared::date::date(f.rest.clock.unix_s() / DAY_S);
    let path = format!("/api/v1/activity?date={today}&group_by=workspace");
    let (_, told) = f.answer(ask("GET", &path).by(&f.management)).await;
    assert!(
        told["data"][0]["workspace_id"]
            .as_str()
            .unwrap()
            .starts_with("ws_")
    );
    assert_eq!(told["data"][0]["reasoning_tokens"], 1);

    let (_, told) = f
        .answer(ask("GET", "/v1/generation?id=gen-1").by(&f.inference))
        .await;
    let told = &told["data"];
    assert_eq!(
        (&told["total_cost"], &told["model"]),
        (&json!(1.23e-10), &json!("a/b"))
    );
    assert_eq!(
        (&told["latency"], &told["generation_time"]),
        (&json!(10), &json!(20))
    );
    f.leads.send_replace(None);
    assert_eq!(f.answer(buy()).await.0, 503);
}

async fn budgets_are_told(f: Fixture) {
    let gift = f.rest.ledger.credit(Epoch(1), &f.org, "gift", Amount::USD);
    gift.await.unwrap();
    f.spend(&f.inference, 1, "0.000000000123".parse().unwrap(), 0)
        .await;
    let purse = (Scope::Org, &f.org.as_str().into(), Interval::Monthly);
    let most = Some(("0.000000000250".parse().unwrap(), false));
    let set = f.rest.accounts.set_limit("op", &f.org, purse, most);
    set.await.unwrap();
    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    let budget = &told["data"]["effective_budget"];
    assert_eq!(budget["scope"], "organization", "{told}");
    assert_eq!(budget["reset_interval"], "monthly");
    assert!(budget["remaining_usd"].as_f64().unwrap() < 2.5e-10);
    assert_eq!(budget["spend_usd"], 1.23e-10);
}

async fn a_payment_is_told_once(f: Fixture) {
    let told = |org: &str| {
        let object = json!({ "id": "pi_1", "amount_received": 2000, "currency": "usd",
            "metadata": { "godwit_org": org } });
        json!({ "type": "payment_intent.succeeded", "data": { "object": object } })
    };
    let tell = |body: Value, secret: &str| {
        let now = f.rest.clock.unix_s();
        let signature = crate::payment::sign(secret, body.to_string().as_bytes(), now);
        let ask = ask("POST", "/webhooks/stripe").of(body);
        let answer = f.answer(ask.with("stripe-signature", &signature));
        async move { answer.await.0 }
    };
    assert_eq!(
        tell(told(f.org.as_str()), "whsec_another_secret").await,
        400
    );
    assert_eq!(tell(told("org_none"), SECRET).await, 404);
    assert_eq!(tell(told("\0"), SECRET).await, 404);
    assert_eq!(tell(json!({ "type": "x" }), SECRET).await, 400);
    for _ in 0..2 {
        assert_eq!(tell(told(f.org.as_str()), SECRET).await, 200);
        let totals = f.rest.ledger.totals_of(&f.org).await.unwrap();
        assert_eq!(totals.bought.to_string(), "20");
        assert_eq!(totals.available.to_string(), "19");
    }
    let ask = ask("POST", "/webhooks/stripe").of(told(f.org.as_str()));
    assert_eq!(f.answer(ask).await.0, 400, "not signed");
}

async fn people_manage_with_a_cookie(f: Fixture) {
    f.member("ada@example.com", MemberRole::Admin).await;
    let bob = f.member("bob@example.com", MemberRole::Member).await;
    let (cookie, token) = f.log_in("bob@example.com").await;
    let as_bob = |ask: Ask| ask.with("cookie", &cookie).with("x-csrf-token", &token);
    let make = || ask("POST", "/api/v1/keys").of(json!({ "name": "bob's" }));

    // Without the token, or from another site's page, a cookie is not enough for a change.
    assert_eq!(f.answer(make().with("cookie", &cookie)).await.0, 403);
    let wrong = make().with("cookie", &cookie).with("x-csrf-token", "0");
    assert_eq!(f.answer(wrong).await.0, 403);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(
            f.answer(as_bob(make()).with(name, value)).await.0,
            403,
            "{name}"
        );
    }
    let own = as_bob(make()).with("origin", "http://127.0.0.1:7080");
    let (status, made) = f.answer(own).await;
    assert_eq!(
        (status, &made["data"]["creator_user_id"]),
        (201, &json!(bob)),
        "{made}"
    );

    // A member sees and changes their own keys only, and nobody else's role.
    let (_, told) = f
        .answer(ask("GET", "/api/v1/keys").with("cookie", &cookie))
        .await;
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/keys/{}", f.inference.hash());
    assert_eq!(f.answer(as_bob(ask("DELETE", &path))).await.0, 404);
    let path = format!("/api/v1/organization/members/{bob}");
    let raise = || ask("PATCH", &path).of(json!({ "role": "admin" }));
    assert_eq!(f.answer(as_bob(raise())).await.0, 403);
    let (ada_cookie, ada_token) = f.log_in("ada@example.com").await;
    let as_ada = |ask: Ask| {
        ask.with("cookie", &ada_cookie)
            .with("x-csrf-token", &ada_token)
    };
    assert_eq!(f.answer(as_ada(raise())).await.0, 200);
    let mixed = raise()
        .with("cookie", &ada_cookie)
        .with("x-csrf-token", &token);
    assert_eq!(f.answer(mixed).await.0, 403, "another session's token");
    let elsewhere = ask("GET", "/v1/keys").with("x-godwit-org", "org_none");
    assert_eq!(f.answer(elsewhere.with("cookie", &ada_cookie)).await.0, 403);

    let out = || ask("DELETE", "/api/v1/session").with("cookie", &cookie);
    assert_eq!(f.answer(out()).await.0, 403);
    assert_eq!(f.answer(out().with("x-csrf-token", &token)).await.0, 204);
    let gone = ask("GET", "/api/v1/session").with("cookie", &cookie);
    assert_eq!(f.answer(gone).await.0, 401);
    let wrong = json!({ "email": "ada@example.com", "password": "wrong wrong wrong" });
    assert_eq!(
        f.answer(ask("POST", "/api/v1/session").of(wrong)).await.0,
        401
    );
}

async fn a_cookie_opens_nothing_over_an_edge(f: Fixture) {
    f.member("ada@example.com", MemberRole::Admin).await;
    let (cookie, _) = f.log_in("ada@example.com").await;
    let request = axum::http::Request::get("/api/v1/keys").header("cookie", &cookie);
    let mut edges = f.rest.clone().for_edges();
    let answer = edges
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "no edge");
    let identity = crate::security::Identity::new(Role::Edge, "e");
    let request = axum::http::Request::get("/api/v1/keys").header("cookie", &cookie);
    let address = "127.0.0.1:1".parse().unwrap();
    let request = request.extension(Peer { address, identity });
    let answer = edges
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

async fn workspaces_and_members_are_told(f: Fixture) {
    let given = json!({ "email": "ada@example.com", "name": "Ada L", "role": "org:admin" });
    let add = ask("POST", "/api/v1/organization/members").of(given);
    let (status, ada) = f.answer(add.by(&f.management)).await;
    assert_eq!(
        (status, &ada["data"]["last_name"]),
        (201, &json!("L")),
        "{ada}"
    );
    let given = json!({ "name": "Lab", "slug": "lab", "default_text_model": "a/b" });
    let make = ask("POST", "/api/v1/workspaces").of(given);
    let (status, made) = f.answer(make.by(&f.management)).await;
    assert_eq!(
        (status, &made["data"]["slug"]),
        (201, &json!("lab")),
        "{made}"
    );
    let users = json!({ "user_ids": [ada["data"]["id"]] });
    for (way, count) in [("add", "added_count"), ("remove", "removed_count")] {
        let path = format!("/api/v1/workspaces/lab/members/{way}");
        let (status, told) = f
            .answer(ask("POST", &path).of(users.clone()).by(&f.management))
            .await;
        assert_eq!((status, &told[count]), (200, &json!(1)), "{told}");
    }
    let change = json!({ "description": "x", "default_text_model": null });
    let patch = ask("PATCH", "/api/v1/workspaces/lab").of(change);
    let (_, told) = f.answer(patch.by(&f.management)).await;
    assert_eq!(told["data"]["description"], "x");
    assert_eq!(told["data"]["default_text_model"], Value::Null);
    let (_, told) = f
        .answer(ask("GET", "/v1/workspaces?limit=1").by(&f.management))
        .await;
    assert_eq!(
        (&told["total_count"], told["data"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    let delete = |name: &str| ask("DELETE", &format!("/v1/workspaces/{name}")).by(&f.management);
    assert_eq!(f.answer(delete("default")).await.0, 409);
    assert_eq!(f.answer(delete("lab")).await.0, 200);
    let path = format!(
        "/v1/organization/members/{}",
        ada["data"]["id"].as_str().unwrap()
    );
    assert_eq!(
        f.answer(ask("DELETE", &path).by(&f.management)).await.0,
        409
    );
}

on_both! {
    keys_are_managed,
    only_who_may_is_answered,
    odd_requests_are_refused,
    money_and_use_are_told,
    budgets_are_told,
    a_payment_is_told_once,
    people_manage_with_a_cookie,
    a_cookie_opens_nothing_over_an_edge,
    workspaces_and_members_are_told,
}
