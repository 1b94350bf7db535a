//! Why an endpoint has the place that it has, in words for operators.

use super::evidence::Span;
use super::fleet::memory::{Memory, Standing};
use super::roster::{RegionIx, Roster};
use super::score::Terms;
use super::state::Machine;
use super::{Mode, OperatorWish, RankingRow, RankingTable, Tuning};
use crate::catalog::Endpoint;
use crate::clock::Moment;
use crate::id::{EndpointId, Region};
use crate::snapshot::Snapshot;
use std::collections::HashMap;
use std::fmt::{Result, Write};

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
    pub(super) region_ix: Option<RegionIx>,
    pub(super) table: Option<&'a RankingTable>,
    pub(super) memories: &'a HashMap<EndpointId, Memory>,
    pub(super) wish: Option<&'a OperatorWish>,
    pub(super) roster: &'a Roster,
    pub(super) snapshot: &'a Snapshot,
    pub(super) tuning: &'a Tuning,
}

pub(super) fn explain(subject: &Subject<'_>, now: Moment) -> Explanation {
    let mut text = String::new();
    let row = subject.row(&subject.endpoint.id);
    let memory = subject.memories.get(&subject.endpoint.id);
    // Writing to a string can't fail.
    let _ = write_row(&mut text, subject, row);
    let _ = write_wish(&mut text, subject);
    let mut samples = 0.0;
    if let Some(memory) = memory {
        samples = memory.evidence.pool(Span::Lately, None).seen;
        let _ = write_comparison(&mut text, subject, memory);
        let _ = write_cap(&mut text, memory, now);
        let _ = write_states(&mut text, memory, subject, now);
        let _ = write_observers(&mut text, memory, subject, now);
    }
    Explanation {
        text,
        row: row.cloned(),
        samples,
    }
}

impl<'a> Subject<'a> {
    fn row(&self, endpoint: &EndpointId) -> Option<&'a RankingRow> {
        self.table?.rows.get(endpoint)
    }

    fn standing(&self, memory: &Memory) -> Option<Standing> {
        memory.regions.get(self.region_ix?.at())?.standing
    }

    /// Its model's endpoints by share, the largest first.
    fn places(&self) -> Vec<(&'a EndpointId, f64)> {
        let all = self.snapshot.endpoints_of(self.endpoint.model.as_str());
        let all = all
            .iter()
            .filter_map(|index| self.snapshot.endpoint(*index));
        let mut places: Vec<_> = all
            .filter_map(|endpoint| {
                let row = self.row(&endpoint.id)?;
                Some((&endpoint.id, row.share_of(Mode::Balanced)))
            })
            .collect();
        places.sort_by(|a, b| b.1.total_cmp(&a.1));
        places
    }
}

fn write_row(text: &mut String, subject: &Subject<'_>, row: Option<&RankingRow>) -> Result {
    let (endpoint, region) = (subject.endpoint, subject.region);
    let price = endpoint.pricing.blended() * 1e6;
    writeln!(
        text,
        "{} in {region}: {price:.4} USD per million tokens of a usual mix",
        endpoint.id
    )?;
    let Some(row) = row else {
        return writeln!(
            text,
            "no row: nothing is known of its model, the price alone decides"
        );
    };
    let places = subject.places();
    if let Some(at) = places.iter().position(|(id, _)| **id == endpoint.id) {
        writeln!(text, "place {} of {}", at + 1, places.len())?;
    }
    write!(text, "state {}; share", row.state)?;
    for mode in Mode::ALL {
        write!(text, " {mode} {:.2} %", 100.0 * row.share_of(*mode))?;
    }
    let percent = |part: u16| 100.0 * f64::from(part) / f64::from(u16::MAX);
    writeln!(
        text,
        "; fails with {:.1} %, tool calls with {:.1} %",
        percent(row.failure),
        percent(row.tool_failure)
    )?;
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

fn write_wish(text: &mut String, subject: &Subject<'_>) -> Result {
    let Some(wish) = subject.wish else {
        return Ok(());
    };
    write!(text, "an operator wants:")?;
    if let Some(state) = wish.withdrawal() {
        write!(text, " {state}")?;
    }
    if wish.pinned {
        write!(text, " pinned")?;
    }
    writeln!(text, " weight x{}", wish.weight())
}

/// What it costs more than the first, in factors that multiply to the whole.
fn write_comparison(text: &mut String, subject: &Subject<'_>, memory: &Memory) -> Result {
    let places = subject.places();
    let first = places.iter().find(|(id, _)| **id != subject.endpoint.id);
    let other = first.and_then(|(id, _)| Some((*id, subject.memories.get(*id)?)));
    let (Some(mine), Some((id, other))) = (subject.standing(memory), other) else {
        return Ok(());
    };
    let Some(theirs) = subject.standing(other) else {
        return Ok(());
    };
    let tuning = &subject.tuning.score;
    let parts = |it: &Standing| Terms::of(&it.facts, tuning).parts(Mode::Balanced, tuning);
    write!(text, "costs, against {id}:")?;
    let mut whole = 0.0;
    for ((name, mine), (_, theirs)) in parts(&mine).into_iter().zip(parts(&theirs)) {
        whole += mine - theirs;
        write!(text, " {name} x{:.2}", (mine - theirs).exp())?;
    }
    writeln!(text, "; in all x{:.2}", whole.exp())?;
    let share = mine.shares.first().copied().unwrap_or_default();
    if mine.limit < 1.0 && share >= 0.9 * mine.limit {
        writeln!(text, "its share may be {:.2} % for now", 100.0 * mine.limit)?;
    }
    Ok(())
}

fn write_cap(text: &mut String, memory: &Memory, now: Moment) -> Result {
    let (rate, tokens) = (memory.rate(), memory.tokens());
    if rate.is_none() && tokens.is_none() {
        return Ok(());
    }
    write!(text, "takes")?;
    if let Some(rate) = rate {
        write!(text, " {rate:.2} requests/s")?;
    }
    if let Some(tokens) = tokens {
        let and = if rate.is_some() { " and" } else { "" };
        let unit = memory.cap.unit().unwrap_or_default();
        write!(text, "{and} {tokens:.0} tokens/s, {unit:.0} by request,")?;
    }
    write!(
        text,
        " from the fleet, accepted {:.2}/s of late",
        memory.cap.accepted()
    )?;
    if let Some(part) = memory.account.part() {
        let part = 100.0 * part;
        write!(text, ", {part:.0} % of its provider's account are its own")?;
    }
    match memory.cap.hit() {
        Some(hit) => {
            let ago = now.since(hit).as_secs_f64();
            writeln!(text, ", turned requests away {ago:.0} s ago")
        }
        None => writeln!(text, ", turned none away"),
    }
}

fn write_states(text: &mut String, memory: &Memory, subject: &Subject<'_>, now: Moment) -> Result {
    let own = subject.region_ix.and_then(|ix| memory.regions.get(ix.at()));
    let own = own.map(|local| ("this region", &local.machine));
    for (whose, machine) in std::iter::once(("the fleet", &memory.machine)).chain(own) {
        write_state(text, whose, machine, now)?;
    }
    Ok(())
}

fn write_state(text: &mut String, whose: &str, machine: &Machine, now: Moment) -> Result {
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
    Ok(())
}

fn write_observers(
    text: &mut String,
    memory: &Memory,
    subject: &Subject<'_>,
    now: Moment,
) -> Result {
    let mut lines = Vec::new();
    for observer in &memory.evidence.observers {
        let Some(node) = subject.roster.node(observer.node) else {
            continue;
        };
        let pop = subject.roster.pop(observer.pop);
        let region = subject.roster.region_at(observer.region);
        let (Some(pop), Some(region)) = (pop, region) else {
            continue;
        };
        lines.push(format!(
            "{} ({pop}, {region}): {:.1} attempts, {:.0} % failed, last {:.1} s ago",
            node.id,
            observer.lately.seen,
            100.0 * observer.lately.failing(),
            now.since(observer.last).as_secs_f64(),
        ));
    }
    lines.sort_unstable();
    for (region, crowd) in memory.evidence.crowd() {
        if let Some(region) = subject.roster.region_at(region) {
            let seen = crowd.lately.seen;
            lines.push(format!("all others in {region}: {seen:.1} attempts"));
        }
    }
    lines.iter().try_for_each(|line| writeln!(text, "{line}"))
}
