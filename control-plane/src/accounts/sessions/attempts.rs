//! How often somebody may try to log in. Attempts are counted per address and client network, so
//! that whoever guesses shuts out their own network and not the owner; and per address over all
//! networks, so that many networks don't add up to many guesses. A network from which the owner
//! has logged in lately is not held by that second count, which others may use up.

use metrics::counter;
use shared::clock::Moment;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

/// Attempts to log in with one address from one network within [`ATTEMPTS_WITHIN`]; more are turned
/// away.
pub const ATTEMPTS_MAX: u32 = 10;
/// Attempts with one address within [`ATTEMPTS_WITHIN`] from all networks from which nobody has
/// logged in with it; more are turned away there.
pub const ATTEMPTS_ANYWHERE_MAX: u32 = 100;
/// Within which time attempts are counted.
pub const ATTEMPTS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Addresses, and addresses with a network, whose attempts are counted at one time, of those that
/// somebody has and of those that nobody has each; beyond it, the first is forgotten.
pub const ATTEMPTED_MAX: usize = 10_000;
/// Networks of one address that are remembered for a log-in; one more forgets the oldest.
pub const NETWORKS_MAX: usize = 8;
const SHED: &str = "godwit_shed_total";

/// Where somebody is: an address of IPv4, or the /64 of one of IPv6, of which a client has as many
/// as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let prefix = address.to_bits() >> 64 << 64;
                Self(Ipv6Addr::from_bits(prefix).into())
            }
        }
    }
}

/// The attempts of late: with addresses that somebody has apart from those that nobody has, so that
/// a flood of made-up ones counts against nobody.
#[derive(Default)]
pub(in crate::accounts) struct Attempts {
    known: Mutex<Counted>,
    made_up: Mutex<Counted>,
}

/// How many attempts were made, and since when.
type Counts<T> = HashMap<T, (u32, Moment)>;

#[derive(Default)]
struct Counted {
    here: Counts<(String, Network)>,
    anywhere: Counts<String>,
    /// From where the owner of an address has logged in, the latest last.
    owners: HashMap<String, (Vec<Network>, Moment)>,
}

impl Attempts {
    /// Counts one; how long to wait when it is one too many. `known`: somebody has this address.
    pub(super) fn count(
        &self,
        email: &str,
        network: Network,
        known: bool,
        now: Moment,
    ) -> Result<(), Duration> {
        let counted = if known { &self.known } else { &self.made_up };
        let mut counted = shared::task::lock(counted);
        let owner = counted.owners.get(email);
        let owners = owner.is_some_and(|(networks, _)| networks.contains(&network));
        let (here, email) = ((email.to_owned(), network), email.to_owned());
        // Looked at first: what is turned away is counted nowhere.
        let mut wait = full(&counted.here, &here, ATTEMPTS_MAX, now);
        if !owners {
            let anywhere = full(&counted.anywhere, &email, ATTEMPTS_ANYWHERE_MAX, now);
            wait = wait.max(anywhere);
        }
        if let Some(wait) = wait {
            counter!(SHED, "limit" => "log_in_attempts").increment(1);
            return Err(wait);
        }
        add(&mut counted.here, here, now);
        if !owners {
            add(&mut counted.anywhere, email, now);
        }
        Ok(())
    }

    /// The owner of the address has logged in from there.
    pub(super) fn succeeded(&self, email: &str, network: Network, now: Moment) {
        let mut counted = shared::task::lock(&self.known);
        counted.here.remove(&(email.to_owned(), network));
        if !counted.owners.contains_key(email) && counted.owners.len() >= ATTEMPTED_MAX {
            let oldest = counted.owners.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(email, _)| email.clone()) {
                counted.owners.remove(&oldest);
            }
        }
        let entry = counted.owners.entry(email.to_owned());
        let (networks, at) = entry.or_insert_with(|| (Vec::new(), now));
        networks.retain(|known| *known != network);
        if networks.len() >= NETWORKS_MAX {
            networks.remove(0);
        }
        networks.push(network);
        *at = now;
    }
}

/// How long until one more may be made; none: now.
fn full<T: Eq + Hash>(counts: &Counts<T>, of: &T, most: u32, now: Moment) -> Option<Duration> {
    let (made, begun) = counts.get(of)?;
    let left = ATTEMPTS_WITHIN.saturating_sub(now.since(*begun));
    (*made >= most && left > Duration::ZERO).then_some(left)
}

fn add<T: Eq + Hash + Clone>(counts: &mut Counts<T>, of: T, now: Moment) {
    if !counts.contains_key(&of) {
        make_room(counts, now);
    }
    let (made, begun) = counts.entry(of).or_insert((0, now));
    if now.since(*begun) >= ATTEMPTS_WITHIN {
        (*made, *begun) = (0, now);
    }
    *made += 1;
}

/// Where there are too many, the one that was counted first is forgotten.
fn make_room<T: Eq + Hash + Clone>(counts: &mut Counts<T>, now: Moment) {
    if counts.len() < ATTEMPTED_MAX {
        return;
    }
    counts.retain(|_, (_, begun)| now.since(*begun) < ATTEMPTS_WITHIN);
    if counts.len() < ATTEMPTED_MAX {
        return;
    }
    counter!(SHED, "limit" => "log_in_addresses").increment(1);
    let oldest = counts.iter().min_by_key(|(_, (_, begun))| *begun);
    if let Some(oldest) = oldest.map(|(of, _)| of.clone()) {
        counts.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Moment {
        Moment(0).plus(Duration::from_secs(s))
    }

    fn network(text: &str) -> Network {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_network_of_ipv6_is_its_first_half() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn who_guesses_shuts_nobody_else_out() {
        let (attempts, email) = (Attempts::default(), "ada@example.com");
        let (home, foe) = (network("192.0.2.1"), network("198.51.100.1"));
        for _ in 0..ATTEMPTS_MAX {
            attempts.count(email, foe, true, at(0)).unwrap();
        }
        let refused = attempts.count(email, foe, true, at(1));
        assert_eq!(refused, Err(ATTEMPTS_WITHIN - Duration::from_secs(1)));
        attempts.count(email, home, true, at(1)).unwrap();
        attempts.succeeded(email, home, at(1));
        // Many networks are few guesses all the same.
        let mut guessed = 0;
        for nth in 0..1000_u32 {
            let elsewhere = Network(IpAddr::from((0xcb00_7100 + nth).to_be_bytes()));
            guessed += u32::from(attempts.count(email, elsewhere, true, at(2)).is_ok());
        }
        assert_eq!(guessed, ATTEMPTS_ANYWHERE_MAX - ATTEMPTS_MAX - 1);
        // But the owner gets in where they were before, and has no more guesses there either.
        for _ in 0..ATTEMPTS_MAX {
            attempts.count(email, home, true, at(3)).unwrap();
        }
        assert!(attempts.count(email, home, true, at(3)).is_err());
        let later = at(ATTEMPTS_WITHIN.as_secs() + 3);
        attempts.count(email, foe, true, later).unwrap();
    }

    #[test]
    fn made_up_addresses_turn_nobody_away() {
        let (attempts, from) = (Attempts::default(), network("192.0.2.1"));
        for _ in 0..ATTEMPTS_MAX {
            attempts
                .count("eve@example.com", from, false, at(0))
                .unwrap();
            attempts
                .count("bob@example.com", from, true, at(0))
                .unwrap();
        }
        let refused = attempts.count("eve@example.com", from, false, at(0));
        assert_eq!(refused, Err(ATTEMPTS_WITHIN), "who is known can't be told");
        for nth in 0..ATTEMPTED_MAX + 10 {
            let made_up = format!("nobody-{nth}@example.com");
            attempts.count(&made_up, from, false, at(1)).unwrap();
        }
        let counted = shared::task::lock(&attempts.made_up);
        assert_eq!(counted.here.len(), ATTEMPTED_MAX);
        assert_eq!(counted.anywhere.len(), ATTEMPTED_MAX);
        drop(counted);
        attempts
            .count("ada@example.com", from, true, at(1))
            .unwrap();
        let guessed = attempts.count("bob@example.com", from, true, at(1));
        assert!(guessed.is_err(), "nor does a flood bring further guesses");
        attempts
            .count("eve@example.com", from, false, at(1))
            .unwrap();
    }

    #[test]
    fn only_the_last_networks_of_an_owner_are_known() {
        let (attempts, email) = (Attempts::default(), "ada@example.com");
        for nth in 0..=NETWORKS_MAX {
            let here = network(&format!("192.0.2.{nth}"));
            attempts.succeeded(email, here, at(0));
        }
        let counted = shared::task::lock(&attempts.known);
        let (networks, _) = &counted.owners[email];
        assert_eq!(networks.len(), NETWORKS_MAX);
        assert!(!networks.contains(&network("192.0.2.0")));
    }
}
