//! What a bill posts: one record out of suspense or corrected, and what is billed for what was never
//! charged.

use super::super::account::Account;
use super::super::journal::{Book, Kind, Line, split};
use super::super::{LedgerError, usage};
use super::known::Known;
use crate::sql::rows::{Cell, Table, Type};
use shared::id::{OrgId, ProviderSlug};
use shared::limit::Window;
use shared::money::Amount;

const RECONCILIATIONS: Table<16> = Table {
    name: "reconciliations",
    columns: [
        ("node", Type::Text),
        ("epoch", Type::Big),
        ("sequence", Type::Big),
        ("org", Type::Text),
        ("key_id", Type::Text),
        ("provider", Type::Text),
        ("held_nano", Type::Big),
        ("held_pico_rem", Type::Small),
        ("charged_nano", Type::Big),
        ("charged_pico_rem", Type::Small),
        ("billed_nano", Type::Big),
        ("billed_pico_rem", Type::Small),
        ("unix_ms", Type::Big),
        ("limit_windows", Type::Text),
        ("fee_nano", Type::Big),
        ("fee_pico_rem", Type::Small),
    ],
    conflict: "",
};

/// One record, and what its provider bills for it.
pub(super) struct Move<'a> {
    pub(super) record: &'a Known,
    pub(super) billed: Amount,
}

/// A line of what was never charged.
pub(super) struct Beyond {
    /// Of its posting: the same line has the same.
    pub(super) reference: String,
    pub(super) billed: Amount,
}

impl<'a> Move<'a> {
    pub(super) fn new(record: &'a Known, billed: Amount) -> Self {
        Self { record, billed }
    }

    /// What the organisation is charged for the record in the end.
    pub(super) fn charged(&self) -> Amount {
        self.billed.min(self.record.held)
    }

    /// What is charged beyond what was before; below zero when it was too much.
    pub(super) fn added(&self) -> Amount {
        self.changes().1
    }

    /// The platform's fee, as far as the hold covers it. A correction leaves the fee, and the
    /// windows of limits, as they were.
    pub(super) fn fee(&self) -> Amount {
        if !self.record.in_suspense {
            return Amount::ZERO;
        }
        let charged = self.charged();
        let fee = charged.millionths(self.record.fee_ppm);
        fee.min(self.record.held - charged)
    }

    fn windows(&self) -> &[Window] {
        if self.record.in_suspense {
            &self.record.windows
        } else {
            &[]
        }
    }

    /// What leaves suspense, and what is charged beyond what was before.
    fn changes(&self) -> (Amount, Amount) {
        if self.record.in_suspense {
            (self.record.held, self.charged())
        } else {
            (Amount::ZERO, self.charged() - self.record.cost)
        }
    }
}

impl Book {
    pub(super) async fn settle(
        &mut self,
        org: &OrgId,
        provider: &ProviderSlug,
        one: &Move<'_>,
    ) -> Result<(), LedgerError> {
        let (held, charged) = one.changes();
        let beyond = one.billed - one.charged();
        // What a correction takes is there, or is owed.
        let available = Account::Available(org.clone());
        let fee = one.fee();
        let back = held - charged - fee;
        let has = self.balance(&available).await?;
        let free = back.max(-has);
        let mut lines: Vec<Line> = vec![
            (Account::Suspense(org.clone()), -held),
            (Account::Usage(org.clone(), one.record.key), charged),
            (Account::Fees(org.clone()), fee),
            (available, free),
            (Account::Overrun(org.clone()), back - free),
            (Account::Cost(org.clone()), -charged),
            (Account::Expense(org.clone()), -beyond),
            (
                Account::Payable(org.clone(), provider.clone()),
                charged + beyond,
            ),
        ];
        for window in one.windows() {
            let back = window.charges(held) - window.charges(charged);
            let (org, window) = (org.clone(), window.clone());
            lines.push((Account::WindowUsed(org.clone(), window.clone()), -back));
            lines.push((Account::Window(org, window), back));
        }
        let (node, epoch, sequence) = &one.record.place;
        let reference = format!("{node}/{epoch}/{sequence}");
        self.post(org, Kind::Reconcile, &reference, &lines).await
    }

    pub(super) async fn pay_beyond(
        &mut self,
        org: &OrgId,
        provider: &ProviderSlug,
        one: &Beyond,
    ) -> Result<(), LedgerError> {
        let lines = [
            (Account::Expense(org.clone()), -one.billed),
            (Account::Payable(org.clone(), provider.clone()), one.billed),
        ];
        self.post(org, Kind::Reconcile, &one.reference, &lines)
            .await
    }
}

pub(super) async fn insert(book: &mut Book, rows: &[[Cell<'_>; 16]]) -> Result<(), LedgerError> {
    let engine = book.engine();
    RECONCILIATIONS.insert(book.sql(), engine, rows).await?;
    Ok(())
}

/// In the order of [`RECONCILIATIONS`].
pub(super) fn row<'a>(
    provider: &'a ProviderSlug,
    one: &'a Move<'_>,
    unix_ms: u64,
) -> Result<[Cell<'a>; 16], LedgerError> {
    let record = one.record;
    let (held, charged) = one.changes();
    let (held, charged, billed) = (split(held)?, split(charged)?, split(one.billed)?);
    let fee = split(one.fee())?;
    let (node, epoch, sequence) = &record.place;
    Ok([
        Cell::text(node),
        Cell::Int(*epoch),
        Cell::Int(*sequence),
        Cell::text(record.org.as_str()),
        Cell::from(record.key.to_string()),
        Cell::text(provider.as_str()),
        Cell::Int(held.0),
        Cell::from(held.1),
        Cell::Int(charged.0),
        Cell::from(charged.1),
        Cell::Int(billed.0),
        Cell::from(billed.1),
        Cell::Int(crate::sql::bigint(unix_ms)),
        Cell::from(usage::windows_text(one.windows())),
        Cell::Int(fee.0),
        Cell::from(fee.1),
    ])
}
