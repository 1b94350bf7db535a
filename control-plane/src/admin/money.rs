//! The calls about credits, the books and the audit log.

use super::{Answer, Deps, accounts_status, ledger_status};
use shared::id::OrgId;
use shared::money::Amount;
use shared::proto::admin as wire;
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
    let amount: Amount = message
        .amount_usd
        .parse()
        .map_err(|error| Status::invalid_argument(format!("amount_usd: {error}")))?;
    let org = find_org(deps, &message.org).await?;
    let leadership = *deps.leadership.borrow();
    let fence =
        leadership.ok_or_else(|| Status::unavailable("this control plane does not lead"))?;
    let added = deps.ledger.credit(fence, &org, &message.reference, amount);
    let added = added.await.map_err(|error| ledger_status(&error))?;
    if added {
        let object = format!("{org} USD {amount} ({})", message.reference);
        let recorded = deps.accounts.record(actor, "credits.add", &object).await;
        recorded.map_err(|error| accounts_status(&error))?;
    }
    let totals = deps.ledger.totals().await;
    let totals = totals.map_err(|error| ledger_status(&error))?;
    let available = totals.get(&org).map_or(Amount::ZERO, |has| has.available);
    Ok(Response::new(wire::AddCreditsResponse {
        added,
        available_usd: available.to_string(),
    }))
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
async fn find_org(deps: &Deps, id: &str) -> Result<OrgId, Status> {
    let org = deps.accounts.find_org(id).await;
    org.map_err(|error| accounts_status(&error))
}
