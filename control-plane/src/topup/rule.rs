//! Rules: set, shown, taken away, and which of them are due.

use super::{CENT, Charge, FAILED_PAUSE, TopupError, Topups};
use crate::accounts::audit;
use crate::sql::{DatabaseError, amount, bigint, unsigned};
use shared::id::OrgId;
use shared::limit::Interval;
use shared::money::Amount;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// The least that is charged, in cents: providers take no less than half a dollar.
const CHARGE_MIN: i64 = 500;
/// The most that is charged at once, in cents.
const CHARGE_MAX: i64 = 10_000_000;
/// The longest id of a provider's, in bytes.
const ID_MAX: usize = 255;

/// When to buy how much. Amounts are whole cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Below so many credits,
    pub threshold: Amount,
    /// so much is charged,
    pub amount: Amount,
    /// at most so much a month, from its first day, UTC.
    pub monthly_cap: Amount,
    /// The payment provider's id of who pays.
    pub customer: String,
    /// The payment provider's id of what with.
    pub payment_method: String,
}

/// How a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The rule.
    pub rule: Rule,
    /// False when it is at rest.
    pub enabled: bool,
    /// Failed charges in a row.
    pub failures: u64,
    /// Why it was disabled; empty: by its owner.
    pub reason: String,
}

impl Topups {
    /// Sets an organisation's rule, or only whether it is enabled where `rule` is none. Failures
    /// are forgotten.
    ///
    /// # Errors
    /// When a value can't be accepted, there is no rule to be enabled, or the database fails.
    pub async fn set(
        &self,
        actor: &str,
        org: &OrgId,
        rule: Option<&Rule>,
        enabled: bool,
    ) -> Result<(), TopupError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        if let Some(rule) = rule {
            put(&mut transaction, org, rule).await?;
        }
        let set = sqlx::query(
            "UPDATE topup_rules SET enabled = $2, failures = 0, reason = '', updated_unix_ms = $3
             WHERE org = $1",
        )
        .bind(org.as_str())
        .bind(i16::from(enabled))
        .bind(bigint(now))
        .execute(&mut *transaction)
        .await?;
        if set.rows_affected() == 0 {
            let reason = "the organisation has no rule".to_owned();
            return Err(TopupError::Invalid("auto top-up", reason));
        }
        let object = match rule {
            Some(rule) => format!(
                "{org} below USD {} USD {}, at most USD {} a month, enabled {enabled}",
                rule.threshold, rule.amount, rule.monthly_cap
            ),
            None => format!("{org} enabled {enabled}"),
        };
        audit::append(&mut transaction, now, actor, "topup.set", &object).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes the rule away. A charge that is under way ends as it ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(&self, actor: &str, org: &OrgId) -> Result<bool, TopupError> {
        let mut transaction = self.database.write().await?;
        let gone = sqlx::query("DELETE FROM topup_rules WHERE org = $1")
            .bind(org.as_str())
            .execute(&mut *transaction)
            .await?;
        let removed = gone.rows_affected() > 0;
        if removed {
            let now = self.clock.unix_ms();
            audit::append(&mut transaction, now, actor, "topup.remove", org.as_str()).await?;
        }
        transaction.commit().await?;
        Ok(removed)
    }

    /// How an organisation's rule stands; none when it has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, org: &OrgId) -> Result<Option<Standing>, TopupError> {
        let row = sqlx::query(
            "SELECT threshold_cents, amount_cents, monthly_cap_cents, customer, payment_method,
                 enabled, failures, reason FROM topup_rules WHERE org = $1",
        )
        .bind(org.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        Ok(row.map(|row| standing(&row)).transpose()?)
    }

    /// Organisations whose credits are below their rule's threshold, and for which no charge is
    /// under way. Credits that edges hold are there, too.
    pub(super) async fn low(&self) -> Result<Vec<OrgId>, TopupError> {
        let rows = sqlx::query(
            "SELECT CAST(COALESCE(SUM(b.nano), 0) AS BIGINT),
                 CAST(COALESCE(SUM(b.pico_rem), 0) AS BIGINT), r.org, r.threshold_cents
             FROM topup_rules r LEFT JOIN balances b
                 ON b.org = r.org AND b.kind IN ('available', 'lease', 'overrun')
             WHERE r.enabled = 1 AND NOT EXISTS (SELECT 1 FROM topup_charges c
                 WHERE c.org = r.org AND (c.state = 'pending' OR c.state = 'charged'))
             GROUP BY r.org, r.threshold_cents",
        )
        .fetch_all(self.database.readers())
        .await?;
        let mut low = Vec::new();
        for row in &rows {
            if amount(row, 0)? < cents(row, 3)? {
                low.push(OrgId::from(row.try_get::<String, _>(2)?));
            }
        }
        Ok(low)
    }

    /// Writes a charge down that is to be asked for; none when the rule does not want one now.
    pub(super) async fn begin(&self, org: &OrgId) -> Result<Option<Charge>, TopupError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "SELECT threshold_cents, amount_cents, monthly_cap_cents, customer, payment_method,
                 enabled, failures, reason FROM topup_rules WHERE org = $1",
        )
        .bind(org.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(standing) = row.map(|row| standing(&row)).transpose()? else {
            return Ok(None);
        };
        let month = Interval::Monthly.start(now / 1000).saturating_mul(1000);
        let pause = u64::try_from(FAILED_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(CASE WHEN state <> 'failed'
                         AND (begun_unix_ms >= $2 OR ended_unix_ms >= $2)
                     THEN cents ELSE 0 END), 0) AS BIGINT),
                 CAST(COALESCE(SUM(CASE WHEN state = 'failed' AND ended_unix_ms > $3
                     THEN 1 ELSE 0 END), 0) AS BIGINT)
             FROM topup_charges WHERE org = $1",
        )
        .bind(org.as_str())
        .bind(bigint(month))
        .bind(bigint(now.saturating_sub(pause)))
        .fetch_one(&mut *transaction)
        .await?;
        let rule = &standing.rule;
        let within = cents(&row, 0)? + rule.amount <= rule.monthly_cap;
        let rests = unsigned(&row, 1)? > 0 && standing.failures > 0;
        if !standing.enabled || !within || rests {
            return Ok(None);
        }
        let charge = Charge::of(org, rule, now)?;
        if !charge.insert(&mut transaction).await? {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(charge))
    }
}

async fn put(connection: &mut AnyConnection, org: &OrgId, rule: &Rule) -> Result<(), TopupError> {
    let threshold = whole_cents("threshold", rule.threshold)?;
    let each = whole_cents("amount", rule.amount)?;
    let cap = whole_cents("monthly cap", rule.monthly_cap)?;
    if !(CHARGE_MIN..=CHARGE_MAX).contains(&each) {
        let reason = format!(
            "{} to {} USD are expected",
            Amount(CENT * i128::from(CHARGE_MIN)),
            Amount(CENT * i128::from(CHARGE_MAX))
        );
        return Err(TopupError::Invalid("amount", reason));
    }
    if cap < each {
        let reason = "it is below one charge".to_owned();
        return Err(TopupError::Invalid("monthly cap", reason));
    }
    for (what, id) in [
        ("customer", &rule.customer),
        ("payment method", &rule.payment_method),
    ] {
        let good = (1..=ID_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !good {
            let reason = "the payment provider's id is expected".to_owned();
            return Err(TopupError::Invalid(what, reason));
        }
    }
    sqlx::query(
        "INSERT INTO topup_rules (org, threshold_cents, amount_cents, monthly_cap_cents, customer,
             payment_method, enabled, failures, reason, updated_unix_ms)
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0, '', 0)
         ON CONFLICT (org) DO UPDATE SET threshold_cents = excluded.threshold_cents,
             amount_cents = excluded.amount_cents, customer = excluded.customer,
             monthly_cap_cents = excluded.monthly_cap_cents,
             payment_method = excluded.payment_method",
    )
    .bind(org.as_str())
    .bind(threshold)
    .bind(each)
    .bind(cap)
    .bind(rule.customer.as_str())
    .bind(rule.payment_method.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

fn whole_cents(what: &'static str, amount: Amount) -> Result<i64, TopupError> {
    let wrong = || TopupError::Invalid(what, format!("{amount} USD are no whole cents"));
    if amount < Amount::ZERO || amount.0 % CENT != 0 {
        return Err(wrong());
    }
    i64::try_from(amount.0 / CENT).map_err(|_| wrong())
}

/// Cents of a column, in dollars.
pub(super) fn cents(row: &AnyRow, column: usize) -> Result<Amount, DatabaseError> {
    let cents: i64 = row.try_get(column)?;
    Ok(Amount(CENT * i128::from(cents)))
}

fn standing(row: &AnyRow) -> Result<Standing, DatabaseError> {
    Ok(Standing {
        rule: Rule {
            threshold: cents(row, 0)?,
            amount: cents(row, 1)?,
            monthly_cap: cents(row, 2)?,
            customer: row.try_get(3)?,
            payment_method: row.try_get(4)?,
        },
        enabled: unsigned(row, 5)? > 0,
        failures: unsigned(row, 6)?,
        reason: row.try_get(7)?,
    })
}
