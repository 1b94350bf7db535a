//! The ledger on the wire. An edge speaks for its own node only; a control plane that does not
//! lead sends it elsewhere.

use super::{Batch, LeaseRequest, Ledger, LedgerError, Need, Part, ReleaseRequest};
use crate::accounts::Accounts;
use crate::security::guard::{EdgeDoor, must_be_own, node_of};
use crate::sql::DatabaseError;
use crate::store::Epoch;
use shared::id::{BootEpoch, NodeId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::proto::ledger as wire;
use shared::record::{Origin, UsageRecord};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use wire::ledger_server::LedgerServer;

/// The largest batch that is read, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The leadership of this process: none while it does not lead.
pub type LeadershipWatch = watch::Receiver<Option<Epoch>>;

/// The service, to be put behind the edges' door by [`LedgerService::server`].
pub struct LedgerService {
    ledger: Arc<Ledger>,
    accounts: Arc<Accounts>,
    leadership: LeadershipWatch,
}

impl LedgerService {
    /// A service of `ledger`, which writes under the leadership that `leadership` shows. Edges are
    /// told through `accounts` whose idle leases are wanted back.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, accounts: Arc<Accounts>, leadership: LeadershipWatch) -> Self {
        Self {
            ledger,
            accounts,
            leadership,
        }
    }

    /// The service behind its door.
    #[must_use]
    pub fn server(self, door: EdgeDoor) -> InterceptedService<LedgerServer<Self>, EdgeDoor> {
        let server = LedgerServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, door)
    }

    fn fence(&self) -> Result<Epoch, Status> {
        let leadership = *self.leadership.borrow();
        leadership.ok_or_else(|| Status::unavailable("this control plane does not lead"))
    }
}

#[tonic::async_trait]
impl wire::ledger_server::Ledger for LedgerService {
    async fn acquire_lease(
        &self,
        request: Request<wire::AcquireLeaseRequest>,
    ) -> Result<Response<wire::AcquireLeaseResponse>, Status> {
        let node = node_of(&request)?;
        let message = request.into_inner();
        let request = LeaseRequest {
            origin: origin(&node, &message.node_id, message.boot_epoch)?,
            purse: purse(message.org.clone(), &message.window)?,
            lease_id: message.lease_id.clone(),
            wanted: pico("wanted_pico", &message.wanted_pico)?,
            least: pico("least_pico", &message.least_pico)?,
            need: need(&message)?,
        };
        let grant = self.ledger.acquire(self.fence()?, &request).await;
        let grant = grant.map_err(|error| status(&error))?;
        if grant.recall
            && let Err(error) = self.accounts.recall_leases(&request.purse).await
        {
            tracing::warn!(purse = %request.purse, %error, "idle leases not recalled");
        }
        Ok(Response::new(wire::AcquireLeaseResponse {
            granted_pico: grant.granted.0.to_string(),
            ttl_ms: u64::try_from(grant.ttl.as_millis()).unwrap_or(u64::MAX),
            available_pico: grant.available.0.to_string(),
            central: grant.central,
            elsewhere_pico: grant.elsewhere.0.to_string(),
        }))
    }

    async fn release_lease(
        &self,
        request: Request<wire::ReleaseLeaseRequest>,
    ) -> Result<Response<wire::ReleaseLeaseResponse>, Status> {
        let node = node_of(&request)?;
        let message = request.into_inner();
        let request = ReleaseRequest {
            origin: origin(&node, &message.node_id, message.boot_epoch)?,
            purse: purse(message.org, &message.window)?,
            release_id: message.release_id,
            part: if message.lease_id.is_empty() {
                let apart = Some(message.apart_lease_id).filter(|id| !id.is_empty());
                Part::Amount(pico("amount_pico", &message.amount_pico)?, apart)
            } else {
                Part::Grant(message.lease_id)
            },
        };
        let released = self.ledger.release(self.fence()?, &request).await;
        released.map_err(|error| status(&error))?;
        Ok(Response::new(wire::ReleaseLeaseResponse {}))
    }

    async fn ship(
        &self,
        request: Request<wire::ShipRequest>,
    ) -> Result<Response<wire::ShipResponse>, Status> {
        let node = node_of(&request)?;
        let message = request.into_inner();
        let records = message.records.into_iter().map(|record| {
            let sequence = record.sequence;
            UsageRecord::try_from(record)
                .map_err(|error| Status::invalid_argument(format!("record {sequence}: {error}")))
        });
        let batch = Batch {
            origin: origin(&node, &message.node_id, message.boot_epoch)?,
            inherited: message
                .inherited_epochs
                .into_iter()
                .map(BootEpoch)
                .collect(),
            records: records.collect::<Result<_, _>>()?,
        };
        let watermark = self.ledger.ship(self.fence()?, &batch).await;
        let watermark = watermark.map_err(|error| status(&error))?;
        Ok(Response::new(wire::ShipResponse { watermark }))
    }
}

fn origin(node: &NodeId, named: &str, epoch: u64) -> Result<Origin, Status> {
    must_be_own(node, named)?;
    Ok(Origin {
        node: node.clone(),
        epoch: BootEpoch(epoch),
    })
}

fn purse(org: String, window: &str) -> Result<Purse, Status> {
    super::journal::purse(org, window)
        .map_err(|_| Status::invalid_argument(format!("window: {window:?} is no window")))
}

fn need(message: &wire::AcquireLeaseRequest) -> Result<Option<Need>, Status> {
    if message.needed_pico.is_empty() {
        return Ok(None);
    }
    Ok(Some(Need {
        now: pico("needed_pico", &message.needed_pico)?,
        largest: pico("largest_pico", &message.largest_pico)?.at_least_zero(),
        central: message.central,
    }))
}

fn pico(field: &str, text: &str) -> Result<Amount, Status> {
    text.parse().map(Amount).map_err(|_| {
        Status::invalid_argument(format!(
            "{field}: {text:?} is not a whole number of pico-USD"
        ))
    })
}

/// What an edge should make of an error: `unavailable` is to be tried again.
fn status(error: &LedgerError) -> Status {
    let text = error.to_string();
    match error {
        LedgerError::Fenced(_) => Status::unavailable(text),
        LedgerError::Database(DatabaseError::Engine(_) | DatabaseError::Conflict) => {
            tracing::error!(error = %text, "the ledger's database fails");
            Status::unavailable("the ledger's database fails")
        }
        LedgerError::Gap { .. } => Status::out_of_range(text),
        LedgerError::EpochReused { .. } => {
            tracing::error!(error = %text, "two runs of a node have used one boot epoch");
            Status::data_loss(text)
        }
        LedgerError::Copied { .. } => {
            tracing::error!(error = %text, "a node's disk was copied");
            Status::data_loss(text)
        }
        LedgerError::Replaced { .. } => Status::failed_precondition(text),
        // What the edge knows of the key's limits is old: it asks about the key again.
        LedgerError::NoLimit => Status::not_found(text),
        LedgerError::Invalid { .. } => Status::invalid_argument(text),
        LedgerError::OtherAmount | LedgerError::OtherOrg(_) => Status::already_exists(text),
        LedgerError::Unsound(_) | LedgerError::Database(_) => {
            tracing::error!(error = %text, "the ledger refuses to post");
            Status::internal(text)
        }
    }
}
