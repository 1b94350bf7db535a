//! Own provider keys: where they stand, and what they exempt nobody from.

use super::*;
use crate::byok::SealedCredential;

fn key(id: &str, provider: &str) -> SealedCredential {
    SealedCredential {
        id: id.to_owned(),
        provider: provider.into(),
        origin: "https://p".to_owned(),
        fallback: false,
        required: false,
        allowed_models: None,
        place: crate::byok::Place::default(),
        sealed: String::new(),
    }
}

fn with(keys: Vec<SealedCredential>) -> KeyPolicy {
    KeyPolicy {
        credentials: keys.into_iter().map(Arc::new).collect(),
        ..KeyPolicy::default()
    }
}

/// Tags in order, with the own key behind a colon.
fn planned(policy: KeyPolicy, demand: &Demand, usable: bool) -> Result<Vec<String>, Refusal> {
    let view = view_of(&catalog(3, 1, 3), vec![]);
    let (board, now, caller) = (Board::default(), Moment::default(), principal(policy));
    let plan = plan(&view, &board, &|_| usable, &caller, demand, now, 1)?;
    let named = plan.candidates.iter().map(|it| match &it.own {
        Some(own) => format!("{}:{}", it.endpoint.tag, own.id),
        None => it.endpoint.tag.clone(),
    });
    Ok(named.collect())
}

#[test]
fn own_keys_come_first_and_fallback_keys_last() {
    let fallback = SealedCredential {
        fallback: true,
        ..key("f", "p0")
    };
    let keys = with(vec![
        key("b", "p2"),
        key("a", "p1"),
        key("c", "p1"),
        fallback,
    ]);
    let order = |words: &[&str]| {
        prefer(|it| it.order = words.iter().map(|word| (*word).to_owned()).collect())
    };
    let plan = planned(keys.clone(), &order(&["p0", "p1"]), true).unwrap();
    assert_eq!(plan, ["p1:a", "p1:c", "p2:b", "p0", "p1", "p2", "p0:f"]);
    let plan = planned(keys.clone(), &demand(), true).unwrap();
    assert_eq!(plan[..3], ["p2:b", "p1:a", "p1:c"]);
    assert_eq!((plan.len(), plan[6].as_str()), (7, "p0:f"));
    // As the documentation has it.
    let plan = planned(with(vec![key("k", "p1")]), &order(&["p0", "p1"]), true).unwrap();
    assert_eq!(plan, ["p1:k", "p0", "p1", "p2"]);
    let first = prefer(|it| it.allow_fallbacks = false);
    assert_eq!(planned(keys.clone(), &first, true).unwrap(), ["p2:b"]);
    // Without keys of the platform's own.
    let plan = planned(keys, &demand(), false).unwrap();
    assert_eq!(plan, ["p2:b", "p1:a", "p1:c", "p0:f"]);
}

#[test]
fn a_required_key_bars_the_shared_endpoint() {
    let required = |models: Option<Vec<&str>>| SealedCredential {
        required: true,
        allowed_models: models.map(|all| all.into_iter().map(Into::into).collect()),
        ..key("r", "p1")
    };
    let only = prefer(|it| it.only = vec!["p1".to_owned()]);
    assert_eq!(
        planned(with(vec![required(None)]), &only, true).unwrap(),
        ["p1:r"]
    );
    let refusal = planned(with(vec![required(Some(vec!["a/b"]))]), &only, true).unwrap_err();
    assert_eq!(refusal.excluded_by(), ["byok_required", "only"]);
    let other = SealedCredential {
        required: false,
        ..required(Some(vec!["a/b"]))
    };
    assert_eq!(planned(with(vec![other]), &only, true).unwrap(), ["p1"]);
}

#[test]
fn a_key_exempts_nobody_from_policy() {
    let mut policy = with(vec![key("k", "p1")]);
    policy.allowed_providers = vec!["q".into()];
    let refusal = planned(policy, &demand(), true).unwrap_err();
    assert_eq!(refusal.excluded_by(), ["allowed_providers"]);
    let mut policy = with(vec![key("k", "p1")]);
    policy.ignored_providers = vec!["p1".into()];
    let plan = planned(policy, &demand(), true).unwrap();
    assert!(plan.iter().all(|tag| !tag.starts_with("p1")), "{plan:?}");
}

#[test]
fn what_the_platforms_key_met_with_moves_no_own_key() {
    let view = view_of(&catalog(2, 1, 2), vec![]);
    let board = Board::default();
    let now = Moment::default();
    for _ in 0..20 {
        board.observe(Handle::of(&"m0/x@p1".into()), &Outcome::HardFail, now, 0.5);
    }
    let caller = principal(with(vec![key("k", "p1")]));
    let plan = plan(&view, &board, &|_| true, &caller, &demand(), now, 1).unwrap();
    assert_eq!(plan.candidates[0].reason, Reason::OwnKey);
    assert_eq!(tags(&plan), ["p1", "p0", "p1"]);
    assert_eq!(plan.candidates[2].reason, Reason::Paused);
    let again = Record::of(&plan);
    let again = again.replay(&view, &|_| true, &caller, &demand()).unwrap();
    assert_eq!(again.candidates, plan.candidates);
}

#[test]
fn a_refused_own_key_rests_and_says_nothing_of_the_endpoint() {
    let view = view_of(&catalog(2, 1, 2), vec![]);
    let (board, owns) = (Board::default(), Board::of_own_keys(Default::default()));
    let boards = Boards {
        shared: &board,
        own: &owns,
    };
    let now = Moment::default();
    let at = |key: SealedCredential, demand: &Demand, now| {
        let caller = principal(with(vec![key]));
        let made = plan(&view, &boards, &|_| true, &caller, demand, now, 1).unwrap();
        let again = Record::of(&made);
        let again = again.replay(&view, &|_| true, &caller, demand).unwrap();
        assert_eq!(again.candidates, made.candidates);
        made
    };
    let sealed = |seal: &str| SealedCredential {
        sealed: seal.repeat(32),
        ..key("k", "p1")
    };
    let first = at(sealed("a"), &demand(), now);
    let handle = first.candidates[0].handle;
    assert_eq!(first.candidates[0].reason, Reason::OwnKey);
    owns.refused(handle, now, 0.0);
    let second = at(sealed("a"), &demand(), now);
    let shared = |it: &Candidate| it.own.is_none() && it.is_ready();
    assert!(second.candidates[..2].iter().all(shared), "{second:?}");
    assert_eq!(second.candidates[2].reason, Reason::Paused);
    // Who has nobody else asks it all the same.
    let required = SealedCredential {
        required: true,
        ..sealed("a")
    };
    let only = prefer(|it| it.only = vec!["p1".to_owned()]);
    assert_eq!(at(required, &only, now).candidates[0].handle, handle);
    // The platform's key would be the fallback that was not wanted.
    let alone = prefer(|it| it.allow_fallbacks = false);
    assert_eq!(at(sealed("a"), &alone, now).candidates[0].handle, handle);
    // Mended, or waited for.
    assert!(at(sealed("b"), &demand(), now).candidates[0].own.is_some());
    let later = now.plus(Duration::from_secs(31));
    assert_eq!(
        at(sealed("a"), &demand(), later).candidates[0].handle,
        handle
    );
}
