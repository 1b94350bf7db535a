//! What no push of rankings may do, whoever made it: take away much of a region's weight at once
//! without a canary's consent, or leave a model whose endpoints are in service without any.

use super::{Mode, RankingTable};

/// The largest share of all weight that one version may take away without a canary's consent.
const DRASTIC: f64 = 0.3;
/// What the shares of a model may sum to: rows are told when they have moved, all of a mode at
/// once, so that little is missing.
const SUM: std::ops::RangeInclusive<f64> = 0.9..=1.1;

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

/// What is wrong with a table, if anything is: a model's shares that don't sum to one although
/// it has endpoints in service.
#[must_use]
pub fn absurdity(table: &RankingTable) -> Option<String> {
    let mut rows = table.rows.iter().peekable();
    while let Some((id, row)) = rows.next() {
        let model = model_of(id.as_str());
        let mut sums = Mode::ALL.iter().map(|mode| row.share_of(*mode));
        let mut sums: [f64; 4] = std::array::from_fn(|_| sums.next().unwrap_or_default());
        let mut in_service = !row.state.is_withdrawn();
        while let Some((_, row)) = rows.next_if(|(id, _)| model_of(id.as_str()) == model) {
            for (sum, mode) in sums.iter_mut().zip(Mode::ALL) {
                *sum += row.share_of(*mode);
            }
            in_service |= !row.state.is_withdrawn();
        }
        let wrong = sums
            .iter()
            .zip(Mode::ALL)
            .find(|(sum, _)| !SUM.contains(sum));
        if let Some((sum, mode)) = wrong.filter(|_| in_service) {
            return Some(format!("the {mode} shares of {model} sum to {sum:.3}"));
        }
    }
    None
}

/// Rows of one model stand together: their ids begin with it.
fn model_of(endpoint: &str) -> &str {
    endpoint
        .rsplit_once('@')
        .map_or(endpoint, |(model, _)| model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::{RankingRow, State, share_u16};

    fn table(rows: &[(&str, f64, State)]) -> RankingTable {
        let rows = rows.iter().map(|(id, share, state)| {
            let row = RankingRow {
                share: [share_u16(*share); 4],
                state: *state,
                ..RankingRow::default()
            };
            ((*id).into(), row)
        });
        RankingTable {
            rows: rows.collect(),
            ..RankingTable::default()
        }
    }

    #[test]
    fn a_model_without_shares_is_absurd_unless_nobody_serves_it() {
        let closed = State::Closed;
        assert_eq!(absurdity(&RankingTable::default()), None);
        assert_eq!(
            absurdity(&table(&[("m@a", 0.5, closed), ("m@b", 0.5, closed)])),
            None
        );
        let lame = table(&[
            ("a-b@x", 1.0, closed),
            ("a@x", 0.0, closed),
            ("a@y", 0.0, State::Open),
        ]);
        let reason = absurdity(&lame).unwrap();
        assert!(reason.contains("shares of a sum to 0.000"), "{reason}");
        assert!(absurdity(&table(&[("m@a", 0.9, closed), ("m@b", 0.9, closed)])).is_some());
        let out = [("m@a", 0.0, State::Disabled), ("m@b", 0.0, State::Draining)];
        assert_eq!(absurdity(&table(&out)), None);
    }
}
