//! Auto top-up through processes: an organisation runs low again and again, and each time the
//! control plane is killed (-9) at another moment of the purchase, before the payment provider acts,
//! before it has answered, while it answers, while it tells. Each time is bought exactly once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::Dialect;
use loadtest::server::{Answer, Cut, Server};
use ring::hmac;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::key::hex;
use shared::task::lock;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const SECRET: &str = "whsec_0123456789abcdef";
const KEY: &str = "sk_test_0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

/// When the control plane dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// The provider was asked and has not acted: it never will for this question.
    Asked,
    /// It has acted, and its answer is lost.
    Acted,
    /// It answers.
    Answers,
    /// It tells of the payment.
    Tells,
}

/// A payment that was taken.
#[derive(Clone)]
struct Payment {
    id: String,
    form: BTreeMap<String, String>,
    told: usize,
}

/// A payment provider: what was taken under each idempotency key.
#[derive(Default)]
struct Bank {
    taken: Mutex<BTreeMap<String, Payment>>,
    at: Mutex<Option<At>>,
    reached: Notify,
}

impl Bank {
    /// True when this is the moment; it comes once.
    fn is(&self, now: At) -> bool {
        let mut at = lock(&self.at);
        let is = *at == Some(now);
        if is {
            *at = None;
            self.reached.notify_one();
        }
        is
    }

    fn take(&self, key: &str, form: &BTreeMap<String, String>) -> String {
        let mut taken = lock(&self.taken);
        let new = Payment {
            id: format!("pi_{}", taken.len() + 1),
            form: form.clone(),
            told: 0,
        };
        let payment = taken.entry(key.to_owned()).or_insert(new);
        assert_eq!(&payment.form, form, "another question under the same key");
        payment.id.clone()
    }

    /// Tells each payment twice, as providers may, and again until it was heard.
    async fn tell(self: Arc<Self>, console: Client) {
        loop {
            let all: Vec<_> = lock(&self.taken)
                .iter()
                .map(|(key, payment)| (key.clone(), payment.clone()))
                .collect();
            for (key, payment) in all.iter().filter(|(_, payment)| payment.told < 2) {
                self.is(At::Tells);
                if tell(&console, payment).await {
                    let mut taken = lock(&self.taken);
                    taken.get_mut(key).unwrap().told += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn tell(console: &Client, payment: &Payment) -> bool {
    let cents: u64 = payment.form["amount"].parse().unwrap();
    let metadata: BTreeMap<&str, &str> = payment
        .form
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((name, value.as_str()))
        })
        .collect();
    let object = json!({"id": payment.id, "amount_received": cents, "currency": "usd",
        "metadata": metadata});
    let body = json!({"type": "payment_intent.succeeded", "data": {"object": object}}).to_string();
    let now = Clock::system().unix_s();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let signature = format!("t={now},v1={}", hex(tag.as_ref()));
    let signed = console.clone().with_header("stripe-signature", &signature);
    let told = signed.call(Method::POST, "/webhooks/stripe", body.into());
    told.await.is_ok_and(|reply| reply.status == 200)
}

/// A form's pairs; only brackets are escaped in ours.
fn pairs(body: &str) -> BTreeMap<String, String> {
    let text = |part: &str| part.replace("%5B", "[").replace("%5D", "]");
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

impl Answer for Bank {
    type Body = MapErr<Full<Bytes>, fn(Infallible) -> io::Error>;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Self::Body> {
        let header = |name| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("authorization"), format!("Bearer {KEY}"));
        assert_eq!(
            (request.method(), request.uri().path()),
            (&Method::POST, "/v1/payment_intents")
        );
        let key = header("idempotency-key");
        if self.is(At::Asked) {
            return std::future::pending().await;
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let id = self.take(&key, &pairs(std::str::from_utf8(&body).unwrap()));
        if self.is(At::Acted) {
            return std::future::pending().await;
        }
        self.is(At::Answers);
        let body = json!({"id": id, "status": "succeeded"}).to_string();
        let never: fn(Infallible) -> io::Error = |never| match never {};
        Response::new(Full::new(body.into()).map_err(never))
    }
}

async fn fleet(bank: &str, folder: &std::path::Path) -> Fleet {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let flags = [
        ("payment-api", bank.to_owned()),
        ("payment-api-key-file", file("key", KEY)),
        ("payment-webhook-secret-file", file("secret", SECRET)),
    ];
    // There must be something to serve; nobody asks for it.
    let catalog = CatalogSpec::default()
        .provider("acme", Dialect::OpenaiChat, "http://127.0.0.1:9/v1")
        .model("acme/model", &["acme"]);
    let config = FleetConfig {
        credits: "1".to_owned(),
        control_flags: flags.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..FleetConfig::new(catalog, 0)
    };
    config.start().await.unwrap()
}

/// The states of all charges, and what is available.
fn standing(fleet: &Fleet) -> (Vec<String>, String) {
    let shown = fleet.admin(&["credits", "topup", "show"]).unwrap();
    let charges = shown["charges"].as_array().unwrap();
    let state = |charge: &Value| charge["state"].as_str().unwrap().to_owned();
    let credits = fleet.admin(&["credits", "list"]).unwrap();
    let rows = credits.get("orgs").unwrap_or(&credits);
    let available = rows[0]["available_usd"].as_str().unwrap();
    (charges.iter().map(state).collect(), available.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_low_buys_once_whenever_the_control_plane_is_killed() {
    let bank = Arc::new(Bank::default());
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(listen, None, Arc::clone(&bank)).await;
    let server = server.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = fleet(&format!("http://{}", server.addr()), folder.path()).await;
    let mut telling = JoinSet::new();
    telling.spawn(Arc::clone(&bank).tell(fleet.console()));
    let moments = [
        At::Asked,
        At::Acted,
        At::Answers,
        At::Tells,
        At::Answers,
        At::Tells,
    ];
    for (before, at) in moments.into_iter().enumerate() {
        *lock(&bank.at) = Some(at);
        if before == 0 {
            let rule = [
                ["--threshold", "10"],
                ["--amount", "40"],
                ["--monthly-cap", "1000"],
                ["--customer", "cus_1"],
                ["--payment-method", "pm_1"],
            ];
            let set = [&["credits", "topup", "set"][..], &rule.concat()].concat();
            fleet.admin(&set).unwrap();
        } else {
            let reference = format!("back-{before}");
            let back = ["credits", "refund", "38", "--reference", &reference];
            fleet.admin(&back).unwrap();
        }
        // A start looks at once.
        fleet.restart_control().await.unwrap();
        let reached = tokio::time::timeout(PATIENCE, bank.reached.notified());
        reached.await.unwrap_or_else(|_| panic!("never {at:?}"));
        fleet.control().kill();
        fleet.restart_control().await.unwrap();
        let paid = eventually(PATIENCE, || async {
            let (states, _) = standing(&fleet);
            let all = states.iter().all(|state| state == "paid");
            (all && states.len() > before).then_some(states.len())
        });
        assert_eq!(paid.await, Some(before + 1), "{at:?}");
        let all_told = || async {
            let taken = lock(&bank.taken);
            let mut payments = taken.values();
            payments.all(|payment| payment.told == 2).then_some(())
        };
        eventually(PATIENCE, all_told).await.unwrap();
        // 40 dollars less the fee, once.
        assert_eq!(standing(&fleet).1, "39", "{at:?}");
        assert_eq!(lock(&bank.taken).len(), before + 1, "{at:?}");
    }
    fleet.admin(&["ledger", "verify"]).unwrap();
}
