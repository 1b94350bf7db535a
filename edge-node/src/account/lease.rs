//! What may be spent here: the arithmetic of one organisation's lease. Pure and without system
//! calls; time is passed in. Deliberately not here: the log and the ledger.

use shared::clock::Moment;
use shared::money::Amount;
use std::time::Duration;

/// The burn rate forgets with this time constant.
const BURN_MEMORY: Duration = Duration::from_secs(30);
/// A top-up asks for this long at the burn rate: as long as a lease may last without the ledger,
/// so that an outage of the control plane is not one of the clients. The ledger gives less where
/// the balance is small.
const BURN_AHEAD_SECONDS: f64 = 2.0 * 3600.0;
/// A top-up asks for at least this many times the largest recent hold: before there is a burn rate,
/// that is what carries a node whose control plane dies.
const HOLDS_AHEAD: i128 = 64;

/// Now, and when the question was sent that the ledger answered last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Time {
    pub(super) now: Moment,
    pub(super) contact: Option<Moment>,
}

/// Both of a node's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The one that only goes on.
    pub(super) moment: Moment,
    /// The wall's.
    pub(super) unix_ms: u64,
}

/// The largest hold is forgotten when no such one came for so long.
const LARGEST_MEMORY: Duration = Duration::from_secs(600);

/// One organisation's money on this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// Granted, less what was charged or went back; open holds are in it. Negative after a
    /// provider's over-run.
    left: Amount,
    held: Amount,
    /// Holds that have not ended.
    open: u64,
    /// The lease lasts this long from any contact,
    ttl: Duration,
    /// and at least until then.
    until: Moment,
    /// What was available after the ledger last gave less than it was asked for: more it does not
    /// give now. None when it gave everything.
    limit: Option<Amount>,
    /// When the last hold ended.
    idle_since: Moment,
    largest: Amount,
    largest_at: Moment,
    burn: Burn,
}

/// Spending, smoothed: the sum of costs, decayed. For sizing only.
#[derive(Clone, Copy, Debug, Default)]
struct Burn {
    pico: f64,
    at: Moment,
}

impl Lease {
    /// What new holds may take.
    pub(super) fn available(&self, time: Time) -> Amount {
        if self.expired(time) {
            return Amount::ZERO;
        }
        self.unused()
    }

    /// True when nobody may spend it any more: the ledger may have given it to somebody else.
    pub(super) fn expired(&self, time: Time) -> bool {
        let contact = time.contact.map(|contact| contact.plus(self.ttl));
        time.now > self.until.max(contact.unwrap_or_default())
    }

    /// Money came in: it lasts until `until`, and `ttl` from any contact.
    pub(super) fn grant(&mut self, amount: Amount, ttl: Duration, until: Moment) {
        self.left += amount;
        self.ttl = ttl;
        self.until = self.until.max(until);
    }

    /// The ledger has answered, and gave all that it was asked for or did not.
    pub(super) fn answered(&mut self, whole: bool) {
        self.limit = (!whole).then_some(self.left - self.held);
    }

    /// A hold of this size is asked for: what is leased ahead follows from the largest.
    pub(super) fn asked(&mut self, ceiling: Amount, now: Moment) -> Amount {
        if ceiling >= self.largest || now.since(self.largest_at) > LARGEST_MEMORY {
            (self.largest, self.largest_at) = (ceiling, now);
        }
        ceiling
    }

    /// The largest hold of late.
    pub(super) fn largest(&self) -> Amount {
        self.largest
    }

    /// True while the largest hold of late is worth knowing.
    pub(super) fn remembers(&self, now: Moment) -> bool {
        self.largest > Amount::ZERO && now.since(self.largest_at) <= LARGEST_MEMORY
    }

    /// What new holds could take if the lease is not over.
    pub(super) fn unused(&self) -> Amount {
        (self.left - self.held).at_least_zero()
    }

    /// What open holds have set aside.
    pub(super) fn held(&self) -> Amount {
        self.held
    }

    /// Sets aside `amount`, which is there.
    pub(super) fn take(&mut self, amount: Amount) {
        self.held += amount;
        self.open += 1;
    }

    /// A hold has ended: `charged` is gone, the rest of `held` is free again.
    pub(super) fn end(&mut self, held: Amount, charged: Amount, now: Moment) {
        self.held -= held;
        self.left -= charged;
        self.open = self.open.saturating_sub(1);
        self.idle_since = now;
        self.burn.add(charged, now);
    }

    /// So much less is here than was thought.
    pub(super) fn lose(&mut self, amount: Amount) {
        self.left -= amount;
    }

    /// Takes out everything that no hold needs but `keep`, to give it back.
    pub(super) fn withdraw(&mut self, keep: Amount) -> Amount {
        let unused = (self.left - self.held - keep).at_least_zero();
        self.left -= unused;
        unused
    }

    /// True when nobody has used it since `before`.
    pub(super) fn idle(&self, before: Moment) -> bool {
        self.open == 0 && self.idle_since < before
    }

    /// True when nothing would be lost by forgetting it.
    pub(super) fn empty(&self) -> bool {
        self.open == 0 && self.left == Amount::ZERO && self.held == Amount::ZERO
    }

    /// How much there should be: for the burn rate, and for a few more holds of the usual size.
    pub(super) fn target(&self, now: Moment) -> Amount {
        let burn = self.burn.per_second(now) * BURN_AHEAD_SECONDS;
        // A price is at most some 10^20 pico-dollars here; above that the cast saturates.
        #[expect(clippy::cast_possible_truncation, reason = "sizing; saturates")]
        let burn = Amount(burn as i128);
        let holds = Amount(self.largest.0.saturating_mul(HOLDS_AHEAD));
        burn.max(holds)
    }

    /// True when it is time to ask for more before anybody has to wait: half of what there should
    /// be is gone or was never there, or half of what a ledger gave that has no more.
    pub(super) fn low(&self, time: Time) -> bool {
        let target = self.target(time.now);
        let most = self.limit.map_or(target, |limit| target.min(limit));
        self.available(time).0 < most.0 / 2
    }
}

impl Burn {
    #[expect(clippy::cast_precision_loss, reason = "sizing needs no exact digits")]
    fn add(&mut self, amount: Amount, now: Moment) {
        self.pico = self.decayed(now) + amount.0.max(0) as f64;
        self.at = now;
    }

    fn per_second(&self, now: Moment) -> f64 {
        self.decayed(now) / BURN_MEMORY.as_secs_f64()
    }

    fn decayed(&self, now: Moment) -> f64 {
        let age = now.since(self.at).as_secs_f64() / BURN_MEMORY.as_secs_f64();
        self.pico * (-age).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(60);

    fn second(n: u64) -> Moment {
        Moment(n * 1_000_000_000)
    }

    fn at(now: u64) -> Time {
        Time {
            now: second(now),
            contact: None,
        }
    }

    #[test]
    fn a_lease_ends_by_time_and_lives_by_contact() {
        let mut lease = Lease::default();
        lease.grant(Amount(100), TTL, second(70));
        assert_eq!(lease.available(at(70)), Amount(100));
        assert_eq!(lease.available(at(71)), Amount::ZERO);
        let contact = |now, contact| Time {
            contact: Some(second(contact)),
            ..at(now)
        };
        assert_eq!(lease.available(contact(90, 30)), Amount(100));
        assert_eq!(lease.available(contact(91, 30)), Amount::ZERO);
    }

    #[test]
    fn an_over_run_is_a_debt() {
        let mut lease = Lease::default();
        lease.grant(Amount(100), TTL, second(60));
        lease.take(Amount(60));
        assert_eq!(lease.available(at(0)), Amount(40));
        lease.take(Amount(40));
        lease.end(Amount(60), Amount(70), second(1));
        lease.end(Amount(40), Amount(40), second(1));
        assert_eq!(lease.left, Amount(-10), "an over-run is a debt");
        assert_eq!(lease.available(at(1)), Amount::ZERO);
        assert!(!lease.empty() && lease.idle(second(2)));
    }

    #[test]
    fn a_refill_follows_the_burn_rate_and_the_size_of_holds() {
        let mut lease = Lease::default();
        lease.grant(Amount(10_000), TTL, second(60));
        assert!(!lease.low(at(0)));
        lease.asked(Amount(100), second(0));
        assert_eq!(lease.target(second(0)), Amount(6_400));
        for now in 0..30 {
            lease.take(Amount(100));
            lease.end(Amount(100), Amount(100), second(now));
        }
        let target = lease.target(second(30));
        assert!((360_000..500_000).contains(&target.0), "{target:?}");
        assert!(
            lease.low(at(30)),
            "what was enough before the burn was known is not now"
        );
        lease.answered(false);
        assert!(!lease.low(at(30)), "the ledger gives no more than is there");
        lease.end(Amount(0), Amount(4_000), second(30));
        assert!(lease.low(at(30)), "half of that is gone");
        lease.answered(true);
        assert_eq!(lease.target(second(3000)), Amount(6_400), "forgotten");
    }

    proptest! {
        /// Why nothing is held at its expected cost: where that would be safe (the balance is above 50
        /// times what the worst cases are beyond the expected ones) and worst cases are refused,
        /// expected cost is nearly the worst.
        #[test]
        fn expected_costs_would_admit_what_worst_cases_refuse_only_when_they_are_alike(
            balance in 1_i128..1 << 40,
            requests in prop::collection::vec((1_i128..1 << 30, 0_u64..1001), 1..200),
        ) {
            let worst: i128 = requests.iter().map(|(worst, _)| worst).sum();
            let of = |(worst, share): &(i128, u64)| worst * i128::from(*share) / 1000;
            let expected: i128 = requests.iter().map(of).sum();
            let safe = balance > 50 * (worst - expected);
            if safe && worst > balance {
                prop_assert!(50 * expected > 49 * worst);
            }
        }

        /// Whatever happens, open holds are covered and nothing is made.
        #[test]
        fn money_is_kept(steps in prop::collection::vec((0_u8..4, 0_i128..100, 0_i128..100), 1..60)) {
            let mut lease = Lease::default();
            let (mut granted, mut gone) = (0, 0);
            let mut open: Vec<Amount> = Vec::new();
            for (kind, a, b) in steps {
                match kind {
                    0 => { lease.grant(Amount(a), TTL, second(60)); granted += a; }
                    1 => {
                        let amount = Amount(a).min(lease.available(at(0)));
                        lease.take(amount);
                        open.push(amount);
                    }
                    2 => if let Some(held) = open.pop() {
                        let charged = Amount(b.min(held.0));
                        lease.end(held, charged, second(0));
                        gone += charged.0;
                    },
                    _ => gone += lease.withdraw(Amount::ZERO).0,
                }
                let held: Amount = open.iter().copied().sum();
                prop_assert_eq!(lease.held, held);
                prop_assert_eq!(lease.left.0, granted - gone);
                prop_assert!(lease.left >= held);
            }
        }
    }
}
