//! `/byok`: an organisation's own keys at providers, as OpenRouter tells them; of a secret nothing
//! but its ends. Everybody in the organisation may look, administrators and management keys may
//! change. A required key bars the platform's own at its provider for every model, which is what
//! OpenRouter calls `is_byok_only`; both names mean that here.

use super::read::{Body, Query, given};
use super::{Answer, Caller, Refused, Rest, data, deleted, made, page};
use crate::accounts::credentials::{
    CredentialRow, CredentialTerms, Filters, NewCredential, ProviderSecret, locate,
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::byok::Place;
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
    /// What of the provider's address is the owner's.
    #[serde(flatten)]
    place: Place,
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
            place: row.place,
        }
    }
}

/// What is given of a key; `null` takes a filter away, leaving it out leaves it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    provider: Option<String>,
    /// A text, or an account's file as it is.
    key: Option<Value>,
    address: Option<String>,
    project: Option<String>,
    region: Option<String>,
    account: Option<String>,
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

    /// The secret; none when none is given.
    fn secret(&mut self) -> Result<Option<ProviderSecret>, Refused> {
        match self.key.take() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(ProviderSecret::new(&text))),
            Some(file @ Value::Object(_)) => Ok(Some(ProviderSecret::new(&file.to_string()))),
            Some(_) => Err(Refused::invalid("key: a text or an object is expected")),
        }
    }

    fn place(&mut self) -> Place {
        Place {
            address: self.address.take(),
            project: self.project.take(),
            region: self.region.take(),
            account: self.account.take(),
        }
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
    let workspace = rest.workspace(&caller, query.get("workspace_id")).await?;
    if workspace.is_some() {
        rows.retain(|row| row.workspace == workspace);
    }
    if let Some(provider) = query.get("provider") {
        rows.retain(|row| row.provider == provider);
    }
    page(&query, rows, Told::of)
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(mut given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    given.check()?;
    let (Some(slug), Some(secret)) = (given.provider.clone(), given.secret()?) else {
        return Err(Refused::invalid("provider, key: both are needed"));
    };
    let workspace = rest
        .workspace(&caller, given.workspace_id.as_deref())
        .await?;
    let served = rest.registry.current();
    let provider = served.snapshot.provider(&slug).map(|it| &**it);
    let located = locate(&slug, provider, given.place(), &secret)?;
    let mut terms = CredentialTerms::default();
    given.apply(&mut terms);
    let new = NewCredential {
        org: Some(caller.org().clone()),
        workspace,
        located,
        provider: slug,
        secret,
        terms,
    };
    let actor = caller.actor();
    let new = rest.accounts.create_credential(&actor, &new).await?;
    Ok(made(&Told::of(new)))
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
    if given.provider.is_some() || given.workspace_id.is_some() || !given.place().is_empty() {
        let text = "provider, workspace_id, address, project, region, account: they can't be \
                    changed";
        return Err(Refused::invalid(text));
    }
    let secret = given.secret()?;
    let (actor, org) = (caller.actor(), Some(caller.org()));
    let change = |terms: &mut CredentialTerms| {
        given.apply(terms);
        secret
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
    Ok(deleted())
}
