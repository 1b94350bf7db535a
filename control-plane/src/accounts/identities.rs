//! Log-in of people whom an OpenID provider vouches for: its name for them, (issuer, subject), is
//! kept beside the person, so that a change of their address changes nothing. Who comes for the
//! first time is found by their verified address, or joins where that is allowed. What the provider
//! says is verified by [`crate::oidc`], not here.

use super::people::{Role, by_email, check_email, choose_password, insert_member, insert_user};
use super::sessions::SessionToken;
use super::{Accounts, AccountsError, Change, audit, check_name, events, keys, orgs, random_id};
use crate::sql::bigint;
use shared::id::{OrgId, UserId};
use sqlx::{AnyConnection, Row};

/// Longest subject, in bytes (OpenID Connect Core, section 2).
pub const SUBJECT_LENGTH_MAX: usize = 255;
/// Who appears in the audit log for somebody who joins by themselves.
const ACTOR: &str = "oidc";

/// Somebody, as an OpenID provider vouches for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vouched {
    /// Which provider.
    pub issuer: String,
    /// The provider's own name for them.
    pub subject: String,
    /// Their address, which the provider has verified.
    pub email: String,
    /// As they are called; may be empty.
    pub name: String,
}

/// Whom nobody knows yet and who is let in all the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joining {
    /// The domains of their addresses, in lower case.
    pub domains: Vec<String>,
    /// Which organisation they join; empty: the first.
    pub org: OrgId,
    /// As what.
    pub role: Role,
}

/// What came of it.
#[derive(Debug)]
pub enum VouchedLogIn {
    /// For the browser.
    Done(SessionToken),
    /// Nobody has this address, and it is not of a domain whose people may join.
    Unknown,
    /// Somebody has this address who is somebody else at the provider.
    Another,
    /// They may not log in.
    Disabled,
}

impl Joining {
    fn admits(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|allowed| allowed == domain))
    }
}

impl Accounts {
    /// Logs in whom a provider vouches for.
    ///
    /// # Errors
    /// When the address or the subject can't be one, there is no such organisation to join, or the
    /// database fails.
    pub async fn log_in_vouched(
        &self,
        who: &Vouched,
        joining: Option<&Joining>,
    ) -> Result<VouchedLogIn, AccountsError> {
        match self.try_vouched(who, joining).await {
            // The same person in two windows: whoever was second finds what the first has made.
            Err(AccountsError::Database(error)) if error.is_conflict() => {
                self.try_vouched(who, joining).await
            }
            done => done,
        }
    }

    async fn try_vouched(
        &self,
        who: &Vouched,
        joining: Option<&Joining>,
    ) -> Result<VouchedLogIn, AccountsError> {
        let email = check_email(&who.email)?;
        check_subject(&who.subject)?;
        let mut transaction = self.database.write().await?;
        let known = by_identity(&mut transaction, who).await?;
        let user = match known {
            Some(user) => user,
            None => {
                let user = match by_email(&mut transaction, &email).await? {
                    Some((user, _)) if is_linked(&mut transaction, who, &user).await? => {
                        return Ok(VouchedLogIn::Another);
                    }
                    Some((user, _)) => {
                        take_over(&mut transaction, &user).await?;
                        user
                    }
                    None => match joining.filter(|joining| joining.admits(&email)) {
                        Some(joining) => {
                            let person = (email.as_str(), who.name.as_str());
                            self.join(&mut transaction, person, joining).await?
                        }
                        None => return Ok(VouchedLogIn::Unknown),
                    },
                };
                self.link(&mut transaction, who, (&user, &email)).await?;
                user
            }
        };
        let token = SessionToken::generate()?;
        let begun = self.begin_session(&mut transaction, &token, user.as_str(), None);
        if !begun.await? {
            return Ok(VouchedLogIn::Disabled);
        }
        transaction.commit().await?;
        Ok(VouchedLogIn::Done(token))
    }

    async fn join(
        &self,
        connection: &mut AnyConnection,
        (email, name): (&str, &str),
        joining: &Joining,
    ) -> Result<UserId, AccountsError> {
        let now = self.clock.unix_ms();
        let org = orgs::find(connection, Some(&joining.org)).await?;
        let user = UserId::from(random_id("user")?);
        // A name that can't be one is no reason to keep somebody out.
        let name = check_name("name", name).map_or("", |()| name);
        insert_user(connection, (&user, email, name), "", now).await?;
        insert_member(connection, ACTOR, (&org, &user, joining.role), now).await?;
        Ok(user)
    }

    async fn link(
        &self,
        connection: &mut AnyConnection,
        who: &Vouched,
        (user, email): (&UserId, &str),
    ) -> Result<(), AccountsError> {
        let now = self.clock.unix_ms();
        sqlx::query(
            "INSERT INTO identities (issuer, subject, user_id, email, created_unix_ms)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(who.issuer.as_str())
        .bind(who.subject.as_str())
        .bind(user.as_str())
        .bind(email)
        .bind(bigint(now))
        .execute(&mut *connection)
        .await?;
        let object = format!("{user} {} {}", who.issuer, who.subject);
        audit::append(connection, now, ACTOR, "user.link", &object).await?;
        Ok(())
    }

    /// Forgets who somebody is at every provider: the next log-in finds them by their address anew.
    /// Gives how many identities there were. Every browser that they are logged in with is logged
    /// out.
    ///
    /// # Errors
    /// When nobody has this address, or the database fails.
    pub async fn unlink(&self, actor: &str, email: &str) -> Result<(UserId, u64), AccountsError> {
        let mut transaction = self.database.write().await?;
        let user = person(&mut transaction, email).await?;
        let unlinked = sqlx::query("DELETE FROM identities WHERE user_id = $1")
            .bind(user.as_str())
            .execute(&mut *transaction)
            .await?;
        end_sessions(&mut transaction, &user).await?;
        let now = self.clock.unix_ms();
        audit::append(&mut transaction, now, actor, "user.unlink", user.as_str()).await?;
        transaction.commit().await?;
        Ok((user, unlinked.rows_affected()))
    }

    /// Lets somebody log in, or no longer, in no way; every browser that they are logged in with is
    /// logged out, and the keys that they have made, wherever, are disabled. Who may log in again
    /// finds their keys disabled: which of them are wanted is for an administrator to say.
    ///
    /// # Errors
    /// When nobody has this address, or the database fails.
    pub async fn set_disabled(
        &self,
        actor: &str,
        email: &str,
        disabled: bool,
    ) -> Result<UserId, AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        events::lock(&mut transaction).await?;
        let user = person(&mut transaction, email).await?;
        sqlx::query("UPDATE users SET disabled = $1 WHERE id = $2")
            .bind(i64::from(disabled))
            .bind(user.as_str())
            .execute(&mut *transaction)
            .await?;
        let action = match disabled {
            true => "user.disable",
            false => "user.enable",
        };
        let mut sequence = None;
        if disabled {
            end_sessions(&mut transaction, &user).await?;
            for org in keys::orgs_of_maker(&mut transaction, &user).await? {
                sequence =
                    Some(events::append(&mut transaction, now, &Change::Org(org.clone())).await?);
                keys::disable_of(&mut transaction, &org, &user, now).await?;
            }
        }
        audit::append(&mut transaction, now, actor, action, user.as_str()).await?;
        transaction.commit().await?;
        if let Some(sequence) = sequence {
            self.announce(sequence);
        }
        Ok(user)
    }
}

async fn by_identity(
    connection: &mut AnyConnection,
    who: &Vouched,
) -> Result<Option<UserId>, AccountsError> {
    let row = sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
        .bind(who.issuer.as_str())
        .bind(who.subject.as_str())
        .fetch_optional(connection)
        .await?;
    let read = |row: sqlx::any::AnyRow| row.try_get::<String, _>(0).map(UserId::from);
    Ok(row.map(read).transpose()?)
}

/// True when they are somebody else at this provider already. The same in another window is found
/// when they are linked.
async fn is_linked(
    connection: &mut AnyConnection,
    who: &Vouched,
    user: &UserId,
) -> Result<bool, AccountsError> {
    let row = sqlx::query(
        "SELECT 1 FROM identities WHERE issuer = $1 AND user_id = $2 AND subject <> $3",
    )
    .bind(who.issuer.as_str())
    .bind(user.as_str())
    .bind(who.subject.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

async fn person(connection: &mut AnyConnection, email: &str) -> Result<UserId, AccountsError> {
    let email = check_email(email)?;
    let found = by_email(connection, &email).await?;
    let (user, _) = found.ok_or_else(|| AccountsError::no_such("person", &email))?;
    Ok(user)
}

/// A person whom the provider vouches for has their account for themselves: whoever made it may
/// have chosen the password, and nobody had shown that the address was theirs.
async fn take_over(connection: &mut AnyConnection, user: &UserId) -> Result<(), AccountsError> {
    choose_password(connection, user, "", "").await
}

async fn end_sessions(connection: &mut AnyConnection, user: &UserId) -> Result<(), AccountsError> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn check_subject(subject: &str) -> Result<(), AccountsError> {
    let plain = subject
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain && (1..=SUBJECT_LENGTH_MAX).contains(&subject.len()) {
        return Ok(());
    }
    let reason = format!("1 to {SUBJECT_LENGTH_MAX} printable ASCII characters are expected");
    Err(AccountsError::invalid("subject", reason))
}

#[cfg(test)]
mod tests;
