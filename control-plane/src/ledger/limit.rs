//! What a window may hold: the limit as it is now, read in the transaction that lends from it, so
//! that an edge with an old copy of the rules can't have more than the rules of today give.

use super::LedgerError;
use super::journal::Book;
use crate::sql::{DatabaseError, amount};
use shared::guardrail::Guardrail;
use shared::limit::{Interval, Purse, Scope, Window};
use shared::money::Amount;
use shared::policy::KeyPolicy;
use sqlx::Row;

/// A window can be drawn from so long before it begins and after it has ended, in seconds: clocks
/// run apart, and a request belongs to the window in which it came.
const GRACE_S: u64 = 600;

impl Book {
    /// What is added to the account outside of leases to know what a purse has left: nothing of a
    /// balance, a window's limit. None when there is no such limit, or not now.
    pub(super) async fn most(
        &mut self,
        purse: &Purse,
        unix_s: u64,
    ) -> Result<Option<Amount>, LedgerError> {
        let Some(window) = &purse.window else {
            return Ok(Some(Amount::ZERO));
        };
        if !is_now(window, unix_s) {
            return Ok(None);
        }
        match window.scope {
            Scope::Key => self.limit_of_key(purse, window).await,
            Scope::Guardrail => self.limit_of_guardrail(purse, window).await,
            _ => self.limit_of_others(purse, window).await,
        }
    }

    async fn limit_of_key(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Amount>, LedgerError> {
        let row = sqlx::query("SELECT policy FROM api_keys WHERE id = $1 AND org = $2")
            .bind(window.id.as_str())
            .bind(purse.org.as_str())
            .fetch_optional(&mut **self.sql())
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let text: String = row.try_get(0)?;
        let policy: KeyPolicy =
            serde_json::from_str(&text).map_err(|_| DatabaseError::Corrupt {
                what: "policy",
                value: text,
            })?;
        let interval = Interval::from(policy.limit_reset);
        Ok(policy.limit.filter(|_| interval == window.interval))
    }

    /// The guardrail's budget as it is now, while it holds for the key or the member: an edge with
    /// an old copy of the rules gets nothing more of one that does not.
    async fn limit_of_guardrail(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Amount>, LedgerError> {
        let mut parts = window.id.as_str().splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let (id, whose, who) = (part(), part(), part());
        let row = sqlx::query(
            "SELECT rules FROM guardrails WHERE id = $1 AND org = $2 AND EXISTS (
                 SELECT 1 FROM guardrail_assignments a JOIN api_keys k ON k.org = a.org AND (
                     (a.kind = 'key' AND a.subject = k.id)
                     OR (a.kind = 'member' AND a.subject = k.created_by)
                     OR (a.kind = 'workspace' AND a.subject = k.workspace)
                     OR (a.kind = 'organization' AND a.subject = k.org))
                 WHERE a.guardrail = $1 AND a.org = $2
                     AND ($3 = 'key' AND k.id = $4 OR $3 = 'member' AND k.created_by = $4))",
        )
        .bind(id)
        .bind(purse.org.as_str())
        .bind(whose)
        .bind(who)
        .fetch_optional(&mut **self.sql())
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let text: String = row.try_get(0)?;
        let rules: Guardrail = serde_json::from_str(&text).map_err(|_| DatabaseError::Corrupt {
            what: "guardrail",
            value: text,
        })?;
        let interval = Interval::from(rules.reset_interval);
        Ok(rules.limit_usd.filter(|_| interval == window.interval))
    }

    async fn limit_of_others(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Amount>, LedgerError> {
        let row = sqlx::query(
            "SELECT nano, pico_rem FROM limits
             WHERE org = $1 AND scope = $2 AND id = $3 AND period = $4",
        )
        .bind(purse.org.as_str())
        .bind(window.scope.as_str())
        .bind(window.id.as_str())
        .bind(window.interval.as_str())
        .fetch_optional(&mut **self.sql())
        .await?;
        Ok(row.map(|row| amount(&row, 0)).transpose()?)
    }
}

/// True when `window` is one of its interval's and near enough to now.
fn is_now(window: &Window, unix_s: u64) -> bool {
    let (start, interval) = (window.start, window.interval);
    let end = interval.end(start).unwrap_or(u64::MAX);
    interval.start(start) == start
        && start <= unix_s.saturating_add(GRACE_S)
        && unix_s < end.saturating_add(GRACE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_a_little_longer_than_its_time() {
        let window = |text: &str| text.parse::<Window>().unwrap();
        let day = 86_400;
        let daily = window("key:a:daily:86400");
        for (unix_s, open) in [
            (day - GRACE_S - 1, false),
            (day - GRACE_S, true),
            (2 * day, true),
            (2 * day + GRACE_S - 1, true),
            (2 * day + GRACE_S, false),
        ] {
            assert_eq!(is_now(&daily, unix_s), open, "{unix_s}");
        }
        assert!(is_now(&window("key:a:lifetime:0"), 1 << 40));
        assert!(!is_now(&window("key:a:daily:86401"), 90_000));
    }
}
