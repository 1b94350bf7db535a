//! What was published lately: each ranking's changes, so that it can be said when an endpoint's
//! place changed, and from what to what. Bounded by rows; not kept over a restart.

use shared::id::{EndpointId, Region, Version};
use shared::ranking::{RankingDelta, RankingRow};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows that are remembered, of all regions.
const ROWS_MAX: usize = 100_000;
/// Rankings that are remembered.
const RANKINGS_MAX: usize = 20_000;

/// One change of one endpoint in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The ranking.
    pub version: Version,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Where.
    pub region: Region,
    /// The row from then on; none: it had none.
    pub row: Option<RankingRow>,
}

/// The changes of the last rankings, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<(Region, Arc<RankingDelta>)>,
    rows: usize,
}

impl History {
    pub(super) fn add(&mut self, region: &Region, delta: &Arc<RankingDelta>) {
        let size = size(delta);
        if size == 0 {
            return;
        }
        self.rows += size;
        self.changes.push_back((region.clone(), Arc::clone(delta)));
        while self.rows > ROWS_MAX || self.changes.len() > RANKINGS_MAX {
            let Some((_, oldest)) = self.changes.pop_front() else {
                return;
            };
            self.rows -= self::size(&oldest);
        }
    }

    /// An endpoint's changes, newest first; of one region or of all.
    pub(super) fn of(
        &self,
        endpoint: &EndpointId,
        region: Option<&Region>,
        limit: usize,
    ) -> Vec<Past> {
        let asked = self.changes.iter().rev();
        let asked = asked.filter(|(at, _)| region.is_none_or(|region| region == at));
        let found = asked.filter_map(|(region, delta)| {
            let row = delta.rows.iter().find(|(id, _)| id == endpoint);
            let gone = delta.removals.contains(endpoint);
            (row.is_some() || gone).then(|| Past {
                version: delta.version,
                unix_ms: delta.generated_unix_ms,
                region: region.clone(),
                row: row.map(|(_, row)| row.clone()),
            })
        });
        found.take(limit).collect()
    }
}

fn size(delta: &RankingDelta) -> usize {
    delta.rows.len() + delta.removals.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(number: u64, rows: usize) -> Arc<RankingDelta> {
        let rows = (0..rows).map(|at| {
            let id = EndpointId::from(format!("m@{at}"));
            (id, RankingRow::default())
        });
        Arc::new(RankingDelta {
            version: Version { epoch: 1, number },
            rows: rows.collect(),
            ..RankingDelta::default()
        })
    }

    #[test]
    fn it_is_bounded_and_newest_first() {
        let mut history = History::default();
        let (eu, us) = (Region::from("eu"), Region::from("us"));
        history.add(&eu, &delta(1, 0));
        assert!(history.changes.is_empty(), "nothing changed");
        for number in 2..102 {
            history.add(&eu, &delta(number, 1000));
        }
        history.add(&us, &delta(200, 2));
        assert!(history.rows <= ROWS_MAX);
        let all = history.of(&"m@1".into(), None, 3);
        let numbers: Vec<_> = all.iter().map(|past| past.version.number).collect();
        assert_eq!(numbers, [200, 101, 100]);
        assert_eq!(history.of(&"m@1".into(), Some(&us), 9).len(), 1);
        assert!(history.of(&"m@nobody".into(), None, 9).is_empty());
    }
}
