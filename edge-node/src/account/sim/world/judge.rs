//! What must be true: while it runs, and when all is well again.

use super::super::control::{books, grants_kept, postings, records};
use super::*;

impl World {
    /// Nobody may hold what the ledger has taken back because nothing was heard. Nobody can tell a
    /// clock that was set back while the machine was off from a short night, though: what such a
    /// node holds is excused.
    pub(super) fn check_lease(&mut self, number: usize, held: Amount) {
        let node = &self.nodes[number];
        if held == Amount::ZERO || self.now.saturating_sub(node.contact) <= LEDGER_WAITS {
            return;
        }
        if node.jumped {
            self.excused += held;
        } else {
            self.wrong(format!("n{number} holds without a lease"));
        }
    }

    /// No node lets more be used on credit than it may, over all its runs in one outage.
    pub(super) fn check_credit(&mut self, number: usize, open: &OpenHold) {
        if open.credit == Amount::ZERO {
            return;
        }
        self.counts.lent += 1;
        let Some(run) = &self.nodes[number].run else {
            return;
        };
        let (ended, held) = run.cashier.log.with_book(|book| {
            let ended = book.owed.get(&open.org).map(|owed| owed.amount);
            let of = book
                .open
                .values()
                .filter(|entry| entry.hold.org == open.org);
            let held: Amount = of.map(|entry| entry.hold.credit).sum();
            (ended.unwrap_or_default(), held)
        });
        let truly = self.lent.get(&(number, open.org.clone()));
        let truly = truly.copied().unwrap_or_default();
        if ended.max(truly) + held > credit_of(&open.org) {
            let text = format!("{} {ended:?} {truly:?} {held:?}", open.org);
            self.wrong(format!("n{number} lends {text}"));
        }
    }

    /// So much was used on credit.
    pub(super) fn lends(&mut self, number: usize, org: &OrgId, amount: Amount) {
        if amount > Amount::ZERO {
            *self.lent.entry((number, org.clone())).or_default() += amount;
        }
    }

    pub(super) async fn check_totals(&mut self) {
        let (_, ledger) = match self.control.is_up() {
            true => self.control.ledger().await,
            false => return,
        };
        let totals = ledger.totals().await.unwrap();
        for (org, has) in totals {
            let given = self.given.get(&org).copied().unwrap_or_default();
            let sum = has.available + has.leased + has.used + has.suspense - has.overrun;
            if has.available < Amount::ZERO || has.leased > given || sum != given {
                self.wrong(format!("{org} was given {}: {has:?}", given.0));
            }
        }
    }

    /// Everybody lives and hears everybody; what was begun ends; all is told; leases go back.
    pub(super) async fn heal(&mut self) {
        self.healed = true;
        self.say("all is well again");
        if !self.control.is_up() {
            self.control.restart(true).await;
        }
        for number in 0..NODES {
            self.nodes[number].cut_off = false;
            self.nodes[number].waiting.clear();
            if self.nodes[number].run.is_none() {
                self.start(number);
            }
            let open: VecDeque<_> = std::mem::take(&mut self.nodes[number].open).into();
            for open in open {
                self.end(number, &open);
            }
        }
        for turn in 0..400 {
            self.pass(SECOND / 4).await;
            for number in 0..NODES {
                let now = self.time_of(number).moment;
                if let Some(run) = &mut self.nodes[number].run {
                    run.keep(false);
                    run.sweep(turn > 50, now);
                }
                self.talk(number);
            }
            let quiet = |node: &Node| node.run.as_ref().is_some_and(Run::is_quiet);
            if self.problem.is_some() || turn > 60 && self.nodes.iter().all(quiet) {
                break;
            }
        }
        // Nobody uses any of it: all is back, but for what a run was granted after it was dead.
        self.control.sweep().await;
        self.pass(20 * MINUTE).await;
        self.control.sweep().await;
        let (_, ledger) = self.control.ledger().await;
        for (org, has) in ledger.totals().await.unwrap() {
            if has.leased > Amount::ZERO {
                self.wrong(format!("{org}'s {} lie with nobody", has.leased.0));
            }
        }
        for number in 0..NODES {
            let run = self.nodes[number].run.as_ref();
            if let Some(loud) = run.filter(|run| !run.is_quiet()) {
                let what = format!("does not come to rest: {}", loud.describe());
                self.wrong(what);
            }
            self.nodes[number].run = None;
        }
        // What a dead run was granted and never heard of comes back by itself, also when the ledger's
        // own process knows of it only from its first sweep on.
        self.control.sweep().await;
        self.pass(200 * MINUTE).await;
        self.control.sweep().await;
        let kept = grants_kept(&self.control.database).await;
        if kept > 0 {
            self.wrong(format!("{kept} grants are kept of which nothing is left"));
        }
    }

    pub(super) async fn judge(&mut self) {
        let mut recorded = BTreeMap::new();
        for (generation, outcome, cost, held) in records(&self.control.database).await {
            let before = recorded.insert(generation.clone(), (outcome, cost, held));
            if before.is_some() {
                self.wrong(format!("{generation} is in the ledger twice"));
            }
        }
        let mut charged: BTreeMap<OrgId, (Amount, Amount)> = BTreeMap::new();
        for (generation, fate) in self.fates.clone() {
            let record = recorded.remove(&generation);
            let as_it_was = match (&record, fate.cost) {
                (Some((outcome, cost, _)), Some(true_cost)) => {
                    let word = if true_cost > Amount::ZERO {
                        "settled"
                    } else {
                        "released"
                    };
                    outcome == word && *cost == true_cost
                }
                _ => false,
            };
            let cut_off = |(outcome, cost, held): &(String, Amount, Amount)| {
                outcome == "suspense" && *held == fate.held && *cost <= *held
            };
            let in_suspense = record.as_ref().is_some_and(cut_off);
            let right = if fate.ended_on_disk || fate.ended_in_log && !fate.power_lost {
                as_it_was
            } else if fate.begun_on_disk || !fate.power_lost {
                as_it_was || in_suspense
            } else {
                as_it_was || in_suspense || record.is_none()
            };
            if !right {
                self.wrong(format!(
                    "{generation} is {fate:?} and recorded as {record:?}"
                ));
            }
            let of = charged.entry(fate.org.clone()).or_default();
            match record {
                Some((outcome, cost, _)) if outcome == "settled" => {
                    of.0 += cost;
                    self.counts.settled += 1;
                }
                Some((outcome, _, held)) if outcome == "suspense" => {
                    of.1 += held;
                    self.counts.suspense += 1;
                }
                _ => self.counts.released += 1,
            }
        }
        if let Some(stranger) = recorded.keys().next() {
            self.wrong(format!("{stranger} is in the ledger and never was"));
        }
        self.judge_books(&charged).await;
    }

    pub(super) async fn judge_books(&mut self, charged: &BTreeMap<OrgId, (Amount, Amount)>) {
        let database = self.control.database.clone();
        let (_, ledger) = self.control.ledger().await;
        let (verdict, totals) = (
            ledger.verify().await.unwrap(),
            ledger.totals().await.unwrap(),
        );
        if let Some(problem) = verdict.problems.first() {
            self.wrong(problem.clone());
        }
        self.counts.excused += u64::from(self.excused > Amount::ZERO);
        for (org, given) in self.given.clone() {
            let has = totals.get(&org).cloned().unwrap_or_default();
            let (used, suspense) = charged.get(&org).copied().unwrap_or_default();
            if (has.used, has.suspense, has.leased) != (used, suspense, Amount::ZERO) {
                self.wrong(format!(
                    "{org}: {has:?}, but {used:?} and {suspense:?} are true"
                ));
            }
            if has.available - has.overrun != given - used - suspense {
                self.wrong(format!("{org} of {given:?}: {has:?}"));
            }
            // Every hold was covered by a lease or by credit: nothing was ever charged beyond both.
            let beyond = postings(&database, &org, "cover").await > 0;
            let of = self.fates.values().filter(|fate| fate.org == org);
            let lent: Amount = of.map(|fate| fate.credit).sum();
            let may = self.excused + lent;
            if may == Amount::ZERO && (beyond || has.overrun > Amount::ZERO) {
                self.wrong(format!("{org} was charged beyond its leases: {has:?}"));
            }
            if has.overrun > may {
                self.wrong(format!("{org}: {has:?}, excused and lent are {may:?}"));
            }
        }
        if self.problem.is_some() {
            let books = books(&self.control.database).await;
            self.say(&books);
        }
    }
}
