//! The places where money is. Each belongs to one organisation, so that its accounts add up to
//! zero by themselves and nobody's posting waits for another's.

use super::{LedgerError, check_id};
use crate::sql::{DatabaseError, bigint};
use shared::id::{OrgId, ProviderSlug};
use shared::key::KeyHash;
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::record::Origin;
use std::fmt;

/// A place where money is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// Where an organisation's gifts come from: minus everything ever given to it.
    Grants(OrgId),
    /// Where its purchases come from: minus everything that it has paid and not got back.
    Purchases(OrgId),
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
    /// The platform's fees.
    Fees(OrgId),
    /// What the usage has cost the platform: minus everything that providers are owed for it.
    Cost(OrgId),
    /// What a provider is owed for an organisation's usage.
    Payable(OrgId, ProviderSlug),
    /// What a provider bills and no client is charged for: zero or below.
    Expense(OrgId),
    /// Minus everything that leases and usage have drawn from a window of a limit. What a window
    /// has left is its limit and this.
    Window(OrgId, Window),
    /// What one run of one node has of a window.
    WindowLease(OrgId, Window, Origin),
    /// What was used of a window.
    WindowUsed(OrgId, Window),
}

/// An account's columns.
pub(super) struct Stored {
    pub(super) kind: String,
    pub(super) org: String,
    pub(super) origin: Origin,
    pub(super) key: String,
    pub(super) provider: String,
    pub(super) window: String,
}

impl Account {
    /// The word for its kind, as it is stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Grants(_) => "grants",
            Self::Purchases(_) => "purchases",
            Self::Available(_) => "available",
            Self::Lease(..) => "lease",
            Self::Usage(..) => "usage",
            Self::Suspense(_) => "suspense",
            Self::Overrun(_) => "overrun",
            Self::Fees(_) => "fees",
            Self::Cost(_) => "cost",
            Self::Payable(..) => "payable",
            Self::Expense(_) => "expense",
            Self::Window(..) => "window",
            Self::WindowLease(..) => "window_lease",
            Self::WindowUsed(..) => "window_used",
        }
    }

    /// Where leases of this purse come from.
    #[must_use]
    pub fn outside(purse: &Purse) -> Self {
        let org = purse.org.clone();
        match &purse.window {
            None => Self::Available(org),
            Some(window) => Self::Window(org, window.clone()),
        }
    }

    /// The lease of this purse that a run has.
    #[must_use]
    pub fn lease(purse: &Purse, origin: Origin) -> Self {
        let org = purse.org.clone();
        match &purse.window {
            None => Self::Lease(org, origin),
            Some(window) => Self::WindowLease(org, window.clone(), origin),
        }
    }

    /// May it hold this much? Where money comes from, debts and expenses are never above zero,
    /// everything else is never below.
    #[must_use]
    pub fn may_hold(&self, amount: Amount) -> bool {
        match self {
            Self::Grants(_)
            | Self::Purchases(_)
            | Self::Overrun(_)
            | Self::Cost(_)
            | Self::Expense(_)
            | Self::Window(..) => amount <= Amount::ZERO,
            Self::Available(_)
            | Self::Lease(..)
            | Self::Usage(..)
            | Self::Suspense(_)
            | Self::Fees(_)
            | Self::Payable(..)
            | Self::WindowLease(..)
            | Self::WindowUsed(..) => amount >= Amount::ZERO,
        }
    }

    /// Whose books it is in.
    #[must_use]
    pub fn org(&self) -> &OrgId {
        match self {
            Self::Grants(org)
            | Self::Purchases(org)
            | Self::Available(org)
            | Self::Lease(org, _)
            | Self::Usage(org, _)
            | Self::Suspense(org)
            | Self::Overrun(org)
            | Self::Fees(org)
            | Self::Cost(org)
            | Self::Payable(org, _)
            | Self::Expense(org)
            | Self::Window(org, _)
            | Self::WindowLease(org, ..)
            | Self::WindowUsed(org, _) => org,
        }
    }

    /// Of a lease, the run that holds it, as it is stored.
    pub(super) fn holder(&self) -> (&str, i64) {
        match self {
            Self::Lease(_, origin) | Self::WindowLease(_, _, origin) => {
                (origin.node.as_str(), bigint(origin.epoch.0))
            }
            _ => ("", 0),
        }
    }

    /// Of usage, the key, as it is stored.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Usage(_, key) => key.to_string(),
            _ => String::new(),
        }
    }

    /// Of what a provider is owed, the provider, as it is stored.
    pub(super) fn provider(&self) -> &str {
        match self {
            Self::Payable(_, provider) => provider.as_str(),
            _ => "",
        }
    }

    /// Of what is about a window, the window, as it is stored.
    pub(super) fn window(&self) -> String {
        match self {
            Self::Window(_, window)
            | Self::WindowLease(_, window, _)
            | Self::WindowUsed(_, window) => window.to_string(),
            _ => String::new(),
        }
    }

    /// The account of these stored columns.
    pub(super) fn of(stored: Stored) -> Result<Self, LedgerError> {
        let Stored {
            kind,
            org,
            origin,
            key,
            provider,
            window,
        } = stored;
        let corrupt = |value: &str| {
            LedgerError::Database(DatabaseError::Corrupt {
                what: "account",
                value: value.to_owned(),
            })
        };
        check_id("organisation", &org)?;
        let org = OrgId::from(org);
        let parsed = || window.parse::<Window>().map_err(|_| corrupt(&window));
        Ok(match kind.as_str() {
            "grants" => Self::Grants(org),
            "purchases" => Self::Purchases(org),
            "fees" => Self::Fees(org),
            "cost" => Self::Cost(org),
            "payable" => Self::Payable(org, ProviderSlug::from(provider)),
            "expense" => Self::Expense(org),
            "available" => Self::Available(org),
            "suspense" => Self::Suspense(org),
            "overrun" => Self::Overrun(org),
            "usage" => Self::Usage(org, key.parse().map_err(|_| corrupt(&key))?),
            "lease" => Self::Lease(org, origin),
            "window" => Self::Window(org, parsed()?),
            "window_lease" => Self::WindowLease(org, parsed()?, origin),
            "window_used" => Self::WindowUsed(org, parsed()?),
            _ => return Err(corrupt(&kind)),
        })
    }
}

/// The account's id in the tables: unique, and readable.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.org())?;
        match self {
            Self::Lease(_, origin) => write!(f, ":{}:{}", origin.node, origin.epoch.0),
            Self::Usage(_, key) => write!(f, ":{key}"),
            Self::Payable(_, provider) => write!(f, ":{provider}"),
            Self::Window(_, window) | Self::WindowUsed(_, window) => write!(f, ":{window}"),
            Self::WindowLease(_, window, origin) => {
                write!(f, ":{window}:{}:{}", origin.node, origin.epoch.0)
            }
            _ => Ok(()),
        }
    }
}
