//! Postings, and the one way to write them: a [`Book`] is one SQL transaction that holds the books
//! of the organisations it was opened for, so that each one's postings are in one order and others
//! don't wait, and that was opened under a leadership that is not over. A posting that does not
//! add up to zero, or that would overdraw an account, is refused as a whole.

mod kind;
mod open;
mod read;
mod tables;

use super::LedgerError;
use super::account::Account;
use super::balance::{self, Repayment};
use crate::sql::rows::Cell;
use crate::sql::{Engine, amount, bigint};
use crate::store::Epoch;
pub use kind::Kind;
pub(super) use read::purse;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::record::Origin;
use sqlx::{Any, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use tables::{BALANCES, HEADS, LINES, POSTINGS};

/// What an account gains, or loses when it is below zero.
pub type Line = (Account, Amount);

/// One SQL transaction on the books of some organisations. Nothing is written before
/// [`Book::commit`]; dropped without it, it leaves no trace.
pub struct Book {
    transaction: Transaction<'static, Any>,
    engine: Engine,
    fence: Epoch,
    unix_ms: i64,
    /// The postings so far of the organisations whose books these are.
    heads: BTreeMap<OrgId, i64>,
    balances: BTreeMap<Account, Amount>,
    changed: BTreeSet<Account>,
    postings: Vec<[Cell<'static>; 6]>,
    lines: Vec<[Cell<'static>; 6]>,
}

impl Book {
    /// The transaction underneath, for what goes with the postings.
    pub fn sql(&mut self) -> &mut Transaction<'static, Any> {
        &mut self.transaction
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// What an account holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&mut self, account: &Account) -> Result<Amount, LedgerError> {
        self.load([account]).await?;
        Ok(self.held(account))
    }

    /// Of what [`Book::load_leases`] has read, what there is of `purse` now, oldest run first.
    #[must_use]
    pub fn leases(&self, purse: &Purse, node: &NodeId) -> Vec<(Origin, Amount)> {
        let lease = |epoch| {
            let (node, epoch) = (node.clone(), BootEpoch(epoch));
            Account::lease(purse, Origin { node, epoch })
        };
        self.balances
            .range(lease(0)..=lease(u64::MAX))
            .filter(|(_, holds)| **holds > Amount::ZERO)
            .filter_map(|(account, holds)| match account {
                Account::Lease(_, origin) | Account::WindowLease(_, _, origin) => {
                    Some((origin.clone(), *holds))
                }
                _ => None,
            })
            .collect()
    }

    /// Of what [`Book::load_leases`] has read, the windows of `org` of which a lease is there.
    #[must_use]
    pub fn leased_windows(&self, org: &OrgId) -> BTreeSet<Window> {
        let lent = self
            .balances
            .iter()
            .filter(|(_, holds)| **holds > Amount::ZERO);
        lent.filter_map(|(account, _)| match account {
            Account::WindowLease(whose, window, _) if whose == org => Some(window.clone()),
            _ => None,
        })
        .collect()
    }

    /// What was posted to an account of `org` under this reference.
    pub(super) async fn posted(
        &mut self,
        org: &OrgId,
        kind: Kind,
        reference: &str,
        account: &Account,
    ) -> Result<Amount, LedgerError> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(l.nano), 0) AS BIGINT),
                    CAST(COALESCE(SUM(l.pico_rem), 0) AS BIGINT)
             FROM postings p JOIN posting_lines l ON l.org = p.org AND l.number = p.number
             WHERE p.org = $1 AND p.kind = $2 AND p.reference = $3 AND l.account = $4",
        )
        .bind(org.as_str())
        .bind(kind.as_str())
        .bind(reference)
        .bind(account.to_string())
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(amount(&row, 0)?)
    }

    /// True when something of this kind was posted for `org` under this reference.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has(
        &mut self,
        org: &OrgId,
        kind: Kind,
        reference: &str,
    ) -> Result<bool, LedgerError> {
        let row =
            sqlx::query("SELECT 1 FROM postings WHERE org = $1 AND kind = $2 AND reference = $3")
                .bind(org.as_str())
                .bind(kind.as_str())
                .bind(reference)
                .fetch_optional(&mut *self.transaction)
                .await?;
        Ok(row.is_some())
    }

    /// Posts lines of `org`'s accounts. Lines of nothing are left out; a posting of no lines is
    /// recorded all the same, so that its reference is taken.
    ///
    /// # Errors
    /// [`LedgerError::Unsound`] when the lines don't add up to zero, would overdraw an account or
    /// are of somebody else; or the database fails.
    pub async fn post(
        &mut self,
        org: &OrgId,
        kind: Kind,
        reference: &str,
        lines: &[Line],
    ) -> Result<(), LedgerError> {
        let unsound = |reason: String| {
            let kind = kind.as_str();
            LedgerError::Unsound(format!("{kind} {reference} of {org}: {reason}"))
        };
        let sum: Amount = lines.iter().map(|(_, gain)| *gain).sum();
        if sum != Amount::ZERO {
            return Err(unsound(format!("its lines add up to {sum} USD")));
        }
        if let Some((account, _)) = lines.iter().find(|(account, _)| account.org() != org) {
            return Err(unsound(format!("{account} belongs to another")));
        }
        self.load(lines.iter().map(|(account, _)| account)).await?;
        let Some(head) = self.heads.get_mut(org) else {
            return Err(unsound("its books are not open".to_owned()));
        };
        *head += 1;
        let number = *head;
        self.postings.push([
            Cell::from(org.to_string()),
            Cell::Int(number),
            Cell::text(kind.as_str()),
            Cell::from(reference.to_owned()),
            Cell::Int(self.unix_ms),
            Cell::Int(bigint(self.fence.0)),
        ]);
        let lines = lines.iter().filter(|(_, gain)| *gain != Amount::ZERO);
        for (line, (account, gain)) in (0_i64..).zip(lines) {
            let after = self.held(account) + *gain;
            if !account.may_hold(after) {
                return Err(unsound(format!("{account} would hold {after} USD")));
            }
            let (nano, pico_rem) = split(*gain)?;
            self.lines.push([
                Cell::from(org.to_string()),
                Cell::Int(number),
                Cell::Int(line),
                Cell::from(account.to_string()),
                Cell::Int(nano),
                Cell::from(pico_rem),
            ]);
            self.balances.insert(account.clone(), after);
            self.changed.insert(account.clone());
        }
        Ok(())
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
        self.load([&available, &overrun]).await?;
        let (has, owed) = (self.held(&available), -self.held(&overrun));
        let Some(Repayment(amount)) = balance::repayment(has, owed) else {
            return Ok(());
        };
        // There is exactly one cover after the posting that made it possible.
        let after = self.heads.get(org).copied().unwrap_or_default();
        let reference = format!("posting/{after}");
        let lines = [(available, -amount), (overrun, amount)];
        self.post(org, Kind::Cover, &reference, &lines).await
    }

    /// Makes it so, for good.
    ///
    /// # Errors
    /// When the database fails: then it is not known whether it is so.
    pub async fn commit(mut self) -> Result<(), LedgerError> {
        let posted = self.postings.iter().map(|[org, ..]| org);
        let posted: BTreeSet<_> = posted
            .filter_map(|org| match org {
                Cell::Text(org) => Some(OrgId::from(org.to_string())),
                Cell::Int(_) => None,
            })
            .collect();
        let heads: Vec<_> = self
            .heads
            .iter()
            .filter(|(org, _)| posted.contains(*org))
            .map(|(org, head)| [Cell::from(org.to_string()), Cell::Int(*head)])
            .collect();
        let mut balances = Vec::with_capacity(self.changed.len());
        for account in &self.changed {
            let (nano, pico_rem) = split(self.held(account))?;
            let (node, epoch) = account.holder();
            balances.push([
                Cell::from(account.to_string()),
                Cell::text(account.kind()),
                Cell::text(account.org().as_str()),
                Cell::text(node),
                Cell::Int(epoch),
                Cell::from(account.key()),
                Cell::text(account.provider()),
                Cell::from(account.window()),
                Cell::Int(nano),
                Cell::from(pico_rem),
            ]);
        }
        let (transaction, engine) = (&mut self.transaction, self.engine);
        HEADS.insert(transaction, engine, &heads).await?;
        POSTINGS.insert(transaction, engine, &self.postings).await?;
        LINES.insert(transaction, engine, &self.lines).await?;
        BALANCES.insert(transaction, engine, &balances).await?;
        Ok(self.transaction.commit().await?)
    }

    fn held(&self, account: &Account) -> Amount {
        self.balances.get(account).copied().unwrap_or_default()
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
