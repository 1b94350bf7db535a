//! Log-in: a password for a session. The browser holds a random token, the database its hash and
//! its end. Attempts are counted per address and client network and bounded; an attempt that is turned
//! away says nothing of whether somebody has that address. Deliberately not here: log-in by an OpenID
//! provider (`identities`), which ends in the same session.

mod attempts;

use super::people::{Role, check_email, role_of};
use super::{Accounts, AccountsError, Org, audit, password, random_hex};
use crate::sql::{bigint, unsigned};
use shared::id::{OrgId, UserId};
use shared::key::KeyHash;
use sqlx::{AnyConnection, Row};
use std::fmt;
use std::time::Duration;

pub(super) use attempts::Attempts;
pub use attempts::{
    ATTEMPTED_MAX, ATTEMPTS_ANYWHERE_MAX, ATTEMPTS_MAX, ATTEMPTS_WITHIN, NETWORKS_MAX, Network,
};

/// How long a session lasts, whatever happens in it.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one person; one more ends the oldest.
pub const SESSIONS_MAX: i64 = 20;

/// What a browser holds. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    /// A new one.
    pub(super) fn generate() -> Result<Self, AccountsError> {
        Ok(Self(format!("gws-{}", random_hex::<32>()?)))
    }

    /// A token that a browser has sent.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The token itself, for the browser.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What a page must send along with each change, so that no other site's page can make one:
    /// only a page that was answered to can know it.
    #[must_use]
    pub fn against_forgery(&self) -> String {
        KeyHash::of(&format!("csrf {}", self.0)).to_string()
    }

    fn id(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// Who is logged in, and what they are where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// In lower case.
    pub email: String,
    /// As they are called.
    pub name: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
    /// The organisations that they are in, in the order of joining.
    pub orgs: Vec<(Org, Role)>,
}

/// What came of an attempt to log in.
#[derive(Debug)]
pub enum LogIn {
    /// For the browser.
    Done(SessionToken),
    /// Nobody has this address and this password.
    Wrong,
    /// Too many attempts; another may be made after this.
    TooMany(Duration),
}

impl Accounts {
    /// Logs somebody in who comes from this network.
    ///
    /// # Errors
    /// When too many try at once, or the database fails.
    pub async fn log_in(
        &self,
        email: &str,
        text: &str,
        network: Network,
    ) -> Result<LogIn, AccountsError> {
        let Ok(email) = check_email(email) else {
            return Ok(LogIn::Wrong);
        };
        let row = sqlx::query("SELECT id, password FROM users WHERE email = $1 AND disabled = 0")
            .bind(email.as_str())
            .fetch_optional(self.database.readers())
            .await?;
        let (user, kept) = match &row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (String::new(), String::new()),
        };
        let (attempts, now) = (&self.attempts, self.clock.now());
        if let Err(wait) = attempts.count(&email, network, row.is_some(), now) {
            return Ok(LogIn::TooMany(wait));
        }
        if !password::verified(text.to_owned(), kept.clone()).await? {
            return Ok(LogIn::Wrong);
        }
        attempts.succeeded(&email, network, now);
        let token = SessionToken::generate()?;
        let mut transaction = self.database.write().await?;
        let begun = self.begin_session(&mut transaction, &token, &user, Some(&kept));
        if !begun.await? {
            return Ok(LogIn::Wrong);
        }
        transaction.commit().await?;
        Ok(LogIn::Done(token))
    }

    /// False when they may not log in, or the password that was looked at has changed since.
    pub(super) async fn begin_session(
        &self,
        connection: &mut AnyConnection,
        token: &SessionToken,
        user: &str,
        kept: Option<&str>,
    ) -> Result<bool, AccountsError> {
        let (now, now_s) = (self.clock.unix_ms(), self.clock.unix_s());
        let begun = sqlx::query(
            "INSERT INTO sessions (id, user_id, created_unix_ms, expires_unix_s)
             SELECT $1, id, $2, $3 FROM users
             WHERE id = $4 AND disabled = 0 AND ($5 = 0 OR password = $6)",
        )
        .bind(token.id().to_string())
        .bind(bigint(now))
        .bind(bigint(now_s + SESSION_LIFE.as_secs()))
        .bind(user)
        .bind(i64::from(kept.is_some()))
        .bind(kept.unwrap_or_default())
        .execute(&mut *connection)
        .await?;
        if begun.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "DELETE FROM sessions WHERE expires_unix_s <= $1 OR id IN (
                 SELECT id FROM sessions WHERE user_id = $2
                 ORDER BY created_unix_ms DESC, id LIMIT 1000 OFFSET $3)",
        )
        .bind(bigint(now_s))
        .bind(user)
        .bind(SESSIONS_MAX)
        .execute(&mut *connection)
        .await?;
        let actor = format!("user/{user}");
        audit::append(connection, now, &actor, "user.log_in", user).await?;
        Ok(true)
    }

    /// Who is logged in with this token; none when it is over or never was.
    ///
    /// # Errors
    /// When the database fails: then nobody can say.
    pub async fn session(&self, token: &SessionToken) -> Result<Option<Session>, AccountsError> {
        let row = sqlx::query(
            "SELECT u.id, u.email, u.name, s.expires_unix_s
             FROM sessions s JOIN users u ON u.id = s.user_id
             WHERE s.id = $1 AND s.expires_unix_s > $2 AND u.disabled = 0",
        )
        .bind(token.id().to_string())
        .bind(bigint(self.clock.unix_s()))
        .fetch_optional(self.database.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let user = UserId::from(row.try_get::<String, _>(0)?);
        Ok(Some(Session {
            orgs: self.orgs_of(&user).await?,
            user,
            email: row.try_get(1)?,
            name: row.try_get(2)?,
            expires_at: unsigned(&row, 3)?,
        }))
    }

    /// Ends a session. One that is over stays over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_out(&self, token: &SessionToken) -> Result<(), AccountsError> {
        let mut transaction = self.database.write().await?;
        let id = token.id().to_string();
        let row = sqlx::query("DELETE FROM sessions WHERE id = $1 RETURNING user_id")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = row {
            let user: String = row.try_get(0)?;
            let (now, actor) = (self.clock.unix_ms(), format!("user/{user}"));
            audit::append(&mut transaction, now, &actor, "user.log_out", &user).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn orgs_of(&self, user: &UserId) -> Result<Vec<(Org, Role)>, AccountsError> {
        let rows = sqlx::query(
            "SELECT o.id, o.name, m.role FROM members m JOIN orgs o ON o.id = m.org
             WHERE m.user_id = $1 ORDER BY m.created_unix_ms, o.id",
        )
        .bind(user.as_str())
        .fetch_all(self.database.readers())
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            let org = Org {
                id: OrgId::from(row.try_get::<String, _>(0)?),
                name: row.try_get(1)?,
            };
            Ok((org, role_of(row.try_get(2)?)?))
        };
        rows.iter().map(read).collect()
    }
}
