//! One region's table in the making: the rows that were told last, and those to be told now.

use crate::id::EndpointId;
use crate::ranking::{RankingRow, RankingTable};
use std::collections::btree_map::Range;
use std::iter::Peekable;

/// One region's table.
pub(super) struct Page<'a> {
    before: Option<&'a RankingTable>,
    /// The row that is likely to be asked for next, and those behind it.
    ahead: Option<Peekable<Range<'a, EndpointId, RankingRow>>>,
    pub(super) rows: Vec<(EndpointId, RankingRow)>,
}

impl<'a> Page<'a> {
    pub(super) fn after(before: Option<&'a RankingTable>) -> Self {
        let rows = before.map_or(0, |table| table.rows.len());
        Self {
            before,
            ahead: None,
            rows: Vec::with_capacity(rows),
        }
    }

    /// The row that was told last of an endpoint. Quick where they are asked for by id.
    pub(super) fn told(&mut self, id: &EndpointId) -> Option<&'a RankingRow> {
        let before = self.before?;
        let is_it = |next: &(&EndpointId, &RankingRow)| next.0 == id;
        if let Some(ahead) = &mut self.ahead
            && let Some((_, row)) = ahead.next_if(is_it)
        {
            return Some(row);
        }
        let mut ahead = before.rows.range::<EndpointId, _>(id..).peekable();
        let row = ahead.next_if(is_it).map(|(_, row)| row);
        self.ahead = Some(ahead);
        row
    }
}
