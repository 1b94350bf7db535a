use super::log::{FRESH_MAX, Log};
use super::reader::{BatchLimit, Records};
use super::*;
use proptest::prelude::*;
use shared::id::{BootEpoch, OrgId, Version};
use shared::key::KeyHash;
use shared::record::Outcome;
use std::path::Path;

pub(in crate::account) fn balance() -> Purse {
    Purse::from(OrgId::from("org_a"))
}

pub(in crate::account) fn hold(n: u64) -> Arc<OpenHold> {
    Arc::new(OpenHold {
        generation: format!("gen-{n}").into(),
        org: "org_a".into(),
        key: KeyHash([7; 32]),
        held: Amount(1000),
        api: "chat".to_owned(),
        requested_model: "a/b".to_owned(),
        price_version: Version::default(),
        streamed: true,
        started_unix_ms: n,
        windows: Vec::new(),
        own_windows: Vec::new(),
        fee_ppm: 0,
        own_fee_ppm: 0,
        flags: Vec::new(),
        first: None,
        credit: Amount::ZERO,
        fee_free: Amount::ZERO,
        particulars: shared::record::Particulars::default(),
    })
}

pub(in crate::account) fn progress(cost: i128) -> Progress {
    Progress::from(&crate::account::Receipt {
        cost: Amount(cost),
        upstream_id: "up".to_owned(),
        ..Default::default()
    })
}

pub(in crate::account) fn settled(n: u64, cost: i128) -> UsageRecord {
    hold(n).end(progress(cost), Outcome::Settled)
}

pub(in crate::account) fn grant(amount: i128) -> Record {
    Record::Grant {
        lease_id: "lease-1".to_owned(),
        purse: balance(),
        amount: Amount(amount),
        ttl_ms: 60_000,
        unix_ms: 1_000_000,
        central: false,
    }
}

pub(in crate::account) fn new_log(dir: &Path, epoch: u64) -> Log {
    let book = Book::new("edge-1".into(), BootEpoch(epoch));
    Log::create(&dir.join(epoch.to_string()), book, 0).unwrap()
}

pub(in crate::account) fn read_all(dir: &Path) -> (Vec<Record>, usize) {
    let mut records = Records::open(dir, Position::default()).unwrap();
    let mut all = Vec::new();
    while let Some((record, _)) = records.next().unwrap() {
        all.push(record);
    }
    (all, records.damage.len() + records.torn.len())
}

fn folded(dir: &Path) -> Book {
    let mut book = Book::new("nobody".into(), BootEpoch(0));
    for record in read_all(dir).0 {
        book.apply(&record);
    }
    book
}

const LIMIT: BatchLimit = BatchLimit {
    records: 3,
    bytes: 1 << 20,
};

#[test]
fn what_was_written_is_read_and_folds_to_the_same_book() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(5000));
    log.intent(&hold(1)).unwrap();
    log.intent(&hold(2)).unwrap();
    log.mark(&hold(2).generation, progress(3));
    log.end(settled(1, 400));
    log.note(&Record::Contact { unix_ms: 2_000_000 });
    let book = folded(log.dir());
    assert_eq!(book, log.with_book(Clone::clone));
    assert_eq!(book.leases[&balance()].left, Amount(4600));
    assert_eq!((book.next, book.unacknowledged()), (2, 1));
    assert_eq!(book.open.len(), 1);
    assert_eq!(log.durable(), 0);
    log.sync().unwrap();
    assert_eq!(log.durable(), 1);
}

#[test]
fn what_is_still_in_memory_is_what_stands_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(50_000));
    let reader = Reader::new(log.dir(), 1, []);
    for number in 1..=7 {
        log.intent(&hold(number)).unwrap();
        log.end(settled(number, 400));
    }
    assert!(log.fresh(1, LIMIT).is_none(), "not durable");
    log.sync().unwrap();
    let fresh = log.fresh(1, LIMIT).unwrap();
    assert_eq!(fresh.records, reader.read(7, LIMIT).unwrap().records);
    assert_eq!(fresh.records.len(), LIMIT.records);
    // A new segment moves nothing, and what the ledger has is not kept.
    log.roll().unwrap();
    log.acknowledge(5).unwrap();
    assert!(
        log.fresh(1, LIMIT).is_none(),
        "it is asked for again: from the disk"
    );
    let fresh = log.fresh(6, LIMIT).unwrap();
    let sequences: Vec<u64> = fresh.records.iter().map(|end| end.sequence).collect();
    assert_eq!(sequences, [6, 7]);
    assert!(log.fresh(8, LIMIT).is_none());
}

#[test]
fn who_falls_behind_reads_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(1 << 60));
    let all = u64::try_from(FRESH_MAX).unwrap() + 10;
    for number in 1..=all {
        log.intent(&hold(number)).unwrap();
        log.end(settled(number, 1));
    }
    log.sync().unwrap();
    let mut reader = Reader::new(log.dir(), 1, []);
    assert!(log.fresh(reader.next(), LIMIT).is_none());
    let batch = reader.read(log.durable(), LIMIT).unwrap();
    reader.advance(&batch, 3);
    // From here on it has caught up, and later it falls behind again.
    let fresh = log.fresh(11, LIMIT).unwrap();
    assert_eq!(fresh.records[0].sequence, 11);
    reader.advance(&fresh, 13);
    let batch = reader.read(log.durable(), LIMIT).unwrap();
    assert_eq!(batch.records[0].sequence, 14);
}

#[test]
fn a_new_segment_needs_none_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(5000));
    log.intent(&hold(1)).unwrap();
    log.intent(&hold(2)).unwrap();
    log.end(settled(1, 400));
    log.roll().unwrap();
    log.end(settled(2, 500));
    let before = folded(log.dir());
    assert_eq!(segments(log.dir()).unwrap(), [1, 2]);
    log.acknowledge(1).unwrap();
    assert_eq!(segments(log.dir()).unwrap(), [2]);
    let after = folded(log.dir());
    assert_eq!(after.leases, before.leases);
    assert_eq!((after.watermark, after.next), (1, 3));
    let batch = Reader::new(log.dir(), 2, []).read(9, LIMIT).unwrap();
    assert_eq!(batch.records.len(), 1);
}

#[test]
fn a_failed_log_refuses_holds_and_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(5000));
    for n in 1..=3 {
        log.intent(&hold(n)).unwrap();
    }
    log.end(settled(1, 100));
    log.break_down();
    assert!(log.is_down());
    assert_eq!(log.intent(&hold(4)), Err(log::LogError::Down));
    log.end(settled(2, 200));
    log.mark(&hold(3).generation, progress(1));
    log.roll().unwrap();
    log.end(settled(3, 300));
    log.intent(&hold(4)).unwrap();
    log.sync().unwrap();
    assert_eq!(log.durable(), 3);
    let book = folded(log.dir());
    assert_eq!(book, log.with_book(Clone::clone));
    assert_eq!(book.leases[&balance()].left, Amount(4400));
    let batch = Reader::new(log.dir(), 1, []).read(3, LIMIT).unwrap();
    let costs: Vec<_> = batch.records.iter().map(|end| end.cost.0).collect();
    assert_eq!(costs, [100, 200, 300]);
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    log.note(&grant(5000));
    log.intent(&hold(1)).unwrap();
    log.redirect(full);
    assert_eq!(log.intent(&hold(2)), Err(log::LogError::Down));
    log.end(settled(1, 100));
    assert!(log.is_down());
    log.roll().unwrap();
    let batch = Reader::new(log.dir(), 1, []).read(1, LIMIT).unwrap();
    assert_eq!(batch.records[0].cost, Amount(100));
    assert!(folded(log.dir()).open.is_empty());
}

#[test]
fn batches_are_contiguous_and_resume_behind_the_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path(), 5);
    for n in 1..=8 {
        log.intent(&hold(n)).unwrap();
        log.end(settled(n, i128::from(n)));
        if n == 4 {
            log.roll().unwrap();
        }
    }
    let sequences = |batch: &reader::Batch| -> Vec<u64> {
        batch.records.iter().map(|end| end.sequence).collect()
    };
    let mut reader = Reader::new(log.dir(), 1, []);
    let batch = reader.read(7, LIMIT).unwrap();
    assert_eq!(sequences(&batch), [1, 2, 3]);
    reader.advance(&batch, 2);
    let batch = reader.read(7, LIMIT).unwrap();
    assert_eq!(sequences(&batch), [3, 4, 5]);
    reader.advance(&batch, 6);
    let batch = reader.read(7, LIMIT).unwrap();
    assert_eq!(sequences(&batch), [7], "7 is the last durable one");
    reader.advance(&batch, 7);
    assert!(reader.read(7, LIMIT).unwrap().records.is_empty());
    let small = BatchLimit {
        records: 100,
        bytes: 1,
    };
    let batch = Reader::new(log.dir(), 1, []).read(7, small).unwrap();
    assert_eq!(sequences(&batch), [1]);
}

#[test]
fn a_newer_format_is_not_taken_for_damage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(segment_path(dir.path(), 1), b"godwal9\nwhatever").unwrap();
    assert!(
        Records::open(dir.path(), Position::default())
            .unwrap()
            .next()
            .is_err()
    );
}

proptest! {
    #[test]
    fn any_bytes_can_be_scanned(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut at = 0;
        while let Scanned::Good(_, end) = scan(&bytes, at) {
            prop_assert!(end > at);
            at = end;
        }
        prop_assert!(find(&bytes, at).is_none_or(|next| next >= at));
    }

    /// One damaged byte costs at most one record.
    #[test]
    fn one_bad_byte_costs_one_record(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let dir = tempfile::tempdir().unwrap();
        let log = new_log(dir.path(), 5);
        for n in 1..=6 {
            log.end(settled(n, 1));
        }
        let path = segment_path(log.dir(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = MAGIC.len() + at.index(bytes.len() - MAGIC.len());
        bytes[at] ^= flip;
        std::fs::write(&path, bytes).unwrap();
        let (records, damage) = read_all(log.dir());
        prop_assert_eq!((damage, records.len()), (1, 6), "of a checkpoint and six ends");
    }
}
