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
}

impl KeyChange {
    pub(super) fn apply(&self, row: &mut KeyRow) -> Result<(), AccountsError> {
        if let Some(name) = &self.name {
            check_name("name", name)?;
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
        row.expires_at = self.expires_at.unwrap_or(row.expires_at);
        Ok(())
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
