//! Runs for people and for programs: a table, or one JSON object. A figure that does not exist is
//! null.

use crate::Runs;
use crate::measure::Figures;
use serde_json::{Map, Value, json};

/// A table: one row per policy, the means of its seeds.
#[must_use]
pub fn table(runs: &[Runs]) -> String {
    let mut text = String::from(
        "| policy | success % | goodput % | worst fault % | p50 s | p99 s | $/Mtok | extra att./100 \
         | 429/100 | react s | recover s |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for run in runs {
        let Some(mean) = mean(run) else { continue };
        text.push_str(&format!(
            "| {} | {:.2} | {:.2} | {:.1} | {:.2} | {:.2} | {:.3} | {:.1} | {:.2} | {:.1} | {:.1} |\n",
            run.policy,
            mean.success_pct,
            mean.goodput_pct,
            mean.worst_fault_goodput_pct,
            mean.ttft_p50_s,
            mean.ttft_p99_s,
            mean.usd_per_mtok,
            mean.extra_attempts_per_100,
            mean.http429_per_100,
            mean.reaction_s,
            mean.recovery_s,
        ));
    }
    text
}

/// A table by fault: goodput, seconds to the reaction, seconds to the recovery.
#[must_use]
pub fn fault_table(runs: &[Runs]) -> String {
    let mut text = String::new();
    for run in runs {
        let Some(mean) = mean(run) else { continue };
        text.push_str(&format!("\n{}\n", run.policy));
        for fault in &mean.faults {
            text.push_str(&format!(
                "  {:<28} goodput {:6.2}   reaction {:>5.1}   recovery {:>5.1}\n",
                fault.name, fault.goodput_pct, fault.reaction_s, fault.recovery_s
            ));
        }
        for (name, value) in &mean.notes {
            text.push_str(&format!("  {name} = {value:.2}\n"));
        }
    }
    text
}

/// The figures of one policy; of several, by name under `policies`.
#[must_use]
pub fn json(runs: &[Runs], about: &Value) -> Value {
    let mut object = about.as_object().cloned().unwrap_or_default();
    if let [run] = runs {
        object.insert("policy".to_owned(), json!(run.policy));
        object.extend(of_policy(run));
        return Value::Object(object);
    }
    let by_name = runs
        .iter()
        .map(|run| (run.policy.clone(), Value::Object(of_policy(run))));
    object.insert("policies".to_owned(), Value::Object(by_name.collect()));
    Value::Object(object)
}

fn mean(run: &Runs) -> Option<Figures> {
    let figures: Vec<Figures> = run
        .seeds
        .iter()
        .map(|(_, figures)| figures.clone())
        .collect();
    Figures::mean(&figures)
}

fn of_policy(run: &Runs) -> Map<String, Value> {
    let mut object = mean(run).map(|mean| figures(&mean)).unwrap_or_default();
    let seeds = run.seeds.iter().map(|(seed, of_seed)| {
        let mut object = Map::new();
        object.insert("seed".to_owned(), json!(seed));
        object.extend(figures(of_seed));
        Value::Object(object)
    });
    object.insert("per_seed".to_owned(), seeds.collect());
    object
}

fn figures(figures: &Figures) -> Map<String, Value> {
    let faults = figures.faults.iter().map(|fault| {
        json!({
            "name": fault.name,
            "goodput_pct": number(fault.goodput_pct),
            "reaction_s": number(fault.reaction_s),
            "recovery_s": number(fault.recovery_s),
        })
    });
    let faults: Vec<Value> = faults.collect();
    let notes = figures
        .notes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), number(*value)));
    let notes: Map<String, Value> = notes.collect();
    let mut object = Map::new();
    for (name, value) in [
        ("success_pct", figures.success_pct),
        ("goodput_pct", figures.goodput_pct),
        ("worst_fault_goodput_pct", figures.worst_fault_goodput_pct),
        ("ttft_p50_s", figures.ttft_p50_s),
        ("ttft_p99_s", figures.ttft_p99_s),
        ("usd_per_mtok", figures.usd_per_mtok),
        ("extra_attempts_per_100", figures.extra_attempts_per_100),
        ("http429_per_100", figures.http429_per_100),
        ("reaction_s", figures.reaction_s),
        ("recovery_s", figures.recovery_s),
    ] {
        object.insert(name.to_owned(), number(value));
    }
    object.insert("faults".to_owned(), Value::Array(faults));
    if !notes.is_empty() {
        object.insert("notes".to_owned(), Value::Object(notes));
    }
    object
}

/// Rounded to a millionth, so that a table can be read.
fn number(value: f64) -> Value {
    if value.is_finite() {
        json!((value * 1e6).round() / 1e6)
    } else {
        Value::Null
    }
}
