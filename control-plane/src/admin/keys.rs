//! The keys' calls.

use super::{Answer, Deps, accounts_status, ledger_status};
use crate::accounts::{KeyChange, KeyRow, NewKey, kind_text};
use shared::id::{OrgId, WorkspaceId};
use shared::key::KeyHash;
use shared::money::Amount;
use shared::policy::{KeyKind, KeyPolicy, ResetInterval};
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) async fn create(
    deps: &Deps,
    actor: &str,
    message: wire::CreateKeyRequest,
) -> Answer<wire::CreateKeyResponse> {
    let new = NewKey {
        org: org_of(message.org),
        workspace: given(message.workspace).map(WorkspaceId::from),
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
    let keys = rows.into_iter().map(|row| {
        let used = usage.get(&row.id).copied().unwrap_or_default();
        key(row, used)
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

pub(super) async fn update(
    deps: &Deps,
    actor: &str,
    message: wire::UpdateKeyRequest,
) -> Answer<wire::Key> {
    let id: KeyHash = message
        .id
        .parse()
        .map_err(|error| Status::invalid_argument(format!("id: {error}")))?;
    let row = deps.accounts.key(id).await;
    let row = row.map_err(|error| accounts_status(&error))?;
    let row = row.ok_or_else(|| Status::not_found("there is no such key"))?;
    let change = KeyChange {
        name: message.name,
        disabled: message.disabled,
        limit: message.limit_usd.map(limit_of).transpose()?,
        limit_reset: message.limit_reset.as_deref().map(reset_of).transpose()?,
        include_byok_in_limit: message.include_byok_in_limit,
        expires_at: message.expires_at.map(|at| (at > 0).then_some(at)),
        workspace: message.workspace.map(WorkspaceId::from),
        policy: None,
        by_member: false,
    };
    let changed = deps.accounts.change_key(actor, &row.org, id, &change).await;
    let changed = changed.map_err(|error| accounts_status(&error))?;
    let usage = deps.ledger.usage_by_key(Some(&changed.org)).await;
    let usage = usage.map_err(|error| ledger_status(&error))?;
    let used = usage.get(&id).copied().unwrap_or_default();
    Ok(Response::new(key(changed, used)))
}

fn key(row: KeyRow, used: Amount) -> wire::Key {
    wire::Key {
        id: row.id.to_string(),
        org: row.org.to_string(),
        name: row.name,
        label: row.label,
        kind: kind_text(row.kind).to_owned(),
        revoked: row.revoked,
        created_at: row.created_unix_ms / 1000,
        expires_at: row.expires_at,
        usage_usd: used.to_string(),
        workspace: row.workspace.to_string(),
        created_by: row
            .created_by
            .map(|user| user.to_string())
            .unwrap_or_default(),
        disabled: row.disabled,
        // A policy is numbers, texts and lists: it can always be written.
        policy_json: serde_json::to_string(&row.policy).unwrap_or_default(),
    }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn org_of(text: String) -> Option<OrgId> {
    given(text).map(OrgId::from)
}

fn limit_of(text: String) -> Result<Option<Amount>, Status> {
    let wrong = |error| Status::invalid_argument(format!("limit_usd: {error}"));
    given(text)
        .map(|text| text.parse().map_err(wrong))
        .transpose()
}

fn reset_of(text: &str) -> Result<Option<ResetInterval>, Status> {
    Ok(match text {
        "" => None,
        "daily" => Some(ResetInterval::Daily),
        "weekly" => Some(ResetInterval::Weekly),
        "monthly" => Some(ResetInterval::Monthly),
        _ => {
            let text = "limit_reset: daily, weekly, monthly or nothing is expected";
            return Err(Status::invalid_argument(text));
        }
    })
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

/// What a policy says of its organisation's terms when an edge asks. On a key they would do nothing:
/// `godwit admin credits terms` sets them.
const TERMS: [&str; 5] = [
    "spend_fee_ppm",
    "byok_fee_ppm",
    "byok_free",
    "byok_free_requests",
    "outage_credit",
];

/// A policy from JSON. A member that is none of a policy's is refused: a rule with a typo would
/// otherwise be no rule.
fn policy_of(json: &str) -> Result<KeyPolicy, Status> {
    if json.is_empty() {
        return Ok(KeyPolicy::default());
    }
    let refused = |reason: String| Status::invalid_argument(format!("policy_json: {reason}"));
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| refused(error.to_string()))?;
    let mut all = serde_json::to_value(KeyPolicy::default())
        .map_err(|error| Status::internal(error.to_string()))?;
    let known = all.as_object_mut().map(|known| {
        known.retain(|name, _| !TERMS.contains(&name.as_str()));
        &*known
    });
    let (Some(given), Some(known)) = (value.as_object(), known) else {
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
        let terms = TERMS.map(|name| format!(r#"{{"{name}": 1}}"#));
        let odd = ["{", "[]", "3", r#"{"limt": "1"}"#, r#"{"limit": -1.5}"#];
        for bad in odd.into_iter().chain(terms.iter().map(String::as_str)) {
            let refused = policy_of(bad).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{bad}");
        }
    }
}
