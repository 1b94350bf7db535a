//! The calls about organisations' own keys at providers.

use super::{Answer, Deps, accounts_status};
use crate::accounts::credentials::{
    CredentialRow, CredentialTerms, Filters, Located, NewCredential, ProviderSecret, locate,
};
use shared::byok::Place;
use shared::id::{OrgId, WorkspaceId};
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) async fn list(
    deps: &Deps,
    message: wire::ListCredentialsRequest,
) -> Answer<wire::ListCredentialsResponse> {
    let org = (!message.org.is_empty()).then(|| OrgId::from(message.org));
    let rows = deps.accounts.credentials(org.as_ref()).await;
    let rows = rows.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::ListCredentialsResponse {
        credentials: rows.into_iter().map(told).collect(),
    }))
}

pub(super) async fn create(
    deps: &Deps,
    actor: &str,
    message: wire::CreateCredentialRequest,
) -> Answer<wire::Credential> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let place = Place {
        address: given(message.address),
        project: given(message.project),
        region: given(message.region),
        account: given(message.account),
    };
    let secret = ProviderSecret::new(&message.key);
    let new = NewCredential {
        org: (!message.org.is_empty()).then(|| OrgId::from(message.org)),
        workspace: (!message.workspace.is_empty()).then(|| WorkspaceId::from(message.workspace)),
        located: located(deps, &message.provider, place, &secret)?,
        provider: message.provider,
        secret,
        terms: CredentialTerms {
            name: message.name,
            is_fallback: message.is_fallback,
            is_required: message.is_required,
            disabled: message.disabled,
            sort_order: message.sort_order,
            filters: filters_of(&message.filters_json)?,
        },
    };
    let made = deps.accounts.create_credential(actor, &new).await;
    let made = made.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(told(made)))
}

pub(super) async fn update(
    deps: &Deps,
    actor: &str,
    message: wire::UpdateCredentialRequest,
) -> Answer<wire::Credential> {
    let filters = message
        .filters_json
        .as_deref()
        .map(filters_of)
        .transpose()?;
    let change = |terms: &mut CredentialTerms| {
        if let Some(name) = message.name {
            terms.name = name;
        }
        terms.is_fallback = message.is_fallback.unwrap_or(terms.is_fallback);
        terms.is_required = message.is_required.unwrap_or(terms.is_required);
        terms.disabled = message.disabled.unwrap_or(terms.disabled);
        terms.sort_order = message.sort_order.unwrap_or(terms.sort_order);
        if let Some(filters) = filters {
            terms.filters = filters;
        }
        message.key.as_deref().map(ProviderSecret::new)
    };
    let changed = deps
        .accounts
        .change_credential(actor, None, &message.id, change);
    let changed = changed.await.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(told(changed)))
}

pub(super) async fn delete(
    deps: &Deps,
    actor: &str,
    message: wire::DeleteCredentialRequest,
) -> Answer<wire::DeleteCredentialResponse> {
    let done = deps
        .accounts
        .delete_credential(actor, None, &message.id)
        .await;
    done.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::DeleteCredentialResponse {}))
}

pub(super) async fn rotate(deps: &Deps, actor: &str) -> Answer<wire::RotateMasterKeyResponse> {
    let rotated = deps.accounts.rotate_master_key(actor).await;
    let rotated = rotated.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::RotateMasterKeyResponse {
        master_key: rotated.master_key,
        rewrapped: rotated.rewrapped,
    }))
}

fn located(
    deps: &Deps,
    provider: &str,
    place: Place,
    secret: &ProviderSecret,
) -> Result<Located, Status> {
    let served = deps.registry.current();
    let found = served.snapshot.provider(provider).map(|it| &**it);
    locate(provider, found, place, secret).map_err(|error| accounts_status(&error))
}

fn filters_of(json: &str) -> Result<Filters, Status> {
    if json.is_empty() {
        return Ok(Filters::default());
    }
    serde_json::from_str(json)
        .map_err(|error| Status::invalid_argument(format!("filters_json: {error}")))
}

fn told(row: CredentialRow) -> wire::Credential {
    wire::Credential {
        id: row.id,
        org: row.org.to_string(),
        workspace: row.workspace.map_or_else(String::new, |it| it.to_string()),
        provider: row.provider,
        origin: row.origin,
        address: row.place.address.unwrap_or_default(),
        project: row.place.project.unwrap_or_default(),
        region: row.place.region.unwrap_or_default(),
        account: row.place.account.unwrap_or_default(),
        label: row.label,
        name: row.terms.name,
        is_fallback: row.terms.is_fallback,
        is_required: row.terms.is_required,
        disabled: row.terms.disabled,
        sort_order: row.terms.sort_order,
        // Texts and lists can always be written.
        filters_json: serde_json::to_string(&row.terms.filters).unwrap_or_default(),
        created_unix_ms: row.created_unix_ms,
        updated_unix_ms: row.updated_unix_ms.unwrap_or_default(),
    }
}
