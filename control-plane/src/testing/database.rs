//! Databases of tests, and tests that run on each engine.

use crate::sql::{Database, Engine, Source};

/// A new database on either engine.
pub(crate) struct TestDatabase {
    pub(crate) database: Database,
    pub(crate) source: Source,
    _folder: tempfile::TempDir,
}

impl TestDatabase {
    pub(crate) async fn new(engine: Engine) -> Self {
        let (source, folder) = empty(engine);
        let database = Database::open(&source).await.unwrap();
        Self {
            database,
            source,
            _folder: folder,
        }
    }
}

/// Where an empty database is, and the folder that SQLite needs for it.
pub(crate) fn empty(engine: Engine) -> (Source, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = match engine {
        Engine::Sqlite => Source::File(folder.path().join("odd name? 100%.db")),
        Engine::Postgres => {
            let url = postgres_server::shared().database().unwrap();
            Source::Server(url.parse().unwrap())
        }
    };
    (source, folder)
}

/// Makes of each named function, which takes what `fixture` makes, a test on each engine.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::fixture(crate::sql::Engine::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::fixture(crate::sql::Engine::Postgres).await).await;
            })*
        }
    };
}
pub(crate) use on_both;
