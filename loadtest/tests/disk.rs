//! A full disk under an edge: what runs goes on, nothing new is begun without a word of it on disk,
//! and when there is space again all of it is billed, to the digit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use loadtest::cluster::scene::{CHAT, chat, streamed};
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Provider, Running};
use std::time::Duration;

const MODEL: &str = "test/disk";
const PATIENCE: Duration = Duration::from_secs(30);

async fn provider() -> Running {
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        tokens_per_second: 200.0,
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

async fn status_is(fleet: &Fleet, expect: u16) -> bool {
    let client = fleet.client(0);
    let asked = || async {
        let reply = client.post(CHAT, &chat(MODEL, "godwits")).await.ok()?;
        (reply.status == expect).then_some(reply)
    };
    let Some(reply) = eventually(PATIENCE, asked).await else {
        return false;
    };
    let reason = reply.json()["error"]["metadata"].to_string() + &reply.text();
    expect != 503 || reason.contains("billing is not available")
}

/// A number from the edge's metrics.
async fn metric(fleet: &Fleet, name: &str) -> Option<f64> {
    let page = fleet.edges()[0].admin().get("/metrics").await.ok()?.text();
    let line = page.lines().find(|line| line.starts_with(name))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

async fn records(fleet: &Fleet) -> Vec<(String, String)> {
    sqlx::any::install_default_drivers();
    let file = fleet.control_data().join("control.db");
    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::AnyPool::connect(&url).await.unwrap();
    sqlx::query_as("SELECT generation, outcome FROM usage_records")
        .fetch_all(&pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_requests_and_loses_none() {
    let provider = provider().await;
    let catalog = CatalogSpec::default()
        .provider("disk", Dialect::OpenaiChat, &provider.base_url())
        .model(MODEL, &["disk"]);
    let mut config = FleetConfig::new(catalog, 1);
    config.survive_limits = true;
    let mut fleet = config.start().await.unwrap();
    assert!(status_is(&fleet, 200).await);
    let running = streamed(chat(MODEL, "godwits #tokens=300"));
    let client = fleet.client(0);
    let mut running = client.stream(CHAT, &running).await.unwrap();
    running.next().await.unwrap();

    fleet
        .edge(0)
        .unwrap()
        .process()
        .limit_files(Some(1))
        .unwrap();
    assert!(
        status_is(&fleet, 503).await,
        "a request is begun without a log"
    );
    let asked = provider.requests();
    assert!(status_is(&fleet, 503).await);
    assert_eq!(
        provider.requests(),
        asked,
        "a provider was asked without a log"
    );
    assert_eq!(metric(&fleet, "godwit_usage_log_down").await, Some(1.0));
    let (events, ended) = running.rest().await;
    assert!(
        ended.is_ok() && events.last().unwrap().data == "[DONE]",
        "{events:?}"
    );

    fleet.edge(0).unwrap().process().limit_files(None).unwrap();
    assert!(
        status_is(&fleet, 200).await,
        "it does not come back by itself"
    );
    assert_eq!(metric(&fleet, "godwit_usage_log_down").await, Some(0.0));
    let shipped =
        || async { (metric(&fleet, "godwit_usage_outbox_records").await? < 0.5).then_some(()) };
    assert!(eventually(PATIENCE, shipped).await.is_some());
    let bill = provider.bill();
    let records = records(&fleet).await;
    let settled = records.iter().filter(|(_, outcome)| outcome == "settled");
    assert_eq!(settled.count(), bill.requests.len(), "{records:?}");
    for entry in &bill.requests {
        assert!(records.iter().any(|(id, _)| *id == entry.id), "{entry:?}");
    }
    fleet.admin(&["ledger", "verify"]).unwrap();
}
