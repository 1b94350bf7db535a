//! What a window may hold: the limit as it is now, read in the transaction that lends from it, so
//! that an edge with an old copy of the rules can't have more than the rules of today give.

use super::LedgerError;
use super::account::Account;
use super::journal::Book;
use crate::sql::{DatabaseError, amount, unsigned};
use serde::de::DeserializeOwned;
use shared::guardrail::Guardrail;
use shared::limit::{Interval, Purse, Scope, Window};
use shared::money::Amount;
use shared::policy::{KeyPolicy, ResetInterval};
use shared::rate::FreeTier;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;

/// A window can be drawn from so long before it begins and after it has ended, in seconds: clocks
/// run apart, and a request belongs to the window in which it came.
const GRACE_S: u64 = 600;

/// What a limit says now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The most in one window.
    pub(super) most: Amount,
    /// What own provider keys serve counts, too.
    pub(super) byok: bool,
}

/// Guardrails' assignments `a` and the keys `k` that each of them holds for.
pub(super) const HELD_KEYS: &str = "guardrail_assignments a JOIN api_keys k ON k.org = a.org AND (
    (a.kind = 'key' AND a.subject = k.id)
    OR (a.kind = 'member' AND a.subject = k.created_by)
    OR (a.kind = 'workspace' AND a.subject = k.workspace)
    OR (a.kind = 'organization' AND a.subject = k.org))";

impl Book {
    /// What is added to the account outside of leases to know what a purse has left: nothing of a
    /// balance, a window's limit. None when there is no such limit, or not now. A window that
    /// nobody has drawn from yet is opened with what was used of it before.
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
        let Some(rule) = self.rule(purse, window).await? else {
            return Ok(None);
        };
        self.open_window(purse, window, rule.byok).await?;
        Ok(Some(rule.most))
    }

    /// The limit of a window as it is now.
    pub(super) async fn rule(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Rule>, LedgerError> {
        match window.scope {
            Scope::Key => {
                let policy: Option<KeyPolicy> = read(self.policy(purse, window).await?, "policy")?;
                Ok(policy.and_then(|policy| {
                    let byok = policy.include_byok_in_limit;
                    rule(policy.limit, policy.limit_reset, byok, window)
                }))
            }
            Scope::Guardrail => {
                let rules = self.guardrail(purse, window).await?;
                let rules: Option<Guardrail> = read(rules, "guardrail")?;
                Ok(rules.and_then(|rules| {
                    let byok = rules.include_byok_in_budgets.unwrap_or_default();
                    rule(rules.limit_usd, rules.reset_interval, byok, window)
                }))
            }
            Scope::Free => self.rule_of_free(purse, window).await,
            Scope::Byok | Scope::ByokRequests => self.rule_of_own_keys(purse, window).await,
            _ => self.rule_of_others(purse, window).await,
        }
    }

    async fn policy(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<AnyRow>, LedgerError> {
        let row = sqlx::query("SELECT policy FROM api_keys WHERE id = $1 AND org = $2")
            .bind(window.id.as_str())
            .bind(purse.org.as_str())
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row)
    }

    /// The guardrail as it is now, while it holds for the key or the member: an edge with an old
    /// copy of the rules gets nothing more of one that does not.
    async fn guardrail(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<AnyRow>, LedgerError> {
        let mut parts = window.id.as_str().splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let (id, whose, who) = (part(), part(), part());
        let sql = format!(
            "SELECT rules FROM guardrails WHERE id = $1 AND org = $2 AND EXISTS (
                 SELECT 1 FROM {HELD_KEYS} WHERE a.guardrail = $1 AND a.org = $2
                     AND ($3 = 'key' AND k.id = $4 OR $3 = 'member' AND k.created_by = $4))"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(purse.org.as_str())
            .bind(whose)
            .bind(who)
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row)
    }

    /// Requests to free variants a day: more of who has bought credits.
    async fn rule_of_free(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Rule>, LedgerError> {
        if window.interval != Interval::Daily || window.id.as_str() != purse.org.as_str() {
            return Ok(None);
        }
        // Refunds have been taken off: what is given back was not bought.
        let bought = self.balance(&Account::Purchases(purse.org.clone())).await?;
        Ok(Some(Rule {
            most: free_a_day(-bought),
            byok: false,
        }))
    }

    /// What own provider keys may serve without a fee. What goes beyond it is charged, not refused.
    async fn rule_of_own_keys(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Rule>, LedgerError> {
        let org = &purse.org;
        if window.interval != Interval::Monthly || window.id.as_str() != org.as_str() {
            return Ok(None);
        }
        let allowance = self.allowances(&BTreeSet::from([org])).await?;
        let allowance = allowance.get(org);
        let most = allowance.map(|allowance| match window.scope {
            Scope::ByokRequests => Amount(allowance.requests.into()),
            _ => allowance.list,
        });
        Ok(most.map(|most| Rule { most, byok: true }))
    }

    async fn rule_of_others(
        &mut self,
        purse: &Purse,
        window: &Window,
    ) -> Result<Option<Rule>, LedgerError> {
        let row = sqlx::query(
            "SELECT nano, pico_rem, include_byok FROM limits
             WHERE org = $1 AND scope = $2 AND id = $3 AND period = $4",
        )
        .bind(purse.org.as_str())
        .bind(window.scope.as_str())
        .bind(window.id.as_str())
        .bind(window.interval.as_str())
        .fetch_optional(&mut **self.sql())
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(Rule {
            most: amount(&row, 0)?,
            byok: unsigned(&row, 2)? > 0,
        }))
    }
}

/// What a row says in JSON.
fn read<T: DeserializeOwned>(
    row: Option<AnyRow>,
    what: &'static str,
) -> Result<Option<T>, LedgerError> {
    let Some(row) = row else {
        return Ok(None);
    };
    let text: String = row.try_get(0)?;
    let read = serde_json::from_str(&text);
    Ok(Some(read.map_err(|_| DatabaseError::Corrupt {
        what,
        value: text,
    })?))
}

/// A rule of this window's interval.
fn rule(
    most: Option<Amount>,
    reset: Option<ResetInterval>,
    byok: bool,
    window: &Window,
) -> Option<Rule> {
    let most = most.filter(|_| Interval::from(reset) == window.interval)?;
    Some(Rule { most, byok })
}

/// Requests to free variants a day of who has bought so much ever.
#[must_use]
pub fn free_a_day(bought: Amount) -> Amount {
    let paid = bought >= Amount(FreeTier::PAID_FROM_USD * Amount::USD.0);
    let requests = if paid {
        FreeTier::PER_DAY_PAID
    } else {
        FreeTier::PER_DAY
    };
    Amount(requests.into())
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
