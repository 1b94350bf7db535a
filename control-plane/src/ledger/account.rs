//! The places where money is. Each belongs to one organisation, so that its accounts add up to
//! zero by themselves and nobody's posting waits for another's.

use super::{LedgerError, check_id};
use crate::sql::{DatabaseError, bigint};
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::key::KeyHash;
use shared::money::Amount;
use shared::record::Origin;
use std::fmt;

/// A place where money is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// Where an organisation's credits come from: minus everything ever given to it.
    Grants(OrgId),
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
            Self::Grants(_) => "grants",
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
            Self::Grants(_) | Self::Overrun(_) => amount <= Amount::ZERO,
            Self::Available(_) | Self::Lease(..) | Self::Usage(..) | Self::Suspense(_) => {
                amount >= Amount::ZERO
            }
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn org(&self) -> &OrgId {
        match self {
            Self::Grants(org)
            | Self::Available(org)
            | Self::Lease(org, _)
            | Self::Usage(org, _)
            | Self::Suspense(org)
            | Self::Overrun(org) => org,
        }
    }

    /// Of a lease, the run that holds it, as it is stored.
    pub(super) fn holder(&self) -> (&str, i64) {
        match self {
            Self::Lease(_, origin) => (origin.node.as_str(), bigint(origin.epoch.0)),
            Self::Grants(_)
            | Self::Available(_)
            | Self::Usage(..)
            | Self::Suspense(_)
            | Self::Overrun(_) => ("", 0),
        }
    }

    /// Of usage, the key, as it is stored.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Usage(_, key) => key.to_string(),
            Self::Grants(_)
            | Self::Available(_)
            | Self::Lease(..)
            | Self::Suspense(_)
            | Self::Overrun(_) => String::new(),
        }
    }

    /// The account of this stored kind with these stored columns.
    pub(super) fn of(
        kind: &str,
        org: String,
        holder: (String, u64),
        key: &str,
    ) -> Result<Self, LedgerError> {
        let corrupt = |value: &str| {
            LedgerError::Database(DatabaseError::Corrupt {
                what: "account",
                value: value.to_owned(),
            })
        };
        check_id("organisation", &org)?;
        let org = OrgId::from(org);
        Ok(match kind {
            "grants" => Self::Grants(org),
            "available" => Self::Available(org),
            "suspense" => Self::Suspense(org),
            "overrun" => Self::Overrun(org),
            "usage" => Self::Usage(org, key.parse().map_err(|_| corrupt(key))?),
            "lease" => {
                let (node, epoch) = holder;
                let origin = Origin {
                    node: NodeId::from(node),
                    epoch: BootEpoch(epoch),
                };
                Self::Lease(org, origin)
            }
            _ => return Err(corrupt(kind)),
        })
    }
}

/// The account's id in the tables: unique, and readable.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.org())?;
        match self {
            Self::Grants(_) | Self::Available(_) | Self::Suspense(_) | Self::Overrun(_) => Ok(()),
            Self::Lease(_, origin) => write!(f, ":{}:{}", origin.node, origin.epoch.0),
            Self::Usage(_, key) => write!(f, ":{key}"),
        }
    }
}
