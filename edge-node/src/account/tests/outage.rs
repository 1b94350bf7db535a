//! An hour of virtual time without a control plane: what the leases carry is served, also by a node
//! that is killed in the middle of it; nobody is called a stranger; and then everything is billed.

use super::*;
use crate::auth::KeyRing;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

const KEY: &str = "sk-gw-v1-00000000000000000000000000000000000000000000000000000000de000042";

fn ring(bench: &Bench, home: &Path, tasks: &Tasks) -> Arc<KeyRing> {
    let control = bench.fake.client(&bench.timers);
    let file = home.join("keys.cache");
    KeyRing::open(
        Some(file),
        Some(control),
        bench.clock.clone(),
        &bench.timers,
        tasks,
    )
}

/// The status of one request with this key that costs `cost`; 200 is served and settled.
async fn ask(ring: &Arc<KeyRing>, accounts: &Arc<Accounts>, key: &str, n: u64, cost: i128) -> u16 {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
    let principal = match ring
        .authenticate(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
        .await
    {
        Ok(principal) => principal,
        Err(failure) => return failure.status,
    };
    match accounts.hold(&principal, intent(n, 100, 100)).await {
        Ok(mut hold) => {
            hold.receipt.cost = Amount(cost);
            hold.settle();
            200
        }
        Err(failure) => failure.status,
    }
}

#[tokio::test]
async fn an_hour_without_a_control_plane_is_served_and_billed_and_never_a_401() {
    let mut bench = Bench::new(1_000_000).await;
    bench.timers.key_save = Duration::from_millis(1);
    bench.timers.lookup = Duration::from_millis(200);
    let known = Principal {
        key: KeyHash::of(KEY),
        ..principal()
    };
    bench.set(|state| {
        state.keys.insert(known.key, known.clone());
    });
    let tasks = Tasks::new();
    let mut home = tempfile::tempdir().unwrap();
    let mut keys = ring(&bench, home.path(), &tasks);
    let mut accounts = bench.open_in(home.path(), &tasks).await.unwrap();
    assert_eq!(ask(&keys, &accounts, KEY, 0, 100).await, 200);
    eventually("shipped", || accounts.outbox_records() == 0).await;
    let file = home.path().join("keys.cache");
    eventually("keys kept", || file.exists()).await;
    let carried = u64::try_from(accounts.available().0 / 100).unwrap();
    assert!(carried >= 60, "{carried}");

    bench.set(|state| state.down = true);
    let mut tasks = tasks;
    for minute in 1..=60 {
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!(
            ask(&keys, &accounts, KEY, minute, 90).await,
            200,
            "{minute}"
        );
        let stranger = KEY.replace("de000042", "de000043");
        if minute % 20 == 0 {
            let status = ask(&keys, &accounts, &stranger, 1000 + minute, 90).await;
            assert_eq!(status, 503, "nobody can say that this key is none");
        }
        if minute == 30 {
            home = bench.kill(home.path(), tasks).await;
            tasks = Tasks::new();
            keys = ring(&bench, home.path(), &tasks);
            accounts = bench.open_in(home.path(), &tasks).await.unwrap();
        }
    }
    assert_eq!(bench.records(), 1);
    bench.set(|state| state.down = false);
    eventually("billed", || accounts.outbox_records() == 0).await;
    let charged = bench.fake.with(|state| state.charged().0);
    assert_eq!((bench.records(), charged), (61, 100 + 60 * 90));
    bench.check_sum(1_000_000, accounts.available());
}
