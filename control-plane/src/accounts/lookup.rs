//! What an edge asks about a key that it does not know. The answer and the account sequence that
//! it holds for are read in one statement, so an edge can tell an answer that is older than a
//! revocation it has already seen.

use super::keys::{parse_kind, parse_policy};
use super::workspaces::settings;
use super::{Accounts, AccountsError};
use crate::sql::unsigned;
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::policy::{Principal, Settings};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::sync::Arc;

/// Why a key opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There never was such a key.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It is disabled until somebody enables it again.
    Disabled,
    /// Its time is over.
    Expired,
}

impl Refusal {
    /// The word for the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

/// An authoritative answer about a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupAnswer {
    /// The answer holds as of this account sequence.
    pub account_sequence: u64,
    /// Who calls with it, or why nobody does.
    pub principal: Result<Principal, Refusal>,
}

impl Accounts {
    /// Who calls with the key of this hash.
    ///
    /// # Errors
    /// When the database fails: then there is no answer, neither yes nor no.
    pub async fn lookup(&self, key: KeyHash) -> Result<LookupAnswer, AccountsError> {
        let row = sqlx::query(
            "SELECT s.value, k.org, k.name, k.kind, k.policy, k.expires_unix_s, k.revoked_unix_ms,
                    k.disabled, k.workspace, k.created_by
             FROM sequences s LEFT JOIN api_keys k ON k.id = $1 WHERE s.name = 'account'",
        )
        .bind(key.to_string())
        .fetch_one(self.database.readers())
        .await?;
        let mut principal = principal_of(key, &row, self.clock.unix_s())?;
        if let Ok(Principal { org, policy, .. }) = &mut principal {
            let (workspace, member): (String, String) = (row.try_get(8)?, row.try_get(9)?);
            self.limit_policy(policy, org, &workspace, &member).await?;
            // Read after the sequence: never older than it.
            policy.settings = self.settings_of(org, &workspace).await?;
            policy.rules = self.rules_of(key).await?.map(Arc::new);
            Self::limit_by_budgets(policy, key, &member);
        }
        Ok(LookupAnswer {
            account_sequence: unsigned(&row, 0)?,
            principal,
        })
    }
}

impl Accounts {
    /// What requests of a workspace begin with.
    async fn settings_of(&self, org: &OrgId, workspace: &str) -> Result<Settings, AccountsError> {
        let row = sqlx::query("SELECT settings FROM workspaces WHERE org = $1 AND id = $2")
            .bind(org.as_str())
            .bind(workspace)
            .fetch_optional(self.database.readers())
            .await?;
        let Some(row) = row else {
            return Ok(Settings::default());
        };
        settings(row.try_get(0)?)
    }
}

fn principal_of(
    key: KeyHash,
    row: &AnyRow,
    now_unix_s: u64,
) -> Result<Result<Principal, Refusal>, AccountsError> {
    let Some(org) = row.try_get::<Option<String>, _>(1)? else {
        return Ok(Err(Refusal::Unknown));
    };
    if row.try_get::<Option<i64>, _>(6)?.is_some() {
        return Ok(Err(Refusal::Revoked));
    }
    if unsigned(row, 7)? > 0 {
        return Ok(Err(Refusal::Disabled));
    }
    let expires_at = row
        .try_get::<Option<i64>, _>(5)?
        .and_then(|at| u64::try_from(at).ok());
    if expires_at.is_some_and(|at| at <= now_unix_s) {
        return Ok(Err(Refusal::Expired));
    }
    Ok(Ok(Principal {
        org: OrgId::from(org),
        key,
        key_name: row.try_get(2)?,
        kind: parse_kind(&row.try_get::<String, _>(3)?)?,
        expires_at,
        policy: parse_policy(row.try_get(4)?)?,
    }))
}
