//! The table that is pushed: rows by endpoint, and the change between two tables. A fast change:
//! it can't add an endpoint, change a price or touch a policy, because a row has no such field.

use super::{Mode, State};
use crate::id::{EndpointId, NodeId, Version};
use std::collections::BTreeMap;

/// The most rows that a table may have.
pub const ROWS_MAX: usize = 100_000;
/// The largest share of all weight that one version may take away without a canary's consent.
const DRASTIC: f64 = 0.3;

/// What the fleet knows of one endpoint, in one region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RankingRow {
    /// Shares of the model's traffic, 1/65535 each, by [`Mode::index`].
    pub share: [u16; 4],
    /// Whether it gets traffic.
    pub state: State,
    /// Median time to the first token; 0 is unknown.
    pub ttft_ms_p50: u32,
    /// 95th percentile; 0 is unknown.
    pub ttft_ms_p95: u32,
    /// Median tokens per second, in tenths; 0 is unknown.
    pub throughput_tenths: u32,
    /// Probability that a request fails now, 1/65535.
    pub failure: u16,
    /// The node that sends the next probe.
    pub probe: Option<NodeId>,
}

impl RankingRow {
    /// The share in a mode, 0..=1.
    #[must_use]
    pub fn share_of(&self, mode: Mode) -> f64 {
        let share = self.share.get(mode.index()).copied().unwrap_or_default();
        f64::from(share) / f64::from(u16::MAX)
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
        }
    }

    /// This table with a change; a change without a base replaces it.
    ///
    /// # Errors
    /// When the change starts from another version.
    pub fn apply(&self, delta: RankingDelta) -> Result<Self, DeltaMismatch> {
        let mut rows = match delta.base {
            None => BTreeMap::new(),
            Some(base) if base == self.version => self.rows.clone(),
            Some(base) => {
                let held = self.version;
                return Err(DeltaMismatch { base, held });
            }
        };
        for id in &delta.removals {
            rows.remove(id);
        }
        rows.extend(delta.rows);
        Ok(Self {
            version: delta.version,
            generated_unix_ms: delta.generated_unix_ms,
            rows,
        })
    }
}

/// Does `new` take away more than 30 % of the weight that `old` gave? Such a change needs
/// the consent of a canary.
#[must_use]
pub fn drastic(old: &RankingTable, new: &RankingTable) -> bool {
    let (mut all, mut lost) = (0.0, 0.0);
    for (id, was) in &old.rows {
        let weight = was.share_of(Mode::Balanced);
        all += weight;
        // A row that is gone falls back on the price's share: nothing is lost.
        let now = new.rows.get(id);
        if now.is_some_and(|row| row.share_of(Mode::Balanced) <= 0.0) {
            lost += weight;
        }
    }
    lost > DRASTIC * all
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
