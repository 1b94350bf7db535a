//! Being told to stop (TERM): no new connections at once, requests run to their end, usage reaches
//! the ledger, leases go back, and the exit code is 0; what outlasts the deadline is cut and
//! settled all the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Events};
use loadtest::cluster::scene::{
    ALPHA, BETA, CHAT, Scene, catalog, chat, cost_pico, spoken, streamed,
};
use loadtest::cluster::{Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Provider, Running, expected_answer};
use serde_json::Value;
use shared::money::Amount;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How fast a listener closes, and a program that has nothing to finish ends.
const QUICK: Duration = Duration::from_secs(2);
/// How long a program may take that has streams to finish.
const PATIENCE: Duration = Duration::from_secs(15);

async fn provider(dialect: Dialect) -> Running {
    let config = Config {
        dialect: Some(dialect),
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

/// One edge, its control plane, and a provider of each dialect.
async fn fleet(deadline: &str) -> (Fleet, [Running; 2]) {
    let providers = [
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    ];
    let catalog = catalog(&providers[0], &providers[1]);
    let config = FleetConfig::new(catalog, 1).edge_key("drain_deadline", deadline);
    (config.start().await.unwrap(), providers)
}

/// A stream that has begun.
async fn begun(client: &Client, body: &Value) -> Events {
    let mut stream = client.stream(CHAT, body).await.unwrap();
    assert_eq!(stream.status, 200);
    stream.next().await.unwrap().unwrap();
    stream
}

/// Nobody listens there any more.
async fn closed(addr: SocketAddr) -> bool {
    let refused = || async { TcpStream::connect(addr).await.is_err().then_some(()) };
    eventually(QUICK, refused).await.is_some()
}

/// The first edge's readiness becomes this status.
async fn answers(fleet: &Fleet, status: u16) -> bool {
    let page = fleet.edges()[0].admin();
    let is_it = || async {
        let reply = page.get("/readyz").await.ok()?;
        (reply.status == status).then_some(())
    };
    eventually(PATIENCE, is_it).await.is_some()
}

/// What the ledger says of the only organisation, in USD.
fn books(fleet: &Fleet) -> (Amount, Amount) {
    let listed = fleet.admin(&["credits", "list"]).unwrap();
    let amount = |name: &str| -> Amount { listed[0][name].as_str().unwrap().parse().unwrap() };
    (amount("used_usd"), amount("leased_usd"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_finishes_its_streams_and_settles_before_it_ends() {
    let (mut fleet, providers) = fleet("60s").await;
    let (addr, admin) = (fleet.edges()[0].addr().unwrap(), fleet.edges()[0].admin());
    let clear = fleet.client(0);
    let h2 = Client::h2c(&fleet.edges()[0].url()).with_key(fleet.key());
    let mut streams = Vec::new();
    let mut pico = 0;
    for (number, client) in [&clear, &h2].into_iter().cycle().take(6).enumerate() {
        let model = [ALPHA, BETA][number / 2 % 2];
        let body = chat(model, &format!("stream {number} #tokens=150 #rate=100"));
        let answer = expected_answer(&body);
        pico += cost_pico(&answer);
        let stream = begun(client, &streamed(body)).await;
        streams.push((stream, answer.text()));
    }
    // An idle connection has nothing to wait for.
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let request = b"GET /api/v1/models/none/none HTTP/1.1\r\nhost: x\r\n\r\n";
    idle.write_all(request).await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);

    fleet.edge(0).unwrap().process().signal("TERM");
    assert!(closed(addr).await, "still accepts");
    let page = admin.get("/readyz").await.unwrap();
    assert_eq!(page.status, 503);
    assert!(page.text().contains("draining"), "{}", page.text());
    let running: u64 = providers.iter().map(|it| it.totals().open).sum();
    assert_eq!(running, 6, "streams were not left alone");
    let hung_up = tokio::time::timeout(QUICK, idle.read_to_end(&mut Vec::new())).await;
    assert!(hung_up.is_ok(), "an idle connection stays");

    for (mut stream, wanted) in streams {
        let first = wanted.chars().count();
        let (events, end) = stream.rest().await;
        end.unwrap();
        let (text, done) = spoken(&events);
        assert!(done && wanted.ends_with(&text), "{text:?} of {wanted:?}");
        assert!(text.chars().count() * 2 > first, "most of it came later");
    }
    let ended = Instant::now();
    let status = fleet.edge(0).unwrap().process().end(PATIENCE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(ended.elapsed() < QUICK * 2, "{:?}", ended.elapsed());
    let whole = |part: u64| i64::try_from(part).unwrap();
    let spent = Amount::from_nano(whole(pico / 1000), whole(pico % 1000));
    assert_eq!(books(&fleet), (spent, Amount::ZERO));
    let verified = fleet.admin(&["ledger", "verify"]).unwrap();
    assert_eq!(verified["records"], 6, "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_drains_an_edge_and_puts_it_back() {
    let (mut fleet, _providers) = fleet("60s").await;
    let (client, body) = (fleet.client(0), chat(ALPHA, "still served"));
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 200);
    assert!(books(&fleet).1 > Amount::ZERO, "nothing is leased ahead");
    let told = fleet.admin(&["edges", "drain", "edge-1"]).unwrap();
    assert_eq!(
        (&told["serving"], &told["edge"]["draining"]),
        (&0.into(), &true.into())
    );
    assert!(answers(&fleet, 503).await, "still ready");
    let said = || async {
        let listed = fleet.admin(&["edges", "list"]).unwrap();
        (listed[0]["says_draining"] == true).then_some(())
    };
    assert!(eventually(PATIENCE, said).await.is_some());
    // What still arrives is served; the connection is not kept, and what was leased goes back.
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, "close"));
    let returned = || async { (books(&fleet).1 == Amount::ZERO).then_some(()) };
    assert!(
        eventually(PATIENCE, returned).await.is_some(),
        "leases stay"
    );

    // It stays so over restarts, the control plane there or not.
    fleet.control().kill();
    fleet.edge(0).unwrap().restart().await.unwrap();
    assert!(answers(&fleet, 503).await, "ready again");
    fleet.restart_control().await.unwrap();
    let unknown = fleet.admin(&["edges", "drain", "edge-9"]).unwrap_err();
    assert!(
        unknown.to_string().contains("known are edge-1"),
        "{unknown}"
    );
    assert_eq!(fleet.admin(&["edges"]).unwrap()[0]["draining"], true);
    fleet.admin(&["edges", "undrain", "edge-1"]).unwrap();
    assert!(answers(&fleet, 200).await, "not ready");
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 200);
    let audit = fleet.admin(&["audit", "--limit", "2"]).unwrap();
    let action = |at: usize| (audit[at]["action"].clone(), audit[at]["object"].clone());
    assert_eq!(action(0), ("edge.undrain".into(), "edge-1".into()));
    assert_eq!(action(1), ("edge.drain".into(), "edge-1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_deadline_is_cut_and_settled() {
    let (mut fleet, [alpha, _beta]) = fleet("500ms").await;
    let mut body = chat(ALPHA, "#tokens=4000 #rate=100 long");
    body["max_tokens"] = 4000.into();
    let h2 = Client::h2c(&fleet.edges()[0].url()).with_key(fleet.key());
    let mut streams = [
        begun(&fleet.client(0), &streamed(body.clone())).await,
        begun(&h2, &streamed(body)).await,
    ];
    let told = Instant::now();
    let status = fleet.edge(0).unwrap().process().terminate(PATIENCE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let took = told.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    for stream in &mut streams {
        let (events, _) = stream.rest().await;
        assert!(!spoken(&events).1, "a cut stream ends as if it were whole");
    }
    let none = || async { (alpha.totals().open == 0).then_some(()) };
    assert!(eventually(QUICK, none).await.is_some(), "not cancelled");
    let (spent, leased) = books(&fleet);
    assert!(spent > Amount::ZERO, "what was given out is not paid for");
    assert_eq!(leased, Amount::ZERO);
    let verified = fleet.admin(&["ledger", "verify"]).unwrap();
    assert_eq!(verified["records"], 2, "{verified}");
    assert_eq!(verified["problems"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_ends_at_once_and_its_edges_serve_on() {
    let (mut fleet, _providers) = fleet("60s").await;
    let console = fleet.console();
    assert_eq!(console.get("/readyz").await.unwrap().status, 200);
    let client = fleet.client(0);
    let body = chat(ALPHA, "before and after");
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 200);
    let status = fleet.control().terminate(PATIENCE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(console.get("/readyz").await.is_err());
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_finishes_its_streams() {
    let mut scene = Scene::start().await.unwrap();
    let body = chat(ALPHA, "#tokens=100 #rate=100");
    let wanted = expected_answer(&body).text();
    let mut stream = begun(&scene.client(), &streamed(body)).await;
    let api = scene.godwit.addresses().get("api").unwrap();
    scene.godwit.process().signal("TERM");
    assert!(closed(api).await, "still accepts");
    let (events, end) = stream.rest().await;
    end.unwrap();
    let (text, done) = spoken(&events);
    assert!(done && wanted.ends_with(&text), "{text:?} of {wanted:?}");
    let status = scene.godwit.process().end(PATIENCE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
