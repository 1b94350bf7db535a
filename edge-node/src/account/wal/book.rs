//! What the log says, folded: the state after any prefix of records. Pure; the writer keeps one
//! for checkpoints and recovery makes one by reading, so that both can't disagree. Deliberately
//! not here: what may be spent, which also knows time.

use super::Record;
use crate::account::Receipt;
use serde::{Deserialize, Serialize};
use shared::id::{
    BootEpoch, EndpointId, GenerationId, ModelId, NodeId, OrgId, ProviderSlug, Version,
};
use shared::key::KeyHash;
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::record::{Outcome, Particulars, TRIED_MAX, Tried, UsageRecord};
use shared::usage::Usage;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The fold of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::account) struct Book {
    /// Whose log it is.
    pub(in crate::account) node: NodeId,
    /// Which run's.
    pub(in crate::account) epoch: BootEpoch,
    /// Earlier runs whose leases were carried over into this one.
    pub(in crate::account) inherited: BTreeSet<BootEpoch>,
    /// The next end's sequence.
    pub(in crate::account) next: u64,
    /// The ledger has all ends up to here.
    pub(in crate::account) watermark: u64,
    /// When the ledger last answered; leases last from here.
    pub(in crate::account) contact_unix_ms: u64,
    /// What is here of each purse.
    pub(in crate::account) leases: BTreeMap<Purse, LeaseBook>,
    /// Money on its way back to the ledger.
    pub(in crate::account) returning: Vec<Returning>,
    /// What the ledger was asked for and may have given: by lease id, of which purse.
    #[serde(default)]
    pub(in crate::account) asked: BTreeMap<String, Purse>,
    /// Holds that have not ended.
    pub(in crate::account) open: HashMap<GenerationId, OpenEntry>,
    /// What was charged on credit and counts against what may be lent.
    #[serde(default)]
    pub(in crate::account) owed: BTreeMap<OrgId, Owed>,
    /// What has left `owed` since [`super::Log::forgiven`] was last asked.
    #[serde(skip)]
    pub(super) forgiven: Vec<(OrgId, Amount)>,
}

/// What an organisation has used on credit: until the ledger knows all of it, and has answered a
/// question about the balance since. One that takes usage and is too slow for questions is still out
/// of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct Owed {
    /// How much.
    pub(in crate::account) amount: Amount,
    /// The last end that added to it: when the ledger has that, it knows all.
    pub(in crate::account) last: u64,
    /// The ledger has answered a question about the balance after that.
    #[serde(default)]
    pub(in crate::account) heard: bool,
}

/// One purse's money on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct LeaseBook {
    /// Granted, less what was charged or went back. Open holds are still in it.
    pub(in crate::account) left: Amount,
    /// How long it lasts without contact.
    pub(in crate::account) ttl_ms: u64,
    /// Requests are reserved at the ledger one by one.
    #[serde(default)]
    pub(in crate::account) central: bool,
}

/// Unused lease that goes back to the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct Returning {
    /// The ledger's key of this return: telling it twice returns once.
    pub(in crate::account) release_id: String,
    /// The run that returns it.
    pub(in crate::account) epoch: BootEpoch,
    /// Of what it is.
    #[serde(rename = "org")]
    pub(in crate::account) purse: Purse,
    /// How much.
    pub(in crate::account) amount: Amount,
    /// Which part of the lease, when it is not just any.
    #[serde(default)]
    pub(in crate::account) part: ReturnedPart,
}

/// Which money goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::account) enum ReturnedPart {
    /// What the run has.
    #[default]
    Any,
    /// What it had before the ledger was asked under this lease id.
    Before(String),
    /// What the ledger gave under this lease id, if it did: nobody heard of it.
    Unheard(String),
}

impl ReturnedPart {
    /// The lease id whose money is not meant; empty when there is none.
    pub(in crate::account) fn before(&self) -> &str {
        match self {
            Self::Before(lease_id) => lease_id,
            Self::Any | Self::Unheard(_) => "",
        }
    }

    /// The lease id whose money alone is meant; empty when there is none.
    pub(in crate::account) fn unheard(&self) -> &str {
        match self {
            Self::Unheard(lease_id) => lease_id,
            Self::Any | Self::Before(_) => "",
        }
    }
}

/// A hold that has not ended, with the last mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::account) struct OpenEntry {
    /// As it began.
    pub(in crate::account) hold: Arc<OpenHold>,
    /// As last marked.
    pub(in crate::account) progress: Option<Progress>,
}

/// What is known of a hold when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct OpenHold {
    pub(in crate::account) generation: GenerationId,
    pub(in crate::account) org: OrgId,
    pub(in crate::account) key: KeyHash,
    pub(in crate::account) held: Amount,
    pub(in crate::account) api: String,
    pub(in crate::account) requested_model: String,
    pub(in crate::account) price_version: Version,
    pub(in crate::account) streamed: bool,
    pub(in crate::account) started_unix_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::account) windows: Vec<Window>,
    /// Those of the windows in which own provider keys count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::account) own_windows: Vec<Window>,
    #[serde(default)]
    pub(in crate::account) fee_ppm: u32,
    /// The fee on what an own provider key serves.
    #[serde(default)]
    pub(in crate::account) own_fee_ppm: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::account) flags: Vec<String>,
    /// Who is asked first.
    #[serde(default)]
    pub(in crate::account) first: Option<Asked>,
    /// What of the hold no lease carries.
    #[serde(default)]
    pub(in crate::account) credit: Amount,
    /// What an own key may serve, at list prices, without a fee.
    #[serde(default)]
    pub(in crate::account) fee_free: Amount,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Particulars::is_empty")]
    pub(in crate::account) particulars: Particulars,
}

/// Who is asked to serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its model.
    pub model: ModelId,
    /// Its provider.
    pub provider: ProviderSlug,
    /// With an own key of the organisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_key: bool,
}

/// A receipt as the log keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::account) struct Progress {
    endpoint: Option<EndpointId>,
    model: Option<ModelId>,
    provider: Option<ProviderSlug>,
    usage: Usage,
    cost: Amount,
    finish_reason: String,
    fault: Option<String>,
    attempts: u32,
    ttft_ms: u64,
    duration_ms: u64,
    upstream_id: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    own_key: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Tried>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tier: String,
    #[serde(skip_serializing_if = "is_nothing")]
    cache_discount: Amount,
}

fn is_nothing(amount: &Amount) -> bool {
    *amount == Amount::ZERO
}

impl Book {
    /// The book of a run that has done nothing yet.
    pub(in crate::account) fn new(node: NodeId, epoch: BootEpoch) -> Self {
        Self {
            node,
            epoch,
            inherited: BTreeSet::new(),
            next: 1,
            watermark: 0,
            contact_unix_ms: 0,
            leases: BTreeMap::new(),
            returning: Vec::new(),
            asked: BTreeMap::new(),
            open: HashMap::new(),
            owed: BTreeMap::new(),
            forgiven: Vec::new(),
        }
    }

    /// Folds one record in.
    pub(in crate::account) fn apply(&mut self, record: &Record) {
        match record {
            Record::Checkpoint(book) => self.clone_from(book),
            Record::Ask { lease_id, purse } => {
                self.asked.insert(lease_id.clone(), purse.clone());
            }
            Record::Refused { lease_id } => {
                self.asked.remove(lease_id);
            }
            Record::Grant {
                lease_id,
                purse,
                amount,
                ttl_ms,
                unix_ms,
                central,
            } => {
                self.asked.remove(lease_id);
                let lease = self.leases.entry(purse.clone()).or_default();
                lease.left += *amount;
                lease.ttl_ms = *ttl_ms;
                lease.central = *central;
                self.contact_unix_ms = self.contact_unix_ms.max(*unix_ms);
            }
            Record::Expire { purse, amount } => self.take(purse, *amount),
            Record::Return(returning) => {
                self.take(&returning.purse, returning.amount);
                self.returning.push(returning.clone());
            }
            Record::Returned { release_id } => {
                self.returning.retain(|r| r.release_id != *release_id);
            }
            Record::Contact { unix_ms } => {
                self.contact_unix_ms = self.contact_unix_ms.max(*unix_ms);
            }
            Record::Intent(hold) => {
                let entry = OpenEntry {
                    hold: Arc::clone(hold),
                    progress: None,
                };
                self.open.insert(hold.generation.clone(), entry);
            }
            Record::Mark {
                generation,
                progress,
            } => {
                if let Some(entry) = self.open.get_mut(generation) {
                    entry.progress = Some(progress.clone());
                }
            }
            Record::End(end) => self.end(end),
            Record::Ack { watermark } => {
                self.watermark = self.watermark.max(*watermark);
                self.forgive();
            }
            Record::Heard { org } => {
                if let Some(owed) = self.owed.get_mut(org) {
                    owed.heard = true;
                }
                self.forgive();
            }
            Record::Recovered => {}
        }
    }

    /// How many ends the ledger has not acknowledged.
    pub(in crate::account) fn unacknowledged(&self) -> u64 {
        self.next.saturating_sub(1).saturating_sub(self.watermark)
    }

    /// Open holds in an order that does not depend on the map.
    pub(in crate::account) fn open_in_order(&self) -> Vec<&OpenEntry> {
        let mut open: Vec<_> = self.open.values().collect();
        open.sort_by(|a, b| {
            let key = |entry: &OpenEntry| entry.hold.started_unix_ms;
            key(a)
                .cmp(&key(b))
                .then_with(|| a.hold.generation.cmp(&b.hold.generation))
        });
        open
    }

    fn end(&mut self, end: &UsageRecord) {
        // A new segment repeats ends that may not have reached the disk in the old one.
        if end.sequence < self.next {
            return;
        }
        self.next = end.sequence.saturating_add(1);
        self.open.remove(&end.generation);
        for (purse, charged) in end.charges() {
            self.take(&purse, charged);
        }
        if end.on_credit > Amount::ZERO {
            let owed = self.owed.entry(end.org.clone()).or_default();
            owed.amount += end.on_credit;
            (owed.last, owed.heard) = (end.sequence, false);
        }
    }

    fn forgive(&mut self) {
        let (watermark, forgiven) = (self.watermark, &mut self.forgiven);
        self.owed.retain(|org, owed| {
            let over = owed.heard && owed.last <= watermark;
            if over {
                forgiven.push((org.clone(), owed.amount));
            }
            !over
        });
    }

    fn take(&mut self, purse: &Purse, amount: Amount) {
        if let Some(lease) = self.leases.get_mut(purse) {
            lease.left -= amount;
            if lease.left == Amount::ZERO {
                self.leases.remove(purse);
            }
        } else if amount != Amount::ZERO {
            // More was spent than granted (a provider's over-run): the next grant pays it back.
            let lease = self.leases.entry(purse.clone()).or_default();
            lease.left -= amount;
        }
    }
}

impl OpenHold {
    /// What the record of an answer will charge.
    pub(in crate::account) fn charge(&self, cost: Amount, own_key: bool) -> Amount {
        if own_key {
            let beyond = (cost - self.fee_free).at_least_zero();
            return beyond.millionths(self.own_fee_ppm);
        }
        cost + cost.millionths(self.fee_ppm)
    }

    /// The record of this hold's end. Its sequence is given when it is written.
    pub(in crate::account) fn end(&self, mut progress: Progress, outcome: Outcome) -> UsageRecord {
        // Cut off before the first mark: who was asked first may bill it.
        if let (None, Some(first), Outcome::Suspense) = (&progress.provider, &self.first, outcome) {
            progress.asked(first);
        }
        let own_key = progress.own_key;
        // What an own key was doing is on no bill that would ever settle it here: it is charged as
        // far as it is known to have come.
        let outcome = match outcome {
            Outcome::Suspense if own_key && progress.cost > Amount::ZERO => Outcome::Settled,
            Outcome::Suspense if own_key => Outcome::Released,
            outcome => outcome,
        };
        let (windows, fee_ppm) = if own_key {
            (&self.own_windows, self.own_fee_ppm)
        } else {
            (&self.windows, self.fee_ppm)
        };
        let mut end = UsageRecord {
            sequence: 0,
            generation: self.generation.clone(),
            org: self.org.clone(),
            key: self.key,
            outcome,
            held: self.held,
            cost: progress.cost,
            api: self.api.clone(),
            requested_model: self.requested_model.clone(),
            model: progress.model,
            endpoint: progress.endpoint,
            provider: progress.provider,
            price_version: self.price_version,
            usage: progress.usage,
            streamed: self.streamed,
            finish_reason: progress.finish_reason,
            fault: progress.fault,
            started_unix_ms: self.started_unix_ms,
            duration_ms: progress.duration_ms,
            ttft_ms: progress.ttft_ms,
            attempts: progress.attempts,
            upstream_id: progress.upstream_id,
            windows: windows.clone(),
            fee_ppm,
            own_key,
            flags: self.flags.clone(),
            on_credit: Amount::ZERO,
            fee_free: Amount::ZERO,
            particulars: Particulars {
                tried: progress.tried,
                tier: progress.tier,
                cache_discount: progress.cache_discount,
                ..self.particulars.clone()
            },
        };
        if own_key && outcome == Outcome::Settled {
            end.fee_free = self.fee_free.min(end.cost);
        }
        // What the lease has set aside goes first.
        let beyond = end.charge() - (self.held - self.credit);
        end.on_credit = beyond.at_least_zero().min(self.credit);
        end
    }
}

impl Progress {
    /// What the receipt says the request costs; never below zero.
    pub(in crate::account) fn cost(&self) -> Amount {
        self.cost
    }

    /// Somebody is asked, who may bill it.
    pub(in crate::account) fn asked(&mut self, asked: &Asked) {
        self.endpoint = Some(asked.endpoint.clone());
        self.model = Some(asked.model.clone());
        self.provider = Some(asked.provider.clone());
        self.own_key = asked.own_key;
    }
}

impl From<&Receipt> for Progress {
    fn from(receipt: &Receipt) -> Self {
        Self {
            endpoint: receipt.endpoint.clone(),
            model: receipt.model.clone(),
            provider: receipt.provider.clone(),
            usage: receipt.usage,
            cost: receipt.cost.at_least_zero(),
            finish_reason: receipt.finish_reason.clone(),
            fault: receipt.fault.map(|fault| fault.as_str().to_owned()),
            attempts: receipt.attempts,
            ttft_ms: receipt.ttft.map_or(0, whole_ms),
            duration_ms: whole_ms(receipt.duration),
            upstream_id: receipt.upstream_id.clone(),
            own_key: receipt.own_key,
            tried: receipt.tried.iter().take(TRIED_MAX).cloned().collect(),
            tier: receipt.tier.to_owned(),
            cache_discount: receipt.cache_discount,
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
