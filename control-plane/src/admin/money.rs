//! The calls about credits, the books and the audit log.

use super::catalog::registry_status;
use super::{Answer, Deps, accounts_status, ledger_status};
use crate::ledger::{Allowance, Bill, BillLine, Billed, Place, Terms};
use crate::store::Epoch;
use shared::id::{LimitId, OrgId, ProviderSlug, Version};
use shared::limit::{Interval, Scope};
use shared::money::Amount;
use shared::proto::admin as wire;
use shared::snapshot::Snapshot;
use shared::usage::{self, Usage};
use tonic::{Response, Status};

/// Entries of the audit log when no number was asked for.
const AUDIT_ENTRIES: u32 = 100;

pub(super) async fn credits(deps: &Deps) -> Answer<wire::ListCreditsResponse> {
    let orgs = deps.accounts.orgs().await;
    let orgs = orgs.map_err(|error| accounts_status(&error))?;
    let totals = deps.ledger.totals().await;
    let totals = totals.map_err(|error| ledger_status(&error))?;
    let orgs = orgs.into_iter().map(|org| {
        let has = totals.get(&org.id).copied().unwrap_or_default();
        wire::OrgCredits {
            org: org.id.to_string(),
            name: org.name,
            available_usd: has.available.to_string(),
            leased_usd: has.leased.to_string(),
            used_usd: has.used.to_string(),
            suspense_usd: has.suspense.to_string(),
            overrun_usd: has.overrun.to_string(),
            given_usd: has.given.to_string(),
            bought_usd: has.bought.to_string(),
            fees_usd: has.fees.to_string(),
        }
    });
    Ok(Response::new(wire::ListCreditsResponse {
        orgs: orgs.collect(),
    }))
}

pub(super) async fn add(
    deps: &Deps,
    actor: &str,
    message: wire::AddCreditsRequest,
) -> Answer<wire::AddCreditsResponse> {
    let amount = usd("amount_usd", &message.amount_usd)?;
    let org = find_org(deps, &message.org).await?;
    let added = deps
        .ledger
        .credit(fence(deps)?, &org, &message.reference, amount);
    let added = added.await.map_err(|error| ledger_status(&error))?;
    if added {
        let object = format!("{org} USD {amount} ({})", message.reference);
        record(deps, actor, "credits.add", &object).await?;
    }
    Ok(Response::new(wire::AddCreditsResponse {
        added,
        available_usd: available(deps, &org).await?,
    }))
}

pub(super) async fn buy(
    deps: &Deps,
    actor: &str,
    message: wire::BuyCreditsRequest,
) -> Answer<wire::BuyCreditsResponse> {
    let amount = usd("amount_usd", &message.amount_usd)?;
    let org = find_org(deps, &message.org).await?;
    let bought = deps
        .ledger
        .purchase(fence(deps)?, &org, &message.reference, amount);
    let bought = bought.await.map_err(|error| ledger_status(&error))?;
    if bought.new {
        let object = format!("{org} USD {amount} ({})", message.reference);
        record(deps, actor, "credits.buy", &object).await?;
    }
    Ok(Response::new(wire::BuyCreditsResponse {
        added: bought.new,
        fee_usd: bought.fee.to_string(),
        available_usd: available(deps, &org).await?,
    }))
}

pub(super) async fn refund(
    deps: &Deps,
    actor: &str,
    message: wire::RefundCreditsRequest,
) -> Answer<wire::RefundCreditsResponse> {
    let amount = usd("amount_usd", &message.amount_usd)?;
    let org = find_org(deps, &message.org).await?;
    let refunded = deps
        .ledger
        .refund(fence(deps)?, &org, &message.reference, amount);
    let refunded = refunded.await.map_err(|error| ledger_status(&error))?;
    if refunded {
        let object = format!("{org} USD {amount} ({})", message.reference);
        record(deps, actor, "credits.refund", &object).await?;
    }
    Ok(Response::new(wire::RefundCreditsResponse {
        refunded,
        available_usd: available(deps, &org).await?,
    }))
}

pub(super) async fn set_terms(
    deps: &Deps,
    actor: &str,
    message: wire::SetTermsRequest,
) -> Answer<wire::SetTermsResponse> {
    let org = find_org(deps, &message.org).await?;
    // What nothing is said of stays as it is.
    let before = deps.ledger.terms_of(&org).await;
    let before = before.map_err(|error| ledger_status(&error))?;
    let purchase_fee_ppm = message.purchase_fee_ppm.unwrap_or(before.purchase_fee_ppm);
    let spend_fee_ppm = message.spend_fee_ppm.unwrap_or(before.spend_fee_ppm);
    let free = message.byok_free_usd.as_deref();
    let free = free.map(|text| usd("byok_free_usd", text)).transpose()?;
    let requests = message.byok_free_requests;
    let outage = message.outage_credit_usd.as_deref();
    let outage = outage
        .map(|text| usd("outage_credit_usd", text))
        .transpose()?;
    let terms = Terms {
        purchase_fee_ppm,
        spend_fee_ppm,
        byok_fee_ppm: message.byok_fee_ppm.unwrap_or(before.byok_fee_ppm),
        byok_free: Allowance {
            list: free.unwrap_or(before.byok_free.list),
            requests: requests.unwrap_or(before.byok_free.requests),
        },
        outage_credit: outage.unwrap_or(before.outage_credit),
    };
    let set = deps.ledger.set_terms(fence(deps)?, &org, terms).await;
    set.map_err(|error| ledger_status(&error))?;
    let told = deps.accounts.org_changed(&org).await;
    told.map_err(|error| accounts_status(&error))?;
    let object = format!(
        "{org} fee on purchases {purchase_fee_ppm} ppm, on spend {spend_fee_ppm}, on own keys {} \
         beyond USD {} and {} requests a month, in an outage USD {} on each node",
        terms.byok_fee_ppm, terms.byok_free.list, terms.byok_free.requests, terms.outage_credit
    );
    record(deps, actor, "terms.set", &object).await?;
    Ok(Response::new(wire::SetTermsResponse {}))
}

pub(super) async fn set_limit(
    deps: &Deps,
    actor: &str,
    message: wire::SetLimitRequest,
) -> Answer<wire::SetLimitResponse> {
    let org = find_org(deps, &message.org).await?;
    let mut scopes = Scope::ALL.into_iter();
    let scope = scopes.find(|one| one.as_str() == message.scope);
    let scope = scope.ok_or_else(|| {
        Status::invalid_argument("scope: one of member, workspace, org is expected")
    })?;
    let mut intervals = Interval::ALL.into_iter();
    let interval = intervals.find(|one| one.as_str() == message.interval);
    let interval = interval.ok_or_else(|| {
        Status::invalid_argument("interval: one of daily, weekly, monthly, lifetime is expected")
    })?;
    let id = match scope {
        Scope::Org if message.id.is_empty() => org.as_str(),
        _ => &message.id,
    };
    let most =
        match message.limit_usd.as_str() {
            "" => None,
            text => Some(text.parse::<Amount>().map_err(|error| {
                Status::invalid_argument(format!("limit_usd: {text:?}: {error}"))
            })?),
        };
    let limit = (scope, &LimitId::from(id), interval);
    let most = most.map(|most| (most, message.include_byok));
    let set = deps.accounts.set_limit(actor, &org, limit, most).await;
    set.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::SetLimitResponse {}))
}

pub(super) async fn limits(
    deps: &Deps,
    message: wire::ListLimitsRequest,
) -> Answer<wire::ListLimitsResponse> {
    let org = find_org(deps, &message.org).await?;
    let limits = deps.accounts.limits(&org).await;
    let limits = limits.map_err(|error| accounts_status(&error))?;
    let limits = limits.into_iter().map(|limit| wire::LimitRow {
        scope: limit.scope.to_string(),
        id: limit.id.to_string(),
        interval: limit.interval.to_string(),
        limit_usd: limit.amount.to_string(),
        include_byok: limit.include_byok,
    });
    Ok(Response::new(wire::ListLimitsResponse {
        limits: limits.collect(),
    }))
}

pub(super) async fn reconcile(
    deps: &Deps,
    actor: &str,
    message: wire::ReconcileBillRequest,
) -> Answer<wire::ReconcileBillResponse> {
    let lines = (1..).zip(&message.lines).map(|(number, line)| {
        let refused = |why: &str| {
            let text = format!("line {number}, {:?}: {why}; nothing was posted", line.id);
            Err(Status::invalid_argument(text))
        };
        let counted = line.input_tokens > 0 || line.cached_tokens > 0 || line.output_tokens > 0;
        if line.amount_usd.is_empty() != counted {
            return refused("either amount_usd or tokens are expected");
        }
        let billed = if counted {
            Billed::Used(Usage {
                prompt: line.input_tokens,
                cache_read: line.cached_tokens,
                completion: line.output_tokens,
                ..Usage::default()
            })
        } else {
            match line.amount_usd.parse::<Amount>() {
                Ok(amount) if amount >= Amount::ZERO => Billed::Usd(amount),
                Ok(_) => return refused("amount_usd is below zero"),
                Err(error) => return refused(&format!("amount_usd: {error}")),
            }
        };
        let id = line.id.clone();
        Ok(BillLine { id, billed })
    });
    let bill = Bill {
        provider: ProviderSlug::from(message.provider.clone()),
        lines: lines.collect::<Result<_, Status>>()?,
        complete_until_unix_ms: match message.complete_until_unix_ms {
            0 => None,
            until => Some(until),
        },
    };
    must_be_known(deps, &bill.provider).await?;
    let versions = deps.ledger.price_versions(&bill).await;
    let versions = versions.map_err(|error| ledger_status(&error))?;
    let catalogs = deps.registry.versions(&versions).await;
    let catalogs = catalogs.map_err(|error| registry_status(&error))?;
    let price = |version: Version, place: &Place, used: &Usage| {
        price_at(catalogs.get(&version)?, &bill.provider, place, used)
    };
    let done = deps.ledger.reconcile(fence(deps)?, &bill, price).await;
    let done = done.map_err(|error| ledger_status(&error))?;
    let object = format!(
        "{}: {} settled, {} released, {} USD charged",
        message.provider, done.settled, done.released, done.charged
    );
    record(deps, actor, "ledger.reconcile", &object).await?;
    Ok(Response::new(wire::ReconcileBillResponse {
        equal: done.equal,
        settled: done.settled,
        released: done.released,
        before: done.before,
        unknown: done.unknown,
        charged_usd: done.charged.to_string(),
        returned_usd: done.returned.to_string(),
        expense_usd: done.expense.to_string(),
        differences: done.differences,
        adjusted: done.adjusted,
        corrected_usd: done.corrected.to_string(),
        beyond: done.beyond,
    }))
}

/// A bill of a provider that is not in the catalogue, and that nothing was ever owed to, has its name
/// wrong.
async fn must_be_known(deps: &Deps, provider: &ProviderSlug) -> Result<(), Status> {
    let published = deps.registry.current();
    if published.snapshot.provider(provider.as_str()).is_some() {
        return Ok(());
    }
    let known = deps.ledger.is_in_books(provider).await;
    if known.map_err(|error| ledger_status(&error))? {
        return Ok(());
    }
    let text = format!(
        "provider: there is no {:?}; nothing was posted",
        provider.as_str()
    );
    Err(Status::invalid_argument(text))
}

/// What usage cost at a provider's endpoint. Where it may have been several, none unless they all
/// cost the same.
fn price_at(
    catalog: &Snapshot,
    provider: &ProviderSlug,
    place: &Place,
    used: &Usage,
) -> Option<Amount> {
    let there = catalog.endpoints().iter().filter(|known| match place {
        Place::Endpoint(id) => known.id.as_str() == id.as_str(),
        Place::Offers(model) => {
            known.provider == *provider && known.model.as_str() == model.as_str()
        }
    });
    let mut costs = there.map(|found| usage::cost(used, &found.pricing).total());
    let first = costs.next()?;
    costs.all(|other| other == first).then_some(first)
}

pub(super) fn usd(field: &str, text: &str) -> Result<Amount, Status> {
    text.parse()
        .map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}

fn fence(deps: &Deps) -> Result<Epoch, Status> {
    let leadership = *deps.leadership.borrow();
    leadership.ok_or_else(|| Status::unavailable("this control plane does not lead"))
}

async fn record(deps: &Deps, actor: &str, action: &str, object: &str) -> Result<(), Status> {
    let recorded = deps.accounts.record(actor, action, object).await;
    recorded.map_err(|error| accounts_status(&error))
}

async fn available(deps: &Deps, org: &OrgId) -> Result<String, Status> {
    let totals = deps.ledger.totals().await;
    let totals = totals.map_err(|error| ledger_status(&error))?;
    let available = totals.get(org).map_or(Amount::ZERO, |has| has.available);
    Ok(available.to_string())
}

pub(super) async fn verify(deps: &Deps) -> Answer<wire::VerifyLedgerResponse> {
    let verdict = deps.ledger.verify().await;
    let mut verdict = verdict.map_err(|error| ledger_status(&error))?;
    let broken = deps.accounts.verify_audit().await;
    if let Some(sequence) = broken.map_err(|error| accounts_status(&error))? {
        let problem = format!("audit entry {sequence} was changed or is missing");
        verdict.problems.push(problem);
    }
    Ok(Response::new(wire::VerifyLedgerResponse {
        postings: verdict.postings,
        records: verdict.records,
        problems: verdict.problems,
    }))
}

pub(super) async fn audit(
    deps: &Deps,
    message: &wire::ListAuditRequest,
) -> Answer<wire::ListAuditResponse> {
    let limit = match message.limit {
        0 => AUDIT_ENTRIES,
        limit => limit,
    };
    let entries = deps.accounts.audit(limit).await;
    let entries = entries.map_err(|error| accounts_status(&error))?;
    let entries = entries.into_iter().map(|entry| wire::AuditEntry {
        sequence: entry.sequence,
        unix_ms: entry.unix_ms,
        actor: entry.actor,
        action: entry.action,
        object: entry.object,
    });
    Ok(Response::new(wire::ListAuditResponse {
        entries: entries.collect(),
    }))
}

/// The organisation of this id, the first when it is empty: money must not go to a typo.
pub(super) async fn find_org(deps: &Deps, id: &str) -> Result<OrgId, Status> {
    let org = deps.accounts.find_org(id).await;
    org.map_err(|error| accounts_status(&error))
}
