use super::*;
use shared::key::KeyHash;
use shared::limit::{Interval, Limit, Purse};
use shared::policy::{KeyKind, KeyPolicy, ResetInterval};

fn principal() -> Principal {
    Principal {
        org: "org_1".into(),
        key: KeyHash([1; 32]),
        key_name: "k".into(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}

fn told_of(scope: Scope, interval: Interval, held: i128) -> (u16, String, Value) {
    told_with((scope, interval), held, 0)
}

fn told_with((scope, interval): (Scope, Interval), held: i128, left: i128) -> (u16, String, Value) {
    let limit = Limit {
        scope,
        id: "x_1".into(),
        interval,
        amount: Amount(Amount::USD.0 * 500),
        include_byok: false,
    };
    let mut principal = principal();
    let mut window = limit.window(86_400);
    if scope == Scope::Key {
        principal.policy.limit = Some(limit.amount);
        principal.policy.limit_reset = Some(ResetInterval::Daily);
        window.id = principal.key.to_string().into();
    } else {
        principal.policy.limits = vec![limit];
    }
    let purse = Purse {
        org: "org_1".into(),
        window: Some(window),
    };
    let short = Poor {
        purse,
        left: Amount(left),
        outside: Amount::ZERO,
        elsewhere: Amount::ZERO,
        held: Amount(held),
        needs: Amount(5),
    };
    let failure = poor(&principal, (&short, &Worst::default()), 100_000);
    let body = failure.error_object();
    (failure.status, failure.message, body["metadata"].clone())
}

#[test]
fn a_refusal_names_the_limit_its_window_and_what_helps() {
    let (status, text, told) = told_of(Scope::Workspace, Interval::Monthly, 0);
    assert_eq!(status, 403);
    let words = "Workspace monthly budget of $500.00 exceeded. Contact your org admin.";
    assert_eq!(text, words);
    assert_eq!(told["error_type"], "permission_denied");
    assert_eq!(told["limit"]["interval"], "monthly");
    assert_eq!(told["limit"]["limit_usd"], "500");
    assert_eq!(told["limit"]["resets_at_unix_s"], 31 * 86_400);
    assert_eq!(told["limit_source"], "workspace_budget");

    let (status, text, told) = told_of(Scope::Key, Interval::Daily, 0);
    assert_eq!(status, 402);
    assert!(text.starts_with("Key limit exceeded (daily limit of $500.00)"));
    assert_eq!(told["limit_source"], "openrouter_key_limit");
    assert_eq!(told["reason"], "weight_exceeds_budget");
    assert_eq!(told["limit"]["resets_at_unix_s"], 2 * 86_400);

    let (status, text, told) = told_of(Scope::Guardrail, Interval::Weekly, 0);
    assert_eq!(status, 403);
    let words = "Guardrail weekly budget of $500.00 per key exceeded. Contact your org admin.";
    assert_eq!(text, words);
    assert_eq!(told["guardrail_id"], "x_1");
    assert_eq!(told["limit_source"], "guardrail_budget");

    let (status, text, told) = told_of(Scope::Free, Interval::Daily, 0);
    assert_eq!(status, 429);
    assert!(text.contains("free-models-per-day"), "{text}");
    assert_eq!(told["error_type"], "rate_limit_exceeded");
    let (status, text, _) = told_of(Scope::Member, Interval::Lifetime, 0);
    assert_eq!(status, 403);
    assert!(text.starts_with("Member total budget of $500.00 exceeded."));
    assert!(!text.contains("left"), "{text}");
    let (_, text, told) = told_with((Scope::Member, Interval::Daily), 0, 4);
    let words = "needs at least $0.000000000005, and $0.000000000004 is left: lower max_tokens";
    assert!(text.contains(words), "{text}");
    assert_eq!(
        told["remedy_hint"],
        "ask an admin to raise the budget, or lower max_tokens"
    );
}

#[test]
fn a_fee_that_can_t_be_paid_is_named() {
    let mut principal = principal();
    principal.policy.byok_fee_ppm = 52_500;
    principal.policy.byok_free = Amount(25_000 * Amount::USD.0);
    let short = Poor {
        purse: Purse::from(principal.org.clone()),
        left: Amount::ZERO,
        outside: Amount::ZERO,
        elsewhere: Amount::ZERO,
        held: Amount::ZERO,
        needs: Amount(Amount::USD.0 / 100),
    };
    let worst = Worst {
        own: Amount::USD,
        ..Worst::default()
    };
    let failure = poor(&principal, (&short, &worst), 100_000);
    assert_eq!((failure.status, failure.reason), (402, BYOK_FEE));
    for words in [
        "fee of at least $0.01",
        "5.25 %",
        "$25000.00",
        "Add credits",
    ] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let told = failure.error_object()["metadata"].clone();
    assert_eq!(told["limit_source"], "byok_fee");
    assert_eq!(told["byok"]["resets_at_unix_s"], 31 * 86_400);
    // A request that may go to shared endpoints needs credits.
    let worst = Worst {
        shared: Some(Amount::USD),
        ..worst
    };
    let failure = poor(&principal, (&short, &worst), 100_000);
    assert_eq!(failure.reason, "insufficient_credits");
}

#[test]
fn credits_that_others_have_are_no_want_of_credits() {
    let of = |elsewhere| Poor {
        purse: shared::id::OrgId::from("org_1").into(),
        left: Amount(1),
        outside: Amount(-3),
        elsewhere: Amount(elsewhere),
        held: Amount::ZERO,
        needs: Amount(5),
    };
    let principal = principal();
    let failure = poor(&principal, (&of(4), &Worst::default()), 0);
    assert_eq!((failure.status, failure.reason), (503, CREDITS_ELSEWHERE));
    assert_eq!(failure.retry_after, Some(RETRY_AFTER));
    let failure = poor(&principal, (&of(3), &Worst::default()), 0);
    assert_eq!(failure.status, 402, "with all of it");
}

#[test]
fn dollars_have_cents() {
    for (text, shown) in [("5", "5.00"), ("5.1", "5.10"), ("0.002", "0.002")] {
        assert_eq!(dollars(text.parse().unwrap()), shown);
    }
}

#[test]
fn what_requests_in_flight_hold_is_waited_for_and_not_bought() {
    let (status, text, told) = told_of(Scope::Key, Interval::Daily, 5);
    assert_eq!(status, 402);
    assert_eq!(told["reason"], "in_flight_budget_exhausted");
    assert_eq!(told["limit_source"], "openrouter_key_limit");
    assert_eq!(told["limit"]["interval"], "daily");
    assert!(text.starts_with("Key limit (daily limit of $500.00): requests in flight hold $"));
    let (status, text, told) = told_of(Scope::Workspace, Interval::Monthly, 5);
    assert_eq!(status, 403);
    assert!(text.starts_with("Workspace monthly budget of $500.00: requests in flight hold"));
    assert!(!text.contains("admin"), "{text}");
    assert_eq!(told["held_usd"], "0.000000000005");

    let principal = principal();
    let of = |held, elsewhere| Poor {
        purse: Purse::from(principal.org.clone()),
        left: Amount(1),
        outside: Amount(1),
        elsewhere: Amount(elsewhere),
        held: Amount(held),
        needs: Amount(9),
    };
    for (held, elsewhere) in [(7, 0), (4, 3)] {
        let failure = poor(&principal, (&of(held, elsewhere), &Worst::default()), 0);
        let text = &failure.message;
        assert_eq!(failure.status, 402);
        assert_eq!(failure.retry_after, Some(RETRY_AFTER));
        assert!(text.contains("Wait for them to end"), "{text}");
        assert!(!text.to_lowercase().contains("add credits"), "{text}");
        let told = &failure.metadata;
        assert_eq!(told["limit_source"], "openrouter_in_flight_budget");
        assert!(told["remedy_hint"].as_str().unwrap().starts_with("wait"));
        assert_eq!(told.contains_key("held_elsewhere_usd"), elsewhere > 0);
    }
    let failure = poor(&principal, (&of(6, 0), &Worst::default()), 0);
    assert!(failure.message.contains("Add credits"), "with all of it");
    assert_eq!(failure.metadata["reason"], "weight_exceeds_budget");
    assert_eq!(failure.retry_after, None);
}
