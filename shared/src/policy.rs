//! What a key may do. A [`Principal`] is everything that an edge knows of a caller: it is looked
//! up once at the control plane, cached, and valid without it.

use crate::byok::SealedCredential;
use crate::guardrail::Rules;
use crate::id::{ModelId, OrgId, ProviderSlug};
use crate::key::KeyHash;
use crate::limit::{Limit, Scope};
use crate::money::Amount;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// Who calls, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The organisation that pays.
    pub org: OrgId,
    /// The key's public id.
    pub key: KeyHash,
    /// The name that the key's owner gave it.
    pub key_name: String,
    /// Inference or management.
    pub kind: KeyKind,
    /// Seconds since 1970; none is never.
    pub expires_at: Option<u64>,
    /// What the key may use and spend.
    pub policy: KeyPolicy,
}

/// What a key opens. A management key can't infer, an inference key can't manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Inference.
    Inference,
    /// Keys, credits, activity and the other account routes.
    Management,
}

/// Rules over a key's requests. Empty lists and absent limits mean: no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyPolicy {
    /// The most that the key may spend per `limit_reset`.
    pub limit: Option<Amount>,
    /// When `limit` starts anew; none is never.
    pub limit_reset: Option<ResetInterval>,
    /// Whether what the organisation's own provider keys would have cost counts for `limit`.
    pub include_byok_in_limit: bool,
    /// Requests per minute over the whole fleet.
    pub requests_per_minute: Option<u32>,
    /// Requests in flight over the whole fleet.
    pub concurrent: Option<u32>,
    /// If not empty, no other model.
    pub allowed_models: Vec<ModelId>,
    /// If not empty, no other provider.
    pub allowed_providers: Vec<ProviderSlug>,
    /// Never these.
    pub ignored_providers: Vec<ProviderSlug>,
    /// Only endpoints that keep nothing.
    pub zdr: bool,
    /// Only endpoints that don't train on prompts.
    pub no_training: bool,
    /// What requests of the key's workspace begin with. Added at the look-up.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// What the key's guardrails say together; never the key's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Arc<Rules>>,
    /// The organisation's own provider keys that this key may use, in their order, sealed to the
    /// node that asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Arc<SealedCredential>>,
    /// What else limits the key: budgets of its member, workspace, organisation and guardrails.
    /// Added at the look-up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// The platform's fee on what the key spends, in millionths. Added at the look-up.
    pub spend_fee_ppm: u32,
    /// The platform's fee on the list price of what own provider keys serve, in millionths. Added
    /// at the look-up.
    pub byok_fee_ppm: u32,
    /// So much of that list price is free of the fee each month,
    pub byok_free: Amount,
    /// and so many of those requests.
    pub byok_free_requests: u64,
    /// What each node may let the organisation use beyond its leases while the ledger is out of
    /// reach. Added at the look-up.
    pub outage_credit: Amount,
}

/// What requests of a workspace's keys begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The model of a request that names none.
    pub default_text_model: Option<String>,
    /// The same for pictures.
    pub default_image_model: Option<String>,
    /// How providers are sorted when a request does not say: one of [`Settings::SORTS`].
    pub default_provider_sort: Option<String>,
}

impl Settings {
    /// How providers can be sorted.
    pub const SORTS: [&str; 4] = ["price", "latency", "throughput", "exacto"];

    /// True when a request gets nothing from it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl KeyPolicy {
    /// Every limit of what the key of this hash spends, its own first.
    pub fn limits_of(&self, key: KeyHash) -> impl Iterator<Item = Cow<'_, Limit>> {
        let own = self.limit.map(|amount| {
            Cow::Owned(Limit {
                scope: Scope::Key,
                id: key.to_string().into(),
                interval: self.limit_reset.into(),
                amount,
                include_byok: self.include_byok_in_limit,
            })
        });
        own.into_iter().chain(self.limits.iter().map(Cow::Borrowed))
    }
}

/// When a limit starts anew: at midnight UTC, weeks on Mondays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResetInterval {
    /// Each day.
    Daily,
    /// Each Monday.
    Weekly,
    /// On each month's first day.
    Monthly,
}
