//! People and what they are in organisations. Somebody who leaves an organisation takes nothing
//! along: the keys that they have made there are disabled. An organisation that has people always
//! keeps an administrator.

mod known;

use super::password::{self, PasswordHash};
use super::{
    Accounts, AccountsError, Change, LIST_MAX, audit, check_id, check_name, events, keys, orgs,
    random_id,
};
use crate::sql::{DatabaseError, bigint, unsigned};
use shared::id::{OrgId, UserId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

pub(super) use known::choose_password;
use known::{begin_anew, orgs_of};

/// Longest address, in bytes (RFC 5321's path less its brackets).
const EMAIL_LENGTH_MAX: usize = 254;

/// What somebody may do in an organisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Everything.
    Admin,
    /// Keys of their own; and see what is used.
    Member,
}

impl Role {
    /// The word for it, as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Admin, Self::Member]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// Somebody in an organisation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// In lower case.
    pub email: String,
    /// As they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Milliseconds since 1970 when they joined.
    pub joined_unix_ms: u64,
}

/// Somebody who joins an organisation.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Who is known by another address is another person.
    pub email: String,
    /// As they are called; of somebody who is known already, it stays as it is.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they log in with; only of somebody who is not known yet.
    pub password: Option<PasswordHash>,
    /// An operator adds them, who vouches for people of all organisations; otherwise the
    /// organisation does, which vouches for its own only.
    pub operator: bool,
}

impl Accounts {
    /// Takes somebody into an organisation, and into Godwit when nobody has this address yet. Who
    /// was left without any organisation begins anew.
    ///
    /// # Errors
    /// When a value can't be accepted, they are in it, a password is given for somebody who has
    /// one of their own, nobody but another organisation says that the address is theirs, or the
    /// database fails.
    pub async fn add_member(
        &self,
        actor: &str,
        org: &OrgId,
        new: &NewMember,
    ) -> Result<Member, AccountsError> {
        let email = check_email(&new.email)?;
        check_name("name", &new.name)?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let org = orgs::find(&mut transaction, Some(org)).await?;
        let (user, name) = match self.known(&mut transaction, &email).await? {
            Some(known) if known.is_free() => {
                begin_anew(&mut transaction, &known.user, &new.name).await?;
                (known.user, new.name.clone())
            }
            Some(known) => {
                known.may_join(&org, new)?;
                (known.user, known.name)
            }
            None => {
                let user = UserId::from(random_id("user")?);
                insert_user(&mut transaction, (&user, &email, &new.name), "", now).await?;
                (user, new.name.clone())
            }
        };
        if let Some(hash) = &new.password {
            let chosen_by = if new.operator { "" } else { org.as_str() };
            choose_password(&mut transaction, &user, hash.as_str(), chosen_by).await?;
        }
        insert_member(&mut transaction, actor, (&org, &user, new.role), now).await?;
        transaction.commit().await?;
        Ok(Member {
            user,
            email,
            name,
            role: new.role,
            joined_unix_ms: now,
        })
    }

    /// Who is in an organisation, in the order of joining; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn members(&self, org: &OrgId) -> Result<Vec<Member>, AccountsError> {
        let rows = sqlx::query(
            "SELECT u.id, u.email, u.name, m.role, m.created_unix_ms
             FROM members m JOIN users u ON u.id = m.user_id
             WHERE m.org = $1 ORDER BY m.created_unix_ms, u.id LIMIT $2",
        )
        .bind(org.as_str())
        .bind(LIST_MAX)
        .fetch_all(self.database.readers())
        .await?;
        rows.iter().map(member_of).collect()
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// When there is no such member, they are the last administrator, or the database fails.
    pub async fn set_role(
        &self,
        actor: &str,
        org: &OrgId,
        user: &UserId,
        role: Role,
    ) -> Result<(), AccountsError> {
        check_id("member", user.as_str())?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        self.must_stay_led(&mut transaction, org, user, role == Role::Admin)
            .await?;
        let changed = sqlx::query("UPDATE members SET role = $1 WHERE org = $2 AND user_id = $3")
            .bind(role.as_str())
            .bind(org.as_str())
            .bind(user.as_str())
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(AccountsError::no_such("member", user.as_str()));
        }
        let object = format!("{org} {user} {}", role.as_str());
        audit::append(&mut transaction, now, actor, "member.role", &object).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes somebody out of an organisation and its workspaces, and disables the keys that they
    /// have made. Who was in no other is logged out, and their password is forgotten.
    ///
    /// # Errors
    /// When there is no such member, they are the last administrator, or the database fails.
    pub async fn remove_member(
        &self,
        actor: &str,
        org: &OrgId,
        user: &UserId,
    ) -> Result<(), AccountsError> {
        check_id("member", user.as_str())?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let change = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &change).await?;
        self.must_stay_led(&mut transaction, org, user, false)
            .await?;
        let removed = sqlx::query("DELETE FROM members WHERE org = $1 AND user_id = $2")
            .bind(org.as_str())
            .bind(user.as_str())
            .execute(&mut *transaction)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(AccountsError::no_such("member", user.as_str()));
        }
        sqlx::query(
            "DELETE FROM workspace_members WHERE user_id = $1
               AND workspace IN (SELECT id FROM workspaces WHERE org = $2)",
        )
        .bind(user.as_str())
        .bind(org.as_str())
        .execute(&mut *transaction)
        .await?;
        for statement in [
            "DELETE FROM limits WHERE org = $1 AND scope = 'member' AND id = $2",
            "DELETE FROM guardrail_assignments WHERE org = $1 AND kind = 'member' AND subject = $2",
        ] {
            sqlx::query(statement)
                .bind(org.as_str())
                .bind(user.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        keys::disable_of(&mut transaction, org, user, now).await?;
        if orgs_of(&mut transaction, user).await?.is_empty() {
            choose_password(&mut transaction, user, "", "").await?;
        }
        let object = format!("{org} {user}");
        audit::append(&mut transaction, now, actor, "member.remove", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }

    /// Somebody's new password; every browser that they are logged in with is logged out.
    ///
    /// # Errors
    /// When nobody has this address, or the database fails.
    pub async fn set_password(
        &self,
        actor: &str,
        email: &str,
        hash: &PasswordHash,
    ) -> Result<UserId, AccountsError> {
        let email = check_email(email)?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let Some((user, _)) = by_email(&mut transaction, &email).await? else {
            return Err(AccountsError::no_such("person", &email));
        };
        choose_password(&mut transaction, &user, hash.as_str(), "").await?;
        audit::append(&mut transaction, now, actor, "user.password", user.as_str()).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Fails when the organisation would be left without an administrator.
    async fn must_stay_led(
        &self,
        connection: &mut AnyConnection,
        org: &OrgId,
        user: &UserId,
        admin: bool,
    ) -> Result<(), AccountsError> {
        if admin {
            return Ok(());
        }
        // All of them are locked: two administrators who demote each other take turns.
        let sql = format!(
            "SELECT user_id FROM members WHERE org = $1 AND role = 'admin' ORDER BY user_id{}",
            self.database.engine().for_update()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(org.as_str())
            .fetch_all(connection)
            .await?;
        let admins = rows.iter().map(|row| row.try_get::<String, _>(0));
        let admins = admins.collect::<Result<Vec<_>, _>>()?;
        if admins.len() == 1 && admins.iter().any(|admin| admin == user.as_str()) {
            let text = "an organisation keeps at least one administrator".to_owned();
            return Err(AccountsError::Conflict(text));
        }
        Ok(())
    }
}

/// Takes somebody who is known into an organisation.
pub(super) async fn insert_member(
    connection: &mut AnyConnection,
    actor: &str,
    (org, user, role): (&OrgId, &UserId, Role),
    now: u64,
) -> Result<(), AccountsError> {
    let added = sqlx::query(
        "INSERT INTO members (org, user_id, role, created_unix_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(org.as_str())
    .bind(user.as_str())
    .bind(role.as_str())
    .bind(bigint(now))
    .execute(&mut *connection)
    .await?;
    if added.rows_affected() == 0 {
        let text = format!("{user} is a member already");
        return Err(AccountsError::Conflict(text));
    }
    let object = format!("{org} {user} {}", role.as_str());
    audit::append(connection, now, actor, "member.add", &object).await?;
    Ok(())
}

pub(super) async fn insert_user(
    connection: &mut AnyConnection,
    (user, email, name): (&UserId, &str, &str),
    hash: &str,
    now: u64,
) -> Result<(), AccountsError> {
    sqlx::query(
        "INSERT INTO users (id, email, name, password, created_unix_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(user.as_str())
    .bind(email)
    .bind(name)
    .bind(hash)
    .bind(bigint(now))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_email(
    connection: &mut AnyConnection,
    email: &str,
) -> Result<Option<(UserId, String)>, AccountsError> {
    let row = sqlx::query("SELECT id, name FROM users WHERE email = $1")
        .bind(email)
        .fetch_optional(connection)
        .await?;
    let read = |row: AnyRow| Ok((UserId::from(row.try_get::<String, _>(0)?), row.try_get(1)?));
    row.map(read).transpose()
}

fn member_of(row: &AnyRow) -> Result<Member, AccountsError> {
    Ok(Member {
        user: UserId::from(row.try_get::<String, _>(0)?),
        email: row.try_get(1)?,
        name: row.try_get(2)?,
        role: role_of(row.try_get(3)?)?,
        joined_unix_ms: unsigned(row, 4)?,
    })
}

pub(super) fn role_of(text: String) -> Result<Role, DatabaseError> {
    Role::of(&text).ok_or(DatabaseError::Corrupt {
        what: "role",
        value: text,
    })
}

/// An address in the form that it is kept in: lower case, one `@` between two parts.
pub(super) fn check_email(text: &str) -> Result<String, AccountsError> {
    let (local, domain) = text.split_once('@').unwrap_or_default();
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= EMAIL_LENGTH_MAX;
    if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') {
        return Ok(text.to_ascii_lowercase());
    }
    let reason = "an address such as ada@example.com is expected";
    Err(AccountsError::invalid("email", reason))
}

/// Makes a hash of a password on a thread for such work.
///
/// # Errors
/// When it is too short or too long, or too many are being made.
pub async fn hashed(text: String) -> Result<PasswordHash, AccountsError> {
    password::hashed(text).await
}

#[cfg(test)]
mod tests;
