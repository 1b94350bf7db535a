//! Money over kill -9: a `godwit` is killed in the middle of its load, again and again. What had
//! settled is the provider's bill to the digit; what was in flight is one suspense entry each,
//! whose bounds enclose what the provider bills; nothing is lost and nothing is there twice.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Standalone, StandaloneConfig, eventually};
use loadtest::provider::{Config, Dialect, Entry, Provider, Running};
use serde_json::json;
use shared::money::{Amount, Price};
use sqlx::Row;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

const MODEL: &str = "acme/model";
const KILLS: u64 = 20;
const CLIENTS: u64 = 12;
const CHAT: &str = "/api/v1/chat/completions";

/// One row of the ledger's usage detail.
struct Recorded {
    outcome: String,
    cost: Amount,
    held: Amount,
}

/// Asks, streamed and not, until the gateway is gone.
async fn load(client: Client, number: u64) {
    let mut turn = number;
    loop {
        turn += 1;
        let body = json!({
            "model": MODEL,
            "stream": turn.is_multiple_of(3),
            "messages": [{ "role": "user", "content": format!("godwits, part {turn}") }],
        });
        if turn.is_multiple_of(3) {
            let Ok(mut stream) = client.stream(CHAT, &body).await else {
                return;
            };
            if stream.rest().await.1.is_err() {
                return;
            }
        } else if client.post(CHAT, &body).await.is_err() {
            return;
        }
    }
}

async fn provider() -> Running {
    let paced = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(10),
        tokens_per_second: 400.0,
        ..Config::default()
    };
    Provider::start(paced).await.unwrap()
}

fn catalog(provider: &Running) -> CatalogSpec {
    CatalogSpec::default()
        .provider("acme", Dialect::OpenaiChat, &provider.base_url())
        .model(MODEL, &["acme"])
}

/// What the provider's entry comes to at the catalogue's prices.
fn invoiced(catalog: &CatalogSpec, entry: &Entry) -> Amount {
    let row = &catalog.endpoints[0];
    let price = |text: &str| text.parse::<Price>().unwrap();
    let cached = price(row.cache_read.as_deref().unwrap_or(&row.prompt));
    price(&row.prompt).cost(entry.input_tokens - entry.cached_tokens)
        + cached.cost(entry.cached_tokens)
        + price(&row.completion).cost(entry.output_tokens)
}

async fn recorded(godwit: &Standalone) -> BTreeMap<String, Vec<Recorded>> {
    sqlx::any::install_default_drivers();
    let file = godwit.data_dir().join("control.db");
    let database = sqlx::AnyPool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let rows = sqlx::query(
        "SELECT generation, outcome, cost_nano, CAST(cost_pico_rem AS BIGINT) AS cost_rem,
             held_nano, CAST(held_pico_rem AS BIGINT) AS held_rem FROM usage_records",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    let mut records: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    for row in rows {
        let amount = |nano: &str, rem: &str| Amount::from_nano(row.get(nano), row.get(rem));
        records
            .entry(row.get("generation"))
            .or_default()
            .push(Recorded {
                outcome: row.get("outcome"),
                cost: amount("cost_nano", "cost_rem"),
                held: amount("held_nano", "held_rem"),
            });
    }
    records
}

/// Every usage record is in the ledger.
async fn shipped(godwit: &Standalone) {
    let admin = godwit.edge_admin();
    let empty = || async {
        let page = admin.get("/metrics").await.ok()?.text();
        page.lines()
            .any(|line| line == "godwit_usage_outbox_records 0")
            .then_some(())
    };
    assert!(
        eventually(Duration::from_secs(20), empty).await.is_some(),
        "the outbox stays full"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_and_double_nothing() {
    let provider = provider().await;
    let catalog = catalog(&provider);
    let mut godwit = StandaloneConfig::new(catalog.clone())
        .start()
        .await
        .unwrap();
    for round in 0..KILLS {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(load(godwit.client(), round * 1000 + number * 50));
        }
        // Load for a while that differs each time, so that the kill meets every stage.
        tokio::time::sleep(Duration::from_millis(150 + round * 67 % 400)).await;
        godwit.kill();
        while clients.join_next().await.is_some() {}
        godwit.restart().await.unwrap();
    }
    let idle = || async { (provider.totals().open == 0).then_some(()) };
    assert!(eventually(Duration::from_secs(10), idle).await.is_some());
    shipped(&godwit).await;
    let verified = godwit.admin(&["ledger", "verify"]).unwrap();
    assert_eq!(
        verified["problems"].as_array().map(Vec::len),
        Some(0),
        "{verified}"
    );
    godwit.terminate(Duration::from_secs(20)).await;

    let records = recorded(&godwit).await;
    let bill = provider.bill();
    assert_eq!(bill.dropped, 0);
    let entries: BTreeMap<&str, &Entry> = bill
        .requests
        .iter()
        .map(|entry| (entry.id.as_str(), entry))
        .collect();
    let (mut settled, mut suspended) = (0, 0);
    for (generation, rows) in &records {
        assert_eq!(
            rows.len(),
            1,
            "{generation} is recorded {} times",
            rows.len()
        );
        let entry = entries.get(generation.as_str());
        match rows[0].outcome.as_str() {
            "settled" => {
                let entry = entry.unwrap_or_else(|| panic!("{generation} was never served"));
                assert_eq!(rows[0].cost, invoiced(&catalog, entry), "{generation}");
                settled += 1;
            }
            "suspense" => {
                let due = entry.map_or(Amount::ZERO, |entry| invoiced(&catalog, entry));
                assert!(rows[0].cost <= rows[0].held && due <= rows[0].held);
                suspended += 1;
            }
            outcome => assert_eq!(outcome, "released", "{generation}"),
        }
    }
    for id in entries.keys() {
        assert!(
            records.contains_key(*id),
            "the provider bills {id}, the ledger knows nothing"
        );
    }
    assert!(
        settled > KILLS && suspended >= KILLS,
        "{settled} settled, {suspended} in suspense"
    );
}
