//! One simulated node: its disk, and while it lives its real log, desk, leases and readers, with
//! what the tasks of [`super::super::Accounts`] do between them, one step at a time.

use super::control::{Answer, Call};
use crate::account::desk::{Ask, Desk, Leases};
use crate::account::lease::Time;
use crate::account::recover::{OldEpoch, remove_epoch};
use crate::account::topup::unheard;
use crate::account::wal::reader::{Batch, BatchLimit};
use crate::account::wal::{Book, Log, OpenHold, Progress, Reader, Record, ReturnedPart, Returning};
use crate::account::{Receipt, open_log};
use shared::clock::{Clock, Moment};
use shared::id::{BootEpoch, NodeId, OrgId, Version};
use shared::key::KeyHash;
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::Outcome;
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
const CONTACT_LOGGED: u64 = 60_000_000_000;

/// A living node.
pub(super) struct Run {
    node: NodeId,
    dir: PathBuf,
    pub(super) epoch: BootEpoch,
    pub(super) log: Log,
    pub(super) desk: Leases,
    _lock: File,
    contact: u64,
    contact_logged: u64,
    pub(super) taken_over: bool,
    older: VecDeque<Older>,
    current: Reader,
    /// The batch that is on its way.
    shipping: Option<Batch>,
    ids: u64,
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
    pub(super) fn start(node: &NodeId, dir: &Path, wall: &Clock) -> Self {
        let opened = open_log(dir, node, wall);
        let Ok((lock, found, log)) = opened else {
            panic!("{node} does not start");
        };
        let desk = Leases::new(REFUSED);
        for (purse, lease) in &found.leases {
            let until = Moment(0).plus(lease.ttl.saturating_sub(lease.age));
            desk.inherit(purse, lease.left, lease.ttl, until);
        }
        let older = found.epochs.into_iter().map(|old| Older {
            reader: Reader::new(&old.dir, old.first, old.fills.clone()),
            found: old,
            asked: false,
        });
        let mut run = Self {
            node: node.clone(),
            dir: dir.to_owned(),
            epoch: log.with_book(|book| book.epoch),
            current: Reader::new(log.dir(), 1, []),
            log,
            desk,
            _lock: lock,
            contact: 0,
            contact_logged: 0,
            taken_over: found.inherited.is_empty(),
            older: older.collect(),
            shipping: None,
            ids: 0,
            synced: BTreeMap::new(),
        };
        run.note_lengths();
        run
    }

    pub(super) fn time(&self, now: Moment) -> Time {
        Time {
            now,
            contact: (self.contact > 0).then_some(Moment(self.contact)),
        }
    }

    fn fresh_id(&mut self, what: &str) -> String {
        self.ids += 1;
        format!("{what}-{}-{}-{}", self.node, self.epoch.0, self.ids)
    }

    /// Sets money aside and logs it. None: not now; the second value says that the ledger is to be
    /// asked, and whether a request waits for it.
    pub(super) fn hold(
        &self,
        (generation, org): (&str, &OrgId),
        (ceiling, least): (Amount, Amount),
        may_ask: bool,
        now: Moment,
    ) -> Held {
        let (time, purse) = (self.time(now), [Purse::from(org.clone())]);
        match self.desk.reserve(&purse, (ceiling, least), may_ask, time) {
            Desk::Set { amount, low } => {
                let fly = low && self.desk.refill(&Purse::from(org.clone()), time);
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
                });
                if self.log.intent(&open).is_err() {
                    self.desk.undo(&purse, amount, now);
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
        self.log.mark(&open.generation, progress(cost));
    }

    pub(super) fn end(&self, open: &OpenHold, cost: Amount, now: Moment) {
        let outcome = if cost > Amount::ZERO {
            Outcome::Settled
        } else {
            Outcome::Released
        };
        self.log.end(open.end(progress(cost), outcome));
        let purse = Purse::from(open.org.clone());
        self.desk.end(&purse, open.held, cost, now);
    }

    pub(super) fn ask(&mut self, org: &OrgId, now: Moment) -> Call {
        let id = self.fresh_id("lease");
        let purse = Purse::from(org.clone());
        let ask = self.desk.ask(&purse, id, self.time(now));
        Call::Acquire { purse, ask }
    }

    /// One look of the sweep: what has expired goes, what is idle goes back.
    pub(super) fn sweep(&mut self, idle: bool, now: Moment) {
        self.expire(now);
        if !self.taken_over {
            return;
        }
        let before = now.0.checked_sub(IDLE_NS).map(Moment);
        let before = if idle { None } else { before };
        if idle || before.is_some() {
            self.send_back(before);
        }
    }

    fn expire(&mut self, now: Moment) {
        let mut expired = self.desk.expire(self.time(now));
        expired.sort();
        for withdrawn in expired {
            let release_id = self.fresh_id("expired");
            let (purse, asked) = (withdrawn.purse, withdrawn.asked);
            let part = asked
                .clone()
                .map_or(ReturnedPart::Any, ReturnedPart::Before);
            self.give_back(release_id, purse.clone(), withdrawn.amount, part);
            self.give_back_unheard(purse, asked);
        }
    }

    fn give_back_unheard(&self, purse: Purse, asked: Option<String>) {
        let Some(asked) = asked else { return };
        let part = ReturnedPart::Unheard(asked.clone());
        self.give_back(unheard(&asked), purse, Amount::ZERO, part);
        self.log.note(&Record::Refused { lease_id: asked });
    }

    fn give_back(&self, release_id: String, purse: Purse, amount: Amount, part: ReturnedPart) {
        self.log.note(&Record::Return(Returning {
            release_id,
            epoch: self.epoch,
            purse,
            amount,
            part,
        }));
    }

    fn send_back(&mut self, before: Option<Moment>) {
        let mut idle = self.desk.withdraw_idle(before);
        idle.sort();
        for withdrawn in idle {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            if amount > Amount::ZERO {
                let release_id = self.fresh_id("return");
                self.give_back(release_id, purse.clone(), amount, ReturnedPart::Any);
            }
            self.give_back_unheard(purse, withdrawn.asked);
        }
    }

    /// What the shipper says next; none when there is nothing.
    pub(super) fn next_ship(&mut self) -> Option<Call> {
        if !self.taken_over {
            let inherited = self
                .log
                .with_book(|book| book.inherited.iter().copied().collect());
            return Some(self.ship(self.epoch, inherited, Batch::default()));
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
        let batch = self.current.read(self.log.durable(), BATCH).unwrap();
        assert_eq!(batch.gap, None, "a gap in this run");
        (!batch.records.is_empty()).then(|| self.ship(self.epoch, Vec::new(), batch))
    }

    /// True when nothing keeps the ledger from being asked for more of this purse.
    pub(super) fn may_ask(&mut self, purse: &Purse, ask: &Ask) -> bool {
        let returns = |book: &Book| book.returning.iter().any(|r| r.purse == *purse);
        if !self.taken_over || self.log.with_book(returns) {
            return false;
        }
        self.log.note(&Record::Ask {
            lease_id: ask.lease_id.clone(),
            purse: purse.clone(),
        });
        self.is_on_disk()
    }

    /// What the sweep tells the ledger next.
    pub(super) fn next_return(&mut self) -> Option<Call> {
        if !self.taken_over {
            return None;
        }
        let first = self.log.with_book(|book| book.returning.first().cloned());
        let first = first?;
        self.is_on_disk().then_some(Call::Release(first))
    }

    fn is_on_disk(&mut self) -> bool {
        if self.log.is_down() {
            return false;
        }
        self.log.sync().unwrap();
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
            (Call::Acquire { purse, ask }, Answer::Granted(granted)) => {
                self.contact(ask.sent, now);
                if !self.desk.expects(purse, ask) {
                    return self.desk.failed(purse, false, now.moment);
                }
                let lease_id = ask.lease_id.clone();
                if granted.amount > Amount::ZERO {
                    self.log.note(&Record::Grant {
                        lease_id,
                        purse: purse.clone(),
                        amount: granted.amount,
                        ttl_ms: u64::try_from(granted.ttl.as_millis()).unwrap(),
                        unix_ms: now.unix_ms,
                    });
                } else if ask.again {
                    self.give_back_unheard(purse.clone(), Some(lease_id));
                } else {
                    self.log.note(&Record::Refused { lease_id });
                }
                self.desk.granted(purse, ask, granted, now.moment);
            }
            (Call::Acquire { purse, ask }, Answer::Refused) => {
                let lease_id = ask.lease_id.clone();
                self.log.note(&Record::Refused { lease_id });
                self.desk.failed(purse, true, now.moment);
            }
            (Call::Acquire { purse, .. }, _) => self.desk.failed(purse, false, now.moment),
            (Call::Release(returning), Answer::Released | Answer::Refused) => {
                self.contact(sent, now);
                let release_id = returning.release_id.clone();
                self.log.note(&Record::Returned { release_id });
            }
            (Call::Ship { epoch, records, .. }, Answer::Watermark(watermark)) => {
                let batch = self.shipping.take().unwrap_or_default();
                if *epoch == self.epoch {
                    self.contact(sent, now);
                    self.taken_over = true;
                    if !records.is_empty() {
                        self.current.advance(&batch, watermark);
                        self.log.acknowledge(watermark).unwrap();
                    }
                } else if let Some(older) = self.older.front_mut() {
                    assert!(watermark <= older.found.last, "more than there was");
                    older.asked = true;
                    older.reader.advance(&batch, watermark);
                }
            }
            (Call::Ship { .. }, _) => self.shipping = None,
            (Call::Release(_), _) => {}
        }
    }

    fn contact(&mut self, sent: Moment, now: Now) {
        self.expire(now.moment);
        self.contact = self.contact.max(sent.0.max(1));
        if self.contact_logged == 0 || sent.0.saturating_sub(self.contact_logged) >= CONTACT_LOGGED
        {
            self.contact_logged = sent.0.max(1);
            let late = u64::try_from(now.moment.since(sent).as_millis()).unwrap();
            let unix_ms = now.unix_ms.saturating_sub(late);
            self.log.note(&Record::Contact { unix_ms });
        }
    }

    /// The keeper's turn. True when everything that was said is on disk.
    pub(super) fn keep(&mut self, roll: bool) -> bool {
        if roll || self.log.is_down() {
            self.log.roll().unwrap();
        } else {
            self.log.sync().unwrap();
        }
        self.note_lengths();
        !self.log.is_down()
    }

    fn note_lengths(&mut self) {
        for entry in std::fs::read_dir(self.log.dir()).unwrap() {
            let entry = entry.unwrap();
            let length = entry.metadata().unwrap().len();
            self.synced.insert(entry.path(), length);
        }
    }

    /// The machine loses power: of what was not synced, a prefix is left.
    pub(super) fn lose_power(self, mut keep: impl FnMut(u64) -> u64) {
        for entry in sorted(self.log.dir()) {
            let length = std::fs::metadata(&entry).unwrap().len();
            let synced = self.synced.get(&entry).copied().unwrap_or_default();
            let file = File::options().write(true).open(&entry).unwrap();
            file.set_len(synced + keep(length.saturating_sub(synced)))
                .unwrap();
        }
    }

    /// Nothing waits for the ledger.
    pub(super) fn is_quiet(&self) -> bool {
        self.taken_over
            && self.older.is_empty()
            && self.log.with_book(|book| {
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
        let book = self.log.with_book(of);
        let folders = sorted(&self.dir).len();
        format!("{}/{}: {book}, {folders} folders", self.node, self.epoch.0)
    }
}

/// What becomes of a request.
pub(super) enum Held {
    Yes { open: Arc<OpenHold>, fly: bool },
    Wait { fly: bool },
    No { fly: bool },
}

/// Both of a node's clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) moment: Moment,
    pub(super) unix_ms: u64,
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
