//! `godwit admin catalog …`. Validating and importing need no control plane; validating is the same
//! code that applies.

use super::report::{Report, Table, time};
use super::{Failed, Target, connect};
use clap::{Args, Subcommand};
use control_plane::registry::Registry;
use control_plane::security::file::write_public;
use serde_json::json;
use shared::catalog::file::read_dir;
use shared::catalog::import::files::{self as import, Paths};
use shared::proto::admin as wire;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Subcommand, Debug)]
pub(super) enum CatalogCommand {
    /// Checks a folder of TOML files, offline. All problems at once.
    Validate {
        /// The folder.
        dir: PathBuf,
    },
    /// Replaces the catalogue by the one in a folder.
    Apply {
        /// The folder.
        dir: PathBuf,
    },
    /// What applying a folder would change.
    Diff {
        /// The folder.
        dir: PathBuf,
    },
    /// The kept revisions, newest first.
    History,
    /// Serves an older revision's content again, as a new one.
    Rollback {
        /// From `history`.
        number: u64,
    },
    /// Writes what is served into a folder, as TOML files.
    Export {
        /// The folder; made when it is not there.
        dir: PathBuf,
    },
    /// Makes models and endpoints from public price lists, offline.
    Import(ImportArgs),
}

/// The lists and the folder.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// LiteLLM's model_prices_and_context_window.json.
    #[arg(long)]
    litellm: PathBuf,
    /// models.dev's api.json.
    #[arg(long)]
    models_dev: PathBuf,
    /// models.dev's provider-neutral models.
    #[arg(long)]
    models_dev_base: Option<PathBuf>,
    /// OpenRouter's answer to GET /api/v1/models?output_modalities=all.
    #[arg(long)]
    openrouter: PathBuf,
    /// Groups of offers of one model.
    #[arg(long)]
    identity: Option<PathBuf>,
    /// genai-prices, to compare with.
    #[arg(long)]
    genai: Option<PathBuf>,
    /// The catalogue's folder: its providers.toml is kept, the other files are replaced.
    #[arg(long)]
    out: PathBuf,
}

pub(super) async fn run(to: &Target, command: CatalogCommand) -> Result<Report, Failed> {
    match command {
        CatalogCommand::Validate { dir } => validate(&dir),
        CatalogCommand::Apply { dir } => {
            let files = files(&dir)?;
            let mut client = connect::client(to).await?;
            Ok(applied(client.apply_catalog(files).await?.get_ref()))
        }
        CatalogCommand::Rollback { number } => {
            let mut client = connect::client(to).await?;
            let request = wire::RollbackCatalogRequest { number };
            Ok(applied(client.rollback_catalog(request).await?.get_ref()))
        }
        CatalogCommand::Diff { dir } => diff(to, &dir).await,
        CatalogCommand::History => history(to).await,
        CatalogCommand::Export { dir } => export(to, &dir).await,
        CatalogCommand::Import(args) => import(args),
    }
}

fn import(args: ImportArgs) -> Result<Report, Failed> {
    let report = import::run(&Paths {
        litellm: args.litellm,
        models_dev: args.models_dev,
        models_dev_base: args.models_dev_base,
        openrouter: args.openrouter,
        identity: args.identity,
        genai: args.genai,
        out: args.out,
    });
    let report = report.map_err(|error| Failed::new(error.to_string()))?;
    let json = json!({
        "models": report.models, "providers": report.providers, "endpoints": report.endpoints,
        "models_at_several_providers": report.shared_models,
        "unknown_providers": report.unknown_providers, "idle_providers": report.idle_providers,
        "suspicious": report.suspicious, "identity": report.identity,
        "differing": report.differing,
    });
    Ok(Report::new(json).line(report.to_string()))
}

fn validate(dir: &Path) -> Result<Report, Failed> {
    let files = read_files(dir)?;
    Ok(match Registry::validate(&files) {
        Ok((catalog, _)) => {
            let (providers, models) = (catalog.providers.len(), catalog.models.len());
            let endpoints = catalog.endpoints.len();
            let json = json!({ "problems": [], "providers": providers, "models": models, "endpoints": endpoints });
            Report::new(json).line(format!(
                "valid: {providers} providers, {models} models, {endpoints} endpoints"
            ))
        }
        Err(found) => {
            let wire = found.into_iter().map(|problem| wire::Problem {
                file: problem.file,
                line: problem.line,
                key: problem.key,
                reason: problem.reason,
            });
            problems(&wire.collect::<Vec<_>>())
        }
    })
}

fn applied(response: &wire::ApplyCatalogResponse) -> Report {
    if !response.problems.is_empty() {
        return problems(&response.problems).line("nothing was changed");
    }
    let wire::ApplyCatalogResponse {
        epoch,
        number,
        changed,
        removed,
        paused_at,
        ..
    } = response;
    let json = json!({
        "problems": [],
        "epoch": epoch,
        "number": number,
        "changed": changed,
        "removed": removed,
        "paused_at": paused_at,
    });
    let report = Report::new(json).line(format!(
        "version {epoch}.{number}: {changed} changed, {removed} removed"
    ));
    if *paused_at == 0 {
        return report;
    }
    report.line(format!(
        "roll-outs are paused: edges are sent revision {paused_at} until `godwit admin rollouts resume`"
    ))
}

async fn diff(to: &Target, dir: &Path) -> Result<Report, Failed> {
    let files = files(dir)?;
    let response = connect::client(to).await?.diff_catalog(files).await?;
    let response = response.into_inner();
    if !response.problems.is_empty() {
        return Ok(problems(&response.problems));
    }
    let json = json!({ "problems": [], "added": response.added, "changed": response.changed, "removed": response.removed });
    let mut report = Report::new(json);
    for (sign, names) in [
        ("+", &response.added),
        ("~", &response.changed),
        ("-", &response.removed),
    ] {
        for name in names {
            report = report.line(format!("{sign} {name}"));
        }
    }
    let (added, changed) = (response.added.len(), response.changed.len());
    let removed = response.removed.len();
    Ok(report.line(format!("{added} new, {changed} different, {removed} gone")))
}

async fn history(to: &Target) -> Result<Report, Failed> {
    let request = wire::CatalogHistoryRequest {};
    let response = connect::client(to).await?.catalog_history(request).await?;
    let revisions = response.into_inner().revisions;
    let mut table = Table::new(&["NUMBER", "APPLIED (UTC)", "ACTOR", "RESOURCES", "NOTE"]);
    for revision in &revisions {
        table.row([
            revision.number.to_string(),
            time(revision.applied_unix_ms / 1000),
            revision.actor.clone(),
            revision.resources.to_string(),
            revision.note.clone(),
        ]);
    }
    let json = revisions.iter().map(|revision| {
        json!({
            "number": revision.number,
            "applied_unix_ms": revision.applied_unix_ms,
            "actor": revision.actor,
            "note": revision.note,
            "resources": revision.resources,
        })
    });
    Ok(Report::new(json.collect()).table(table))
}

async fn export(to: &Target, dir: &Path) -> Result<Report, Failed> {
    let request = wire::ExportCatalogRequest {};
    let response = connect::client(to).await?.export_catalog(request).await?;
    let files: BTreeMap<_, _> = response.into_inner().files.into_iter().collect();
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (name, text) in &files {
        // The names are the server's: none may leave the folder.
        let simple = Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str());
        if !simple {
            return Err(Failed::new(format!("{name:?} is not a file's name")));
        }
        let path = dir.join(name);
        write_public(&path, text.as_bytes()).map_err(|error| failed(&path, &error))?;
    }
    let names: Vec<_> = files.keys().collect();
    let json = json!({ "dir": dir.display().to_string(), "files": names });
    let count = files.len();
    Ok(Report::new(json).line(format!("{count} files in {}", dir.display())))
}

fn problems(found: &[wire::Problem]) -> Report {
    let json: Vec<_> = found
        .iter()
        .map(|p| json!({ "file": p.file, "line": p.line, "key": p.key, "reason": p.reason }))
        .collect();
    let report = Report::new(json!({ "problems": json })).wrong(true);
    let report = found.iter().fold(report, |report, p| {
        report.line(format!("{}:{}: {}: {}", p.file, p.line, p.key, p.reason))
    });
    report.line(format!("{} problems", found.len()))
}

fn files(dir: &Path) -> Result<wire::CatalogFiles, Failed> {
    let files = read_files(dir)?.into_iter().collect();
    Ok(wire::CatalogFiles { files })
}

fn read_files(dir: &Path) -> Result<BTreeMap<String, String>, Failed> {
    read_dir(dir).map_err(|error| failed(dir, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("{}: {error}", path.display()))
}
