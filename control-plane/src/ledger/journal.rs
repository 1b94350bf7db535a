//! Accounts, lines and postings, and the one way to write them: a [`Book`] is one SQL transaction
//! that holds the ledger's head, so that postings of all processes are in one order, and that was
//! opened under a leadership that is not over. A posting that does not add up to zero, or that
//! would overdraw an account, is refused as a whole.

use super::balance::{self, Repayment};
use super::{LedgerError, check_id};
use crate::sql::{Database, DatabaseError, amount, bigint};
use crate::store::Epoch;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::key::KeyHash;
use shared::money::Amount;
use shared::record::Origin;
use sqlx::{Any, Row, Transaction};
use std::fmt;

/// A place where money is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// Where credits come from: minus everything ever given.
    Grants,
    /// What an organisation has outside of leases.
    Available(OrgId),
    /// What an organisation has lent to one run of one node.
    Lease(OrgId, Origin),
    /// What was charged, by key.
    Usage(OrgId, KeyHash),
    /// What requests held that were in flight when their node died.
    Suspense(OrgId),
    /// What was used beyond every lease and the balance: zero or below, repaid by the next
    /// credits.
    Overrun(OrgId),
}

impl Account {
    /// The word for its kind, as it is stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::Available(_) => "available",
            Self::Lease(..) => "lease",
            Self::Usage(..) => "usage",
            Self::Suspense(_) => "suspense",
            Self::Overrun(_) => "overrun",
        }
    }

    /// May it hold this much? Grants and overruns are debts, everything else is not.
    #[must_use]
    pub fn may_hold(&self, amount: Amount) -> bool {
        match self {
            Self::Grants | Self::Overrun(_) => amount <= Amount::ZERO,
            Self::Available(_) | Self::Lease(..) | Self::Usage(..) | Self::Suspense(_) => {
                amount >= Amount::ZERO
            }
        }
    }

    fn org(&self) -> &str {
        match self {
            Self::Grants => "",
            Self::Available(org)
            | Self::Lease(org, _)
            | Self::Usage(org, _)
            | Self::Suspense(org)
            | Self::Overrun(org) => org.as_str(),
        }
    }

    fn holder(&self) -> (&str, i64) {
        match self {
            Self::Lease(_, origin) => (origin.node.as_str(), bigint(origin.epoch.0)),
            Self::Grants
            | Self::Available(_)
            | Self::Usage(..)
            | Self::Suspense(_)
            | Self::Overrun(_) => ("", 0),
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Usage(_, key) => key.to_string(),
            Self::Grants
            | Self::Available(_)
            | Self::Lease(..)
            | Self::Suspense(_)
            | Self::Overrun(_) => String::new(),
        }
    }
}

/// The account's id in the tables: unique, and readable.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Grants => Ok(()),
            Self::Available(org) | Self::Suspense(org) | Self::Overrun(org) => write!(f, ":{org}"),
            Self::Lease(org, origin) => write!(f, ":{org}:{}:{}", origin.node, origin.epoch.0),
            Self::Usage(org, key) => write!(f, ":{org}:{key}"),
        }
    }
}

/// What is posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Grants to available.
    Credit,
    /// Available to a lease.
    Grant,
    /// A lease back to available, by its holder.
    Release,
    /// A lease back to available, without its holder.
    Reclaim,
    /// A run's lease to the next run of its node.
    Inherit,
    /// Leases to usage and suspense; what they don't cover is an overrun.
    Usage,
    /// Available to an overrun.
    Cover,
}

impl Kind {
    /// The word for it, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Grant => "grant",
            Self::Release => "release",
            Self::Reclaim => "reclaim",
            Self::Inherit => "inherit",
            Self::Usage => "usage",
            Self::Cover => "cover",
        }
    }
}

/// What an account gains, or loses when it is below zero.
pub type Line = (Account, Amount);

/// One SQL transaction on the ledger. Dropped without [`Book::commit`] it leaves no trace.
pub struct Book {
    transaction: Transaction<'static, Any>,
    fence: Epoch,
    head: i64,
    unix_ms: i64,
}

impl Book {
    /// Opens the book, after everybody who has it open.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] when a later leadership has written; or the database fails.
    pub async fn open(
        database: &Database,
        fence: Epoch,
        unix_ms: u64,
    ) -> Result<Self, LedgerError> {
        let mut transaction = database.write().await?;
        let row = sqlx::query(
            "UPDATE ledger_head SET fence = $1 WHERE id = 1 AND fence <= $1
             RETURNING transactions",
        )
        .bind(bigint(fence.0))
        .fetch_optional(&mut *transaction)
        .await?;
        let head = row.ok_or(LedgerError::Fenced(fence))?.try_get(0)?;
        Ok(Self {
            transaction,
            fence,
            head,
            unix_ms: bigint(unix_ms),
        })
    }

    /// The transaction underneath, for what goes with the postings.
    pub fn sql(&mut self) -> &mut Transaction<'static, Any> {
        &mut self.transaction
    }

    /// What an account holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&mut self, account: &Account) -> Result<Amount, LedgerError> {
        let row = sqlx::query("SELECT nano, pico_rem FROM balances WHERE account = $1")
            .bind(account.to_string())
            .fetch_optional(&mut *self.transaction)
            .await?;
        Ok(row.map_or(Ok(Amount::ZERO), |row| amount(&row, 0))?)
    }

    /// True when something of this kind was posted under this reference.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has(&mut self, kind: Kind, reference: &str) -> Result<bool, LedgerError> {
        let row = sqlx::query("SELECT 1 FROM journal WHERE kind = $1 AND reference = $2")
            .bind(kind.as_str())
            .bind(reference)
            .fetch_optional(&mut *self.transaction)
            .await?;
        Ok(row.is_some())
    }

    /// Posts lines. Lines of nothing are left out; a posting of no lines is recorded all the same,
    /// so that its reference is taken.
    ///
    /// # Errors
    /// [`LedgerError::Unsound`] when the lines don't add up to zero or would overdraw an account;
    /// or the database fails.
    pub async fn post(
        &mut self,
        kind: Kind,
        reference: &str,
        lines: &[Line],
    ) -> Result<(), LedgerError> {
        let sum: Amount = lines.iter().map(|(_, gain)| *gain).sum();
        if sum != Amount::ZERO {
            return Err(LedgerError::Unsound(format!(
                "the lines of {} {reference} add up to {sum} USD",
                kind.as_str()
            )));
        }
        self.head += 1;
        sqlx::query(
            "INSERT INTO journal (id, kind, reference, unix_ms, fence)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.head)
        .bind(kind.as_str())
        .bind(reference)
        .bind(self.unix_ms)
        .bind(bigint(self.fence.0))
        .execute(&mut *self.transaction)
        .await?;
        let lines = lines.iter().filter(|(_, gain)| *gain != Amount::ZERO);
        for (number, (account, gain)) in (0_i32..).zip(lines) {
            self.write_line(number, account, *gain).await?;
            self.add(account, *gain).await?;
        }
        Ok(())
    }

    /// Posts a credit, unless it was posted before, and repays an overrun from it.
    ///
    /// # Errors
    /// As [`Book::post`].
    pub async fn credit(
        &mut self,
        org: &OrgId,
        reference: &str,
        credit: Amount,
    ) -> Result<bool, LedgerError> {
        if self.has(Kind::Credit, reference).await? {
            return Ok(false);
        }
        let lines = [
            (Account::Grants, -credit),
            (Account::Available(org.clone()), credit),
        ];
        self.post(Kind::Credit, reference, &lines).await?;
        self.cover(org).await?;
        Ok(true)
    }

    /// Pays as much of an overrun as the organisation has available.
    ///
    /// # Errors
    /// As [`Book::post`].
    pub async fn cover(&mut self, org: &OrgId) -> Result<(), LedgerError> {
        let (available, overrun) = (
            Account::Available(org.clone()),
            Account::Overrun(org.clone()),
        );
        let owed = -self.balance(&overrun).await?;
        let has = self.balance(&available).await?;
        let Some(Repayment(amount)) = balance::repayment(has, owed) else {
            return Ok(());
        };
        // There is exactly one cover after the posting that made it possible.
        let reference = format!("after/{}", self.head);
        let lines = [(available, -amount), (overrun, amount)];
        self.post(Kind::Cover, &reference, &lines).await
    }

    /// Makes it so, for good.
    ///
    /// # Errors
    /// When the database fails: then it is not known whether it is so.
    pub async fn commit(mut self) -> Result<(), LedgerError> {
        sqlx::query("UPDATE ledger_head SET transactions = $1 WHERE id = 1")
            .bind(self.head)
            .execute(&mut *self.transaction)
            .await?;
        Ok(self.transaction.commit().await?)
    }

    async fn write_line(
        &mut self,
        number: i32,
        account: &Account,
        gain: Amount,
    ) -> Result<(), LedgerError> {
        let (nano, pico_rem) = split(gain)?;
        sqlx::query(
            "INSERT INTO journal_lines (transaction_id, line, account, nano, pico_rem)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.head)
        .bind(number)
        .bind(account.to_string())
        .bind(nano)
        .bind(pico_rem)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    async fn add(&mut self, account: &Account, gain: Amount) -> Result<(), LedgerError> {
        let after = self.balance(account).await? + gain;
        if !account.may_hold(after) {
            return Err(LedgerError::Unsound(format!(
                "{account} would hold {after} USD"
            )));
        }
        let (nano, pico_rem) = split(after)?;
        let (node, epoch) = account.holder();
        sqlx::query(
            "INSERT INTO balances (account, kind, org, node, epoch, key_id, nano, pico_rem)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (account) DO UPDATE
             SET nano = excluded.nano, pico_rem = excluded.pico_rem",
        )
        .bind(account.to_string())
        .bind(account.kind())
        .bind(account.org())
        .bind(node)
        .bind(epoch)
        .bind(account.key())
        .bind(nano)
        .bind(pico_rem)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}

/// The two columns of an amount.
///
/// # Errors
/// When it is beyond what they can keep.
pub fn split(amount: Amount) -> Result<(i64, i16), LedgerError> {
    amount.to_nano().ok_or_else(|| LedgerError::Invalid {
        what: "amount",
        reason: format!("{amount} USD is more than can be kept"),
    })
}

/// The account of this stored kind with these stored columns.
pub(super) fn account_of(
    kind: &str,
    org: String,
    holder: (String, u64),
    key: &str,
) -> Result<Account, LedgerError> {
    let corrupt = |value: &str| {
        LedgerError::Database(DatabaseError::Corrupt {
            what: "account",
            value: value.to_owned(),
        })
    };
    if kind != "grants" {
        check_id("organisation", &org)?;
    }
    let org = OrgId::from(org);
    Ok(match kind {
        "grants" => Account::Grants,
        "available" => Account::Available(org),
        "suspense" => Account::Suspense(org),
        "overrun" => Account::Overrun(org),
        "usage" => Account::Usage(org, key.parse().map_err(|_| corrupt(key))?),
        "lease" => {
            let (node, epoch) = holder;
            let origin = Origin {
                node: NodeId::from(node),
                epoch: BootEpoch(epoch),
            };
            Account::Lease(org, origin)
        }
        _ => return Err(corrupt(kind)),
    })
}
