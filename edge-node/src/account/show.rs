//! What operators see of money on this node: what requests in flight hold, and what is leased.
//! Deliberately not here: what has ended; that is in the ledger.

use super::Accounts;
use serde_json::{Value, json};
use shared::money::Amount;

/// The most holds, and the most purses, that are told one by one.
const SHOWN_MAX: usize = 1000;

impl Accounts {
    /// Holds in flight, oldest first, and leases; at most 1000 of each, and how many there are.
    #[must_use]
    pub fn shown(&self) -> Value {
        let (count, held, holds) = self.cashier.log.with_book(|book| {
            let open = book.open_in_order();
            let held: Amount = open.iter().map(|entry| entry.hold.held).sum();
            let rows = open.iter().take(SHOWN_MAX).map(|entry| {
                let hold = &entry.hold;
                let spent = entry.progress.as_ref().map(super::wal::Progress::cost);
                let windows = hold.windows.iter().map(ToString::to_string);
                json!({
                    "generation": hold.generation.as_str(),
                    "org": hold.org.as_str(),
                    "key": hold.key.to_string(),
                    "model": hold.requested_model,
                    "held_usd": hold.held.to_string(),
                    "marked_usd": spent.unwrap_or_default().to_string(),
                    "started_unix_ms": hold.started_unix_ms,
                    "limits": windows.collect::<Vec<_>>(),
                })
            });
            (open.len(), held, rows.collect::<Vec<_>>())
        });
        let leases = self
            .cashier
            .desk
            .shown(SHOWN_MAX, self.cashier.time(self.clock.now()));
        let leases = leases.into_iter().map(|(purse, held, available)| {
            json!({
                "purse": purse.to_string(),
                "held_usd": held.to_string(),
                "available_usd": available.to_string(),
            })
        });
        json!({
            "in_flight": count,
            "held_usd": held.to_string(),
            "holds": holds,
            "leases": leases.collect::<Vec<_>>(),
        })
    }
}
