//! Who is known already when an organisation adds somebody. An organisation vouches for its own
//! people only: with a password that it has chosen nobody comes into another one.

use super::NewMember;
use crate::accounts::{Accounts, AccountsError, LIST_MAX};
use shared::id::{OrgId, UserId};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// Somebody who is known.
pub(super) struct Known {
    pub(super) user: UserId,
    pub(super) name: String,
    /// The organisation that has chosen their password; empty is none.
    password_by: String,
    /// A provider of identities has said that the address is theirs.
    verified: bool,
    orgs: Vec<OrgId>,
}

impl Accounts {
    /// Who has this address, held until the transaction ends: of two organisations that add the
    /// same person the second finds what the first has made of them.
    pub(super) async fn known(
        &self,
        connection: &mut AnyConnection,
        email: &str,
    ) -> Result<Option<Known>, AccountsError> {
        let sql = format!(
            "SELECT id, name, password_by FROM users WHERE email = $1{}",
            self.database.engine().for_update()
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(email)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let user = UserId::from(row.try_get::<String, _>(0)?);
        let verified = sqlx::query("SELECT 1 FROM identities WHERE user_id = $1 LIMIT 1")
            .bind(user.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        Ok(Some(Known {
            orgs: orgs_of(connection, &user).await?,
            user,
            name: row.try_get(1)?,
            password_by: row.try_get(2)?,
            verified: verified.is_some(),
        }))
    }
}

impl Known {
    /// Nobody's, and nobody has shown that the address is theirs.
    pub(super) fn is_free(&self) -> bool {
        self.orgs.is_empty() && !self.verified
    }

    /// Fails when somebody else could come in as this person: whoever has chosen their password.
    pub(super) fn may_join(&self, org: &OrgId, new: &NewMember) -> Result<(), AccountsError> {
        let refused = |text: &str| Err(AccountsError::Conflict(text.to_owned()));
        if new.password.is_some() {
            return refused("somebody with this address is known and has their own password");
        }
        if self.verified || self.orgs.contains(org) {
            return Ok(());
        }
        if !new.operator {
            return refused(
                "somebody with this address is in another organisation, and nobody else has said \
                 that it is theirs: they can be added when they have logged in by OpenID, or by an \
                 operator",
            );
        }
        if !self.password_by.is_empty() && self.password_by != org.as_str() {
            return refused(
                "another organisation has chosen this person's password: give them another one \
                 first (godwit admin members password)",
            );
        }
        Ok(())
    }
}

/// The organisations that somebody is in.
pub(super) async fn orgs_of(
    connection: &mut AnyConnection,
    user: &UserId,
) -> Result<Vec<OrgId>, AccountsError> {
    let rows = sqlx::query("SELECT org FROM members WHERE user_id = $1 ORDER BY org LIMIT $2")
        .bind(user.as_str())
        .bind(LIST_MAX)
        .fetch_all(connection)
        .await?;
    let orgs = rows.iter().map(|row| row.try_get::<String, _>(0));
    Ok(orgs
        .map(|org| org.map(OrgId::from))
        .collect::<Result<_, _>>()?)
}

/// Somebody whom no organisation has: what is left of before is over.
pub(super) async fn begin_anew(
    connection: &mut AnyConnection,
    user: &UserId,
    name: &str,
) -> Result<(), AccountsError> {
    sqlx::query("UPDATE users SET name = $1 WHERE id = $2")
        .bind(name)
        .bind(user.as_str())
        .execute(&mut *connection)
        .await?;
    choose_password(connection, user, "", "").await
}

/// Keeps what somebody logs in with and the organisation that has chosen it, if one has; and logs
/// them out.
pub(in crate::accounts) async fn choose_password(
    connection: &mut AnyConnection,
    user: &UserId,
    hash: &str,
    chosen_by: &str,
) -> Result<(), AccountsError> {
    sqlx::query("UPDATE users SET password = $1, password_by = $2 WHERE id = $3")
        .bind(hash)
        .bind(chosen_by)
        .bind(user.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
