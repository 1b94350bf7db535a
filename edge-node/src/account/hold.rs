//! One request's money: set aside before the first upstream byte, ended exactly once, by
//! [`Hold::settle`] or by drop. Deliberately not here: how much to set aside (the gateway knows
//! prices and limits).

use super::Accounts;
use super::wal::{Asked, OpenHold, Progress};
use super::want::Wants;
use crate::failure::Fault;
use shared::clock::Moment;
use shared::id::{EndpointId, GenerationId, ModelId, ProviderSlug, Version};
use shared::money::Amount;
use shared::record::{Particulars, Tried};
use shared::usage::Usage;
use std::sync::Arc;
use std::time::Duration;

/// What is asked for, known before any upstream byte.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The request.
    pub generation: GenerationId,
    /// The client API, e.g. `chat`.
    pub api: &'static str,
    /// What the client asked for.
    pub requested_model: String,
    /// The catalogue version whose prices hold to the end.
    pub price_version: Version,
    /// The worst case at shared endpoints; none when it goes to none of them.
    pub shared: Option<Amount>,
    /// The worst case with own provider keys, at list prices.
    pub own: Amount,
    /// A free variant may serve it: it counts as one of the organisation's.
    pub free: bool,
    /// Enough to start with a clamped `max_tokens`.
    pub least: Amount,
    /// Enough for an answer that the client has not bounded; none where it has.
    pub useful: Option<Amount>,
    /// What content filters found and let pass, as `flag:NAME` or `redact:NAME`.
    pub flags: Vec<String>,
    /// Is it a stream.
    pub streamed: bool,
    /// When it came in.
    pub started_unix_ms: u64,
    /// Who is asked first.
    pub first: Option<Asked>,
    /// Who asks, within its bounds.
    pub particulars: Particulars,
}

/// What is known of the request so far; the gateway fills it in as it learns.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// The endpoint that serves it.
    pub endpoint: Option<EndpointId>,
    /// The model that serves it.
    pub model: Option<ModelId>,
    /// The provider that serves it.
    pub provider: Option<ProviderSlug>,
    /// What was used.
    pub usage: Usage,
    /// What that costs; zero releases the hold.
    pub cost: Amount,
    /// OpenAI's word; empty when it did not finish.
    pub finish_reason: String,
    /// Whose fault, when it failed.
    pub fault: Option<Fault>,
    /// Endpoints tried.
    pub attempts: u32,
    /// Time to the first content byte.
    pub ttft: Option<Duration>,
    /// How long it took.
    pub duration: Duration,
    /// The provider's own id of the generation.
    pub upstream_id: String,
    /// An own key of the organisation serves it: `cost` is the list price.
    pub own_key: bool,
    /// Who was asked, in order.
    pub tried: Vec<Tried>,
    /// The service tier that serves it; empty when none was asked for or told of.
    pub tier: &'static str,
    /// What the provider's cache has saved; below zero when writing to it cost more.
    pub cache_discount: Amount,
}

/// Where it is logged who else is asked.
#[derive(Clone)]
pub struct Trail {
    accounts: Arc<Accounts>,
    open: Arc<OpenHold>,
}

impl Trail {
    /// Logs that `asked` is asked now: should the node die before the next mark, its bill tells
    /// what the request has cost.
    pub fn asks(&self, asked: &Asked) {
        let mut progress = Progress::default();
        progress.asked(asked);
        self.accounts
            .cashier
            .log
            .mark(&self.open.generation, progress);
    }
}

/// Money set aside for one request. Dropping it settles what the receipt says.
pub struct Hold {
    /// What is known so far, and what will be settled.
    pub receipt: Receipt,
    accounts: Arc<Accounts>,
    open: Arc<OpenHold>,
    pub(super) wants: Wants,
    amount: Amount,
    marked: Option<Moment>,
}

impl Hold {
    pub(super) fn new(
        accounts: Arc<Accounts>,
        open: Arc<OpenHold>,
        (wants, amount): (Wants, Amount),
    ) -> Self {
        Self {
            receipt: Receipt::default(),
            accounts,
            open,
            wants,
            amount,
            marked: None,
        }
    }

    /// What the request may cost at list prices, the fee apart: the ceiling or less, never less
    /// than the least.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// What the account is charged for an answer that costs `cost` by the price list: that and the fee
    /// on it, or with an own key the fee alone, as the record will say. What the ledger gives back
    /// later, of a fee on own keys that an allowance elsewhere carries, is not known here.
    #[must_use]
    pub fn charge(&self, cost: Amount, own_key: bool) -> Amount {
        self.open.charge(cost, own_key)
    }

    /// Where further attempts are logged.
    #[must_use]
    pub fn trail(&self) -> Trail {
        Trail {
            accounts: Arc::clone(&self.accounts),
            open: Arc::clone(&self.open),
        }
    }

    /// Logs the receipt as progress: at once the first time, then at most once a second; other
    /// calls do nothing. A kill charges at least the last mark.
    pub fn mark(&mut self) {
        let now = self.accounts.clock.now();
        let every = self.accounts.timers.mark;
        if self.marked.is_some_and(|last| now < last.plus(every)) {
            return;
        }
        self.marked = Some(now);
        let progress = Progress::from(&self.receipt);
        self.accounts
            .cashier
            .log
            .mark(&self.open.generation, progress);
    }

    /// Ends the hold with what the receipt says; a cost of zero releases it.
    pub fn settle(self) {
        // The one end is in `drop`, so that there can't be two.
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let progress = Progress::from(&self.receipt);
        let (cashier, now) = (&self.accounts.cashier, self.accounts.clock.now());
        let parts = (self.wants.all(), self.amount);
        if cashier.end(&self.open, parts, progress, now) {
            self.accounts.left.notify_one();
        }
    }
}
