//! Usage detail: one row per hold, as the edge has reported it. The journal has the sums; this has
//! the reasons.

use super::LedgerError;
use super::journal::split;
use crate::sql::bigint;
use shared::record::{Origin, Outcome, UsageRecord};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Transaction};
use std::fmt::Write;

/// Rows in one statement. Two lengths only, this and one row, so that the engine parses each once.
const ROWS_PER_STATEMENT: usize = 16;
const COLUMNS: [&str; 29] = [
    "node",
    "epoch",
    "sequence",
    "generation",
    "org",
    "key_id",
    "outcome",
    "held_nano",
    "held_pico_rem",
    "cost_nano",
    "cost_pico_rem",
    "started_unix_ms",
    "api",
    "requested_model",
    "model",
    "endpoint",
    "provider",
    "price_epoch",
    "price_number",
    "prompt_tokens",
    "completion_tokens",
    "usage_json",
    "streamed",
    "finish_reason",
    "fault",
    "duration_ms",
    "ttft_ms",
    "attempts",
    "upstream_id",
];

/// Writes the rows of `records`.
///
/// # Errors
/// When the database fails, or an amount is beyond its columns.
pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    origin: &Origin,
    records: &[UsageRecord],
) -> Result<(), LedgerError> {
    let chunks = records.chunks_exact(ROWS_PER_STATEMENT);
    let rest = chunks.remainder().chunks(1);
    // SQLite finds a numbered placeholder by walking all before it, which is work by the square of
    // their number; PostgreSQL has no others.
    let numbered = transaction.backend_name() != "SQLite";
    for chunk in chunks.chain(rest) {
        let mut query = sqlx::query(AssertSqlSafe(statement(chunk.len(), numbered)));
        for record in chunk {
            query = bind(query, origin, record)?;
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

/// The word for an outcome, as it is stored.
#[must_use]
pub(super) fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Settled => "settled",
        Outcome::Released => "released",
        Outcome::Suspense => "suspense",
    }
}

/// Holds nothing but names from this file and placeholders.
fn statement(rows: usize, numbered: bool) -> String {
    let mut sql = format!("INSERT INTO usage_records ({}) VALUES ", COLUMNS.join(", "));
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..COLUMNS.len() {
            sql.push_str(if column == 0 { "" } else { ", " });
            if numbered {
                let _ = write!(sql, "${}", row * COLUMNS.len() + column + 1);
            } else {
                sql.push('?');
            }
        }
        sql.push(')');
    }
    sql
}

/// In the order of [`COLUMNS`].
fn bind<'q>(
    query: Query<'q, Any, AnyArguments>,
    origin: &Origin,
    record: &UsageRecord,
) -> Result<Query<'q, Any, AnyArguments>, LedgerError> {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    let (held, cost) = (split(record.held)?, split(record.cost)?);
    let usage = serde_json::to_string(&record.usage).map_err(|error| LedgerError::Invalid {
        what: "usage",
        reason: error.to_string(),
    })?;
    Ok(query
        .bind(origin.node.as_str().to_owned())
        .bind(bigint(origin.epoch.0))
        .bind(bigint(record.sequence))
        .bind(record.generation.to_string())
        .bind(record.org.to_string())
        .bind(record.key.to_string())
        .bind(outcome_text(record.outcome))
        .bind(held.0)
        .bind(held.1)
        .bind(cost.0)
        .bind(cost.1)
        .bind(bigint(record.started_unix_ms))
        .bind(record.api.clone())
        .bind(record.requested_model.clone())
        .bind(text(record.model.as_ref().map(|id| id.as_str())))
        .bind(text(record.endpoint.as_ref().map(|id| id.as_str())))
        .bind(text(record.provider.as_ref().map(|id| id.as_str())))
        .bind(bigint(record.price_version.epoch))
        .bind(bigint(record.price_version.number))
        .bind(bigint(record.usage.prompt))
        .bind(bigint(record.usage.completion))
        .bind(usage)
        .bind(i16::from(record.streamed))
        .bind(record.finish_reason.clone())
        .bind(text(record.fault.as_deref()))
        .bind(bigint(record.duration_ms))
        .bind(bigint(record.ttft_ms))
        .bind(i64::from(record.attempts))
        .bind(record.upstream_id.clone()))
}
