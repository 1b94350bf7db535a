//! The relational database under accounts and ledger: SQLite on one machine, written so that
//! PostgreSQL fits (placeholders `$1..$N`, no types beyond SMALLINT, BIGINT, TEXT and BLOB, every
//! statement the common subset). Opens it, brings its schema forward, and hands out transactions:
//! one writer at a time, any number of readers. Schemas only go forward; an older program refuses
//! a newer database.

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Executor, Row, Transaction};
use std::path::Path;
use std::time::Duration;

use shared::money::Amount;

/// Readers at one time; more wait.
pub const READERS_MAX: u32 = 4;
/// How long a statement or a caller waits for its turn before it fails.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// Every change of the schema, in order. Only ever appended to.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "accounts", include_str!("sql/0001_accounts.sql")),
    (2, "ledger", include_str!("sql/0002_ledger.sql")),
];

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The engine, or the way to it.
    #[error("database: {0}")]
    Engine(#[from] sqlx::Error),
    /// The database is of a newer program.
    #[error("the database has schema {found}, this program knows {known}: use the newer program")]
    TooNew {
        /// The schema that it has.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A value that no version of this program writes.
    #[error("the database holds a {what} that makes no sense: {value:?}")]
    Corrupt {
        /// What it should be.
        what: &'static str,
        /// What is there.
        value: String,
    },
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: AnyPool,
    readers: AnyPool,
}

impl Database {
    /// Opens the SQLite database in the file `path`, makes it if need be, and brings its schema
    /// forward.
    ///
    /// # Errors
    /// When the file can't be used or is of a newer program.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite:{}?mode=rwc", percent_encoded(path));
        let pool = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(WAIT_MAX)
                .idle_timeout(None)
                .max_lifetime(None)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        // FULL: what was acknowledged survives a loss of power.
                        for pragma in [
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA busy_timeout = 5000",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            connection.execute(pragma).await?;
                        }
                        Ok(())
                    })
                })
        };
        // SQLite has one writer: let callers queue here, not in its busy loop.
        let database = Self {
            writer: pool(1).connect(&url).await?,
            readers: pool(READERS_MAX).connect(&url).await?,
        };
        database.migrate().await?;
        Ok(database)
    }

    /// Begins a transaction that may write. Dropped without a commit, it leaves no trace.
    ///
    /// # Errors
    /// When the engine fails or the queue is longer than [`WAIT_MAX`].
    pub async fn write(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        Ok(self.writer.begin().await?)
    }

    /// Where to read. One statement sees one state; for more, begin a transaction on it.
    #[must_use]
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// Waits for the connections to end and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self) -> Result<(), DatabaseError> {
        let mut transaction = self.write().await?;
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
        for (version, name, script) in MIGRATIONS.iter().filter(|(v, _, _)| *v > found) {
            for statement in statements(script) {
                transaction.execute(statement).await?;
            }
            sqlx::query("INSERT INTO schema_migrations (version, name) VALUES ($1, $2)")
                .bind(*version)
                .bind(*name)
                .execute(&mut *transaction)
                .await?;
            tracing::info!(version, name, "database schema brought forward");
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// The statements of a script: they end in `;` at the end of a line.
fn statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script
        .split(";\n")
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
}

/// A path as it stands in a URL.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write;
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            url.push(char::from(*byte));
        } else {
            let _ = write!(url, "%{byte:02x}");
        }
        url
    })
}

/// The amount in two columns: whole nano-dollars at `column`, the pico remainder after it.
///
/// # Errors
/// When the columns are not there.
pub fn amount(row: &AnyRow, column: usize) -> Result<Amount, sqlx::Error> {
    let nano: i64 = row.try_get(column)?;
    let pico_rem: i64 = row.try_get(column + 1)?;
    Ok(Amount::from_nano(nano, pico_rem))
}

/// A count or a time out of a BIGINT; below zero is none of ours and becomes zero.
///
/// # Errors
/// When the column is not there.
pub fn unsigned(row: &AnyRow, column: usize) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    Ok(u64::try_from(value).unwrap_or_default())
}

/// A count or a time for a BIGINT; what doesn't fit becomes the largest.
#[must_use]
pub fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_again_and_refuses_a_newer_schema() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd name? 100%.db");
        let database = Database::open(&path).await.unwrap();
        assert!(path.exists());
        database.close().await;
        let database = Database::open(&path).await.unwrap();
        let pragma = |name: &'static str| {
            let database = database.clone();
            async move { database.readers().fetch_one(name).await.unwrap() }
        };
        let mode: String = pragma("PRAGMA journal_mode").await.get(0);
        assert_eq!(mode, "wal");
        let synchronous: i64 = pragma("PRAGMA synchronous").await.get(0);
        assert_eq!(synchronous, 2);
        let mut transaction = database.write().await.unwrap();
        transaction
            .execute("INSERT INTO schema_migrations (version, name) VALUES (999, 'x')")
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        database.close().await;
        let refused = Database::open(&path).await.err().unwrap();
        assert!(matches!(refused, DatabaseError::TooNew { found: 999, .. }));
    }

    #[test]
    fn a_script_is_cut_at_line_ends_only() {
        let cut: Vec<_> = statements("A ';' B;\nC;\n\n").collect();
        assert_eq!(cut, ["A ';' B", "C"]);
    }
}
