//! What an endpoint costs against another of its model, in factors that multiply to the whole.

use super::super::Mode;
use super::super::fleet::memory::{Memory, Standing};
use super::super::score::{Facts, Terms};
use super::Subject;
use crate::id::EndpointId;
use std::fmt::{Result, Write};

/// A share that reaches so much of its limit is cut off by it; what is only near may grow as it is.
const CUT: f64 = 0.999;

/// Against the first or, for the first, against the second.
pub(super) fn write(text: &mut String, subject: &Subject<'_>, memory: &Memory) -> Result {
    let places = subject.places();
    let first = places.iter().find(|(id, _)| **id != subject.endpoint.id);
    let other = first.and_then(|(id, _)| Some((*id, subject.memories.get(*id)?)));
    let (Some(mine), Some((id, other))) = (subject.standing(memory), other) else {
        return Ok(());
    };
    let Some(theirs) = subject.standing(other) else {
        return Ok(());
    };
    let score = &subject.score;
    let parts = |it: &Standing| Terms::of(&it.facts, score).parts(Mode::Balanced, score);
    writeln!(
        text,
        "what it costs against {id}, all told (x1 is alike, more is worse):"
    )?;
    let is_assumed = |id: &EndpointId| {
        let row = subject.row(id);
        row.is_none_or(|row| row.ttft_ms.p50 == 0 || row.throughput_tenths.p50 == 0)
    };
    for id in [&subject.endpoint.id, id]
        .into_iter()
        .filter(|id| is_assumed(id))
    {
        writeln!(
            text,
            "  (not all of {id} was measured of late: its own record, or its model's usual values, stand in)"
        )?;
    }
    let mut whole = 0.0;
    for ((name, mine_of), (_, theirs_of)) in parts(&mine).into_iter().zip(parts(&theirs)) {
        let worse = mine_of - theirs_of;
        whole += worse;
        let why = reason(name, &mine.facts, &theirs.facts);
        writeln!(text, "  {name} x{:.2}: {why}", worse.exp())?;
    }
    let weight = |facts: &Facts| facts.favour.max(0.0);
    let sharpness = score.of(Mode::Balanced).sharpness;
    let left = (-sharpness * whole).exp();
    writeln!(
        text,
        "  in all x{:.2}; to the power of {sharpness}, its weight is x{left:.3} of the other's",
        whole.exp()
    )?;
    let (own, of_other) = (weight(&mine.facts), weight(&theirs.facts));
    if (own - of_other).abs() > f64::EPSILON {
        writeln!(text, "  operators' weights: x{own} against x{of_other}")?;
    }
    let share = mine.shares.first().copied().unwrap_or_default();
    if mine.limit > 0.0 && mine.limit < 1.0 && share >= CUT * mine.limit {
        writeln!(
            text,
            "its share is held at {:.2} % for now, and grows step by step once it may",
            100.0 * mine.limit
        )?;
    }
    Ok(())
}

/// The numbers behind a factor; times are those of the last minute, or its model's usual ones where
/// it has none of its own.
fn reason(name: &str, mine: &Facts, theirs: &Facts) -> String {
    let pair = |mine: f64, theirs: f64, digits: usize, unit: &str| {
        format!("{mine:.digits$} against {theirs:.digits$} {unit}")
    };
    match name {
        "price" => pair(
            mine.price * 1e6,
            theirs.price * 1e6,
            4,
            "USD per million tokens",
        ),
        "first token" => pair(mine.ttft * 1e3, theirs.ttft * 1e3, 0, "ms"),
        "throughput" => pair(mine.throughput, theirs.throughput, 1, "tokens/s"),
        _ => {
            let failing = pair(100.0 * mine.failure, 100.0 * theirs.failure, 1, "% failing");
            let late = pair(
                mine.ttft_p90 * 1e3,
                theirs.ttft_p90 * 1e3,
                0,
                "ms to the first token at the 90th percentile",
            );
            format!("{failing}; {late}")
        }
    }
}
