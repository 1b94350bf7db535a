//! What a client is told that can't pay: which limit, in which window, how much, and what helps.
//! In OpenRouter's words and statuses where it has some: 402 for credits and a key's own limit,
//! 403 for budgets that others set, 429 for what is counted. Pure.

use super::desk::Poor;
use super::want::Worst;
use crate::failure::{ErrorType, Failure, Fault, RateLimit};
use serde_json::{Value, json};
use shared::limit::{Scope, Window};
use shared::money::Amount;
use shared::policy::Principal;
use std::time::Duration;

/// A 503 for want of billing, and a 402 for want of what others hold, say to come back after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request to a free variant is refused: the day's are used up.
pub const FREE_LIMIT: &str = "free_limit";

/// Why an organisation's own provider key is not used: the fee on it can't be paid.
pub const BYOK_FEE: &str = "byok_fee";

/// Why a request is refused that other nodes' requests leave too little for, now.
const CREDITS_ELSEWHERE: &str = "credits_elsewhere";

/// Why nothing was set aside.
#[derive(Debug)]
pub(super) enum Unset {
    /// This purse does not carry it.
    Poor(Box<Poor>),
    /// No room for another purse.
    Crowded,
    /// There is too little here, and the ledger is silent.
    Short,
}

impl Unset {
    /// What the client is told whose request may cost `worst`.
    pub(super) fn told(self, principal: &Principal, worst: &Worst, unix_s: u64) -> Failure {
        match self {
            Self::Poor(short) => poor(principal, (&short, worst), unix_s),
            Self::Crowded => {
                let text = "this node serves too many organisations now; try again";
                billing_unavailable(Fault::Gateway, text)
            }
            Self::Short => out_of_reach(),
        }
    }
}

/// The request needs more of a purse than it has.
fn poor(principal: &Principal, (poor, worst): (&Poor, &Worst), unix_s: u64) -> Failure {
    if poor.is_elsewhere() {
        return elsewhere(poor);
    }
    let least = poor.needs;
    let have = poor.left + poor.outside.at_least_zero();
    let mut failure = match &poor.purse.window {
        None if worst.shared.is_none() && worst.own > Amount::ZERO => {
            no_fee(principal, (least, have), unix_s)
        }
        None => no_credits(least, have),
        Some(window) => exceeded(principal, window, least, unix_s),
    };
    let in_flight = have + poor.held >= least;
    let metadata = &mut failure.metadata;
    if failure.status != 429 {
        metadata.insert("needed_usd".into(), least.to_string().into());
        metadata.insert("available_usd".into(), have.to_string().into());
    }
    if failure.status == 402 {
        let reason = if in_flight {
            "in_flight_budget_exhausted"
        } else {
            "weight_exceeds_budget"
        };
        metadata.insert("reason".into(), reason.into());
        if in_flight {
            failure.retry_after = Some(RETRY_AFTER);
        }
    }
    failure
}

/// 503: nobody can say or log now whether this can be paid.
pub(super) fn billing_unavailable(fault: Fault, text: &str) -> Failure {
    Failure::new(fault, 503, ErrorType::Server, "billing_unavailable", text)
        .with_retry_after(RETRY_AFTER)
}

/// 503: the ledger does not answer, and what this node has of the balance does not carry it.
pub(super) fn out_of_reach() -> Failure {
    let text = "the credit balance can't be checked now; try again. What the organization may use \
                while it can't is its outage_credit_usd, which an operator can raise";
    let mut failure = billing_unavailable(Fault::ControlPlane, text);
    let hint = "try again, or have the organization's outage_credit_usd raised";
    failure.metadata.insert("remedy_hint".into(), hint.into());
    failure
}

/// 503: other nodes have what the request needs, so it is no want of credits.
fn elsewhere(poor: &Poor) -> Failure {
    let (needs, have) = (poor.needs, poor.left + poor.outside.at_least_zero());
    let text = format!(
        "the credits that this request needs, at least ${needs}, are held for requests elsewhere: \
         ${have} is free and ${} is held. Try again",
        poor.elsewhere
    );
    let kind = ErrorType::Server;
    let mut failure = Failure::new(Fault::Account, 503, kind, CREDITS_ELSEWHERE, text);
    let amounts = [
        ("needed_usd", needs),
        ("available_usd", have),
        ("held_elsewhere_usd", poor.elsewhere),
    ];
    for (name, amount) in amounts {
        let text = amount.to_string();
        failure.metadata.insert(name.into(), text.into());
    }
    let hint = "try again, add credits or lower max_tokens";
    failure.metadata.insert("remedy_hint".into(), hint.into());
    failure.with_retry_after(RETRY_AFTER)
}

fn no_credits(least: Amount, have: Amount) -> Failure {
    let message = format!(
        "this request requires more credits, or fewer max_tokens: it needs at least ${least}, \
         and ${have} is available. Add credits, or lower max_tokens, and try again"
    );
    let kind = ErrorType::PaymentRequired;
    let mut failure = Failure::new(Fault::Account, 402, kind, "insufficient_credits", message);
    let hint = "add credits or lower max_tokens";
    told(&mut failure, "openrouter_credits", hint);
    failure
}

/// Own keys cost no credits but the fee beyond the month's allowance.
fn no_fee(principal: &Principal, (least, have): (Amount, Amount), unix_s: u64) -> Failure {
    let policy = &principal.policy;
    let month = Window::month(Scope::Byok, &principal.org, unix_s);
    let fee = percent(policy.byok_fee_ppm);
    let message = format!(
        "this month's free allowance for own provider keys (list prices of ${}) is used up: with \
         your own key this request needs a fee of at least ${least}, {fee} of its list price, and \
         ${have} is available. Add credits, or lower max_tokens, and try again",
        dollars(policy.byok_free)
    );
    let kind = ErrorType::PaymentRequired;
    let mut failure = Failure::new(Fault::Account, 402, kind, BYOK_FEE, message);
    told(&mut failure, BYOK_FEE, "add credits or lower max_tokens");
    let allowance = json!({
        "fee_ppm": policy.byok_fee_ppm,
        "free_usd": policy.byok_free.to_string(),
        "free_requests": policy.byok_free_requests,
        "resets_at_unix_s": month.interval.end(month.start),
    });
    failure.metadata.insert("byok".into(), allowance);
    failure
}

/// Millionths as per cent.
fn percent(ppm: u32) -> String {
    let digits = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits} %")
}

fn exceeded(principal: &Principal, window: &Window, least: Amount, unix_s: u64) -> Failure {
    let limits = principal.policy.limits_of(principal.key);
    let mut mine = limits.filter(|limit| limit.has(window));
    // A look-up that came in between may have taken the limit away.
    let most = mine.next().map_or(Amount::ZERO, |limit| limit.amount);
    let end = window.interval.end(window.start);
    let mut failure = match window.scope {
        Scope::Key => of_key(window, most, least),
        Scope::Member | Scope::Workspace | Scope::Org => of_budget(window, most),
        Scope::Guardrail => of_guardrail(window, most),
        Scope::Free => of_free(most),
        Scope::Outage | Scope::Byok | Scope::ByokRequests | Scope::ByokFees => {
            let text = "the credit balance can't be checked now; try again";
            billing_unavailable(Fault::ControlPlane, text)
        }
    };
    if window.scope == Scope::Free
        && let Some(end) = end
    {
        let wait = Duration::from_secs(end.saturating_sub(unix_s));
        failure.retry_after = Some(wait.max(RETRY_AFTER));
        let rate = RateLimit {
            limit: u64::try_from(most.0).unwrap_or_default(),
            reset_unix_ms: end.saturating_mul(1000),
        };
        failure = failure.with_rate(rate);
    }
    let mut limit = json!({
        "scope": window.scope.as_str(),
        "id": window.id.as_str(),
        "interval": window.interval.as_str(),
    });
    if let Value::Object(limit) = &mut limit {
        if window.scope == Scope::Free {
            limit.insert("requests".into(), most.0.to_string().into());
        } else {
            limit.insert("limit_usd".into(), most.to_string().into());
        }
        if let Some(end) = end {
            limit.insert("resets_at_unix_s".into(), end.into());
        }
    }
    failure.metadata.insert("limit".into(), limit);
    failure
}

fn of_key(window: &Window, most: Amount, least: Amount) -> Failure {
    let message = format!(
        "Key limit exceeded ({} limit of ${}): this request needs at least ${least}. Raise the \
         key's limit, or lower max_tokens, and try again",
        word(window),
        dollars(most)
    );
    let kind = ErrorType::PaymentRequired;
    let mut failure = Failure::new(Fault::Account, 402, kind, "key_limit", message);
    let hint = "raise the key's limit or lower max_tokens";
    told(&mut failure, "openrouter_key_limit", hint);
    failure
}

fn of_budget(window: &Window, most: Amount) -> Failure {
    let whose = match window.scope {
        Scope::Member => "Member",
        Scope::Workspace => "Workspace",
        _ => "Organization",
    };
    let message = format!(
        "{whose} {} budget of ${} exceeded. Contact your org admin.",
        word(window),
        dollars(most)
    );
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "budget_exceeded", message);
    let source = match window.scope {
        Scope::Member => "member_budget",
        Scope::Workspace => "workspace_budget",
        _ => "organization_budget",
    };
    told(&mut failure, source, "ask an admin to raise the budget");
    failure
}

/// Whose budget it is, a key's or a member's, is in the limit's id.
fn of_guardrail(window: &Window, most: Amount) -> Failure {
    let mut parts = window.id.as_str().splitn(3, '/');
    let (guardrail, whose) = (parts.next(), parts.next());
    let message = format!(
        "Guardrail {} budget of ${} per {} exceeded. Contact your org admin.",
        word(window),
        dollars(most),
        whose.unwrap_or("key")
    );
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "budget_exceeded", message);
    let hint = "ask an admin to raise the guardrail's limit_usd";
    told(&mut failure, "guardrail_budget", hint);
    let guardrail = guardrail.unwrap_or_default();
    failure
        .metadata
        .insert("guardrail_id".into(), guardrail.into());
    failure
}

fn of_free(most: Amount) -> Failure {
    let message = format!(
        "Rate limit exceeded: free-models-per-day: {} requests to free models a day. Add credits \
         for more, or use a paid model",
        most.0
    );
    let kind = ErrorType::RateLimitExceeded;
    let mut failure = Failure::new(Fault::Account, 429, kind, FREE_LIMIT, message);
    told(&mut failure, "free_models_per_day", "add credits or wait");
    failure
}

fn told(failure: &mut Failure, source: &str, hint: &str) {
    let metadata = &mut failure.metadata;
    metadata.insert("limit_source".into(), source.into());
    metadata.insert("remedy_hint".into(), hint.into());
}

/// OpenRouter's word for a limit without end is `total`.
fn word(window: &Window) -> &'static str {
    match window.interval {
        shared::limit::Interval::Lifetime => "total",
        other => other.as_str(),
    }
}

/// With two digits after the point at least.
fn dollars(amount: Amount) -> String {
    let text = amount.to_string();
    match text.split_once('.') {
        None => format!("{text}.00"),
        Some((_, cents)) if cents.len() == 1 => format!("{text}0"),
        Some(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::key::KeyHash;
    use shared::limit::{Interval, Limit, Purse};
    use shared::policy::{KeyKind, KeyPolicy, ResetInterval};

    fn told_of(scope: Scope, interval: Interval, held: i128) -> (u16, String, Value) {
        let limit = Limit {
            scope,
            id: "x_1".into(),
            interval,
            amount: Amount(Amount::USD.0 * 500),
            include_byok: false,
        };
        let mut principal = Principal {
            org: "org_1".into(),
            key: KeyHash([1; 32]),
            key_name: "k".into(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy: KeyPolicy::default(),
        };
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
            left: Amount::ZERO,
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
        let (_, _, told) = told_of(Scope::Key, Interval::Daily, 5);
        assert_eq!(told["reason"], "in_flight_budget_exhausted");

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
    }

    #[test]
    fn a_fee_that_can_t_be_paid_is_named() {
        let mut principal = Principal {
            org: "org_1".into(),
            key: KeyHash([1; 32]),
            key_name: "k".into(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy: KeyPolicy::default(),
        };
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
        let principal = Principal {
            org: "org_1".into(),
            key: KeyHash([1; 32]),
            key_name: "k".into(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy: KeyPolicy::default(),
        };
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
}
