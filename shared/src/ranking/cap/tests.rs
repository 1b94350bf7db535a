use super::*;

fn at(seconds: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(seconds))
}

fn taken(accepted: u64, turned_away: u64) -> Taken {
    Taken {
        accepted,
        turned_away,
        ..Taken::default()
    }
}

/// A tick with what one place saw.
fn step(cap: &mut Cap, taken: &Taken, tuning: &CapTuning, now: Moment) {
    cap.saw(PopIx(0), taken);
    cap.step(tuning, now);
}

/// A tick with what several places saw.
fn seen(cap: &mut Cap, taken: &[Taken], tuning: &CapTuning, now: Moment) {
    for (pop, taken) in (0..).map(PopIx).zip(taken) {
        cap.saw(pop, taken);
    }
    cap.step(tuning, now);
}

/// As many whole answers of so many tokens.
fn heavy(accepted: u64, turned_away: u64, tokens: u64) -> Taken {
    Taken {
        whole: accepted,
        tokens: accepted * tokens,
        ..taken(accepted, turned_away)
    }
}

#[test]
fn a_limit_is_the_first_cap_and_the_last() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    cap.configure((Some(30.0), None), &tuning, at(0));
    assert_eq!(cap.rate(), Some(28.5));
    for second in 1..60 {
        step(&mut cap, &taken(27, 0), &tuning, at(second));
    }
    assert!((cap.rate().unwrap() - 29.4).abs() < 1e-9);
    cap.configure((None, None), &tuning, at(60));
    assert_eq!(cap.rate(), None);
}

#[test]
fn turning_away_cuts_to_what_was_accepted() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    for second in 1..20 {
        step(&mut cap, &taken(50, 0), &tuning, at(second));
        assert_eq!(cap.rate(), None, "nothing is limited without a reason");
    }
    step(&mut cap, &taken(50, 1), &tuning, at(20));
    assert_eq!(cap.rate(), None, "once is nothing");
    step(&mut cap, &taken(40, 20), &tuning, at(21));
    let learned = cap.rate().unwrap();
    assert!((35.0..46.0).contains(&learned), "{learned}");
    step(&mut cap, &taken(0, 20), &tuning, at(22));
    assert!((cap.rate().unwrap() - learned / 2.0).abs() < 1e-9);
    for second in 23..90 {
        step(&mut cap, &taken(40, 0), &tuning, at(second));
    }
    assert!(cap.rate().unwrap() > learned, "grows while it is used");
    for second in 90..800 {
        step(&mut cap, &taken(0, 0), &tuning, at(second));
    }
    assert_eq!(cap.rate(), None, "and is forgotten");
}

#[test]
fn it_never_falls_to_nothing() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    cap.configure((Some(10.0), None), &tuning, at(0));
    for second in 1..100 {
        step(&mut cap, &taken(0, 9), &tuning, at(second));
    }
    assert!((cap.rate().unwrap() - 0.4).abs() < 1e-9);
}

#[test]
fn what_the_provider_states_is_the_first_cap() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    let say = |cap: &mut Cap, requests, tokens, second| {
        cap.hear(
            PopIx(0),
            &Stated {
                requests_per_minute: requests,
                tokens_per_minute: tokens,
                retry_after: None,
            },
        );
        step(cap, &heavy(5, 0, 1_000), &tuning, at(second));
        cap.configure((Some(30.0), None), &tuning, at(second));
    };
    say(&mut cap, Some(600), Some(1_200_000), 1);
    assert_eq!(cap.rate(), Some(9.5), "stricter than the catalogue");
    assert_eq!(cap.tokens(), Some(19_000.0));
    assert_eq!(cap.fits(), Some(9.5));
    say(&mut cap, Some(6_000), Some(300_000), 2);
    assert_eq!(cap.rate(), Some(9.5), "another key may have more");
    assert_eq!(cap.fits(), Some(4.75), "a stricter word counts at once");
    for second in 3..70 {
        say(&mut cap, Some(6_000), Some(300_000), second);
    }
    assert_eq!(cap.rate(), Some(28.5), "the catalogue is stricter now");
    cap.configure((Some(30.0), None), &tuning, at(69 + 3_601));
    assert_eq!(cap.tokens(), None, "forgotten");
}

#[test]
fn a_word_never_cuts_below_what_is_accepted() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    let second = |cap: &mut Cap, taken: &Taken, tokens, now| {
        cap.hear(
            PopIx(0),
            &Stated {
                tokens_per_minute: tokens,
                ..Stated::default()
            },
        );
        step(cap, taken, &tuning, at(now));
        cap.configure((None, None), &tuning, at(now));
    };
    // 20,000 tokens per second, and it says 3,000: of a second, read as of a minute.
    for now in 1..30 {
        second(&mut cap, &heavy(20, 0, 1_000), Some(3_000), now);
        assert_eq!(cap.tokens(), None, "at {now}");
    }
    // It is what it says when it does what it says.
    second(&mut cap, &heavy(5, 15, 1_000), Some(300_000), 30);
    assert_eq!(cap.tokens(), Some(4_750.0));
    for now in 31..60 {
        second(&mut cap, &heavy(5, 0, 1_000), Some(300_000), now);
    }
    assert!(cap.tokens().unwrap() < 5_000.0);
}

#[test]
fn the_limit_that_explains_it_is_cut() {
    let tuning = CapTuning::default();
    let both = |requests, tokens| {
        let mut cap = Cap::default();
        cap.configure((requests, tokens), &tuning, at(0));
        for second in 1..10 {
            step(&mut cap, &heavy(10, 0, 1_000), &tuning, at(second));
        }
        let before = (cap.rate(), cap.tokens());
        step(&mut cap, &heavy(10, 10, 1_000), &tuning, at(10));
        (before.0 != cap.rate(), before.1 != cap.tokens())
    };
    assert_eq!(both(Some(40.0), Some(11_000.0)), (false, true));
    assert_eq!(both(Some(11.0), Some(40_000.0)), (true, false));
    assert_eq!(both(Some(11.0), None), (true, false));
    assert_eq!(both(None, Some(11_000.0)), (false, true));
    assert_eq!(both(None, None), (true, true), "nobody knows which");
    assert_eq!(both(Some(40.0), Some(40_000.0)), (true, true));
}

#[test]
fn tokens_are_learned_and_forgotten_as_requests_are() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    for second in 1..20 {
        step(&mut cap, &heavy(20, 0, 2_000), &tuning, at(second));
    }
    assert_eq!((cap.tokens(), cap.fits()), (None, None));
    step(&mut cap, &heavy(20, 10, 2_000), &tuning, at(20));
    let learned = cap.tokens().unwrap();
    assert!((36_000.0..40_000.0).contains(&learned), "{learned}");
    for second in 21..30 {
        step(&mut cap, &heavy(18, 0, 4_000), &tuning, at(second));
    }
    let (fits, rate) = (cap.fits().unwrap(), cap.rate().unwrap());
    assert!(
        fits < 0.8 * rate,
        "larger requests, fewer of them: {fits} of {rate}"
    );
    for second in 30..800 {
        step(&mut cap, &taken(0, 0), &tuning, at(second));
    }
    assert_eq!((cap.tokens(), cap.rate()), (None, None));
}

#[test]
fn who_lets_nobody_in_is_left_alone_as_long_as_it_asks() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    cap.configure((Some(10.0), None), &tuning, at(0));
    cap.hear(
        PopIx(0),
        &Stated {
            retry_after: Some(Duration::from_secs(30)),
            ..Stated::default()
        },
    );
    step(&mut cap, &taken(0, 9), &tuning, at(1));
    assert_eq!(cap.rate(), Some(0.4), "at once");
    for second in 2..31 {
        step(&mut cap, &taken(2, 0), &tuning, at(second));
    }
    assert_eq!(cap.rate(), Some(0.4));
    step(&mut cap, &taken(2, 0), &tuning, at(32));
    assert!(cap.rate().unwrap() > 0.4);
}

fn says(requests: u64) -> Stated {
    Stated {
        requests_per_minute: Some(requests),
        tokens_per_minute: Some(requests),
        retry_after: Some(Duration::from_secs(60)),
    }
}

#[test]
fn who_alone_is_turned_away_cuts_nobodys_cap() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    let (well, lie) = (heavy(5, 0, 1_000), taken(0, 100_000));
    let mut second = |now, lie| {
        cap.hear(PopIx(3), &says(1));
        for pop in 0..3 {
            cap.hear(PopIx(pop), &says(6_000_000));
        }
        seen(&mut cap, &[well, well, well, lie], &tuning, at(now));
        cap.configure((Some(30.0), None), &tuning, at(now));
        (cap.rate(), cap.tokens())
    };
    for now in 1..30 {
        second(now, well);
    }
    let before = second(30, well);
    for now in 31..120 {
        assert_eq!(second(now, lie), before, "after {now} s");
    }
}

#[test]
fn who_is_turned_away_as_the_others_are_or_alone_asks_is_believed() {
    let tuning = CapTuning::default();
    let cap_of = |places: &[Taken]| {
        let mut cap = Cap::default();
        for now in 1..5 {
            let well: Vec<Taken> = places
                .iter()
                .map(|it| taken(it.accepted + it.turned_away, 0))
                .collect();
            seen(&mut cap, &well, &tuning, at(now));
        }
        seen(&mut cap, places, &tuning, at(5));
        cap.rate()
    };
    let full = taken(10, 10);
    assert!(cap_of(&[full]).is_some(), "the only one");
    assert!(cap_of(&[full, full, full]).is_some(), "all alike");
    assert!(
        cap_of(&[taken(100, 100), taken(2, 1)]).is_some(),
        "most of the traffic"
    );
    assert!(cap_of(&[full, taken(3, 0)]).is_some(), "three say nothing");
    let well = taken(20, 0);
    assert_eq!(cap_of(&[full, well, well, well]), None, "two contradict it");
}

#[test]
fn who_says_that_it_is_let_in_hides_no_other_that_is_not() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    let (full, lie) = (taken(10, 10), taken(1_000_000_000, 0));
    for now in 1..20 {
        seen(&mut cap, &[full, full, full, lie], &tuning, at(now));
    }
    let rate = cap.rate().unwrap();
    assert!(rate < 150.0, "{rate} where 30 are accepted");
}

#[test]
fn one_places_sizes_hardly_move_what_a_request_is_held_to_take() {
    let tuning = CapTuning::default();
    let fits = |odd: Taken| {
        let mut cap = Cap::default();
        cap.configure((None, Some(100_000.0)), &tuning, at(0));
        let well = heavy(10, 0, 1_000);
        for now in 1..60 {
            seen(&mut cap, &[well, well, well, odd], &tuning, at(now));
        }
        cap.fits().unwrap()
    };
    let honest = fits(heavy(10, 0, 1_000));
    let huge = fits(heavy(1, 0, 1_000_000_000));
    assert!(huge > honest / 5.0, "{huge} of {honest}");
    let tiny = fits(heavy(1_000_000, 0, 0));
    assert!(tiny < honest * 5.0, "{tiny} of {honest}");
}

#[test]
fn a_limit_is_as_strict_as_two_places_say() {
    let tuning = CapTuning::default();
    let rate = |words: &[(u32, u64)]| {
        let mut cap = Cap::default();
        for (pop, said) in words {
            cap.hear(PopIx(*pop), &says(*said));
        }
        cap.step(&tuning, at(1));
        cap.configure((None, None), &tuning, at(1));
        cap.rate().map(|rate| (60.0 * rate / tuning.first).round())
    };
    assert_eq!(rate(&[(0, 600)]), Some(600.0), "nobody else says anything");
    assert_eq!(rate(&[(0, 6), (1, 600), (2, 900)]), Some(600.0));
    assert_eq!(rate(&[(0, 600), (1, 600), (2, 60_000)]), Some(600.0));
}
