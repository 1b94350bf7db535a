//! What was found becomes rows: who probes, and what of it is worth telling.

use super::super::memory::{Memory, Standing};
use super::super::news::{self, Finding, Shares};
use super::Place;
use super::model::{Findings, Found};
use super::page::Page;
use crate::catalog::Endpoint;
use crate::id::EndpointId;
use crate::ranking::demand::Demand;
use crate::ranking::probe::{Crew, Why};
use crate::ranking::roster::RegionIx;
use crate::ranking::{Mode, ProbeLease, RankingRow, State, behind_u8, share_u16};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What turned requests away so lately is full, not forgotten.
const FULL: Duration = Duration::from_secs(60);

/// Remembers what was found of a model and adds its rows to each region's.
pub(super) fn write(
    found: &Findings,
    endpoints: &[&Arc<Endpoint>],
    memories: &mut HashMap<EndpointId, Memory>,
    (demand, place): (&Demand, &Place<'_>),
    pages: &mut [Page<'_>],
) {
    let findings = settle(found, endpoints, memories, (demand, place));
    for (findings, page) in findings.iter().zip(pages) {
        let told = endpoints.iter().map(|endpoint| page.told(&endpoint.id));
        let told: Vec<Option<&RankingRow>> = told.collect();
        let shares = shares(&told, findings, place);
        let each = findings.iter().zip(&told).zip(shares);
        let new = each.map(|((now, told), shares)| news::row(*told, now, shares, place.tuning));
        let ids = endpoints.iter().map(|endpoint| endpoint.id.clone());
        if !place.urgent {
            page.rows.extend(ids.zip(new));
            continue;
        }
        let new: Vec<RankingRow> = new.collect();
        let mut both = told.iter().zip(&new);
        if both.any(|(told, new)| news::is_urgent(*told, new)) {
            page.rows.extend(ids.zip(new));
        }
    }
}

/// Keeps what was found where the next tick looks for it, and asks who probes. By region, then by
/// endpoint.
fn settle(
    found: &Findings,
    endpoints: &[&Arc<Endpoint>],
    memories: &mut HashMap<EndpointId, Memory>,
    (demand, place): (&Demand, &Place<'_>),
) -> Vec<Vec<Finding>> {
    let crews = place
        .regions()
        .zip(&place.nodes)
        .map(|(region, nodes)| Crew {
            roster: place.roster,
            region,
            nodes,
            all: &place.all,
            demand,
            now: place.now,
        });
    let crews: Vec<Crew<'_>> = crews.collect();
    let empty = || Vec::with_capacity(endpoints.len());
    let mut findings: Vec<Vec<Finding>> = crews.iter().map(|_| empty()).collect();
    for (at, endpoint) in endpoints.iter().enumerate() {
        let Some(memory) = memories.get_mut(&endpoint.id) else {
            continue;
        };
        for ((found, crew), findings) in found.iter().zip(&crews).zip(&mut findings) {
            if let Some(found) = found.get(at) {
                let probe = remember(memory, found, crew, place);
                findings.push(finding(memory, found, crew.region, probe));
            }
        }
    }
    findings
}

/// All kinds of shares of all endpoints: those of one mode are told together.
fn shares(told: &[Option<&RankingRow>], now: &[Finding], place: &Place<'_>) -> Vec<Shares> {
    let mut all: Vec<Shares> = told
        .iter()
        .map(|told| told.map_or_else(Shares::default, Shares::of))
        .collect();
    for mode in Mode::ALL {
        let at = mode.index();
        let get = |values: &[u16; 4]| values.get(at).copied().unwrap_or_default();
        let real = |values: &[f64; 4]| values.get(at).copied().unwrap_or_default();
        let moved = news::shares_moved(
            told,
            now,
            (|row| get(&row.share), |it| real(&it.shares)),
            (*mode, place.tuning),
        );
        let lasting_moved = news::shares_moved(
            told,
            now,
            (|row| get(&row.long_run), |it| real(&it.long_run)),
            (*mode, place.tuning),
        );
        let overtaken = moved || news::has_overtaken(told, now, *mode, place.tuning);
        for (to_tell, now) in all.iter_mut().zip(now) {
            if let Some(slot) = to_tell.share.get_mut(at).filter(|_| moved) {
                *slot = share_u16(real(&now.shares));
            }
            if let Some(slot) = to_tell.behind.get_mut(at).filter(|_| overtaken) {
                *slot = behind_u8(real(&now.behind));
            }
            if let Some(slot) = to_tell.long_run.get_mut(at).filter(|_| lasting_moved) {
                *slot = share_u16(real(&now.long_run));
            }
        }
    }
    all
}

/// Keeps what the next tick and an explanation need; who probes from now on.
fn remember(
    memory: &mut Memory,
    found: &Found,
    crew: &Crew<'_>,
    place: &Place<'_>,
) -> Option<ProbeLease> {
    let at = crew.region.at();
    let accusers = memory
        .asking(crew.region)
        .map(|machine| machine.accusers().cloned());
    let why = match &accusers {
        _ if found.withdrawn => None,
        Some(accusers) => Some(Why::HalfOpen(accusers.as_ref())),
        None if is_deserving(memory, found, place) => Some(Why::Deserving),
        None => None,
    };
    let local = memory.regions.get_mut(at)?;
    local.standing = Some(Standing {
        shares: found.shares,
        facts: found.facts,
        limit: found.ramp,
    });
    local.turn.step(
        why.as_ref(),
        crew,
        crew.demand.elapsed(),
        &place.tuning.probe,
    )
}

/// Would it be one of the best, as it usually is?
fn is_deserving(memory: &Memory, found: &Found, place: &Place<'_>) -> bool {
    let tuning = &place.tuning.probe;
    let serves = matches!(found.state, State::Closed | State::Ramp) && found.limit > 0.0;
    let full = memory
        .cap
        .hit()
        .is_some_and(|hit| place.now.since(hit) < FULL);
    let mut modes = found.shares.iter().zip(&found.deserves);
    serves
        && !full
        && modes.any(|(share, deserves)| *share < tuning.unused && *deserves > tuning.deserving)
}

fn finding(memory: &Memory, found: &Found, region: RegionIx, probe: Option<ProbeLease>) -> Finding {
    let local = memory.regions.get(region.at()).map(|local| &local.ttft);
    let ttft = local
        .filter(|recent| recent.told().is_some())
        .unwrap_or(&memory.ttft);
    let whole = Some(&memory.whole_throughput).filter(|recent| recent.told().is_some());
    let whole = whole.filter(|_| memory.throughput.told().is_none());
    let throughput = whole.unwrap_or(&memory.throughput);
    Finding {
        shares: found.shares,
        long_run: found.long_run,
        behind: found.behind,
        state: found.state,
        ttft: ttft.told().unwrap_or_default(),
        ttft_p95: found.ttft.map_or(0.0, |it| it.p95),
        ttft_samples: ttft.samples(),
        throughput: throughput.told().unwrap_or_default(),
        throughput_samples: throughput.samples(),
        failure: found.failure,
        tool_failure: found.tool_failure,
        cap: memory.rate(),
        token_cap: memory.tokens(),
        part: memory.account.part(),
        probe,
    }
}
