//! The schema, as the changes that made it. It only goes forward, one program at a time; an older
//! program refuses a newer database.

use super::{Database, DatabaseError, Engine};
use sqlx::{Executor, Row};

/// Every change of the schema, in order. Only ever appended to.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "accounts", include_str!("0001_accounts.sql")),
    (2, "ledger", include_str!("0002_ledger.sql")),
    (
        3,
        "books by organisation",
        include_str!("0003_books_by_organisation.sql"),
    ),
    (
        4,
        "fees and providers",
        include_str!("0004_fees_and_providers.sql"),
    ),
    (5, "people", include_str!("0005_people.sql")),
    (6, "usage days", include_str!("0006_usage_days.sql")),
    (7, "limits", include_str!("0007_limits.sql")),
    (8, "policy", include_str!("0008_policy.sql")),
    (9, "own keys", include_str!("0009_own_keys.sql")),
    (10, "openings", include_str!("0010_openings.sql")),
    (11, "auto top-up", include_str!("0011_topups.sql")),
    (
        12,
        "credit and heirs",
        include_str!("0012_credit_and_heirs.sql"),
    ),
    (13, "identities", include_str!("0013_identities.sql")),
    (
        14,
        "places and changes",
        include_str!("0014_places_and_changes.sql"),
    ),
    (
        15,
        "leases of windows",
        include_str!("0015_leases_of_windows.sql"),
    ),
    (
        16,
        "people and payments",
        include_str!("0016_people_and_payments.sql"),
    ),
    (
        17,
        "times of limits",
        include_str!("0017_times_of_limits.sql"),
    ),
    (18, "fees of days", include_str!("0018_fees_of_days.sql")),
    (19, "left over", include_str!("0019_left_over.sql")),
    (20, "closed grants", include_str!("0020_closed_grants.sql")),
    (21, "particulars", include_str!("0021_particulars.sql")),
];

/// The change that counts fees per day.
#[cfg(test)]
pub(super) const FEES_OF_DAYS: i64 = 18;

/// On PostgreSQL programs that start together change the schema one after the other. The lock's
/// number is Godwit's own; it is let go with the transaction. A change may take its time.
const ONE_AT_A_TIME: &str = "SET LOCAL lock_timeout = '10min';
     SET LOCAL statement_timeout = '1h';
     SELECT pg_advisory_xact_lock(5128001)";

/// Brings the schema up to what this program knows.
pub(super) async fn forward(database: &Database) -> Result<(), DatabaseError> {
    let newest = MIGRATIONS.last().map_or(0, |(version, _, _)| *version);
    up_to(database, newest).await
}

/// Brings the schema up to `version`.
pub(super) async fn up_to(database: &Database, version: i64) -> Result<(), DatabaseError> {
    let mut transaction = database.write().await?;
    if database.engine() == Engine::Postgres {
        transaction.execute(ONE_AT_A_TIME).await?;
    }
    transaction
        .execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 version BIGINT PRIMARY KEY, name TEXT NOT NULL)",
        )
        .await?;
    let row = transaction
        .fetch_one("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM schema_migrations")
        .await?;
    let found: i64 = row.try_get(0)?;
    let known = MIGRATIONS.last().map_or(0, |(version, _, _)| *version);
    if found > known {
        return Err(DatabaseError::TooNew { found, known });
    }
    let missing = MIGRATIONS
        .iter()
        .filter(|(number, _, _)| *number > found && *number <= version);
    for (number, name, script) in missing {
        for statement in statements(script) {
            transaction.execute(statement).await?;
        }
        sqlx::query("INSERT INTO schema_migrations (version, name) VALUES ($1, $2)")
            .bind(*number)
            .bind(*name)
            .execute(&mut *transaction)
            .await?;
        tracing::info!(version = number, name, "database schema brought forward");
    }
    transaction.commit().await?;
    Ok(())
}

/// The statements of a script: they end in `;` at the end of a line.
fn statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script
        .split(";\n")
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_at_line_ends_only() {
        let cut: Vec<_> = statements("A ';' B;\nC;\n\n").collect();
        assert_eq!(cut, ["A ';' B", "C"]);
    }
}
