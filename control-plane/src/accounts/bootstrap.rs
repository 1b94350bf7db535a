//! What the first start makes: one funded organisation and its first key. Safe to run at each
//! start: what is there stays as it is.

use super::{Accounts, AccountsError, NewKey, Org};
use crate::ledger::{Ledger, LedgerError};
use crate::store::Epoch;
use shared::key::SecretKey;
use shared::money::Amount;
use shared::policy::KeyKind;

/// Who does it, in the audit log.
const ACTOR: &str = "start";
/// The shortest value that may be chosen for a key.
pub const CHOSEN_KEY_LENGTH_MIN: usize = 8;

/// What the operator has asked for.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Given to the first organisation, once.
    pub credits: Amount,
    /// An inference key with exactly this value.
    pub inference_key: Option<SecretKey>,
    /// A management key with exactly this value.
    pub management_key: Option<SecretKey>,
    /// Make a key when the organisation is new and no inference key was chosen.
    pub first_key: bool,
}

/// What there is now.
#[derive(Debug)]
pub struct Bootstrapped {
    /// The first organisation.
    pub org: Org,
    /// Its first key, to be shown this once; only on the first start.
    pub first_key: Option<SecretKey>,
}

/// What went wrong at the first start.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Keys or organisation.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Credits.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes what is missing.
///
/// # Errors
/// When the database fails, or a chosen key can't be one.
pub async fn run(
    accounts: &Accounts,
    ledger: &Ledger,
    fence: Epoch,
    wishes: &Wishes,
) -> Result<Bootstrapped, BootstrapError> {
    let (org, new) = accounts.ensure_first_org(ACTOR, "Default").await?;
    if wishes.credits > Amount::ZERO {
        let reference = format!("first-start/{}", org.id);
        let credited = ledger.credit(fence, &org.id, &reference, wishes.credits);
        if credited.await? {
            let object = format!("{} USD {}", org.id, wishes.credits);
            accounts.record(ACTOR, "credits.add", &object).await?;
        }
    }
    let chosen = [
        (&wishes.inference_key, KeyKind::Inference),
        (&wishes.management_key, KeyKind::Management),
    ];
    for (secret, kind) in chosen {
        if let Some(secret) = secret {
            ensure_chosen(accounts, secret, kind).await?;
        }
    }
    let first_key = if new && wishes.first_key && wishes.inference_key.is_none() {
        let key = NewKey::of(KeyKind::Inference, "first key");
        Some(accounts.create_key(ACTOR, &key).await?)
    } else {
        None
    };
    Ok(Bootstrapped { org, first_key })
}

async fn ensure_chosen(
    accounts: &Accounts,
    secret: &SecretKey,
    kind: KeyKind,
) -> Result<(), AccountsError> {
    if secret.reveal().len() < CHOSEN_KEY_LENGTH_MIN {
        return Err(AccountsError::Invalid {
            what: "chosen key",
            reason: format!("shorter than {CHOSEN_KEY_LENGTH_MIN} characters"),
        });
    }
    let key = NewKey::of(kind, "chosen key");
    accounts.ensure_key(ACTOR, secret, &key).await?;
    Ok(())
}
