//! The control plane's side: who has how much of which minute. The sum of what edges may use of a
//! minute, the kept shares of those that are cut off among it, never exceeds the limit.

use super::{AHEAD_MAX, Ask, KEPT_MINUTES, Minute, Share, Subject, Wish};
use crate::id::{BootEpoch, NodeId};
use crate::record::Origin;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Limits that are shared at one time; more get nothing until others are forgotten.
pub const SUBJECTS_MAX: usize = 500_000;
/// Runs of edges that are known at one time.
pub const RUNS_MAX: usize = 20_000;

/// All shares.
#[derive(Debug, Default)]
pub struct Fleet {
    runs: BTreeMap<Origin, Run>,
    subjects: HashMap<Subject, Shares>,
    /// Edges of which it is not known what they have.
    unheard: BTreeSet<NodeId>,
    pruned: Minute,
    shed: u64,
    ahead: u64,
}

/// One run of an edge.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Up to here it uses nothing that it keeps.
    waived: Minute,
    /// After this minute it can't use anything: a later run has been heard.
    over: Option<Minute>,
}

impl Run {
    /// True when it may use in `minute` what it keeps.
    fn keeps(&self, minute: Minute) -> bool {
        let until = Minute(self.waived.0.saturating_add(KEPT_MINUTES));
        let until = self.over.map_or(until, |over| over.min(until));
        self.waived < minute && minute <= until
    }
}

/// One limit's.
#[derive(Debug, Default)]
struct Shares {
    /// The least that any edge says that the limit is in a minute: the newest ones of them.
    limits: Vec<(Minute, u32)>,
    given: BTreeMap<Origin, Vec<Given>>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    minute: Minute,
    share: u32,
    demand: u32,
}

impl Fleet {
    /// Nothing is given of anything before these edges have said what they have, or
    /// [`Fleet::wait_no_longer`] is called: of a control plane that has just started.
    pub fn wait_for(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        self.unheard.extend(nodes.into_iter().take(RUNS_MAX));
    }

    /// What edges have that have said nothing is taken for nothing.
    pub fn wait_no_longer(&mut self) {
        self.unheard.clear();
    }

    /// Gives what there is of what a run of an edge wishes. What an earlier run of it had, or kept
    /// in this minute, counts as used; later nothing is kept for it. `now` is this side's clock,
    /// which only decides what is forgotten and what is nonsense.
    pub fn hear(&mut self, run: &Origin, ask: &Ask, now: Minute) -> Vec<Share> {
        self.prune(now);
        let newest = Minute(now.0 + AHEAD_MAX);
        if !self.runs.contains_key(run) && !self.begin(run, newest) {
            return Vec::new();
        }
        let ahead = ask.wishes.iter().any(|wish| wish.minute > newest);
        self.ahead += u64::from(ahead);
        let waived = ask.waived.min(newest);
        let wishes = ask.wishes.iter().filter(|wish| wish.minute <= newest);
        let shares = wishes
            .filter_map(|wish| self.give(run, wish, waived))
            .collect();
        // After the wishes: they say what the edge has used of what it kept.
        if let Some(run) = self.runs.get_mut(run) {
            run.waived = run.waived.max(waived);
        }
        if ask.waived >= now.before() {
            self.unheard.remove(&run.node);
        }
        shares
    }

    /// False for a run that is over, or when there is no room.
    fn begin(&mut self, run: &Origin, newest: Minute) -> bool {
        let of_node = |epoch| Origin {
            node: run.node.clone(),
            epoch: BootEpoch(epoch),
        };
        let mut later = self.runs.range(of_node(run.epoch.0)..=of_node(u64::MAX));
        if later.next().is_some() {
            return false;
        }
        if self.runs.len() >= RUNS_MAX {
            self.shed += 1;
            return false;
        }
        for (_, earlier) in self.runs.range_mut(of_node(0)..of_node(run.epoch.0)) {
            earlier.over.get_or_insert(newest);
        }
        let new = Run {
            waived: Minute::default(),
            over: None,
        };
        self.runs.insert(run.clone(), new);
        true
    }

    /// Wishes that were not heard because too much is shared already, since the last call.
    pub fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }

    /// Messages with wishes that were not heard because the edge's clock is too far ahead of this
    /// side's, since the last call.
    pub fn take_ahead(&mut self) -> u64 {
        std::mem::take(&mut self.ahead)
    }

    /// How many limits are shared.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// `waived`: up to here the run keeps nothing, as it says with this wish.
    fn give(&mut self, run: &Origin, wish: &Wish, waived: Minute) -> Option<Share> {
        if !self.subjects.contains_key(&wish.subject) && self.subjects.len() >= SUBJECTS_MAX {
            self.shed += 1;
            return None;
        }
        let waits = !self.unheard.is_empty();
        let shares = self.subjects.entry(wish.subject.clone()).or_default();
        let limit = shares.limit(wish);
        let own = shares.share_of(run, wish.minute).max(wish.holds);
        let others = shares.committed(&self.runs, run, wish.minute);
        let room = shares.room_later(&self.runs, run, wish, waived);
        let room = room.min(limit.saturating_sub(others));
        let free = room.saturating_sub(own);
        let part = shares.part_of(run, wish, limit).saturating_sub(own);
        // Who waits gets it while there is some; what is for later is a part of it by demand.
        let most = if wish.waiting > 0 {
            free.div_ceil(2).max(wish.waiting)
        } else {
            part
        };
        let more = wish
            .wanted
            .max(own.saturating_add(wish.waiting))
            .saturating_sub(own);
        let more = if waits { 0 } else { more.min(most).min(free) };
        let share = own + more;
        shares.set(
            run,
            Given {
                minute: wish.minute,
                share,
                demand: wish.demand,
            },
        );
        // Nobody knows yet what is left: more than nothing.
        let left = if waits {
            (free - more).max(1)
        } else {
            free - more
        };
        Some(Share {
            subject: wish.subject.clone(),
            minute: wish.minute,
            share,
            left,
        })
    }

    /// Forgets what no edge can use any more.
    fn prune(&mut self, now: Minute) {
        if now <= self.pruned {
            return;
        }
        self.pruned = now;
        let live = Minute(now.0.saturating_sub(AHEAD_MAX));
        self.runs.retain(|_, run| {
            let unused = run.waived.0.saturating_add(KEPT_MINUTES) < live.0;
            !unused && run.over.is_none_or(|over| over >= live)
        });
        let runs = &self.runs;
        self.subjects.retain(|_, shares| {
            shares.given.retain(|run, given| {
                let run = runs.get(run);
                let keeps = run.map_or(live, |run| run.waived.before().min(live));
                given.retain(|given| given.minute >= keeps);
                !given.is_empty()
            });
            shares.limits.retain(|(minute, _)| *minute >= live);
            !shares.given.is_empty()
        });
    }
}

impl Shares {
    /// The limit of a minute: the least that was said of it, so that who has not yet heard that it
    /// is lower does not raise it.
    fn limit(&mut self, wish: &Wish) -> u32 {
        match self
            .limits
            .iter_mut()
            .find(|(minute, _)| *minute == wish.minute)
        {
            Some((_, limit)) => *limit = wish.limit.min(*limit),
            None => self.limits.push((wish.minute, wish.limit)),
        }
        let of = |minute| self.limits.iter().find(|(one, _)| *one == minute);
        of(wish.minute).map_or(wish.limit, |(_, limit)| *limit)
    }

    /// How much a run may have of a minute so that it can keep it: in the minutes after it that it
    /// has not waived, of which others may have been given ahead.
    fn room_later(
        &self,
        runs: &BTreeMap<Origin, Run>,
        run: &Origin,
        wish: &Wish,
        waived: Minute,
    ) -> u32 {
        if wish.minute < waived {
            return u32::MAX;
        }
        let known = self.limits.iter().map(|(minute, _)| *minute);
        let newest = known.max().unwrap_or_default().max(wish.minute);
        let later = self
            .limits
            .iter()
            .copied()
            .chain([(newest.next(), wish.limit)]);
        let later = later.filter(|(minute, _)| *minute > wish.minute);
        let rooms =
            later.map(|(minute, limit)| limit.saturating_sub(self.committed(runs, run, minute)));
        rooms.min().unwrap_or(u32::MAX)
    }

    fn share_of(&self, run: &Origin, minute: Minute) -> u32 {
        self.given.get(run).map_or(0, |given| share(given, minute))
    }

    /// What all others may use of a minute.
    fn committed(&self, runs: &BTreeMap<Origin, Run>, but: &Origin, minute: Minute) -> u32 {
        let others = self.given.iter().filter(|(run, _)| *run != but);
        let sums = others.map(|(run, given)| {
            let keeps = runs.get(run).filter(|run| run.keeps(minute));
            let kept = keeps.map_or(0, |run| kept(given, run.waived));
            share(given, minute).max(kept)
        });
        sums.fold(0, u32::saturating_add)
    }

    /// The part of a limit that an edge has by its demand, rounded down, at least one.
    fn part_of(&self, run: &Origin, wish: &Wish, limit: u32) -> u32 {
        let others = self.given.iter().filter(|(other, _)| *other != run);
        let demand = |given: &[Given]| {
            let near = |given: &&Given| given.minute.0 + 1 >= wish.minute.0;
            given.iter().filter(near).map(|given| given.demand).max()
        };
        let others = others.filter_map(|(_, given)| demand(given)).map(u64::from);
        let all = others.sum::<u64>() + u64::from(wish.demand);
        if all <= u64::from(limit) {
            return limit;
        }
        let part = u64::from(limit) * u64::from(wish.demand) / all;
        u32::try_from(part).unwrap_or(limit).max(1)
    }

    fn set(&mut self, run: &Origin, new: Given) {
        let given = self.given.entry(run.clone()).or_default();
        match given.iter_mut().find(|given| given.minute == new.minute) {
            Some(given) => *given = new,
            None => given.push(new),
        }
    }
}

fn share(given: &[Given], minute: Minute) -> u32 {
    let given = given.iter().find(|given| given.minute == minute);
    given.map_or(0, |given| given.share)
}

/// What an edge that has waived up to `waived`, or further without this having been heard, may use
/// of later minutes: its share of the last minute that it has waived.
fn kept(given: &[Given], waived: Minute) -> u32 {
    let recent = given.iter().filter(|given| given.minute >= waived);
    recent.map(|given| given.share).max().unwrap_or_default()
}
