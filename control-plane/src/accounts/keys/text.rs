//! A key's columns as texts: its id, its kind, its policy.

use crate::accounts::AccountsError;
use crate::sql::DatabaseError;
use shared::key::KeyHash;
use shared::money::Amount;
use shared::policy::{KeyKind, KeyPolicy};

pub(in crate::accounts) fn parse_id(text: String) -> Result<KeyHash, DatabaseError> {
    text.parse().map_err(|_| DatabaseError::Corrupt {
        what: "key id",
        value: text,
    })
}

/// The word for a kind of key, as it is stored and sent.
#[must_use]
pub fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Inference => "inference",
        KeyKind::Management => "management",
    }
}

pub(in crate::accounts) fn parse_kind(text: &str) -> Result<KeyKind, DatabaseError> {
    [KeyKind::Inference, KeyKind::Management]
        .into_iter()
        .find(|kind| kind_text(*kind) == text)
        .ok_or_else(|| DatabaseError::Corrupt {
            what: "kind of key",
            value: text.to_owned(),
        })
}

/// A policy that can't be read must not become "no rules".
pub(in crate::accounts) fn parse_policy(text: String) -> Result<KeyPolicy, DatabaseError> {
    serde_json::from_str(&text).map_err(|_| DatabaseError::Corrupt {
        what: "policy",
        value: text,
    })
}

pub(super) fn policy_text(policy: &KeyPolicy) -> Result<String, AccountsError> {
    serde_json::to_string(policy)
        .map_err(|error| AccountsError::invalid("policy", error.to_string()))
}

pub(super) fn check_policy(policy: &KeyPolicy) -> Result<(), AccountsError> {
    let kept = |limit: Amount| limit >= Amount::ZERO && limit.to_nano().is_some();
    if policy.limit.is_some_and(|limit| !kept(limit)) {
        return Err(AccountsError::invalid(
            "limit",
            "an amount from 0 up to 9 billion dollars is expected",
        ));
    }
    Ok(())
}
