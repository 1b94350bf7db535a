use super::*;
use proptest::prelude::*;
use shared::policy::{KeyKind, KeyPolicy};

const AGES: Ages = Ages {
    fresh: Duration::from_secs(3600),
    offline: Duration::from_secs(86_400),
    negative: Duration::from_secs(60),
    retry: Duration::from_secs(30),
};

fn key(n: u8) -> KeyHash {
    KeyHash([n; 32])
}

fn principal(n: u8) -> Arc<Principal> {
    Arc::new(Principal {
        org: "org_a".into(),
        key: key(n),
        key_name: "test".into(),
        kind: KeyKind::Inference,
        expires_at: (n == 9).then_some(1000),
        policy: KeyPolicy::default(),
    })
}

fn second(n: u64) -> Moment {
    Moment(n * 1_000_000_000)
}

fn known(sequence: u64, n: u8) -> Answer {
    Answer {
        sequence,
        verdict: Ok(principal(n)),
    }
}

#[test]
fn a_key_grows_stale_and_then_unusable() {
    let mut cache = Cache::new(AGES);
    assert_eq!(cache.learn(key(1), &known(0, 1), second(0)), Learned::Known);
    let mut find = |at| cache.find(&key(1), second(at), 0);
    assert_eq!(find(3599), Found::Fresh(principal(1)));
    assert_eq!(find(3600), Found::Stale(principal(1)));
    assert_eq!(find(3601), Found::Fresh(principal(1)), "being asked about");
    assert_eq!(find(3631), Found::Stale(principal(1)));
    assert_eq!(find(86_400), Found::Unknown);
}

#[test]
fn expiry_is_honoured_without_asking() {
    let mut cache = Cache::new(AGES);
    cache.learn(key(9), &known(0, 9), second(0));
    let mut find = |unix_s| cache.find(&key(9), second(1), unix_s);
    assert_eq!(find(999), Found::Fresh(principal(9)));
    assert_eq!(find(1000), Found::Refused(Refusal::Expired));
}

#[test]
fn a_refusal_is_believed_for_two_seconds_at_most() {
    let mut cache = Cache::new(AGES);
    let no = Answer {
        sequence: 0,
        verdict: Err(Refusal::Unknown),
    };
    cache.learn(key(1), &no, second(0));
    let refused = Found::Refused(Refusal::Unknown);
    assert_eq!(cache.find(&key(1), second(1), 0), refused);
    assert_eq!(cache.find(&key(1), second(2), 0), Found::Unknown);
}

#[test]
fn an_answer_from_before_a_denial_is_not_taken() {
    let mut cache = Cache::new(AGES);
    assert!(cache.apply(&[(1, Change::Denied(key(1)))], 1, second(0)));
    let old = cache.learn(key(1), &known(0, 1), second(0));
    assert_eq!(old, Learned::TooOld);
    let revoked = Found::Refused(Refusal::Revoked);
    assert_eq!(cache.find(&key(1), second(0), 0), revoked);
    let new = cache.learn(key(1), &known(1, 1), second(0));
    assert_eq!(new, Learned::Known);
}

#[test]
fn changes_are_applied_once_and_in_order() {
    let mut cache = Cache::new(AGES);
    cache.learn(key(1), &known(0, 1), second(0));
    let changes = [
        (1, Change::Denied(key(2))),
        (2, Change::Changed(key(2))),
        (3, Change::Changed(key(1))),
    ];
    assert!(!cache.apply(&changes[1..], 3, second(0)), "1 is missing");
    assert!(cache.apply(&changes[..2], 2, second(0)));
    assert_eq!(
        cache.find(&key(2), second(0), 0),
        Found::Unknown,
        "made anew"
    );
    assert_eq!(
        cache.find(&key(1), second(0), 0),
        Found::Fresh(principal(1))
    );
    assert!(cache.apply(&changes, 3, second(0)));
    assert_eq!(cache.find(&key(1), second(0), 0), Found::Unknown);
    cache.learn(key(1), &known(3, 1), second(0));
    assert!(cache.apply(&changes, 3, second(0)), "again");
    assert_eq!(
        cache.find(&key(1), second(0), 0),
        Found::Fresh(principal(1))
    );
    assert!(!cache.apply(&[], 4, second(0)), "4 is missing");
    cache.reset(1);
    assert_eq!((cache.len(), cache.sequence()), (0, 1));
}

#[test]
fn a_change_of_an_organisation_forgets_its_keys_only() {
    let mut cache = Cache::new(AGES);
    for n in 1..=3 {
        let org = if n == 3 { "org_b" } else { "org_a" };
        let principal = Principal {
            org: org.into(),
            ..(*principal(n)).clone()
        };
        let verdict = Ok(Arc::new(principal));
        cache.learn(
            key(n),
            &Answer {
                sequence: 0,
                verdict,
            },
            second(0),
        );
    }
    assert!(cache.apply(&[(1, Change::Denied(key(1)))], 1, second(0)));
    let saved = cache.save(second(0), 1).unwrap();
    let mut loaded = Cache::new(AGES);
    assert!(loaded.load(&saved, second(0), 1));
    for mut cache in [cache, loaded] {
        assert!(cache.apply(&[(2, Change::Org("org_a".into()))], 2, second(0)));
        assert_eq!((cache.len(), cache.owned.len()), (1, 1));
        assert_eq!(cache.find(&key(2), second(0), 0), Found::Unknown);
        assert!(matches!(cache.find(&key(3), second(0), 0), Found::Fresh(_)));
        let old = cache.learn(key(2), &known(1, 2), second(0));
        assert_eq!(old, Learned::TooOld, "an answer from before the change");
        let known = cache.len();
        assert!(cache.apply(&[(3, Change::Other)], 3, second(0)));
        assert_eq!((cache.len(), cache.sequence()), (known, 3), "no key's news");
        assert!(cache.apply(&[(4, Change::Org("org_b".into()))], 4, second(0)));
        assert_eq!((cache.len(), cache.owned.len()), (0, 0));
    }
}

#[test]
fn the_file_brings_back_keys_with_their_age() {
    let mut cache = Cache::new(AGES);
    cache.apply(&[(1, Change::Denied(key(3)))], 1, second(0));
    cache.learn(key(1), &known(1, 1), second(0));
    let saved = cache.save(second(1000), 10_000_000).unwrap();
    let load = |unix_ms| {
        let mut cache = Cache::new(AGES);
        assert!(cache.load(&saved, second(5), unix_ms));
        assert_eq!(cache.sequence(), 1);
        cache.find(&key(1), second(5), 0)
    };
    assert_eq!(load(10_000_000), Found::Fresh(principal(1)));
    assert_eq!(load(13_600_000), Found::Stale(principal(1)));
    assert_eq!(
        load(1),
        Found::Stale(principal(1)),
        "the clock was set back"
    );
    assert_eq!(load(96_400_000), Found::Unknown);
    let text = String::from_utf8(saved).unwrap();
    assert!(!text.contains("sk-gw"), "{text}");
}

proptest! {
    #[test]
    fn a_damaged_file_is_not_believed(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut cache = Cache::new(AGES);
        cache.learn(key(1), &known(0, 1), second(0));
        let mut saved = cache.save(second(0), 1).unwrap();
        let at = at.index(saved.len());
        saved[at] ^= flip;
        // The case of the checksum's digits is the one thing that does not matter.
        let mut fresh = Cache::new(AGES);
        let loaded = fresh.load(&saved, second(0), 1);
        prop_assert!(!loaded || (flip == 0x20 && at < 24));
        prop_assert!(!Cache::new(AGES).load(&saved[..at], second(0), 1));
    }
}
