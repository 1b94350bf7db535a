//! What a run was worth: the reference's metrics. Reaction is how long a sick provider keeps more
//! than a quarter of its share; recovery, how long after the fault it has less than half of it.

use crate::engine::{Record, Trace};
use crate::scenario::{Break, REGIONS, Scenario};
use std::collections::BTreeMap;

/// A provider with less than this of the requests before a fault says nothing about reactions.
const SHARE_MIN: f64 = 0.03;
/// What is left of the share after a reaction.
const REACTED: f64 = 0.25;
/// The same, where only the limit was cut.
const REACTED_LIMIT: f64 = 0.5;
/// What is back of the share after a recovery.
const RECOVERED: f64 = 0.5;
/// Seconds over which shares are looked at.
const LOOK: usize = 5;
/// Seconds before a fault that give the usual share.
const BEFORE: usize = 20;
/// Seconds after which a recovery has failed.
const RECOVERY_MAX: usize = 60;

/// One fault's figures; none is not a number.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultFigures {
    /// Its name.
    pub name: String,
    /// The part of its requests that were served well.
    pub goodput_pct: f64,
    /// Seconds.
    pub reaction_s: f64,
    /// Seconds.
    pub recovery_s: f64,
}

/// A run's figures, or the means of several; none is not a number.
#[derive(Clone, PartialEq, Debug)]
pub struct Figures {
    /// Whole answers.
    pub success_pct: f64,
    /// Whole, soon and fast enough.
    pub goodput_pct: f64,
    /// The same, in the worst fault's time.
    pub worst_fault_goodput_pct: f64,
    /// Of whole answers.
    pub ttft_p50_s: f64,
    /// Of whole answers.
    pub ttft_p99_s: f64,
    /// Paid per million tokens of whole answers, hedges included.
    pub usd_per_mtok: f64,
    /// Attempts beyond the first.
    pub extra_attempts_per_100: f64,
    /// 429s.
    pub http429_per_100: f64,
    /// The mean of F1 to F5 and F8.
    pub reaction_s: f64,
    /// The mean of all but F7.
    pub recovery_s: f64,
    /// By fault.
    pub faults: Vec<FaultFigures>,
    /// What the policy tells of itself.
    pub notes: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// Of one run.
    #[must_use]
    pub fn of(scenario: &Scenario, trace: &Trace, notes: BTreeMap<&'static str, f64>) -> Self {
        let counted = trace.records.iter().filter(|it| it.at >= scenario.warm);
        let counted: Vec<Record> = counted.copied().collect();
        let ok: Vec<Record> = counted.iter().copied().filter(|it| it.ok).collect();
        let mut ttft: Vec<f64> = ok.iter().map(|record| record.ttft).collect();
        ttft.sort_by(f64::total_cmp);
        let tokens: f64 = ok.iter().map(|record| record.tokens).sum();
        let cost = ok.iter().map(|record| record.cost).sum::<f64>() + trace.wasted;
        let all = trace.records.len() as f64;
        let named = scenario
            .faults
            .iter()
            .filter(|fault| !fault.name.is_empty());
        let faults = named.map(|fault| {
            let during = counted.iter().filter(|record| fault.active(record.at));
            let (reaction_s, recovery_s) = reaction(scenario, trace, fault);
            FaultFigures {
                name: fault.name.clone(),
                goodput_pct: part(during, Record::is_good),
                reaction_s,
                recovery_s,
            }
        });
        let faults: Vec<FaultFigures> = faults.collect();
        let worst = faults.iter().map(|fault| fault.goodput_pct);
        let among = |names: &[&str], of: fn(&FaultFigures) -> f64| {
            let named = faults.iter().filter(|fault| {
                let label = fault.name.split(' ').next();
                label.is_some_and(|label| names.contains(&label))
            });
            mean(named.map(of))
        };
        let hard = ["F1", "F2", "F3", "F4", "F5", "F8"];
        Self {
            success_pct: part(counted.iter(), |record| record.ok),
            goodput_pct: part(counted.iter(), Record::is_good),
            worst_fault_goodput_pct: worst.fold(100.0, f64::min),
            ttft_p50_s: quantile(&ttft, 0.5),
            ttft_p99_s: quantile(&ttft, 0.99),
            usd_per_mtok: cost / tokens,
            extra_attempts_per_100: 100.0 * (trace.attempts as f64 - all) / all,
            http429_per_100: 100.0 * trace.rate_limited as f64 / all,
            reaction_s: among(&hard, |fault| fault.reaction_s),
            recovery_s: among(&hard, |fault| fault.recovery_s),
            faults,
            notes,
        }
    }

    /// The means of several runs. A figure that a run doesn't have is left out of its mean.
    #[must_use]
    pub fn mean(runs: &[Self]) -> Option<Self> {
        let first = runs.first()?;
        let of = |figure: fn(&Self) -> f64| mean(runs.iter().map(figure));
        let faults = first.faults.iter().enumerate().map(|(at, fault)| {
            let same = || runs.iter().filter_map(|run| run.faults.get(at));
            FaultFigures {
                name: fault.name.clone(),
                goodput_pct: mean(same().map(|it| it.goodput_pct)),
                reaction_s: mean(same().map(|it| it.reaction_s)),
                recovery_s: mean(same().map(|it| it.recovery_s)),
            }
        });
        let notes = first.notes.keys().map(|name| {
            let values = runs.iter().filter_map(|run| run.notes.get(name).copied());
            (*name, mean(values))
        });
        Some(Self {
            success_pct: of(|it| it.success_pct),
            goodput_pct: of(|it| it.goodput_pct),
            worst_fault_goodput_pct: of(|it| it.worst_fault_goodput_pct),
            ttft_p50_s: of(|it| it.ttft_p50_s),
            ttft_p99_s: of(|it| it.ttft_p99_s),
            usd_per_mtok: of(|it| it.usd_per_mtok),
            extra_attempts_per_100: of(|it| it.extra_attempts_per_100),
            http429_per_100: of(|it| it.http429_per_100),
            reaction_s: of(|it| it.reaction_s),
            recovery_s: of(|it| it.recovery_s),
            faults: faults.collect(),
            notes: notes.collect(),
        })
    }
}

/// Seconds to the reaction and to the recovery.
fn reaction(scenario: &Scenario, trace: &Trace, fault: &crate::scenario::Fault) -> (f64, f64) {
    let none = (f64::NAN, f64::NAN);
    let shifts = !matches!(
        fault.what,
        Break::Surge(_) | Break::Flap(_) | Break::Speed(_) | Break::Uplink(..) | Break::Liar(_)
    );
    let (start, end) = (fault.start as usize, fault.end as usize);
    if !shifts || end - start <= LOOK {
        return none;
    }
    let share = |from: usize, to: usize| {
        let (mut here, mut all) = (0, 0);
        for second in from..to {
            let regions = 0..REGIONS.len();
            for region in regions.filter(|it| fault.region.is_none_or(|only| only == *it)) {
                all += trace.all_first_attempts(second, region);
                let providers = fault.providers.iter();
                let first = |provider: &usize| trace.first_attempts(second, region, *provider);
                here += providers.map(first).sum::<u32>();
            }
        }
        f64::from(here) / f64::from(all.max(1))
    };
    let before = share(start - BEFORE, start);
    if before < SHARE_MIN {
        return none;
    }
    let left = if matches!(fault.what, Break::Limit(_)) {
        REACTED_LIMIT
    } else {
        REACTED
    };
    let mut seconds = start..(end + 1 - LOOK);
    let reacted = seconds.find(|it| share(*it, it + LOOK) < left * before);
    let reacted = reacted.map_or(end - start, |second| second - start);
    let mut seconds = end..(end + RECOVERY_MAX - LOOK);
    let recovered = seconds.find(|it| share(*it, it + LOOK) >= RECOVERED * before);
    let recovered = recovered.map_or(RECOVERY_MAX, |second| second - end);
    // After the last fault there is no time to recover in.
    let recovered = if fault.end + RECOVERY_MAX as f64 <= scenario.end {
        recovered as f64
    } else {
        f64::NAN
    };
    (reacted as f64, recovered)
}

fn part<'a>(of: impl Iterator<Item = &'a Record>, counts: impl Fn(&Record) -> bool) -> f64 {
    let (mut all, mut good) = (0.0, 0.0);
    for record in of {
        all += 1.0;
        good += f64::from(u8::from(counts(record)));
    }
    100.0 * good / all
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = (q * sorted.len() as f64) as usize;
    let at = at.min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|value| value.is_finite()) {
        sum += value;
        count += 1.0;
    }
    sum / count
}
