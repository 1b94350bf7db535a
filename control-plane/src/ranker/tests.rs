use super::*;
use crate::store::{Embedded, Store};
use crate::testing;
use shared::id::{BootEpoch, NodeId};
use shared::task::Tasks;

const NEVER: Duration = Duration::from_secs(3600);

async fn ranker(pace: Pace) -> (Arc<Ranker>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("store.db"))
        .await
        .unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let clock = Clock::system();
    let registry = Registry::open(
        Arc::clone(&store),
        Epoch(3),
        testing::signer(),
        clock.clone(),
    )
    .await;
    let ranker = Ranker::open(registry.unwrap(), store, Epoch(3), pace, clock).await;
    (ranker.unwrap(), folder)
}

fn report(sequence: u64, alarming: bool) -> Report {
    Report {
        node: NodeId::from("edge-1"),
        pop: "fra1".into(),
        region: "eu".into(),
        epoch: BootEpoch(1),
        sequence,
        windows: Vec::new(),
        alarming,
    }
}

#[tokio::test]
async fn a_report_counts_once() {
    let (ranker, _folder) = ranker(Pace::default()).await;
    assert!(ranker.merge(&report(1, false)).await.fresh);
    assert!(!ranker.merge(&report(1, false)).await.fresh);
}

#[tokio::test]
async fn alarms_are_ranked_at_once_and_those_in_between_are_one() {
    let gap = Duration::from_millis(200);
    let pace = Pace {
        every: NEVER,
        gap,
        again: gap,
    };
    let (ranker, _folder) = ranker(pace).await;
    let tasks = Tasks::new();
    let mut rankings = ranker.subscribe();
    tasks.spawn("ranker", Arc::clone(&ranker).run(tasks.stop_signal()));
    // The first tick comes with the start.
    rankings.changed().await.unwrap();
    let begun = Instant::now();
    for sequence in 1..=50 {
        ranker.merge(&report(sequence, true)).await;
    }
    let table = rankings
        .wait_for(|now| !now.tables.is_empty())
        .await
        .unwrap()
        .clone();
    let version = table.tables[&Region::from("eu")].version;
    assert_eq!(
        version,
        Version {
            epoch: 3,
            number: 2
        }
    );
    assert!(begun.elapsed() < NEVER / 2);
    // A region that has no table is news; what changes no table is not.
    let news = Report {
        region: "us".into(),
        ..report(51, true)
    };
    ranker.merge(&news).await;
    rankings.changed().await.unwrap();
    assert!(begun.elapsed() >= gap, "two rankings are a gap apart");
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, 0);
}
