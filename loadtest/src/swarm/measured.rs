//! What the edges saw of the pushes, and what the control plane says of itself.

use super::{Accounts, Settings, SwarmError};
use serde_json::{Value, json};
use shared::id::Version;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// What is asked of a control plane: where it stands in a report, and the most that passes.
const GOALS: [(&str, f64); 4] = [
    ("/edges_lost", 0.0),
    ("/push_to_applied_ms/p99", 1500.0),
    ("/tick_ms/mean", 250.0),
    ("/evidence_to_applied_ms/p50", 4000.0),
];

/// How long all edges may take to hold a table.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// What an edge tells.
pub(super) enum Observation {
    /// It took a ranking.
    Applied {
        edge: usize,
        /// Since the control plane began to make it.
        took: Duration,
        version: Version,
        rows: usize,
        bytes: usize,
        full: bool,
    },
    /// It took the first word of an outage, so long after another edge told of it first.
    Reacted { outage: usize, took: Duration },
    /// It lost its connection.
    Lost(String),
}

/// What was seen so far.
#[derive(Debug)]
pub struct Measured {
    edges: usize,
    took: Vec<Duration>,
    reacted: Vec<Duration>,
    outages: BTreeSet<usize>,
    versions: BTreeSet<Version>,
    changes: u64,
    rows: u64,
    bytes: u64,
    /// Of changes without rows: the time, and the edge's own portion.
    quiet: (u64, u64),
    /// Of changes with rows.
    busy: (u64, u64),
    full_bytes: (u64, u64),
    lost: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Report(Value);

impl Report {
    /// As JSON.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.0
    }

    /// What is asked of a control plane and was not reached, in words.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let missed = GOALS.iter().filter_map(|(what, most)| {
            let measured = self.0.pointer(what).and_then(Value::as_f64);
            let met = measured.is_some_and(|measured| measured <= *most);
            let measured = measured.map_or_else(|| "nothing".to_owned(), |it| format!("{it:.1}"));
            (!met).then(|| format!("missed: {what} = {measured}, wanted <= {most}"))
        });
        missed.collect()
    }
}

impl Measured {
    /// Nothing seen of so many edges.
    pub(super) const fn new(edges: usize) -> Self {
        Self {
            edges,
            took: Vec::new(),
            reacted: Vec::new(),
            outages: BTreeSet::new(),
            versions: BTreeSet::new(),
            changes: 0,
            rows: 0,
            bytes: 0,
            quiet: (0, 0),
            busy: (0, 0),
            full_bytes: (0, 0),
            lost: Vec::new(),
        }
    }

    /// Waits until every edge has taken a whole table and one change.
    pub(super) async fn until_all_hold(
        &mut self,
        heard: &mut mpsc::Receiver<Observation>,
    ) -> Result<(), SwarmError> {
        let mut holding = BTreeSet::new();
        let all = async {
            while holding.len() < self.edges {
                match heard.recv().await {
                    Some(Observation::Applied {
                        edge, full, bytes, ..
                    }) => {
                        if full {
                            add(&mut self.full_bytes, bytes);
                        } else {
                            holding.insert(edge);
                        }
                    }
                    Some(Observation::Reacted { .. }) => {}
                    Some(Observation::Lost(why)) => return Err(SwarmError(why)),
                    None => return Err(SwarmError("every edge has gone".to_owned())),
                }
            }
            Ok(())
        };
        let within = tokio::time::timeout(START_DEADLINE, all).await;
        within.map_err(|_| SwarmError("not all edges got a table in time".to_owned()))?
    }

    /// Hears for so long without counting.
    pub(super) async fn let_pass(
        &mut self,
        heard: &mut mpsc::Receiver<Observation>,
        time: Duration,
    ) -> Result<(), SwarmError> {
        let losses = async {
            loop {
                match heard.recv().await {
                    Some(Observation::Applied { .. } | Observation::Reacted { .. }) => {}
                    Some(Observation::Lost(why)) => return SwarmError(why),
                    None => return SwarmError("every edge has gone".to_owned()),
                }
            }
        };
        // That the time is over is how it should end.
        tokio::time::timeout(time, losses).await.map_or(Ok(()), Err)
    }

    /// Counts for so long.
    pub(super) async fn count(
        &mut self,
        heard: &mut mpsc::Receiver<Observation>,
        window: Duration,
    ) {
        let end = tokio::time::sleep(window);
        tokio::pin!(end);
        loop {
            let observation = tokio::select! {
                () = &mut end => return,
                observation = heard.recv() => observation,
            };
            match observation {
                Some(Observation::Applied {
                    took,
                    version,
                    rows,
                    bytes,
                    full,
                    ..
                }) => {
                    self.took.push(took);
                    self.versions.insert(version);
                    if full {
                        add(&mut self.full_bytes, bytes);
                        continue;
                    }
                    self.changes += 1;
                    self.rows += rows as u64;
                    self.bytes += bytes as u64;
                    add(
                        if rows == 0 {
                            &mut self.quiet
                        } else {
                            &mut self.busy
                        },
                        bytes,
                    );
                }
                Some(Observation::Reacted { outage, took }) => {
                    self.reacted.push(took);
                    self.outages.insert(outage);
                }
                Some(Observation::Lost(why)) => self.lost.push(why),
                None => return,
            }
        }
    }

    pub(super) fn report(
        mut self,
        settings: &Settings,
        metrics: &str,
        (before, after): (Accounts, Accounts),
    ) -> Report {
        self.took.sort_unstable();
        self.reacted.sort_unstable();
        let ticks = self.versions.len() as u64;
        let seconds = settings.window.as_secs_f64();
        let rank = histogram(metrics, "godwit_control_rank_seconds", "");
        let handed = histogram(metrics, "godwit_control_push_seconds", "class=\"fast\"");
        let used = |which: fn(&Accounts) -> Duration| {
            which(&after).saturating_sub(which(&before)).as_secs_f64() / seconds
        };
        let cpu = used(|accounts| accounts.control.cpu);
        let swarm = used(|accounts| accounts.both.cpu) - cpu;
        Report(json!({
            "edges": settings.edges,
            "endpoints": settings.endpoints,
            "seconds": seconds,
            "rankings": ticks,
            "pushes": self.took.len(),
            "push_to_applied_ms": {
                "p50": millis(&self.took, 0.5),
                "p99": millis(&self.took, 0.99),
                "max": millis(&self.took, 1.0),
            },
            "evidence_to_applied_ms": {
                "outages": self.outages.len(),
                "edges": self.reacted.len(),
                "p50": millis(&self.reacted, 0.5),
                "p99": millis(&self.reacted, 0.99),
                "max": millis(&self.reacted, 1.0),
            },
            "bytes": {
                "whole_table": mean(self.full_bytes),
                "change_without_rows": mean(self.quiet),
                "change_with_rows": mean(self.busy),
                "rows_per_change": ratio(self.rows, self.changes),
                "per_row": ratio(self.bytes.saturating_sub(self.changes * mean_u64(self.quiet)), self.rows),
                "per_edge_and_second": self.bytes as f64 / settings.edges.max(1) as f64 / seconds,
            },
            "tick_ms": rank,
            "push_to_connection_ms": handed,
            "control_plane": {
                "rss_mb": after.control.rss as f64 / 1e6,
                "rss_peak_mb": after.control.rss_peak as f64 / 1e6,
                "cpu_cores": cpu,
            },
            "swarm": { "cpu_cores": swarm },
            "edges_lost": self.lost.len(),
            "first_loss": self.lost.first(),
        }))
    }
}

/// The value below which that share of an ascending list lies.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the list"
)]
fn millis(ascending: &[Duration], share: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    let took = ascending.get(at).copied().unwrap_or_default();
    took.as_secs_f64() * 1000.0
}

fn add(sum: &mut (u64, u64), bytes: usize) {
    sum.0 += 1;
    sum.1 += bytes as u64;
}

fn mean((count, bytes): (u64, u64)) -> f64 {
    ratio(bytes, count)
}

fn mean_u64((count, bytes): (u64, u64)) -> u64 {
    bytes.checked_div(count).unwrap_or_default()
}

fn ratio(whole: u64, parts: u64) -> f64 {
    if parts == 0 {
        return 0.0;
    }
    whole as f64 / parts as f64
}

/// The mean of a histogram, and the bound below which 99 % of it lie, in milliseconds; of those
/// with that label, if it is not empty.
fn histogram(metrics: &str, name: &str, label: &str) -> Value {
    let value = |line: &str| -> Option<f64> { line.rsplit(' ').next()?.parse().ok() };
    let mine = |line: &&str| line.contains(label);
    let of = |suffix: &str| {
        let start = format!("{name}{suffix}");
        let line = metrics.lines().filter(mine);
        let line = line.into_iter().find(|line| line.starts_with(&start));
        line.and_then(value).unwrap_or_default()
    };
    let (sum, count) = (of("_sum"), of("_count"));
    let start = format!("{name}_bucket{{");
    let within = metrics.lines().filter(mine).filter_map(|line| {
        let (_, bound) = line.strip_prefix(&start)?.split_once("le=\"")?;
        let (bound, _) = bound.split_once('"')?;
        Some((bound.parse::<f64>().ok()?, value(line)?))
    });
    let p99 = within
        .filter(|(_, below)| *below >= 0.99 * count)
        .map(|(bound, _)| bound)
        .fold(f64::INFINITY, f64::min);
    json!({
        "count": count,
        "mean": if count > 0.0 { 1000.0 * sum / count } else { 0.0 },
        "p99_at_most": if p99.is_finite() { Some(1000.0 * p99) } else { None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_said() {
        let told = |push: f64| {
            json!({
                "edges_lost": 0,
                "push_to_applied_ms": { "p99": push },
                "tick_ms": { "mean": 34.0 },
                "evidence_to_applied_ms": { "p50": 2800.0 },
            })
        };
        assert_eq!(Report(told(174.0)).missed(), Vec::<String>::new());
        let slow = Report(told(1700.0)).missed();
        let said = "missed: /push_to_applied_ms/p99 = 1700.0, wanted <= 1500";
        assert_eq!(slow, [said]);
        assert_eq!(Report(json!({})).missed().len(), GOALS.len());
    }

    #[test]
    fn a_histogram_is_read() {
        let text = "x_bucket{le=\"0.01\"} 90\nx_bucket{le=\"0.05\"} 99\nx_bucket{le=\"+Inf\"} 100\n\
                    x_sum 2\nx_count 100\n";
        let read = histogram(text, "x", "");
        assert_eq!(
            (&read["mean"], &read["p99_at_most"]),
            (&20.0.into(), &50.0.into())
        );
        assert_eq!(histogram("", "x", "")["count"], 0.0);
        let text = "x_bucket{a=\"b\",le=\"0.1\"} 1\nx_sum{a=\"b\"} 3\nx_count{a=\"b\"} 4\n";
        let read = histogram(text, "x", "a=\"b\"");
        assert_eq!(
            (&read["mean"], &read["count"]),
            (&750.0.into(), &4.0.into())
        );
    }
}
