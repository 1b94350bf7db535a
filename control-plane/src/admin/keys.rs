//! The keys' calls.

use super::{Answer, Deps, accounts_status, ledger_status};
use crate::accounts::{NewKey, kind_text};
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::policy::{KeyKind, KeyPolicy};
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) async fn create(
    deps: &Deps,
    actor: &str,
    message: wire::CreateKeyRequest,
) -> Answer<wire::CreateKeyResponse> {
    let new = NewKey {
        org: org_of(message.org),
        workspace: None,
        created_by: None,
        name: message.name,
        kind: kind_of(&message.kind)?,
        expires_at: message.expires_at,
        policy: policy_of(&message.policy_json)?,
    };
    let secret = deps.accounts.create_key(actor, &new).await;
    let secret = secret.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::CreateKeyResponse {
        key: secret.reveal().to_owned(),
        id: secret.hash().to_string(),
    }))
}

pub(super) async fn list(
    deps: &Deps,
    message: wire::ListKeysRequest,
) -> Answer<wire::ListKeysResponse> {
    let org = org_of(message.org);
    let rows = deps.accounts.keys(org.as_ref()).await;
    let rows = rows.map_err(|error| accounts_status(&error))?;
    let usage = deps.ledger.usage_by_key(org.as_ref()).await;
    let usage = usage.map_err(|error| ledger_status(&error))?;
    let keys = rows.into_iter().map(|row| wire::Key {
        id: row.id.to_string(),
        org: row.org.to_string(),
        name: row.name,
        label: row.label,
        kind: kind_text(row.kind).to_owned(),
        revoked: row.revoked,
        created_at: row.created_unix_ms / 1000,
        expires_at: row.expires_at,
        usage_usd: usage.get(&row.id).copied().unwrap_or_default().to_string(),
    });
    Ok(Response::new(wire::ListKeysResponse {
        keys: keys.collect(),
    }))
}

pub(super) async fn revoke(
    deps: &Deps,
    actor: &str,
    message: wire::RevokeKeyRequest,
) -> Answer<wire::RevokeKeyResponse> {
    let id: KeyHash = message
        .id
        .parse()
        .map_err(|error| Status::invalid_argument(format!("id: {error}")))?;
    let revoked = deps.accounts.revoke_key(actor, id).await;
    revoked.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::RevokeKeyResponse {}))
}

fn org_of(text: String) -> Option<OrgId> {
    (!text.is_empty()).then(|| OrgId::from(text))
}

fn kind_of(text: &str) -> Result<KeyKind, Status> {
    match text {
        "" | "inference" => Ok(KeyKind::Inference),
        "management" => Ok(KeyKind::Management),
        _ => Err(Status::invalid_argument(format!(
            "kind: {text:?} is neither \"inference\" nor \"management\""
        ))),
    }
}

/// A policy from JSON. A member that is none of a policy's is refused: a rule with a typo would
/// otherwise be no rule.
fn policy_of(json: &str) -> Result<KeyPolicy, Status> {
    if json.is_empty() {
        return Ok(KeyPolicy::default());
    }
    let refused = |reason: String| Status::invalid_argument(format!("policy_json: {reason}"));
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| refused(error.to_string()))?;
    let all = serde_json::to_value(KeyPolicy::default())
        .map_err(|error| Status::internal(error.to_string()))?;
    let (Some(given), Some(known)) = (value.as_object(), all.as_object()) else {
        return Err(refused("not an object".to_owned()));
    };
    if let Some(odd) = given.keys().find(|name| !known.contains_key(*name)) {
        let known: Vec<_> = known.keys().map(String::as_str).collect();
        return Err(refused(format!(
            "there is no rule {odd:?}; rules are {}",
            known.join(", ")
        )));
    }
    serde_json::from_value(value).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_with_a_typo_is_refused() {
        assert_eq!(policy_of("").unwrap(), KeyPolicy::default());
        let policy = policy_of(r#"{"limit": "2.5", "allowed_models": ["a/b"]}"#).unwrap();
        assert_eq!(policy.limit.unwrap().to_string(), "2.5");
        for bad in ["{", "[]", "3", r#"{"limt": "1"}"#, r#"{"limit": -1.5}"#] {
            let refused = policy_of(bad).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{bad}");
        }
    }
}
