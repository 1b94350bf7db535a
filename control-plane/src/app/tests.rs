use super::*;
use crate::accounts::NewKey;
use crate::ranker::Pace;
use crate::registry::Author;
use crate::testing::{self, Bench, catalog};
use shared::id::{BootEpoch, EndpointId, NodeId, Version};
use shared::key::KeyHash;
use shared::manifest::Manifest;
use shared::policy::KeyKind;
use shared::proto::discovery as wire;
use shared::window::{Observation, Outcome, Report, Windows};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

const AUTHOR: Author<'static> = Author {
    actor: "operator/ada",
    note: "a test",
};

#[tokio::test]
async fn an_edge_gets_the_catalogue_whole_then_as_changes() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    let first = line.authority().await;
    assert_eq!((first.base, first.upserts.len()), (None, 3));
    let manifest = Manifest::try_from(first.manifest.unwrap()).unwrap();
    assert!(manifest.verify(&[bench.running.signer]).is_ok());
    assert_eq!(
        manifest.version,
        Version {
            epoch: 1,
            number: 1
        }
    );

    // While one is on its way, two changes become one update.
    let registry = &bench.running.parts.registry;
    registry
        .apply(&catalog(&["acme", "beta"]), AUTHOR)
        .await
        .unwrap();
    registry
        .apply(&catalog(&["acme", "beta", "gamma"]), AUTHOR)
        .await
        .unwrap();
    line.ack(manifest.version).await;
    let second = line.authority().await;
    let newest = Version {
        epoch: 1,
        number: 3,
    };
    assert_eq!(second.manifest.unwrap().version, Some(newest.into()));
    assert_eq!(second.base, Some(manifest.version.into()));
    assert_eq!(second.upserts.len(), 4);
    line.ack(newest).await;
    bench.until(|edge| edge.acked == Some(newest)).await;

    // An edge that comes back and still holds it is sent only what is new.
    drop(line);
    let mut hello = testing::hello("edge-1");
    hello.held = Some(newest.into());
    hello.held_root = registry.current().snapshot.root().to_vec();
    registry.apply(&catalog(&["acme"]), AUTHOR).await.unwrap();
    let mut line = edge.subscribe(hello).await;
    let third = line.authority().await;
    assert_eq!(third.base, Some(newest.into()));
    assert_eq!((third.upserts.len(), third.removals.len()), (0, 4));
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn a_refusal_is_recorded_by_name() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    let update = line.authority().await;
    let version = update.manifest.unwrap().version.unwrap();
    line.nack(version, "endpoint/lab/one@acme", "odd price")
        .await;
    let refused = bench.until(|edge| edge.nacks == 1).await;
    let expected = ("endpoint/lab/one@acme".to_owned(), "odd price".to_owned());
    assert_eq!(refused.last_nack, Some(expected));
    assert!(refused.is_refusing() && refused.acked.is_none());
    let registry = &bench.running.parts.registry;
    registry.apply(&catalog(&["beta"]), AUTHOR).await.unwrap();
    let next = line.authority().await;
    assert_eq!(next.base, None, "after a refusal the next update is whole");
    drop(line);
    bench.until(|edge| !edge.connected).await;
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn an_edge_is_sent_nothing_newer_while_roll_outs_are_paused() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    let first: Version = line
        .authority()
        .await
        .manifest
        .unwrap()
        .version
        .unwrap()
        .into();
    line.ack(first).await;
    bench.until(|edge| edge.acked == Some(first)).await;
    let registry = &bench.running.parts.registry;
    registry.pause("operator/ada").await.unwrap();
    for providers in [&["beta"][..], &["acme", "beta"]] {
        registry.apply(&catalog(providers), AUTHOR).await.unwrap();
        // One that comes meanwhile is sent what the others have.
        let mut line = edge.subscribe(testing::hello("edge-1")).await;
        let sent = line.authority().await.manifest.unwrap().version.unwrap();
        assert_eq!(Version::from(sent), first);
        line.ack(first).await;
    }
    let mut hello = testing::hello("edge-1");
    hello.held = Some(first.into());
    hello.held_root = registry.released().snapshot.root().to_vec();
    let mut line = edge.subscribe(hello).await;
    registry.resume().await.unwrap();
    let next = line.authority().await;
    assert_eq!(next.base, Some(first.into()));
    assert_eq!(next.manifest.unwrap().version.unwrap().number, 3);
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn a_drained_edge_is_told_once_and_stays_drained_over_a_restart() {
    let bench = Bench::start(&["acme"]).await;
    let node = NodeId::from("edge-1");
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    line.authority().await;
    let drained = bench.running.parts.duties.set(&node, true).await.unwrap();
    assert_eq!(line.duty().await, drained);
    assert!(drained.draining);
    let told = bench.until(|edge| edge.connected).await;
    assert!(!told.duty.draining, "it has not said so yet");
    line.on_duty(drained).await;
    bench.until(|edge| edge.duty == drained).await;
    drop((line, edge));

    let bench = bench.restart().await;
    let mut edge = bench.edge().await;
    let mut forgetful = edge.subscribe(testing::hello("edge-1")).await;
    assert_eq!(forgetful.duty().await, drained);
    let mut hello = testing::hello("edge-1");
    hello.duty = Some(drained.into());
    let mut line = edge.subscribe(hello).await;
    line.authority().await;
    let serving = bench.running.parts.duties.set(&node, false).await.unwrap();
    assert!(!serving.draining && serving.number > drained.number);
    // Nothing of its duty was said before that.
    assert_eq!(line.duty().await, serving);
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn a_revocation_reaches_the_edge_and_a_look_up_agrees() {
    let bench = Bench::start(&["acme"]).await;
    let accounts = &bench.running.parts.accounts;
    let new = NewKey::of(KeyKind::Inference, "a key");
    let secret = accounts.create_key("operator/ada", &new).await.unwrap();
    let mut edge = bench.edge().await;
    let found = edge.lookup(secret.hash()).await;
    assert_eq!(found.key.unwrap().name, "a key");
    let mut hello = testing::hello("edge-1");
    hello.account_sequence = found.account_sequence;
    let mut line = edge.subscribe(hello).await;
    line.authority().await;
    accounts
        .revoke_key("operator/ada", secret.hash())
        .await
        .unwrap();
    let update = line.account().await;
    assert!(!update.reset);
    let denied = wire::account_event::Body::KeyDenied(secret.hash().0.to_vec());
    assert_eq!(update.events.last().unwrap().body, Some(denied));
    let gone = edge.lookup(secret.hash()).await;
    assert_eq!((gone.key, gone.refusal.as_str()), (None, "revoked"));
    assert_eq!(gone.account_sequence, update.sequence);
    assert_eq!(edge.lookup(KeyHash([1; 32])).await.refusal, "unknown");

    // An edge that is ahead of the log starts anew.
    drop(line);
    let mut hello = testing::hello("edge-1");
    hello.account_sequence = 1_000_000;
    let mut line = edge.subscribe(hello).await;
    assert!(line.account().await.reset);
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn alarming_evidence_is_ranked_and_pushed_at_once() {
    let pace = Pace {
        every: Duration::from_secs(3600),
        gap: Duration::from_millis(1),
        ..Pace::default()
    };
    let bench = Bench::start_with(&["acme"], |config| config.pace = pace).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    line.authority().await;
    let report = |sequence, alarming| Report {
        node: NodeId::from("edge-1"),
        pop: "fra1".into(),
        region: "eu".into(),
        epoch: BootEpoch(7),
        sequence,
        windows: Vec::new(),
        alarming,
    };
    let sent = [report(1, false), report(2, true), report(2, true)];
    let acks = edge.report(&sent).await;
    let sequences: Vec<_> = acks.iter().map(|ack| ack.sequence).collect();
    assert_eq!(sequences, [1, 2, 2]);
    let first = line.ranking().await;
    assert_eq!(first.base, None);
    // What tells of no endpoint would change no table.
    let mut windows = Windows::default();
    let endpoint = EndpointId::from("lab/one@acme");
    for _ in 0..3 {
        windows.record(&endpoint, &Observation::of(Outcome::HardFail));
    }
    windows.opened(&endpoint);
    let outage = Report {
        windows: windows.take(),
        ..report(3, true)
    };
    edge.report(&[outage]).await;
    let second = line.ranking().await;
    assert_eq!(second.base, first.version);
    assert!(second.version.unwrap().number > first.version.unwrap().number);
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-2")).await;
    assert_eq!(line.end().await.code(), Code::PermissionDenied);
    let mut stranger = bench.stranger().await;
    let refused = stranger.try_lookup(KeyHash([1; 32])).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let foreign = Report {
        node: NodeId::from("edge-2"),
        pop: "fra1".into(),
        region: "eu".into(),
        epoch: BootEpoch(1),
        sequence: 1,
        windows: Vec::new(),
        alarming: false,
    };
    let refused = edge.try_report(&[foreign]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut first = edge.subscribe(testing::hello("edge-1")).await;
    first.authority().await;
    let mut second = edge.subscribe(testing::hello("edge-1")).await;
    second.authority().await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_never_a_no() {
    let mut server = postgres_server::Server::start(postgres_server::Durability::Fast).unwrap();
    let url = server.database().unwrap();
    let bench = Bench::start_with(&["acme"], |config| {
        config.ledger = Some(url.parse().unwrap());
        config.wishes.credits = shared::money::Amount::USD;
        config.wishes.first_key = true;
    });
    let bench = bench.await;
    let key = bench
        .running
        .bootstrapped
        .first_key
        .as_ref()
        .unwrap()
        .hash();
    let mut edge = bench.edge().await;
    assert!(edge.lookup(key).await.key.is_some());
    server.kill().unwrap();
    let away = edge.try_lookup(key).await;
    assert_eq!(away.unwrap_err().code(), Code::Unavailable);
    let unknown = edge.try_lookup(KeyHash([1; 32])).await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unavailable);
    server.restart().unwrap();
    assert!(edge.lookup(key).await.key.is_some());
    assert_eq!(edge.lookup(KeyHash([1; 32])).await.refusal, "unknown");
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn http_tells_health_and_metrics() {
    let bench = Bench::start(&["acme"]).await;
    let (status, body) = bench.get("/healthz").await;
    assert_eq!((status, body.contains("\"ok\"")), (200, true));
    assert_eq!(bench.get("/readyz").await.0, 200);
    assert_eq!(bench.get("/nothing").await.0, 404);
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    let version = line.authority().await.manifest.unwrap().version.unwrap();
    line.ack(version.into()).await;
    bench.until(|edge| edge.acked.is_some()).await;
    let (_, metrics) = bench.get("/metrics").await;
    for name in [
        "godwit_control_leader",
        "godwit_control_edges{state=\"connected\"}",
        "godwit_control_rank_seconds_bucket",
        "godwit_control_push_seconds_bucket{class=\"authority\"",
        "godwit_control_rollout_stage{stage=\"all\"} 1",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn who_watches_is_told_that_it_drains() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut watched = Vec::new();
    for service in ["", "godwit.discovery.v1.Discovery"] {
        let mut health = edge.watch(service).await;
        let first = health.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving, "{service}");
        watched.push(health);
    }
    // An edge's open streams do not hold the drain, and neither do watches.
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    line.authority().await;
    let console = bench.running.console;
    assert_eq!(bench.stop().await, 0);
    for mut health in watched {
        let last = health.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert_eq!(health.message().await.unwrap(), None);
    }
    assert!(tokio::net::TcpStream::connect(console).await.is_err());
}

#[tokio::test]
async fn the_console_tells_that_it_drains() {
    let readiness = Readiness::default();
    readiness.set(true);
    let tasks = Tasks::new();
    let recorder = observe::metrics().unwrap();
    let router = console_http::router(readiness, recorder, tasks.stop_signal());
    let serving = serve::Serving::new(&tasks);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serving.console(listener, router);
    assert_eq!(testing::get(address, "/readyz").await.0, 200);
    tasks.request_stop();
    // gRPC is not drained yet: it has not even begun.
    let (status, page) = testing::get(address, "/readyz").await;
    assert_eq!((status, page.contains("draining")), (503, true));
    drop(serving);
    assert_eq!(tasks.drain(testing::PATIENCE).await, 0);
}

#[tokio::test]
async fn a_restart_keeps_everything_under_a_new_epoch() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    let before = line.authority().await.manifest.unwrap();
    line.ack(before.version.unwrap().into()).await;
    bench.until(|edge| edge.acked.is_some()).await;
    let bench = bench.restart().await;
    let known = bench.running.parts.edges.list().remove(0);
    assert_eq!(known.node, NodeId::from("edge-1"));
    let mut edge = bench.edge().await;
    let mut hello = testing::hello("edge-1");
    hello.held = before.version;
    hello.held_root = before.root.clone();
    let mut line = edge.subscribe(hello).await;
    let update = line.authority().await;
    let after = update.manifest.unwrap();
    assert_eq!(
        after.version,
        Some(
            Version {
                epoch: 2,
                number: 1
            }
            .into()
        )
    );
    assert_eq!((after.root, after.key_id), (before.root, before.key_id));
    assert_eq!((update.base, update.upserts.len()), (before.version, 0));
    assert_eq!(bench.stop().await, 0);
}

#[tokio::test]
async fn a_broken_folder_stops_the_first_start_only() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = folder.path().join("catalog");
    std::fs::create_dir(&catalogue).unwrap();
    std::fs::write(catalogue.join("a.toml"), "[[").unwrap();
    let config = |data: &str| {
        let mut config = Config::in_folder(&folder.path().join(data));
        config.catalog = Some(catalogue.clone());
        config
    };
    let tasks = Tasks::new();
    let refused = start(config("one"), tasks.clone(), Clock::system()).await;
    let invalid = matches!(refused, Err(StartError::Catalog(RegistryError::Invalid(_))));
    assert!(invalid);
    tasks.drain(Duration::from_secs(5)).await;

    std::fs::write(
        catalogue.join("a.toml"),
        &catalog(&["acme"])["catalog.toml"],
    )
    .unwrap();
    let first = start(config("two"), Tasks::new(), Clock::system())
        .await
        .unwrap();
    assert_eq!(first.stop(Duration::from_secs(5)).await, 0);
    std::fs::write(catalogue.join("a.toml"), "[[").unwrap();
    let second = start(config("two"), Tasks::new(), Clock::system())
        .await
        .unwrap();
    let served = second.parts.registry.current();
    assert_eq!(served.snapshot.endpoints().len(), 1);
    assert_eq!(second.stop(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path());
    config.control_listen = taken.local_addr().unwrap();
    let refused = start(config, Tasks::new(), Clock::system()).await;
    assert!(
        matches!(refused, Err(StartError::Listen { address, .. }) if address == taken.local_addr().unwrap())
    );
}

#[tokio::test]
async fn an_edge_without_traffic_gets_its_regions_ranking() {
    let bench = Bench::start(&["acme"]).await;
    let mut edge = bench.edge().await;
    let mut line = edge.subscribe(testing::hello("edge-1")).await;
    assert_eq!(line.ranking().await.base, None);
    let parts = &bench.running.parts;
    let endpoint = "lab/one@acme".into();
    let region = "eu".into();
    assert!(parts.ranker.explain(&endpoint, &region).await.is_some());
    let disabled = Some(shared::ranking::State::Disabled);
    let wished = parts
        .ranker
        .wish(&endpoint, |wish| wish.withdrawn = disabled);
    assert_eq!(wished.await.unwrap().withdrawn, disabled);
    let table = parts.ranker.subscribe();
    let withdrawn = |rankings: &Arc<crate::ranker::Rankings>| {
        let row = rankings
            .tables
            .values()
            .find_map(|table| table.rows.get(&endpoint));
        row.is_some_and(|row| row.state == shared::ranking::State::Disabled)
    };
    table.clone().wait_for(withdrawn).await.unwrap();
    assert_eq!(bench.stop().await, 0);
}
