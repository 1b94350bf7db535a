//! What every store must do, as one suite: an implementation calls [`run`] with a maker of empty
//! stores. Nothing here knows which engine it is talking to.

use super::{Epoch, Event, Key, Precondition, Prefix, Revision, Store, StoreError, Watch};
use crate::store::VALUE_BYTES_MAX;
use crate::store::key::Digest;
use futures::{FutureExt, StreamExt};
use shared::id::NodeId;
use std::future::Future;

/// Runs the whole suite. `make` gives an empty store and whatever must live as long as it.
pub(crate) async fn run<S, G, F>(make: impl Fn() -> F)
where
    S: Store,
    F: Future<Output = (S, G)>,
{
    let (store, _guard) = make().await;
    a_value_is_what_was_written_last(&store).await;
    let (store, _guard) = make().await;
    a_precondition_lets_one_of_two_win(&store).await;
    let (store, _guard) = make().await;
    a_range_is_one_prefix_in_order(&store).await;
    let (store, _guard) = make().await;
    a_watch_sees_every_change_once(&store).await;
    let (store, _guard) = make().await;
    a_watch_from_the_past_catches_up(&store).await;
    let (store, _guard) = make().await;
    there_is_one_leader_and_an_old_one_is_fenced(&store).await;
    let (store, _guard) = make().await;
    a_value_has_a_limit(&store).await;
}

/// Keys of one kind, in order of their numbers.
pub(crate) fn numbered(number: u32) -> Key {
    Key::Edge(NodeId::from(format!("node-{number:06}")))
}

async fn put(store: &impl Store, key: &Key, value: &str) -> Revision {
    let value = value.as_bytes().to_vec();
    store
        .put(key, value, Precondition::None, None)
        .await
        .unwrap()
}

async fn a_value_is_what_was_written_last(store: &impl Store) {
    assert_eq!(store.get(&Key::Head).await.unwrap(), None);
    let first = put(store, &Key::Head, "one").await;
    let second = put(store, &Key::Head, "two").await;
    assert!(second > first);
    let entry = store.get(&Key::Head).await.unwrap().unwrap();
    assert_eq!(
        (entry.value.as_slice(), entry.revision),
        (b"two".as_slice(), second)
    );
    let third = store
        .delete(&Key::Head, Precondition::None, None)
        .await
        .unwrap();
    assert!(third.unwrap() > second);
    assert_eq!(store.get(&Key::Head).await.unwrap(), None);
    let nothing = store
        .delete(&Key::Head, Precondition::None, None)
        .await
        .unwrap();
    assert_eq!(nothing, None);
}

async fn a_precondition_lets_one_of_two_win(store: &impl Store) {
    let write = |value: &str, condition| {
        let value = value.as_bytes().to_vec();
        async move { store.put(&Key::Head, value, condition, None).await }
    };
    let first = write("a", Precondition::DoesNotExist).await.unwrap();
    let lost = write("b", Precondition::DoesNotExist).await;
    assert!(matches!(lost, Err(StoreError::Conflict { found, .. }) if found == Some(first)));
    let swap = Precondition::MatchesVersion(first);
    let (left, right) = tokio::join!(write("c", swap), write("d", swap));
    assert_eq!(usize::from(left.is_ok()) + usize::from(right.is_ok()), 1);
    let winner = if left.is_ok() { b"c" } else { b"d" };
    assert_eq!(store.get(&Key::Head).await.unwrap().unwrap().value, winner);
    let late = store.delete(&Key::Head, swap, None).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })));
    let absent = Precondition::MatchesVersion(first);
    let absent = store.put(&numbered(9), Vec::new(), absent, None).await;
    assert!(matches!(
        absent,
        Err(StoreError::Conflict { found: None, .. })
    ));
}

async fn a_range_is_one_prefix_in_order(store: &impl Store) {
    let chunk = Key::Chunk(Digest::of(b"x"));
    for key in [&numbered(10), &Key::Head, &numbered(2), &chunk] {
        put(store, key, "v").await;
    }
    let last = put(store, &numbered(3), "v").await;
    let listing = store.range(Prefix::Edges).await.unwrap();
    let keys: Vec<_> = listing.entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, [numbered(2), numbered(3), numbered(10)]);
    assert_eq!(listing.revision, last);
    assert_eq!(store.range(Prefix::Chunks).await.unwrap().entries.len(), 1);
    assert_eq!(store.range(Prefix::All).await.unwrap().entries.len(), 5);
}

/// The next `count` changes of a watch, however they are batched.
async fn next(watch: &mut Watch, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = watch
            .next()
            .await
            .expect("the watch goes on")
            .expect("nothing is compacted");
        assert!(!batch.is_empty());
        events.extend(batch);
    }
    events
}

async fn a_watch_sees_every_change_once(store: &impl Store) {
    let begin = store.range(Prefix::Edges).await.unwrap().revision;
    let mut watch = store.watch(Prefix::Edges, begin);
    assert!(
        watch.next().now_or_never().is_none(),
        "nothing has happened"
    );
    let first = put(store, &numbered(1), "a").await;
    put(store, &Key::Head, "not watched").await;
    let second = put(store, &numbered(1), "b").await;
    let third = store
        .delete(&numbered(1), Precondition::None, None)
        .await
        .unwrap()
        .unwrap();
    let events = next(&mut watch, 3).await;
    let seen: Vec<_> = events
        .into_iter()
        .map(|event| (event.revision, event.value))
        .collect();
    let expected = [
        (first, Some(b"a".to_vec())),
        (second, Some(b"b".to_vec())),
        (third, None),
    ];
    assert_eq!(seen, expected);
    // A watch that waits is woken.
    let key = numbered(2);
    let (events, revision) = tokio::join!(next(&mut watch, 1), put(store, &key, "c"));
    assert_eq!(events[0].revision, revision);
}

async fn a_watch_from_the_past_catches_up(store: &impl Store) {
    let mut revisions = Vec::new();
    for number in 0..600 {
        revisions.push(put(store, &numbered(number), "v").await);
    }
    let mut watch = store.watch(Prefix::All, revisions[99]);
    let seen: Vec<_> = next(&mut watch, 500)
        .await
        .into_iter()
        .map(|event| event.revision)
        .collect();
    assert_eq!(seen, revisions[100..]);
}

async fn there_is_one_leader_and_an_old_one_is_fenced(store: &impl Store) {
    let first = store.campaign("first").await.unwrap();
    let write = |epoch: Epoch| async move {
        store
            .put(&Key::Head, Vec::new(), Precondition::None, Some(epoch))
            .await
    };
    write(first.epoch).await.unwrap();
    let mut second = Box::pin(store.campaign("second"));
    assert!(
        (&mut second).now_or_never().is_none(),
        "the first still leads"
    );
    let old = first.epoch;
    first.resign();
    let second = second.await.unwrap();
    assert!(second.epoch > old);
    assert!(!*second.lost.borrow());
    let refused = write(old).await;
    assert!(matches!(refused, Err(StoreError::Fenced { carried, .. }) if carried == old));
    let refused = store
        .delete(&Key::Head, Precondition::None, Some(old))
        .await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })));
    write(second.epoch).await.unwrap();
}

async fn a_value_has_a_limit(store: &impl Store) {
    let full = vec![7; VALUE_BYTES_MAX];
    store
        .put(&Key::Head, full.clone(), Precondition::None, None)
        .await
        .unwrap();
    assert_eq!(store.get(&Key::Head).await.unwrap().unwrap().value, full);
    let over = vec![7; VALUE_BYTES_MAX + 1];
    let refused = store.put(&Key::Head, over, Precondition::None, None).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}
