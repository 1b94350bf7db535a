//! Every metric of the control plane: its name, what it says, and the one way to write it. Label
//! values are words of this file or of the catalogue, never a client's.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};
use std::time::Duration;

const LEADER: &str = "godwit_control_leader";
const EDGES: &str = "godwit_control_edges";
const PUSH_SECONDS: &str = "godwit_control_push_seconds";
const PUSHES: &str = "godwit_control_pushes_total";
const PUSH_NACKS: &str = "godwit_control_push_nacks_total";
const DRASTIC: &str = "godwit_control_drastic_rankings_total";
const HELD: &str = "godwit_control_held_rankings_total";
const RANK_SECONDS: &str = "godwit_control_rank_seconds";
const LEDGER_RETRIES: &str = "godwit_control_ledger_retries_total";
const LEDGER_LAG_SECONDS: &str = "godwit_control_ledger_lag_seconds";
const ROLLOUT_STAGE: &str = "godwit_control_rollout_stage";
const CATALOG_VERSION: &str = "godwit_control_catalog_version";
const CATALOG_REFUSED: &str = "godwit_control_catalog_refused_total";
const REPORTS: &str = "godwit_control_reports_total";
const LOG_INS: &str = "godwit_control_log_ins_total";
const SHED: &str = "godwit_shed_total";

/// What kind of change was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Catalogue and prices.
    Authority,
    /// One organisation's keys.
    Account,
    /// Weights and states.
    Fast,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Account => "account",
            Self::Fast => "fast",
        }
    }
}

/// Tells the recorder what the metrics mean. Called once at start.
pub fn describe() {
    describe_gauge!(LEADER, "1 while this control plane leads");
    describe_gauge!(EDGES, "Edges that are known, by state");
    describe_histogram!(
        PUSH_SECONDS,
        Unit::Seconds,
        "From a change to an edge that has applied it (authority) or to its connection"
    );
    describe_counter!(PUSHES, "Updates sent to edges, by class and form");
    describe_counter!(PUSH_NACKS, "Resources that edges have refused");
    describe_counter!(
        DRASTIC,
        "Ticks that took away much of a region's weight at once"
    );
    describe_counter!(HELD, "Rankings that did not go out, by reason");
    describe_histogram!(RANK_SECONDS, Unit::Seconds, "One ranking of all regions");
    describe_gauge!(
        LEDGER_LAG_SECONDS,
        Unit::Seconds,
        "Age of the oldest usage record in the last batch when it was booked"
    );
    describe_counter!(
        LEDGER_RETRIES,
        "Postings that met another at the database and were tried again"
    );
    describe_gauge!(
        ROLLOUT_STAGE,
        "1 for the stage that the newest version is in"
    );
    describe_gauge!(
        CATALOG_VERSION,
        "The number of the catalogue's newest revision"
    );
    describe_counter!(CATALOG_REFUSED, "Catalogues that were refused");
    describe_counter!(REPORTS, "Telemetry reports, by result");
    describe_counter!(LOG_INS, "Log-ins by the OpenID provider, by outcome");
    describe_counter!(SHED, "What was turned away at a limit");
}

/// Whether this process leads.
pub fn leader(leads: bool) {
    gauge!(LEADER).set(if leads { 1.0 } else { 0.0 });
}

/// How many edges are in a state.
pub fn edges(state: &'static str, count: usize) {
    gauge!(EDGES, "state" => state).set(as_float(count));
}

/// A change reached an edge.
pub fn pushed_within(class: Class, took: Duration) {
    histogram!(PUSH_SECONDS, "class" => class.as_str()).record(took.as_secs_f64());
}

/// An update was sent, whole or as a delta.
pub fn pushed(class: Class, full: bool) {
    let form = if full { "full" } else { "delta" };
    counter!(PUSHES, "class" => class.as_str(), "form" => form).increment(1);
}

/// An edge refused resources.
pub fn nacked(resources: usize) {
    counter!(PUSH_NACKS).increment(u64::try_from(resources).unwrap_or(u64::MAX));
}

/// A tick took away much of a region's weight.
pub fn drastic_ranking() {
    counter!(DRASTIC).increment(1);
}

/// A ranking did not go out: it is absurd, or no canary has taken the one before.
pub fn held_ranking(reason: &'static str) {
    counter!(HELD, "reason" => reason).increment(1);
}

/// All regions were ranked.
pub fn ranked_within(took: Duration) {
    histogram!(RANK_SECONDS).record(took.as_secs_f64());
}

/// A batch of usage was booked; its oldest record is this old.
pub fn ledger_lag(age: Duration) {
    gauge!(LEDGER_LAG_SECONDS).set(age.as_secs_f64());
}

/// A posting met another and was tried again.
pub fn ledger_retry() {
    counter!(LEDGER_RETRIES).increment(1);
}

/// The newest version's stage: `none` before the first, then `all`; `paused` while newer ones don't
/// go out.
pub fn rollout_stage(stage: &'static str) {
    for known in ["none", "all", "paused"] {
        let value = if known == stage { 1.0 } else { 0.0 };
        gauge!(ROLLOUT_STAGE, "stage" => known).set(value);
    }
}

/// The catalogue has a new revision.
pub fn catalog_version(number: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!(CATALOG_VERSION).set(number as f64);
}

/// A catalogue was refused.
pub fn catalog_refused() {
    counter!(CATALOG_REFUSED).increment(1);
}

/// A telemetry report was merged, had been merged before, or was refused.
pub fn report(result: &'static str) {
    counter!(REPORTS, "result" => result).increment(1);
}

/// A log-in by the OpenID provider ended: well, or by the word of its failure.
pub fn log_in(outcome: &'static str) {
    counter!(LOG_INS, "outcome" => outcome).increment(1);
}

/// Something was turned away at a limit.
pub fn shed(limit: &'static str) {
    counter!(SHED, "limit" => limit).increment(1);
}

/// So much of the fleet's evidence was not merged, because a limit was reached, since the start.
pub fn unmerged(count: u64) {
    counter!(SHED, "limit" => "fleet_memory").absolute(count);
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
