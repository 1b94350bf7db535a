//! Content filters: what is looked for in prompts, where, and what happens then. Deliberately not
//! here: the looking, which edges do.

use serde::{Deserialize, Serialize};

/// What happens to a text that a filter finds; the later, the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is told.
    Flag,
    /// It is replaced.
    Redact,
    /// The request is refused.
    Block,
}

impl Action {
    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// A pattern of the organisation's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentFilter {
    /// A regular expression in JavaScript's flavour, without look-around and back-references.
    pub pattern: String,
    /// What happens to what it finds.
    pub action: Action,
    /// What stands in the place of what is redacted, and names the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A filter that comes with Godwit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinFilter {
    /// Which.
    pub slug: Builtin,
    /// What happens to what it finds.
    pub action: Action,
    /// Where it looks; only the prompt-injection filter can look beyond user messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan_scope: Option<Scope>,
}

/// The filters that come with Godwit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// Addresses of electronic mail.
    Email,
    /// Telephone numbers.
    Phone,
    /// US social security numbers.
    Ssn,
    /// Card numbers whose check digit is right.
    CreditCard,
    /// IPv4 and IPv6 addresses.
    IpAddress,
    /// Names of people, as far as the words around them give them away.
    PersonName,
    /// Street addresses.
    Address,
    /// Known phrases of prompt injection.
    #[serde(rename = "regex-prompt-injection")]
    PromptInjection,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Email,
        Self::Phone,
        Self::Ssn,
        Self::CreditCard,
        Self::IpAddress,
        Self::PersonName,
        Self::Address,
        Self::PromptInjection,
    ];

    /// Its slug.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ssn => "ssn",
            Self::CreditCard => "credit-card",
            Self::IpAddress => "ip-address",
            Self::PersonName => "person-name",
            Self::Address => "address",
            Self::PromptInjection => "regex-prompt-injection",
        }
    }
}

/// Where a filter looks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What users say.
    #[default]
    UserOnly,
    /// What anybody says, tools included.
    AllMessages,
}

/// Something that is looked for, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// What.
    pub check: Check,
    /// And then.
    pub action: Action,
    /// The filter's name; stands in the place of what is redacted.
    pub label: String,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A pattern of the organisation's own, in what users say.
    Pattern(String),
    /// One that comes with Godwit.
    Builtin {
        /// Which.
        slug: Builtin,
        /// Where.
        scope: Scope,
    },
}
