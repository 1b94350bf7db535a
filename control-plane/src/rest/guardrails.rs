//! `/guardrails`: what an organisation forbids its keys, as OpenRouter tells it. Everybody in the
//! organisation may look, administrators and management keys may change. The rules are kept as
//! they were given; what they mean together is in [`shared::guardrail`]. Names that the catalogue
//! does not know are refused: a rule about them would rule nothing.

pub(super) mod assign;

use super::read::{Body, Query};
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, data, deleted, made, page};
use crate::accounts::AccountsError;
use crate::accounts::guardrails::{
    DEFAULT_PREFIX, GuardrailChange, GuardrailRow, NewGuardrail, with_members,
};
use crate::accounts::workspaces::Workspace;
use axum::extract::{Path, State};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::date::rfc3339_ms;
use shared::guardrail::Guardrail;
use std::collections::BTreeMap;

/// The member that is an amount.
const DOLLARS: &str = "limit_usd";

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
    let all: Vec<Told> = rows.iter().map(told).collect::<Result<_, _>>()?;
    page(&query, all, |told| told)
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(Members(given)): Body<Members>,
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
        rules: rest.checked(&Guardrail::default(), given.members)?,
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
    Body(Members(given)): Body<Members>,
) -> Answer {
    caller.must_administer()?;
    let org = Some(caller.org());
    let given = Given::read(given)?;
    if given.workspace.is_some() {
        return Err(Refused::invalid("workspace_id: it can't be changed"));
    }
    let actor = caller.actor();
    if let Some(workspace) = rest.awaits(&caller, &id).await? {
        let new = NewGuardrail {
            org: org.cloned(),
            workspace: Some(workspace.id.clone()),
            name: given
                .name
                .clone()
                .unwrap_or_else(|| default_name(&workspace)),
            description: given.description.clone().unwrap_or_default(),
            rules: rest.checked(&Guardrail::default(), given.members.clone())?,
        };
        let made = rest
            .accounts
            .create_default_guardrail(&actor, &workspace, &new);
        if let Some(made) = made.await? {
            return Ok(data(&told(&made)?));
        }
    }
    let before = rest.accounts.guardrail(org, &id).await?;
    rest.checked(&before.rules, given.members.clone())?;
    let change = GuardrailChange {
        name: given.name,
        description: given.description,
        rules: None,
        members: given.members,
    };
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

impl Rest {
    /// `before` with these members, if the catalogue knows the names in them.
    fn checked(
        &self,
        before: &Guardrail,
        members: Map<String, Value>,
    ) -> Result<Guardrail, Refused> {
        let after = with_members(before, members)?;
        let catalog = self.registry.current();
        let known = after.check_names(before, &catalog.snapshot);
        known.map_err(Refused::invalid)?;
        Ok(after)
    }

    /// The workspace whose default guardrail would have this id, if there is no such guardrail yet.
    async fn awaits(&self, caller: &Caller, id: &str) -> Result<Option<Workspace>, Refused> {
        let Some(workspace) = id.strip_prefix(DEFAULT_PREFIX) else {
            return Ok(None);
        };
        match self.accounts.guardrail(Some(caller.org()), id).await {
            Err(AccountsError::NoSuch { .. }) => {}
            found => return found.map(|_| None).map_err(Refused::from),
        }
        match self.accounts.workspace(caller.org(), workspace).await {
            Ok(found) if found.id.as_str() == workspace => Ok(Some(found)),
            Ok(_) | Err(AccountsError::NoSuch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn default_name(workspace: &Workspace) -> String {
    format!("Default of {}", workspace.slug)
}

/// The members of a body. Dollars are taken as they stand: a text keeps every digit.
pub(super) struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let read = |(name, raw): (String, Box<RawValue>)| {
            let number =
                |raw: &str| raw.starts_with(|first: char| first.is_ascii_digit() || first == '-');
            let value = match name == DOLLARS && number(raw.get()) {
                true => Value::from(raw.get()),
                false => serde_json::from_str(raw.get()).map_err(D::Error::custom)?,
            };
            Ok((name, value))
        };
        raw.into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A guardrail as OpenRouter tells it.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    members: Map<String, Value>,
    limit_usd: Option<Usd>,
}

fn told(row: &GuardrailRow) -> Result<Told, Refused> {
    let Ok(Value::Object(mut told)) = serde_json::to_value(&row.rules) else {
        return Err(Refused::internal());
    };
    told.remove(DOLLARS);
    let own = row.rules.include_byok_in_budgets.unwrap_or(false);
    told.insert("include_byok_in_budgets".into(), own.into());
    let described = (!row.description.is_empty()).then_some(row.description.as_str());
    let workspace = row.workspace.as_ref().map(|id| id.as_str());
    let updated = row.updated_unix_ms.map(rfc3339_ms);
    for (name, value) in [
        ("id", row.id.as_str().into()),
        ("name", row.name.as_str().into()),
        ("description", described.into()),
        ("workspace_id", workspace.into()),
        ("created_at", rfc3339_ms(row.created_unix_ms).into()),
        ("updated_at", updated.into()),
    ] {
        told.insert(name.to_owned(), value);
    }
    told.extend(NEVER.map(|name| (name.to_owned(), Value::Null)));
    Ok(Told {
        members: told,
        limit_usd: row.rules.limit_usd.map(Usd),
    })
}
