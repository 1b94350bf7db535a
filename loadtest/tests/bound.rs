//! A dollar and no more: an organisation with $1.00 on six edges, an open loop at ten times what
//! it can pay, edges killed and cut off from the control plane, each and all, while it runs. Some
//! requests are for two answers. What is spent never
//! exceeds the dollar; once everything is given back, what is left unused is at most 2 % of it.
//! How long, and how many faults: `bound.toml`. Figures are printed (`-- --nocapture`).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic and print what it measured"
)]

use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Entry, Provider, Running};
use loadtest::wire::Weather;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::money::{Amount, Price};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

const CHAT: &str = "/api/v1/chat/completions";
const MODEL: &str = "acme/model";
const PROMPT: &str = "0.000001";
const COMPLETION: &str = "0.000045";
/// With it no answer costs more than 0.002 USD: 0.0018 for these, the rest for a short prompt.
const MAX_TOKENS: u64 = 40;
/// How long an edge is cut off while the others go on: longer than a request waits for the ledger.
const CUT_OFF: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Plan {
    edges: usize,
    in_flight: usize,
    rate: u64,
    seconds: u64,
    kills: u64,
    cuts: u64,
    partitions: u64,
    seed: u64,
}

/// What clients were told.
#[derive(Default)]
struct Seen {
    offered: AtomicU64,
    over: AtomicU64,
    served: AtomicU64,
    poor: AtomicU64,
    other: AtomicU64,
}

impl Seen {
    fn count(&self, status: Option<u16>) {
        let counter = match status {
            Some(200) => &self.served,
            Some(402) => &self.poor,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn told(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} offered, {} beyond the requests in flight, {} served, {} told 402, {} other",
            of(&self.offered),
            of(&self.over),
            of(&self.served),
            of(&self.poor),
            of(&self.other)
        )
    }
}

async fn ask(client: Client, turn: u64) -> Option<u16> {
    let body = json!({
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "stream": turn.is_multiple_of(3),
        "n": if turn.is_multiple_of(5) { 2 } else { 1 },
        "messages": [{ "role": "user", "content": format!("godwits, part {turn}") }],
    });
    if turn.is_multiple_of(3) {
        let mut stream = client.stream(CHAT, &body).await.ok()?;
        let status = stream.status;
        let _ = stream.rest().await;
        return Some(status);
    }
    client
        .post(CHAT, &body)
        .await
        .ok()
        .map(|reply| reply.status)
}

/// An open loop: so many requests a second, whatever becomes of them, but never more than `plan`
/// allows in flight.
async fn offer(clients: Vec<Client>, plan: Arc<Plan>, seen: Arc<Seen>, until: Instant) {
    let gate = Arc::new(Semaphore::new(plan.in_flight));
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / plan.rate));
    let mut asking = JoinSet::new();
    let mut turn = 0;
    while Instant::now() < until {
        ticks.tick().await;
        turn += 1;
        seen.offered.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = Arc::clone(&gate).try_acquire_owned() else {
            seen.over.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let edge = usize::try_from(turn).unwrap() % clients.len();
        let (client, seen) = (clients[edge].clone(), Arc::clone(&seen));
        asking.spawn(async move {
            seen.count(ask(client, turn).await);
            drop(place);
        });
        while asking.try_join_next().is_some() {}
    }
    while asking.join_next().await.is_some() {}
}

/// What goes wrong.
#[derive(Clone, Copy)]
enum Fault {
    /// An edge is killed and started again.
    Kill,
    /// Nobody reaches the control plane.
    Cut,
    /// One edge does not reach it.
    Partition,
}

/// Does what the plan says, in an order and at moments of its seed.
async fn disturb(fleet: &mut Fleet, plan: &Plan) {
    let mut dice = fastrand::Rng::with_seed(plan.seed);
    let of = |fault, times| std::iter::repeat_n(fault, usize::try_from(times).unwrap());
    let faults = of(Fault::Kill, plan.kills)
        .chain(of(Fault::Cut, plan.cuts))
        .chain(of(Fault::Partition, plan.partitions));
    let mut faults: Vec<Fault> = faults.collect();
    dice.shuffle(&mut faults);
    // The last fifth of the time is left for the edges to come back.
    let pause = plan.seconds * 800 / u64::try_from(faults.len()).unwrap().max(1);
    let pause = Duration::from_millis(pause);
    let mut cut_off: Vec<(Instant, usize)> = Vec::new();
    for fault in faults {
        tokio::time::sleep(pause.mul_f64(0.5 + dice.f64() / 2.0)).await;
        heal(fleet, &mut cut_off);
        let number = dice.usize(..plan.edges);
        match fault {
            Fault::Kill => {
                let edge = fleet.edge(number).unwrap();
                edge.process().kill();
                edge.restart().await.unwrap();
            }
            Fault::Cut => {
                fleet.control().signal("STOP");
                tokio::time::sleep(pause.mul_f64(0.4)).await;
                fleet.control().signal("CONT");
            }
            Fault::Partition => {
                let weather = Weather {
                    black_hole: true,
                    ..Weather::default()
                };
                fleet.wire(number).unwrap().set(weather);
                cut_off.push((Instant::now() + CUT_OFF, number));
            }
        }
    }
    while let Some((until, _)) = cut_off.first() {
        tokio::time::sleep_until(*until).await;
        heal(fleet, &mut cut_off);
    }
}

/// Ends the partitions that are over.
fn heal(fleet: &Fleet, cut_off: &mut Vec<(Instant, usize)>) {
    let now = Instant::now();
    for (_, number) in cut_off.extract_if(.., |(until, _)| *until <= now) {
        fleet.wire(number).unwrap().set(Weather::default());
    }
}

async fn provider() -> Running {
    let paced = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(20),
        tokens_per_second: 400.0,
        ..Config::default()
    };
    Provider::start(paced).await.unwrap()
}

fn catalog(provider: &Running) -> CatalogSpec {
    let mut catalog = CatalogSpec::default()
        .provider("acme", Dialect::OpenaiChat, &provider.base_url())
        .model(MODEL, &["acme"]);
    for row in &mut catalog.endpoints {
        row.prompt = PROMPT.to_owned();
        row.completion = COMPLETION.to_owned();
        row.cache_read = None;
    }
    catalog
}

fn invoiced(entry: &Entry) -> Amount {
    let price = |text: &str| text.parse::<Price>().unwrap();
    price(PROMPT).cost(entry.input_tokens) + price(COMPLETION).cost(entry.output_tokens)
}

fn billed(provider: &Running) -> Amount {
    provider.bill().requests.iter().map(invoiced).sum()
}

fn money(fleet: &Fleet, what: &str) -> Amount {
    let credits = fleet.admin(&["credits", "list"]).unwrap();
    let rows = credits.get("orgs").unwrap_or(&credits);
    rows[0][what].as_str().unwrap().parse().unwrap()
}

/// Every edge has told everything, and no request is open at the provider.
async fn quiet(fleet: &Fleet, provider: &Running) {
    let idle = || async { (provider.totals().open == 0).then_some(()) };
    assert!(eventually(Duration::from_secs(30), idle).await.is_some());
    for edge in fleet.edges() {
        let admin = edge.admin();
        let empty = || async {
            let page = admin.get("/metrics").await.ok()?.text();
            let mut lines = page.lines();
            lines
                .any(|line| line == "godwit_usage_outbox_records 0")
                .then_some(())
        };
        let told = eventually(Duration::from_secs(30), empty).await;
        assert!(told.is_some(), "an outbox stays full");
    }
}

/// Settles what was in flight at a kill against the provider's bill.
fn reconcile(fleet: &Fleet, provider: &Running) -> Value {
    let file = fleet.control_data().join("bill.json");
    let line = |entry: &Entry| json!({ "id": entry.id, "amount_usd": invoiced(entry).to_string() });
    let lines: Vec<_> = provider.bill().requests.iter().map(line).collect();
    std::fs::write(&file, Value::from(lines).to_string()).unwrap();
    let until = (Clock::system().unix_s() + 1).to_string();
    let arguments = ["ledger", "reconcile", "--provider", "acme"];
    let bill = file.to_string_lossy();
    let rest = ["--complete-until", &until, "--bill", &bill];
    fleet.admin(&[&arguments[..], &rest].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dollar_pays_for_a_dollar() {
    let plan: Plan = toml::from_str(include_str!("bound.toml")).unwrap();
    let plan = Arc::new(plan);
    let provider = provider().await;
    let mut config = FleetConfig::new(catalog(&provider), plan.edges);
    config.credits = "1.00".to_owned();
    config.wired = true;
    let mut fleet = config.start().await.unwrap();
    let clients: Vec<Client> = (0..plan.edges).map(|edge| fleet.client(edge)).collect();
    let seen = Arc::new(Seen::default());

    let until = Instant::now() + Duration::from_secs(plan.seconds);
    let load = offer(clients.clone(), Arc::clone(&plan), Arc::clone(&seen), until);
    tokio::join!(load, disturb(&mut fleet, &plan));
    quiet(&fleet, &provider).await;
    println!("with faults: {}", seen.told());
    let (used, suspense) = (money(&fleet, "used_usd"), money(&fleet, "suspense_usd"));
    let bill = billed(&provider);
    println!("used {used}, in suspense {suspense}, billed by the provider {bill}");
    assert!(used + suspense <= Amount::USD, "{used} + {suspense}");
    assert!(bill <= Amount::USD, "{bill}");
    assert_eq!(money(&fleet, "overrun_usd"), Amount::ZERO);

    // What a kill left in suspense is settled and spent, without faults.
    println!("{}", reconcile(&fleet, &provider));
    let seen = Arc::new(Seen::default());
    let until = Instant::now() + Duration::from_secs(plan.seconds / 4);
    offer(clients, plan, Arc::clone(&seen), until).await;
    quiet(&fleet, &provider).await;
    println!("without: {}", seen.told());
    for number in 0..fleet.edges().len() {
        let edge = fleet.edge(number).unwrap();
        edge.process().terminate(Duration::from_secs(20)).await;
    }
    let (used, overrun) = (money(&fleet, "used_usd"), money(&fleet, "overrun_usd"));
    let unused = money(&fleet, "available_usd") + money(&fleet, "leased_usd");
    println!("used {used}, unused {unused}");
    assert!(used <= Amount::USD && overrun == Amount::ZERO, "{used}");
    assert!(unused <= Amount(Amount::USD.0 / 50), "{unused} is unused");
    let verdict = fleet.admin(&["ledger", "verify"]).unwrap();
    let problems = verdict["problems"].as_array().map(Vec::len);
    assert_eq!(problems, Some(0), "{verdict}");
}
