//! `godwit admin orgs | members | workspaces`.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use shared::proto::admin as wire;
use std::io::Read;

/// The longest password that is read from the input, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

#[derive(Subcommand, Debug)]
pub(super) enum OrgsCommand {
    /// Makes an organisation, with its first workspace.
    Create {
        /// What it is called.
        name: String,
    },
    /// Lists organisations, oldest first.
    List,
}

#[derive(Subcommand, Debug)]
pub(super) enum MembersCommand {
    /// Takes somebody into an organisation.
    Add {
        /// What they log in with.
        email: String,
        /// What they are called.
        #[arg(long, default_value = "")]
        name: String,
        /// What they may do.
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// Reads their first password from the input, to the end of the line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists who is in an organisation.
    List {
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Gives a member another role.
    Role {
        /// The member's id, from `list`.
        user: String,
        /// What they may do from now on.
        #[arg(value_enum)]
        role: Role,
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Takes somebody out; the keys that they have made are disabled.
    Remove {
        /// The member's id, from `list`.
        user: String,
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Sets somebody's password, read from the input; ends their log-ins.
    Password {
        /// What they log in with.
        email: String,
    },
    /// Lets somebody log in no longer, in no way; ends their log-ins and disables the keys that they
    /// have made.
    Disable {
        /// What they log in with.
        email: String,
    },
    /// Lets somebody log in again.
    Enable {
        /// What they log in with.
        email: String,
    },
    /// Forgets who somebody is at OpenID providers; ends their log-ins.
    Unlink {
        /// What they log in with.
        email: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum WorkspacesCommand {
    /// Makes a workspace.
    Create {
        /// What it is called.
        name: String,
        /// Its name in addresses: a-z, 0-9 and -.
        #[arg(long)]
        slug: String,
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Lists an organisation's workspaces.
    List {
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Takes an empty workspace away.
    Delete {
        /// Its id or slug.
        workspace: String,
        /// Default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Role {
    Admin,
    Member,
}

impl Role {
    fn text(self) -> String {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
        .to_owned()
    }
}

pub(super) async fn orgs(to: &Target, command: OrgsCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        OrgsCommand::Create { name } => {
            let made = client.create_org(wire::CreateOrgRequest { name }).await?;
            let made = made.into_inner();
            let report = Report::new(json!({ "id": made.id, "name": made.name }));
            Ok(report.line(made.id))
        }
        OrgsCommand::List => {
            let listed = client
                .list_orgs(wire::ListOrgsRequest {})
                .await?
                .into_inner();
            let mut table = Table::new(&["ID", "NAME"]);
            for org in &listed.orgs {
                table.row([org.id.clone(), or_dash(&org.name)]);
            }
            let orgs = listed.orgs.iter();
            let json = orgs.map(|org| json!({ "id": org.id, "name": org.name }));
            Ok(Report::new(json.collect()).table(table))
        }
    }
}

pub(super) async fn members(to: &Target, command: MembersCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        MembersCommand::Add {
            email,
            name,
            role,
            org,
            password_stdin,
        } => {
            let password = password_stdin.then(password_from_input).transpose()?;
            let request = wire::AddMemberRequest {
                org,
                email,
                name,
                role: role.text(),
                password,
            };
            let added = client.add_member(request).await?.into_inner();
            Ok(list(&[added]))
        }
        MembersCommand::List { org } => {
            let listed = client
                .list_members(wire::ListMembersRequest { org })
                .await?;
            Ok(list(&listed.into_inner().members))
        }
        MembersCommand::Role { user, role, org } => {
            let request = wire::SetRoleRequest {
                org,
                user: user.clone(),
                role: role.text(),
            };
            client.set_role(request).await?;
            let report = Report::new(json!({ "user": user, "role": role.text() }));
            Ok(report.line(format!("{user} is {} now", role.text())))
        }
        MembersCommand::Remove { user, org } => {
            let request = wire::RemoveMemberRequest {
                org,
                user: user.clone(),
            };
            client.remove_member(request).await?;
            Ok(Report::new(json!({ "removed": user })).line(format!("removed {user}")))
        }
        MembersCommand::Password { email } => {
            let password = password_from_input()?;
            let request = wire::SetPasswordRequest { email, password };
            let user = client.set_password(request).await?.into_inner().user;
            let report = Report::new(json!({ "user": user }));
            Ok(report.line(format!("{user} has a new password and is logged out")))
        }
        MembersCommand::Disable { email } => set_disabled(&mut client, email, true).await,
        MembersCommand::Enable { email } => set_disabled(&mut client, email, false).await,
        MembersCommand::Unlink { email } => unlink(&mut client, email).await,
    }
}

async fn set_disabled(
    client: &mut connect::Client,
    email: String,
    disabled: bool,
) -> Result<Report, Failed> {
    let request = wire::SetDisabledRequest { email, disabled };
    let user = client.set_disabled(request).await?.into_inner().user;
    let report = Report::new(json!({ "user": user, "disabled": disabled }));
    Ok(report.line(match disabled {
        true => format!("{user} may not log in and is logged out"),
        false => format!("{user} may log in"),
    }))
}

async fn unlink(client: &mut connect::Client, email: String) -> Result<Report, Failed> {
    let done = client.unlink(wire::UnlinkRequest { email }).await?;
    let wire::UnlinkResponse { user, unlinked } = done.into_inner();
    let report = Report::new(json!({ "user": user, "unlinked": unlinked }));
    Ok(report.line(format!("{user} was known at {unlinked} providers")))
}

pub(super) async fn workspaces(to: &Target, command: WorkspacesCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        WorkspacesCommand::Create { name, slug, org } => {
            let request = wire::CreateWorkspaceRequest { org, name, slug };
            let made = client.create_workspace(request).await?.into_inner();
            Ok(list_workspaces(&[made]))
        }
        WorkspacesCommand::List { org } => {
            let request = wire::ListWorkspacesRequest { org };
            let listed = client.list_workspaces(request).await?.into_inner();
            Ok(list_workspaces(&listed.workspaces))
        }
        WorkspacesCommand::Delete { workspace, org } => {
            let request = wire::DeleteWorkspaceRequest {
                org,
                workspace: workspace.clone(),
            };
            client.delete_workspace(request).await?;
            let report = Report::new(json!({ "deleted": workspace }));
            Ok(report.line(format!("deleted {workspace}")))
        }
    }
}

fn list(members: &[wire::Member]) -> Report {
    let mut table = Table::new(&["ID", "EMAIL", "NAME", "ROLE", "JOINED (UTC)"]);
    for member in members {
        table.row([
            member.user.clone(),
            member.email.clone(),
            or_dash(&member.name),
            member.role.clone(),
            time(member.joined_at),
        ]);
    }
    let json = members.iter().map(|member| {
        json!({
            "user": member.user,
            "email": member.email,
            "name": member.name,
            "role": member.role,
            "joined_at": member.joined_at,
        })
    });
    Report::new(json.collect()).table(table)
}

fn list_workspaces(workspaces: &[wire::Workspace]) -> Report {
    let mut table = Table::new(&["ID", "NAME", "SLUG", "DEFAULT", "CREATED (UTC)"]);
    for workspace in workspaces {
        table.row([
            workspace.id.clone(),
            or_dash(&workspace.name),
            workspace.slug.clone(),
            if workspace.is_default { "yes" } else { "-" }.to_owned(),
            time(workspace.created_at),
        ]);
    }
    let json = workspaces.iter().map(|workspace| {
        json!({
            "id": workspace.id,
            "name": workspace.name,
            "slug": workspace.slug,
            "is_default": workspace.is_default,
            "created_at": workspace.created_at,
        })
    });
    Report::new(json.collect()).table(table)
}

/// A password is no argument: those are seen by everybody on the machine.
fn password_from_input() -> Result<String, Failed> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(PASSWORD_BYTES_MAX);
    input
        .read_to_string(&mut text)
        .map_err(|error| Failed::new(format!("the password can't be read: {error}")))?;
    let line = text.lines().next().unwrap_or_default();
    Ok(line.to_owned())
}
