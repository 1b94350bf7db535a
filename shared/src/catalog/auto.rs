//! The table of `godwit/auto`: for a task and a cost tier the models to use, in order. Tasks are
//! kept as texts, so that a table of a newer build can be held by an older one.

use crate::catalog::text_enum;
use crate::id::ModelId;

/// The name of the rows that serve where no task is told.
pub const DEFAULT_TASK: &str = "default";
/// The most models of a row.
pub const ROW_MODELS_MAX: usize = 16;
/// The most rows of a table.
pub const ROWS_MAX: usize = 512;

text_enum! {
    /// How dear a model may be; what that means is the table's affair.
    CostTier {
        /// The cheapest that do.
        Low = "low",
        /// A good deal.
        Medium = "medium",
        /// Good.
        High = "high",
        /// Better.
        Xhigh = "xhigh",
        /// The best, whatever it costs.
        Max = "max",
    }
}

/// Which models for which task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoTable {
    /// The version of the classifier whose tasks these are ([`crate::prompt::VERSION`]); with
    /// another only the default rows are used.
    pub classifier: u16,
    /// Sorted by task and tier, without repetitions.
    pub rows: Vec<AutoRow>,
}

/// The models for one task and tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoRow {
    /// The task's name, or [`DEFAULT_TASK`].
    pub task: String,
    /// How dear.
    pub tier: CostTier,
    /// Best first; at least one.
    pub models: Vec<ModelId>,
}

impl AutoTable {
    /// The models for a task: of the tier, else of the next cheaper one, else of the next dearer
    /// one. Empty when the table has no row of the task.
    #[must_use]
    pub fn models(&self, task: &str, tier: CostTier) -> &[ModelId] {
        let mut rows = self.rows.iter();
        let cheaper = rows.rfind(|row| row.task == task && row.tier <= tier);
        cheaper
            .or_else(|| self.rows.iter().find(|row| row.task == task))
            .map_or(&[], |row| row.models.as_slice())
    }

    /// All models of a task's rows, those of the nearest tiers first.
    pub fn nearby(&self, task: &str, tier: CostTier) -> impl Iterator<Item = &ModelId> {
        let mut rows: Vec<&AutoRow> = self.rows.iter().filter(|row| row.task == task).collect();
        rows.sort_by_key(|row| (row.tier as u8).abs_diff(tier as u8));
        rows.into_iter().flat_map(|row| &row.models)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> AutoTable {
        let row = |task: &str, tier, models: &[&str]| AutoRow {
            task: task.to_owned(),
            tier,
            models: models.iter().map(|id| ModelId::from(*id)).collect(),
        };
        AutoTable {
            classifier: 1,
            rows: vec![
                row("code", CostTier::Medium, &["a/m"]),
                row("code", CostTier::Xhigh, &["a/x", "a/y"]),
                row("default", CostTier::Low, &["a/l"]),
            ],
        }
    }

    #[test]
    fn a_missing_tier_is_served_by_the_next() {
        let table = table();
        let check = |task, tier, expect: &[&str]| {
            let got: Vec<_> = table
                .models(task, tier)
                .iter()
                .map(ModelId::as_str)
                .collect();
            assert_eq!(got, expect, "{task} {tier}");
        };
        check("code", CostTier::Low, &["a/m"]);
        check("code", CostTier::Medium, &["a/m"]);
        check("code", CostTier::High, &["a/m"]);
        check("code", CostTier::Max, &["a/x", "a/y"]);
        check("default", CostTier::Max, &["a/l"]);
        check("poems", CostTier::Max, &[]);
        let near: Vec<_> = table
            .nearby("code", CostTier::Max)
            .map(ModelId::as_str)
            .collect();
        assert_eq!(near, ["a/x", "a/y", "a/m"]);
    }
}
