//! The calls about organisations, people and workspaces.

use super::{Answer, Deps, accounts_status};
use crate::accounts::AccountsError;
use crate::accounts::people::{Member, NewMember, Role, hashed};
use crate::accounts::workspaces::{Workspace, WorkspaceChange};
use shared::id::{OrgId, UserId};
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) async fn create_org(
    deps: &Deps,
    actor: &str,
    message: wire::CreateOrgRequest,
) -> Answer<wire::Org> {
    if message.name.is_empty() {
        return Err(Status::invalid_argument("name: must not be empty"));
    }
    let made = deps.accounts.create_org(actor, &message.name).await;
    let made = made.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::Org {
        id: made.id.to_string(),
        name: made.name,
    }))
}

pub(super) async fn orgs(deps: &Deps) -> Answer<wire::ListOrgsResponse> {
    let orgs = deps.accounts.orgs().await;
    let orgs = orgs.map_err(|error| accounts_status(&error))?;
    let orgs = orgs.into_iter().map(|org| wire::Org {
        id: org.id.to_string(),
        name: org.name,
    });
    Ok(Response::new(wire::ListOrgsResponse {
        orgs: orgs.collect(),
    }))
}

pub(super) async fn add_member(
    deps: &Deps,
    actor: &str,
    message: wire::AddMemberRequest,
) -> Answer<wire::Member> {
    let org = find_org(deps, &message.org).await?;
    let password = match message.password {
        Some(text) => Some(checked(hashed(text).await)?),
        None => None,
    };
    let new = NewMember {
        email: message.email,
        name: message.name,
        role: role_of(&message.role)?,
        password,
        operator: true,
    };
    let added = checked(deps.accounts.add_member(actor, &org, &new).await)?;
    Ok(Response::new(member(added)))
}

pub(super) async fn members(
    deps: &Deps,
    message: wire::ListMembersRequest,
) -> Answer<wire::ListMembersResponse> {
    let org = find_org(deps, &message.org).await?;
    let members = checked(deps.accounts.members(&org).await)?;
    Ok(Response::new(wire::ListMembersResponse {
        members: members.into_iter().map(member).collect(),
    }))
}

pub(super) async fn set_role(
    deps: &Deps,
    actor: &str,
    message: wire::SetRoleRequest,
) -> Answer<wire::SetRoleResponse> {
    let org = find_org(deps, &message.org).await?;
    let (user, role) = (UserId::from(message.user), role_of(&message.role)?);
    checked(deps.accounts.set_role(actor, &org, &user, role).await)?;
    Ok(Response::new(wire::SetRoleResponse {}))
}

pub(super) async fn remove_member(
    deps: &Deps,
    actor: &str,
    message: wire::RemoveMemberRequest,
) -> Answer<wire::RemoveMemberResponse> {
    let org = find_org(deps, &message.org).await?;
    let user = UserId::from(message.user);
    checked(deps.accounts.remove_member(actor, &org, &user).await)?;
    Ok(Response::new(wire::RemoveMemberResponse {}))
}

pub(super) async fn set_password(
    deps: &Deps,
    actor: &str,
    message: wire::SetPasswordRequest,
) -> Answer<wire::SetPasswordResponse> {
    let hash = checked(hashed(message.password).await)?;
    let email = &message.email;
    let user = checked(deps.accounts.set_password(actor, email, &hash).await)?;
    Ok(Response::new(wire::SetPasswordResponse {
        user: user.to_string(),
    }))
}

pub(super) async fn set_disabled(
    deps: &Deps,
    actor: &str,
    message: wire::SetDisabledRequest,
) -> Answer<wire::SetDisabledResponse> {
    let (email, disabled) = (&message.email, message.disabled);
    let user = checked(deps.accounts.set_disabled(actor, email, disabled).await)?;
    Ok(Response::new(wire::SetDisabledResponse {
        user: user.to_string(),
    }))
}

pub(super) async fn unlink(
    deps: &Deps,
    actor: &str,
    message: wire::UnlinkRequest,
) -> Answer<wire::UnlinkResponse> {
    let (user, unlinked) = checked(deps.accounts.unlink(actor, &message.email).await)?;
    Ok(Response::new(wire::UnlinkResponse {
        user: user.to_string(),
        unlinked,
    }))
}

pub(super) async fn create_workspace(
    deps: &Deps,
    actor: &str,
    message: wire::CreateWorkspaceRequest,
) -> Answer<wire::Workspace> {
    let org = find_org(deps, &message.org).await?;
    let given = WorkspaceChange {
        name: Some(message.name),
        slug: Some(message.slug),
        ..WorkspaceChange::default()
    };
    let made = deps.accounts.create_workspace(actor, &org, None, &given);
    Ok(Response::new(workspace(checked(made.await)?)))
}

pub(super) async fn workspaces(
    deps: &Deps,
    message: wire::ListWorkspacesRequest,
) -> Answer<wire::ListWorkspacesResponse> {
    let org = find_org(deps, &message.org).await?;
    let workspaces = checked(deps.accounts.workspaces(&org).await)?;
    Ok(Response::new(wire::ListWorkspacesResponse {
        workspaces: workspaces.into_iter().map(workspace).collect(),
    }))
}

pub(super) async fn delete_workspace(
    deps: &Deps,
    actor: &str,
    message: wire::DeleteWorkspaceRequest,
) -> Answer<wire::DeleteWorkspaceResponse> {
    let org = find_org(deps, &message.org).await?;
    let name = &message.workspace;
    checked(deps.accounts.delete_workspace(actor, &org, name).await)?;
    Ok(Response::new(wire::DeleteWorkspaceResponse {}))
}

async fn find_org(deps: &Deps, id: &str) -> Result<OrgId, Status> {
    checked(deps.accounts.find_org(id).await)
}

fn checked<T>(result: Result<T, AccountsError>) -> Result<T, Status> {
    result.map_err(|error| accounts_status(&error))
}

fn role_of(text: &str) -> Result<Role, Status> {
    Role::of(text).ok_or_else(|| {
        Status::invalid_argument(format!(
            "role: {text:?} is neither \"admin\" nor \"member\""
        ))
    })
}

fn member(member: Member) -> wire::Member {
    wire::Member {
        user: member.user.to_string(),
        email: member.email,
        name: member.name,
        role: member.role.as_str().to_owned(),
        joined_at: member.joined_unix_ms / 1000,
    }
}

fn workspace(workspace: Workspace) -> wire::Workspace {
    wire::Workspace {
        id: workspace.id.to_string(),
        name: workspace.name,
        slug: workspace.slug,
        is_default: workspace.is_default,
        created_at: workspace.created_unix_ms / 1000,
    }
}
