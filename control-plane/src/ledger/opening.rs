//! What was used of a window while there was no limit: posted from the sums per day when the window
//! is first drawn from, and again after each change of its organisation's rules, so that a limit
//! counts the whole of its window, to the last digit. Records of that time that come after it are
//! given the window here; what is in suspense then, and was not limited, is not in it.

use super::LedgerError;
use super::account::Account;
use super::journal::{Book, Kind};
use super::limit::HELD_KEYS;
use super::rollup::stored;
use crate::sql::{amount, bigint, unsigned};
use shared::date::DAY_S;
use shared::id::OrgId;
use shared::limit::{Purse, Scope, Window};
use shared::money::Amount;
use shared::record::UsageRecord;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// An edge may learn of a limit so long after its window was opened, in milliseconds.
const LEARNED_MS: u64 = 600_000;

/// Whose use counts in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose<'a> {
    Key(&'a str),
    Member(&'a str),
    Workspace(&'a str),
    Org,
    /// A member's keys for which a guardrail holds.
    Held {
        guardrail: &'a str,
        member: &'a str,
    },
}

impl<'a> Whose<'a> {
    /// None of what is counted otherwise.
    pub(super) fn of(window: &'a Window) -> Option<Self> {
        let id = window.id.as_str();
        match window.scope {
            Scope::Key => Some(Self::Key(id)),
            Scope::Member => Some(Self::Member(id)),
            Scope::Workspace => Some(Self::Workspace(id)),
            Scope::Org => Some(Self::Org),
            // `ID/key/HASH` or `ID/member/USER`.
            Scope::Guardrail => {
                let (guardrail, whose) = id.split_once('/')?;
                match whose.split_once('/')? {
                    ("key", key) => Some(Self::Key(key)),
                    ("member", member) => Some(Self::Held { guardrail, member }),
                    _ => None,
                }
            }
            Scope::Free | Scope::Outage | Scope::Byok | Scope::ByokRequests | Scope::ByokFees => {
                None
            }
        }
    }

    /// The column that names them in the sums per day, and the name.
    fn column(self) -> (&'static str, &'a str) {
        match self {
            Self::Key(id) => ("key_id", id),
            Self::Member(id) | Self::Held { member: id, .. } => ("member", id),
            Self::Workspace(id) => ("workspace", id),
            Self::Org => ("''", ""),
        }
    }
}

/// Records with all their windows.
pub(super) struct Opened<'a> {
    pub(super) records: Cow<'a, [UsageRecord]>,
    /// What they use of windows of which their nodes, not knowing of the limit, have leased nothing
    /// for it.
    pub(super) unleased: BTreeMap<(OrgId, Window), Amount>,
}

impl<'a> From<&'a [UsageRecord]> for Opened<'a> {
    fn from(records: &'a [UsageRecord]) -> Self {
        Self {
            records: Cow::Borrowed(records),
            unleased: BTreeMap::new(),
        }
    }
}

impl Book {
    /// Posts what was used of a window and is not in it, once after each change that may have set its
    /// limit.
    pub(super) async fn open_window(
        &mut self,
        purse: &Purse,
        window: &Window,
        byok: bool,
    ) -> Result<(), LedgerError> {
        let Some(whose) = Whose::of(window) else {
            return Ok(());
        };
        let org = &purse.org;
        let changed = self.last_change(org, whose).await?;
        let reference = format!("{window} {changed}");
        if self.has(org, Kind::Opening, &reference).await? {
            return Ok(());
        }
        let counted = Account::WindowUsed(org.clone(), window.clone());
        let known = self.balance(&counted).await? - in_suspense(self.sql(), org, window).await?;
        let used = used_before(self.sql(), org, (whose, window), byok).await?;
        let missing = (used - known).at_least_zero();
        let lines = [(Account::outside(purse), -missing), (counted, missing)];
        self.post(org, Kind::Opening, &reference, &lines).await
    }

    /// The last change of what holds for the organisation, or for the key whose window it is.
    async fn last_change(&mut self, org: &OrgId, whose: Whose<'_>) -> Result<u64, LedgerError> {
        let key = match whose {
            Whose::Key(key) => key,
            Whose::Member(_) | Whose::Workspace(_) | Whose::Org | Whose::Held { .. } => "",
        };
        let row = sqlx::query(
            "SELECT CAST(COALESCE(MAX(sequence), 0) AS BIGINT) FROM (
                 SELECT MAX(sequence) AS sequence FROM account_events
                 WHERE org = $1 AND key_id = '' AND kind = 'org'
                 UNION ALL
                 SELECT MAX(sequence) AS sequence FROM account_events
                 WHERE org = '' AND key_id = $2 AND $2 <> ''
             ) AS changes",
        )
        .bind(org.as_str())
        .bind(key)
        .fetch_one(&mut **self.sql())
        .await?;
        Ok(unsigned(&row, 0)?)
    }

    /// Records that were begun before their edge knew of a limit count in its window all the same:
    /// they get it here. What was begun long after the windows of its time were opened is as it is.
    pub(super) async fn with_openings<'a>(
        &mut self,
        records: &'a [UsageRecord],
    ) -> Result<Opened<'a>, LedgerError> {
        let begun = records.iter().map(|record| record.started_unix_ms).min();
        let Some(begun) = begun else {
            return Ok(Opened::from(records));
        };
        let orgs: BTreeSet<&str> = records.iter().map(|it| it.org.as_str()).collect();
        let opened = self
            .opened_since(orgs, begun.saturating_sub(LEARNED_MS))
            .await?;
        if opened.is_empty() {
            return Ok(Opened::from(records));
        }
        let keys: BTreeSet<String> = records.iter().map(|it| it.key.to_string()).collect();
        let owners = self.owners(keys.iter().map(String::as_str)).await?;
        let mut records = records.to_vec();
        let mut unleased: BTreeMap<(OrgId, Window), Amount> = BTreeMap::new();
        for record in &mut records {
            let key = record.key.to_string();
            let (workspace, member) = owners
                .get(&key)
                .map_or(("", ""), |(workspace, member)| (workspace, member));
            let mine = |whose| match whose {
                Whose::Key(id) => id == key,
                Whose::Member(id) | Whose::Held { member: id, .. } => id == member,
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
                    let place = (record.org.clone(), window.clone());
                    *unleased.entry(place).or_default() += record.charge_of(window);
                    record.windows.push(window.clone());
                }
            }
        }
        Ok(Opened {
            records: Cow::Owned(records),
            unleased,
        })
    }

    /// Own provider keys count where the limit says so, and a member's keys for which the guardrail
    /// holds.
    async fn counts(&mut self, record: &UsageRecord, window: &Window) -> Result<bool, LedgerError> {
        if let Some(Whose::Held { guardrail, .. }) = Whose::of(window)
            && !self.is_held(record, guardrail).await?
        {
            return Ok(false);
        }
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

    async fn is_held(
        &mut self,
        record: &UsageRecord,
        guardrail: &str,
    ) -> Result<bool, LedgerError> {
        let sql = format!(
            "SELECT 1 FROM {HELD_KEYS} WHERE a.guardrail = $1 AND a.org = $2 AND k.id = $3"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(guardrail)
            .bind(record.org.as_str())
            .bind(record.key.to_string())
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row.is_some())
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
             WHERE kind = 'opening' AND unix_ms >= $2 AND org{} ORDER BY unix_ms, number",
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
            let at = unsigned(row, 2)?;
            let window = text.split(' ').next().unwrap_or_default().parse();
            // What can't be read was not written here.
            let Ok(window) = window else { continue };
            // Rows are in the order of time: the last opening counts.
            let windows: &mut Vec<(Window, u64)> = opened.entry(org.into()).or_default();
            windows.retain(|(known, _)| *known != window);
            windows.push((window, at));
        }
        Ok(opened)
    }
}

/// What of a window's use is held by requests whose cost nobody knows yet: no day has it.
pub(super) async fn in_suspense(
    connection: &mut AnyConnection,
    org: &OrgId,
    window: &Window,
) -> Result<Amount, LedgerError> {
    let text = window.to_string();
    let text = text
        .replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_");
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(u.held_nano), 0) AS BIGINT),
                CAST(COALESCE(SUM(u.held_pico_rem), 0) AS BIGINT)
         FROM usage_records u LEFT JOIN reconciliations r
             ON r.node = u.node AND r.epoch = u.epoch AND r.sequence = u.sequence
         WHERE u.org = $1 AND u.outcome = 'suspense' AND r.sequence IS NULL
             AND ' ' || u.limit_windows || ' ' LIKE $2 ESCAPE '!'",
    )
    .bind(org.as_str())
    .bind(format!("% {text} %"))
    .fetch_one(connection)
    .await?;
    Ok(amount(&row, 0)?)
}

/// What the days of a window add up to of those whose limit it is.
pub(super) async fn used_before(
    connection: &mut AnyConnection,
    org: &OrgId,
    (whose, window): (Whose<'_>, &Window),
    byok: bool,
) -> Result<Amount, LedgerError> {
    let (column, name) = whose.column();
    let end = window.interval.end(window.start).unwrap_or(u64::MAX);
    let held = match whose {
        Whose::Held { guardrail, .. } => Some(guardrail),
        _ => None,
    };
    let only = held.map_or(String::new(), |_| {
        format!(
            "AND key_id IN (SELECT k.id FROM {HELD_KEYS} WHERE a.guardrail = $5 AND a.org = $1)"
        )
    });
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT),
                CAST(COALESCE(SUM(cost_pico_rem), 0) AS BIGINT),
                CAST(COALESCE(SUM(byok_nano), 0) AS BIGINT),
                CAST(COALESCE(SUM(byok_pico_rem), 0) AS BIGINT)
         FROM usage_days WHERE org = $1 AND {column} = $2 AND day >= $3 AND day < $4 {only}"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(org.as_str())
        .bind(stored(name))
        .bind(bigint(window.start / DAY_S))
        .bind(bigint(end / DAY_S));
    if let Some(guardrail) = held {
        query = query.bind(guardrail);
    }
    let row = query.fetch_one(connection).await?;
    let own = if byok { amount(&row, 2)? } else { Amount::ZERO };
    Ok(amount(&row, 0)? + own)
}
