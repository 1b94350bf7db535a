//! Every metric of the data plane: its name as a constant, described once. Label values come from
//! closed sets or the catalogue; model x provider counters stop at [`SERIES_MAX`] endpoints and go
//! on as `other`.

use dashmap::DashMap;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use shared::id::EndpointId;
use shared::money::Amount;
use shared::usage::Usage;
use std::sync::Arc;

/// Client requests, by API, status class and fault owner.
pub const REQUESTS: &str = "godwit_requests_total";
/// From the request's head to the end of its answer.
pub const REQUEST_DURATION: &str = "godwit_request_duration_seconds";
/// Time in Godwit, waiting for upstreams and clients excluded.
pub const OVERHEAD: &str = "godwit_overhead_seconds";
/// From the upstream request to the first content byte.
pub const TTFT: &str = "godwit_ttft_seconds";
/// Completion tokens per second of streams.
pub const THROUGHPUT: &str = "godwit_output_tokens_per_second";
/// Upstream attempts, by provider and outcome.
pub const ATTEMPTS: &str = "godwit_attempts_total";
/// Answers whose reported usage can't be and was replaced by an estimate, by provider.
pub const USAGE_DISBELIEVED: &str = "godwit_usage_disbelieved_total";
/// Moves to another endpoint, by reason.
pub const FAILOVERS: &str = "godwit_failovers_total";
/// Competitors that were called off because another endpoint answered first.
pub const HEDGES_CALLED_OFF: &str = "godwit_hedges_called_off_total";
/// What providers may bill for their prompts, in USD: the platform's expense.
pub const HEDGE_EXPENSE: &str = "godwit_hedge_expense_usd_total";
/// 1 for the state that an endpoint is in.
pub const ENDPOINT_STATE: &str = "godwit_endpoint_state";
/// Tokens, by model, provider and kind.
pub const TOKENS: &str = "godwit_tokens_total";
/// What was charged, in USD, by model and provider.
pub const COST: &str = "godwit_cost_usd_total";
/// The version number of the table in use.
pub const TABLE_VERSION: &str = "godwit_table_version";
/// Seconds since the ranking in use was computed.
pub const TABLE_AGE: &str = "godwit_table_age_seconds";
/// Pushes refused, by reason.
pub const PUSH_NACKS: &str = "godwit_push_nacks_total";
/// Usage records that the ledger has not acknowledged.
pub const OUTBOX: &str = "godwit_usage_outbox_records";
/// 1 while the usage log can't be written: no new holds.
pub const LOG_DOWN: &str = "godwit_usage_log_down";
/// Failures of the usage log, by what failed.
pub const LOG_FAILURES: &str = "godwit_usage_log_failures_total";
/// Records that a kill cut off at the end of a log: not damage, and cut off on disk.
pub const LOG_TORN: &str = "godwit_usage_log_torn_total";
/// Places in earlier logs where a record was and is not readable.
pub const LOG_DAMAGE: &str = "godwit_usage_log_damage_total";
/// Ends that damage took, and nothing says of whom: reported as such.
pub const LOG_LOST: &str = "godwit_usage_records_lost_total";
/// Starts at which the ledger said that another run has the leases of the disk's earlier ones.
pub const COPIES: &str = "godwit_usage_log_copies_total";
/// Damaged segments, and runs that the ledger disowns, that were set aside since the start.
pub const QUARANTINES: &str = "godwit_usage_log_quarantines_total";
/// How many of them are there for people to look at.
pub const QUARANTINED: &str = "godwit_usage_log_quarantined";
/// 1 when the ledger knows other records of this run: no new holds until a restart.
pub const DISOWNED: &str = "godwit_usage_log_disowned";
/// What this node may spend without asking.
pub const LEASE_AVAILABLE: &str = "godwit_lease_available_usd";
/// 1 while an operator has this node drained.
pub const DRAINING: &str = "godwit_draining";
/// Streams being relayed.
pub const OPEN_STREAMS: &str = "godwit_open_streams";
/// Tokens fetched for accounts at providers, by outcome.
pub const TOKEN_REFRESHES: &str = "godwit_token_refreshes_total";
/// Packets between edges of a point of presence, by what became of them; and pauses.
pub const GOSSIP: &str = "godwit_gossip_packets_total";
/// Edges that this one gossips with.
pub const GOSSIP_PEERS: &str = "godwit_gossip_peers";
/// What content filters found, by action and filter.
pub const GUARDRAIL_MATCHES: &str = "godwit_guardrail_matches_total";
/// Work refused because a limit was reached, by limit.
pub const SHED: &str = "godwit_shed_total";

/// The most endpoints whose model and provider get series of their own.
pub const SERIES_MAX: usize = 5_000;

/// Registers the descriptions; once per process.
pub fn describe() {
    describe_counter!(REQUESTS, "client requests");
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "from head to end of answer"
    );
    describe_histogram!(OVERHEAD, Unit::Seconds, "time in Godwit, waiting excluded");
    describe_histogram!(
        TTFT,
        Unit::Seconds,
        "from upstream request to first content byte of streams"
    );
    describe_histogram!(THROUGHPUT, "completion tokens per second of streams");
    describe_counter!(ATTEMPTS, "upstream attempts");
    describe_counter!(USAGE_DISBELIEVED, "answers whose reported usage can't be");
    describe_counter!(GUARDRAIL_MATCHES, "matches of content filters");
    describe_counter!(FAILOVERS, "moves to another endpoint");
    describe_counter!(HEDGES_CALLED_OFF, "competitors called off");
    describe_gauge!(HEDGE_EXPENSE, "prompts of competitors called off, in USD");
    describe_gauge!(ENDPOINT_STATE, "1 for the state that an endpoint is in");
    describe_counter!(TOKENS, "tokens by kind");
    describe_counter!(COST, "charged, in USD");
    describe_gauge!(TABLE_VERSION, "version number of the table in use");
    describe_gauge!(TABLE_AGE, Unit::Seconds, "age of the ranking in use");
    describe_counter!(PUSH_NACKS, "pushes refused");
    describe_gauge!(DRAINING, "1 while an operator has this node drained");
    describe_gauge!(OUTBOX, "usage records not yet acknowledged");
    describe_gauge!(LOG_DOWN, "1 while the usage log can't be written");
    describe_counter!(LOG_FAILURES, "failures of the usage log");
    describe_counter!(LOG_TORN, "records that a kill cut off");
    describe_counter!(LOG_DAMAGE, "unreadable places in usage logs");
    describe_counter!(LOG_LOST, "usage records that damage took");
    describe_counter!(COPIES, "starts from a copy of a disk");
    describe_counter!(QUARANTINES, "segments and runs set aside");
    describe_gauge!(QUARANTINED, "segments and runs in quarantine");
    describe_gauge!(DISOWNED, "1 when the ledger disowns this run");
    describe_gauge!(
        LEASE_AVAILABLE,
        "what this node may spend without asking, in USD"
    );
    describe_gauge!(OPEN_STREAMS, "streams being relayed");
    describe_counter!(TOKEN_REFRESHES, "tokens fetched for accounts at providers");
    describe_counter!(
        GOSSIP,
        "packets between edges of a point of presence, and pauses made of them"
    );
    describe_gauge!(GOSSIP_PEERS, "edges that this one gossips with");
    describe_counter!(SHED, "work refused because a limit was reached");
}

/// Counts one refusal because of the named limit.
pub fn shed(limit: &'static str) {
    counter!(SHED, "limit" => limit).increment(1);
}

/// The counters of each endpoint, looked up once: a request must not build and hash labels for
/// each number that it counts.
#[derive(Default)]
pub struct Meters {
    known: DashMap<EndpointId, Arc<EndpointMeters>>,
}

/// What is counted of one endpoint, under the labels of its model and provider.
pub struct EndpointMeters {
    /// Attempts that ended well.
    pub served: Counter,
    /// From the upstream request to the first content byte, in seconds.
    pub ttft: Histogram,
    /// Completion tokens per second.
    pub throughput: Histogram,
    prompt: Counter,
    completion: Counter,
    cached: Counter,
    reasoning: Counter,
    cost: Gauge,
}

impl Meters {
    /// The counters of this endpoint. Beyond [`SERIES_MAX`] endpoints, tokens and cost are counted
    /// as `other`.
    #[must_use]
    pub fn of(&self, id: &EndpointId, model: &str, provider: &str) -> Arc<EndpointMeters> {
        if let Some(meters) = self.known.get(id) {
            return Arc::clone(&meters);
        }
        if self.known.len() >= SERIES_MAX {
            return Arc::new(EndpointMeters::new(("other", "other"), provider));
        }
        let meters = Arc::new(EndpointMeters::new((model, provider), provider));
        self.known.insert(id.clone(), Arc::clone(&meters));
        meters
    }
}

impl EndpointMeters {
    fn new((model, payee): (&str, &str), provider: &str) -> Self {
        let (model, payee) = (model.to_owned(), payee.to_owned());
        let tokens = |kind: &'static str| {
            let (model, payee) = (model.clone(), payee.clone());
            counter!(TOKENS, "model" => model, "provider" => payee, "kind" => kind)
        };
        let provider = || provider.to_owned();
        Self {
            served: counter!(ATTEMPTS, "provider" => provider(), "outcome" => "ok"),
            ttft: histogram!(TTFT, "provider" => provider()),
            throughput: histogram!(THROUGHPUT, "provider" => provider()),
            prompt: tokens("prompt"),
            completion: tokens("completion"),
            cached: tokens("cached"),
            reasoning: tokens("reasoning"),
            // The exporter counts integers; a gauge that only grows keeps the fraction of a dollar.
            cost: gauge!(COST, "model" => model, "provider" => payee),
        }
    }

    /// Counts what one request used, and what was charged for it.
    pub fn count(&self, usage: &Usage, charged: Amount) {
        self.prompt.increment(usage.prompt);
        self.completion.increment(usage.completion);
        self.cached.increment(usage.cache_read);
        self.reasoning.increment(usage.reasoning);
        self.cost.increment(charged.to_usd_lossy());
    }
}
