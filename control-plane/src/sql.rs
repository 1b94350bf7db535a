//! The relational database under accounts and ledger: SQLite on one machine, PostgreSQL beyond it,
//! with one set of statements (placeholders `$1..$N`, no types beyond SMALLINT, BIGINT, TEXT and
//! BLOB, the common subset; what differs is in [`Engine`]). Opens it, brings its schema forward,
//! and hands out transactions. A database that can't be reached is an error and never an answer.

mod migrate;
pub mod rows;
mod source;

#[cfg(test)]
mod tests;

use rows::Cell;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Executor, Row, Transaction};
use std::path::Path;
use std::time::Duration;

use shared::money::Amount;

pub use source::{ServerUrl, Source};

/// Readers at one time; more wait.
pub const READERS_MAX: u32 = 4;
/// Writers at one time on PostgreSQL; more wait. SQLite has one.
pub const WRITERS_MAX: u32 = 8;
/// How long a caller waits for its turn, or for the way to the database, before it fails.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a connection to SQLite begins with. FULL: what was acknowledged survives a loss of power.
const SQLITE_SET_UP: [&str; 4] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
];
/// What a connection to PostgreSQL begins with, whatever the server's defaults are. Every row that
/// a transaction changes by what it has read is locked before it is read, so READ COMMITTED is
/// exact, and nobody fails for having come second. No statement and no lock holds others for long.
const POSTGRES_SET_UP: &str = "SET default_transaction_isolation = 'read committed';
     SET synchronous_commit = on;
     SET statement_timeout = '30s';
     SET lock_timeout = '5s';
     SET idle_in_transaction_session_timeout = '30s';
     SET application_name = 'godwit'";

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The engine, or the way to it.
    #[error("database: {0}")]
    Engine(#[from] sqlx::Error),
    /// Another transaction was first; nothing was written, and it can be tried again.
    #[error("database: another transaction was first")]
    Conflict,
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

impl DatabaseError {
    /// True when nothing was written only because of others' transactions: serialisation failure,
    /// deadlock, lock not had in time, or a unique value that somebody else has just taken.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Conflict => true,
            Self::Engine(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["40001", "40P01", "55P03", "23505"].contains(&code.as_ref())),
            Self::Engine(_) | Self::TooNew { .. } | Self::Corrupt { .. } => false,
        }
    }
}

/// Which database it is, for the few places where statements differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// One file, one writer.
    Sqlite,
    /// A server, many writers: rows are locked.
    Postgres,
}

impl Engine {
    /// Ends a SELECT whose rows are to be changed. SQLite's one writer needs none.
    #[must_use]
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Ends a SELECT whose rows must stay as they are until the transaction ends.
    #[must_use]
    pub fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// After a column: that its text is in the [`Engine::list`] bound as `$1`.
    #[must_use]
    pub fn in_list(self) -> &'static str {
        match self {
            Self::Sqlite => " IN (SELECT value FROM json_each($1))",
            Self::Postgres => " = ANY($1::text[])",
        }
    }

    /// Texts as one value to bind.
    #[must_use]
    pub fn list<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> String {
        match self {
            Self::Sqlite => serde_json::Value::from_iter(texts).to_string(),
            Self::Postgres => {
                let cells: Vec<_> = texts.into_iter().map(Cell::text).collect();
                rows::array(cells.iter())
            }
        }
    }
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    writer: AnyPool,
    readers: AnyPool,
}

impl Database {
    /// Opens the database, makes its file if need be, and brings its schema forward.
    ///
    /// # Errors
    /// When it can't be used or is of a newer program.
    pub async fn open(source: &Source) -> Result<Self, DatabaseError> {
        let database = Self::connect(source).await?;
        migrate::forward(&database).await?;
        Ok(database)
    }

    async fn connect(source: &Source) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        Ok(match source {
            Source::File(path) => {
                let url = format!("sqlite:{}?mode=rwc", percent_encoded(path));
                Self {
                    engine: Engine::Sqlite,
                    // SQLite has one writer: let callers queue here, not in its busy loop.
                    writer: pool(1, Engine::Sqlite).connect(&url).await?,
                    readers: pool(READERS_MAX, Engine::Sqlite).connect(&url).await?,
                }
            }
            Source::Server(url) => {
                let (url, engine) = (url.reveal(), Engine::Postgres);
                Self {
                    engine,
                    writer: pool(WRITERS_MAX, engine).connect(url).await?,
                    readers: pool(READERS_MAX, engine).connect(url).await?,
                }
            }
        })
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a transaction that may write. Dropped without a commit, it leaves no trace.
    ///
    /// # Errors
    /// When the engine fails or the queue is longer than [`WAIT_MAX`].
    pub async fn write(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let begin = match self.engine {
            // Another program at the same file is waited for now, not found out at a write.
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        Ok(self.writer.begin_with(begin).await?)
    }

    /// Where to read. One statement sees one state; for more, take a [`Database::snapshot`].
    #[must_use]
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// A transaction that reads one state of everything, for as long as it takes.
    ///
    /// # Errors
    /// When the engine fails or the queue is longer than [`WAIT_MAX`].
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        match self.engine {
            Engine::Sqlite => Ok(self.readers.begin().await?),
            Engine::Postgres => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let mut transaction = self.readers.begin_with(begin).await?;
                transaction
                    .execute("SET LOCAL statement_timeout = '1h'")
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// Waits for the connections to end and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Connections are tried before they are used: one that a restart of the server has broken is
/// replaced unseen.
fn pool(connections: u32, engine: Engine) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WAIT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(engine == Engine::Postgres)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                match engine {
                    Engine::Sqlite => {
                        for pragma in SQLITE_SET_UP {
                            connection.execute(pragma).await?;
                        }
                    }
                    Engine::Postgres => {
                        connection.execute(POSTGRES_SET_UP).await?;
                    }
                }
                Ok(())
            })
        })
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
