//! What a credential is: its secret on the way into the vault, whom it is for, and where.

use super::place::{self, Located};
use crate::accounts::{AccountsError, NAME_MAX, check_name};
use crate::security::vault::Sealed;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::byok::{Place, binding};
use shared::id::{OrgId, WorkspaceId};
use std::fmt;

/// Longest secret, in bytes.
pub const SECRET_MAX: usize = 16 << 10;
/// Most entries of one filter.
pub const FILTER_MAX: usize = 100;
/// Shortest secret whose ends are shown.
const LABELLED_MIN: usize = 20;

/// A provider's secret in clear, on its way into the vault. Never printed.
pub struct ProviderSecret(pub(super) String);

impl ProviderSecret {
    /// Without white space around it; a file in JSON on one line.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let file = text
            .starts_with('{')
            .then(|| serde_json::from_str::<Value>(text).ok());
        Self(match file.flatten() {
            Some(file) => file.to_string(),
            None => text.to_owned(),
        })
    }

    pub(super) fn check(&self) -> Result<(), AccountsError> {
        let visible = self.0.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if self.0.is_empty() || self.0.len() > SECRET_MAX || !visible {
            let reason = format!("1 to {SECRET_MAX} visible characters on one line are expected");
            return Err(AccountsError::invalid("key", reason));
        }
        place::check(self)
    }

    /// The ends of it; of an account, its name.
    pub(super) fn label(&self) -> String {
        if let Some(name) = place::label(self) {
            return name;
        }
        let part = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        let length = self.0.len();
        if length < LABELLED_MIN {
            return "...".to_owned();
        }
        format!("{}...{}", part(0..3), part(length - 4..length))
    }
}

impl fmt::Debug for ProviderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderSecret(…)")
    }
}

/// Who may use a credential, and for what; none is everybody and everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Only for these models.
    pub allowed_models: Option<Vec<String>>,
    /// Only with these API keys, by their ids.
    pub allowed_api_key_hashes: Option<Vec<String>>,
    /// Only with API keys that these people have made.
    pub allowed_user_ids: Option<Vec<String>>,
}

/// What can be said of a credential beside its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialTerms {
    /// As its owner calls it.
    pub name: String,
    /// Only after the shared endpoints have failed.
    pub is_fallback: bool,
    /// Never the platform's own key at this provider.
    pub is_required: bool,
    /// Kept, but not used.
    pub disabled: bool,
    /// Lower first.
    pub sort_order: i64,
    /// Who may use it, and for what.
    pub filters: Filters,
}

/// A credential to be made.
#[derive(Debug)]
pub struct NewCredential {
    /// Whose; none is the first organisation.
    pub org: Option<OrgId>,
    /// Only for keys of this workspace; none is any.
    pub workspace: Option<WorkspaceId>,
    /// The provider's slug.
    pub provider: String,
    /// Where the provider is, and what of that is the owner's.
    pub located: Located,
    /// The secret.
    pub secret: ProviderSecret,
    /// The rest.
    pub terms: CredentialTerms,
}

/// A credential as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// `byok_…`.
    pub id: String,
    /// Whose.
    pub org: OrgId,
    /// Only for keys of this workspace; none is any.
    pub workspace: Option<WorkspaceId>,
    /// The only provider that is shown it.
    pub provider: String,
    /// The only scheme, host and port that is shown it.
    pub origin: String,
    /// What of the provider's address is the owner's.
    pub place: Place,
    /// The ends of the secret.
    pub label: String,
    /// The rest.
    pub terms: CredentialTerms,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; none: never changed.
    pub updated_unix_ms: Option<u64>,
    pub(super) sealed: Sealed,
}

impl CredentialRow {
    pub(super) fn binding(&self) -> Vec<u8> {
        binding(&self.id, &self.provider, &self.origin)
    }
}

pub(super) fn check_terms(terms: &CredentialTerms) -> Result<(), AccountsError> {
    check_name("name", &terms.name)?;
    let filters = [
        ("allowed_models", &terms.filters.allowed_models),
        (
            "allowed_api_key_hashes",
            &terms.filters.allowed_api_key_hashes,
        ),
        ("allowed_user_ids", &terms.filters.allowed_user_ids),
    ];
    for (name, filter) in filters {
        let all = filter.as_deref().unwrap_or_default();
        let plain = |text: &String| {
            let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
            visible && !text.is_empty() && text.len() <= NAME_MAX
        };
        if all.len() > FILTER_MAX || !all.iter().all(plain) {
            let reason = format!("at most {FILTER_MAX} ids are expected");
            return Err(AccountsError::invalid(name, reason));
        }
    }
    Ok(())
}
