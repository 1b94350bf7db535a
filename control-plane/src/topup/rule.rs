//! Rules: set, shown, taken away, and which of them are due.

use super::{ACTOR, CENT, Charge, FAILED_PAUSE, TopupError, Topups};
use crate::accounts::audit;
use crate::sql::{DatabaseError, amount, bigint, unsigned};
use shared::id::OrgId;
use shared::limit::Interval;
use shared::money::Amount;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// The least that is charged, in cents: providers take no less than half a dollar.
const CHARGE_MIN: i64 = 500;
/// The most that is charged at once, in cents.
const CHARGE_MAX: i64 = 10_000_000;
/// The longest id of a provider's, in bytes.
const ID_MAX: usize = 255;

/// The columns that [`standing`] reads.
const STANDING: &str = "threshold_cents, amount_cents, monthly_cap_cents, customer, payment_method,
    enabled, failures, reason";

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

/// What of a rule is to be another; none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleChange {
    /// See [`Rule`], as the others.
    pub threshold: Option<Amount>,
    /// How much is charged.
    pub amount: Option<Amount>,
    /// The most in a month.
    pub monthly_cap: Option<Amount>,
    /// Who pays.
    pub customer: Option<String>,
    /// What with.
    pub payment_method: Option<String>,
    /// At work or at rest; a new rule is at work.
    pub enabled: Option<bool>,
}

impl From<Rule> for RuleChange {
    /// Everything but whether it is enabled.
    fn from(rule: Rule) -> Self {
        Self {
            threshold: Some(rule.threshold),
            amount: Some(rule.amount),
            monthly_cap: Some(rule.monthly_cap),
            customer: Some(rule.customer),
            payment_method: Some(rule.payment_method),
            enabled: None,
        }
    }
}

impl RuleChange {
    /// The rule that this makes of the one there is.
    fn of(&self, before: Option<&Rule>) -> Result<Rule, TopupError> {
        fn one<T: Clone>(
            what: &'static str,
            new: Option<&T>,
            old: Option<&T>,
        ) -> Result<T, TopupError> {
            let missing =
                || TopupError::Invalid(what, "is needed, there is no rule yet".to_owned());
            new.or(old).cloned().ok_or_else(missing)
        }
        let old = |of: fn(&Rule) -> &Amount| before.map(of);
        Ok(Rule {
            threshold: one(
                "threshold",
                self.threshold.as_ref(),
                old(|it| &it.threshold),
            )?,
            amount: one("amount", self.amount.as_ref(), old(|it| &it.amount))?,
            monthly_cap: one(
                "monthly cap",
                self.monthly_cap.as_ref(),
                old(|it| &it.monthly_cap),
            )?,
            customer: one(
                "customer",
                self.customer.as_ref(),
                before.map(|it| &it.customer),
            )?,
            payment_method: one(
                "payment method",
                self.payment_method.as_ref(),
                before.map(|it| &it.payment_method),
            )?,
        })
    }
}

impl Topups {
    /// Changes an organisation's rule, or makes one where all of it is said. Failures are forgotten.
    /// What is not said stays as it is at that moment, whoever else changes it.
    ///
    /// # Errors
    /// When a value can't be accepted or is missing, or the database fails.
    pub async fn change(
        &self,
        actor: &str,
        org: &OrgId,
        change: &RuleChange,
    ) -> Result<(), TopupError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let before = self.locked(&mut transaction, org).await?;
        let rule = change.of(before.as_ref().map(|before| &before.rule))?;
        let enabled = before.is_none_or(|before| before.enabled);
        let enabled = change.enabled.unwrap_or(enabled);
        put(&mut transaction, org, &rule).await?;
        sqlx::query(
            "UPDATE topup_rules SET enabled = $2, failures = 0, reason = '', updated_unix_ms = $3
             WHERE org = $1",
        )
        .bind(org.as_str())
        .bind(i16::from(enabled))
        .bind(bigint(now))
        .execute(&mut *transaction)
        .await?;
        let object = format!(
            "{org} below USD {} USD {}, at most USD {} a month, enabled {enabled}",
            rule.threshold, rule.amount, rule.monthly_cap
        );
        audit::append(&mut transaction, now, actor, "topup.set", &object).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How the rule stands, which stays so until the transaction ends.
    async fn locked(
        &self,
        connection: &mut AnyConnection,
        org: &OrgId,
    ) -> Result<Option<Standing>, TopupError> {
        let lock = self.database.engine().for_update();
        let sql = format!("SELECT {STANDING} FROM topup_rules WHERE org = $1{lock}");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(org.as_str())
            .fetch_optional(connection)
            .await?;
        Ok(row.map(|row| standing(&row)).transpose()?)
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
        let sql = format!("SELECT {STANDING} FROM topup_rules WHERE org = $1");
        let row = sqlx::query(AssertSqlSafe(sql))
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

    /// Writes a charge down that is to be asked for; none when the rule does not want one now. What
    /// was seen before may be over: another control plane may have charged, and the credits be
    /// there.
    pub(super) async fn begin(&self, org: &OrgId) -> Result<Option<Charge>, TopupError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let Some(standing) = self.locked(&mut transaction, org).await? else {
            return Ok(None);
        };
        if !self.is_low(&mut transaction, org, &standing.rule).await? {
            return Ok(None);
        }
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
        let object = format!("{org} USD {} ({})", charge.amount(), charge.id);
        audit::append(&mut transaction, now, ACTOR, "topup.begin", &object).await?;
        transaction.commit().await?;
        Ok(Some(charge))
    }

    /// True when the credits are below the rule's threshold and no charge is under way. Postings
    /// that are on their way are waited for, and those that come later wait.
    async fn is_low(
        &self,
        connection: &mut AnyConnection,
        org: &OrgId,
        rule: &Rule,
    ) -> Result<bool, TopupError> {
        let lock = self.database.engine().for_share();
        let sql = format!("SELECT org FROM ledger_orgs WHERE org = $1{lock}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(org.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(nano), 0) AS BIGINT),
                 CAST(COALESCE(SUM(pico_rem), 0) AS BIGINT),
                 (SELECT CAST(COUNT(*) AS BIGINT) FROM topup_charges
                     WHERE org = $1 AND (state = 'pending' OR state = 'charged'))
             FROM balances WHERE org = $1 AND kind IN ('available', 'lease', 'overrun')",
        )
        .bind(org.as_str())
        .fetch_one(connection)
        .await?;
        Ok(amount(&row, 0)? < rule.threshold && unsigned(&row, 2)? == 0)
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
    if cap < threshold {
        let reason = "it is below the threshold, which it could never reach".to_owned();
        return Err(TopupError::Invalid("monthly cap", reason));
    }
    if threshold == 0 {
        let reason = "credits are not below zero: nothing would be bought".to_owned();
        return Err(TopupError::Invalid("threshold", reason));
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
