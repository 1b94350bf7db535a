//! What is changed about a key: applied to the row, and told to the audit log.

use super::KeyRow;
use super::text::check_policy;
use crate::accounts::{AccountsError, check_name};
use shared::id::WorkspaceId;
use shared::money::Amount;
use shared::policy::{KeyPolicy, ResetInterval};

/// What is to change about a key; what is none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Its name.
    pub name: Option<String>,
    /// Whether it is refused.
    pub disabled: Option<bool>,
    /// The most that it may spend, or no limit.
    pub limit: Option<Option<Amount>>,
    /// When the limit starts anew, or never.
    pub limit_reset: Option<Option<ResetInterval>>,
    /// Whether use of own provider keys counts.
    pub include_byok_in_limit: Option<bool>,
    /// When it ends, in seconds since 1970, or never.
    pub expires_at: Option<Option<u64>>,
    /// Its workspace.
    pub workspace: Option<WorkspaceId>,
    /// The whole policy, before the members above are set.
    pub policy: Option<KeyPolicy>,
    /// A member changes it, who is no administrator: nothing that is taken away from the key, by
    /// whomever, comes back by that.
    pub by_member: bool,
}

impl KeyChange {
    pub(super) fn apply(&self, row: &mut KeyRow, now_s: u64) -> Result<(), AccountsError> {
        if let Some(name) = &self.name {
            check_name("name", name)?;
            if name.is_empty() {
                return Err(AccountsError::invalid("name", "it is empty"));
            }
            row.name.clone_from(name);
        }
        if let Some(policy) = &self.policy {
            row.policy = policy.clone();
        }
        let policy = &mut row.policy;
        policy.limit = self.limit.unwrap_or(policy.limit);
        policy.limit_reset = self.limit_reset.unwrap_or(policy.limit_reset);
        policy.include_byok_in_limit = self
            .include_byok_in_limit
            .unwrap_or(policy.include_byok_in_limit);
        check_policy(policy)?;
        row.disabled = self.disabled.unwrap_or(row.disabled);
        // Who sends all of a key that has ended, as it is, changes nothing by that.
        if let Some(end) = self.expires_at.filter(|end| *end != row.expires_at) {
            check_end(end, now_s)?;
            row.expires_at = end;
        }
        Ok(())
    }

    /// Fails when a member's change would give the key more than it had.
    pub(super) fn must_be_allowed(
        &self,
        before: &KeyRow,
        after: &KeyRow,
    ) -> Result<(), AccountsError> {
        let what = self.by_member.then(|| widened(before, after)).flatten();
        what.map_or(Ok(()), |what| {
            let reason = "members may rename, disable and narrow a key; an administrator can do \
                          this, or make a new key";
            Err(AccountsError::Forbidden { what, reason })
        })
    }

    /// What it changes, for the audit log.
    pub(super) fn told(&self) -> String {
        let mut told = String::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                told.push_str(&format!(" {name}={value}"));
            }
        };
        add("name", self.name.as_ref().map(|name| format!("{name:?}")));
        add("disabled", self.disabled.map(|on| on.to_string()));
        let limit =
            |limit: Option<Amount>| limit.map_or_else(|| "none".to_owned(), |l| l.to_string());
        add("limit", self.limit.map(limit));
        let reset = |reset: Option<ResetInterval>| format!("{reset:?}").to_lowercase();
        add("limit_reset", self.limit_reset.map(reset));
        let byok = self.include_byok_in_limit.map(|on| on.to_string());
        add("include_byok_in_limit", byok);
        let end = |end: Option<u64>| end.map_or_else(|| "never".to_owned(), |end| end.to_string());
        add("expires_at", self.expires_at.map(end));
        add(
            "workspace",
            self.workspace.as_ref().map(ToString::to_string),
        );
        add("policy", self.policy.as_ref().map(|_| "new".to_owned()));
        told
    }
}

/// A key that ends is one that does not work: whoever wants that disables it.
pub(super) fn check_end(end: Option<u64>, now_s: u64) -> Result<(), AccountsError> {
    if end.is_none_or(|end| end > now_s) {
        return Ok(());
    }
    let reason = "it is in the past; a key that is to end now is disabled or deleted";
    Err(AccountsError::invalid("expires_at", reason))
}

/// The first thing in which a key may do more than before, or other things.
fn widened(before: &KeyRow, after: &KeyRow) -> Option<&'static str> {
    // None is without end, or without bounds.
    fn more<T: PartialOrd>(before: Option<T>, after: Option<T>) -> bool {
        before.is_some_and(|before| after.is_none_or(|after| after > before))
    }
    let (was, is) = (&before.policy, &after.policy);
    let limited = was.limit.is_some();
    let checks = [
        ("workspace_id", before.workspace != after.workspace),
        ("disabled", before.disabled && !after.disabled),
        ("limit", more(was.limit, is.limit)),
        ("limit_reset", limited && was.limit_reset != is.limit_reset),
        (
            "include_byok_in_limit",
            limited && was.include_byok_in_limit && !is.include_byok_in_limit,
        ),
        ("expires_at", more(before.expires_at, after.expires_at)),
    ];
    let mut widened = checks.into_iter().filter(|(_, widened)| *widened);
    widened.next().map(|(what, _)| what)
}
