//! Routing in virtual time: one world, seeded, and whatever policy is put into it. Ours is the
//! production code (`shared::routing`, `shared::health`, `shared::ranking`), with reports and
//! tables that take their time; the rest are baselines, oracles and the reference. No sockets.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool that runs offline: indexes are numbers of edges, offers and requests that it \
              made itself, figures are small, and a mistake must stop the run"
)]

pub mod decisions;
pub mod engine;
pub mod goals;
pub mod measure;
pub mod ours;
pub mod policy;
pub mod random;
pub mod report;
pub mod scenario;
pub mod world;

use measure::Figures;
use scenario::Scenario;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use world::World;

/// One policy's runs, by seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Runs {
    /// Its name.
    pub policy: String,
    /// The figures of each seed.
    pub seeds: Vec<(u64, Figures)>,
}

/// One run. None when there is no policy of that name.
#[must_use]
pub fn run(scenario: &Scenario, policy: &str, seed: u64) -> Option<Figures> {
    let mut policy = policy::make(policy, scenario, seed)?;
    let trace = engine::run(World::new(scenario.clone(), seed), policy.as_mut());
    Some(Figures::of(scenario, &trace, policy.notes()))
}

/// All policies with all seeds, on so many threads. Policies of an unknown name have no runs.
#[must_use]
pub fn run_all(scenario: &Scenario, policies: &[&str], seeds: &[u64], threads: usize) -> Vec<Runs> {
    let jobs = policies
        .iter()
        .flat_map(|policy| seeds.iter().map(move |seed| (*policy, *seed)));
    let jobs: Vec<(&str, u64)> = jobs.collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; jobs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some((policy, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figures = run(scenario, policy, *seed);
                    let at = jobs.iter().position(|job| job == &(*policy, *seed));
                    if let Some(at) = at {
                        shared::task::lock(&done)[at] = figures;
                    }
                }
            });
        }
    });
    let done = std::mem::take(&mut *shared::task::lock(&done));
    let mut done = jobs.into_iter().zip(done);
    let runs = policies.iter().map(|policy| Runs {
        policy: (*policy).to_owned(),
        seeds: done
            .by_ref()
            .take(seeds.len())
            .filter_map(|((_, seed), figures)| Some((seed, figures?)))
            .collect(),
    });
    runs.collect()
}

#[cfg(test)]
mod tests;
