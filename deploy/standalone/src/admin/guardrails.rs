//! `godwit admin guardrails …`.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::proto::admin as wire;
use std::path::{Path, PathBuf};

#[derive(Subcommand, Debug)]
pub(super) enum GuardrailsCommand {
    /// Makes a guardrail; it holds for nobody until it is assigned.
    Create {
        /// What it is called.
        #[arg(long)]
        name: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// The only workspace whose keys it may be assigned to.
        #[arg(long, default_value = "")]
        workspace: String,
        #[command(flatten)]
        rules: Rules,
    },
    /// Lists guardrails and whom they hold for, newest first.
    List {
        /// Only of this organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Changes a guardrail; what is not given stays as it is.
    Update {
        /// The guardrail's id, from `list`.
        id: String,
        /// What it is called.
        #[arg(long)]
        name: Option<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        rules: Rules,
    },
    /// Deletes a guardrail; it holds for nobody any more.
    Delete {
        /// The guardrail's id, from `list`.
        id: String,
    },
    /// Lets a guardrail hold for somebody, in place of the one that did.
    Assign(Assign),
    /// A guardrail holds for somebody no longer.
    Unassign(Assign),
}

#[derive(Args, Debug)]
pub(super) struct Rules {
    /// All rules as JSON, e.g. '{"allowed_providers": ["openai"], "enforce_zdr": true}'.
    #[arg(long, value_name = "JSON", conflicts_with = "rules_file")]
    rules: Option<String>,
    /// The same from a file.
    #[arg(long, value_name = "FILE")]
    rules_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Assign {
    /// The guardrail's id, from `list`.
    id: String,
    /// Keys, by their ids.
    #[arg(long = "key", value_name = "ID")]
    keys: Vec<String>,
    /// Members: all keys that they make.
    #[arg(long = "member", value_name = "ID")]
    members: Vec<String>,
    /// Workspaces: all keys in them.
    #[arg(long = "workspace", value_name = "ID")]
    workspaces: Vec<String>,
    /// All keys of the organisation.
    #[arg(long)]
    organization: bool,
}

pub(super) async fn run(to: &Target, command: GuardrailsCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        GuardrailsCommand::Create {
            name,
            description,
            org,
            workspace,
            rules,
        } => {
            let request = wire::CreateGuardrailRequest {
                org,
                workspace,
                name,
                description,
                rules_json: rules.read()?.unwrap_or_default(),
            };
            let made = client.create_guardrail(request).await?.into_inner();
            Ok(Report::new(told(&made)).line(made.id))
        }
        GuardrailsCommand::List { org } => {
            let listed = client.list_guardrails(wire::ListGuardrailsRequest { org });
            Ok(list(&listed.await?.into_inner().guardrails))
        }
        GuardrailsCommand::Update {
            id,
            name,
            description,
            rules,
        } => {
            let request = wire::UpdateGuardrailRequest {
                id,
                name,
                description,
                rules_json: rules.read()?,
            };
            let changed = client.update_guardrail(request).await?.into_inner();
            let line = format!("changed {}", changed.id);
            Ok(Report::new(told(&changed)).line(line))
        }
        GuardrailsCommand::Delete { id } => {
            let request = wire::DeleteGuardrailRequest { id: id.clone() };
            client.delete_guardrail(request).await?;
            Ok(Report::new(json!({ "deleted": id })).line(format!("deleted {id}")))
        }
        GuardrailsCommand::Assign(who) => {
            let done = client.assign_guardrail(who.request(false)).await?;
            Ok(changed(done.into_inner().changed))
        }
        GuardrailsCommand::Unassign(who) => {
            let done = client.assign_guardrail(who.request(true)).await?;
            Ok(changed(done.into_inner().changed))
        }
    }
}

impl Rules {
    fn read(&self) -> Result<Option<String>, Failed> {
        let failed = |path: &Path, error| Failed::new(format!("{}: {error}", path.display()));
        match (&self.rules, &self.rules_file) {
            (Some(rules), _) => Ok(Some(rules.clone())),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(Some)
                .map_err(|error| failed(path, error)),
            (None, None) => Ok(None),
        }
    }
}

impl Assign {
    fn request(self, remove: bool) -> wire::AssignGuardrailRequest {
        let of = |kind: &'static str, ids: Vec<String>| {
            ids.into_iter()
                .map(move |subject| wire::GuardrailAssignment {
                    kind: kind.to_owned(),
                    subject,
                    assigned_by: String::new(),
                })
        };
        let whole = self.organization.then(String::new);
        let subjects = of("key", self.keys)
            .chain(of("member", self.members))
            .chain(of("workspace", self.workspaces))
            .chain(of("organization", whole.into_iter().collect()));
        wire::AssignGuardrailRequest {
            id: self.id,
            subjects: subjects.collect(),
            remove,
        }
    }
}

fn changed(count: u64) -> Report {
    Report::new(json!({ "changed": count })).line(format!("{count} changed"))
}

fn list(guardrails: &[wire::Guardrail]) -> Report {
    let mut table = Table::new(&["ID", "NAME", "HOLDS FOR", "CREATED (UTC)", "RULES"]);
    for one in guardrails {
        let whom = one.assignments.iter();
        let whom: Vec<String> = whom
            .map(|it| format!("{} {}", it.kind, it.subject))
            .collect();
        table.row([
            one.id.clone(),
            one.name.clone(),
            or_dash(&whom.join(", ")),
            time(one.created_unix_ms / 1000),
            rules(one).to_string(),
        ]);
    }
    Report::new(guardrails.iter().map(told).collect()).table(table)
}

/// The rules that say something.
fn rules(guardrail: &wire::Guardrail) -> Value {
    let mut rules: Value = serde_json::from_str(&guardrail.rules_json).unwrap_or_default();
    if let Some(members) = rules.as_object_mut() {
        members.retain(|_, rule| !rule.is_null());
    }
    rules
}

fn told(guardrail: &wire::Guardrail) -> Value {
    let assigned = guardrail
        .assignments
        .iter()
        .map(|it| json!({ "kind": it.kind, "subject": it.subject, "assigned_by": it.assigned_by }));
    json!({
        "id": guardrail.id,
        "org": guardrail.org,
        "workspace": guardrail.workspace,
        "name": guardrail.name,
        "description": guardrail.description,
        "rules": rules(guardrail),
        "assignments": assigned.collect::<Vec<_>>(),
        "created_unix_ms": guardrail.created_unix_ms,
        "updated_unix_ms": guardrail.updated_unix_ms,
    })
}
