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

/// Why a request is not served whose key has other limits than this node knows: who asks about the key
/// again knows them.
pub const LIMITS_CHANGED: &str = "limits_changed";

/// The member of a refusal that says what could be paid.
const AVAILABLE: &str = "available_usd";

/// Why a request is refused that other nodes' requests leave too little for, now.
const CREDITS_ELSEWHERE: &str = "credits_elsewhere";

/// What could be paid, as far as a refusal is for want of more.
#[must_use]
pub fn available(refused: &Failure) -> Option<Amount> {
    refused.metadata.get(AVAILABLE)?.as_str()?.parse().ok()
}

/// Why nothing was set aside.
#[derive(Debug)]
pub(super) enum Unset {
    /// This purse does not carry it.
    Poor(Box<Poor>),
    /// No room for another purse.
    Crowded,
    /// There is too little here, and the ledger is silent.
    Short,
    /// The key's limits are others than is known here.
    Outdated,
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
            Self::Outdated => {
                let kind = ErrorType::Server;
                let text = "the limits that hold for this key have just changed; try again";
                let fault = Fault::ControlPlane;
                Failure::new(fault, 503, kind, LIMITS_CHANGED, text).with_retry_after(RETRY_AFTER)
            }
        }
    }
}

/// The request needs more of a purse than it has.
fn poor(principal: &Principal, (poor, worst): (&Poor, &Worst), unix_s: u64) -> Failure {
    if poor.is_elsewhere() && poor.purse.window.is_none() {
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
    if failure.status == 403 && have > Amount::ZERO {
        // Something is left, so a smaller request would be served.
        let text = format!(
            " This request needs at least ${least}, and ${have} is left: lower max_tokens and try \
             again"
        );
        failure.message.push_str(&text);
    }
    let metadata = &mut failure.metadata;
    if failure.status != 429 {
        metadata.insert("needed_usd".into(), least.to_string().into());
        metadata.insert(AVAILABLE.into(), have.to_string().into());
    }
    if failure.status == 402 {
        metadata.insert("reason".into(), "weight_exceeds_budget".into());
    }
    if matches!(failure.status, 402 | 403) && have + poor.held + poor.elsewhere >= least {
        in_flight(&mut failure, principal, (poor, have));
    }
    failure
}

/// It is what other requests hold that is missing, so neither credits nor a higher limit is what
/// helps first.
fn in_flight(failure: &mut Failure, principal: &Principal, (poor, have): (&Poor, Amount)) {
    let subject = match &poor.purse.window {
        None => "Credits".to_owned(),
        Some(window) => subject(window, most(principal, window)),
    };
    let elsewhere = if poor.elsewhere > Amount::ZERO {
        format!(" here, and ${} is held elsewhere", poor.elsewhere)
    } else {
        String::new()
    };
    failure.message = format!(
        "{subject}: requests in flight hold ${}{elsewhere}. This request needs at least ${}, and \
         ${have} is free now. Wait for them to end, or lower max_tokens so that each holds less, \
         and try again",
        poor.held, poor.needs
    );
    let hint = "wait for the requests in flight to end, or lower max_tokens";
    let mut tell = |name: &str, text: String| failure.metadata.insert(name.into(), text.into());
    tell("reason", "in_flight_budget_exhausted".to_owned());
    tell("remedy_hint", hint.to_owned());
    tell("held_usd", poor.held.to_string());
    if poor.elsewhere > Amount::ZERO {
        tell("held_elsewhere_usd", poor.elsewhere.to_string());
    }
    if poor.purse.window.is_none() && failure.reason != BYOK_FEE {
        tell("limit_source", "openrouter_in_flight_budget".to_owned());
    }
    failure.retry_after = Some(RETRY_AFTER);
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
        (AVAILABLE, have),
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
    let most = most(principal, window);
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

fn most(principal: &Principal, window: &Window) -> Amount {
    let limits = principal.policy.limits_of(principal.key);
    let mut mine = limits.filter(|limit| limit.has(window));
    // A look-up that came in between may have taken the limit away.
    mine.next().map_or(Amount::ZERO, |limit| limit.amount)
}

/// What a window is called.
fn subject(window: &Window, most: Amount) -> String {
    let (word, most) = (word(window), dollars(most));
    let whose = match window.scope {
        Scope::Key => return format!("Key limit ({word} limit of ${most})"),
        Scope::Guardrail => {
            let per = parts(window).1.unwrap_or("key");
            return format!("Guardrail {word} budget of ${most} per {per}");
        }
        Scope::Member => "Member",
        Scope::Workspace => "Workspace",
        _ => "Organization",
    };
    format!("{whose} {word} budget of ${most}")
}

/// Of a guardrail's budget: the guardrail, and whose it is, a key's or a member's.
fn parts(window: &Window) -> (Option<&str>, Option<&str>) {
    let mut parts = window.id.as_str().splitn(3, '/');
    (parts.next(), parts.next())
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
    let subject = subject(window, most);
    let message = format!("{subject} exceeded. Contact your org admin.");
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "budget_exceeded", message);
    let source = match window.scope {
        Scope::Member => "member_budget",
        Scope::Workspace => "workspace_budget",
        _ => "organization_budget",
    };
    told(
        &mut failure,
        source,
        "ask an admin to raise the budget, or lower max_tokens",
    );
    failure
}

fn of_guardrail(window: &Window, most: Amount) -> Failure {
    let subject = subject(window, most);
    let message = format!("{subject} exceeded. Contact your org admin.");
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Account, 403, kind, "budget_exceeded", message);
    let hint = "ask an admin to raise the guardrail's limit_usd, or lower max_tokens";
    told(&mut failure, "guardrail_budget", hint);
    let guardrail = parts(window).0.unwrap_or_default();
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
mod tests;
