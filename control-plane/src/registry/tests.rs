use super::*;
use crate::store::{Embedded, Key, Precondition};
use crate::testing::{self, catalog};
use shared::task::Tasks;

struct Bench {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
}

const AUTHOR: Author<'static> = Author {
    actor: "operator/ada",
    note: "a test",
};

impl Bench {
    async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap()).await
    }

    async fn at(folder: tempfile::TempDir) -> Self {
        let store = Embedded::open(&folder.path().join("store.db"))
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let epoch = store.campaign("test").await.unwrap().epoch;
        let signer = testing::signer();
        let opened = Registry::open(Arc::clone(&store), epoch, signer, Clock::manual()).await;
        let registry = opened.unwrap();
        Self {
            folder,
            store,
            registry,
        }
    }

    async fn restart(self) -> Self {
        let Self {
            folder,
            store,
            registry,
        } = self;
        drop((store, registry));
        Self::at(folder).await
    }

    async fn apply(&self, files: &BTreeMap<String, String>) -> Applied {
        self.registry.apply(files, AUTHOR).await.unwrap()
    }

    fn names(&self) -> Vec<String> {
        let current = self.registry.current();
        current
            .snapshot
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.id.to_string())
            .collect()
    }
}

#[tokio::test]
async fn a_change_is_served_signed_and_survives_a_restart() {
    let bench = Bench::new().await;
    assert_eq!(
        bench.registry.current().snapshot.version(),
        Version::default()
    );
    let applied = bench.apply(&catalog(&["acme", "beta"])).await;
    assert_eq!(
        applied.version,
        Version {
            epoch: 1,
            number: 1
        }
    );
    assert_eq!((applied.changed, applied.removed), (5, 0));
    assert_eq!(bench.names(), ["lab/one@acme", "lab/one@beta"]);
    let current = bench.registry.current();
    assert!(current.manifest.covers(&current.snapshot).is_ok());
    let root = current.snapshot.root();

    let bench = bench.restart().await;
    let current = bench.registry.current();
    assert_eq!(
        current.snapshot.version(),
        Version {
            epoch: 2,
            number: 1
        }
    );
    assert_eq!(current.snapshot.root(), root);
    let applied = bench.apply(&catalog(&["acme"])).await;
    assert_eq!(
        applied.version,
        Version {
            epoch: 2,
            number: 2
        }
    );
    assert_eq!((applied.changed, applied.removed), (0, 2));
    let again = bench.apply(&catalog(&["acme"])).await;
    assert_eq!((again.version, again.changed), (applied.version, 0));
}

#[tokio::test]
async fn a_broken_catalogue_never_replaces_a_good_one() {
    let bench = Bench::new().await;
    bench.apply(&catalog(&["acme"])).await;
    let mut dangling = catalog(&["acme"]);
    dangling
        .values_mut()
        .for_each(|text| *text = text.replace("[[providers]]", "[[models]]"));
    let without_endpoints: BTreeMap<_, _> = [("a.toml".to_owned(), String::new())].into();
    let garbage: BTreeMap<_, _> = [("a.toml".to_owned(), "[[".to_owned())].into();
    for broken in [dangling, without_endpoints, garbage] {
        let refused = bench.registry.apply(&broken, AUTHOR).await;
        let Err(RegistryError::Invalid(problems)) = refused else {
            panic!("{refused:?}");
        };
        assert!(!problems.is_empty());
        assert_eq!(bench.registry.current().snapshot.version().number, 1);
    }
    assert_eq!(bench.registry.history().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_store_has_lost_is_not_served() {
    let bench = Bench::new().await;
    bench.apply(&catalog(&["acme"])).await;
    let nonsense = Digest::of(b"x").to_string().into_bytes();
    let put = bench
        .store
        .put(&Key::Head, nonsense, Precondition::None, None)
        .await;
    put.unwrap();
    let folded = bench.registry.fold_head().await;
    assert!(
        matches!(folded, Err(RegistryError::Corrupt { .. })),
        "{folded:?}"
    );
    assert_eq!(bench.names(), ["lab/one@acme"]);
}

#[tokio::test]
async fn going_back_is_a_new_version_with_old_content() {
    let bench = Bench::new().await;
    bench.apply(&catalog(&["acme", "beta"])).await;
    let root = bench.registry.current().snapshot.root();
    bench.apply(&catalog(&["acme"])).await;
    let applied = bench.registry.rollback(1, "operator/ada").await.unwrap();
    assert_eq!(applied.version.number, 3);
    assert_eq!(applied.changed, 2);
    assert_eq!(bench.registry.current().snapshot.root(), root);
    let history = bench.registry.history().await.unwrap();
    let notes: Vec<_> = history
        .iter()
        .map(|one| (one.number, one.note.as_str()))
        .collect();
    assert_eq!(
        notes,
        [(3, "back to revision 1"), (2, "a test"), (1, "a test")]
    );
    assert_eq!(history[2].resources, 5);
    let nowhere = bench.registry.rollback(9, "operator/ada").await;
    assert!(matches!(nowhere, Err(RegistryError::NoSuchRevision(9))));
}

#[tokio::test]
async fn only_the_newest_revisions_are_kept() {
    let bench = Bench::new().await;
    let wanted = HISTORY_REVISIONS_MAX + 32;
    let both = [catalog(&["acme"]), catalog(&["acme", "beta"])];
    for turn in 0..wanted {
        bench.apply(&both[turn % 2]).await;
    }
    let history = bench.registry.history().await.unwrap();
    assert_eq!(history.len(), HISTORY_REVISIONS_MAX);
    let oldest = history.last().unwrap().number;
    assert!(
        bench
            .registry
            .rollback(oldest, "operator/ada")
            .await
            .is_ok()
    );
    assert!(
        bench
            .registry
            .rollback(oldest - 1, "operator/ada")
            .await
            .is_err()
    );
    let kept = bench
        .store
        .range(crate::store::Prefix::Chunks)
        .await
        .unwrap()
        .entries
        .len();
    assert!(kept < HISTORY_REVISIONS_MAX + 32, "{kept} chunks");
}

#[tokio::test]
async fn what_another_control_plane_writes_is_folded() {
    let bench = Bench::new().await;
    let tasks = Tasks::new();
    tasks.spawn("fold", Arc::clone(&bench.registry).run(tasks.stop_signal()));
    let mut served = bench.registry.releases();
    let other = Registry::open(
        Arc::clone(&bench.store),
        Epoch(1),
        testing::signer(),
        Clock::manual(),
    );
    let other = other.await.unwrap();
    other.apply(&catalog(&["acme"]), AUTHOR).await.unwrap();
    let now = served
        .wait_for(|now| now.snapshot.version().number == 1)
        .await
        .unwrap()
        .clone();
    assert_eq!(now.snapshot.root(), other.current().snapshot.root());
    assert_eq!(tasks.drain(std::time::Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_deposed_leader_can_change_nothing() {
    let bench = Bench::new().await;
    bench.apply(&catalog(&["acme"])).await;
    // The campaign in `at` was given up when its leadership was dropped.
    bench.store.campaign("next").await.unwrap();
    let refused = bench.registry.apply(&catalog(&["beta"]), AUTHOR).await;
    let fenced = matches!(
        refused,
        Err(RegistryError::Store(StoreError::Fenced { .. }))
    );
    assert!(fenced, "{refused:?}");
    assert_eq!(bench.names(), ["lab/one@acme"]);
}

#[tokio::test]
async fn the_folder_is_loaded_when_its_content_has_changed() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |files: &BTreeMap<String, String>| {
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
    };
    write(&catalog(&["acme", "beta"]));
    let first = bench
        .registry
        .load_folder(folder.path())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.version.number, 1);
    // An operator's change holds over restarts as long as nobody edits the folder.
    bench.apply(&catalog(&["acme"])).await;
    let bench = bench.restart().await;
    assert_eq!(
        bench.registry.load_folder(folder.path()).await.unwrap(),
        None
    );
    assert_eq!(bench.names(), ["lab/one@acme"]);
    write(&catalog(&["beta"]));
    let edited = bench
        .registry
        .load_folder(folder.path())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(edited.version.number, 3);
    assert_eq!(bench.names(), ["lab/one@beta"]);
    write(&[("catalog.toml".to_owned(), "[[".to_owned())].into());
    let broken = bench.registry.load_folder(folder.path()).await;
    assert!(matches!(broken, Err(RegistryError::Invalid(_))));
    let absent = bench
        .registry
        .load_folder(&folder.path().join("none"))
        .await;
    assert!(matches!(absent, Err(RegistryError::Folder(_))));
}

#[tokio::test]
async fn a_difference_names_resources_and_an_export_reads_back() {
    let bench = Bench::new().await;
    bench.apply(&catalog(&["acme", "beta"])).await;
    let mut edited = catalog(&["acme", "gamma"]);
    edited
        .values_mut()
        .for_each(|text| *text = text.replace("Model One", "Model 1"));
    let difference = bench.registry.diff(&edited).unwrap();
    let expected = Difference {
        added: vec![
            "endpoint/lab/one@gamma".to_owned(),
            "provider/gamma".to_owned(),
        ],
        changed: vec!["model/lab/one".to_owned()],
        removed: vec![
            "endpoint/lab/one@beta".to_owned(),
            "provider/beta".to_owned(),
        ],
    };
    assert_eq!(difference, expected);
    let exported = bench.registry.export();
    assert_eq!(
        bench.registry.diff(&exported).unwrap(),
        Difference::default()
    );
}

#[tokio::test]
async fn what_a_version_was_is_known_while_its_revision_is_kept() {
    let bench = Bench::new().await;
    let first = bench.apply(&catalog(&["acme"])).await.version;
    let second = bench.apply(&catalog(&["acme", "beta"])).await.version;
    // Another leadership gives the newest revision a version of its own.
    let bench = bench.restart().await;
    let third = bench.registry.current().snapshot.version();
    assert_ne!(second, third);
    let never = Version {
        epoch: 1,
        number: 99,
    };
    let wanted = BTreeSet::from([first, second, third, never]);
    let found = bench.registry.versions(&wanted).await.unwrap();
    let counts = [first, second, third].map(|version| found[&version].endpoints().len());
    assert_eq!((found.len(), counts), (3, [1, 2, 2]));
    let none = bench.registry.versions(&BTreeSet::new()).await.unwrap();
    assert!(none.is_empty());
}

/// Revision numbers: the newest, and what edges are sent.
fn numbers(registry: &Registry) -> (u64, u64) {
    let number = |published: Arc<Published>| published.snapshot.version().number;
    (number(registry.current()), number(registry.released()))
}

#[tokio::test]
async fn while_it_is_paused_nothing_newer_goes_out_also_after_a_restart() {
    let bench = Bench::new().await;
    assert!(
        bench.registry.pause("ada").await.is_err(),
        "there is nothing"
    );
    bench.apply(&catalog(&["acme"])).await;
    let pause = bench.registry.pause("ada").await.unwrap();
    assert_eq!((pause.number, pause.actor.as_str()), (1, "ada"));
    bench.apply(&catalog(&["acme", "beta"])).await;
    assert_eq!(numbers(&bench.registry), (2, 1));
    assert_eq!(bench.registry.pause("bob").await.unwrap(), pause, "it is");

    let bench = bench.restart().await;
    assert_eq!(numbers(&bench.registry), (2, 1));
    let sent = bench.registry.released();
    assert!(sent.manifest.covers(&sent.snapshot).is_ok());
    assert_eq!(sent.snapshot.endpoints().len(), 1);
    assert!(bench.registry.resume().await.unwrap());
    assert_eq!(numbers(&bench.registry), (2, 2));
    assert!(!bench.registry.resume().await.unwrap());
    bench.apply(&catalog(&["beta"])).await;
    assert_eq!(numbers(&bench.registry), (3, 3));
    assert_eq!(bench.restart().await.registry.paused(), None);
}

#[tokio::test]
async fn a_way_back_is_open_while_it_is_paused() {
    let bench = Bench::new().await;
    let back = bench.registry.roll_back(None, "ada").await;
    assert!(matches!(back, Err(RegistryError::NoSuchRevision(_))));
    bench.apply(&catalog(&["acme"])).await;
    bench.apply(&catalog(&["beta"])).await;
    bench.registry.pause("ada").await.unwrap();
    bench.apply(&catalog(&["gamma"])).await;
    // Before what edges are sent, whatever else was applied since.
    let back = bench.registry.roll_back(None, "bob").await.unwrap();
    assert_eq!(back.version.number, 4);
    assert_eq!(numbers(&bench.registry), (4, 4));
    assert_eq!(bench.names(), ["lab/one@acme"]);
    let pause = bench.registry.paused().unwrap();
    assert_eq!((pause.number, pause.actor.as_str()), (4, "bob"));
    bench.apply(&catalog(&["beta"])).await;
    assert_eq!(numbers(&bench.registry), (5, 4), "it is still paused");
}
