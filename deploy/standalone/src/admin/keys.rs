//! `godwit admin keys …`.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum KeysCommand {
    /// Makes a key and prints it, this once.
    Create {
        /// What it is called.
        #[arg(long, default_value = "")]
        name: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// Its workspace's id; default: the organisation's default one.
        #[arg(long, default_value = "")]
        workspace: String,
        /// What it opens.
        #[arg(long, value_enum, default_value_t = Kind::Inference)]
        kind: Kind,
        /// When it ends, in seconds since 1970.
        #[arg(long, value_name = "UNIX_SECONDS")]
        expires_at: Option<u64>,
        /// What it may use and spend, as JSON, e.g. '{"limit": "5", "limit_reset": "monthly"}'.
        #[arg(long, default_value = "", value_name = "JSON")]
        policy: String,
    },
    /// Lists keys, newest first.
    List {
        /// Only of this organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Changes a key; edges follow within seconds. What is not given stays as it is.
    Set {
        /// The key's id, from `list`.
        id: String,
        /// What it is called.
        #[arg(long)]
        name: Option<String>,
        /// Refuses it until it is enabled again.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Ends that.
        #[arg(long)]
        enable: bool,
        /// The most that it may spend, in USD; "" is no limit.
        #[arg(long, value_name = "USD")]
        limit: Option<String>,
        /// When the limit starts anew: daily, weekly, monthly; "" is never.
        #[arg(long)]
        reset: Option<String>,
        /// Whether use of own provider keys counts for the limit.
        #[arg(long, value_name = "BOOL")]
        include_byok: Option<bool>,
        /// When it ends, in seconds since 1970; 0 is never.
        #[arg(long, value_name = "UNIX_SECONDS")]
        expires_at: Option<u64>,
        /// Its workspace's id.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Refuses a key from now on, everywhere.
    Revoke {
        /// The key's id, from `list`.
        id: String,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Kind {
    Inference,
    Management,
}

pub(super) async fn run(to: &Target, command: KeysCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        KeysCommand::Create {
            name,
            org,
            workspace,
            kind,
            expires_at,
            policy,
        } => {
            let kind = match kind {
                Kind::Inference => "inference",
                Kind::Management => "management",
            };
            let request = wire::CreateKeyRequest {
                org,
                name,
                kind: kind.to_owned(),
                expires_at,
                policy_json: policy,
                workspace,
            };
            let made = client.create_key(request).await?.into_inner();
            let report = Report::new(json!({ "key": made.key, "id": made.id }));
            let report = report.line(made.key).line(format!("id {}", made.id));
            Ok(report.line("The key is shown this once: only its hash is kept."))
        }
        KeysCommand::List { org } => {
            let listed = client.list_keys(wire::ListKeysRequest { org }).await?;
            Ok(list(&listed.into_inner().keys))
        }
        KeysCommand::Set {
            id,
            name,
            disable,
            enable,
            limit,
            reset,
            include_byok,
            expires_at,
            workspace,
        } => {
            let request = wire::UpdateKeyRequest {
                id,
                name,
                disabled: (disable || enable).then_some(disable),
                limit_usd: limit,
                limit_reset: reset,
                include_byok_in_limit: include_byok,
                expires_at,
                workspace,
            };
            let changed = client.update_key(request).await?.into_inner();
            Ok(list(&[changed]))
        }
        KeysCommand::Revoke { id } => {
            let request = wire::RevokeKeyRequest { id: id.clone() };
            client.revoke_key(request).await?;
            Ok(Report::new(json!({ "revoked": id })).line(format!("revoked {id}")))
        }
    }
}

fn state(key: &wire::Key, now_s: u64) -> &'static str {
    let expired = key.expires_at.is_some_and(|end| end <= now_s);
    match (key.revoked, key.disabled) {
        (true, _) => "revoked",
        (false, true) => "disabled",
        (false, false) if expired => "expired",
        (false, false) => "active",
    }
}

fn list(keys: &[wire::Key]) -> Report {
    let now_s = shared::clock::Clock::system().unix_s();
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "KEY",
        "KIND",
        "STATE",
        "CREATED (UTC)",
        "EXPIRES (UTC)",
        "USED USD",
    ]);
    for key in keys {
        table.row([
            key.id.clone(),
            or_dash(&key.name),
            key.label.clone(),
            key.kind.clone(),
            state(key, now_s).to_owned(),
            time(key.created_at),
            key.expires_at.map_or_else(|| "-".to_owned(), time),
            key.usage_usd.clone(),
        ]);
    }
    let json = keys.iter().map(|key| {
        json!({
            "id": key.id,
            "org": key.org,
            "name": key.name,
            "label": key.label,
            "kind": key.kind,
            "revoked": key.revoked,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "usage_usd": key.usage_usd,
            "workspace": key.workspace,
            "created_by": key.created_by,
            "disabled": key.disabled,
            "policy": key.policy_json,
        })
    });
    Report::new(json.collect()).table(table)
}
