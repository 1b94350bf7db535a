//! What a provider's account takes, shared out among the endpoints behind it: a provider limits its
//! customer, not a model, so that the caps of all its endpoints together may not exceed what it
//! allows. The parts follow what is used; who uses nothing keeps enough to begin with.

use super::cap::Cap;
use crate::catalog::Limits;
use crate::health::half_life;
use std::time::Duration;

/// What an endpoint may grow to before the parts are looked at again, as a multiple of what it uses.
const GROWTH: f64 = 1.5;
/// What all endpoints that use nothing may begin with together, as a part of the account.
const BEGIN: f64 = 0.05;
/// What is told may lie so far below what it was: with it the told caps sum to no more than the
/// account allows.
const TOLD: f64 = 0.95;
/// What is used counts over about so long.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// A part that differs by less than this, relative or absolute, stays as it was told.
const MOVED: (f64, f64) = (0.1, 0.005);

/// An endpoint's part of its provider's account. The first of each pair is of requests, and of those
/// that may be under way; the second of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Account {
    /// What the account allows per second.
    limits: [Option<f64>; 2],
    /// Used per second, smoothed.
    used: [f64; 2],
    /// The parts that were told; none has the account to itself.
    parts: Option<[f64; 2]>,
}

impl Account {
    /// The provider allows so much.
    pub(super) fn configure(&mut self, limits: &Limits) {
        let per_second = |per_minute: u32| f64::from(per_minute) / 60.0;
        self.limits = [
            limits.requests_per_minute.map(per_second),
            limits.tokens_per_minute.map(per_second),
        ];
    }

    /// Takes in what the endpoint has used of late.
    pub(super) fn learn(&mut self, cap: &Cap, elapsed: Duration) {
        let kept = half_life(elapsed, HALF_LIFE);
        let now = [cap.accepted(), cap.accepted_tokens()];
        for (used, now) in self.used.iter_mut().zip(now) {
            *used = kept * *used + (1.0 - kept) * now;
        }
    }

    /// Requests per second that the endpoint may take of the account; none is not limited, also
    /// where no other endpoint takes any of it.
    pub(super) fn requests(&self) -> Option<f64> {
        let ([limit, _], [part, _]) = (self.limits, self.parts?);
        limit.map(|limit| TOLD * limit * part)
    }

    /// The same in tokens.
    pub(super) fn tokens(&self) -> Option<f64> {
        let ([_, limit], [_, part]) = (self.limits, self.parts?);
        limit.map(|limit| TOLD * limit * part)
    }

    /// The part of the requests that may be under way, 0..=1; none is all.
    pub(super) fn part(&self) -> Option<f64> {
        self.parts.map(|[requests, _]| requests)
    }
}

/// Shares one account out among the endpoints behind it; the parts of each kind sum to one. They are
/// told all together or not at all.
pub(super) fn share_out(members: &mut [Account]) {
    if let [alone] = members {
        alone.parts = None;
        return;
    }
    let now = [0, 1].map(|kind| {
        let of = |pair: &[f64; 2]| pair.get(kind).copied().unwrap_or_default();
        let used: Vec<f64> = members.iter().map(|it| of(&it.used)).collect();
        let limit = members.first().and_then(|it| *it.limits.get(kind)?);
        divide(&used, limit)
    });
    let [requests, tokens] = &now;
    let parts = requests.iter().zip(tokens).map(|(a, b)| [*a, *b]);
    let parts: Vec<[f64; 2]> = parts.collect();
    let mut both = members.iter().zip(&parts);
    if both.any(|(account, now)| has_moved(account.parts, *now)) {
        for (account, part) in members.iter_mut().zip(parts) {
            account.parts = Some(part);
        }
    }
}

/// Is it worth telling?
fn has_moved(told: Option<[f64; 2]>, now: [f64; 2]) -> bool {
    let (relative, absolute) = MOVED;
    let moved = |(told, now): (&f64, &f64)| {
        let by = (told - now).abs();
        by > absolute && by > relative * told
    };
    told.is_none_or(|told| told.iter().zip(&now).any(moved))
}

/// The parts of those who use so much, of an account that allows `limit`; without one they are in
/// proportion. Who wants little gets it, the others get the same each, and what nobody wants is
/// divided among all.
fn divide(used: &[f64], limit: Option<f64>) -> Vec<f64> {
    let count = f64::from(u32::try_from(used.len()).unwrap_or(u32::MAX)).max(1.0);
    let sum: f64 = used.iter().sum();
    let whole = limit.unwrap_or(2.0 * sum).max(1e-6);
    let begin = BEGIN * whole / count;
    let wants: Vec<f64> = used.iter().map(|used| GROWTH * used + begin).collect();
    let level = level(&wants, whole);
    let given: Vec<f64> = wants.iter().map(|want| want.min(level)).collect();
    let left = (whole - given.iter().sum::<f64>()).max(0.0) / count;
    let given = given.into_iter().map(|given| given + left);
    // What rounding adds is taken away again.
    let given: Vec<f64> = given.collect();
    let sum: f64 = given.iter().sum();
    given.into_iter().map(|given| given / sum).collect()
}

/// The most that each may have, so that all have no more than the whole; no bound where it is enough.
fn level(wants: &[f64], whole: f64) -> f64 {
    let mut ascending = wants.to_vec();
    ascending.sort_unstable_by(f64::total_cmp);
    let mut left = whole;
    let mut others = f64::from(u32::try_from(wants.len()).unwrap_or(u32::MAX));
    for want in ascending {
        if want * others >= left {
            return left / others;
        }
        left -= want;
        others -= 1.0;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(got: &[f64], expect: &[f64]) {
        assert_eq!(got.len(), expect.len());
        for (a, b) in got.iter().zip(expect) {
            assert!((a - b).abs() < 1e-6, "{got:?} is not {expect:?}");
        }
    }

    #[test]
    fn who_uses_little_gets_it_and_the_others_the_same_each() {
        // 5 % of ten is half a request per second, for three.
        let begin = 0.5 / 3.0;
        let little = 1.5 + begin;
        let most = (10.0 - little) / 2.0;
        close(
            &divide(&[1.0, 6.0, 9.0], Some(10.0)),
            &[little / 10.0, most / 10.0, most / 10.0],
        );
        // What nobody wants is everybody's.
        let left = (10.0 - 1.5 - 0.5) / 2.0;
        close(
            &divide(&[1.0, 0.0], Some(10.0)),
            &[(1.5 + 0.25 + left) / 10.0, (0.25 + left) / 10.0],
        );
        close(&divide(&[0.0; 4], Some(10.0)), &[0.25; 4]);
        close(&divide(&[0.0; 4], None), &[0.25; 4]);
        let got = divide(&[3.0, 1.0], None);
        assert!(got[0] > 2.0 * got[1] && got[1] > 0.1, "{got:?}");
    }

    proptest! {
        #[test]
        fn parts_are_of_one_whole(
            used in prop::collection::vec(0.0_f64..1e4, 1..40),
            limit in prop::option::of(1e-3_f64..1e6),
        ) {
            let parts = divide(&used, limit);
            prop_assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(parts.iter().all(|part| part.is_finite() && *part > 0.0));
            for (a, of_a) in used.iter().zip(&parts) {
                for (b, of_b) in used.iter().zip(&parts) {
                    prop_assert!(a < b || of_a + 1e-9 >= *of_b, "who uses more has no less");
                }
            }
        }
    }
}
