//! `/byok`: an organisation's own keys at providers, as OpenRouter tells them; of a secret nothing
//! but its ends. Everybody in the organisation may look, administrators and management keys may
//! change. A required key bars the platform's own at its provider for every model, which is what
//! OpenRouter calls `is_byok_only`; both names mean that here.

use super::guardrails::page;
use super::read::{Body, Query, given};
use super::{Answer, Caller, Refused, Rest, data, json};
use crate::accounts::credentials::{
    CredentialRow, CredentialTerms, Filters, NewCredential, ProviderSecret, origin_of_provider,
};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as literal};
use shared::date::rfc3339_ms;

#[derive(Serialize)]
struct Told {
    id: String,
    provider: String,
    name: Option<String>,
    label: String,
    disabled: bool,
    is_fallback: bool,
    is_required: bool,
    is_byok_only: bool,
    sort_order: i64,
    workspace_id: Option<String>,
    allowed_models: Option<Vec<String>>,
    allowed_api_key_hashes: Option<Vec<String>>,
    allowed_user_ids: Option<Vec<String>>,
    declared_region: Option<String>,
    declared_zdr: Option<bool>,
    created_at: String,
    /// Godwit's own: when it was last changed, and the only origin that is shown the secret.
    updated_at: Option<String>,
    origin: String,
}

impl Told {
    fn of(row: CredentialRow) -> Self {
        let terms = row.terms;
        Self {
            id: row.id,
            provider: row.provider,
            name: (!terms.name.is_empty()).then_some(terms.name),
            label: row.label,
            disabled: terms.disabled,
            is_fallback: terms.is_fallback,
            is_required: terms.is_required,
            is_byok_only: terms.is_required,
            sort_order: terms.sort_order,
            workspace_id: row.workspace.map(|id| id.to_string()),
            allowed_models: terms.filters.allowed_models,
            allowed_api_key_hashes: terms.filters.allowed_api_key_hashes,
            allowed_user_ids: terms.filters.allowed_user_ids,
            declared_region: None,
            declared_zdr: None,
            created_at: rfc3339_ms(row.created_unix_ms),
            updated_at: row.updated_unix_ms.map(rfc3339_ms),
            origin: row.origin,
        }
    }
}

/// What is given of a key; `null` takes a filter away, leaving it out leaves it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    provider: Option<String>,
    key: Option<String>,
    workspace_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
    disabled: Option<bool>,
    is_fallback: Option<bool>,
    is_required: Option<bool>,
    is_byok_only: Option<bool>,
    sort_order: Option<i64>,
    #[serde(default, deserialize_with = "given")]
    allowed_models: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    allowed_api_key_hashes: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    allowed_user_ids: Option<Option<Vec<String>>>,
    declared_region: Option<Value>,
    declared_zdr: Option<Value>,
}

impl Given {
    fn check(&self) -> Result<(), Refused> {
        if self.declared_region.is_some() || self.declared_zdr.is_some() {
            let text = "declared_region, declared_zdr: the catalogue's data policy holds here; \
                        declarations are not taken";
            return Err(Refused::invalid(text));
        }
        let lists = [
            ("allowed_models", &self.allowed_models),
            ("allowed_api_key_hashes", &self.allowed_api_key_hashes),
            ("allowed_user_ids", &self.allowed_user_ids),
        ];
        for (name, list) in lists {
            if matches!(list, Some(Some(all)) if all.is_empty()) {
                let text = format!("{name}: an empty list allows nobody; null allows all");
                return Err(Refused::invalid(text));
            }
        }
        Ok(())
    }

    fn apply(self, to: &mut CredentialTerms) {
        if let Some(name) = self.name {
            to.name = name.unwrap_or_default();
        }
        to.disabled = self.disabled.unwrap_or(to.disabled);
        to.is_fallback = self.is_fallback.unwrap_or(to.is_fallback);
        let required = match (self.is_required, self.is_byok_only) {
            (None, None) => to.is_required,
            (required, only) => required == Some(true) || only == Some(true),
        };
        to.is_required = required;
        to.sort_order = self.sort_order.unwrap_or(to.sort_order);
        let set = |kept: &mut Option<Vec<String>>, new| {
            if let Some(new) = new {
                *kept = new;
            }
        };
        let filters: &mut Filters = &mut to.filters;
        set(&mut filters.allowed_models, self.allowed_models);
        set(
            &mut filters.allowed_api_key_hashes,
            self.allowed_api_key_hashes,
        );
        set(&mut filters.allowed_user_ids, self.allowed_user_ids);
    }
}

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    caller.must_belong()?;
    let mut rows = rest.accounts.credentials(Some(caller.org())).await?;
    if let Some(id) = query.get("workspace_id") {
        let workspace = rest.accounts.workspace(caller.org(), id).await?.id;
        rows.retain(|row| row.workspace.as_ref() == Some(&workspace));
    }
    if let Some(provider) = query.get("provider") {
        rows.retain(|row| row.provider == provider);
    }
    page(&query, rows.into_iter().map(Told::of).collect())
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    given.check()?;
    let (Some(slug), Some(key)) = (given.provider.clone(), given.key.clone()) else {
        return Err(Refused::invalid("provider, key: both are needed"));
    };
    let workspace = match &given.workspace_id {
        Some(id) => Some(rest.accounts.workspace(caller.org(), id).await?.id),
        None => None,
    };
    let served = rest.registry.current();
    let provider = served.snapshot.provider(&slug).map(|it| &**it);
    let mut terms = CredentialTerms::default();
    given.apply(&mut terms);
    let new = NewCredential {
        org: Some(caller.org().clone()),
        workspace,
        origin: origin_of_provider(&slug, provider)?,
        provider: slug,
        secret: ProviderSecret::new(&key),
        terms,
    };
    let made = rest
        .accounts
        .create_credential(&caller.actor(), &new)
        .await?;
    let made = Told::of(made);
    Ok(json(StatusCode::CREATED, &literal!({ "data": made })))
}

pub(super) async fn show(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_belong()?;
    let found = rest.accounts.credential(Some(caller.org()), &id).await?;
    Ok(data(&Told::of(found)))
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(mut given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    given.check()?;
    if given.provider.is_some() || given.workspace_id.is_some() {
        let text = "provider, workspace_id: they can't be changed";
        return Err(Refused::invalid(text));
    }
    let key = given.key.take();
    let (actor, org) = (caller.actor(), Some(caller.org()));
    let change = |terms: &mut CredentialTerms| {
        given.apply(terms);
        key.as_deref().map(ProviderSecret::new)
    };
    let changed = rest.accounts.change_credential(&actor, org, &id, change);
    Ok(data(&Told::of(changed.await?)))
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_administer()?;
    let (actor, org) = (caller.actor(), Some(caller.org()));
    rest.accounts.delete_credential(&actor, org, &id).await?;
    Ok(json(StatusCode::OK, &literal!({ "deleted": true })))
}
