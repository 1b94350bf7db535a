//! Why an endpoint has the place that it has, in words for operators: first the place, then what it
//! is known to be like, what it costs against the first, and who has seen what.

mod compare;

use super::evidence::Span;
use super::fleet::memory::{Memory, Standing};
use super::roster::{RegionIx, Roster};
use super::state::Machine;
use super::{Mode, OperatorWish, RankingRow, RankingTable, ScoreTuning, State, Tuning};
use crate::catalog::Endpoint;
use crate::clock::Moment;
use crate::id::{EndpointId, Region};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Result, Write};

/// The most endpoints ahead of one that are named.
const AHEAD_TOLD_MAX: usize = 5;
/// A share up to so many times the floor is the floor, after the others' rounding.
const NEARLY: f64 = 1.5;

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
    pub(super) wishes: &'a BTreeMap<EndpointId, OperatorWish>,
    pub(super) roster: &'a Roster,
    pub(super) snapshot: &'a Snapshot,
    pub(super) tuning: &'a Tuning,
    /// What the model's endpoints are told apart by.
    pub(super) score: ScoreTuning,
}

pub(super) fn explain(subject: &Subject<'_>, now: Moment) -> Explanation {
    let mut text = String::new();
    let row = subject.row(&subject.endpoint.id);
    let memory = subject.memories.get(&subject.endpoint.id);
    // Writing to a string can't fail.
    let _ = write_place(&mut text, subject, row);
    let _ = write_wishes(&mut text, subject);
    let mut samples = 0.0;
    if let Some(memory) = memory {
        samples = memory.evidence.pool(Span::Lately, None).seen;
        let _ = write_states(&mut text, memory, subject, now);
        let _ = compare::write(&mut text, subject, memory);
        let _ = write_cap(&mut text, memory, now);
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

/// What a state means to who has not written it.
const fn meaning(state: State) -> &'static str {
    match state {
        State::Closed => "in service",
        State::Open => "shut off, because it fails",
        State::HalfOpen => "tried by single requests, before it gets more",
        State::Ramp => "recovered, its share grows back",
        State::Draining => "cordoned by an operator",
        State::Disabled => "disabled by an operator",
    }
}

fn write_place(text: &mut String, subject: &Subject<'_>, row: Option<&RankingRow>) -> Result {
    let (endpoint, region) = (subject.endpoint, subject.region);
    let (id, model) = (&endpoint.id, &endpoint.model);
    let price = endpoint.pricing.blended() * 1e6;
    let price =
        format!("price: {price:.4} USD per million tokens, three of a prompt to one of an answer");
    let Some(row) = row else {
        writeln!(text, "{id} in {region}: no edge is told a share of it")?;
        writeln!(
            text,
            "nothing was asked of {model} lately: until then its endpoints share requests by price alone, half the price, four times the requests"
        )?;
        return writeln!(text, "{price}");
    };
    let places = subject.places();
    let share = row.share_of(Mode::Balanced);
    let at = places.iter().position(|(other, _)| *other == id);
    let at = at.unwrap_or_default();
    writeln!(
        text,
        "{id} in {region}: place {} of {}, {:.2} % of requests that set no sort",
        at + 1,
        places.len(),
        100.0 * share
    )?;
    if at > 0 {
        let named = places.iter().take(at.min(AHEAD_TOLD_MAX));
        let named = named.map(|(id, share)| format!("{id} {:.2} %", 100.0 * share));
        let named: Vec<String> = named.collect();
        let more = at.saturating_sub(AHEAD_TOLD_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        writeln!(text, "ahead of it: {}{more}", named.join(", "))?;
    }
    writeln!(text, "state: {}, {}", row.state, meaning(row.state))?;
    let floor = subject.tuning.share.floor;
    if share > 0.0 && share < NEARLY * floor && row.state == State::Closed {
        let least = 100.0 * floor;
        writeln!(
            text,
            "its share is the least that is given, about {least} %, so that it stays known"
        )?;
    }
    write!(text, "of requests that set provider.sort:")?;
    for mode in Mode::ALL.iter().filter(|mode| **mode != Mode::Balanced) {
        write!(text, " by {mode} {:.2} %", 100.0 * row.share_of(*mode))?;
    }
    writeln!(text, "\n{price}")?;
    write_measured(text, row)
}

fn write_measured(text: &mut String, row: &RankingRow) -> Result {
    let or_unknown = |known: bool, value: String| {
        if known { value } else { "unknown".to_owned() }
    };
    let ms = |value: u32| or_unknown(value > 0, format!("{value} ms"));
    let speed = row.throughput_tenths.p50;
    let tenths = format!("{}.{} tokens/s", speed / 10, speed % 10);
    let percent = |part: u16| 100.0 * f64::from(part) / f64::from(u16::MAX);
    writeln!(
        text,
        "measured of late: first token {} (median), {} (95th percentile); speed {}; expected to fail: {:.1} % of requests, {:.1} % of tool calls",
        ms(row.ttft_ms.p50),
        ms(row.ttft_ms_p95),
        or_unknown(speed > 0, tenths),
        percent(row.failure),
        percent(row.tool_failure)
    )?;
    match &row.probe {
        Some(probe) => writeln!(text, "{} tries it out, probe {}", probe.node, probe.number),
        None => Ok(()),
    }
}

/// What operators want of it, and of others where that is felt here.
fn write_wishes(text: &mut String, subject: &Subject<'_>) -> Result {
    let own = subject.wishes.get(&subject.endpoint.id);
    if let Some(wish) = own {
        write!(text, "operators want of it: weight x{}", wish.weight())?;
        if let Some(state) = wish.withdrawal() {
            write!(text, ", {state}")?;
        }
        if wish.pinned {
            write!(
                text,
                ", pinned: its model's requests go to it while it does not fail"
            )?;
        }
        writeln!(text)?;
    }
    let all = subject
        .snapshot
        .endpoints_of(subject.endpoint.model.as_str());
    let all = all.iter().filter_map(|at| subject.snapshot.endpoint(*at));
    let others = all.filter(|other| other.id != subject.endpoint.id);
    for other in others {
        match subject.wishes.get(&other.id) {
            Some(wish) if wish.pinned && !own.is_some_and(|own| own.pinned) => writeln!(
                text,
                "operators have pinned {}: while that does not fail, others get nothing",
                other.id
            )?,
            _ => {}
        }
    }
    Ok(())
}

fn write_cap(text: &mut String, memory: &Memory, now: Moment) -> Result {
    let (rate, tokens) = (memory.rate(), memory.tokens());
    if rate.is_none() && tokens.is_none() {
        return Ok(());
    }
    write!(text, "limit: it takes")?;
    if let Some(rate) = rate {
        write!(text, " {rate:.2} requests/s")?;
    }
    if let Some(tokens) = tokens {
        let and = if rate.is_some() { " and" } else { "" };
        let unit = memory.cap.unit().unwrap_or_default();
        write!(
            text,
            "{and} {tokens:.0} tokens/s ({unit:.0} for a usual request)"
        )?;
    }
    write!(
        text,
        " from all edges together; accepted of late {:.2} requests/s",
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
    if !lines.is_empty() {
        writeln!(text, "who has asked it lately (old attempts fade):")?;
    }
    lines.iter().try_for_each(|line| writeln!(text, "{line}"))
}
