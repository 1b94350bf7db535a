//! `loadtest sim`: which policies in which world, and a table or one JSON object of what came out;
//! or whether the goals of routing are met, which is the verdict.

use super::{Verdict, complain, say, say_json};
use clap::{Args, ValueEnum};
use serde_json::json;
use simulation::policy::{self, BASELINES, ORACLES, OURS, REFERENCE};
use simulation::scenario::{Kind, Scenario};
use simulation::{decisions, goals, report};
use std::path::{Path, PathBuf};

/// The most seeds of one call.
const SEEDS_MAX: usize = 1_000;

/// Flags of `loadtest sim`.
#[derive(Args)]
pub(super) struct SimArguments {
    /// Names, separated by commas; or `all`, `ours`, `baselines`, `oracles`, `reference`.
    #[arg(long, value_delimiter = ',', default_value = "balanced")]
    policy: Vec<String>,
    /// Seeds: `101-105`, `1,2,7` or both.
    #[arg(long, default_value = "101-105")]
    seeds: String,
    /// The reference's world, or what it is too kind about, too.
    #[arg(long, value_enum, default_value = "standard")]
    world: WorldName,
    /// How many edges share the load; a multiple of three.
    #[arg(long, default_value_t = 12)]
    edges: usize,
    /// A held-out scenario: other providers fail, elsewhere, more or less badly. 0 is none.
    #[arg(long, default_value_t = 0)]
    shuffle: u32,
    /// Edges of one point of presence don't tell each other what they leave alone.
    #[arg(long)]
    no_gossip: bool,
    /// Runs at a time; by default as many as there are cores.
    #[arg(long)]
    threads: Option<usize>,
    /// Also goodput, reaction and recovery by fault in the table (always in the JSON).
    #[arg(long)]
    faults: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// Runs nothing of that, but records our policy's decisions in this file, for review: those
    /// that it has are made again in the situations that it has. Without the file, afresh.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Fails unless the goals of routing are met: the reference's world, 60 edges, and the held-out
    /// scenarios 1 to 10 with up to five seeds each.
    #[arg(long, conflicts_with_all = ["policy", "world", "edges", "shuffle", "no_gossip", "faults"])]
    goals: bool,
    /// Fails where good answers are 0.2 points fewer or the price is 2 % higher than in this file,
    /// which an earlier call with the same flags printed as JSON.
    #[arg(long, conflicts_with_all = ["goals", "record"])]
    against: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum WorldName {
    Standard,
    Extended,
}

pub(super) fn sim(arguments: &SimArguments) -> Result<Verdict, String> {
    if let Some(file) = &arguments.record {
        return record(file);
    }
    let seeds = seeds(&arguments.seeds)?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or_else(cores);
    if arguments.goals {
        let checks = goals::measure(&seeds, threads).map_err(|error| error.to_string())?;
        if arguments.json {
            say_json(&goals::json(&checks), true);
        } else {
            say(goals::table(&checks).trim_end());
        }
        return Ok(Verdict::of(checks.iter().all(goals::Check::is_met)));
    }
    let policies = policies(&arguments.policy)?;
    let (kind, world) = match arguments.world {
        WorldName::Standard => (Kind::Standard, "standard"),
        WorldName::Extended => (Kind::Extended, "extended"),
    };
    let scenario = Scenario::new(kind, arguments.edges, arguments.shuffle);
    let mut scenario = scenario.map_err(|error| error.to_string())?;
    scenario.gossip &= !arguments.no_gossip;
    let runs = simulation::run_all(&scenario, &policies, &seeds, threads);
    if arguments.json {
        let about = json!({
            "world": world,
            "edges": arguments.edges,
            "shuffle": arguments.shuffle,
            "gossip": scenario.gossip,
            "seeds": seeds,
        });
        say_json(&report::json(&runs, &about), true);
    } else {
        say(report::table(&runs).trim_end());
        if arguments.faults {
            say(report::fault_table(&runs).trim_end());
        }
    }
    let Some(file) = &arguments.against else {
        return Ok(Verdict::Pass);
    };
    let wrong = |error: &dyn std::fmt::Display| format!("--against {}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let before = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let worse = goals::regressions(&before, &runs);
    for line in &worse {
        complain(line);
    }
    Ok(Verdict::of(worse.is_empty()))
}

fn record(file: &Path) -> Result<Verdict, String> {
    let wrong = |error: std::io::Error| format!("--record {}: {error}", file.display());
    let old = match std::fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(wrong(error)),
    };
    let new = decisions::record(old.as_deref()).map_err(|error| error.to_string())?;
    std::fs::write(file, &new).map_err(wrong)?;
    let change = old.and_then(|old| decisions::difference(&old, &new));
    say(change.as_deref().unwrap_or("recorded; no decision differs"));
    Ok(Verdict::Pass)
}

fn policies(words: &[String]) -> Result<Vec<&'static str>, String> {
    let known = policy::names();
    let mut chosen = Vec::new();
    for word in words {
        let names: Vec<&'static str> = match word.as_str() {
            "all" => known.clone(),
            "ours" => OURS.to_vec(),
            "baselines" => BASELINES.to_vec(),
            "oracles" => ORACLES.to_vec(),
            "reference" => REFERENCE.to_vec(),
            name => known.iter().copied().filter(|it| *it == name).collect(),
        };
        if names.is_empty() {
            let known = known.join(", ");
            return Err(format!(
                "--policy {word}: no such policy; there are {known}"
            ));
        }
        chosen.extend(names);
    }
    Ok(chosen)
}

fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let wrong = |part: &str| format!("--seeds {part}: a number, or two with a - between");
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let from: u64 = from.trim().parse().map_err(|_| wrong(part))?;
        let to: u64 = to.trim().parse().map_err(|_| wrong(part))?;
        if from > to {
            return Err(wrong(part));
        }
        seeds.extend((from..=to).take(SEEDS_MAX + 1));
        if seeds.len() > SEEDS_MAX {
            return Err(format!("--seeds {text}: more than {SEEDS_MAX}"));
        }
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_and_lists() {
        assert_eq!(seeds("101-103,7"), Ok(vec![101, 102, 103, 7]));
        for wrong in ["", "a", "3-1", "1-", "1-99999999999"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_and_names_are_policies() {
        let words = |text: &str| policies(&[text.to_owned()]);
        assert_eq!(words("ours").map(|it| it.len()), Ok(4));
        assert_eq!(words("envoy"), Ok(vec!["envoy"]));
        assert!(words("bogus").is_err());
    }
}
