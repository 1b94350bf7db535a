//! Why an endpoint has the place that it has, in words for operators.

use super::fleet::Memory;
use super::{Mode, RankingRow, Tuning};
use crate::catalog::Endpoint;
use crate::clock::Moment;
use crate::id::Region;
use std::fmt::Write;

/// An endpoint's place in a region, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Some lines of text.
    pub text: String,
    /// The row of the last tick; none where the price alone decides.
    pub row: Option<RankingRow>,
    /// Attempts that still count, as decayed.
    pub samples: f64,
}

/// What is explained.
pub(super) struct Subject<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) region: &'a Region,
    pub(super) row: Option<&'a RankingRow>,
    pub(super) memory: Option<&'a Memory>,
    pub(super) tuning: &'a Tuning,
}

pub(super) fn explain(subject: &Subject<'_>, now: Moment) -> Explanation {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write_row(&mut text, subject);
    let mut samples = 0.0;
    if let Some(memory) = subject.memory {
        samples = memory.evidence.pool(subject.tuning, |_| true).seen;
        let _ = write_memory(&mut text, memory, subject, now);
    }
    Explanation {
        text,
        row: subject.row.cloned(),
        samples,
    }
}

fn write_row(text: &mut String, subject: &Subject<'_>) -> std::fmt::Result {
    let (endpoint, region) = (subject.endpoint, subject.region);
    let price = endpoint.pricing.blended() * 1e6;
    writeln!(
        text,
        "{} in {region}: {price:.4} USD per million tokens of a usual mix",
        endpoint.id
    )?;
    let Some(row) = subject.row else {
        return writeln!(
            text,
            "no row: nothing is known of its model, the price alone decides"
        );
    };
    write!(text, "state {}; share", row.state)?;
    for mode in Mode::ALL {
        write!(text, " {mode} {:.2} %", 100.0 * row.share_of(*mode))?;
    }
    let failing = 100.0 * f64::from(row.failure) / f64::from(u16::MAX);
    writeln!(text, "; fails with {failing:.1} %")?;
    let unknown = |value: u32| {
        if value == 0 {
            "unknown".to_owned()
        } else {
            value.to_string()
        }
    };
    writeln!(
        text,
        "first token {} ms median, {} ms at 95 %; {} tenths of a token per second",
        unknown(row.ttft_ms.p50),
        unknown(row.ttft_ms_p95),
        unknown(row.throughput_tenths.p50),
    )?;
    match &row.probe {
        Some(probe) => writeln!(text, "{} sends probe {}", probe.node, probe.number),
        None => Ok(()),
    }
}

fn write_memory(
    text: &mut String,
    memory: &Memory,
    subject: &Subject<'_>,
    now: Moment,
) -> std::fmt::Result {
    let machines = memory.machines.get(subject.region);
    for (whose, machine) in std::iter::once(("the fleet", &memory.machine))
        .chain(machines.map(|machine| ("this region", machine)))
    {
        if let Some(until) = machine.held_until() {
            let left = until.since(now).as_secs_f64();
            writeln!(text, "{whose} holds it shut for {left:.1} s more")?;
        }
        if let Some(accusers) = machine.accusers() {
            let pops: Vec<_> = accusers.iter().map(|pop| pop.as_str()).collect();
            writeln!(
                text,
                "only {} sees it fail; a probe elsewhere decides",
                pops.join(", ")
            )?;
        } else if machine.probing(now).is_some() {
            writeln!(text, "{whose} probes it after a hold")?;
        }
    }
    for (node, observer) in &memory.evidence.observers {
        writeln!(
            text,
            "{node} ({}, {}): {:.1} attempts, {:.0} % failed, last {:.1} s ago",
            observer.pop,
            observer.region,
            observer.seen,
            100.0 * observer.failing(),
            now.since(observer.last).as_secs_f64(),
        )?;
    }
    Ok(())
}
