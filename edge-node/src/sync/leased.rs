//! What a batch of account changes means for what is leased here. Pure.

use shared::id::{LimitId, OrgId};
use shared::key::KeyHash;
use shared::limit::{NoWindow, Purse};
use shared::proto::discovery::AccountUpdate;
use shared::proto::discovery::account_event::Body;
use std::collections::BTreeSet;

/// Whose leases go back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leased {
    /// All that is leased of these balances and windows.
    pub(super) recalled: Vec<Purse>,
    /// What is leased of windows of limits of these organisations,
    pub(super) orgs: BTreeSet<OrgId>,
    /// of these keys' own limits,
    pub(super) keys: BTreeSet<LimitId>,
    /// or of all windows.
    pub(super) all: bool,
}

impl From<&AccountUpdate> for Leased {
    fn from(update: &AccountUpdate) -> Self {
        let mut leased = Self {
            all: update.reset,
            ..Self::default()
        };
        for event in &update.events {
            match &event.body {
                Some(Body::LeasesRecalled(purse)) => match purse.parse() {
                    Ok(purse) => leased.recalled.push(purse),
                    Err(NoWindow) => leased.all = true,
                },
                Some(Body::OrgChanged(org)) => {
                    leased.orgs.insert(org.as_str().into());
                }
                Some(Body::KeyChanged(key) | Body::KeyDenied(key)) => {
                    match <[u8; 32]>::try_from(key.as_slice()) {
                        Ok(key) => {
                            let key = KeyHash(key).to_string();
                            leased.keys.insert(key.as_str().into());
                        }
                        Err(_) => leased.all = true,
                    }
                }
                // What a newer control plane says may be about any limit.
                None => leased.all = true,
            }
        }
        leased
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::proto::discovery::AccountEvent;

    fn of(bodies: Vec<Option<Body>>) -> Leased {
        let event = |body| AccountEvent { sequence: 1, body };
        let update = AccountUpdate {
            events: bodies.into_iter().map(event).collect(),
            sequence: 1,
            reset: false,
        };
        (&update).into()
    }

    #[test]
    fn what_is_not_known_may_be_about_any_limit() {
        let known = vec![
            Some(Body::LeasesRecalled("org_a".to_owned())),
            Some(Body::LeasesRecalled("org_a key:ff:daily:0".to_owned())),
            Some(Body::OrgChanged("org_b".to_owned())),
            Some(Body::KeyChanged(vec![7; 32])),
        ];
        let leased = of(known.clone());
        let balance = Purse::from(OrgId::from("org_a"));
        let window = Purse {
            window: Some("key:ff:daily:0".parse().unwrap()),
            ..balance.clone()
        };
        assert_eq!(leased.recalled, [balance, window]);
        assert_eq!(leased.orgs, BTreeSet::from(["org_b".into()]));
        assert_eq!(leased.keys.len(), 1);
        assert!(!leased.all);
        let unknown = of([known.clone(), vec![None]].concat());
        let all = Leased {
            all: true,
            ..leased
        };
        assert_eq!(unknown, all);
        let no_purse = Some(Body::LeasesRecalled("org_a of a later kind".to_owned()));
        assert!(of([known.clone(), vec![no_purse]].concat()).all);
        let no_hash = Some(Body::KeyDenied(vec![7]));
        assert!(of([known, vec![no_hash]].concat()).all);
    }
}
