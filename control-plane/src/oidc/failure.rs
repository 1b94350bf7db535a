//! Why somebody is not logged in: one sentence for the person, who can't mend a provider, and one
//! for the operator, who can. Neither repeats a token, a code or a secret; what a provider says of
//! itself is cut and goes to the operator only.

/// The longest text of a provider that is repeated, in bytes.
const TEXT_MAX: usize = 200;

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The state is none of ours, over, or used.
    #[error("nothing was begun with this state, or it has ended or was used")]
    Stale,
    /// The state is another browser's.
    #[error("it was begun in another browser")]
    Browser,
    /// The answer is another provider's.
    #[error("the answer does not name our issuer as its own: {0}")]
    Issuer(String),
    /// The provider sent somebody back without a code.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// It does not take the code: used, too old, or of another log-in.
    #[error("the provider does not take the code: {0}")]
    Code(String),
    /// It can't be reached, or does not do as it must.
    #[error("the provider can't be used: {0}")]
    Provider(String),
    /// What it has signed is not for us, not now, or not signed.
    #[error("the ID token is not good, {what}: {why}")]
    Token {
        /// What is wrong, in a word or two.
        what: &'static str,
        /// How.
        why: String,
    },
    /// It tells no address.
    #[error("the provider tells no address of theirs")]
    NoAddress,
    /// It has not verified the address.
    #[error("the provider has not verified the address {0:?}")]
    Unverified(String),
    /// Nobody has the address, and they may not join.
    #[error("nobody has the address {0:?}")]
    Unknown(String),
    /// Somebody has the address who is somebody else at the provider.
    #[error("{0:?} is linked to another subject at the provider")]
    Another(String),
    /// They may not log in.
    #[error("{0:?} may not log in")]
    Disabled(String),
    /// The organisation to join is not there.
    #[error("join_org: {0}")]
    NoOrg(String),
    /// Too many log-ins at once.
    #[error("too many log-ins are being ended at once")]
    Busy,
}

/// Whose it is to do something about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The person's: begin again, or ask to be let in.
    Person,
    /// The provider's, or of how it is set up here.
    Operator,
    /// Nobody's: there is too much to do.
    Load,
}

impl Failure {
    /// A provider's words, cut.
    pub(super) fn words(text: &str) -> String {
        let end = text.floor_char_boundary(TEXT_MAX);
        text.get(..end)
            .unwrap_or_default()
            .escape_debug()
            .to_string()
    }

    /// The token is not good.
    pub(super) fn token(what: &'static str, why: impl Into<String>) -> Self {
        let why = Self::words(&why.into());
        Self::Token { what, why }
    }

    /// Whose it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Issuer(_) | Self::Provider(_) | Self::Token { .. } | Self::NoOrg(_) => {
                Fault::Operator
            }
            Self::NoAddress => Fault::Operator,
            Self::Busy => Fault::Load,
            Self::Stale
            | Self::Browser
            | Self::Refused(_)
            | Self::Code(_)
            | Self::Unverified(_)
            | Self::Unknown(_)
            | Self::Another(_)
            | Self::Disabled(_) => Fault::Person,
        }
    }

    /// The word for it in metrics.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Browser => "browser",
            Self::Issuer(_) => "issuer",
            Self::Refused(_) => "refused",
            Self::Code(_) => "code",
            Self::Provider(_) => "provider",
            Self::Token { .. } => "token",
            Self::NoAddress => "no_address",
            Self::Unverified(_) => "unverified",
            Self::Unknown(_) => "unknown",
            Self::Another(_) => "another",
            Self::Disabled(_) => "disabled",
            Self::NoOrg(_) => "no_organisation",
            Self::Busy => "busy",
        }
    }

    /// What the person is told.
    #[must_use]
    pub fn told(&self) -> String {
        let tell = "; tell the operator";
        match self {
            Self::Stale => "this log-in took longer than ten minutes, was used already, or was \
                            never begun here; begin again"
                .to_owned(),
            Self::Browser => {
                "this log-in was begun in another browser or another window; begin again".to_owned()
            }
            Self::Issuer(_) => {
                format!("the answer comes from another identity provider than ours{tell}")
            }
            Self::Refused(_) => "the identity provider did not let you in".to_owned(),
            Self::Code(_) => "the identity provider does not know this log-in, or no longer; \
                              begin again"
                .to_owned(),
            Self::Provider(_) => {
                format!("the identity provider can't be used at the moment{tell} if that lasts")
            }
            Self::Token { what, .. } => {
                format!("what the identity provider says can't be trusted: {what}{tell}")
            }
            Self::NoAddress => format!("the identity provider tells no e-mail address{tell}"),
            Self::Unverified(email) => {
                format!("the identity provider has not verified your e-mail address {email}")
            }
            Self::Unknown(email) => {
                format!(
                    "nobody here has the e-mail address {email}; ask an administrator to add it"
                )
            }
            Self::Another(email) => format!(
                "{email} belongs to another account of the identity provider; ask the operator to \
                 unlink it"
            ),
            Self::Disabled(_) => "you may not log in here; ask an administrator".to_owned(),
            Self::NoOrg(_) => format!("the organisation that you would join is not there{tell}"),
            Self::Busy => "too many log-ins at this moment; try again".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_are_cut_and_printable() {
        assert_eq!(Failure::words("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        let long = Failure::words(&"\u{e9}".repeat(TEXT_MAX));
        assert_eq!(long.chars().count(), TEXT_MAX / 2);
        let failure = Failure::Refused("secret of the provider".to_owned());
        assert!(!failure.told().contains("secret"));
    }
}
