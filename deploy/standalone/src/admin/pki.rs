//! `godwit admin pki …`: certificates and the signing key, in the data folder and without a
//! control plane.

use super::Failed;
use super::report::Report;
use clap::{Subcommand, ValueEnum};
use control_plane::pki::{self, Authority, Hosts, PairFiles};
use control_plane::security::file::write_secret;
use control_plane::security::{Identity, Role};
use serde_json::json;
use shared::clock::Clock;
use shared::manifest::Signer;
use std::net::IpAddr;
use std::path::Path;

/// The signing key's file in the data folder.
const SIGNER_FILE: &str = "signer.key";

#[derive(Subcommand, Debug)]
pub(super) enum PkiCommand {
    /// Makes the fleet's certificate authority, if there is none: pki/ca.crt and pki/ca.key.
    Init,
    /// Makes a key and a certificate for a node or an operator. Valid for a year.
    Issue {
        /// What it is for.
        #[arg(long, value_enum)]
        role: RoleName,
        /// Which one: a node's id, an operator's name.
        #[arg(long)]
        name: String,
        /// A further DNS name of a control plane or edge.
        #[arg(long)]
        dns: Vec<String>,
        /// A further address of a control plane or edge.
        #[arg(long)]
        ip: Vec<IpAddr>,
        /// The name of the two files in pki/, without ending. Default: ROLE-NAME.
        #[arg(long)]
        file: Option<String>,
    },
    /// Makes the key that signs catalogue versions, if there is none, and prints its public half:
    /// edges name it in trusted_signers.
    Signer,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum RoleName {
    Edge,
    Control,
    Operator,
}

pub(super) fn run(data: &Path, command: PkiCommand) -> Result<Report, Failed> {
    let now = Clock::system().unix_s();
    match command {
        PkiCommand::Init => {
            let made = Authority::load(data).map_err(failed)?.is_none();
            Authority::ensure(data, now).map_err(failed)?;
            let files = PairFiles::of(data, "ca");
            let word = if made { "made" } else { "was there" };
            let report = Report::new(
                json!({ "made": made, "certificate": shown(&files.certificate), "key": shown(&files.key) }),
            );
            Ok(report
                .line(format!(
                    "certificate authority {word}: {}",
                    shown(&files.certificate)
                ))
                .line(format!(
                    "keep its key secret and off the edges: {}",
                    shown(&files.key)
                )))
        }
        PkiCommand::Issue {
            role,
            name,
            dns,
            ip,
            file,
        } => {
            let role = match role {
                RoleName::Edge => Role::Edge,
                RoleName::Control => Role::Control,
                RoleName::Operator => Role::Operator,
            };
            let identity = Identity::new(role, &name)
                .ok_or_else(|| failed(pki::PkiError::Name(name.clone())))?;
            let mut hosts = if role == Role::Control {
                Hosts::of_control()
            } else {
                Hosts::default()
            };
            hosts.dns.extend(dns);
            hosts.ips.extend(ip);
            let file = file.unwrap_or_else(|| format!("{}-{name}", role.as_str()));
            issue(data, &file, &identity, &hosts, now)
        }
        PkiCommand::Signer => signer(data),
    }
}

fn issue(
    data: &Path,
    file: &str,
    identity: &Identity,
    hosts: &Hosts,
    now: u64,
) -> Result<Report, Failed> {
    if Identity::new(Role::Operator, file).is_none() || file == "ca" {
        return Err(Failed::new(format!(
            "--file {file:?} can't be the name of these files"
        )));
    }
    let files = pki::issue(data, file, identity, hosts, now).map_err(failed)?;
    let json = json!({ "identity": identity.uri(), "certificate": shown(&files.certificate), "key": shown(&files.key) });
    Ok(Report::new(json)
        .line(format!("{}: {}", identity.uri(), shown(&files.certificate)))
        .line(format!("key: {}", shown(&files.key))))
}

fn signer(data: &Path) -> Result<Report, Failed> {
    let path = data.join(SIGNER_FILE);
    let file = |error: std::io::Error| Failed::new(format!("{}: {error}", path.display()));
    let wrong =
        |error: shared::manifest::SignerError| Failed::new(format!("{}: {error}", path.display()));
    let (signer, made) = match std::fs::read(&path) {
        Ok(key) => (Signer::load(&key).map_err(wrong)?, false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (signer, key) = Signer::generate().map_err(wrong)?;
            shared::folder::make(data).map_err(file)?;
            write_secret(&path, &key).map_err(file)?;
            (signer, true)
        }
        Err(error) => return Err(file(error)),
    };
    let public = signer.public_key().to_string();
    let json = json!({ "made": made, "public_key": public, "key": shown(&path) });
    Ok(Report::new(json).line(public))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: pki::PkiError) -> Failed {
    Failed::new(error.to_string())
}
