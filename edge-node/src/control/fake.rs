//! A control plane for tests: the ledger's and the key look-up's rules over maps in memory, in
//! clear on port 0, with faults. It keeps what it was told, so that tests can compare to the
//! digit. Not here: the subscription stream.

use super::{ControlClient, Timers};
use shared::key::KeyHash;
use shared::limit::Purse;
use shared::money::Amount;
use shared::policy::Principal;
use shared::proto::discovery::discovery_server::{Discovery, DiscoveryServer};
use shared::proto::discovery::{EdgeMessage, LookupKeyRequest, LookupKeyResponse};
use shared::proto::ledger::ledger_server::{Ledger, LedgerServer};
use shared::proto::ledger::{
    AcquireLeaseRequest, AcquireLeaseResponse, ReleaseLeaseRequest, ReleaseLeaseResponse,
    ShipRequest, ShipResponse,
};
use shared::proto::pushed::ControlMessage;
use shared::record::UsageRecord;
use shared::task::{Tasks, lock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};

/// What the fake knows and was told.
#[derive(Default)]
pub(crate) struct State {
    /// Money outside of leases.
    pub(crate) balance: HashMap<Purse, i128>,
    /// Money in leases, by run: a return is taken from the run that makes it.
    pub(crate) leases: BTreeMap<(Purse, u64), i128>,
    /// Granted by lease id.
    pub(crate) grants: HashMap<String, i128>,
    /// Taken back by release id.
    pub(crate) released: HashMap<String, i128>,
    /// By node and epoch.
    pub(crate) watermarks: BTreeMap<(String, u64), u64>,
    /// Applied, in order.
    pub(crate) records: Vec<(u64, UsageRecord)>,
    pub(crate) ttl_ms: u64,
    /// The most that one grant gives beyond the least; none is half of the balance.
    pub(crate) slice: Option<i128>,
    /// Nothing is leased ahead: each request is reserved.
    pub(crate) central: bool,
    /// What other nodes have leased.
    pub(crate) elsewhere: i128,
    /// Questions for leases.
    pub(crate) asked: usize,
    /// What the last of them said: it knows that nothing is leased ahead, and its largest hold.
    pub(crate) said: (bool, i128),
    /// Refuse all calls.
    pub(crate) down: bool,
    /// Take questions for leases and never answer.
    pub(crate) silent: bool,
    /// There is no such limit.
    pub(crate) no_limit: HashSet<Purse>,
    /// Answer no question for a lease: unavailable, or as a node that has a newer run.
    pub(crate) no_leases: Option<Code>,
    /// Take no lease back: a newer run has it.
    pub(crate) no_returns: bool,
    /// Apply, but lose the answers of this many ledger calls.
    pub(crate) lose_answers: usize,
    /// All ledger calls.
    pub(crate) calls: usize,
    /// The ledger has other records of this run.
    pub(crate) foreign: Option<u64>,
    /// What runs before this one had is another's.
    pub(crate) copied: bool,
    /// Look-ups so far.
    pub(crate) lookups: usize,
    pub(crate) keys: HashMap<KeyHash, Principal>,
    pub(crate) refusals: HashMap<KeyHash, &'static str>,
    /// The sequence of the look-ups' answers.
    pub(crate) account_sequence: u64,
    /// Advance the sequence by one after each look-up: a replica that catches up.
    pub(crate) catching_up: bool,
}

/// The fake. Dropping it leaves it running until the test's runtime ends.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// While true, look-ups wait.
    held: watch::Sender<bool>,
    pub(crate) url: String,
}

impl Fake {
    /// Starts one with a two-hour lease time.
    pub(crate) async fn start(tasks: &Tasks) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            ttl_ms: 7_200_000,
            ..State::default()
        };
        let fake = Self {
            state: Arc::new(Mutex::new(state)),
            held: watch::channel(false).0,
            url,
        };
        let server = tonic::transport::Server::builder()
            .add_service(LedgerServer::new(fake.clone()))
            .add_service(DiscoveryServer::new(fake.clone()));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tasks.spawn("fake control plane", async move {
            server.serve_with_incoming(incoming).await.unwrap();
        });
        fake
    }

    /// A client of it.
    pub(crate) fn client(&self, timers: &Timers) -> Arc<ControlClient> {
        ControlClient::new(std::slice::from_ref(&self.url), None, timers).unwrap()
    }

    /// Reads or changes the state.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut lock(&self.state))
    }

    /// Makes look-ups wait, or lets them go.
    pub(crate) fn hold_lookups(&self, held: bool) {
        self.held.send_replace(held);
    }

    fn answer<T>(&self, answer: T) -> Result<Response<T>, Status> {
        self.with(|state| {
            state.calls += 1;
            if state.lose_answers > 0 {
                state.lose_answers -= 1;
                return Err(Status::unavailable("the answer is lost"));
            }
            Ok(Response::new(answer))
        })
    }

    fn check(&self) -> Result<(), Status> {
        if self.with(|state| state.down) {
            return Err(Status::unavailable("down"));
        }
        Ok(())
    }
}

impl State {
    /// All that was charged.
    pub(crate) fn charged(&self) -> Amount {
        self.records.iter().map(|(_, record)| record.charge()).sum()
    }

    fn acquire(&mut self, request: &AcquireLeaseRequest) -> AcquireLeaseResponse {
        let pico = |text: &str| text.parse::<i128>().unwrap();
        let org = purse(&request.org, &request.window);
        let balance = self.balance.entry(org.clone()).or_default();
        let (wanted, least) = (pico(&request.wanted_pico), pico(&request.least_pico));
        assert!(wanted >= least && least > 0, "{request:?}");
        self.asked += 1;
        let largest = pico(&request.largest_pico);
        self.said = (request.central, largest);
        let enough = pico(&request.needed_pico).min(largest);
        let wanted = if self.central {
            pico(&request.needed_pico)
        } else {
            wanted
        };
        let granted = *self
            .grants
            .entry(request.lease_id.clone())
            .or_insert_with(|| {
                let slice = self.slice.unwrap_or(*balance / 2).max(least).max(enough);
                let most = if self.central { wanted } else { slice };
                let granted = if *balance < least {
                    0
                } else {
                    wanted.min(*balance).min(most)
                };
                *balance -= granted;
                let run = (org.clone(), request.boot_epoch);
                *self.leases.entry(run).or_default() += granted;
                granted
            });
        AcquireLeaseResponse {
            granted_pico: granted.to_string(),
            ttl_ms: self.ttl_ms,
            available_pico: balance.to_string(),
            central: self.central,
            elsewhere_pico: self.elsewhere.to_string(),
        }
    }

    fn release(&mut self, request: ReleaseLeaseRequest) {
        let amount: i128 = request.amount_pico.parse().unwrap();
        let org = purse(&request.org, &request.window);
        if self.released.insert(request.release_id, amount).is_none() {
            let run = (org.clone(), request.boot_epoch);
            let lease = self.leases.entry(run).or_default();
            let taken = amount.min(*lease).max(0);
            *lease -= taken;
            *self.balance.entry(org).or_default() += taken;
        }
    }

    fn inherit(&mut self, request: &ShipRequest) {
        for epoch in &request.inherited_epochs {
            let of = |(run, _): &(&(Purse, u64), &i128)| run.1 == *epoch;
            let moved: Vec<_> = self.leases.iter().filter(of).collect();
            let moved: Vec<_> = moved.into_iter().map(|(run, _)| run.clone()).collect();
            for run in moved {
                let amount = self.leases.remove(&run).unwrap();
                *self.leases.entry((run.0, request.boot_epoch)).or_default() += amount;
            }
        }
    }

    fn ship(&mut self, request: ShipRequest) -> Result<u64, Status> {
        if self.foreign == Some(request.boot_epoch) && !request.records.is_empty() {
            return Err(Status::data_loss("another run's"));
        }
        if self.copied && !request.inherited_epochs.is_empty() {
            return Err(Status::data_loss("a copy"));
        }
        self.inherit(&request);
        let origin = (request.node_id, request.boot_epoch);
        let watermark = self.watermarks.entry(origin).or_default();
        for record in request.records {
            if record.sequence <= *watermark {
                continue;
            }
            if record.sequence != *watermark + 1 {
                return Err(Status::failed_precondition("a gap"));
            }
            *watermark += 1;
            let record = UsageRecord::try_from(record).unwrap();
            // From the run's own lease first, then from the newest of the others.
            for (purse, charged) in record.charges() {
                let mut left = charged.0;
                let mut runs: Vec<_> = self.leases.iter_mut().rev().collect();
                runs.sort_by_key(|(run, _)| run.1 != request.boot_epoch);
                for (_, lease) in runs.into_iter().filter(|(run, _)| run.0 == purse) {
                    let part = left.min(*lease);
                    *lease -= part;
                    left -= part;
                }
                assert_eq!(left, 0, "a lease does not carry {record:?}");
            }
            self.records.push((request.boot_epoch, record));
        }
        Ok(*watermark)
    }
}

fn purse(org: &str, window: &str) -> Purse {
    format!("{org} {window}").trim().parse().unwrap()
}

#[tonic::async_trait]
impl Ledger for Fake {
    async fn acquire_lease(
        &self,
        request: Request<AcquireLeaseRequest>,
    ) -> Result<Response<AcquireLeaseResponse>, Status> {
        self.check()?;
        if let Some(code) = self.with(|state| state.no_leases) {
            return Err(Status::new(code, "no leases"));
        }
        if self.with(|state| state.silent) {
            std::future::pending::<()>().await;
        }
        let request = request.into_inner();
        let purse = purse(&request.org, &request.window);
        if self.with(|state| state.no_limit.contains(&purse)) {
            return Err(Status::not_found("no such limit"));
        }
        let answer = self.with(|state| state.acquire(&request));
        self.answer(answer)
    }

    async fn release_lease(
        &self,
        request: Request<ReleaseLeaseRequest>,
    ) -> Result<Response<ReleaseLeaseResponse>, Status> {
        self.check()?;
        if self.with(|state| state.no_returns) {
            return Err(Status::failed_precondition(
                "a newer run of this node exists",
            ));
        }
        self.with(|state| state.release(request.into_inner()));
        self.answer(ReleaseLeaseResponse {})
    }

    async fn ship(&self, request: Request<ShipRequest>) -> Result<Response<ShipResponse>, Status> {
        self.check()?;
        let watermark = self.with(|state| state.ship(request.into_inner()))?;
        self.answer(ShipResponse { watermark })
    }
}

#[tonic::async_trait]
impl Discovery for Fake {
    type SubscribeStream = tokio_stream::Empty<Result<ControlMessage, Status>>;

    async fn subscribe(
        &self,
        _request: Request<Streaming<EdgeMessage>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("no stream here"))
    }

    async fn lookup_key(
        &self,
        request: Request<LookupKeyRequest>,
    ) -> Result<Response<LookupKeyResponse>, Status> {
        self.check()?;
        let key = KeyHash(request.into_inner().key_hash.try_into().unwrap());
        let answer = self.with(|state| {
            state.lookups += 1;
            let answer = LookupKeyResponse {
                account_sequence: state.account_sequence,
                key: state.keys.get(&key).map(Into::into),
                refusal: (*state.refusals.get(&key).unwrap_or(&"unknown")).to_owned(),
            };
            if state.catching_up {
                state.account_sequence += 1;
            }
            answer
        });
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        Ok(Response::new(answer))
    }
}

/// Waits until `check` holds; fails the test after some seconds.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !check() {
        assert!(begun.elapsed().as_secs() < 20, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
