//! What was used of a window before its limit was set: posted from the sums per day when the window
//! is first drawn from, so that a limit counts the whole of its window, to the last digit. Records
//! of that time that come after it are given the window here; what is in suspense then is not in it.

use super::LedgerError;
use super::account::Account;
use super::journal::{Book, Kind};
use super::rollup::stored;
use crate::sql::{amount, bigint};
use shared::date::DAY_S;
use shared::id::OrgId;
use shared::limit::{Purse, Scope, Window};
use shared::money::Amount;
use shared::record::UsageRecord;
use sqlx::{AssertSqlSafe, Row};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// An edge may learn of a limit so long after its window was opened, in milliseconds.
const LEARNED_MS: u64 = 600_000;

/// Whose use counts in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose<'a> {
    Key(&'a str),
    Member(&'a str),
    Workspace(&'a str),
    Org,
}

impl<'a> Whose<'a> {
    /// None of what is counted otherwise.
    fn of(window: &'a Window) -> Option<Self> {
        let id = window.id.as_str();
        match window.scope {
            Scope::Key => Some(Self::Key(id)),
            Scope::Member => Some(Self::Member(id)),
            Scope::Workspace => Some(Self::Workspace(id)),
            Scope::Org => Some(Self::Org),
            // `ID/key/HASH` or `ID/member/USER`.
            Scope::Guardrail => match id.split_once('/')?.1.split_once('/')? {
                ("key", key) => Some(Self::Key(key)),
                ("member", member) => Some(Self::Member(member)),
                _ => None,
            },
            Scope::Free | Scope::Outage | Scope::Byok | Scope::ByokRequests | Scope::ByokFees => {
                None
            }
        }
    }

    /// The column that names them in the sums per day, and the name.
    fn column(self) -> (&'static str, &'a str) {
        match self {
            Self::Key(id) => ("key_id", id),
            Self::Member(id) => ("member", id),
            Self::Workspace(id) => ("workspace", id),
            Self::Org => ("''", ""),
        }
    }
}

impl Book {
    /// Posts what was used of a window, unless somebody has drawn from it before.
    pub(super) async fn open_window(
        &mut self,
        purse: &Purse,
        window: &Window,
        byok: bool,
    ) -> Result<(), LedgerError> {
        let Some(whose) = Whose::of(window) else {
            return Ok(());
        };
        let outside = Account::outside(purse);
        let drawn = sqlx::query("SELECT 1 FROM balances WHERE account = $1")
            .bind(outside.to_string())
            .fetch_optional(&mut **self.sql())
            .await?;
        if drawn.is_some() {
            return Ok(());
        }
        let (org, text) = (&purse.org, window.to_string());
        if self.has(org, Kind::Opening, &text).await? {
            return Ok(());
        }
        let used = self.used_before(org, whose, window, byok).await?;
        let lines = [
            (outside, -used),
            (Account::WindowUsed(org.clone(), window.clone()), used),
        ];
        self.post(org, Kind::Opening, &text, &lines).await
    }

    async fn used_before(
        &mut self,
        org: &OrgId,
        whose: Whose<'_>,
        window: &Window,
        byok: bool,
    ) -> Result<Amount, LedgerError> {
        let (column, name) = whose.column();
        let end = window.interval.end(window.start).unwrap_or(u64::MAX);
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT),
                    CAST(COALESCE(SUM(cost_pico_rem), 0) AS BIGINT),
                    CAST(COALESCE(SUM(byok_nano), 0) AS BIGINT),
                    CAST(COALESCE(SUM(byok_pico_rem), 0) AS BIGINT)
             FROM usage_days WHERE org = $1 AND {column} = $2 AND day >= $3 AND day < $4"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(org.as_str())
            .bind(stored(name))
            .bind(bigint(window.start / DAY_S))
            .bind(bigint(end / DAY_S))
            .fetch_one(&mut **self.sql())
            .await?;
        let own = if byok { amount(&row, 2)? } else { Amount::ZERO };
        Ok(amount(&row, 0)? + own)
    }

    /// Records that were begun before their edge knew of a limit count in its window all the same:
    /// they get it here. What was begun long after the windows of its time were opened is as it is.
    pub(super) async fn with_openings<'a>(
        &mut self,
        records: &'a [UsageRecord],
    ) -> Result<Cow<'a, [UsageRecord]>, LedgerError> {
        let begun = records.iter().map(|record| record.started_unix_ms).min();
        let Some(begun) = begun else {
            return Ok(Cow::Borrowed(records));
        };
        let orgs: BTreeSet<&str> = records.iter().map(|it| it.org.as_str()).collect();
        let opened = self
            .opened_since(orgs, begun.saturating_sub(LEARNED_MS))
            .await?;
        if opened.is_empty() {
            return Ok(Cow::Borrowed(records));
        }
        let keys: BTreeSet<String> = records.iter().map(|it| it.key.to_string()).collect();
        let owners = self.owners(keys.iter().map(String::as_str)).await?;
        let mut records = records.to_vec();
        for record in &mut records {
            let key = record.key.to_string();
            let (workspace, member) = owners
                .get(&key)
                .map_or(("", ""), |(workspace, member)| (workspace, member));
            let mine = |whose| match whose {
                Whose::Key(id) => id == key,
                Whose::Member(id) => id == member,
                Whose::Workspace(id) => id == workspace,
                Whose::Org => true,
            };
            for (window, at) in opened.get(&record.org).into_iter().flatten() {
                let before = record.started_unix_ms < at.saturating_add(LEARNED_MS);
                let second = record.started_unix_ms / 1000;
                let within = window.interval.start(second) == window.start;
                if !before || !within || record.windows.contains(window) {
                    continue;
                }
                if Whose::of(window).is_some_and(mine) && self.counts(record, window).await? {
                    record.windows.push(window.clone());
                }
            }
        }
        Ok(Cow::Owned(records))
    }

    /// Own provider keys count where the limit says so.
    async fn counts(&mut self, record: &UsageRecord, window: &Window) -> Result<bool, LedgerError> {
        if !record.own_key {
            return Ok(true);
        }
        let purse = Purse {
            org: record.org.clone(),
            window: Some(window.clone()),
        };
        let rule = self.rule(&purse, window).await?;
        Ok(rule.is_some_and(|rule| rule.byok))
    }

    /// Windows that were opened since then, and when.
    async fn opened_since(
        &mut self,
        orgs: BTreeSet<&str>,
        since_unix_ms: u64,
    ) -> Result<BTreeMap<OrgId, Vec<(Window, u64)>>, LedgerError> {
        let engine = self.engine();
        let sql = format!(
            "SELECT org, reference, unix_ms FROM postings
             WHERE kind = 'opening' AND unix_ms >= $2 AND org{}",
            engine.in_list()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(orgs))
            .bind(bigint(since_unix_ms))
            .fetch_all(&mut **self.sql())
            .await?;
        let mut opened: BTreeMap<OrgId, Vec<(Window, u64)>> = BTreeMap::new();
        for row in &rows {
            let (org, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let at = crate::sql::unsigned(row, 2)?;
            // What can't be read was not written here.
            if let Ok(window) = text.parse() {
                opened.entry(org.into()).or_default().push((window, at));
            }
        }
        Ok(opened)
    }
}
