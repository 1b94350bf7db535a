//! Rules against a server that stands in for the payment provider: what is charged, how often, and
//! what a kill in between does, on real databases of both kinds.

use super::*;
use crate::sql::Engine;
use crate::store::Epoch;
use crate::testing::{TestDatabase, on_both};
use axum::Router;
use axum::extract::{Path, State as Shown};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use shared::id::OrgId;
use shared::task::{Tasks, lock};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;

const KEY: &str = "sk_test_0123456789abcdef";
const FENCE: Epoch = Epoch(1);

/// What the provider knows: what was asked under each idempotency key, and its answer.
#[derive(Default)]
struct Bank {
    asked: BTreeMap<String, String>,
    calls: usize,
    /// Status and body of what is not a success.
    answer: Option<(u16, Value)>,
    /// Act, and never answer.
    silent: bool,
    /// Payments wait for their owner,
    waiting: bool,
    /// and can't be cancelled now.
    down_for_cancels: bool,
    cancelled: Vec<String>,
}

type Shared = Arc<Mutex<Bank>>;

async fn charge(
    Shown(bank): Shown<Shared>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let (answer, silent) = {
        let mut bank = lock(&bank);
        bank.calls += 1;
        if let Some((status, body)) = &bank.answer {
            let status = StatusCode::from_u16(*status).unwrap();
            return (status, body.to_string());
        }
        let before = bank
            .asked
            .entry(key.clone())
            .or_insert_with(|| body.clone());
        assert_eq!(*before, body, "another question under the same key");
        let id = format!("pi_{key}");
        let status = if bank.waiting {
            "requires_action"
        } else {
            "succeeded"
        };
        (json!({"id": id, "status": status}), bank.silent)
    };
    if silent {
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, answer.to_string())
}

async fn find(Shown(bank): Shown<Shared>, Path(id): Path<String>) -> String {
    let bank = lock(&bank);
    let status = match (bank.cancelled.contains(&id), bank.waiting) {
        (true, _) => "canceled",
        (false, true) => "requires_action",
        (false, false) => "succeeded",
    };
    json!({"id": id, "status": status}).to_string()
}

async fn cancel(
    Shown(bank): Shown<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    assert!(headers.contains_key("idempotency-key"));
    let mut bank = lock(&bank);
    if bank.down_for_cancels {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    if bank.cancelled.contains(&id) {
        let body = json!({"error": {"type": "invalid_request_error"}});
        return (StatusCode::BAD_REQUEST, body.to_string());
    }
    bank.cancelled.push(id.clone());
    let body = json!({"id": id, "status": "canceled"});
    (StatusCode::OK, body.to_string())
}

struct Fixture {
    org: OrgId,
    clock: Clock,
    accounts: Arc<Accounts>,
    ledger: Arc<Ledger>,
    bank: Shared,
    base: String,
    leads: watch::Sender<Option<Epoch>>,
    _tasks: Tasks,
    _on: TestDatabase,
}

async fn fixture(engine: Engine) -> Fixture {
    let on = TestDatabase::new(engine).await;
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(40 * 86_400));
    let accounts = Accounts::open(on.database.clone(), clock.clone()).await;
    let accounts = Arc::new(accounts.unwrap());
    let ledger = Ledger::open(on.database.clone(), clock.clone()).await;
    let (org, _) = accounts.ensure_first_org("op", "Acme").await.unwrap();
    let (bank, tasks) = (Shared::default(), Tasks::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/payment_intents", post(charge))
        .route("/v1/payment_intents/{id}", get(find))
        .route("/v1/payment_intents/{id}/cancel", post(cancel))
        .with_state(Arc::clone(&bank));
    tasks.spawn("bank", async move {
        axum::serve(listener, router).await.unwrap();
    });
    Fixture {
        org: org.id,
        clock,
        accounts,
        ledger: Arc::new(ledger.unwrap()),
        bank,
        base,
        leads: watch::channel(Some(FENCE)).0,
        _tasks: tasks,
        _on: on,
    }
}

fn usd(dollars: i128) -> Amount {
    Amount(Amount::USD.0 * dollars)
}

impl Fixture {
    /// As after a start.
    fn charging(&self) -> Charging {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Charging {
            topups: self.accounts.topups(),
            stripe: Stripe::new(&self.base, StripeKey::new(KEY).unwrap()),
            accounts: Arc::clone(&self.accounts),
            ledger: Arc::clone(&self.ledger),
            leadership: self.leads.subscribe(),
        }
    }

    async fn rule(&self, cap: i128) {
        let rule = Rule {
            threshold: usd(10),
            amount: usd(40),
            monthly_cap: usd(cap),
            customer: "cus_1".to_owned(),
            payment_method: "pm_1".to_owned(),
        };
        let topups = self.accounts.topups();
        let change = RuleChange {
            enabled: Some(true),
            ..rule.into()
        };
        topups.change("op", &self.org, &change).await.unwrap();
    }

    async fn enable(&self, enabled: bool) {
        let change = RuleChange {
            enabled: Some(enabled),
            ..RuleChange::default()
        };
        let topups = self.accounts.topups();
        topups.change("op", &self.org, &change).await.unwrap();
    }

    async fn audited(&self, action: &str) -> usize {
        let lines = self.accounts.audit(1000).await.unwrap();
        lines.iter().filter(|line| line.action == action).count()
    }

    async fn states(&self) -> Vec<&'static str> {
        let charges = self.accounts.topups().charges(&self.org, 100).await;
        let charges = charges.unwrap();
        charges.iter().map(|charge| charge.state.as_str()).collect()
    }

    async fn standing(&self) -> Standing {
        let standing = self.accounts.topups().standing(&self.org).await;
        standing.unwrap().unwrap()
    }

    /// What the webhook does with a telling.
    async fn told(&self) {
        let charges = self.accounts.topups().charges(&self.org, 1).await.unwrap();
        let payment = format!("pi_{}", charges[0].id);
        let reference = format!("payment/{payment}");
        let bought = self
            .ledger
            .purchase(FENCE, &self.org, &reference, charges[0].amount());
        bought.await.unwrap();
        let topups = self.accounts.topups();
        topups.told(&charges[0].id, &payment, None).await.unwrap();
    }

    async fn available(&self) -> Amount {
        self.ledger.totals_of(&self.org).await.unwrap().available
    }
}

async fn who_runs_low_is_charged_once_and_the_telling_brings_the_credits(f: Fixture) {
    f.rule(200).await;
    let charging = f.charging();
    for _ in 0..3 {
        charging.look().await.unwrap();
        assert_eq!(f.states().await, ["charged"]);
    }
    assert_eq!(f.available().await, Amount::ZERO);
    f.told().await;
    f.told().await;
    assert_eq!(f.states().await, ["paid"]);
    // Less the fee of five per cent.
    assert_eq!(f.available().await, usd(38));
    charging.look().await.unwrap();
    assert_eq!(f.states().await, ["paid"], "38 is above 10");
    let asked: Vec<String> = lock(&f.bank).asked.values().cloned().collect();
    assert_eq!(asked.len(), 1);
    for part in [
        "amount=4000",
        "off_session=true",
        "confirm=true",
        "customer=cus_1",
    ] {
        assert!(asked[0].contains(part), "{}", asked[0]);
    }
}

async fn a_kill_at_any_moment_charges_once(f: Fixture) {
    f.rule(200).await;
    // Killed before the question is sent.
    f.accounts.topups().begin(&f.org).await.unwrap().unwrap();
    // Killed while the answer is on its way: the provider has charged.
    lock(&f.bank).silent = true;
    let charging = f.charging();
    let silent = async {
        while lock(&f.bank).calls == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = charging.look() => panic!("the bank is silent"),
        () = silent => {}
    }
    assert_eq!(f.states().await, ["pending"]);
    lock(&f.bank).silent = false;
    // Started again, on two machines at once.
    let (one, other) = (f.charging(), f.charging());
    let (one, other) = tokio::join!(one.look(), other.look());
    one.unwrap();
    other.unwrap();
    assert_eq!(f.states().await, ["charged"]);
    // The telling is lost: it is asked for, and comes late all the same.
    f.clock.advance(TOLD_AFTER);
    f.charging().look().await.unwrap();
    assert_eq!(f.states().await, ["paid"]);
    f.told().await;
    assert_eq!(f.available().await, usd(38));
    assert_eq!(lock(&f.bank).asked.len(), 1);
}

async fn what_fails_is_shown_and_disabled_in_the_end(f: Fixture) {
    f.rule(200).await;
    let declined = json!({"error": {"type": "card_error", "code": "card_declined"}});
    lock(&f.bank).answer = Some((402, declined));
    let charging = f.charging();
    for failures in 1..=FAILURES_MAX {
        for _ in 0..2 {
            charging.look().await.unwrap();
        }
        assert_eq!(f.standing().await.failures, failures);
        assert_eq!(lock(&f.bank).calls as u64, failures, "an hour's rest");
        f.clock.advance(FAILED_PAUSE + Duration::from_secs(1));
    }
    let standing = f.standing().await;
    assert!(!standing.enabled);
    assert!(standing.reason.contains("card_declined"), "{standing:?}");
    charging.look().await.unwrap();
    assert_eq!(f.states().await, ["failed"; 3]);
    // Its owner enables it again.
    lock(&f.bank).answer = None;
    f.enable(true).await;
    charging.look().await.unwrap();
    assert_eq!(f.states().await[0], "charged");
}

async fn a_payment_that_waits_for_its_owner_is_cancelled_before_another_is_begun(f: Fixture) {
    f.rule(200).await;
    {
        let mut bank = lock(&f.bank);
        (bank.waiting, bank.down_for_cancels) = (true, true);
    }
    let charging = f.charging();
    for _ in 0..2 {
        charging.look().await.unwrap();
        // It could still be taken.
        assert_eq!(f.states().await, ["pending"]);
        f.clock.advance(AGAIN_MAX);
    }
    lock(&f.bank).down_for_cancels = false;
    charging.look().await.unwrap();
    assert_eq!(f.states().await, ["failed"]);
    assert_eq!(lock(&f.bank).cancelled.len(), 1);
    assert_eq!(f.standing().await.failures, 1);
    let charges = f.accounts.topups().charges(&f.org, 1).await.unwrap();
    assert!(charges[0].reason.contains("requires_action"), "{charges:?}");
    // Cancelled, and the answer was lost: that it is, is found out.
    f.clock.advance(FAILED_PAUSE + Duration::from_secs(1));
    f.accounts.topups().begin(&f.org).await.unwrap().unwrap();
    let id = f.accounts.topups().charges(&f.org, 1).await.unwrap();
    let payment = format!("pi_{}", id[0].id);
    lock(&f.bank).cancelled.push(payment);
    charging.look().await.unwrap();
    assert_eq!(f.states().await, ["failed", "failed"]);
    assert_eq!(f.standing().await.failures, 2);
}

async fn who_looked_before_the_credits_came_charges_nothing_after(f: Fixture) {
    f.rule(200).await;
    // Two control planes find the organisation low; one of them is slow.
    let low = f.accounts.topups().low().await.unwrap();
    assert_eq!(low, std::slice::from_ref(&f.org));
    f.charging().look().await.unwrap();
    f.told().await;
    assert_eq!(f.states().await, ["paid"]);
    let late = f.accounts.topups().begin(&f.org).await.unwrap();
    assert_eq!(late, None, "the credits are there");
    assert_eq!(f.audited("topup.begin").await, 1);
}

async fn a_purchase_is_in_the_audit_log_once(f: Fixture) {
    f.rule(200).await;
    f.charging().look().await.unwrap();
    // Posted, and killed before the charge was told to be paid.
    let charges = f.accounts.topups().charges(&f.org, 1).await.unwrap();
    let reference = format!("payment/pi_{}", charges[0].id);
    let bought = f.ledger.purchase(FENCE, &f.org, &reference, usd(40)).await;
    assert!(bought.unwrap().new);
    f.clock.advance(TOLD_AFTER);
    f.charging().look().await.unwrap();
    assert_eq!(f.states().await, ["paid"]);
    assert_eq!(f.audited("credits.buy").await, 0, "who posted it tells it");
    assert_eq!(f.available().await, usd(38));
}

async fn two_who_change_one_rule_change_both_parts(f: Fixture) {
    f.rule(200).await;
    let topups = f.accounts.topups();
    for cents in 0..20 {
        let (threshold, cap) = (usd(20 + cents), usd(300 + cents));
        let one = RuleChange {
            threshold: Some(threshold),
            ..RuleChange::default()
        };
        let other = RuleChange {
            monthly_cap: Some(cap),
            ..RuleChange::default()
        };
        let (one, other) = tokio::join!(
            topups.change("a", &f.org, &one),
            topups.change("b", &f.org, &other)
        );
        one.unwrap();
        other.unwrap();
        let rule = f.standing().await.rule;
        assert_eq!((rule.threshold, rule.monthly_cap), (threshold, cap));
    }
}

async fn an_outage_of_the_provider_is_no_failure(f: Fixture) {
    f.rule(200).await;
    lock(&f.bank).answer = Some((503, json!({})));
    let charging = f.charging();
    for _ in 0..3 {
        charging.look().await.unwrap();
        assert_eq!(f.states().await, ["pending"]);
        f.clock.advance(AGAIN_MAX);
    }
    assert_eq!(f.standing().await.failures, 0);
    lock(&f.bank).answer = None;
    charging.look().await.unwrap();
    assert_eq!(f.states().await, ["charged"]);
}

async fn what_the_provider_may_have_forgotten_is_not_asked_again(f: Fixture) {
    f.rule(200).await;
    f.accounts.topups().begin(&f.org).await.unwrap().unwrap();
    f.clock.advance(Duration::from_secs(25 * 3600));
    let charging = f.charging();
    charging.look().await.unwrap();
    assert_eq!(lock(&f.bank).calls, 0);
    assert_eq!(f.states().await, ["failed"]);
    let standing = f.standing().await;
    assert!(!standing.enabled && standing.reason.contains("look it up"));
    // It had been taken, and the telling comes at last: it counts.
    f.told().await;
    assert_eq!(f.states().await, ["paid"]);
    assert_eq!(f.available().await, usd(38));
    assert!(!f.standing().await.enabled);
}

async fn no_month_costs_more_than_its_cap(f: Fixture) {
    f.rule(100).await;
    let charging = f.charging();
    for paid in 1..=4 {
        f.clock.advance(Duration::from_secs(1));
        charging.look().await.unwrap();
        if paid <= 2 {
            f.told().await;
        }
        let left = f.available().await;
        if left > Amount::ZERO {
            let back = format!("back-{paid}");
            let back = f.ledger.refund(FENCE, &f.org, &back, left);
            back.await.unwrap();
        }
    }
    assert_eq!(f.states().await, ["paid", "paid"]);
    f.clock.advance(Duration::from_secs(31 * 86_400));
    charging.look().await.unwrap();
    assert_eq!(f.states().await[0], "charged");
}

async fn a_rule_makes_sense(f: Fixture) {
    let topups = f.accounts.topups();
    let unknown = topups.change("op", &f.org, &RuleChange::default()).await;
    assert!(matches!(unknown, Err(TopupError::Invalid(..))));
    f.rule(100).await;
    let good = f.standing().await.rule;
    for bad in [
        Rule {
            amount: usd(1),
            ..good.clone()
        },
        Rule {
            amount: Amount(usd(40).0 + 1),
            ..good.clone()
        },
        Rule {
            monthly_cap: usd(39),
            ..good.clone()
        },
        Rule {
            threshold: usd(-1),
            ..good.clone()
        },
        Rule {
            threshold: Amount::ZERO,
            ..good.clone()
        },
        Rule {
            threshold: Amount(good.monthly_cap.0 + CENT),
            ..good.clone()
        },
        Rule {
            customer: "cus 1&x=y".to_owned(),
            ..good.clone()
        },
        Rule {
            payment_method: String::new(),
            ..good.clone()
        },
    ] {
        let set = topups.change("op", &f.org, &bad.clone().into()).await;
        assert!(matches!(set, Err(TopupError::Invalid(..))), "{bad:?}");
    }
    assert_eq!(f.standing().await.rule, good);
    assert!(topups.remove("op", &f.org).await.unwrap());
    assert!(topups.standing(&f.org).await.unwrap().is_none());
    f.charging().look().await.unwrap();
    assert!(f.states().await.is_empty());
}

on_both! {
    who_runs_low_is_charged_once_and_the_telling_brings_the_credits,
    a_kill_at_any_moment_charges_once,
    what_fails_is_shown_and_disabled_in_the_end,
    an_outage_of_the_provider_is_no_failure,
    what_the_provider_may_have_forgotten_is_not_asked_again,
    no_month_costs_more_than_its_cap,
    a_payment_that_waits_for_its_owner_is_cancelled_before_another_is_begun,
    who_looked_before_the_credits_came_charges_nothing_after,
    a_purchase_is_in_the_audit_log_once,
    two_who_change_one_rule_change_both_parts,
    a_rule_makes_sense,
}
