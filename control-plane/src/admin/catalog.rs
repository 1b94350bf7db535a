//! The catalogue's calls. Problems are an answer, not an error: all of them at once.

use super::{Answer, Deps, accounts_status};
use crate::registry::{Applied, Author, Registry, RegistryError};
use shared::catalog::file::Problem;
use shared::proto::admin as wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Response, Status};

/// Why a change was made that names no reason.
const NOTE: &str = "admin API";

pub(super) async fn validate(message: wire::CatalogFiles) -> Answer<wire::ValidateCatalogResponse> {
    let files = files_of(message);
    let checked = off_the_runtime(move || {
        Registry::validate(&files).map(|(catalog, _)| {
            (
                catalog.providers.len(),
                catalog.models.len(),
                catalog.endpoints.len(),
            )
        })
    });
    let response = match checked.await? {
        Ok((providers, models, endpoints)) => wire::ValidateCatalogResponse {
            problems: Vec::new(),
            providers: count(providers),
            models: count(models),
            endpoints: count(endpoints),
        },
        Err(problems) => wire::ValidateCatalogResponse {
            problems: wire_problems(problems),
            ..wire::ValidateCatalogResponse::default()
        },
    };
    Ok(Response::new(response))
}

pub(super) async fn apply(
    deps: &Deps,
    actor: &str,
    message: wire::CatalogFiles,
) -> Answer<wire::ApplyCatalogResponse> {
    let author = Author { actor, note: NOTE };
    let applied = deps.registry.apply(&files_of(message), author).await;
    changed(deps, actor, "catalog.apply", applied).await
}

pub(super) async fn rollback(
    deps: &Deps,
    actor: &str,
    message: wire::RollbackCatalogRequest,
) -> Answer<wire::ApplyCatalogResponse> {
    let applied = deps.registry.rollback(message.number, actor).await;
    changed(deps, actor, "catalog.rollback", applied).await
}

pub(super) async fn diff(
    deps: &Deps,
    message: wire::CatalogFiles,
) -> Answer<wire::DiffCatalogResponse> {
    let registry = Arc::clone(&deps.registry);
    let files = files_of(message);
    let difference = off_the_runtime(move || registry.diff(&files));
    let response = match difference.await? {
        Ok(difference) => wire::DiffCatalogResponse {
            problems: Vec::new(),
            added: difference.added,
            changed: difference.changed,
            removed: difference.removed,
        },
        Err(problems) => wire::DiffCatalogResponse {
            problems: wire_problems(problems),
            ..wire::DiffCatalogResponse::default()
        },
    };
    Ok(Response::new(response))
}

pub(super) async fn export(deps: &Deps) -> Answer<wire::CatalogFiles> {
    let registry = Arc::clone(&deps.registry);
    let files = off_the_runtime(move || registry.export()).await?;
    Ok(Response::new(wire::CatalogFiles {
        files: files.into_iter().collect(),
    }))
}

pub(super) async fn history(deps: &Deps) -> Answer<wire::CatalogHistoryResponse> {
    let revisions = deps.registry.history().await;
    let revisions = revisions.map_err(|error| registry_status(&error))?;
    let revisions = revisions.into_iter().map(|revision| wire::CatalogRevision {
        number: revision.number,
        applied_unix_ms: revision.applied_unix_ms,
        actor: revision.actor,
        note: revision.note,
        resources: count(revision.resources),
    });
    Ok(Response::new(wire::CatalogHistoryResponse {
        revisions: revisions.collect(),
    }))
}

async fn changed(
    deps: &Deps,
    actor: &str,
    action: &str,
    applied: Result<Applied, RegistryError>,
) -> Answer<wire::ApplyCatalogResponse> {
    let applied = match applied {
        Ok(applied) => applied,
        Err(RegistryError::Invalid(problems)) => {
            return Ok(Response::new(wire::ApplyCatalogResponse {
                problems: wire_problems(problems),
                ..wire::ApplyCatalogResponse::default()
            }));
        }
        Err(error) => return Err(registry_status(&error)),
    };
    let object = format!(
        "version {}: {} changed, {} removed",
        applied.version, applied.changed, applied.removed
    );
    // The revision itself names its actor: when this entry can't be written, nothing is lost, but
    // the operator must know.
    let recorded = deps.accounts.record(actor, action, &object).await;
    recorded.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::ApplyCatalogResponse {
        problems: Vec::new(),
        epoch: applied.version.epoch,
        number: applied.version.number,
        changed: count(applied.changed),
        removed: count(applied.removed),
        paused_at: deps.registry.paused().map_or(0, |pause| pause.number),
    }))
}

/// Reading megabytes of text takes too long for a thread that serves streams.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))
}

pub(super) fn registry_status(error: &RegistryError) -> Status {
    let text = error.to_string();
    match error {
        RegistryError::Invalid(_) => Status::invalid_argument(text),
        RegistryError::NoSuchRevision(_) => Status::not_found(text),
        RegistryError::Conflict => Status::aborted(text),
        RegistryError::Store(error) if error.retryable() => Status::unavailable(text),
        RegistryError::Store(_) | RegistryError::Corrupt { .. } | RegistryError::Folder(_) => {
            tracing::error!(error = %text, "the catalogue can't be read or changed");
            Status::internal(text)
        }
    }
}

fn files_of(message: wire::CatalogFiles) -> BTreeMap<String, String> {
    message.files.into_iter().collect()
}

fn wire_problems(problems: Vec<Problem>) -> Vec<wire::Problem> {
    let wire = |problem: Problem| wire::Problem {
        file: problem.file,
        line: problem.line,
        key: problem.key,
        reason: problem.reason,
    };
    problems.into_iter().map(wire).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
