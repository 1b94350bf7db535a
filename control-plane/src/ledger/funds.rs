//! Money that comes in and goes back: gifts, purchases with the platform's fee, refunds. Each once
//! per reference of its organisation.

use super::account::Account;
use super::byok::Allowance;
use super::journal::{Book, Kind, split};
use super::{Ledger, LedgerError, check_id, check_positive};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::id::OrgId;
use shared::money::Amount;

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
    /// Kept by the platform.
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
    /// As [`Ledger::credit`].
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
        let done = self.retried(|| async {
            let book = self.book_of(fence, org).await?;
            let lines = [
                (Account::Purchases(org.clone()), -amount),
                (Account::Available(org.clone()), amount - fee),
                (Account::Fees(org.clone()), fee),
            ];
            book.once(org, Kind::Purchase, reference, &lines).await
        });
        let new = done.await?;
        let fee = if new { fee } else { Amount::ZERO };
        Ok(Movement { new, fee })
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
            let (available, purchases, fees) = (
                Account::Available(org.clone()),
                Account::Purchases(org.clone()),
                Account::Fees(org.clone()),
            );
            book.load([&available, &purchases, &fees]).await?;
            let bought = -book.balance(&purchases).await? - book.balance(&fees).await?;
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
