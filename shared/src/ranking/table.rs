//! The table that is pushed: rows by endpoint, and the change between two tables. A fast change:
//! it can't add an endpoint, change a price or touch a policy, because a row has no such field.

use super::{Mode, Portion, PortionDelta, State};
use crate::health::Lease;
use crate::id::{EndpointId, ModelId, NodeId, Version};
use std::collections::BTreeMap;

/// The most rows that a table may have.
pub const ROWS_MAX: usize = 100_000;
/// [`RankingRow::behind`] is told in that many steps of a natural logarithm: 13 % each.
pub const BEHIND_STEPS: f64 = 8.0;

/// What the fleet knows of one endpoint, in one region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RankingRow {
    /// Shares of the model's traffic, 1/65535 each, by [`Mode::index`].
    pub share: [u16; 4],
    /// The shares that its long record deserves, whatever is the matter now: what an old table
    /// fades to.
    pub long_run: [u16; 4],
    /// How much less weight than the model's best it deserves now, by [`Mode::index`], in
    /// [`BEHIND_STEPS`] of a natural logarithm; 255 is nothing. Shares don't tell it: whoever has
    /// next to none is raised to a floor. Where the best may not serve a request, the others
    /// follow each other by this.
    pub behind: [u8; 4],
    /// Whether it gets traffic.
    pub state: State,
    /// Milliseconds to the first token, over the last five minutes.
    pub ttft_ms: Percentiles,
    /// 95th percentile: what deadlines and hedges go by; 0 is unknown.
    pub ttft_ms_p95: u32,
    /// Tenths of tokens per second, over the last five minutes.
    pub throughput_tenths: Percentiles,
    /// Probability that a request fails now, 1/65535; broken tool calls not among them.
    pub failure: u16,
    /// Probability that a tool call is broken, 1/65535.
    pub tool_failure: u16,
    /// What the whole fleet may send it, in requests per 1000 seconds; 0 is not limited.
    pub cap: u32,
    /// The same in tokens, prompts and answers together, per second; 0 is not limited.
    pub token_cap: u32,
    /// Its part of what its provider's account takes at a time, 1/65535; 0 is all of it.
    pub part: u16,
    /// Who sends the next probe.
    pub probe: Option<ProbeLease>,
}

/// What that many percent of the requests do at least as well as: at most these milliseconds, at
/// least these tokens per second. 0 is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Percentiles {
    /// The median.
    pub p50: u32,
    /// Three of four.
    pub p75: u32,
    /// Nine of ten.
    pub p90: u32,
    /// All but one of a hundred.
    pub p99: u32,
}

/// Leave for one node to send one request to an endpoint that gets none by its share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeLease {
    /// Who.
    pub node: NodeId,
    /// Grows with each lease for the endpoint in the region: one request for each number.
    pub number: u32,
}

impl Default for RankingRow {
    /// Closed, without a share and unknown in all else.
    fn default() -> Self {
        Self {
            share: [0; 4],
            long_run: [0; 4],
            behind: [0; 4],
            state: State::Closed,
            ttft_ms: Percentiles::default(),
            ttft_ms_p95: 0,
            throughput_tenths: Percentiles::default(),
            failure: 0,
            tool_failure: 0,
            cap: 0,
            token_cap: 0,
            part: 0,
            probe: None,
        }
    }
}

impl RankingRow {
    /// The share in a mode, 0..=1.
    #[must_use]
    pub fn share_of(&self, mode: Mode) -> f64 {
        let share = self.share.get(mode.index()).copied().unwrap_or_default();
        f64::from(share) / f64::from(u16::MAX)
    }

    /// The long-run share in a mode, 0..=1.
    #[must_use]
    pub fn long_run_of(&self, mode: Mode) -> f64 {
        let share = self.long_run.get(mode.index());
        f64::from(share.copied().unwrap_or_default()) / f64::from(u16::MAX)
    }

    /// The weight that it deserves now in a mode, against the best one's 1.
    #[must_use]
    pub fn weight_of(&self, mode: Mode) -> f64 {
        match self.behind.get(mode.index()) {
            None | Some(&u8::MAX) => 0.0,
            Some(steps) => (-f64::from(*steps) / BEHIND_STEPS).exp(),
        }
    }

    /// What the whole fleet may send it, in requests per second; none is not limited.
    #[must_use]
    pub fn cap_per_second(&self) -> Option<f64> {
        (self.cap > 0).then(|| f64::from(self.cap) / 1000.0)
    }

    /// What the whole fleet may send it, in tokens per second; none is not limited.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.token_cap > 0).then(|| f64::from(self.token_cap))
    }
}

/// One region's ranking at one version. An endpoint without a row has the share that its price
/// gives it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RankingTable {
    /// The version.
    pub version: Version,
    /// Milliseconds since 1970 when it was computed.
    pub generated_unix_ms: u64,
    /// By endpoint.
    pub rows: BTreeMap<EndpointId, RankingRow>,
    /// One edge's part of the demand. Only an edge's own table has it: regions share the rest.
    pub portion: Portion,
}

/// The change between two tables, or a whole one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RankingDelta {
    /// The version that it leads to.
    pub version: Version,
    /// The version that it starts from; none: from nothing.
    pub base: Option<Version>,
    /// Milliseconds since 1970.
    pub generated_unix_ms: u64,
    /// Rows to put.
    pub rows: Vec<(EndpointId, RankingRow)>,
    /// Rows to take away.
    pub removals: Vec<EndpointId>,
    /// What changes of the edge's part of the demand.
    pub portion: PortionDelta,
    /// The edge is asked to say that it took it.
    pub acknowledge: bool,
}

/// A delta that starts from another version than the table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a change from version {base} can't be applied to version {held}")]
pub struct DeltaMismatch {
    /// Where it starts.
    pub base: Version,
    /// What the table is.
    pub held: Version,
}

impl RankingRow {
    /// Its part of what its provider's account takes at a time, 0..=1.
    #[must_use]
    pub fn account_part(&self) -> f64 {
        match self.part {
            0 => 1.0,
            part => f64::from(part) / f64::from(u16::MAX),
        }
    }
}

impl RankingTable {
    /// What turns `older` into this table.
    #[must_use]
    pub fn diff(&self, older: &Self) -> RankingDelta {
        let changed = |(id, row): &(&EndpointId, &RankingRow)| older.rows.get(*id) != Some(*row);
        let gone = |id: &&EndpointId| !self.rows.contains_key(*id);
        RankingDelta {
            version: self.version,
            base: Some(older.version),
            generated_unix_ms: self.generated_unix_ms,
            rows: self
                .rows
                .iter()
                .filter(changed)
                .map(|(id, row)| (id.clone(), row.clone()))
                .collect(),
            removals: older.rows.keys().filter(gone).cloned().collect(),
            portion: self.portion.diff(&older.portion),
            acknowledge: false,
        }
    }

    /// This table with a change; a change without a base replaces it.
    ///
    /// # Errors
    /// When the change starts from another version.
    pub fn apply(&self, delta: RankingDelta) -> Result<Self, DeltaMismatch> {
        let (mut rows, mut portion) = match delta.base {
            None => (BTreeMap::new(), Portion::default()),
            Some(base) if base == self.version => (self.rows.clone(), self.portion.clone()),
            Some(base) => {
                let held = self.version;
                return Err(DeltaMismatch { base, held });
            }
        };
        for id in &delta.removals {
            rows.remove(id);
        }
        rows.extend(delta.rows);
        portion.apply(delta.portion);
        Ok(Self {
            version: delta.version,
            generated_unix_ms: delta.generated_unix_ms,
            rows,
            portion,
        })
    }

    /// What this edge may send an endpoint of `model`.
    #[must_use]
    pub fn lease(&self, model: &ModelId, row: &RankingRow) -> Lease {
        let part = |whole: Option<f64>| self.portion.lease(model, whole?);
        Lease {
            requests: part(row.cap_per_second()),
            tokens: part(row.tokens_per_second()),
            in_flight: None,
        }
    }
}

/// How far behind the best one a weight is, as a row writes it: `worse` is a natural logarithm, 0
/// for the best one itself.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255"
)]
pub fn behind_u8(worse: f64) -> u8 {
    if worse.is_nan() {
        return u8::MAX;
    }
    (worse * BEHIND_STEPS)
        .round()
        .clamp(0.0, f64::from(u8::MAX)) as u8
}

/// A share as a row writes it: rounded, and never to nothing what is something.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=65535"
)]
pub fn share_u16(share: f64) -> u16 {
    if share <= 0.0 {
        return 0;
    }
    (share * f64::from(u16::MAX))
        .round()
        .clamp(1.0, f64::from(u16::MAX)) as u16
}
