//! One simulated node: its disk, and while it lives its real cashier (desk, leases, log) and
//! readers. What is simulated is what the tasks of [`super::super::Accounts`] wait for: the
//! network and fsync, one step at a time.

use super::control::{Answer, Call};
use crate::account::cashier::{self, Before, Cashier, Post};
use crate::account::desk::{Ask, Desk, May, Set};
use crate::account::lease::Now;
use crate::account::recover::{OldEpoch, remove_epoch};
use crate::account::wal::reader::{Batch, BatchLimit};
use crate::account::wal::{Book, OpenHold, Progress, Reader};
use crate::account::{Receipt, open_log};
use shared::clock::{Clock, Moment};
use shared::id::{BootEpoch, NodeId, OrgId, Version};
use shared::key::KeyHash;
use shared::limit::Purse;
use shared::money::Amount;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Small, so that a run has several batches.
const BATCH: BatchLimit = BatchLimit {
    records: 3,
    bytes: 1 << 20,
};
/// As `Timers::topup_refused` and `Timers::lease_idle`.
const REFUSED: Duration = Duration::from_secs(1);
const IDLE_NS: u64 = 300_000_000_000;
const CONTACT_LOGGED: Duration = Duration::from_secs(60);

/// A living node.
pub(super) struct Run {
    dir: PathBuf,
    pub(super) cashier: Cashier,
    _lock: File,
    older: VecDeque<Older>,
    current: Reader,
    /// The batch that is on its way.
    shipping: Option<Batch>,
    /// Lengths of the files at the last fsync.
    synced: BTreeMap<PathBuf, u64>,
}

struct Older {
    found: OldEpoch,
    reader: Reader,
    asked: bool,
}

impl Run {
    /// Starts on what the disk says. `wall` is what the machine believes the time is.
    pub(super) fn start(node: &NodeId, dir: &Path, wall: &Clock, random: fastrand::Rng) -> Self {
        let opened = open_log(dir, node, wall);
        let Ok((lock, found, log)) = opened else {
            panic!("{node} does not start");
        };
        let post = Post {
            node: node.clone(),
            refused_for: REFUSED,
            contact_logged: CONTACT_LOGGED,
        };
        let cashier = Cashier::open(post, log, &found, Moment(0), random);
        let older = found.epochs.into_iter().map(|old| Older {
            reader: Reader::new(&old.dir, old.first, old.fills.clone()),
            found: old,
            asked: false,
        });
        let mut run = Self {
            dir: dir.to_owned(),
            current: Reader::new(cashier.log.dir(), 1, []),
            cashier,
            _lock: lock,
            older: older.collect(),
            shipping: None,
            synced: BTreeMap::new(),
        };
        run.note_lengths();
        run
    }

    pub(super) fn epoch(&self) -> BootEpoch {
        self.cashier.epoch()
    }

    /// Sets money aside and logs it. None: not now; the second value says that the ledger is to be
    /// asked, and whether a request waits for it.
    pub(super) fn hold(
        &self,
        (generation, org): (&str, &OrgId),
        most: (Amount, Amount),
        may: May,
        now: Moment,
    ) -> Held {
        let purse = [Purse::from(org.clone())];
        match self.cashier.reserve(&purse, most, may, now) {
            Desk::Set(Set {
                amount,
                credit,
                refill,
            }) => {
                let fly = !refill.is_empty();
                let open = Arc::new(OpenHold {
                    generation: generation.into(),
                    org: org.clone(),
                    key: KeyHash([1; 32]),
                    held: amount,
                    api: "chat".to_owned(),
                    requested_model: "a/b".to_owned(),
                    price_version: Version::default(),
                    streamed: true,
                    started_unix_ms: now.0 / 1_000_000,
                    windows: Vec::new(),
                    own_windows: Vec::new(),
                    fee_ppm: 0,
                    own_fee_ppm: 0,
                    flags: Vec::new(),
                    first: None,
                    credit,
                    fee_free: Amount::ZERO,
                    particulars: shared::record::Particulars::default(),
                });
                if self.cashier.begin(&open, (&purse, amount), now).is_err() {
                    return Held::No { fly };
                }
                Held::Yes { open, fly }
            }
            Desk::Wait(flights) => Held::Wait {
                fly: flights.iter().any(|flight| flight.start),
            },
            Desk::Poor(_) | Desk::Short | Desk::Crowded => Held::No { fly: false },
        }
    }

    pub(super) fn mark(&self, open: &OpenHold, cost: Amount) {
        self.cashier.log.mark(&open.generation, progress(cost));
    }

    pub(super) fn end(&self, open: &OpenHold, cost: Amount, now: Moment) {
        let purse = [Purse::from(open.org.clone())];
        let parts = (&purse[..], open.held);
        self.cashier.end(open, parts, progress(cost), now);
    }

    pub(super) fn ask(&self, org: &OrgId, now: Moment) -> Call {
        let purse = Purse::from(org.clone());
        let ask = self.cashier.ask(&purse, now);
        Call::Acquire { purse, ask }
    }

    /// One look of the sweep: what has expired goes, what is idle goes back.
    pub(super) fn sweep(&mut self, idle: bool, now: Moment) {
        self.cashier.expire(now);
        if !self.cashier.has_taken_over() {
            return;
        }
        let before = Moment(now.0.saturating_sub(IDLE_NS));
        self.cashier.send_back((!idle).then_some(before));
    }

    /// What the shipper says next; none when there is nothing.
    pub(super) fn next_ship(&mut self) -> Option<Call> {
        if !self.cashier.has_taken_over() {
            let inherited = self
                .cashier
                .log
                .with_book(|book| book.inherited.iter().copied().collect());
            return Some(self.ship(self.epoch(), inherited, Batch::default()));
        }
        while let Some(older) = self.older.front() {
            let epoch = older.found.epoch;
            if !older.asked {
                return Some(self.ship(epoch, Vec::new(), Batch::default()));
            }
            if older.reader.next() <= older.found.last {
                let batch = older.reader.read(older.found.last, BATCH).unwrap();
                assert!(!batch.records.is_empty(), "a gap in {epoch:?}");
                return Some(self.ship(epoch, Vec::new(), batch));
            }
            remove_epoch(&older.found.dir).unwrap();
            self.older.pop_front();
        }
        let log = &self.cashier.log;
        let batch = log.fresh(self.current.next(), BATCH);
        let batch = batch.unwrap_or_else(|| self.current.read(log.durable(), BATCH).unwrap());
        assert_eq!(batch.gap, None, "a gap in this run");
        (!batch.records.is_empty()).then(|| self.ship(self.epoch(), Vec::new(), batch))
    }

    /// True when nothing keeps the ledger from being asked for more of this purse.
    pub(super) fn may_ask(&mut self, purse: &Purse, ask: &Ask) -> bool {
        if self.cashier.before_asking(purse) != Before::Free {
            return false;
        }
        self.cashier.asks(purse, ask);
        self.is_on_disk()
    }

    /// What the sweep tells the ledger next.
    pub(super) fn next_return(&mut self) -> Option<Call> {
        if !self.cashier.has_taken_over() {
            return None;
        }
        self.cashier.send_back_left();
        let first = self.cashier.returning().into_iter().next()?;
        self.is_on_disk().then_some(Call::Release(first))
    }

    fn is_on_disk(&mut self) -> bool {
        if self.cashier.log.is_down() {
            return false;
        }
        self.cashier.log.sync().unwrap();
        self.note_lengths();
        true
    }

    fn ship(&mut self, epoch: BootEpoch, inherited: Vec<BootEpoch>, batch: Batch) -> Call {
        let records = batch.records.iter().map(|end| (**end).clone()).collect();
        self.shipping = Some(batch);
        Call::Ship {
            epoch,
            inherited,
            records,
        }
    }

    /// The ledger has answered a call that was sent at `sent`.
    pub(super) fn answered(&mut self, call: &Call, answer: Answer, sent: Moment, now: Now) {
        match (call, answer) {
            (Call::Acquire { purse, ask }, answer) => {
                let answer = match answer {
                    Answer::Granted(granted) => cashier::Answer::Granted(granted),
                    Answer::Refused => cashier::Answer::Refused,
                    _ => cashier::Answer::Nobody,
                };
                self.cashier.answered(purse, ask, answer, now);
            }
            (Call::Release(returning), Answer::Released | Answer::Refused) => {
                self.cashier.contact(sent, now);
                self.cashier.returned(&returning.release_id);
            }
            (Call::Ship { epoch, records, .. }, Answer::Watermark(watermark)) => {
                let batch = self.shipping.take().unwrap_or_default();
                if *epoch == self.epoch() {
                    self.cashier.contact(sent, now);
                    self.cashier.took_over();
                    if !records.is_empty() {
                        self.current.advance(&batch, watermark);
                        self.cashier.acknowledged(watermark).unwrap();
                    }
                } else if let Some(older) = self.older.front_mut() {
                    assert!(watermark <= older.found.last, "more than there was");
                    older.asked = true;
                    older.reader.advance(&batch, watermark);
                }
            }
            (Call::Ship { inherited, .. }, answer) => {
                let disowned = matches!(answer, Answer::Refused) && !inherited.is_empty();
                assert!(!disowned, "a run that is no copy is taken for one");
                self.shipping = None;
            }
            (Call::Release(_), _) => {}
        }
    }

    /// The keeper's turn. True when everything that was said is on disk.
    pub(super) fn keep(&mut self, roll: bool) -> bool {
        if roll || self.cashier.log.is_down() {
            self.cashier.log.roll().unwrap();
        } else {
            self.cashier.log.sync().unwrap();
        }
        self.note_lengths();
        !self.cashier.log.is_down()
    }

    fn note_lengths(&mut self) {
        for entry in std::fs::read_dir(self.cashier.log.dir()).unwrap() {
            let entry = entry.unwrap();
            let length = entry.metadata().unwrap().len();
            self.synced.insert(entry.path(), length);
        }
    }

    /// The machine loses power: of what was not synced, a prefix is left.
    pub(super) fn lose_power(self, mut keep: impl FnMut(u64) -> u64) {
        for entry in sorted(self.cashier.log.dir()) {
            let length = std::fs::metadata(&entry).unwrap().len();
            let synced = self.synced.get(&entry).copied().unwrap_or_default();
            let file = File::options().write(true).open(&entry).unwrap();
            file.set_len(synced + keep(length.saturating_sub(synced)))
                .unwrap();
        }
    }

    /// Nothing waits for the ledger.
    pub(super) fn is_quiet(&self) -> bool {
        self.cashier.has_taken_over()
            && self.older.is_empty()
            && self.cashier.log.with_book(|book| {
                book.unacknowledged() == 0 && book.returning.is_empty() && book.open.is_empty()
            })
    }

    pub(super) fn describe(&self) -> String {
        let of = |book: &Book| {
            let leases: Vec<_> = book
                .leases
                .iter()
                .map(|(o, l)| (o.clone(), l.left))
                .collect();
            format!(
                "next {} ack {} leases {leases:?}",
                book.next, book.watermark
            )
        };
        let book = self.cashier.log.with_book(of);
        let folders = sorted(&self.dir).len();
        format!(
            "{}/{}: {book}, {folders} folders",
            self.cashier.node(),
            self.epoch().0
        )
    }
}

/// What becomes of a request.
pub(super) enum Held {
    Yes { open: Arc<OpenHold>, fly: bool },
    Wait { fly: bool },
    No { fly: bool },
}

fn progress(cost: Amount) -> Progress {
    Progress::from(&Receipt {
        cost,
        ..Receipt::default()
    })
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
