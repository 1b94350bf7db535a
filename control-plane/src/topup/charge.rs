//! Charges: one line each in the database, from before the provider is asked to the credits.

use super::{
    AGAIN_MAX, AGAIN_MIN, CENT, FAILURES_MAX, KNOWN_FOR, Rule, TOLD_AFTER, TopupError, Topups,
};
use crate::sql::{DatabaseError, bigint, unsigned};
use ring::rand::{SecureRandom, SystemRandom};
use shared::id::OrgId;
use shared::key::hex;
use shared::money::Amount;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::time::Duration;

const COLUMNS: &str = "id, org, cents, customer, payment_method, state, payment, reason, tries,
    begun_unix_ms, ended_unix_ms";
/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

/// Where a charge is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is written down and to be asked for.
    Pending,
    /// The provider has taken it; the credits are not there yet.
    Charged,
    /// The credits are there.
    Paid,
    /// There will be none.
    Failed,
}

impl State {
    const ALL: [Self; 4] = [Self::Pending, Self::Charged, Self::Paid, Self::Failed];

    /// The word for it, as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Charged => "charged",
            Self::Paid => "paid",
            Self::Failed => "failed",
        }
    }
}

/// One charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The idempotency key.
    pub id: String,
    /// For whom.
    pub org: OrgId,
    /// How much.
    pub cents: u64,
    /// Who pays, by the provider's id.
    pub customer: String,
    /// What with.
    pub payment_method: String,
    /// Where it is.
    pub state: State,
    /// The provider's id of the payment; empty until it is known.
    pub payment: String,
    /// What was said last.
    pub reason: String,
    /// How often it was asked for without an answer.
    pub tries: u64,
    /// Milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// Milliseconds since 1970; none: it has not ended.
    pub ended_unix_ms: Option<u64>,
}

impl Charge {
    /// How much, in dollars.
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount(CENT * i128::from(self.cents))
    }

    pub(super) fn of(org: &OrgId, rule: &Rule, now_unix_ms: u64) -> Result<Self, TopupError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| {
            TopupError::Invalid("auto top-up", "this machine has no randomness".to_owned())
        })?;
        Ok(Self {
            id: format!("topup_{}", hex(&random)),
            org: org.clone(),
            cents: u64::try_from(rule.amount.0 / CENT).unwrap_or_default(),
            customer: rule.customer.clone(),
            payment_method: rule.payment_method.clone(),
            state: State::Pending,
            payment: String::new(),
            reason: String::new(),
            tries: 0,
            begun_unix_ms: now_unix_ms,
            ended_unix_ms: None,
        })
    }

    /// False when another charge of the organisation is under way.
    pub(super) async fn insert(&self, connection: &mut AnyConnection) -> Result<bool, TopupError> {
        let done = sqlx::query(
            "INSERT INTO topup_charges (id, org, cents, customer, payment_method, state, payment,
                 reason, tries, next_unix_ms, begun_unix_ms)
             VALUES ($1, $2, $3, $4, $5, 'pending', '', '', 0, $6, $6) ON CONFLICT DO NOTHING",
        )
        .bind(self.id.as_str())
        .bind(self.org.as_str())
        .bind(bigint(self.cents))
        .bind(self.customer.as_str())
        .bind(self.payment_method.as_str())
        .bind(bigint(self.begun_unix_ms))
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

impl Topups {
    /// An organisation's charges, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn charges(&self, org: &OrgId, most: u32) -> Result<Vec<Charge>, TopupError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM topup_charges WHERE org = $1
             ORDER BY begun_unix_ms DESC, id LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(org.as_str())
            .bind(i64::from(most))
            .fetch_all(self.database.readers())
            .await?;
        Ok(rows.iter().map(charge).collect::<Result<_, _>>()?)
    }

    /// Charges that are to be asked for, or about, now.
    pub(super) async fn due(&self, most: i64) -> Result<Vec<Charge>, TopupError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM topup_charges
             WHERE (state = 'pending' OR state = 'charged') AND next_unix_ms <= $1
             ORDER BY next_unix_ms LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(bigint(self.clock.unix_ms()))
            .bind(most)
            .fetch_all(self.database.readers())
            .await?;
        Ok(rows.iter().map(charge).collect::<Result<_, _>>()?)
    }

    /// The provider has taken it, or is about to; its telling is awaited.
    pub(super) async fn charged(&self, charge: &Charge, payment: &str) -> Result<(), TopupError> {
        let next = self.clock.unix_ms().saturating_add(millis(TOLD_AFTER));
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "UPDATE topup_charges SET state = 'charged', payment = $2, next_unix_ms = $3
             WHERE id = $1 AND (state = 'pending' OR state = 'charged')",
        )
        .bind(charge.id.as_str())
        .bind(payment)
        .bind(bigint(next))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The credits for a payment are there. The provider may tell before its answer was heard:
    /// then the charge is found by `id`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn paid(&self, payment: &str) -> Result<bool, TopupError> {
        self.end((payment, payment), State::Paid, "", FAILURES_MAX)
            .await
    }

    /// As [`Topups::paid`], where the telling names the charge.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told(
        &self,
        id: &str,
        payment: &str,
        failed: Option<&str>,
    ) -> Result<bool, TopupError> {
        let state = if failed.is_some() {
            State::Failed
        } else {
            State::Paid
        };
        let reason = failed.unwrap_or_default();
        self.end((id, payment), state, reason, FAILURES_MAX).await
    }

    /// There will be no credits.
    pub(super) async fn failed(&self, charge: &Charge, reason: &str) -> Result<(), TopupError> {
        let (id, payment) = (&charge.id, &charge.payment);
        self.end((id, payment), State::Failed, reason, FAILURES_MAX)
            .await?;
        Ok(())
    }

    /// `failures`: with so many in a row the rule is disabled. What was taken for failed may turn out
    /// to have been paid; nothing that was paid fails.
    async fn end(
        &self,
        (id, payment): (&str, &str),
        state: State,
        reason: &str,
        failures: u64,
    ) -> Result<bool, TopupError> {
        let now = bigint(self.clock.unix_ms());
        let reason = kept(reason);
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "UPDATE topup_charges SET state = $3, reason = $4, ended_unix_ms = $5,
                 payment = CASE WHEN payment = '' THEN $2 ELSE payment END
             WHERE (id = $1 OR (payment = $2 AND payment <> ''))
                 AND (state = 'pending' OR state = 'charged'
                     OR (state = 'failed' AND $6 = 1))
             RETURNING org",
        )
        .bind(id)
        .bind(payment)
        .bind(state.as_str())
        .bind(reason.as_str())
        .bind(now)
        .bind(i64::from(state == State::Paid))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let org: String = row.try_get(0)?;
        let sql = if state == State::Failed {
            "UPDATE topup_rules SET failures = failures + 1,
                 enabled = CASE WHEN failures + 1 >= $2 THEN 0 ELSE enabled END,
                 reason = CASE WHEN failures + 1 >= $2 THEN $3 ELSE reason END WHERE org = $1"
        } else {
            "UPDATE topup_rules SET failures = 0 WHERE org = $1 AND $2 >= 0 AND $3 = ''"
        };
        sqlx::query(sql)
            .bind(org)
            .bind(bigint(failures))
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// True when the provider may have forgotten the id: to ask again could charge twice.
    pub(super) fn is_forgotten(&self, charge: &Charge) -> bool {
        let age = self.clock.unix_ms().saturating_sub(charge.begun_unix_ms);
        charge.state == State::Pending && age > millis(KNOWN_FOR)
    }

    /// Ends a charge of which nobody knows whether it was taken. The rule rests until somebody has
    /// looked at the provider and enables it.
    pub(super) async fn give_up(&self, charge: &Charge) -> Result<(), TopupError> {
        let reason = &charge.reason;
        let text = format!("not answered within a day, look it up at the provider: {reason}");
        let (id, payment) = (&charge.id, &charge.payment);
        self.end((id, payment), State::Failed, &text, 0).await?;
        Ok(())
    }

    /// Nobody knows: it is asked again under the same id, later.
    pub(super) async fn again(&self, charge: &Charge, reason: &str) -> Result<(), TopupError> {
        let now = self.clock.unix_ms();
        let doubled = 1_u32 << charge.tries.min(16);
        let pause = AGAIN_MIN.saturating_mul(doubled).min(AGAIN_MAX);
        let reason = kept(reason);
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "UPDATE topup_charges SET tries = tries + 1, reason = $2, next_unix_ms = $3
             WHERE id = $1",
        )
        .bind(charge.id.as_str())
        .bind(reason)
        .bind(bigint(now.saturating_add(millis(pause))))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// As much of a text of somebody else's as is kept, of what a database takes.
fn kept(text: &str) -> String {
    let text = text.chars().filter(|char| !char.is_control());
    text.take(REASON_MAX).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn charge(row: &AnyRow) -> Result<Charge, DatabaseError> {
    let state: String = row.try_get(5)?;
    let found = State::ALL.into_iter().find(|one| one.as_str() == state);
    let state = found.ok_or(DatabaseError::Corrupt {
        what: "state of a charge",
        value: state,
    })?;
    let ended: Option<i64> = row.try_get(10)?;
    Ok(Charge {
        id: row.try_get(0)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        cents: unsigned(row, 2)?,
        customer: row.try_get(3)?,
        payment_method: row.try_get(4)?,
        state,
        payment: row.try_get(6)?,
        reason: row.try_get(7)?,
        tries: unsigned(row, 8)?,
        begun_unix_ms: unsigned(row, 9)?,
        ended_unix_ms: ended.and_then(|ended| u64::try_from(ended).ok()),
    })
}
