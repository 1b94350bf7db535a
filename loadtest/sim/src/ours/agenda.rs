//! What our policy does of itself, by time: reports, their arrival, rankings, tables.

use shared::ranking::RankingDelta;
use shared::window::Report;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

pub(super) enum Item {
    /// An edge's next report is due.
    Report(usize),
    /// An edge has news that can't wait.
    Alarm(usize),
    /// A report is there; over which edge's connection, where it is acknowledged.
    Arrives(Box<Report>, Option<(usize, u64)>),
    /// An edge's reports up to this number are known to have arrived.
    Acknowledged(usize, u64, u64),
    /// An edge notices that this connection is gone.
    Breaks(usize, u64),
    /// An edge tries to connect again.
    Connects(usize),
    /// The next ranking is due.
    Rank,
    /// There is evidence that can't wait for it.
    RankNow,
    /// An edge's word of an offer is at its peers: how long it leaves it alone.
    Gossip(usize, usize, Duration),
    /// A change of its table is at an edge.
    Table(usize, RankingDelta),
}

#[derive(Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Entry>,
    made: u64,
    rank_now: bool,
}

struct Entry {
    at: f64,
    number: u64,
    item: Item,
}

impl Agenda {
    pub(super) fn push(&mut self, at: f64, item: Item) {
        self.made += 1;
        self.entries.push(Entry {
            at,
            number: self.made,
            item,
        });
    }

    /// A ranking at once is one, however many ask for it.
    pub(super) fn push_once(&mut self, at: f64, item: Item) {
        if !self.rank_now {
            self.rank_now = true;
            self.push(at, item);
        }
    }

    pub(super) fn due(&self) -> f64 {
        self.entries.peek().map_or(f64::INFINITY, |entry| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.entries.pop()?.item;
        if matches!(item, Item::RankNow) {
            self.rank_now = false;
        }
        Some(item)
    }
}

impl Ord for Entry {
    /// The earliest is the greatest; of the same time, the first made.
    fn cmp(&self, other: &Self) -> Ordering {
        let time = other.at.total_cmp(&self.at);
        time.then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
