//! What operators do, on the wire: a handler reads the message, calls a domain function and
//! renders its answer. Everything that changes something is in the audit log with its actor.

mod catalog;
mod credentials;
mod edge;
mod endpoint;
mod fleet;
mod guardrails;
mod keys;
mod money;
mod names;
mod people;
mod rollout;
mod topup;

use crate::accounts::{Accounts, AccountsError};
use crate::ledger::service::LeadershipWatch;
use crate::ledger::{Ledger, LedgerError};
use crate::publish::{Duties, Edges};
use crate::ranker::Ranker;
use crate::registry::Registry;
use crate::security::guard::{OperatorDoor, caller_of};
use crate::sql::DatabaseError;
use shared::proto::admin as wire;
use shared::task::Stop;
use std::sync::Arc;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use wire::admin_server::AdminServer;

/// The largest message either way, in bytes: a whole catalogue as text.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// What the service works on.
pub struct Deps {
    /// The catalogue.
    pub registry: Arc<Registry>,
    /// Organisations, keys and the audit log.
    pub accounts: Arc<Accounts>,
    /// Money.
    pub ledger: Arc<Ledger>,
    /// Rankings.
    pub ranker: Arc<Ranker>,
    /// Who is there.
    pub edges: Edges,
    /// What operators want of each.
    pub duties: Arc<Duties>,
    /// Under which leadership to write.
    pub leadership: LeadershipWatch,
    /// Ends what is watched.
    pub stop: Stop,
}

/// The service, to be put behind the operators' door by [`AdminService::server`].
pub struct AdminService {
    deps: Deps,
}

impl AdminService {
    /// A service of `deps`.
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        Self { deps }
    }

    /// The service behind its door.
    #[must_use]
    pub fn server(self, door: OperatorDoor) -> InterceptedService<AdminServer<Self>, OperatorDoor> {
        let server = AdminServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, door)
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// Who calls, and with what.
fn open<T>(request: Request<T>) -> Result<(String, T), Status> {
    let actor = caller_of(&request)?.actor();
    Ok((actor, request.into_inner()))
}

fn accounts_status(error: &AccountsError) -> Status {
    let text = error.to_string();
    match error {
        AccountsError::NoSuchOrg(_)
        | AccountsError::NoSuchKey(_)
        | AccountsError::NoSuch { .. } => Status::not_found(text),
        AccountsError::Conflict(_) => Status::failed_precondition(text),
        AccountsError::KeyTaken(_) => Status::already_exists(text),
        AccountsError::Forbidden { .. } => Status::permission_denied(text),
        AccountsError::Invalid { .. } => Status::invalid_argument(text),
        AccountsError::Busy => Status::resource_exhausted(text),
        AccountsError::Vault(_) | AccountsError::NoRandomness => Status::internal(text),
        AccountsError::Database(error) => database_status(error),
    }
}

fn ledger_status(error: &LedgerError) -> Status {
    match error {
        LedgerError::Database(error) => database_status(error),
        LedgerError::Fenced(_) => Status::unavailable(error.to_string()),
        LedgerError::Invalid { .. } => Status::invalid_argument(error.to_string()),
        LedgerError::OtherAmount | LedgerError::OtherOrg(_) => {
            Status::already_exists(error.to_string())
        }
        LedgerError::Gap { .. }
        | LedgerError::EpochReused { .. }
        | LedgerError::Replaced { .. }
        | LedgerError::Copied { .. }
        | LedgerError::NoLimit
        | LedgerError::Unsound(_) => Status::internal(error.to_string()),
    }
}

fn database_status(error: &DatabaseError) -> Status {
    tracing::error!(%error, "the database of accounts and money fails");
    match error {
        DatabaseError::Engine(_) | DatabaseError::Conflict => {
            Status::unavailable("the database fails")
        }
        DatabaseError::TooNew { .. } | DatabaseError::Corrupt { .. } => {
            Status::internal(error.to_string())
        }
    }
}

#[tonic::async_trait]
impl wire::admin_server::Admin for AdminService {
    type WatchRankingsStream = endpoint::Changes;

    async fn validate_catalog(
        &self,
        request: Request<wire::CatalogFiles>,
    ) -> Answer<wire::ValidateCatalogResponse> {
        let (_, message) = open(request)?;
        catalog::validate(message).await
    }
    async fn apply_catalog(
        &self,
        request: Request<wire::CatalogFiles>,
    ) -> Answer<wire::ApplyCatalogResponse> {
        let (actor, message) = open(request)?;
        catalog::apply(&self.deps, &actor, message).await
    }
    async fn diff_catalog(
        &self,
        request: Request<wire::CatalogFiles>,
    ) -> Answer<wire::DiffCatalogResponse> {
        let (_, message) = open(request)?;
        catalog::diff(&self.deps, message).await
    }
    async fn export_catalog(
        &self,
        request: Request<wire::ExportCatalogRequest>,
    ) -> Answer<wire::CatalogFiles> {
        open(request)?;
        catalog::export(&self.deps).await
    }
    async fn catalog_history(
        &self,
        request: Request<wire::CatalogHistoryRequest>,
    ) -> Answer<wire::CatalogHistoryResponse> {
        open(request)?;
        catalog::history(&self.deps).await
    }
    async fn rollback_catalog(
        &self,
        request: Request<wire::RollbackCatalogRequest>,
    ) -> Answer<wire::ApplyCatalogResponse> {
        let (actor, message) = open(request)?;
        catalog::rollback(&self.deps, &actor, message).await
    }
    async fn create_key(
        &self,
        request: Request<wire::CreateKeyRequest>,
    ) -> Answer<wire::CreateKeyResponse> {
        let (actor, message) = open(request)?;
        keys::create(&self.deps, &actor, message).await
    }
    async fn list_keys(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Answer<wire::ListKeysResponse> {
        let (_, message) = open(request)?;
        keys::list(&self.deps, message).await
    }
    async fn revoke_key(
        &self,
        request: Request<wire::RevokeKeyRequest>,
    ) -> Answer<wire::RevokeKeyResponse> {
        let (actor, message) = open(request)?;
        keys::revoke(&self.deps, &actor, message).await
    }
    async fn create_org(&self, request: Request<wire::CreateOrgRequest>) -> Answer<wire::Org> {
        let (actor, message) = open(request)?;
        people::create_org(&self.deps, &actor, message).await
    }
    async fn add_member(&self, request: Request<wire::AddMemberRequest>) -> Answer<wire::Member> {
        let (actor, message) = open(request)?;
        people::add_member(&self.deps, &actor, message).await
    }
    async fn set_role(
        &self,
        request: Request<wire::SetRoleRequest>,
    ) -> Answer<wire::SetRoleResponse> {
        let (actor, message) = open(request)?;
        people::set_role(&self.deps, &actor, message).await
    }
    async fn remove_member(
        &self,
        request: Request<wire::RemoveMemberRequest>,
    ) -> Answer<wire::RemoveMemberResponse> {
        let (actor, message) = open(request)?;
        people::remove_member(&self.deps, &actor, message).await
    }
    async fn set_password(
        &self,
        request: Request<wire::SetPasswordRequest>,
    ) -> Answer<wire::SetPasswordResponse> {
        let (actor, message) = open(request)?;
        people::set_password(&self.deps, &actor, message).await
    }
    async fn set_disabled(
        &self,
        request: Request<wire::SetDisabledRequest>,
    ) -> Answer<wire::SetDisabledResponse> {
        let (actor, message) = open(request)?;
        people::set_disabled(&self.deps, &actor, message).await
    }
    async fn unlink(&self, request: Request<wire::UnlinkRequest>) -> Answer<wire::UnlinkResponse> {
        let (actor, message) = open(request)?;
        people::unlink(&self.deps, &actor, message).await
    }
    async fn create_workspace(
        &self,
        request: Request<wire::CreateWorkspaceRequest>,
    ) -> Answer<wire::Workspace> {
        let (actor, message) = open(request)?;
        people::create_workspace(&self.deps, &actor, message).await
    }
    async fn delete_workspace(
        &self,
        request: Request<wire::DeleteWorkspaceRequest>,
    ) -> Answer<wire::DeleteWorkspaceResponse> {
        let (actor, message) = open(request)?;
        people::delete_workspace(&self.deps, &actor, message).await
    }
    async fn list_orgs(
        &self,
        request: Request<wire::ListOrgsRequest>,
    ) -> Answer<wire::ListOrgsResponse> {
        open(request)?;
        people::orgs(&self.deps).await
    }
    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Answer<wire::ListMembersResponse> {
        let (_, message) = open(request)?;
        people::members(&self.deps, message).await
    }
    async fn list_workspaces(
        &self,
        request: Request<wire::ListWorkspacesRequest>,
    ) -> Answer<wire::ListWorkspacesResponse> {
        let (_, message) = open(request)?;
        people::workspaces(&self.deps, message).await
    }
    async fn update_key(&self, request: Request<wire::UpdateKeyRequest>) -> Answer<wire::Key> {
        let (actor, message) = open(request)?;
        keys::update(&self.deps, &actor, message).await
    }
    async fn list_guardrails(
        &self,
        request: Request<wire::ListGuardrailsRequest>,
    ) -> Answer<wire::ListGuardrailsResponse> {
        let (_, message) = open(request)?;
        guardrails::list(&self.deps, message).await
    }
    async fn create_guardrail(
        &self,
        request: Request<wire::CreateGuardrailRequest>,
    ) -> Answer<wire::Guardrail> {
        let (actor, message) = open(request)?;
        guardrails::create(&self.deps, &actor, message).await
    }
    async fn update_guardrail(
        &self,
        request: Request<wire::UpdateGuardrailRequest>,
    ) -> Answer<wire::Guardrail> {
        let (actor, message) = open(request)?;
        guardrails::update(&self.deps, &actor, message).await
    }
    async fn delete_guardrail(
        &self,
        request: Request<wire::DeleteGuardrailRequest>,
    ) -> Answer<wire::DeleteGuardrailResponse> {
        let (actor, message) = open(request)?;
        guardrails::delete(&self.deps, &actor, message).await
    }
    async fn assign_guardrail(
        &self,
        request: Request<wire::AssignGuardrailRequest>,
    ) -> Answer<wire::AssignGuardrailResponse> {
        let (actor, message) = open(request)?;
        guardrails::assign(&self.deps, &actor, message).await
    }
    async fn list_credentials(
        &self,
        request: Request<wire::ListCredentialsRequest>,
    ) -> Answer<wire::ListCredentialsResponse> {
        let (_, message) = open(request)?;
        credentials::list(&self.deps, message).await
    }
    async fn create_credential(
        &self,
        request: Request<wire::CreateCredentialRequest>,
    ) -> Answer<wire::Credential> {
        let (actor, message) = open(request)?;
        credentials::create(&self.deps, &actor, message).await
    }
    async fn update_credential(
        &self,
        request: Request<wire::UpdateCredentialRequest>,
    ) -> Answer<wire::Credential> {
        let (actor, message) = open(request)?;
        credentials::update(&self.deps, &actor, message).await
    }
    async fn delete_credential(
        &self,
        request: Request<wire::DeleteCredentialRequest>,
    ) -> Answer<wire::DeleteCredentialResponse> {
        let (actor, message) = open(request)?;
        credentials::delete(&self.deps, &actor, message).await
    }
    async fn rotate_master_key(
        &self,
        request: Request<wire::RotateMasterKeyRequest>,
    ) -> Answer<wire::RotateMasterKeyResponse> {
        let (actor, _) = open(request)?;
        credentials::rotate(&self.deps, &actor).await
    }
    async fn get_rollout(
        &self,
        request: Request<wire::GetRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        open(request)?;
        Ok(rollout::status(&self.deps))
    }
    async fn pause_rollout(
        &self,
        request: Request<wire::PauseRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        let (actor, _) = open(request)?;
        rollout::pause(&self.deps, &actor).await
    }
    async fn resume_rollout(
        &self,
        request: Request<wire::ResumeRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        let (actor, _) = open(request)?;
        rollout::resume(&self.deps, &actor).await
    }
    async fn roll_back_rollout(
        &self,
        request: Request<wire::RollBackRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        let (actor, message) = open(request)?;
        rollout::roll_back(&self.deps, &actor, message).await
    }
    async fn list_edges(
        &self,
        request: Request<wire::ListEdgesRequest>,
    ) -> Answer<wire::ListEdgesResponse> {
        open(request)?;
        Ok(edge::list(&self.deps))
    }
    async fn drain_edge(
        &self,
        request: Request<wire::DrainEdgeRequest>,
    ) -> Answer<wire::EdgeDutyResponse> {
        let (actor, message) = open(request)?;
        edge::set(&self.deps, &actor, &message.node_id, true).await
    }
    async fn undrain_edge(
        &self,
        request: Request<wire::UndrainEdgeRequest>,
    ) -> Answer<wire::EdgeDutyResponse> {
        let (actor, message) = open(request)?;
        edge::set(&self.deps, &actor, &message.node_id, false).await
    }
    async fn list_endpoints(
        &self,
        request: Request<wire::ListEndpointsRequest>,
    ) -> Answer<wire::ListEndpointsResponse> {
        let (_, message) = open(request)?;
        fleet::endpoints(&self.deps, &message).await
    }
    async fn get_rankings(
        &self,
        request: Request<wire::GetRankingsRequest>,
    ) -> Answer<wire::GetRankingsResponse> {
        let (_, message) = open(request)?;
        fleet::rankings(&self.deps, &message).await
    }
    async fn set_endpoint(
        &self,
        request: Request<wire::SetEndpointRequest>,
    ) -> Answer<wire::SetEndpointResponse> {
        let (actor, message) = open(request)?;
        endpoint::set(&self.deps, &actor, &message).await
    }
    async fn ranking_history(
        &self,
        request: Request<wire::RankingHistoryRequest>,
    ) -> Answer<wire::RankingHistoryResponse> {
        let (_, message) = open(request)?;
        endpoint::history(&self.deps, &message)
    }
    async fn watch_rankings(
        &self,
        request: Request<wire::GetRankingsRequest>,
    ) -> Answer<Self::WatchRankingsStream> {
        let (_, message) = open(request)?;
        endpoint::watch(&self.deps, message)
    }
    async fn explain_ranking(
        &self,
        request: Request<wire::ExplainRankingRequest>,
    ) -> Answer<wire::ExplainRankingResponse> {
        let (_, message) = open(request)?;
        fleet::explain(&self.deps, &message).await
    }
    async fn list_credits(
        &self,
        request: Request<wire::ListCreditsRequest>,
    ) -> Answer<wire::ListCreditsResponse> {
        open(request)?;
        money::credits(&self.deps).await
    }
    async fn add_credits(
        &self,
        request: Request<wire::AddCreditsRequest>,
    ) -> Answer<wire::AddCreditsResponse> {
        let (actor, message) = open(request)?;
        money::add(&self.deps, &actor, message).await
    }
    async fn buy_credits(
        &self,
        request: Request<wire::BuyCreditsRequest>,
    ) -> Answer<wire::BuyCreditsResponse> {
        let (actor, message) = open(request)?;
        money::buy(&self.deps, &actor, message).await
    }
    async fn refund_credits(
        &self,
        request: Request<wire::RefundCreditsRequest>,
    ) -> Answer<wire::RefundCreditsResponse> {
        let (actor, message) = open(request)?;
        money::refund(&self.deps, &actor, message).await
    }
    async fn set_topup(
        &self,
        request: Request<wire::SetTopupRequest>,
    ) -> Answer<wire::SetTopupResponse> {
        let (actor, message) = open(request)?;
        topup::set(&self.deps, &actor, message).await
    }
    async fn show_topup(
        &self,
        request: Request<wire::ShowTopupRequest>,
    ) -> Answer<wire::ShowTopupResponse> {
        let (_, message) = open(request)?;
        topup::show(&self.deps, message).await
    }
    async fn set_terms(
        &self,
        request: Request<wire::SetTermsRequest>,
    ) -> Answer<wire::SetTermsResponse> {
        let (actor, message) = open(request)?;
        money::set_terms(&self.deps, &actor, message).await
    }
    async fn set_limit(
        &self,
        request: Request<wire::SetLimitRequest>,
    ) -> Answer<wire::SetLimitResponse> {
        let (actor, message) = open(request)?;
        money::set_limit(&self.deps, &actor, message).await
    }
    async fn list_limits(
        &self,
        request: Request<wire::ListLimitsRequest>,
    ) -> Answer<wire::ListLimitsResponse> {
        let (_, message) = open(request)?;
        money::limits(&self.deps, message).await
    }
    async fn reconcile_bill(
        &self,
        request: Request<wire::ReconcileBillRequest>,
    ) -> Answer<wire::ReconcileBillResponse> {
        let (actor, message) = open(request)?;
        money::reconcile(&self.deps, &actor, message).await
    }
    async fn verify_ledger(
        &self,
        request: Request<wire::VerifyLedgerRequest>,
    ) -> Answer<wire::VerifyLedgerResponse> {
        open(request)?;
        money::verify(&self.deps).await
    }
    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Answer<wire::ListAuditResponse> {
        let (_, message) = open(request)?;
        money::audit(&self.deps, &message).await
    }
}
