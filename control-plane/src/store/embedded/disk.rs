//! The embedded store's file: one SQLite connection that writes ahead and syncs each commit. It
//! promises that a change and its revision are on disk together or not at all.

use super::{Entry, Epoch, Key, Revision, StoreError};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How long to wait for a process that is about to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS store_entry (
    path TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL,
    revision BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS store_counter (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO store_counter VALUES ('revision', 0), ('epoch', 0) ON CONFLICT DO NOTHING;
";

/// The open file.
pub(super) struct Disk {
    connection: SqliteConnection,
}

/// All that is in the file.
pub(super) struct State {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) revision: Revision,
    pub(super) epoch: Epoch,
}

impl Disk {
    pub(super) async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let mut connection = options.connect().await.map_err(failed)?;
        sqlx::raw_sql(SCHEMA)
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        Ok(Self { connection })
    }

    pub(super) async fn load(&mut self) -> Result<State, StoreError> {
        let mut snapshot = self.connection.begin().await.map_err(failed)?;
        let rows = sqlx::query("SELECT path, value, revision FROM store_entry")
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)?;
        let counters = sqlx::query("SELECT name, value FROM store_counter")
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)?;
        snapshot.commit().await.map_err(failed)?;
        let mut state = State {
            entries: BTreeMap::new(),
            revision: Revision(0),
            epoch: Epoch(0),
        };
        for row in &rows {
            let path: String = row.try_get("path").map_err(failed)?;
            // A kind of key that a newer version wrote is left alone.
            let Some(key) = Key::parse(&path) else {
                continue;
            };
            let value = row.try_get("value").map_err(failed)?;
            let revision = Revision(number(row, "revision")?);
            state.entries.insert(
                path,
                Entry {
                    key,
                    value,
                    revision,
                },
            );
        }
        for row in &counters {
            let name: String = row.try_get("name").map_err(failed)?;
            match name.as_str() {
                "revision" => state.revision = Revision(number(row, "value")?),
                "epoch" => state.epoch = Epoch(number(row, "value")?),
                _ => {}
            }
        }
        Ok(state)
    }

    pub(super) async fn write(
        &mut self,
        path: &str,
        value: Option<&[u8]>,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let number = signed(revision.0)?;
        let mut transaction = self.connection.begin().await.map_err(failed)?;
        let change = match value {
            Some(value) => sqlx::query(
                "INSERT INTO store_entry (path, value, revision) VALUES ($1, $2, $3) \
                 ON CONFLICT (path) DO UPDATE SET value = $2, revision = $3",
            )
            .bind(path.to_owned())
            .bind(value.to_vec())
            .bind(number),
            None => sqlx::query("DELETE FROM store_entry WHERE path = $1").bind(path.to_owned()),
        };
        change.execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("UPDATE store_counter SET value = $1 WHERE name = 'revision'")
            .bind(number)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    pub(super) async fn write_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        sqlx::query("UPDATE store_counter SET value = $1 WHERE name = 'epoch'")
            .bind(signed(epoch.0)?)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(failed)
    }
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column).map_err(failed)?;
    u64::try_from(value).map_err(|_| StoreError::Unavailable(format!("{column} is negative")))
}

fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Unavailable("a counter is full".to_owned()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of map_err"
)]
fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
