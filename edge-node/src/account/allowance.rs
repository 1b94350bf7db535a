//! The month's allowance for own provider keys: so much of their list price is free of the fee. It is
//! leased as a limit's window is; what a lease carries needs no money, and what it does not carry
//! holds the fee on it. Deliberately not here: the fee itself, which follows from the record.

use super::Accounts;
use super::desk::{May, Reach};
use super::want::Worst;
use shared::limit::{Purse, Scope, Window};
use shared::money::Amount;
use shared::policy::Principal;
use std::sync::Arc;
use tokio::time::Instant;

/// What of the allowance is set aside for one request. Dropped before its hold begins, it is given
/// back to the desk.
pub(super) struct Allowance {
    accounts: Arc<Accounts>,
    part: Option<(Purse, Amount)>,
    free: Amount,
}

impl Accounts {
    /// Sets aside as much of the allowance as a request with own keys may use, or as there is. A
    /// ledger that is silent is not waited for as long as money is, nor twice: the fee can be held
    /// instead.
    pub(super) async fn allowance(
        self: &Arc<Self>,
        principal: &Principal,
        worst: &Worst,
        unix_s: u64,
    ) -> Allowance {
        let mut allowance = Allowance {
            accounts: Arc::clone(self),
            part: None,
            free: Amount::ZERO,
        };
        let policy = &principal.policy;
        let deadline = Instant::now() + self.timers.elsewhere;
        if worst.own <= Amount::ZERO || worst.own_fee_ppm == 0 {
            return allowance;
        }
        let by_price = (policy.byok_free > Amount::ZERO, Scope::Byok, worst.own);
        let by_number = (
            policy.byok_free_requests > 0,
            Scope::ByokRequests,
            Window::ONE,
        );
        for (agreed, scope, most) in [by_number, by_price] {
            if !agreed {
                continue;
            }
            let purse = Purse {
                org: principal.org.clone(),
                window: Some(Window::month(scope, &principal.org, unix_s)),
            };
            let time = self.cashier.time(self.clock.now());
            let reach = self.cashier.desk.reach(&purse, time);
            if reach == Reach::Probe {
                self.fly(&purse);
            }
            let may = May {
                ask: reach == Reach::Ask,
                credit: Amount::ZERO,
            };
            let wants = std::slice::from_ref(&purse);
            let set = self.reserve(wants, (most, Amount(1)), may, deadline);
            let Ok((part, _)) = set.await else {
                continue;
            };
            allowance.free = match scope {
                Scope::Byok => part,
                _ => worst.own,
            };
            allowance.part = Some((purse, part));
            break;
        }
        allowance
    }
}

impl Allowance {
    /// So much of what own keys cost by the price list is free of the fee.
    pub(super) fn free(&self) -> Amount {
        self.free
    }

    /// What is set aside, of which purse. It is no longer given back.
    pub(super) fn take(mut self) -> Option<(Purse, Amount)> {
        self.part.take()
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        if let Some((purse, part)) = self.part.take() {
            let (desk, now) = (&self.accounts.cashier.desk, self.accounts.clock.now());
            desk.undo(&[purse], (part, Amount::ZERO), now);
        }
    }
}
