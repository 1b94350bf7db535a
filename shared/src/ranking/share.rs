//! From weights to shares: nobody above its limit, everybody with a limit at least at the floor,
//! the sum one; and, over all regions together, nobody above what it takes.

use super::ShareTuning;

/// The excess over a cap that is not worth another round.
const CLOSE: f64 = 1.01;

/// One region's wishes.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// By endpoint.
    pub(super) weights: Vec<f64>,
    /// By endpoint; 0 gets nothing. What is cut off goes to the others by weight.
    pub(super) limits: Vec<f64>,
    /// By endpoint: how far it may have grown. What is cut off goes to all by share, so that who
    /// loses weight loses it at once, however slowly the others grow.
    pub(super) ramps: Vec<f64>,
    /// Requests per second.
    pub(super) demand: f64,
}

/// The shares of each region. `caps` are requests per second of all regions together, by endpoint;
/// none is not limited. More demand than all caps together fills them in proportion.
pub(super) fn allot(wishes: &[Wish], caps: &[Option<f64>], tuning: &ShareTuning) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = wishes.iter().map(Wish::poured).collect();
    if caps.iter().any(Option::is_some) {
        for _ in 0..tuning.rounds {
            if !press(&mut all, wishes, caps) {
                break;
            }
        }
    }
    for (shares, wish) in all.iter_mut().zip(wishes) {
        wish.lift(shares, tuning.floor);
    }
    all
}

/// Presses everybody under its cap; what is cut off goes to the others. False when all fit.
fn press(all: &mut [Vec<f64>], wishes: &[Wish], caps: &[Option<f64>]) -> bool {
    let mut pressed = false;
    for (at, cap) in caps.iter().enumerate() {
        let Some(cap) = cap else { continue };
        let of = |shares: &Vec<f64>| shares.get(at).copied().unwrap_or_default();
        let sent = all.iter().zip(wishes);
        let sent: f64 = sent.map(|(shares, wish)| wish.demand * of(shares)).sum();
        if sent > cap * CLOSE {
            pressed = true;
            for share in all.iter_mut().filter_map(|shares| shares.get_mut(at)) {
                *share *= cap / sent;
            }
        }
    }
    if pressed {
        all.iter_mut().for_each(|shares| normalise(shares));
    }
    pressed
}

impl Wish {
    fn is_shut(&self) -> bool {
        self.limits.iter().all(|limit| *limit <= 0.0)
    }

    /// Where no limit allows anything, all limits are ignored: somebody must be asked.
    fn poured(&self) -> Vec<f64> {
        let mut shares = if self.is_shut() {
            self.weights.clone()
        } else {
            water_fill(&self.weights, &self.limits)
        };
        normalise(&mut shares);
        for (share, ramp) in shares.iter_mut().zip(&self.ramps) {
            *share = share.min(*ramp);
        }
        normalise(&mut shares);
        shares
    }

    fn lift(&self, shares: &mut [f64], floor: f64) {
        if self.is_shut() {
            return;
        }
        for (share, limit) in shares.iter_mut().zip(&self.limits) {
            *share = if *limit > 0.0 { share.max(floor) } else { 0.0 };
        }
        normalise(shares);
    }
}

/// Pours one unit over the endpoints by weight; who is full passes the rest on.
fn water_fill(weights: &[f64], limits: &[f64]) -> Vec<f64> {
    let mut shares: Vec<Option<f64>> = limits
        .iter()
        .map(|limit| (*limit <= 0.0).then_some(0.0))
        .collect();
    loop {
        let poured: f64 = shares.iter().flatten().sum();
        let open = || shares.iter().zip(weights.iter().zip(limits));
        let thirst: f64 = open()
            .filter(|(share, _)| share.is_none())
            .map(|(_, (weight, _))| weight)
            .sum();
        if thirst <= 0.0 {
            break;
        }
        let level = (1.0 - poured).max(0.0) / thirst;
        let full = open().map(|(share, (weight, limit))| {
            share.or_else(|| (level * weight >= *limit).then_some(*limit))
        });
        let full: Vec<_> = full.collect();
        if full == shares {
            let rest = open().map(|(share, (weight, _))| share.unwrap_or(level * weight));
            return rest.collect();
        }
        shares = full;
    }
    shares.into_iter().map(Option::unwrap_or_default).collect()
}

fn normalise(shares: &mut [f64]) {
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        for share in shares {
            *share /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(weights: &[f64], limits: &[f64], floor: f64) -> Vec<f64> {
        let wish = Wish {
            weights: weights.to_vec(),
            limits: limits.to_vec(),
            ramps: vec![1.0; weights.len()],
            demand: 1.0,
        };
        let tuning = ShareTuning {
            floor,
            ..ShareTuning::default()
        };
        allot(&[wish], &vec![None; weights.len()], &tuning).remove(0)
    }

    fn close(got: &[f64], expect: &[f64]) {
        for (a, b) in got.iter().zip(expect) {
            assert!((a - b).abs() < 1e-9, "{got:?} is not {expect:?}");
        }
    }

    #[test]
    fn who_is_full_passes_the_rest_on() {
        close(&shares(&[1.0, 1.0], &[1.0, 1.0], 0.0), &[0.5, 0.5]);
        close(
            &shares(&[8.0, 1.0, 1.0], &[0.2, 1.0, 1.0], 0.0),
            &[0.2, 0.4, 0.4],
        );
        close(
            &shares(&[8.0, 4.0, 1.0], &[0.2, 0.3, 1.0], 0.0),
            &[0.2, 0.3, 0.5],
        );
        close(&shares(&[1.0, 1.0], &[0.0, 0.01], 0.0), &[0.0, 1.0]);
        close(&shares(&[3.0, 1.0], &[0.0, 0.0], 0.002), &[0.75, 0.25]);
        assert!(shares(&[], &[], 0.1).is_empty());
    }

    fn wish(weights: &[f64], demand: f64) -> Wish {
        Wish {
            weights: weights.to_vec(),
            limits: vec![1.0; weights.len()],
            ramps: vec![1.0; weights.len()],
            demand,
        }
    }

    #[test]
    fn a_ramp_holds_growth_and_not_the_fall() {
        let mut wish = wish(&[1e-12, 1.0, 1.0], 1.0);
        wish.ramps = vec![0.5, 0.3, 0.3];
        let tuning = ShareTuning::default();
        let got = allot(&[wish], &[None; 3], &tuning).remove(0);
        let sum = 1.0 + tuning.floor;
        close(&got, &[tuning.floor / sum, 0.5 / sum, 0.5 / sum]);
    }

    #[test]
    fn caps_hold_over_all_regions_together() {
        let tuning = ShareTuning::default();
        let wishes = [wish(&[0.9, 0.1], 60.0), wish(&[0.5, 0.5], 20.0)];
        let caps = [Some(32.0), None];
        let got = allot(&wishes, &caps, &tuning);
        let sent = 60.0 * got[0][0] + 20.0 * got[1][0];
        assert!((31.0..33.0).contains(&sent), "{sent}");
        assert!(got[0][0] > got[1][0], "who wants it more has more of it");
        // Too much for all: in proportion to what each takes.
        let caps = [Some(30.0), Some(10.0)];
        let got = allot(&wishes, &caps, &tuning);
        let sent = 60.0 * got[0][0] + 20.0 * got[1][0];
        assert!((58.0..62.0).contains(&sent), "{sent}");
    }

    proptest! {
        #[test]
        fn caps_are_kept_where_there_is_room(
            arms in prop::collection::vec((1e-3_f64..1.0, 5.0_f64..50.0), 2..8),
            demands in prop::collection::vec(0.1_f64..10.0, 1..4),
        ) {
            let (weights, caps): (Vec<f64>, Vec<f64>) = arms.into_iter().unzip();
            let total: f64 = demands.iter().sum();
            let room: f64 = caps.iter().sum();
            prop_assume!(total < 0.6 * room);
            let wishes: Vec<_> = demands.iter().map(|demand| wish(&weights, *demand)).collect();
            let limits: Vec<_> = caps.iter().copied().map(Some).collect();
            let got = allot(&wishes, &limits, &ShareTuning::default());
            for (at, cap) in caps.iter().enumerate() {
                let sent: f64 = got.iter().zip(&demands).map(|(it, demand)| it[at] * demand).sum();
                prop_assert!(sent < cap * 1.1 + 0.1, "{sent} of {cap}");
            }
            for shares in &got {
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn shares_are_finite_sum_to_one_and_keep_the_floor(
            arms in prop::collection::vec((1e-9_f64..1.0, prop_oneof![Just(0.0), 0.0..=1.0, Just(1.0)]), 1..20),
        ) {
            let (weights, limits): (Vec<f64>, Vec<f64>) = arms.into_iter().unzip();
            let got = shares(&weights, &limits, 0.002);
            prop_assert!((got.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let shut = limits.iter().all(|limit| *limit <= 0.0);
            for (share, limit) in got.iter().zip(&limits) {
                prop_assert!(share.is_finite() && *share >= 0.0);
                prop_assert!(shut || *limit > 0.0 || *share <= 0.0, "nothing to who may have nothing");
                prop_assert!(shut || *limit <= 0.0 || *share >= 0.0019);
            }
        }

        #[test]
        fn a_smaller_weight_never_gets_more(
            weights in prop::collection::vec(1e-6_f64..1.0, 2..10), cut in 0.0_f64..1.0, limit in 0.01_f64..=1.0,
        ) {
            let mut limits = vec![1.0; weights.len()];
            limits[1] = limit;
            let before = shares(&weights, &limits, 0.002);
            let mut weights = weights;
            weights[0] *= cut;
            let after = shares(&weights, &limits, 0.002);
            prop_assert!(after[0] <= before[0] + 1e-9);
        }
    }
}
