//! `/organization/members`: who is in an organisation. OpenRouter only lists them; taking somebody
//! in, changing their role and taking them out are Godwit's own, under the same path.

use super::read::{Body, Query};
use super::{Answer, Caller, Refused, Rest, data, deleted, made, page};
use crate::accounts::people::{Member, NewMember, Role, hashed};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::json as literal;
use shared::id::UserId;

#[derive(Serialize)]
struct Told {
    id: String,
    email: String,
    first_name: String,
    last_name: String,
    role: &'static str,
}

impl Told {
    fn of(member: Member) -> Self {
        let (first, last) = member.name.split_once(' ').unwrap_or((&member.name, ""));
        Self {
            id: member.user.to_string(),
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            email: member.email,
            role: role_org(member.role),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    email: String,
    #[serde(default)]
    name: String,
    role: String,
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    role: String,
}

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    caller.must_belong()?;
    page(&query, rest.accounts.members(caller.org()).await?, Told::of)
}

pub(super) async fn add(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<New>,
) -> Answer {
    caller.must_administer()?;
    let role = role_of(&given.role)?;
    let password = match given.password {
        Some(text) => Some(hashed(text).await?),
        None => None,
    };
    let new = NewMember {
        email: given.email,
        name: given.name,
        role,
        password,
        operator: false,
    };
    let actor = caller.actor();
    let added = rest.accounts.add_member(&actor, caller.org(), &new);
    Ok(made(&Told::of(added.await?)))
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Changes>,
) -> Answer {
    caller.must_administer()?;
    let (role, user) = (role_of(&given.role)?, UserId::from(id));
    let actor = caller.actor();
    rest.accounts
        .set_role(&actor, caller.org(), &user, role)
        .await?;
    Ok(data(&literal!({ "id": user, "role": role_org(role) })))
}

pub(super) async fn remove(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_administer()?;
    let (actor, user) = (caller.actor(), UserId::from(id));
    rest.accounts
        .remove_member(&actor, caller.org(), &user)
        .await?;
    Ok(deleted())
}

/// With and without the prefix that OpenRouter's have in organisations.
fn role_of(text: &str) -> Result<Role, Refused> {
    Role::of(text.strip_prefix("org:").unwrap_or(text))
        .ok_or_else(|| Refused::invalid("role: admin or member is expected"))
}

/// The word for a role in an organisation.
fn role_org(role: Role) -> &'static str {
    match role {
        Role::Admin => "org:admin",
        Role::Member => "org:member",
    }
}
