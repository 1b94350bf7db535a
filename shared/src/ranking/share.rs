//! From weights to shares: nobody above its limit, everybody with a limit at least at the floor,
//! the sum one.

/// Shares proportional to the weights under the limits. Where no limit allows anything, all
/// limits are ignored: somebody must be asked.
pub(super) fn shares(weights: &[f64], limits: &[f64], floor: f64) -> Vec<f64> {
    if limits.iter().all(|limit| *limit <= 0.0) {
        return normalised(weights.to_vec());
    }
    let filled = water_fill(weights, limits);
    let floored = filled
        .iter()
        .zip(limits)
        .map(|(share, limit)| if *limit > 0.0 { share.max(floor) } else { 0.0 });
    normalised(floored.collect())
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

fn normalised(mut shares: Vec<f64>) -> Vec<f64> {
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        for share in &mut shares {
            *share /= sum;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
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
