//! Where the database is: a file, or a PostgreSQL server by its URL. The URL holds a password and
//! is never printed whole.

use sqlx::any::AnyConnectOptions;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What a URL of PostgreSQL begins with.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where the database is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// SQLite, in this file.
    File(PathBuf),
    /// PostgreSQL.
    Server(ServerUrl),
}

/// A URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The URL in clear.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Err("neither \"sqlite\" nor a postgres:// URL".to_owned());
        }
        // The reason could quote the URL, and with it the password.
        AnyConnectOptions::from_str(text).map_err(|_| "not a URL".to_owned())?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_never_shown() {
        let url: ServerUrl = "postgres://u:hidden@h:5433/d".parse().unwrap();
        assert!(!format!("{url:?}").contains("hidden"));
        for wrong in [
            "mysql://u:hidden@h/d",
            "postgres",
            "postgres://u:hidden@h:x/d",
        ] {
            let reason = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(!reason.contains("hidden"), "{reason}");
        }
    }
}
