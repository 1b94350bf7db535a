//! What counts in a window of a limit, for people: the same that a request is measured by.

use super::opening::{Whose, in_suspense, used_before};
use super::{Ledger, LedgerError};
use shared::id::OrgId;
use shared::limit::Limit;
use shared::money::Amount;

/// What counts in a window of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// All of it.
    pub whole: Amount,
    /// What of it is held by requests whose cost nobody knows yet.
    pub unsettled: Amount,
}

impl Ledger {
    /// What counts in the limit's window of now: what days add up to of those whose limit it is, also
    /// before the window was first drawn from, and what is in suspense besides; or what the window
    /// has, where that is more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spent(&self, org: &OrgId, limit: &Limit) -> Result<Spent, LedgerError> {
        let window = limit.window(self.clock.unix_s());
        let counted = self.used_of(org, &window).await?;
        let Some(whose) = Whose::of(&window) else {
            return Ok(Spent {
                whole: counted,
                unsettled: Amount::ZERO,
            });
        };
        let mut connection = self.database.readers().acquire().await?;
        let unsettled = in_suspense(&mut connection, org, &window).await?;
        let which = (whose, &window);
        let settled = used_before(&mut connection, org, which, limit.include_byok).await?;
        Ok(Spent {
            whole: counted.max(settled + unsettled),
            unsettled,
        })
    }
}
