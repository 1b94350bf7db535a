//! How many usage records a second the ledger applies, on SQLite in a file and on PostgreSQL with
//! every commit waiting for the disk; the load is made beside it, in the same process:
//! `cargo bench -p control-plane --bench ledger -- [SECONDS] [RECORDS PER BATCH]`. The books are
//! verified afterwards. PostgreSQL's own defaults but for its place and port.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use control_plane::ledger::{Batch, LeaseRequest, Ledger};
use control_plane::sql::{Database, Source};
use control_plane::store::Epoch;
use postgres_server::{Durability, Server};
use shared::clock::Clock;
use shared::id::{BootEpoch, GenerationId, NodeId, OrgId, Version};
use shared::key::KeyHash;
use shared::money::Amount;
use shared::record::{Origin, Outcome, Particulars, Tried, UsageRecord};
use shared::usage::Usage;
use std::io::Write;
use std::time::{Duration, Instant};

const FENCE: Epoch = Epoch(1);
/// Edges that report at the same time.
const NODES: u64 = 4;
/// Organisations, and keys of each.
const ORGS: u64 = 50;
const KEYS: u64 = 4;

struct Figures {
    records: u64,
    took: Duration,
    /// How long each batch took, from the shortest to the longest.
    batches: Vec<Duration>,
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|text| text.parse().ok())
        .collect();
    let seconds = numbers.first().copied().unwrap_or(10);
    let batch = numbers.get(1).copied().unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = Source::File(folder.path().join("control.db"));
        report("SQLite", &run(&file, seconds, batch).await);
        let server = Server::start(Durability::Safe).unwrap();
        let url = server.database().unwrap().parse().unwrap();
        report(
            "PostgreSQL",
            &run(&Source::Server(url), seconds, batch).await,
        );
    });
}

async fn run(source: &Source, seconds: u64, batch: u64) -> Figures {
    let database = Database::open(source).await.unwrap();
    let ledger = Ledger::open(database, Clock::system()).await.unwrap();
    for number in 0..ORGS {
        let amount = Amount(Amount::USD.0 * 1_000_000);
        let org = org(number);
        ledger.credit(FENCE, &org, "bench", amount).await.unwrap();
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let nodes = (0..NODES).map(|number| node(&ledger, number, batch, until));
    let mut batches = futures::future::join_all(nodes).await.concat();
    let took = began.elapsed();
    batches.sort_unstable();
    let verdict = ledger.verify().await.unwrap();
    assert_eq!(verdict.problems, Vec::<String>::new());
    Figures {
        records: verdict.records,
        took,
        batches,
    }
}

async fn node(ledger: &Ledger, number: u64, size: u64, until: Instant) -> Vec<Duration> {
    let origin = Origin {
        node: NodeId::from(format!("edge-{number}")),
        epoch: BootEpoch(1),
    };
    for number in 0..ORGS {
        let request = LeaseRequest {
            origin: origin.clone(),
            purse: org(number).into(),
            lease_id: format!("{}-{number}", origin.node),
            wanted: Amount(Amount::USD.0 * 1000),
            least: Amount(1),
            need: None,
        };
        ledger.acquire(FENCE, &request).await.unwrap();
    }
    let mut took = Vec::new();
    let mut sequence = 0;
    while Instant::now() < until {
        let batch = Batch {
            origin: origin.clone(),
            inherited: Vec::new(),
            records: (1..=size).map(|n| record(sequence + n)).collect(),
        };
        let began = Instant::now();
        sequence = ledger.ship(FENCE, &batch).await.unwrap();
        took.push(began.elapsed());
    }
    took
}

fn org(number: u64) -> OrgId {
    OrgId::from(format!("org_{number:024}"))
}

fn record(sequence: u64) -> UsageRecord {
    let cost = Amount(i128::from(sequence % 997) * 1_000_003);
    let key = u8::try_from(sequence / ORGS % KEYS).unwrap_or_default();
    UsageRecord {
        sequence,
        generation: GenerationId::from(format!("gen-1700000000-{sequence:020}")),
        org: org(sequence % ORGS),
        key: KeyHash([key; 32]),
        outcome: Outcome::Settled,
        held: cost + cost,
        cost,
        api: "chat".to_owned(),
        requested_model: "meta-llama/llama-3.3-70b-instruct".to_owned(),
        model: Some("meta-llama/llama-3.3-70b-instruct".into()),
        endpoint: Some("meta-llama/llama-3.3-70b-instruct@acme/us-east".into()),
        provider: Some("acme".into()),
        price_version: Version {
            epoch: 1,
            number: 17,
        },
        usage: Usage {
            prompt: 1234,
            completion: 345,
            ..Usage::default()
        },
        streamed: true,
        finish_reason: "stop".to_owned(),
        fault: None,
        started_unix_ms: 1_700_000_000_000 + sequence,
        duration_ms: 2345,
        ttft_ms: 234,
        attempts: 1,
        upstream_id: format!("chatcmpl-{sequence:024}"),
        windows: Vec::new(),
        fee_ppm: 0,
        own_key: false,
        flags: Vec::new(),
        on_credit: Amount::ZERO,
        fee_free: Amount::ZERO,
        particulars: Particulars {
            session: format!("session-{:08}", sequence / 10),
            user: "user-1234".to_owned(),
            referer: "https://app.example/chat".to_owned(),
            title: "An application".to_owned(),
            agent: "OpenAI/Python 1.99.1".to_owned(),
            tried: vec![Tried {
                endpoint: "meta-llama/llama-3.3-70b-instruct@acme/us-east".into(),
                provider: "acme".into(),
                status: 200,
                latency_ms: 234,
                own_key: false,
            }],
            ..Particulars::default()
        },
    }
}

fn report(engine: &str, figures: &Figures) {
    let rate = figures.records as f64 / figures.took.as_secs_f64();
    let at = |share: usize| {
        let place = (figures.batches.len().saturating_sub(1)) * share / 100;
        figures.batches.get(place).copied().unwrap_or_default()
    };
    let _ = writeln!(
        std::io::stdout(),
        "{engine}: {rate:.0} records/s ({} records in {:.1?}; a batch p50 {:.0?}, p99 {:.0?}), verified",
        figures.records,
        figures.took,
        at(50),
        at(99),
    );
}
