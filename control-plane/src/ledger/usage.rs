//! Usage detail: one row per hold, as the edge has reported it. The journal has the sums; this has
//! the reasons.

use super::LedgerError;
use super::journal::{Book, split};
use crate::sql::rows::{Cell, Table, Type};
use crate::sql::{DatabaseError, bigint};
use shared::limit::Window;
use shared::money::Amount;
use shared::record::{Origin, Outcome, Particulars, UsageRecord};

const RECORDS: Table<36> = Table {
    name: "usage_records",
    columns: [
        ("node", Type::Text),
        ("epoch", Type::Big),
        ("sequence", Type::Big),
        ("generation", Type::Text),
        ("org", Type::Text),
        ("key_id", Type::Text),
        ("outcome", Type::Text),
        ("held_nano", Type::Big),
        ("held_pico_rem", Type::Small),
        ("cost_nano", Type::Big),
        ("cost_pico_rem", Type::Small),
        ("started_unix_ms", Type::Big),
        ("api", Type::Text),
        ("requested_model", Type::Text),
        ("model", Type::Text),
        ("endpoint", Type::Text),
        ("provider", Type::Text),
        ("price_epoch", Type::Big),
        ("price_number", Type::Big),
        ("prompt_tokens", Type::Big),
        ("completion_tokens", Type::Big),
        ("usage_json", Type::Text),
        ("streamed", Type::Small),
        ("finish_reason", Type::Text),
        ("fault", Type::Text),
        ("duration_ms", Type::Big),
        ("ttft_ms", Type::Big),
        ("attempts", Type::Big),
        ("upstream_id", Type::Text),
        ("limit_windows", Type::Text),
        ("fee_ppm", Type::Big),
        ("fee_nano", Type::Big),
        ("fee_pico_rem", Type::Small),
        ("own_key", Type::Small),
        ("flags", Type::Text),
        ("particulars", Type::Text),
    ],
    conflict: "",
};

/// Writes the rows of `records`, which are charged these fees.
///
/// # Errors
/// When the database fails, or an amount is beyond its columns.
pub(super) async fn insert(
    book: &mut Book,
    origin: &Origin,
    records: &[UsageRecord],
    fees: &[Amount],
) -> Result<(), LedgerError> {
    let rows = records.iter().zip(fees);
    let rows = rows.map(|(record, fee)| row(origin, record, *fee));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let engine = book.engine();
    Ok(RECORDS.insert(book.sql(), engine, &rows).await?)
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

/// Windows as they are stored.
pub(super) fn windows_text(windows: &[Window]) -> String {
    let texts: Vec<_> = windows.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// The inverse of [`windows_text`].
///
/// # Errors
/// When one of them is none.
pub(super) fn windows_of(text: &str) -> Result<Vec<Window>, LedgerError> {
    let parsed = text.split_ascii_whitespace().map(str::parse);
    parsed.collect::<Result<_, _>>().map_err(|_| {
        LedgerError::Database(DatabaseError::Corrupt {
            what: "windows of limits",
            value: text.to_owned(),
        })
    })
}

/// Particulars as they are stored.
///
/// # Errors
/// When they are none.
pub(super) fn particulars_of(text: String) -> Result<Particulars, LedgerError> {
    if text.is_empty() {
        return Ok(Particulars::default());
    }
    serde_json::from_str(&text).map_err(|_| {
        LedgerError::Database(DatabaseError::Corrupt {
            what: "particulars of a request",
            value: text,
        })
    })
}

/// In the order of [`RECORDS`].
fn row<'a>(
    origin: &'a Origin,
    record: &'a UsageRecord,
    fee: Amount,
) -> Result<[Cell<'a>; 36], LedgerError> {
    let (held, cost) = (split(record.held)?, split(record.cost)?);
    let fee = split(fee)?;
    let unwritable = |error: serde_json::Error| LedgerError::Invalid {
        what: "usage",
        reason: error.to_string(),
    };
    let usage = serde_json::to_string(&record.usage).map_err(unwritable)?;
    let flags = match record.flags.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&record.flags).map_err(unwritable)?,
    };
    let particulars = match record.particulars.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&record.particulars).map_err(unwritable)?,
    };
    let text = |id: Option<&'a str>| Cell::text(id.unwrap_or_default());
    Ok([
        Cell::text(origin.node.as_str()),
        Cell::Int(bigint(origin.epoch.0)),
        Cell::Int(bigint(record.sequence)),
        Cell::text(record.generation.as_str()),
        Cell::text(record.org.as_str()),
        Cell::from(record.key.to_string()),
        Cell::text(outcome_text(record.outcome)),
        Cell::Int(held.0),
        Cell::from(held.1),
        Cell::Int(cost.0),
        Cell::from(cost.1),
        Cell::Int(bigint(record.started_unix_ms)),
        Cell::text(&record.api),
        Cell::text(&record.requested_model),
        text(record.model.as_ref().map(|id| id.as_str())),
        text(record.endpoint.as_ref().map(|id| id.as_str())),
        text(record.provider.as_ref().map(|id| id.as_str())),
        Cell::Int(bigint(record.price_version.epoch)),
        Cell::Int(bigint(record.price_version.number)),
        Cell::Int(bigint(record.usage.prompt)),
        Cell::Int(bigint(record.usage.completion)),
        Cell::from(usage),
        Cell::from(i16::from(record.streamed)),
        Cell::text(&record.finish_reason),
        text(record.fault.as_deref()),
        Cell::Int(bigint(record.duration_ms)),
        Cell::Int(bigint(record.ttft_ms)),
        Cell::Int(i64::from(record.attempts)),
        Cell::text(&record.upstream_id),
        Cell::from(windows_text(&record.windows)),
        Cell::Int(i64::from(record.fee_ppm)),
        Cell::Int(fee.0),
        Cell::from(fee.1),
        Cell::from(i16::from(record.own_key)),
        Cell::from(flags),
        Cell::from(particulars),
    ])
}
