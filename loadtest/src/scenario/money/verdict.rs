//! Three books side by side: the edges' logs, the ledger, the providers' bills. Every difference is
//! named; none is forgiven.

use super::books::{Books, Recorded};
use super::clients::Seen;
use super::logs::Logs;
use crate::cluster::Fleet;
use crate::provider::{Bill, Entry};
use crate::scenario::ScenarioError;
use crate::scenario::file::Supplier;
use serde::Serialize;
use serde_json::json;
use shared::clock::Clock;
use shared::money::{Amount, Price};
use std::collections::{BTreeMap, BTreeSet};

/// Most differences that are listed.
const BROKEN_MAX: usize = 50;

/// What came out of a money scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MoneyReport {
    /// The scenario.
    pub name: String,
    /// The books agree to the last digit.
    pub pass: bool,
    /// Where they do not, in words; at most 50.
    pub broken: Vec<String>,
    /// Kills of edges.
    pub edge_kills: u64,
    /// Kills of the control plane.
    pub control_kills: u64,
    /// Requests that clients began.
    pub asked: u64,
    /// Answers that they got whole, left, and saw cut off.
    pub whole: u64,
    /// They left these.
    pub left: u64,
    /// These were cut off.
    pub cut: u64,
    /// Other answers, by what they say.
    pub refused: BTreeMap<String, u64>,
    /// Usage records that settled, of them by our own count.
    pub settled: u64,
    /// Priced by our own count until the bill came.
    pub estimated: u64,
    /// Usage records that charge nothing.
    pub released: u64,
    /// Requests that were in flight when their edge was killed.
    pub suspense: u64,
    /// Requests that more than one provider served or began to: failovers and hedges.
    pub tried_twice: u64,
    /// Requests whose record is missing in one of the books.
    pub lost: u64,
    /// Requests that are there twice.
    pub doubled: u64,
    /// What the providers bill, in USD.
    pub billed_usd: String,
    /// What the organisation is charged.
    pub charged_usd: String,
    /// What the platform pays itself: competitors, broken answers.
    pub expense_usd: String,
    /// What is billed, less what the ledger owes after reconciliation.
    pub difference_usd: String,
    /// Seconds, start to verdict.
    pub took_s: f64,
}

/// What all three say.
struct Case<'a> {
    logs: &'a Logs,
    records: Vec<Recorded>,
    bills: Vec<(Supplier, Bill)>,
    report: MoneyReport,
}

pub(super) async fn judge(
    fleet: &Fleet,
    logs: &Logs,
    bills: Vec<(Supplier, Bill)>,
    seen: &Seen,
) -> Result<MoneyReport, ScenarioError> {
    let books = Books::open(fleet.control_data()).await?;
    let mut case = Case {
        logs,
        records: books.records().await?,
        bills,
        report: MoneyReport {
            asked: seen.asked,
            whole: seen.whole.len() as u64,
            left: seen.left,
            cut: seen.cut,
            refused: seen.refused.clone(),
            ..MoneyReport::default()
        },
    };
    case.logs_and_ledger();
    case.bills_and_ledger();
    case.clients_and_ledger(seen);
    case.reconcile(fleet)?;
    case.sums(fleet, &books).await?;
    Ok(case.report)
}

impl Case<'_> {
    /// Each end in a log is in the ledger, once and as it is; what had not ended when its edge was
    /// killed is in suspense, once, between its last mark and its hold; and there is nothing else.
    fn logs_and_ledger(&mut self) {
        let (mut places, mut generations) = (BTreeMap::new(), BTreeSet::new());
        for record in &self.records {
            places.insert(record.place.clone(), record.clone());
            if !generations.insert(record.generation.clone()) {
                self.report.doubled += 1;
                let what = format!("{} is in the ledger twice", record.generation);
                self.report.breaks(what);
            }
            match record.outcome.as_str() {
                "settled" => self.report.settled += 1,
                "suspense" => self.report.suspense += 1,
                _ => self.report.released += 1,
            }
            self.report.estimated += u64::from(record.outcome == "settled" && record.estimated);
        }
        for ((node, epoch), run) in &self.logs.runs {
            for (sequence, end) in &run.ends {
                let place = (node.clone(), *epoch, *sequence);
                let Some(record) = places.remove(&place) else {
                    self.report.loses(format!("{place:?} is in the log only"));
                    continue;
                };
                let outcome = format!("{:?}", end.outcome).to_lowercase();
                let same = record.generation == end.generation.as_str()
                    && record.outcome == outcome
                    && (record.held, record.cost) == (end.held, end.cost);
                if !same {
                    let what = format!("{place:?}: log {end:?}, ledger {record:?}");
                    self.report.breaks(what);
                }
            }
        }
        let mut suspended: BTreeMap<(String, u64, String), Recorded> = BTreeMap::new();
        for (place, record) in places {
            if record.outcome != "suspense" {
                self.report.breaks(format!("{record:?} is in no log"));
                continue;
            }
            let key = (place.0, place.1, record.generation.clone());
            suspended.insert(key, record);
        }
        for ((node, epoch), run) in &self.logs.runs {
            for (generation, begun) in &run.open {
                let key = (node.clone(), *epoch, generation.clone());
                let Some(record) = suspended.remove(&key) else {
                    self.report
                        .loses(format!("{key:?} was in flight and is not in suspense"));
                    continue;
                };
                let bounds = begun.marked == record.cost
                    && begun.held == record.held
                    && record.cost <= record.held;
                if !bounds {
                    let what = format!("{key:?}: log {begun:?}, ledger {record:?}");
                    self.report.breaks(what);
                }
            }
        }
        for record in suspended.into_values() {
            self.report.breaks(format!("{record:?} was not in flight"));
        }
    }

    /// What settled by a provider's count is on its bill at that price, and there is nothing on a
    /// bill that the ledger does not know.
    fn bills_and_ledger(&mut self) {
        let mut known: BTreeMap<&str, &Recorded> = BTreeMap::new();
        for record in &self.records {
            known.insert(&record.generation, record);
        }
        let mut entries: BTreeMap<(&str, &str), Vec<Amount>> = BTreeMap::new();
        let mut tried: BTreeMap<&str, u64> = BTreeMap::new();
        for (supplier, bill) in &self.bills {
            for entry in &bill.requests {
                *tried.entry(&entry.id).or_default() += 1;
                let of = entries.entry((&supplier.slug, &entry.id)).or_default();
                of.push(invoiced(supplier, entry));
                if !known.contains_key(entry.id.as_str()) {
                    let what = format!("{} bills {entry:?}, the ledger has it not", supplier.slug);
                    self.report.loses(what);
                }
            }
            if bill.dropped > 0 {
                self.report.breaks("a bill has lost lines".to_owned());
            }
        }
        self.report.tried_twice = tried.values().filter(|times| **times > 1).count() as u64;
        for record in self.records.iter().filter(|it| it.outcome == "settled") {
            let lines = entries.get(&(record.provider.as_str(), record.generation.as_str()));
            let Some(lines) = lines else {
                self.report.breaks(format!("{record:?} is on no bill"));
                continue;
            };
            if !record.estimated && !lines.contains(&record.cost) {
                let what = format!("{record:?} is billed {lines:?}");
                self.report.breaks(what);
            }
        }
    }

    /// What a client got whole is settled, or was in flight when its edge was killed.
    fn clients_and_ledger(&mut self, seen: &Seen) {
        let outcomes = self.records.iter();
        let outcomes: BTreeMap<_, _> = outcomes
            .map(|record| (record.generation.as_str(), record.outcome.as_str()))
            .collect();
        for generation in &seen.whole {
            match outcomes.get(generation.as_str()) {
                Some(&"settled" | &"suspense") => {}
                Some(outcome) => {
                    let what = format!("{generation} was answered and is {outcome}");
                    self.report.breaks(what);
                }
                None => self
                    .report
                    .loses(format!("{generation} was answered, nobody knows it")),
            }
        }
    }

    /// Each provider's bill is brought to the ledger, in tokens, twice: the second time changes nothing.
    fn reconcile(&mut self, fleet: &Fleet) -> Result<(), ScenarioError> {
        let folder = tempfile::tempdir().map_err(ScenarioError::Listen)?;
        let until = (Clock::system().unix_s() + 1).to_string();
        for (supplier, bill) in &self.bills {
            let line = |entry: &Entry| {
                json!({
                    "id": entry.id, "input_tokens": entry.input_tokens,
                    "cached_tokens": entry.cached_tokens, "output_tokens": entry.output_tokens,
                })
            };
            let lines: Vec<_> = bill.requests.iter().map(line).collect();
            let file = folder.path().join(format!("{}.json", supplier.slug));
            let text = serde_json::Value::from(lines).to_string();
            std::fs::write(&file, text).map_err(ScenarioError::Listen)?;
            let file = file.to_string_lossy();
            for again in [false, true] {
                let arguments = [
                    "ledger",
                    "reconcile",
                    "--bill",
                    &file,
                    "--provider",
                    &supplier.slug,
                    "--complete-until",
                    &until,
                ];
                let done = match fleet.admin(&arguments) {
                    Ok(done) => done,
                    Err(error) => {
                        self.report.breaks(format!("{}: {error}", supplier.slug));
                        continue;
                    }
                };
                let changed = ["settled", "released", "adjusted", "beyond"];
                let changed = changed
                    .iter()
                    .any(|name| done.get(*name) != Some(&json!(0)));
                if again && changed || done.get("unknown") != Some(&json!(0)) {
                    self.report.breaks(format!("{}: {done}", supplier.slug));
                }
            }
        }
        Ok(())
    }

    /// The books are in order, nothing is left in suspense, and the ledger owes each provider what
    /// it bills.
    async fn sums(&mut self, fleet: &Fleet, books: &Books) -> Result<(), ScenarioError> {
        if let Err(error) = fleet.admin(&["ledger", "verify"]) {
            self.report.breaks(error.to_string());
        }
        let credits = fleet.admin(&["credits", "list"])?;
        let mut charged = Amount::ZERO;
        for org in credits.as_array().into_iter().flatten() {
            let usd = |name: &str| {
                let text = org.get(name).and_then(|usd| usd.as_str());
                text.and_then(|usd| usd.parse().ok()).unwrap_or(Amount(-1))
            };
            charged += usd("used_usd");
            if (usd("suspense_usd"), usd("overrun_usd")) != (Amount::ZERO, Amount::ZERO) {
                self.report.breaks(format!("left over: {org}"));
            }
        }
        let (owed, expense) = (books.owed().await?, -books.expense().await?);
        let (mut billed, mut difference) = (Amount::ZERO, Amount::ZERO);
        for (supplier, bill) in &self.bills {
            let lines = bill.requests.iter().map(|entry| invoiced(supplier, entry));
            let bill: Amount = lines.sum();
            let owes = owed.get(&supplier.slug).copied().unwrap_or_default();
            if bill != owes {
                let what = format!("{} bills {bill} USD, is owed {owes}", supplier.slug);
                self.report.breaks(what);
            }
            billed += bill;
            difference += bill - owes;
        }
        if charged + expense != billed {
            let what = format!("charged {charged} and spent {expense} USD of {billed} billed");
            self.report.breaks(what);
        }
        self.report.billed_usd = billed.to_string();
        self.report.charged_usd = charged.to_string();
        self.report.expense_usd = expense.to_string();
        self.report.difference_usd = difference.to_string();
        Ok(())
    }
}

impl MoneyReport {
    pub(super) fn breaks(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(what);
        }
    }

    fn loses(&mut self, what: String) {
        self.lost += 1;
        self.breaks(what);
    }
}

/// What a provider's entry comes to at its price, rounded once per class of token.
fn invoiced(supplier: &Supplier, entry: &Entry) -> Amount {
    let price: Price = supplier.price.parse().unwrap_or_default();
    price.cost(entry.input_tokens) + price.cost(entry.output_tokens)
}
