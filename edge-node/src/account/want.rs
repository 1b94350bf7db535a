//! What one request sets aside of each of its purses. It may be served by shared endpoints, by own
//! provider keys, or by either: the balance bears a price and the fee on it, or the fee on an own
//! key's list price alone; a limit counts own keys only where it says so. All of it follows from
//! one number, the list price that the request may reach. Pure.

use shared::limit::{Purse, Scope, Window};
use shared::money::Amount;
use shared::policy::Principal;

/// A request without a bound of its own takes one part in so many of what a purse has, where that does
/// not carry its worst case, so that others can run beside it.
const UNBOUNDED_SHARE: i128 = 4;

/// What is asked of the desk.
pub(super) trait Asks {
    /// Of which purse.
    fn purse(&self) -> &Purse;
    /// What is set aside of it for a request that may cost `amount`.
    fn part(&self, amount: Amount) -> Amount;
    /// The most that a request of at most `ceiling` may cost when the purse has `most`.
    fn fit(&self, ceiling: Amount, most: Amount) -> Amount;
}

/// A purse of which everything is set aside as it is.
impl Asks for Purse {
    fn purse(&self) -> &Purse {
        self
    }

    fn part(&self, amount: Amount) -> Amount {
        Self::part(self, amount)
    }

    fn fit(&self, ceiling: Amount, most: Amount) -> Amount {
        ceiling.min(most)
    }
}

/// The worst cases of one request, at list prices, and the fees on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Worst {
    /// At shared endpoints; none when it goes to none of them.
    pub(super) shared: Option<Amount>,
    /// With own keys.
    pub(super) own: Amount,
    /// It may be at a free variant.
    pub(super) free: bool,
    /// The fee on what shared endpoints cost, in millionths.
    pub(super) fee_ppm: u32,
    /// The fee on what own keys would have cost, in millionths.
    pub(super) own_fee_ppm: u32,
    /// So much of what own keys cost is free of it.
    pub(super) own_free: Amount,
    /// Where the client names no bound: what it takes, if it can't have its worst case, before it
    /// leaves others room.
    pub(super) useful: Option<Amount>,
}

/// One purse, and what counts in it.
#[derive(Clone, Debug)]
pub(super) struct Want {
    purse: Purse,
    worst: Worst,
    counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Counts {
    /// Prices, and fees on everything.
    Money,
    /// What shared endpoints cost.
    Shared,
    /// What own keys would have cost, too.
    Both,
    /// The request.
    One,
    /// What of the month's allowance was set aside before: own keys alone take of it.
    Allowed(Amount),
}

/// The purses of one request, the balance first. Without limits nothing is allocated.
#[derive(Debug)]
pub(super) enum Wants {
    Balance([Want; 1]),
    More(Vec<Want>),
}

impl Wants {
    pub(super) fn of(principal: &Principal, worst: Worst, unix_s: u64) -> Self {
        let want = |window: Option<Window>, counts| Want {
            purse: Purse {
                org: principal.org.clone(),
                window,
            },
            worst,
            counts,
        };
        let balance = want(None, Counts::Money);
        let limits = principal.policy.limits_of(principal.key);
        let mut windows = limits
            .filter_map(|limit| {
                let counts = match (limit.scope, limit.include_byok) {
                    (Scope::Free, _) => Counts::One,
                    (_, true) => Counts::Both,
                    (_, false) => Counts::Shared,
                };
                let touched = match counts {
                    Counts::One => worst.free,
                    Counts::Both => true,
                    Counts::Shared | Counts::Money | Counts::Allowed(_) => worst.shared.is_some(),
                };
                touched.then(|| want(Some(limit.window(unix_s)), counts))
            })
            .peekable();
        if windows.peek().is_none() {
            return Self::Balance([balance]);
        }
        Self::More(std::iter::once(balance).chain(windows).collect())
    }

    /// With what was set aside of the allowance for own keys.
    pub(super) fn with(self, allowed: Option<(Purse, Amount)>) -> Self {
        let Some((purse, part)) = allowed else {
            return self;
        };
        let mut wants = match self {
            Self::Balance(balance) => Vec::from(balance),
            Self::More(wants) => wants,
        };
        wants.push(Want {
            purse,
            worst: Worst::default(),
            counts: Counts::Allowed(part),
        });
        Self::More(wants)
    }

    pub(super) fn all(&self) -> &[Want] {
        match self {
            Self::Balance(balance) => balance,
            Self::More(wants) => wants,
        }
    }

    /// What is set aside of the balance.
    pub(super) fn held(&self, amount: Amount) -> Amount {
        self.all().first().map_or(amount, |want| want.part(amount))
    }

    /// The windows in which shared endpoints count.
    pub(super) fn windows(&self) -> Vec<Window> {
        self.windows_where(|counts| !matches!(counts, Counts::Allowed(_)))
    }

    /// The windows in which own keys count.
    pub(super) fn own_windows(&self) -> Vec<Window> {
        self.windows_where(|counts| matches!(counts, Counts::Both | Counts::Allowed(_)))
    }

    fn windows_where(&self, which: impl Fn(Counts) -> bool) -> Vec<Window> {
        let wants = self.all().iter().filter(|want| which(want.counts));
        let windows = wants.filter_map(|want| want.purse.window.as_ref());
        windows.cloned().collect()
    }
}

impl Want {
    fn shared(&self, amount: Amount) -> Amount {
        let most = amount.min(self.worst.shared.unwrap_or_default());
        most + most.millionths(self.worst.fee_ppm)
    }

    fn own(&self, amount: Amount) -> Amount {
        let most = amount.min(self.worst.own);
        match self.counts {
            Counts::Money => (most - self.worst.own_free)
                .at_least_zero()
                .millionths(self.worst.own_fee_ppm),
            Counts::Both => most,
            Counts::Shared | Counts::One | Counts::Allowed(_) => Amount::ZERO,
        }
    }
}

impl Asks for Want {
    fn purse(&self) -> &Purse {
        &self.purse
    }

    fn part(&self, amount: Amount) -> Amount {
        match self.counts {
            Counts::One => Window::ONE,
            Counts::Allowed(part) => part,
            _ => self.shared(amount).max(self.own(amount)),
        }
    }

    fn fit(&self, ceiling: Amount, most: Amount) -> Amount {
        const MILLION: i128 = 1_000_000;
        let Worst {
            fee_ppm,
            own_fee_ppm,
            own_free,
            useful,
            ..
        } = self.worst;
        let most = useful.map_or(most, |useful| {
            let share = Amount(most.0 / UNBOUNDED_SHARE);
            share.max(self.part(useful)).min(most)
        });
        let mut fit = ceiling;
        if self.shared(ceiling) > most {
            let gross = MILLION + i128::from(fee_ppm);
            fit = fit.min(Amount(most.0.saturating_mul(MILLION) / gross));
        }
        if self.own(ceiling) > most {
            let (free, rate) = match self.counts {
                Counts::Money => (own_free, i128::from(own_fee_ppm).max(1)),
                _ => (Amount::ZERO, MILLION),
            };
            fit = fit.min(free + Amount(most.0.saturating_mul(MILLION) / rate));
        }
        fit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn want(counts: Counts, worst: Worst) -> Want {
        Want {
            purse: Purse {
                org: "org_1".into(),
                window: None,
            },
            worst,
            counts,
        }
    }

    #[test]
    fn own_keys_bear_the_fee_alone_and_count_where_they_are_to() {
        let worst = Worst {
            shared: Some(Amount(1_000_000)),
            own: Amount(4_000_000),
            free: false,
            fee_ppm: 10_000,
            own_fee_ppm: 50_000,
            own_free: Amount::ZERO,
            useful: None,
        };
        let parts = |worst: Worst| {
            [Counts::Money, Counts::Shared, Counts::Both, Counts::One]
                .map(|counts| want(counts, worst).part(Amount(4_000_000)).0)
        };
        assert_eq!(parts(worst), [1_010_000, 1_010_000, 4_000_000, 1]);
        let own = Worst {
            shared: None,
            ..worst
        };
        assert_eq!(parts(own), [200_000, 0, 4_000_000, 1]);
        let free = |own_free| Worst {
            own_free: Amount(own_free),
            ..own
        };
        assert_eq!(parts(free(3_000_000)), [50_000, 0, 4_000_000, 1]);
        assert_eq!(parts(free(4_000_000)), [0, 0, 4_000_000, 1]);
    }

    #[test]
    fn without_a_bound_of_its_own_a_request_leaves_room() {
        let worst = |useful: Option<i128>| Worst {
            shared: Some(Amount(1_000_000)),
            useful: useful.map(Amount),
            ..Worst::default()
        };
        let fit = |useful, most| {
            want(Counts::Shared, worst(useful))
                .fit(Amount(1_000_000), Amount(most))
                .0
        };
        assert_eq!(fit(None, 500_000), 500_000);
        assert_eq!(fit(Some(20_000), 500_000), 125_000);
        // One after the other they all find something, down to what an answer needs.
        let (mut left, mut held) = (500_000, Vec::new());
        while left >= 20_000 {
            held.push(fit(Some(20_000), left));
            left -= fit(Some(20_000), left);
        }
        assert_eq!(held.len(), 10, "{held:?}");
        assert!(held.iter().all(|amount| *amount >= 20_000), "{held:?}");
        // What is there is enough for less than that.
        assert_eq!(fit(Some(20_000), 10_000), 10_000);
    }

    proptest! {
        /// What fits is paid for by what there is, and hardly more would be.
        #[test]
        fn what_fits_is_covered(
            shared in prop::option::of(0_i128..1 << 60),
            own in 0_i128..1 << 60,
            fee_ppm in 0_u32..500_000,
            own_fee_ppm in 0_u32..500_000,
            own_free in 0_i128..1 << 60,
            most in 0_i128..1 << 60,
            which in 0_usize..3,
        ) {
            let worst = Worst { shared: shared.map(Amount), own: Amount(own), free: false, fee_ppm, own_fee_ppm, own_free: Amount(own_free), useful: None };
            let counts = [Counts::Money, Counts::Shared, Counts::Both][which];
            let want = want(counts, worst);
            let ceiling = worst.shared.unwrap_or_default().max(worst.own);
            let fit = want.fit(ceiling, Amount(most));
            prop_assert!(fit <= ceiling);
            prop_assert!(want.part(fit) <= Amount(most));
            if fit < ceiling {
                let more = want.part(fit + Amount(2_000_000));
                prop_assert!(more >= want.part(ceiling).min(Amount(most)));
            }
        }
    }
}
