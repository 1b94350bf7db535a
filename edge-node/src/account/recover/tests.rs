use super::*;
use crate::account::wal::HEAD;
use crate::account::wal::Reader;
use crate::account::wal::reader::BatchLimit;
use crate::account::wal::tests::{balance, grant, hold, new_log, progress, read_all, settled};
use shared::record::Outcome;
use std::collections::HashMap;

const ALL: BatchLimit = BatchLimit {
    records: 1000,
    bytes: 1 << 30,
};

/// In memory where there is such a place: these tests sync many thousand files.
fn fast_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn node() -> NodeId {
    "edge-1".into()
}

fn recovered(root: &Path) -> Found {
    recover(root, &node(), 1_030_000).unwrap()
}

/// What would be shipped of an epoch, and where it stops.
fn shipped(old: &OldEpoch) -> (Vec<Arc<UsageRecord>>, Option<u64>) {
    let reader = Reader::new(&old.dir, old.first, old.fills.clone());
    let batch = reader.read(old.last, ALL).unwrap();
    (batch.records, batch.gap.map(|gap| gap.start))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A run with two segments: three settled, two in flight (one marked).
fn a_run(root: &Path) {
    let log = new_log(root, 5);
    log.note(&grant(10_000));
    for n in 1..=3 {
        log.intent(&hold(n)).unwrap();
    }
    log.mark(&hold(2).generation, progress(30));
    log.end(settled(1, 100));
    log.roll().unwrap();
    log.end(settled(3, 300));
    log.intent(&hold(4)).unwrap();
    log.intent(&hold(5)).unwrap();
    log.end(settled(5, 500));
}

#[test]
fn each_open_intent_becomes_one_suspense() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let found = recovered(dir.path());
    assert_eq!((found.highest, found.damage), (BootEpoch(5), 0));
    let (records, gap) = shipped(&found.epochs[0]);
    assert_eq!(gap, None);
    let seen: Vec<_> = records
        .iter()
        .map(|end| (end.sequence, end.generation.as_str(), end.outcome))
        .collect();
    let expect = [
        (1, "gen-1", Outcome::Settled),
        (2, "gen-3", Outcome::Settled),
        (3, "gen-5", Outcome::Settled),
        (4, "gen-2", Outcome::Suspense),
        (5, "gen-4", Outcome::Suspense),
    ];
    assert_eq!(seen, expect);
    assert_eq!(
        (records[3].cost, records[3].held),
        (Amount(30), Amount(1000))
    );
    assert_eq!(records[3].upstream_id, "up");
    assert_eq!(records[4].cost, Amount::ZERO);
    let lease = found.leases[&balance()];
    assert_eq!(lease.left, Amount(10_000 - 900 - 2000));
    assert_eq!(lease.age, Duration::from_secs(30));
}

#[test]
fn an_expired_lease_is_not_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let leases = |unix_ms| recover(dir.path(), &node(), unix_ms).unwrap().leases;
    assert_eq!(leases(1_059_999).len(), 1);
    assert!(leases(1_060_000).is_empty());
    assert_eq!(leases(0).len(), 1, "a clock that was set back");
}

#[test]
fn recovery_finds_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let first = recovered(dir.path());
    let again = recovered(dir.path());
    assert_eq!(again.leases, first.leases);
    assert_eq!(shipped(&again.epochs[0]), shipped(&first.epochs[0]));
    // Killed before the file was whole.
    let path = dir.path().join("5").join(RECOVERED);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let again = recovered(dir.path());
        assert_eq!(shipped(&again.epochs[0]), shipped(&first.epochs[0]));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_lease_is_inherited_once_whoever_dies() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let first = recovered(dir.path());
    let left = first.leases[&balance()].left;
    // The next run takes over, spends, and dies; the old folder is still there.
    let mut book = Book::new(node(), BootEpoch(6));
    book.inherited.clone_from(&first.inherited);
    let ttl_ms = 60_000;
    book.leases.insert(
        balance(),
        LeaseBook {
            left,
            ttl_ms,
            central: false,
        },
    );
    book.contact_unix_ms = 1_000_000;
    let log = super::super::wal::Log::create(&dir.path().join("6"), book, 0).unwrap();
    log.intent(&hold(9)).unwrap();
    log.end(settled(9, 50));
    let second = recovered(dir.path());
    assert_eq!(second.leases[&balance()].left, left - Amount(50));
    assert_eq!(second.inherited.len(), 2);
    // It died before its first segment was whole: then nobody has inherited.
    let segment = dir.path().join("6").join("00000001.log");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..40]).unwrap();
    assert_eq!(recovered(dir.path()).leases[&balance()].left, left);
}

#[test]
fn a_removed_epoch_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    remove_epoch(&dir.path().join("5")).unwrap();
    assert!(recovered(dir.path()).epochs.is_empty());
    // Killed between rename and removal.
    a_run(dir.path());
    std::fs::rename(dir.path().join("5"), dir.path().join("5.acked")).unwrap();
    assert!(recovered(dir.path()).epochs.is_empty());
    assert!(!dir.path().join("5.acked").exists());
}

fn kept(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(aside::FOLDER));
    let names = entries.into_iter().flatten();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn an_end_that_was_written_late_is_no_suspense() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(10_000));
    log.intent(&hold(1)).unwrap();
    log.intent(&hold(2)).unwrap();
    log.break_down();
    log.end(settled(1, 100));
    log.roll().unwrap();
    let found = recovered(dir.path());
    let (records, gap) = shipped(&found.epochs[0]);
    let seen: Vec<_> = records
        .iter()
        .map(|end| (end.generation.as_str(), end.outcome))
        .collect();
    let expect = [("gen-1", Outcome::Settled), ("gen-2", Outcome::Suspense)];
    assert_eq!((seen, gap), (expect.to_vec(), None));
    assert_eq!(found.leases[&balance()].left, Amount(10_000 - 100 - 1000));
}

#[test]
fn damage_to_what_the_ledger_has_charges_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(10_000));
    for n in 1..=2 {
        log.intent(&hold(n)).unwrap();
        log.end(settled(n, 100));
    }
    log.roll().unwrap();
    log.note(&Record::Ack { watermark: 2 });
    let path = dir.path().join("5/00000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = memchr::memmem::find(&bytes, br#"{"end":{"sequence":1"#).unwrap();
    bytes[end + 3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let found = recovered(dir.path());
    assert_eq!((found.damage, found.epochs[0].fills.len()), (1, 0));
    assert_eq!(found.leases[&balance()].left, Amount(10_000 - 200));
}

#[test]
fn half_a_record_is_cut_off_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let path = dir.path().join("5/00000002.log");
    let whole = std::fs::read(&path).unwrap();
    for tail in [
        &b"\x30\x00\x00\x00\x11\x22\x33\x44{\"end"[..],
        b"\x30",
        &[0; 5000],
    ] {
        std::fs::write(&path, [&whole, tail].concat()).unwrap();
        let found = recovered(dir.path());
        assert_eq!((found.damage, found.epochs[0].last), (0, 5));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    assert_eq!(kept(dir.path()), Vec::<String>::new());
}

#[test]
fn damage_in_the_middle_is_set_aside_once_and_the_rest_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(10_000));
    for n in 1..=4 {
        log.intent(&hold(n)).unwrap();
        log.end(settled(n, 100));
    }
    let path = dir.path().join("5/00000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let find = |what: &[u8]| memchr::memmem::find(&bytes, what).unwrap();
    // Intent and end of the second request, the end in its length field.
    let (intent, end) = (find(b"gen-2"), find(br#"{"end":{"sequence":2"#));
    bytes[intent] ^= 1;
    bytes[end - HEAD + 2] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();
    let found = recovered(dir.path());
    assert_eq!(found.damage, 1, "they stand side by side");
    let (records, gap) = shipped(&found.epochs[0]);
    assert_eq!((records.len(), gap), (4, None));
    assert_eq!(records[1].generation.as_str(), "lost-edge-1-5-2");
    assert_eq!(records[1].fault.as_deref(), Some("log_damaged"));
    assert!([0, 2, 3].iter().all(|at| records[*at].cost == Amount(100)));
    assert_eq!(kept(dir.path()), ["5-00000001.log"]);
    let copy = dir.path().join(aside::FOLDER).join("5-00000001.log");
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    let again = recovered(dir.path());
    assert_eq!(shipped(&again.epochs[0]), (records, None));
    // The evidence outlives the run.
    remove_epoch(&dir.path().join("5")).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
}

/// The log cut at every byte, as a kill or a power loss may: nothing panics, each end that is
/// whole on disk is kept as it is, each open intent gets one suspense, and no sequence is used
/// twice.
#[test]
fn a_log_cut_anywhere_is_recovered() {
    let whole = tempfile::tempdir().unwrap();
    a_run(whole.path());
    for segment in ["00000001.log", "00000002.log"] {
        let length = std::fs::metadata(whole.path().join("5").join(segment))
            .unwrap()
            .len();
        for cut in 0..=length {
            let dir = fast_dir();
            copy(whole.path(), dir.path());
            let path = dir.path().join("5").join(segment);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(cut).unwrap();
            if segment == "00000001.log" && cut < length {
                // The later segment does not exist yet when the first is cut.
                std::fs::remove_file(dir.path().join("5").join("00000002.log")).unwrap();
            }
            check_recovery(dir.path());
        }
    }
}

/// Any one byte changed: as above, but what was damaged may be missing.
#[test]
fn a_log_with_a_bad_byte_is_recovered() {
    let whole = tempfile::tempdir().unwrap();
    a_run(whole.path());
    for segment in ["00000001.log", "00000002.log"] {
        let bytes = std::fs::read(whole.path().join("5").join(segment)).unwrap();
        for at in (8..bytes.len()).step_by(3) {
            let dir = fast_dir();
            copy(whole.path(), dir.path());
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x55;
            std::fs::write(dir.path().join("5").join(segment), bytes).unwrap();
            check_recovery(dir.path());
        }
    }
}

fn check_recovery(root: &Path) {
    let (records, _) = read_all(&root.join("5"));
    let mut ended = HashMap::new();
    let mut begun = BTreeSet::new();
    for record in records {
        match record {
            Record::Intent(hold) => {
                begun.insert(hold.generation.to_string());
            }
            Record::Checkpoint(book) => begun.extend(book.open.keys().map(ToString::to_string)),
            Record::End(end) => {
                let same = ended.insert(end.sequence, end);
                assert!(same.is_none_or(|same| *same == *ended[&same.sequence]));
            }
            _ => {}
        }
    }
    let found = recovered(root);
    let old = &found.epochs[0];
    let (shipped, gap) = shipped(old);
    let mut generations = BTreeSet::new();
    for end in &shipped {
        assert!(generations.insert(end.generation.to_string()), "{end:?}");
        match ended.get(&end.sequence) {
            Some(same) => assert_eq!(end, same),
            None if end.fault.as_deref() == Some("log_damaged") => {
                assert_eq!((end.outcome, end.cost), (Outcome::Released, Amount::ZERO));
            }
            None => assert_eq!(end.outcome, Outcome::Suspense),
        }
    }
    let sequences: Vec<u64> = shipped.iter().map(|end| end.sequence).collect();
    let expect: Vec<u64> = (old.first..old.first + sequences.len() as u64).collect();
    assert_eq!(sequences, expect);
    if gap.is_none() {
        // Nothing that is on disk is lost.
        assert!(ended.values().all(|end| shipped.contains(end)));
        assert!(begun.iter().all(|begun| generations.contains(begun)));
    }
    let again = recovered(root);
    assert_eq!(again.leases, found.leases);
    assert_eq!(
        self::shipped(&again.epochs[0]),
        self::shipped(old),
        "the same again"
    );
    let lease = found.leases.get(&balance());
    assert!(lease.is_none_or(|lease| lease.left <= Amount(10_000)));
}
