//! The guardrails' calls.

use super::{Answer, Deps, accounts_status};
use crate::accounts::guardrails::{
    Assignment, GuardrailChange, GuardrailRow, NewGuardrail, Subject,
};
use shared::guardrail::Guardrail;
use shared::id::{OrgId, WorkspaceId};
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) async fn list(
    deps: &Deps,
    message: wire::ListGuardrailsRequest,
) -> Answer<wire::ListGuardrailsResponse> {
    let org = (!message.org.is_empty()).then(|| OrgId::from(message.org));
    let rows = deps.accounts.guardrails(org.as_ref(), None).await;
    let rows = rows.map_err(|error| accounts_status(&error))?;
    let assigned = deps
        .accounts
        .guardrail_assignments(org.as_ref(), None)
        .await;
    let assigned = assigned.map_err(|error| accounts_status(&error))?;
    let guardrails = rows.into_iter().map(|row| told(row, &assigned));
    Ok(Response::new(wire::ListGuardrailsResponse {
        guardrails: guardrails.collect(),
    }))
}

pub(super) async fn create(
    deps: &Deps,
    actor: &str,
    message: wire::CreateGuardrailRequest,
) -> Answer<wire::Guardrail> {
    let new = NewGuardrail {
        org: (!message.org.is_empty()).then(|| OrgId::from(message.org)),
        workspace: (!message.workspace.is_empty()).then(|| WorkspaceId::from(message.workspace)),
        name: message.name,
        description: message.description,
        rules: rules_of(&message.rules_json)?,
    };
    check_names(deps, &Guardrail::default(), &new.rules)?;
    let made = deps.accounts.create_guardrail(actor, &new).await;
    let made = made.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(told(made, &[])))
}

pub(super) async fn update(
    deps: &Deps,
    actor: &str,
    message: wire::UpdateGuardrailRequest,
) -> Answer<wire::Guardrail> {
    let change = GuardrailChange {
        name: message.name,
        description: message.description,
        rules: message.rules_json.as_deref().map(rules_of).transpose()?,
        ..GuardrailChange::default()
    };
    let accounts = &deps.accounts;
    if let Some(after) = &change.rules {
        let before = accounts.guardrail(None, &message.id).await;
        let before = before.map_err(|error| accounts_status(&error))?;
        check_names(deps, &before.rules, after)?;
    }
    let row = accounts
        .change_guardrail(actor, None, &message.id, &change)
        .await;
    let row = row.map_err(|error| accounts_status(&error))?;
    let assigned = accounts
        .guardrail_assignments(None, Some(&message.id))
        .await;
    let assigned = assigned.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(told(row, &assigned)))
}

pub(super) async fn delete(
    deps: &Deps,
    actor: &str,
    message: wire::DeleteGuardrailRequest,
) -> Answer<wire::DeleteGuardrailResponse> {
    let done = deps
        .accounts
        .delete_guardrail(actor, None, &message.id)
        .await;
    done.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::DeleteGuardrailResponse {}))
}

pub(super) async fn assign(
    deps: &Deps,
    actor: &str,
    message: wire::AssignGuardrailRequest,
) -> Answer<wire::AssignGuardrailResponse> {
    let each = message.subjects.iter();
    let subjects: Result<Vec<_>, _> = each
        .map(|it| Subject::parse(&it.kind, &it.subject))
        .collect();
    let subjects = subjects.map_err(|error| accounts_status(&error))?;
    let (accounts, id) = (&deps.accounts, &message.id);
    let changed = if message.remove {
        accounts
            .unassign_guardrail(actor, None, id, &subjects)
            .await
    } else {
        accounts.assign_guardrail(actor, None, id, &subjects).await
    };
    let changed = changed.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::AssignGuardrailResponse { changed }))
}

fn rules_of(json: &str) -> Result<Guardrail, Status> {
    let json = if json.is_empty() { "{}" } else { json };
    Guardrail::parse(json).map_err(|error| Status::invalid_argument(format!("rules_json: {error}")))
}

/// What `before` does not have must be the catalogue's.
fn check_names(deps: &Deps, before: &Guardrail, after: &Guardrail) -> Result<(), Status> {
    let catalog = deps.registry.current();
    let known = after.check_names(before, &catalog.snapshot);
    known.map_err(|error| Status::invalid_argument(format!("rules_json: {error}")))
}

fn told(row: GuardrailRow, assigned: &[Assignment]) -> wire::Guardrail {
    let assignments = assigned.iter().filter(|it| it.guardrail == row.id);
    let assignments = assignments.map(|it| wire::GuardrailAssignment {
        kind: it.kind.clone(),
        subject: it.subject.clone(),
        assigned_by: it.assigned_by.clone(),
    });
    wire::Guardrail {
        assignments: assignments.collect(),
        id: row.id,
        org: row.org.to_string(),
        workspace: row.workspace.map_or_else(String::new, |it| it.to_string()),
        name: row.name,
        description: row.description,
        // Texts, numbers and lists can always be written.
        rules_json: serde_json::to_string(&row.rules).unwrap_or_default(),
        created_unix_ms: row.created_unix_ms,
        updated_unix_ms: row.updated_unix_ms.unwrap_or_default(),
    }
}
