//! What a batch of account changes means for what is leased here. Pure.

use shared::id::{LimitId, OrgId};
use shared::key::KeyHash;
use shared::proto::discovery::AccountUpdate;
use shared::proto::discovery::account_event::Body;
use std::collections::BTreeSet;

/// Whose leases go back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leased {
    /// All that is leased of these balances.
    pub(super) recalled: Vec<OrgId>,
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
                Some(Body::LeasesRecalled(org)) => leased.recalled.push(org.as_str().into()),
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
            Some(Body::OrgChanged("org_b".to_owned())),
            Some(Body::KeyChanged(vec![7; 32])),
        ];
        let leased = of(known.clone());
        assert_eq!(leased.recalled, [OrgId::from("org_a")]);
        assert_eq!(leased.orgs, BTreeSet::from(["org_b".into()]));
        assert_eq!(leased.keys.len(), 1);
        assert!(!leased.all);
        let unknown = of([known.clone(), vec![None]].concat());
        let all = Leased {
            all: true,
            ..leased
        };
        assert_eq!(unknown, all);
        let no_hash = Some(Body::KeyDenied(vec![7]));
        assert!(of([known, vec![no_hash]].concat()).all);
    }
}
