//! One request's end, as it travels from the edge's log to the ledger: exactly one per hold.

mod particulars;

use crate::id::{
    BootEpoch, EndpointId, GenerationId, ModelId, NodeId, OrgId, ProviderSlug, Version,
};
use crate::key::KeyHash;
use crate::limit::{Purse, Scope, Window};
use crate::money::Amount;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};

pub use particulars::{Particulars, TEXT_MAX, TRIED_MAX, Tried, line, page};

/// How a hold ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Charge `cost`.
    Settled,
    /// Charge nothing.
    Released,
    /// The node died in flight: the true cost lies between `cost` (the last mark) and `held`.
    Suspense,
}

/// What the ledger must know of one request, and what people want to see of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Contiguous from 1 in (node, boot epoch).
    pub sequence: u64,
    /// The request.
    pub generation: GenerationId,
    /// Who pays.
    pub org: OrgId,
    /// With which key.
    pub key: KeyHash,
    /// How the hold ended.
    pub outcome: Outcome,
    /// What was set aside.
    pub held: Amount,
    /// What it costs by the price list; for suspense the lower bound.
    pub cost: Amount,
    /// The client API, e.g. `chat`.
    pub api: String,
    /// What the client asked for.
    pub requested_model: String,
    /// What served it; none when nothing did.
    pub model: Option<ModelId>,
    /// The endpoint that served it.
    pub endpoint: Option<EndpointId>,
    /// Its provider.
    pub provider: Option<ProviderSlug>,
    /// The catalogue version whose price holds.
    pub price_version: Version,
    /// What was used.
    pub usage: Usage,
    /// Was it a stream.
    pub streamed: bool,
    /// OpenAI's word; empty when it did not finish.
    pub finish_reason: String,
    /// The fault owner's label when it failed.
    pub fault: Option<String>,
    /// When it came in.
    pub started_unix_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Time to the first content byte; 0 when there was none.
    pub ttft_ms: u64,
    /// How many endpoints were tried.
    pub attempts: u32,
    /// The provider's own id of the generation.
    pub upstream_id: String,
    /// The windows of limits that it held from besides the balance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// The platform's fee on what it costs, in millionths.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fee_ppm: u32,
    /// An own key of the organisation has served it: the provider bills the organisation, and here
    /// the fee alone is charged. Of `windows` there are those only in which such use counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_key: bool,
    /// What content filters found and let pass, as `flag:NAME` or `redact:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// What of the charge no lease carried: spent on the organisation's credit while the ledger was
    /// out of reach.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub on_credit: Amount,
    /// What of the cost is free of the fee because the node had leased so much of the month's
    /// allowance.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub fee_free: Amount,
    /// What people want to know of it besides.
    #[serde(default, skip_serializing_if = "Particulars::is_empty")]
    pub particulars: Particulars,
}

impl UsageRecord {
    /// The platform's fee: on what was settled, nothing on anything else.
    #[must_use]
    pub fn fee(&self) -> Amount {
        match self.outcome {
            Outcome::Settled => (self.cost - self.fee_free)
                .at_least_zero()
                .millionths(self.fee_ppm),
            Outcome::Released | Outcome::Suspense => Amount::ZERO,
        }
    }

    /// What it takes out of the balance. A suspense keeps its whole hold until it is reconciled.
    #[must_use]
    pub fn charge(&self) -> Amount {
        match self.outcome {
            Outcome::Settled if self.own_key => self.fee(),
            Outcome::Settled => self.cost + self.fee(),
            Outcome::Released => Amount::ZERO,
            Outcome::Suspense => self.held,
        }
    }

    /// What it takes out of which purse's lease, the balance first.
    pub fn charges(&self) -> impl Iterator<Item = (Purse, Amount)> {
        let leased = self.charge() - self.on_credit;
        let balance = (Purse::from(self.org.clone()), leased);
        let windows = self.windows.iter().map(|window| {
            let purse = Purse {
                org: self.org.clone(),
                window: Some(window.clone()),
            };
            (purse, self.charge_of(window))
        });
        std::iter::once(balance).chain(windows)
    }

    /// What it takes out of one of its windows: what it costs without the fee, or of the allowance
    /// for own keys what is free of the fee.
    #[must_use]
    pub fn charge_of(&self, window: &Window) -> Amount {
        let settled = self.outcome == Outcome::Settled;
        match window.scope {
            Scope::Byok if settled => self.fee_free,
            Scope::Byok => Amount::ZERO,
            Scope::ByokRequests if !settled => Amount::ZERO,
            _ => window.charges(self.used()),
        }
    }

    /// What was used: what it costs without the fee, or in suspense its whole hold.
    #[must_use]
    pub fn used(&self) -> Amount {
        match self.outcome {
            Outcome::Settled => self.cost,
            Outcome::Released => Amount::ZERO,
            Outcome::Suspense => self.held,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(ppm: &u32) -> bool {
    *ppm == 0
}

fn is_nothing(amount: &Amount) -> bool {
    *amount == Amount::ZERO
}

/// Where a record comes from: with its sequence, its identity in the ledger.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// The edge.
    pub node: NodeId,
    /// Its run.
    pub epoch: BootEpoch,
}
