use super::*;
use crate::store::contract;
use std::time::Duration;

async fn temporary() -> (tempfile::TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("store.db"))
        .await
        .unwrap();
    (folder, store)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    contract::run(|| async {
        let (folder, store) = temporary().await;
        (store, folder)
    })
    .await;
}

#[tokio::test]
async fn everything_but_the_history_survives_a_restart() {
    let (folder, store) = temporary().await;
    let file = folder.path().join("store.db");
    let first = store
        .put(&Key::Head, b"one".to_vec(), Precondition::None, None)
        .await
        .unwrap();
    let gone = contract::numbered(1);
    store
        .put(&gone, Vec::new(), Precondition::None, None)
        .await
        .unwrap();
    let last = store
        .delete(&gone, Precondition::None, None)
        .await
        .unwrap()
        .unwrap();
    let epoch = store.campaign("a").await.unwrap().epoch;
    drop(store);

    let store = Embedded::open(&file).await.unwrap();
    let listing = store.range(Prefix::All).await.unwrap();
    assert_eq!(listing.revision, last);
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.entries[0].revision, first);
    assert_eq!(listing.entries[0].value, b"one");
    assert!(store.campaign("a").await.unwrap().epoch > epoch);
    let next = store
        .put(&Key::Head, Vec::new(), Precondition::None, None)
        .await
        .unwrap();
    assert_eq!(next.0, last.0 + 1);
    let mut watch = store.watch(Prefix::All, first);
    assert_eq!(watch.next().await, Some(Err(WatchError::Compacted(last))));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (folder, _store) = temporary().await;
    let second = Embedded::open(&folder.path().join("store.db")).await;
    assert!(matches!(second, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_watch_that_is_too_far_behind_is_told_so() {
    let (_folder, store) = temporary().await;
    let mut watch = store.watch(Prefix::All, Revision(0));
    for _ in 0..=HISTORY_EVENTS_MAX {
        store
            .put(&Key::Head, Vec::new(), Precondition::None, None)
            .await
            .unwrap();
    }
    assert_eq!(
        watch.next().await,
        Some(Err(WatchError::Compacted(Revision(1))))
    );
    let mut watch = store.watch(Prefix::All, Revision(1));
    let batch = watch.next().await.unwrap().unwrap();
    assert_eq!(batch.len(), BATCH_EVENTS_MAX);
    assert_eq!(batch[0].revision, Revision(2));
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_seen_by_the_next() {
    let (_folder, store) = temporary().await;
    for attempt in 0_u32..50 {
        // Polled a few times and dropped: wherever that is, memory and disk agree afterwards.
        let value = attempt.to_be_bytes().to_vec();
        let write = store.put(&Key::Head, value, Precondition::None, None);
        let patience = Duration::from_micros(u64::from(attempt) * 20);
        let _ = tokio::time::timeout(patience, write).await;
        let written = store
            .put(&contract::numbered(1), Vec::new(), Precondition::None, None)
            .await;
        let revision = written.unwrap();
        let listing = store.range(Prefix::All).await.unwrap();
        assert_eq!(listing.revision, revision);
        let on_disk = store.shared.writer.lock().await.disk.load().await.unwrap();
        let on_disk: Vec<_> = on_disk.entries.into_values().collect();
        assert_eq!(listing.entries, on_disk);
    }
}
