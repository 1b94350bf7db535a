//! Money that comes in and goes back: gifts, purchases with the platform's fee, refunds. Each once
//! per reference of its organisation; a payment that the payment provider tells of is one
//! organisation's only.

use super::account::Account;
use super::byok::Allowance;
use super::journal::{Book, Kind, split};
use super::{Ledger, LedgerError, check_id, check_positive};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::id::OrgId;
use shared::money::Amount;
use sqlx::Row;

/// How references of payments begin that the payment provider tells of.
pub const PAYMENT: &str = "payment/";

/// What the platform has kept of an organisation's purchases.
pub(super) const PURCHASE_FEES: &str = "SELECT CAST(COALESCE(SUM(l.nano), 0) AS BIGINT),
         CAST(COALESCE(SUM(l.pico_rem), 0) AS BIGINT)
     FROM postings p JOIN posting_lines l ON l.org = p.org AND l.number = p.number
     WHERE p.org = $1 AND p.kind = $2 AND l.account = $3";

/// The largest fee, in millionths: half of a purchase, or of what a request costs.
pub const FEE_PPM_MAX: u32 = 500_000;

/// What is agreed with an organisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The fee on a purchase, in millionths of it.
    pub purchase_fee_ppm: u32,
    /// The fee on what requests cost, in millionths of it.
    pub spend_fee_ppm: u32,
    /// The fee on the list price of what own provider keys serve, in millionths of it.
    pub byok_fee_ppm: u32,
    /// What of that is free.
    pub byok_free: Allowance,
    /// What each node may let it use beyond its leases while the ledger is out of reach.
    pub outage_credit: Amount,
}

impl Default for Terms {
    /// Five per cent of purchases, and of what own keys serve beyond 25,000 USD a month.
    fn default() -> Self {
        Self {
            purchase_fee_ppm: 50_000,
            spend_fee_ppm: 0,
            byok_fee_ppm: 50_000,
            byok_free: Allowance {
                list: Amount(25_000 * Amount::USD.0),
                requests: 0,
            },
            outage_credit: Amount::ZERO,
        }
    }
}

/// What a purchase or a refund has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movement {
    /// False when this reference was used before: nothing has moved.
    pub new: bool,
    /// Kept by the platform, now or when it was posted before.
    pub fee: Amount,
}

impl Ledger {
    /// Gives an organisation money, once per `reference` of its; false when it was given before.
    /// Repays what it has overrun first.
    ///
    /// # Errors
    /// When the amount is not above zero, this process no longer leads, or the database fails.
    pub async fn credit(
        &self,
        fence: Epoch,
        org: &OrgId,
        reference: &str,
        amount: Amount,
    ) -> Result<bool, LedgerError> {
        check_move(org, reference, amount)?;
        self.retried(|| async {
            let book = self.book_of(fence, org).await?;
            let lines = [
                (Account::Grants(org.clone()), -amount),
                (Account::Available(org.clone()), amount),
            ];
            book.once(org, Kind::Credit, reference, &lines).await
        })
        .await
    }

    /// An organisation has paid `amount`: it gets that less the fee of its terms, once per
    /// `reference` of its.
    ///
    /// # Errors
    /// As [`Ledger::credit`], and when it is a payment that another organisation has.
    pub async fn purchase(
        &self,
        fence: Epoch,
        org: &OrgId,
        reference: &str,
        amount: Amount,
    ) -> Result<Movement, LedgerError> {
        check_move(org, reference, amount)?;
        let terms = self.terms_of(org).await?;
        let fee = amount.millionths(terms.purchase_fee_ppm);
        self.retried(|| async {
            let mut book = self.book_of(fence, org).await?;
            let fees = Account::Fees(org.clone());
            let before = book.posted(org, Kind::Purchase, reference, &fees).await?;
            if reference.starts_with(PAYMENT) {
                book.claim_payment(org, reference).await?;
            }
            let lines = [
                (Account::Purchases(org.clone()), -amount),
                (Account::Available(org.clone()), amount - fee),
                (fees, fee),
            ];
            let new = book.once(org, Kind::Purchase, reference, &lines).await?;
            let fee = if new { fee } else { before };
            Ok(Movement { new, fee })
        })
        .await
    }

    /// Gives back what was bought and is not used, once per `reference`; the fee is kept. False
    /// when it was given back before.
    ///
    /// # Errors
    /// As [`Ledger::credit`], and when more is asked for than is available or was bought.
    pub async fn refund(
        &self,
        fence: Epoch,
        org: &OrgId,
        reference: &str,
        amount: Amount,
    ) -> Result<bool, LedgerError> {
        check_move(org, reference, amount)?;
        self.retried(|| async {
            let mut book = self.book_of(fence, org).await?;
            let available = Account::Available(org.clone());
            let purchases = Account::Purchases(org.clone());
            book.load([&available, &purchases]).await?;
            // Fees on what was spent are use, and not of what was bought.
            let kept = book.purchase_fees(org).await?;
            let bought = -book.balance(&purchases).await? - kept;
            let most = bought.min(book.balance(&available).await?).at_least_zero();
            let before = book.has(org, Kind::Refund, reference).await?;
            if amount > most && !before {
                return Err(LedgerError::Invalid {
                    what: "amount",
                    reason: format!("at most {most} USD can be given back"),
                });
            }
            let lines = [(available, -amount), (purchases, amount)];
            book.once(org, Kind::Refund, reference, &lines).await
        })
        .await
    }

    /// What is agreed with an organisation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn terms_of(&self, org: &OrgId) -> Result<Terms, LedgerError> {
        let row = sqlx::query(
            "SELECT purchase_fee_ppm, spend_fee_ppm, byok_fee_ppm, byok_free_nano,
                 byok_free_pico_rem, byok_free_requests, outage_nano, outage_pico_rem
             FROM org_terms WHERE org = $1",
        )
        .bind(org.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        let Some(row) = row else {
            return Ok(self.terms);
        };
        let ppm =
            |column| unsigned(&row, column).map(|ppm| u32::try_from(ppm).unwrap_or(FEE_PPM_MAX));
        Ok(Terms {
            purchase_fee_ppm: ppm(0)?,
            spend_fee_ppm: ppm(1)?,
            byok_fee_ppm: ppm(2)?,
            byok_free: Allowance {
                list: amount(&row, 3)?,
                requests: unsigned(&row, 5)?,
            },
            outage_credit: amount(&row, 6)?,
        })
    }

    /// Agrees on terms, for purchases and requests from now on.
    ///
    /// # Errors
    /// When they are beyond [`FEE_PPM_MAX`], this process no longer leads, or the database fails.
    pub async fn set_terms(
        &self,
        fence: Epoch,
        org: &OrgId,
        terms: Terms,
    ) -> Result<(), LedgerError> {
        check_id("organisation", org.as_str())?;
        let highest = terms.purchase_fee_ppm.max(terms.spend_fee_ppm);
        let free = split(terms.byok_free.list.at_least_zero())?;
        let outage = split(terms.outage_credit.at_least_zero())?;
        if highest.max(terms.byok_fee_ppm) > FEE_PPM_MAX {
            return Err(LedgerError::Invalid {
                what: "fee",
                reason: "at most 50 %".to_owned(),
            });
        }
        self.retried(|| async {
            let mut book = self.book_of(fence, org).await?;
            sqlx::query(
                "INSERT INTO org_terms (org, purchase_fee_ppm, spend_fee_ppm, byok_fee_ppm,
                     byok_free_nano, byok_free_pico_rem, byok_free_requests, outage_nano,
                     outage_pico_rem)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (org) DO UPDATE SET purchase_fee_ppm = excluded.purchase_fee_ppm,
                     spend_fee_ppm = excluded.spend_fee_ppm,
                     byok_fee_ppm = excluded.byok_fee_ppm,
                     byok_free_nano = excluded.byok_free_nano,
                     byok_free_pico_rem = excluded.byok_free_pico_rem,
                     byok_free_requests = excluded.byok_free_requests,
                     outage_nano = excluded.outage_nano,
                     outage_pico_rem = excluded.outage_pico_rem",
            )
            .bind(org.as_str())
            .bind(i64::from(terms.purchase_fee_ppm))
            .bind(i64::from(terms.spend_fee_ppm))
            .bind(i64::from(terms.byok_fee_ppm))
            .bind(free.0)
            .bind(free.1)
            .bind(bigint(terms.byok_free.requests))
            .bind(outage.0)
            .bind(outage.1)
            .execute(&mut **book.sql())
            .await?;
            book.commit().await
        })
        .await
    }
}

impl Book {
    /// Takes a payment for `org`, as long as this transaction is not given up.
    async fn claim_payment(&mut self, org: &OrgId, reference: &str) -> Result<(), LedgerError> {
        sqlx::query("INSERT INTO payments (reference, org) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(reference)
            .bind(org.as_str())
            .execute(&mut **self.sql())
            .await?;
        let row = sqlx::query("SELECT org FROM payments WHERE reference = $1")
            .bind(reference)
            .fetch_one(&mut **self.sql())
            .await?;
        match row.try_get::<String, _>(0)? == org.as_str() {
            true => Ok(()),
            false => Err(LedgerError::OtherOrg(reference.to_owned())),
        }
    }

    /// What the platform has kept of purchases.
    async fn purchase_fees(&mut self, org: &OrgId) -> Result<Amount, LedgerError> {
        let row = sqlx::query(PURCHASE_FEES)
            .bind(org.as_str())
            .bind(Kind::Purchase.as_str())
            .bind(Account::Fees(org.clone()).to_string())
            .fetch_one(&mut **self.sql())
            .await?;
        Ok(amount(&row, 0)?)
    }

    /// Posts and commits what was not posted under this reference before, and repays an overrun
    /// from it; false when it was, and the first line was the same: the amount that was asked for.
    async fn once(
        mut self,
        org: &OrgId,
        kind: Kind,
        reference: &str,
        lines: &[super::journal::Line],
    ) -> Result<bool, LedgerError> {
        if self.has(org, kind, reference).await? {
            let Some((account, asked)) = lines.first() else {
                return Ok(false);
            };
            let posted = self.posted(org, kind, reference, account).await?;
            return if posted == *asked {
                Ok(false)
            } else {
                Err(LedgerError::OtherAmount)
            };
        }
        self.post(org, kind, reference, lines).await?;
        self.cover(org).await?;
        self.commit().await?;
        Ok(true)
    }
}

fn check_move(org: &OrgId, reference: &str, amount: Amount) -> Result<(), LedgerError> {
    check_id("organisation", org.as_str())?;
    check_id("reference", reference)?;
    check_positive("amount", amount)
}
