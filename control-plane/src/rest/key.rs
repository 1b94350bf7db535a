//! `GET /key`: what a key is told of itself. Any key may ask.

use super::keys::Figures;
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, data};
use crate::accounts::KeyRow;
use crate::ledger::free_a_day;
use axum::extract::State;
use serde::Serialize;
use shared::date::rfc3339;
use shared::limit::{Interval, Limit, Scope};
use shared::policy::KeyKind;

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    figures: Figures,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    organization_id: String,
    allowed_data_regions: [&'static str; 1],
    budgets: Vec<Budget>,
    effective_budget: Option<Budget>,
    free_model_daily_requests: FreeRequests,
    rate_limit: RateLimit,
}

#[derive(Clone, Serialize)]
struct Budget {
    budget_id: Option<String>,
    guardrail_id: Option<String>,
    scope: &'static str,
    limit_usd: Usd,
    spend_usd: Usd,
    /// Godwit's own: what of it is held by requests whose cost nobody knows yet.
    unsettled_usd: Usd,
    remaining_usd: Usd,
    reset_interval: Option<&'static str>,
    resets_at: Option<String>,
    include_byok: bool,
}

#[derive(Serialize)]
struct FreeRequests {
    limit: u64,
    used: u64,
    remaining: u64,
}

/// What OpenRouter says since it has no such limit any more.
#[derive(Serialize)]
struct RateLimit {
    requests: i64,
    interval: &'static str,
    note: &'static str,
}

pub(super) async fn show(State(rest): State<Rest>, caller: Caller) -> Answer {
    let Caller::Key(principal) = &caller else {
        let text = "this route tells a key about itself: call it with a key";
        return Err(Refused::invalid(text));
    };
    let row = rest.accounts.key(principal.key).await?;
    // Between the look-up and now it may have been deleted.
    let row = row.ok_or_else(|| Refused::unauthenticated("this API key has been revoked"))?;
    let usage = rest.ledger.usage_of_keys(&[row.id]).await?;
    let usage = usage.get(&row.id).copied().unwrap_or_default();
    let figures = Figures::of(&rest, &row, usage).await?;
    let bought = rest.ledger.totals_of(&row.org).await?;
    let limit = u64::try_from(free_a_day(bought.bought).0).unwrap_or_default();
    let used = rest.ledger.free_requests_today(&row.org).await?;
    let mut budgets = Vec::new();
    // What is counted is told apart.
    let in_dollars = |limit: &&Limit| limit.scope != Scope::Free;
    for limit in principal.policy.limits.iter().filter(in_dollars) {
        budgets.push(budget(&rest, &row, limit).await?);
    }
    budgets.extend(own_budget(&row, &figures, rest.clock.unix_s()));
    Ok(data(&Told {
        figures,
        is_free_tier: (bought.bought + bought.given).0 == 0,
        is_management_key: row.kind == KeyKind::Management,
        is_provisioning_key: row.kind == KeyKind::Management,
        organization_id: row.org.to_string(),
        allowed_data_regions: ["global"],
        effective_budget: budgets.iter().min_by_key(|it| it.remaining_usd.0).cloned(),
        budgets,
        free_model_daily_requests: FreeRequests {
            limit,
            used,
            remaining: limit.saturating_sub(used),
        },
        rate_limit: RateLimit {
            requests: -1,
            interval: "10s",
            note: "This field is deprecated and safe to ignore.",
        },
    }))
}

/// What else limits the key, as a budget.
async fn budget(rest: &Rest, row: &KeyRow, limit: &Limit) -> Result<Budget, Refused> {
    let now_s = rest.clock.unix_s();
    let start = limit.interval.start(now_s);
    let spent = rest.ledger.spent(&row.org, limit).await?;
    let mut guardrail_id = None;
    let scope = match limit.scope {
        Scope::Workspace => "workspace",
        Scope::Member => "member",
        Scope::Guardrail => {
            let mut parts = limit.id.as_str().split('/');
            guardrail_id = parts.next().map(str::to_owned);
            match parts.next() {
                Some("member") => "member",
                _ => "api_key",
            }
        }
        _ => "organization",
    };
    let end = limit.interval.end(start);
    Ok(Budget {
        budget_id: None,
        guardrail_id,
        scope,
        limit_usd: Usd(limit.amount),
        spend_usd: Usd(spent.whole),
        unsettled_usd: Usd(spent.unsettled),
        remaining_usd: Usd((limit.amount - spent.whole).at_least_zero()),
        reset_interval: end.map(|_| limit.interval.as_str()),
        resets_at: end.map(rfc3339),
        include_byok: limit.include_byok,
    })
}

/// The key's own limit, as a budget.
fn own_budget(row: &KeyRow, figures: &Figures, now_s: u64) -> Option<Budget> {
    let limit = figures.limit?;
    let remaining = figures.limit_remaining?;
    let interval = Interval::from(row.policy.limit_reset);
    Some(Budget {
        budget_id: None,
        guardrail_id: None,
        scope: "key_limit",
        limit_usd: limit,
        spend_usd: figures.in_window,
        unsettled_usd: figures.limit_unsettled.unwrap_or_default(),
        remaining_usd: remaining,
        reset_interval: figures.limit_reset,
        resets_at: interval.end(interval.start(now_s)).map(rfc3339),
        include_byok: figures.include_byok_in_limit,
    })
}
