//! What a posting can be of.

/// What is posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Grants to available.
    Credit,
    /// Purchases to available, less the fee.
    Purchase,
    /// Available back to purchases.
    Refund,
    /// Suspense to usage and back to available, and what a provider bills otherwise than we do.
    Reconcile,
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
    /// A window to what was used of it before its limit was set.
    Opening,
    /// Leases to the fee on what was spent.
    Fee,
    /// What own provider keys served is counted, and the fee on what is free given back.
    Byok,
    /// The fee on what own provider keys served back to available: a lease of the allowance for
    /// them has come back unused.
    Allowance,
    /// Available to an overrun.
    Cover,
}

impl Kind {
    /// The word for it, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Purchase => "purchase",
            Self::Refund => "refund",
            Self::Reconcile => "reconcile",
            Self::Grant => "grant",
            Self::Release => "release",
            Self::Reclaim => "reclaim",
            Self::Inherit => "inherit",
            Self::Usage => "usage",
            Self::Opening => "opening",
            Self::Fee => "fee",
            Self::Byok => "byok",
            Self::Allowance => "allowance",
            Self::Cover => "cover",
        }
    }
}
