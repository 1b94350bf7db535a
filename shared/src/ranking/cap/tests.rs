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
        cap.step(&taken(27, 0), &tuning, at(second));
    }
    assert!((cap.rate().unwrap() - 29.4).abs() < 1e-9);
    cap.configure((None, None), &tuning, at(60));
    assert_eq!(cap.rate(), None);
}

#[test]
fn turning_away_cuts_to_what_was_accepted() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    for second in 1..20 {
        cap.step(&taken(50, 0), &tuning, at(second));
        assert_eq!(cap.rate(), None, "nothing is limited without a reason");
    }
    cap.step(&taken(50, 1), &tuning, at(20));
    assert_eq!(cap.rate(), None, "once is nothing");
    cap.step(&taken(40, 20), &tuning, at(21));
    let learned = cap.rate().unwrap();
    assert!((35.0..46.0).contains(&learned), "{learned}");
    cap.step(&taken(0, 20), &tuning, at(22));
    assert!((cap.rate().unwrap() - learned / 2.0).abs() < 1e-9);
    for second in 23..90 {
        cap.step(&taken(40, 0), &tuning, at(second));
    }
    assert!(cap.rate().unwrap() > learned, "grows while it is used");
    for second in 90..800 {
        cap.step(&taken(0, 0), &tuning, at(second));
    }
    assert_eq!(cap.rate(), None, "and is forgotten");
}

#[test]
fn it_never_falls_to_nothing() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    cap.configure((Some(10.0), None), &tuning, at(0));
    for second in 1..100 {
        cap.step(&taken(0, 9), &tuning, at(second));
    }
    assert!((cap.rate().unwrap() - 0.4).abs() < 1e-9);
}

#[test]
fn what_the_provider_states_is_the_first_cap() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    let say = |cap: &mut Cap, requests, tokens, second| {
        cap.hear(&Stated {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            retry_after: None,
        });
        cap.step(&heavy(5, 0, 1_000), &tuning, at(second));
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
        cap.hear(&Stated {
            tokens_per_minute: tokens,
            ..Stated::default()
        });
        cap.step(taken, &tuning, at(now));
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
            cap.step(&heavy(10, 0, 1_000), &tuning, at(second));
        }
        let before = (cap.rate(), cap.tokens());
        cap.step(&heavy(10, 10, 1_000), &tuning, at(10));
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
        cap.step(&heavy(20, 0, 2_000), &tuning, at(second));
    }
    assert_eq!((cap.tokens(), cap.fits()), (None, None));
    cap.step(&heavy(20, 10, 2_000), &tuning, at(20));
    let learned = cap.tokens().unwrap();
    assert!((36_000.0..40_000.0).contains(&learned), "{learned}");
    for second in 21..30 {
        cap.step(&heavy(18, 0, 4_000), &tuning, at(second));
    }
    let (fits, rate) = (cap.fits().unwrap(), cap.rate().unwrap());
    assert!(
        fits < 0.8 * rate,
        "larger requests, fewer of them: {fits} of {rate}"
    );
    for second in 30..800 {
        cap.step(&taken(0, 0), &tuning, at(second));
    }
    assert_eq!((cap.tokens(), cap.rate()), (None, None));
}

#[test]
fn who_lets_nobody_in_is_left_alone_as_long_as_it_asks() {
    let (tuning, mut cap) = (CapTuning::default(), Cap::default());
    cap.configure((Some(10.0), None), &tuning, at(0));
    cap.hear(&Stated {
        retry_after: Some(Duration::from_secs(30)),
        ..Stated::default()
    });
    cap.step(&taken(0, 9), &tuning, at(1));
    assert_eq!(cap.rate(), Some(0.4), "at once");
    for second in 2..31 {
        cap.step(&taken(2, 0), &tuning, at(second));
    }
    assert_eq!(cap.rate(), Some(0.4));
    cap.step(&taken(2, 0), &tuning, at(32));
    assert!(cap.rate().unwrap() > 0.4);
}
