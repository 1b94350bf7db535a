//! `/guardrails`: what an organisation forbids its keys, as OpenRouter tells it. Everybody in the
//! organisation may look, administrators and management keys may change. The rules are kept as
//! they were given; what they mean together is in [`shared::guardrail`].

pub(super) mod assign;

use super::read::{Body, Query};
use super::{Answer, Caller, Refused, Rest, data, deleted, made, page};
use crate::accounts::guardrails::{GuardrailChange, GuardrailRow, NewGuardrail, with_members};
use axum::extract::{Path, State};
use serde_json::{Map, Value};
use shared::date::rfc3339_ms;
use shared::guardrail::Guardrail;

/// What OpenRouter lets an owner permit and we never do: retention for safety monitoring.
const NEVER: [&str; 2] = [
    "allow_safety_retention_google",
    "allow_safety_retention_other",
];

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    caller.must_belong()?;
    let workspace = rest.workspace(&caller, query.get("workspace_id")).await?;
    let rows = rest
        .accounts
        .guardrails(Some(caller.org()), workspace.as_ref())
        .await?;
    let all: Vec<Value> = rows.iter().map(told).collect::<Result<_, _>>()?;
    page(&query, all, |told| told)
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<Map<String, Value>>,
) -> Answer {
    caller.must_administer()?;
    let given = Given::read(given)?;
    let name = given.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refused::invalid("name: a guardrail needs one"))?;
    let workspace = rest.workspace(&caller, given.workspace.as_deref()).await?;
    let new = NewGuardrail {
        org: Some(caller.org().clone()),
        workspace,
        name,
        description: given.description.unwrap_or_default(),
        rules: with_members(&Guardrail::default(), given.members)?,
    };
    let actor = caller.actor();
    let new = rest.accounts.create_guardrail(&actor, &new).await?;
    Ok(made(&told(&new)?))
}

pub(super) async fn show(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_belong()?;
    let found = rest.accounts.guardrail(Some(caller.org()), &id).await?;
    Ok(data(&told(&found)?))
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Map<String, Value>>,
) -> Answer {
    caller.must_administer()?;
    let org = Some(caller.org());
    let given = Given::read(given)?;
    if given.workspace.is_some() {
        return Err(Refused::invalid("workspace_id: it can't be changed"));
    }
    let change = GuardrailChange {
        name: given.name,
        description: given.description,
        rules: None,
        members: given.members,
    };
    let actor = caller.actor();
    let changed = rest.accounts.change_guardrail(&actor, org, &id, &change);
    Ok(data(&told(&changed.await?)?))
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_administer()?;
    let (actor, org) = (caller.actor(), Some(caller.org()));
    rest.accounts.delete_guardrail(&actor, org, &id).await?;
    Ok(deleted())
}

/// What is given of a guardrail: `null` takes a rule away, leaving it out leaves it.
struct Given {
    name: Option<String>,
    description: Option<String>,
    workspace: Option<String>,
    members: Map<String, Value>,
}

impl Given {
    fn read(mut given: Map<String, Value>) -> Result<Self, Refused> {
        let text = |name: &str, value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(String::new())),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refused::invalid(format!("{name}: a text is expected"))),
        };
        let name = text("name", given.remove("name"))?;
        let description = text("description", given.remove("description"))?;
        let workspace = text("workspace_id", given.remove("workspace_id"))?;
        for name in NEVER {
            if given.remove(name) == Some(Value::Bool(true)) {
                let text = format!("{name}: this is never allowed here");
                return Err(Refused::invalid(text));
            }
        }
        Ok(Self {
            name,
            description,
            workspace: workspace.filter(|id| !id.is_empty()),
            members: given,
        })
    }
}

fn members(rules: &Guardrail) -> Result<Map<String, Value>, Refused> {
    match serde_json::to_value(rules) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Refused::internal()),
    }
}

/// A guardrail as OpenRouter tells it.
fn told(row: &GuardrailRow) -> Result<Value, Refused> {
    let mut told = members(&row.rules)?;
    let own = row.rules.include_byok_in_budgets.unwrap_or(false);
    told.insert("include_byok_in_budgets".into(), own.into());
    let described = (!row.description.is_empty()).then_some(row.description.as_str());
    let workspace = row.workspace.as_ref().map(|id| id.as_str());
    told.extend([
        ("id".to_owned(), row.id.as_str().into()),
        ("name".to_owned(), row.name.as_str().into()),
        ("description".to_owned(), described.into()),
        ("workspace_id".to_owned(), workspace.into()),
        (
            "created_at".to_owned(),
            rfc3339_ms(row.created_unix_ms).into(),
        ),
        (
            "updated_at".to_owned(),
            row.updated_unix_ms.map(rfc3339_ms).into(),
        ),
    ]);
    told.extend(NEVER.map(|name| (name.to_owned(), Value::Null)));
    Ok(Value::Object(told))
}
