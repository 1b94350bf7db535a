//! What a tick publishes: all regions' tables, what leads to them, and what edges are sent of them.

use crate::encoded::Encoded;
use shared::clock::Moment;
use shared::id::{NodeId, Region, Version};
use shared::ranking::{Portion, RankingDelta, RankingTable};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rankings of all regions, made by one tick.
#[derive(Clone, Debug, Default)]
pub struct Rankings {
    /// The tick's.
    pub version: Option<Version>,
    /// By region.
    pub tables: BTreeMap<Region, Arc<RankingTable>>,
    /// What leads to each table from the one that was published before.
    pub changes: BTreeMap<Region, Arc<RankingDelta>>,
    /// What edges are sent of each table.
    pub encoded: BTreeMap<Region, Arc<Encoded<Version>>>,
    /// Each node's part of the demand.
    pub portions: Arc<BTreeMap<NodeId, Arc<Portion>>>,
    /// When the evidence behind them was looked at: what a push's duration is measured from.
    pub since: Moment,
}

/// Tables that are news, by region.
pub(super) type News<'a> = BTreeMap<&'a Region, &'a Arc<RankingTable>>;

impl Rankings {
    /// Was that region's table published before?
    pub(super) fn has(&self, region: &Region, table: &Arc<RankingTable>) -> bool {
        self.tables
            .get(region)
            .is_some_and(|known| Arc::ptr_eq(known, table))
    }

    /// These tables with the news in them. Of `all`, what is no news and was not published is held
    /// back; a region that is no more goes.
    pub(super) fn tables_with(
        &self,
        all: &BTreeMap<Region, Arc<RankingTable>>,
        news: &News<'_>,
    ) -> BTreeMap<Region, Arc<RankingTable>> {
        let kept = self.tables.iter().filter(|(it, _)| all.contains_key(*it));
        let mut tables: BTreeMap<_, _> =
            kept.map(|(of, it)| (of.clone(), Arc::clone(it))).collect();
        tables.extend(news.iter().map(|(&of, &it)| (of.clone(), Arc::clone(it))));
        tables
    }

    /// What leads from these to the news.
    pub(super) fn changes_to(&self, news: &News<'_>) -> BTreeMap<Region, Arc<RankingDelta>> {
        let changes = news.iter().filter_map(|(region, table)| {
            let delta = table.diff(self.tables.get(*region)?);
            Some(((*region).clone(), Arc::new(delta)))
        });
        changes.collect()
    }

    /// The same under a new version: what asks edges for a word without telling them anything.
    pub(super) fn again(&self, version: Version, since: Moment) -> Self {
        let again = |(region, table): (&Region, &Arc<RankingTable>)| {
            let mut table = RankingTable::clone(table);
            table.version = version;
            (region.clone(), Arc::new(table))
        };
        let regions = self.tables.keys();
        Self {
            version: Some(version),
            tables: self.tables.iter().map(again).collect(),
            changes: BTreeMap::new(),
            encoded: regions.map(|it| (it.clone(), Arc::default())).collect(),
            portions: Arc::clone(&self.portions),
            since,
        }
    }

    /// What was encoded of the others stays, but of a region that is no more; the news are still to
    /// be.
    pub(super) fn encoded_besides(
        &self,
        all: &BTreeMap<Region, Arc<RankingTable>>,
        news: &News<'_>,
    ) -> BTreeMap<Region, Arc<Encoded<Version>>> {
        let mut encoded = self.encoded.clone();
        encoded.retain(|region, _| all.contains_key(region));
        encoded.extend(
            news.keys()
                .map(|region| ((*region).clone(), Arc::default())),
        );
        encoded
    }
}
