use super::*;
use crate::control::fake::{Fake, eventually};
use http::HeaderValue;
use proptest::prelude::*;
use shared::key::SecretKey;
use shared::policy::KeyPolicy;

struct Bench {
    tasks: Tasks,
    clock: Clock,
    timers: Timers,
    fake: Fake,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let tasks = Tasks::new();
        let fake = Fake::start(&tasks).await;
        Self {
            clock: Clock::manual(),
            timers: Timers {
                lookup: Duration::from_millis(500),
                key_save: Duration::from_millis(1),
                ..Timers::default()
            },
            dir: tempfile::tempdir().unwrap(),
            fake,
            tasks,
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("keys.cache")
    }

    fn ring(&self) -> Arc<KeyRing> {
        let control = self.fake.client(&self.timers);
        let clock = self.clock.clone();
        KeyRing::open(
            Some(self.file()),
            Some(control),
            clock,
            &self.timers,
            &self.tasks,
        )
    }

    fn issue(&self, key: &str, kind: KeyKind) {
        let principal = Principal {
            org: "org_a".into(),
            key: KeyHash::of(key),
            key_name: "test".into(),
            kind,
            expires_at: None,
            policy: KeyPolicy::default(),
        };
        self.fake
            .with(|state| state.keys.insert(principal.key, principal));
    }

    fn lookups(&self) -> usize {
        self.fake.with(|state| state.lookups)
    }

    fn down(&self, down: bool) {
        self.fake.with(|state| state.down = down);
    }
}

fn with(name: &'static str, value: &str) -> HeaderMap {
    let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
    HeaderMap::from_iter([(http::HeaderName::from_static(name), value)])
}

fn bearer_of(key: &str) -> HeaderMap {
    with("authorization", &format!("Bearer {key}"))
}

async fn status(ring: &Arc<KeyRing>, key: &str) -> u16 {
    match ring.authenticate(&bearer_of(key)).await {
        Ok(principal) => {
            assert_eq!(principal.key, KeyHash::of(key));
            200
        }
        Err(failure) => failure.status,
    }
}

fn events(events: impl IntoIterator<Item = (u64, Body)>, sequence: u64) -> AccountUpdate {
    let event = |(sequence, body)| AccountEvent {
        sequence,
        body: Some(body),
    };
    AccountUpdate {
        events: events.into_iter().map(event).collect(),
        sequence,
        reset: false,
    }
}

fn denied(key: &str) -> Body {
    Body::KeyDenied(KeyHash::of(key).0.to_vec())
}

fn changed(key: &str) -> Body {
    Body::KeyChanged(KeyHash::of(key).0.to_vec())
}

#[tokio::test]
async fn a_key_is_asked_for_once() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    bench.issue("k2", KeyKind::Management);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    assert_eq!(status(&ring, "k1").await, 200);
    assert_eq!(bench.lookups(), 1);
    assert_eq!(status(&ring, "k2").await, 403);
    assert_eq!(status(&ring, "nobody").await, 401);
    assert_eq!(status(&ring, "nobody").await, 401);
    assert_eq!(bench.lookups(), 3);
    let by_header = ring.authenticate(&with("x-api-key", "k1")).await;
    assert_eq!(by_header.unwrap().key, KeyHash::of("k1"));
}

#[tokio::test]
async fn waiting_requests_share_one_look_up_which_survives_them() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    bench.fake.hold_lookups(true);
    let ring = bench.ring();
    let first = tokio::time::timeout(Duration::from_millis(20), status(&ring, "k1"));
    assert!(first.await.is_err(), "the client hung up");
    let release = async {
        eventually("asked", || bench.lookups() == 1).await;
        bench.fake.hold_lookups(false);
    };
    let waiting = futures::future::join_all((0..20).map(|_| status(&ring, "k1")));
    let (statuses, ()) = tokio::join!(waiting, release);
    assert_eq!(statuses, [200; 20]);
    assert_eq!(bench.lookups(), 1);
}

#[tokio::test]
async fn no_answer_is_503_and_never_401() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    bench.down(true);
    let failure = ring.authenticate(&bearer_of("k1")).await.unwrap_err();
    assert_eq!((failure.status, failure.fault), (503, Fault::ControlPlane));
    assert!(failure.retry_after.is_some());
    bench.down(false);
    bench.fake.hold_lookups(true);
    assert_eq!(status(&ring, "k1").await, 503, "too slow");
    bench.fake.hold_lookups(false);
    eventually("landed", || lock(&ring.flights.flying).is_empty()).await;
    assert_eq!(status(&ring, "k1").await, 200);
}

#[tokio::test]
async fn known_keys_work_offline_for_a_day() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    bench.down(true);
    bench.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(status(&ring, "k1").await, 200);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(status(&ring, "k1").await, 503);
}

#[tokio::test]
async fn a_stale_key_is_used_and_revalidated() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    bench.fake.with(|state| {
        state.keys.clear();
        state.refusals.insert(KeyHash::of("k1"), "disabled");
    });
    bench.clock.advance(Duration::from_secs(3601));
    assert_eq!(status(&ring, "k1").await, 200);
    eventually("revalidated", || ring.is_empty()).await;
    let failure = ring.authenticate(&bearer_of("k1")).await.unwrap_err();
    assert!(failure.message.contains("disabled"), "{}", failure.message);
    assert_eq!(bench.lookups(), 2);
}

#[tokio::test]
async fn an_answer_from_before_a_revocation_is_asked_again() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    // The replica that answers lags behind the one that told of the revocation.
    bench.fake.with(|state| state.catching_up = true);
    bench.fake.hold_lookups(true);
    let revoke = async {
        eventually("asked", || bench.lookups() == 1).await;
        ring.apply(&events([(1, denied("k1"))], 1)).unwrap();
        bench.fake.with(|state| {
            state.keys.clear();
            state.refusals.insert(KeyHash::of("k1"), "revoked");
        });
        bench.fake.hold_lookups(false);
    };
    let (status, ()) = tokio::join!(status(&ring, "k1"), revoke);
    assert_eq!(status, 401);
    assert_eq!(bench.lookups(), 2);
    assert!(ring.is_empty());
}

#[tokio::test]
async fn a_replica_that_never_catches_up_is_no_authority() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    ring.apply(&events([(1, denied("k2"))], 1)).unwrap();
    assert_eq!(status(&ring, "k1").await, 503);
}

#[tokio::test]
async fn revocation_and_creation_take_hold_at_once() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    assert_eq!(status(&ring, "k2").await, 401);
    bench.issue("k2", KeyKind::Inference);
    bench.fake.with(|state| state.account_sequence = 2);
    let update = events([(1, denied("k1")), (2, changed("k2"))], 2);
    ring.apply(&update).unwrap();
    assert_eq!(ring.account_sequence(), 2);
    bench.down(true);
    assert_eq!(status(&ring, "k1").await, 401, "also with nobody to ask");
    bench.down(false);
    assert_eq!(status(&ring, "k2").await, 200);
    ring.apply(&update).unwrap();
    assert_eq!(status(&ring, "k2").await, 200, "old news change nothing");

    let gap = ring.apply(&events([(4, denied("k2"))], 4));
    assert_eq!(gap, Err(Gap(2)));
    let reset = AccountUpdate {
        reset: true,
        sequence: 9,
        events: Vec::new(),
    };
    ring.apply(&reset).unwrap();
    assert_eq!((ring.len(), ring.account_sequence()), (0, 9));
}

#[tokio::test]
async fn a_change_of_an_unknown_kind_forgets_all_keys_and_goes_on() {
    let bench = Bench::new().await;
    let ring = bench.ring();
    for key in ["k1", "k2"] {
        bench.issue(key, KeyKind::Inference);
        assert_eq!(status(&ring, key).await, 200);
    }
    let unknown = |sequence| AccountEvent {
        sequence,
        body: None,
    };
    let mut update = events([(1, changed("k3")), (3, denied("k2"))], 3);
    update.events.insert(1, unknown(2));
    bench.fake.with(|state| state.account_sequence = 3);
    ring.apply(&update).unwrap();
    assert_eq!((ring.len(), ring.account_sequence()), (0, 3));
    let lookups = bench.fake.with(|state| state.lookups);
    assert_eq!(status(&ring, "k1").await, 200, "asked about anew");
    assert_eq!(bench.fake.with(|state| state.lookups), lookups + 1);
    assert_eq!(status(&ring, "k2").await, 401, "what follows holds");
    // A key's hash that is none is no less unknown.
    ring.apply(&events([(4, Body::KeyDenied(vec![1]))], 4))
        .unwrap();
    assert_eq!((ring.len(), ring.account_sequence()), (0, 4));
}

#[tokio::test]
async fn keys_survive_a_restart_without_a_control_plane() {
    let bench = Bench::new().await;
    bench.issue("k1", KeyKind::Inference);
    bench.issue("k2", KeyKind::Inference);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    assert_eq!(status(&ring, "k2").await, 200);
    ring.apply(&events([(1, denied("k2"))], 1)).unwrap();
    let saved = || {
        let mut cache = Cache::new(Ages {
            fresh: Duration::from_secs(1),
            offline: Duration::from_secs(1),
            negative: Duration::ZERO,
            retry: Duration::ZERO,
        });
        load(&mut cache, &bench.file(), &bench.clock);
        (cache.len(), cache.sequence()) == (1, 1)
    };
    eventually("the denial is on disk", saved).await;
    let text = std::fs::read_to_string(bench.file()).unwrap();
    assert!(!text.contains("\"k1\""), "no key in clear: {text}");

    bench.down(true);
    let ring = bench.ring();
    assert_eq!(status(&ring, "k1").await, 200);
    assert_eq!(status(&ring, "k2").await, 503);
    assert_eq!(ring.account_sequence(), 1);
    std::fs::write(bench.file(), "damaged").unwrap();
    assert_eq!(status(&bench.ring(), "k1").await, 503);
}

#[tokio::test]
async fn look_ups_are_bounded() {
    let bench = Bench::new().await;
    bench.fake.hold_lookups(true);
    let ring = bench.ring();
    let keys: Vec<_> = (0..lookup::LOOKUPS_MAX + 40)
        .map(|n| format!("unknown-{n}"))
        .collect();
    let waiting = futures::future::join_all(keys.iter().map(|key| status(&ring, key)));
    let statuses = waiting.await;
    assert!(statuses.iter().all(|status| *status == 503));
    assert!(bench.lookups() <= lookup::LOOKUPS_MAX);
}

#[test]
fn odd_credentials_say_what_to_send() {
    let mut twice = bearer_of("a");
    twice.append("authorization", HeaderValue::from_static("Bearer b"));
    let cases = [
        (HeaderMap::new(), "no API key"),
        (with("authorization", "Basic YTpi"), "not a bearer token"),
        (with("authorization", "Bearerabc"), "not a bearer token"),
        (with("authorization", "Bearer "), "empty"),
        (with("x-api-key", ""), "empty"),
        (with("x-api-key", "with space"), "malformed"),
        (with("x-api-key", "schl\u{fc}ssel"), "malformed"),
        (bearer_of(&"x".repeat(KEY_LENGTH_MAX + 1)), "malformed"),
        (twice, "more than one Authorization"),
    ];
    for (headers, expect) in cases {
        let failure = credential(&headers).unwrap_err();
        assert_eq!(failure.status, 401);
        assert!(failure.message.contains(expect), "{}", failure.message);
        assert!(failure.message.contains("Authorization: Bearer"));
    }
    let key = SecretKey::generate().unwrap();
    for text in ["Bearer ", "bearer\t", " BEARER  "] {
        let headers = with("authorization", &format!("{text}{}", key.reveal()));
        assert_eq!(credential(&headers).unwrap(), key.reveal());
    }
    let mut both = with("authorization", "Basic YTpi");
    both.append("x-api-key", HeaderValue::from_static("abc"));
    assert_eq!(credential(&both).unwrap(), "abc");
}

proptest! {
    #[test]
    fn no_header_breaks_it(value in prop::collection::vec(any::<u8>(), 0..40), api in any::<bool>()) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let name = if api { "x-api-key" } else { "authorization" };
            let name = http::HeaderName::from_static(name);
            let _ = credential(&HeaderMap::from_iter([(name, value)]));
        }
    }
}
