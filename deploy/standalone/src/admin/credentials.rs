//! `godwit admin credentials …`: organisations' own keys at providers. A secret is read from a file
//! or from standard input, never from the command line, which others can see.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::proto::admin as wire;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest secret that is read.
const SECRET_MAX: u64 = 64 << 10;

#[derive(Subcommand, Debug)]
pub(super) enum CredentialsCommand {
    /// Keeps a provider's key, encrypted; the key comes from standard input.
    Create {
        /// The provider's slug.
        provider: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// Only for keys of this workspace.
        #[arg(long, default_value = "")]
        workspace: String,
        /// The file that holds the key; `-` is standard input.
        #[arg(long, default_value = "-", value_name = "FILE")]
        key_file: PathBuf,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        terms: Terms,
    },
    /// Lists credentials in their order, with the ends of their keys.
    List {
        /// Only of this organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Changes a credential; what is not given stays as it is.
    Update {
        /// The credential's id, from `list`.
        id: String,
        /// A new key from this file; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Forgets a credential.
    Delete {
        /// The credential's id, from `list`.
        id: String,
    },
    /// Makes a new master key and wraps every credential's own key in it; nothing waits for it.
    RotateMasterKey,
}

/// What of the provider's address is one's own, where the catalogue leaves it open.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// The host of one's own resource, e.g. mine.openai.azure.com.
    #[arg(long, default_value = "")]
    address: String,
    /// The project at Google Cloud; default: the service account's.
    #[arg(long, default_value = "")]
    project: String,
    /// The region; default: as the catalogue has it.
    #[arg(long, default_value = "")]
    region: String,
    /// The account.
    #[arg(long, default_value = "")]
    account: String,
}

#[derive(Args, Debug)]
pub(super) struct Terms {
    /// What it is called.
    #[arg(long)]
    name: Option<String>,
    /// Use it only after the shared endpoints have failed.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fallback: Option<bool>,
    /// Never use the platform's own key at this provider.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    required: Option<bool>,
    /// Keep it, but don't use it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Lower first.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    sort_order: Option<i64>,
    /// Who may use it, and for what, as JSON, e.g. '{"allowed_models": ["openai/gpt-5"]}'.
    #[arg(long, value_name = "JSON")]
    filters: Option<String>,
}

pub(super) async fn run(to: &Target, command: CredentialsCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        CredentialsCommand::Create {
            provider,
            org,
            workspace,
            key_file,
            place,
            terms,
        } => {
            let request = wire::CreateCredentialRequest {
                org,
                workspace,
                provider,
                key: secret(&key_file)?,
                name: terms.name.unwrap_or_default(),
                is_fallback: terms.fallback.unwrap_or_default(),
                is_required: terms.required.unwrap_or_default(),
                disabled: terms.disabled.unwrap_or_default(),
                sort_order: terms.sort_order.unwrap_or_default(),
                filters_json: terms.filters.unwrap_or_default(),
                address: place.address,
                project: place.project,
                region: place.region,
                account: place.account,
            };
            let made = client.create_credential(request).await?.into_inner();
            let line = format!("{} {} for {}", made.id, made.label, made.origin);
            Ok(Report::new(told(&made)).line(line))
        }
        CredentialsCommand::List { org } => {
            let listed = client.list_credentials(wire::ListCredentialsRequest { org });
            Ok(list(&listed.await?.into_inner().credentials))
        }
        CredentialsCommand::Update {
            id,
            key_file,
            terms,
        } => {
            let request = wire::UpdateCredentialRequest {
                id,
                key: key_file.as_deref().map(secret).transpose()?,
                name: terms.name,
                is_fallback: terms.fallback,
                is_required: terms.required,
                disabled: terms.disabled,
                sort_order: terms.sort_order,
                filters_json: terms.filters,
            };
            let changed = client.update_credential(request).await?.into_inner();
            let line = format!("changed {}", changed.id);
            Ok(Report::new(told(&changed)).line(line))
        }
        CredentialsCommand::Delete { id } => {
            let request = wire::DeleteCredentialRequest { id: id.clone() };
            client.delete_credential(request).await?;
            Ok(Report::new(json!({ "deleted": id })).line(format!("deleted {id}")))
        }
        CredentialsCommand::RotateMasterKey => {
            let request = wire::RotateMasterKeyRequest {};
            let done = client.rotate_master_key(request).await?.into_inner();
            let (key, count) = (&done.master_key, done.rewrapped);
            let report = Report::new(json!({ "master_key": key, "rewrapped": count }));
            Ok(report.line(format!("{key} is the master key; {count} wrapped anew")))
        }
    }
}

fn secret(path: &Path) -> Result<String, Failed> {
    let failed = |error| Failed::new(format!("{}: {error}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        let mut stdin = std::io::stdin().lock().take(SECRET_MAX);
        stdin.read_to_string(&mut text).map_err(failed)?;
    } else {
        let mut file = std::fs::File::open(path).map_err(failed)?.take(SECRET_MAX);
        file.read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

fn list(credentials: &[wire::Credential]) -> Report {
    let mut table = Table::new(&[
        "ID",
        "PROVIDER",
        "KEY",
        "NAME",
        "ORDER",
        "USE",
        "ORIGIN",
        "CREATED (UTC)",
    ]);
    for one in credentials {
        let words = [
            (one.disabled, "disabled"),
            (one.is_fallback, "fallback"),
            (one.is_required, "required"),
        ];
        let words: Vec<&str> = words.iter().filter(|it| it.0).map(|it| it.1).collect();
        table.row([
            one.id.clone(),
            one.provider.clone(),
            one.label.clone(),
            or_dash(&one.name),
            one.sort_order.to_string(),
            or_dash(&words.join(" ")),
            one.origin.clone(),
            time(one.created_unix_ms / 1000),
        ]);
    }
    Report::new(credentials.iter().map(told).collect()).table(table)
}

fn told(credential: &wire::Credential) -> Value {
    let filters: Value = serde_json::from_str(&credential.filters_json).unwrap_or_default();
    json!({
        "id": credential.id,
        "org": credential.org,
        "workspace": credential.workspace,
        "provider": credential.provider,
        "origin": credential.origin,
        "address": credential.address,
        "project": credential.project,
        "region": credential.region,
        "account": credential.account,
        "name": credential.name,
        "label": credential.label,
        "is_fallback": credential.is_fallback,
        "is_required": credential.is_required,
        "disabled": credential.disabled,
        "sort_order": credential.sort_order,
        "filters": filters,
        "created_unix_ms": credential.created_unix_ms,
        "updated_unix_ms": credential.updated_unix_ms,
    })
}
