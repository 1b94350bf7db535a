//! An edge's side: counts requests against its shares, says when it needs more and when it waives
//! what it keeps. It never lets more through than it has; who comes when there may be more waits.

use super::{AHEAD_MAX, Ask, KEPT_MINUTES, Minute, Share, Subject, Wish};
use std::collections::{HashMap, VecDeque};

/// Limits that an edge counts at one time; beyond, requests under others are refused.
pub const LOCAL_MAX: usize = 100_000;
/// Wishes in one message.
pub const WISHES_MAX: usize = 500;
/// So long before a minute begins it is wished for, in milliseconds,
const AHEAD_MS: u64 = 10_000;
/// and so long before, when the answers are there, waived.
const WAIVED_MS: u64 = 5_000;
/// So many requests in a minute say how many there will be.
const PACE_MIN: u32 = 16;
/// Between two questions about the same limit that did not help, in milliseconds.
const AGAIN_MS: u64 = 100;
/// The same where nothing was left.
const NOTHING_AGAIN_MS: u64 = 1_000;

/// What a request is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// It may pass.
    Passed,
    /// It may not: this minute is used up.
    Refused,
    /// The control plane is being asked; try again when it has answered.
    Wait,
    /// Nobody can say: there is no share and no control plane.
    Unknown,
    /// Too many limits are counted here.
    Crowded,
}

/// What an edge has of all limits.
#[derive(Debug, Default)]
pub struct Local {
    connected: bool,
    /// What was decided,
    waived: Minute,
    /// and what was told: later, when all that was used of what was kept is told.
    told: Minute,
    subjects: HashMap<Subject, Entry>,
    wishes: VecDeque<(Subject, Minute)>,
    /// Up to here shares are wished for ahead.
    wished: Minute,
    changed: bool,
}

#[derive(Debug, Default)]
struct Entry {
    limit: u32,
    /// The newest minute in which a request came,
    minute: Minute,
    /// how many passed in it, and how many came;
    used: u32,
    came: u32,
    /// and how many came in the minute before.
    before: u32,
    shares: Vec<(Minute, u32)>,
    /// What nobody has of `minute`, as far as is known.
    left: Option<u32>,
    waiting: u32,
    queued: bool,
    asked_ms: Option<u64>,
    again_ms: u64,
}

impl Local {
    /// One request comes under a limit. `again`: it has waited and was counted before.
    pub fn take(&mut self, subject: &Subject, limit: u32, again: bool, now_ms: u64) -> Take {
        if !self.subjects.contains_key(subject) && self.subjects.len() >= LOCAL_MAX {
            return Take::Crowded;
        }
        let (waived, connected) = (self.waived, self.connected);
        let entry = self.subjects.entry(subject.clone()).or_default();
        entry.roll(Minute::of(now_ms));
        entry.limit = limit;
        entry.came = entry.came.saturating_add(u32::from(!again));
        let has = entry.usable(waived).min(limit);
        if entry.used < has {
            entry.used += 1;
            let low = has - entry.used < has / 4 && entry.left != Some(0) && has < limit;
            if low && connected {
                self.wish(subject, now_ms, false);
            }
            return Take::Passed;
        }
        if limit == 0 || (connected && entry.used >= limit) {
            return Take::Refused;
        }
        if connected {
            let nothing = entry.left == Some(0) && entry.minute <= waived;
            let paused = now_ms < entry.again_ms;
            self.wish(subject, now_ms, !nothing);
            return if nothing && paused {
                Take::Refused
            } else {
                Take::Wait
            };
        }
        if has > 0 {
            Take::Refused
        } else {
            Take::Unknown
        }
    }

    /// The control plane listens from now on, and knows nothing of what was said before.
    pub fn connected(&mut self, now_ms: u64) {
        self.connected = true;
        self.wishes.clear();
        self.told = Minute::default();
        self.wished = Minute::default();
        let minute = Minute::of(now_ms);
        for (subject, entry) in &mut self.subjects {
            entry.queued = false;
            entry.asked_ms = None;
            entry.again_ms = 0;
            // Who listens may know nothing: what it is not told of is not kept, either.
            entry.shares.retain(|(of, _)| *of >= minute);
            for (of, _) in &entry.shares {
                entry.queued |= *of == entry.minute;
                self.wishes.push_back((subject.clone(), *of));
            }
        }
        self.waive(minute);
        self.changed = true;
    }

    /// Nobody listens.
    pub fn disconnected(&mut self) {
        self.connected = false;
        for entry in self.subjects.values_mut() {
            entry.asked_ms = None;
            entry.waiting = 0;
        }
    }

    /// What is to be said now; none when that is nothing.
    pub fn ask(&mut self, now_ms: u64) -> Option<Ask> {
        if !self.connected {
            return None;
        }
        let minute = Minute::of(now_ms);
        self.come_back(minute);
        if self.waived < minute {
            self.waive(minute);
        }
        let left_ms = minute.end_ms().saturating_sub(now_ms);
        if left_ms <= AHEAD_MS && self.wished <= minute {
            self.wished = minute.next();
            self.forget(minute);
            let busy = self.subjects.iter().filter(|(_, entry)| entry.came > 0);
            let busy = busy.filter(|(_, entry)| entry.minute == minute);
            let wishes = busy.map(|(subject, _)| (subject.clone(), minute.next()));
            self.wishes.extend(wishes);
        }
        if left_ms <= WAIVED_MS && self.waived <= minute {
            self.waive(minute.next());
        }
        let mut wishes = Vec::new();
        let mut later = Vec::new();
        while wishes.len() < WISHES_MAX
            && let Some((subject, of)) = self.wishes.pop_front()
        {
            let Some(entry) = self.subjects.get_mut(&subject) else {
                continue;
            };
            let ahead = of > entry.minute;
            if !ahead && now_ms < entry.again_ms {
                later.push((subject, of));
                continue;
            }
            wishes.push(entry.wish(subject, if ahead { of } else { entry.minute }, now_ms));
        }
        self.wishes.extend(later);
        let all = self.wishes.iter().all(|(subject, _)| {
            let entry = self.subjects.get(subject);
            entry.is_none_or(|entry| entry.again_ms > now_ms)
        });
        let news = all && self.told < self.waived;
        if all {
            self.told = self.told.max(self.waived);
        }
        let waived = self.told;
        (news || !wishes.is_empty()).then_some(Ask { waived, wishes })
    }

    /// The control plane has answered.
    pub fn answered(&mut self, shares: &[Share], now_ms: u64) {
        for share in shares {
            let Some(entry) = self.subjects.get_mut(&share.subject) else {
                continue;
            };
            let before = entry.share_of(share.minute);
            entry.set(share.minute, share.share.max(before));
            if share.minute == entry.minute {
                entry.left = Some(share.left);
                entry.waiting = 0;
                entry.asked_ms = None;
                let pause = match (share.share > before, share.left) {
                    (true, 1..) => 0,
                    (false, 1..) => AGAIN_MS,
                    (_, 0) => NOTHING_AGAIN_MS,
                };
                entry.again_ms = now_ms + pause;
            }
        }
    }

    /// True when something is to be said, since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn wish(&mut self, subject: &Subject, now_ms: u64, waits: bool) {
        let Some(entry) = self.subjects.get_mut(subject) else {
            return;
        };
        entry.waiting = entry.waiting.saturating_add(u32::from(waits));
        let asked = entry
            .asked_ms
            .is_some_and(|at| now_ms < at + NOTHING_AGAIN_MS);
        if !entry.queued && !asked {
            entry.queued = true;
            self.wishes.push_back((subject.clone(), entry.minute));
            self.changed = true;
        }
    }

    /// From here on nothing that was kept is used in `minute`, but what was used of it already.
    fn waive(&mut self, minute: Minute) {
        for (subject, entry) in &mut self.subjects {
            if self.waived < entry.minute && entry.minute <= minute && entry.used > 0 {
                let used = entry.used.max(entry.share_of(entry.minute));
                entry.set(entry.minute, used);
                entry.again_ms = 0;
                if !entry.queued {
                    entry.queued = true;
                    self.wishes.push_back((subject.clone(), entry.minute));
                }
            }
        }
        self.waived = self.waived.max(minute);
    }

    /// After a clock that had been too far ahead: what passed in the minute that it is now is not
    /// known any more, so nothing more passes in it.
    fn come_back(&mut self, minute: Minute) {
        let newest = Minute(minute.0.saturating_add(AHEAD_MAX));
        self.waived = self.waived.min(newest);
        self.told = self.told.min(newest);
        self.wished = self.wished.min(newest);
        for entry in self.subjects.values_mut() {
            if entry.minute > newest {
                entry.minute = minute;
                entry.used = entry.limit;
                entry.shares.retain(|(of, _)| *of <= newest);
                entry.queued = false;
                (entry.waiting, entry.asked_ms, entry.again_ms) = (0, None, 0);
            }
        }
    }

    /// Forgets limits that nobody has come under for a day.
    fn forget(&mut self, minute: Minute) {
        self.subjects.retain(|_, entry| {
            let age = minute.0.saturating_sub(entry.minute.0);
            let empty = entry.shares.iter().all(|(_, share)| *share == 0);
            age < 2 || (age <= KEPT_MINUTES && !empty)
        });
    }
}

impl Entry {
    /// A clock that goes back does not open an old minute again.
    fn roll(&mut self, minute: Minute) {
        if minute <= self.minute {
            return;
        }
        self.before = if self.minute.next() == minute {
            self.came
        } else {
            0
        };
        (self.used, self.came, self.left) = (0, 0, None);
        (self.waiting, self.asked_ms, self.again_ms) = (0, None, 0);
        self.minute = minute;
    }

    /// What may pass in this minute.
    fn usable(&self, waived: Minute) -> u32 {
        let given = self.share_of(self.minute);
        let is_kept = waived < self.minute && self.minute.0 <= waived.0 + KEPT_MINUTES;
        let kept = if is_kept { self.share_of(waived) } else { 0 };
        given.max(kept)
    }

    fn share_of(&self, minute: Minute) -> u32 {
        let share = self.shares.iter().find(|(one, _)| *one == minute);
        share.map_or(0, |(_, share)| *share)
    }

    /// The three newest shares are remembered.
    fn set(&mut self, minute: Minute, share: u32) {
        match self.shares.iter_mut().find(|(one, _)| *one == minute) {
            Some((_, had)) => *had = share,
            None => self.shares.push((minute, share)),
        }
        self.shares
            .sort_by_key(|(minute, _)| std::cmp::Reverse(*minute));
        self.shares.truncate(3);
    }

    fn wish(&mut self, subject: Subject, minute: Minute, now_ms: u64) -> Wish {
        let ahead = minute > self.minute;
        let wanted = if ahead {
            self.came.saturating_add(self.came / 4).saturating_add(1)
        } else {
            self.queued = false;
            self.asked_ms = Some(now_ms);
            self.expected(now_ms)
        };
        Wish {
            subject,
            limit: self.limit,
            minute,
            holds: self.share_of(minute),
            wanted: wanted.min(self.limit),
            waiting: if ahead { 0 } else { self.waiting },
            demand: self.came,
        }
    }

    /// How many requests this minute may bring: as the last one, or as it has begun.
    fn expected(&self, now_ms: u64) -> u32 {
        let begun_ms = self.minute.0.saturating_mul(60_000);
        let passed_ms = now_ms.saturating_sub(begun_ms).clamp(5_000, 60_000);
        let pace = u64::from(self.came) * 60_000 / passed_ms;
        let pace = u32::try_from(pace).unwrap_or(u32::MAX);
        // A few requests are no pace: what is hoarded here is missing elsewhere.
        let pace = if self.came < PACE_MIN { 0 } else { pace };
        let soon = self.waiting.saturating_mul(2).saturating_add(1);
        let soon = self.used.saturating_add(soon);
        self.before
            .saturating_add(self.before / 4)
            .max(pace)
            .max(soon)
    }
}
