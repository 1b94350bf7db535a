//! Own provider keys on every edge: which is used, for what, and who is shown it.

use super::{OURS, Stage, catalog};
use loadtest::client::Reply;
use loadtest::cluster::scene::{ALPHA, BOTH, CHAT, chat};
use loadtest::provider::{Dialect, Kind, Rule, Running};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FIRST: &str = "sk-marked-own-key-first-0001";
const SECOND: &str = "sk-marked-own-key-second-0002";
const LAST: &str = "sk-marked-own-key-last-0003";

fn is_own(reply: &Reply) -> bool {
    reply.status == 200 && reply.json()["usage"]["is_byok"] == json!(true)
}

fn is_shared(reply: &Reply) -> bool {
    reply.status == 200 && reply.json()["usage"]["is_byok"] == json!(false)
}

fn came(provider: &Running, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let now = provider.keys().into_iter();
    let more = now.map(|(key, count)| {
        let known = before.get(&key).copied().unwrap_or_default();
        (key, count - known)
    });
    more.filter(|(_, count)| *count > 0).collect()
}

/// Filters of models, of keys and of people leave a key out; the first of them comes back.
async fn filters_say_for_what_and_whom(stage: &Stage, hello: &Value, keys: [&str; 3]) {
    let other = "0".repeat(64);
    for filters in [
        json!({"allowed_models": ["test/none"]}),
        json!({"allowed_api_key_hashes": [other]}),
        json!({"allowed_user_ids": ["usr_nobody"]}),
    ] {
        for id in keys {
            let filters = filters.to_string();
            stage.admin(&["credentials", "update", id, "--filters", &filters]);
        }
        stage.until(hello, is_shared).await;
        let mine = json!({"allowed_api_key_hashes": [stage.key]}).to_string();
        stage.admin(&["credentials", "update", keys[0], "--filters", &mine]);
        stage.until(hello, is_own).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_keys_come_in_their_order_and_only_for_whom_they_are() {
    let stage = Stage::start().await;
    let hello = chat(ALPHA, "hello");
    stage.until(&hello, is_shared).await;
    let last = stage.own_key(LAST, &["--fallback"]);
    let second = stage.own_key(SECOND, &["--sort-order", "2"]);
    let first = stage.own_key(FIRST, &["--sort-order", "1"]);
    stage.until(&hello, is_own).await;
    // The first key that is asked serves; the order is that of the numbers.
    let before = stage.alpha.keys();
    for client in stage.clients() {
        assert!(is_own(&client.post(CHAT, &hello).await.unwrap()));
    }
    assert_eq!(
        came(&stage.alpha, &before),
        BTreeMap::from([(FIRST.to_owned(), 3)])
    );
    // Before what the client orders, and named in the answer.
    let mut ordered = chat(BOTH, "hello");
    ordered["provider"] = json!({"order": ["beta", "alpha"]});
    let reply = stage.until(&ordered, is_own).await;
    assert_eq!(reply.json()["provider"], "alpha");
    // When the provider fails, every key has had its turn: own, shared, fallback.
    let mut rule = Rule::new(Kind::Status);
    rule.status = 503;
    stage.alpha.set_faults(vec![rule]);
    let before = stage.alpha.keys();
    let reply = stage.fleet.client(0).post(CHAT, &hello).await.unwrap();
    assert!(reply.status >= 500);
    let asked = came(&stage.alpha, &before);
    for key in [FIRST, SECOND, LAST] {
        assert!(asked.contains_key(key), "{asked:?}");
    }
    stage.alpha.set_faults(Vec::new());
    // However much failed before, the own key is asked first again at once.
    assert!(is_own(
        &stage.fleet.client(0).post(CHAT, &hello).await.unwrap()
    ));
    // A key that was refused is not asked again with every request.
    let mut rule = Rule::new(Kind::Status);
    rule.status = 401;
    stage.alpha.set_faults(vec![rule]);
    let before = stage.alpha.keys();
    for _ in 0..5 {
        let body = chat(BOTH, "hello");
        let reply = stage.fleet.client(0).post(CHAT, &body).await.unwrap();
        assert_eq!(reply.json()["provider"], "beta", "{}", reply.text());
    }
    let asked = came(&stage.alpha, &before);
    assert_eq!((asked[FIRST], asked[SECOND]), (1, 1), "{asked:?}");
    stage.alpha.set_faults(Vec::new());
    filters_say_for_what_and_whom(&stage, &hello, [&first, &second, &last]).await;
    // Required: the platform's key serves nobody, whatever happens to the own one.
    let terms = [
        "credentials",
        "update",
        first.as_str(),
        "--required",
        "--filters",
    ];
    let none = json!({"allowed_models": ["test/none"]}).to_string();
    stage.admin(&[&terms[..], &[none.as_str()]].concat());
    let refused = stage.until_status(&hello, 404).await;
    let excluded = &refused["error"]["metadata"]["excluded"];
    assert_eq!(excluded[0]["reason"], "byok_required", "{refused}");
    let before = stage.alpha.keys();
    for client in stage.clients() {
        let reply = client.post(CHAT, &chat(BOTH, "hello")).await.unwrap();
        assert_eq!(reply.json()["provider"], "beta", "{}", reply.text());
    }
    assert_eq!(came(&stage.alpha, &before), BTreeMap::new());
    let verdict = stage.admin(&["ledger", "verify"]);
    assert_eq!(verdict["problems"], json!([]), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_key_is_shown_to_no_other_host() {
    let stage = Stage::start().await;
    stage.own_key(FIRST, &["--required"]);
    let hello = chat(ALPHA, "hello");
    stage.until(&hello, is_own).await;
    // The provider moves, by mistake or by somebody's will, in the catalogue that all edges take.
    let thief = super::provider(Dialect::OpenaiChat).await;
    let moved = catalog(&thief.base_url(), &stage.beta.base_url());
    let folder = stage.fleet.write_catalog(&moved).unwrap();
    stage.admin(&["catalog", "apply", folder.to_str().unwrap()]);
    let refused = stage.until(&hello, |reply| reply.status >= 400).await;
    assert!(
        refused.text().contains("another host"),
        "{}",
        refused.text()
    );
    for client in stage.clients() {
        for _ in 0..5 {
            assert_ne!(client.post(CHAT, &hello).await.unwrap().status, 200);
        }
    }
    // A new look-up, a restart and another secret change nothing about that.
    let touched = stage.own_key(SECOND, &["--disabled"]);
    stage.admin(&["credentials", "delete", &touched]);
    for client in stage.clients() {
        assert_ne!(client.post(CHAT, &hello).await.unwrap().status, 200);
    }
    assert_eq!(
        thief.keys(),
        BTreeMap::new(),
        "the key was shown to another"
    );
    assert!(!stage.beta.keys().contains_key(FIRST));
    // The owner says that it is so: a key that is made now is for the new host only.
    stage.own_key(SECOND, &["--sort-order", "-1"]);
    stage.until(&hello, is_own).await;
    let shown: Vec<_> = thief.keys().into_keys().collect();
    assert_eq!(shown, [SECOND]);
    assert!(!stage.alpha.keys().contains_key(OURS) && !stage.alpha.keys().contains_key(SECOND));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_key_needs_no_credits_within_the_allowance() {
    let stage = Stage::with_credits("0").await;
    let hello = chat(ALPHA, "hello");
    let refused = stage.until_status(&hello, 402).await;
    assert_eq!(
        refused["error"]["metadata"]["limit_source"],
        "openrouter_credits"
    );
    // With an own key it costs nothing here, on every edge, and is charged nothing.
    stage.own_key(FIRST, &[]);
    stage.until(&hello, is_own).await;
    for client in stage.clients() {
        for _ in 0..5 {
            let reply = client.post(CHAT, &hello).await.unwrap();
            assert!(is_own(&reply), "{}", reply.text());
        }
    }
    // Nothing is free any more: then the fee is named, and what helps.
    let agree = |free: &str| {
        let terms = [
            "credits",
            "terms",
            "--byok-fee-ppm",
            "50000",
            "--byok-free-usd",
        ];
        stage.admin(&[&terms[..], &[free]].concat());
    };
    agree("0");
    let refused = stage.until_status(&hello, 402).await;
    let (error, told) = (&refused["error"], &refused["error"]["metadata"]);
    assert_eq!(told["limit_source"], "byok_fee", "{refused}");
    assert_eq!(told["byok"]["fee_ppm"], 50_000);
    let text = error["message"].as_str().unwrap();
    assert!(
        text.contains("5 % of its list price") && text.contains("Add credits"),
        "{text}"
    );
    let before = stage.alpha.keys();
    for client in stage.clients() {
        assert_eq!(client.post(CHAT, &hello).await.unwrap().status, 402);
    }
    assert_eq!(came(&stage.alpha, &before), BTreeMap::new());
    // Credits pay for it.
    stage.admin(&["credits", "add", "1", "--reference", "fee"]);
    stage.until(&hello, is_own).await;
    agree("25000");
    stage.until(&hello, is_own).await;
    let verdict = stage.admin(&["ledger", "verify"]);
    assert_eq!(verdict["problems"], json!([]), "{verdict}");
}
