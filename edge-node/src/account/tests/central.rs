//! A balance that is too small to be leased ahead: one question for each request, and nothing stays.

use super::*;
use tonic::Code;

fn asked(bench: &Bench) -> usize {
    bench.fake.with(|state| state.asked)
}

fn leased(bench: &Bench) -> i128 {
    bench.fake.with(|state| state.leases.values().sum())
}

#[tokio::test]
async fn each_request_is_reserved_with_one_question_and_leaves_nothing() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.central = true);
    let accounts = bench.open().await;
    for n in 1..=5 {
        let mut hold = hold(&accounts, n, 1000, 100).await.unwrap();
        assert_eq!(hold.amount(), Amount(1000));
        assert_eq!(leased(&bench), 1000, "what is held, and no more");
        hold.receipt.cost = Amount(300);
        hold.settle();
        eventually("given back", || leased(&bench) == 0).await;
        assert_eq!(asked(&bench), usize::try_from(n).unwrap());
    }
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.check_sum(10_000, Amount::ZERO);
}

#[tokio::test]
async fn requests_that_come_together_are_reserved_together() {
    let bench = Bench::new(100_000).await;
    bench.set(|state| state.central = true);
    let accounts = bench.open().await;
    let many = (0..50).map(|n| hold(&accounts, n, 1000, 1000));
    let holds = futures::future::join_all(many).await;
    assert!(holds.iter().all(Result::is_ok));
    assert_eq!(leased(&bench), 50_000);
    let asked = asked(&bench);
    assert!(asked <= 4, "{asked} questions for 50 requests at once");
    drop(holds);
    eventually("given back", || leased(&bench) == 0).await;
}

#[tokio::test]
async fn a_kill_leaves_what_was_reserved_in_suspense_and_the_rest_goes_back() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.central = true);
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    let lost = hold(&first, 1, 1000, 100).await.unwrap();
    let mut ended = hold(&first, 2, 700, 100).await.unwrap();
    ended.receipt.cost = Amount(200);
    ended.settle();
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(lost);
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("told", || second.outbox_records() == 0).await;
    eventually("given back", || leased(&bench) == 0).await;
    assert_eq!(bench.fake.with(|state| state.charged()), Amount(1200));
    bench.check_sum(10_000, Amount::ZERO);
}

#[tokio::test]
async fn without_the_ledger_a_small_balance_is_503_with_what_helps() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.central = true);
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 300).await;
    eventually("given back", || leased(&bench) == 0).await;
    bench.set(|state| state.down = true);
    let failure = hold(&accounts, 2, 1000, 100).await.err().unwrap();
    assert_eq!(
        (failure.status, failure.reason),
        (503, "billing_unavailable")
    );
    assert!(failure.message.contains("outage_credit_usd"), "{failure:?}");
    bench.set(|state| state.down = false);
    spend(&accounts, 3, 1000, 300).await;
}

#[tokio::test]
async fn what_is_recalled_goes_back_but_for_what_is_held() {
    let bench = Bench::new(1_000_000).await;
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 300).await;
    assert!(leased(&bench) > 10_000);
    let held = hold(&accounts, 2, 700, 700).await.unwrap();
    bench.set(|state| state.central = true);
    accounts.recall(&org().into());
    eventually("all but that is back", || leased(&bench) == 700).await;
    drop(held);
    eventually("all is back", || leased(&bench) == 0).await;
    // What was known of the balance is known still, though nothing is leased of it.
    bench.clock.advance(Duration::from_secs(599));
    drop(hold(&accounts, 3, 10, 10).await.unwrap());
    assert_eq!(bench.fake.with(|state| state.said), (true, 1000));
    bench.clock.advance(Duration::from_secs(1200));
    eventually("forgotten", || {
        accounts.cashier.desk.shown(9, bench_time()).is_empty()
    })
    .await;
}

fn bench_time() -> crate::account::lease::Time {
    crate::account::lease::Time::default()
}

#[tokio::test]
async fn what_a_hold_leaves_goes_back_at_once() {
    let mut bench = Bench::new(10_000).await;
    bench.timers.lease_sweep = Duration::from_secs(3600);
    bench.set(|state| state.central = true);
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 300).await;
    eventually("given back", || leased(&bench) == 0).await;
}

#[tokio::test]
async fn a_request_that_must_be_cut_short_asks_once() {
    let bench = Bench::new(550).await;
    bench.set(|state| state.central = true);
    let accounts = bench.open().await;
    let part = hold(&accounts, 1, 1000, 100).await.unwrap();
    assert_eq!((part.amount(), asked(&bench)), (Amount(550), 1));
}

#[tokio::test]
async fn money_that_others_have_is_waited_for_and_no_want_of_credits() {
    let mut bench = Bench::new(0).await;
    bench.timers.topup = Duration::from_secs(5);
    bench.timers.elsewhere = Duration::from_secs(2);
    bench.timers.elsewhere_again = Duration::from_millis(2);
    bench.set(|state| (state.central, state.elsewhere) = (true, 1000));
    let accounts = bench.open().await;
    let came = async {
        let later = || bench.clock.advance(Duration::from_millis(100));
        let again = || {
            later();
            asked(&bench) >= 3
        };
        eventually("asked again", again).await;
        bench.set(|state| {
            state.elsewhere = 0;
            state.balance.insert(balance(), 1000);
        });
        later();
    };
    let (held, ()) = tokio::join!(hold(&accounts, 1, 1000, 600), came);
    assert_eq!(held.unwrap().amount(), Amount(1000));
    eventually("given back", || leased(&bench) == 0).await;
    bench.set(|state| {
        state.elsewhere = 1000;
        state.balance.insert(balance(), 0);
    });
    let failure = hold(&accounts, 2, 1000, 600).await.err().unwrap();
    assert_eq!((failure.status, failure.reason), (503, "credits_elsewhere"));
    assert!(failure.retry_after.is_some());
    let failure = hold(&accounts, 3, 2000, 1001).await.err().unwrap();
    assert_eq!(
        failure.status, 402,
        "with what others have, it is too little"
    );
}

#[tokio::test]
async fn credit_carries_a_small_balance_through_an_outage_up_to_its_bound() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.central = true);
    let mut who = principal();
    who.policy.outage_credit = Amount(2500);
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 300).await;
    eventually("given back", || leased(&bench) == 0).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    bench.set(|state| state.down = true);
    let mut hold = first.hold(&who, intent(2, 1000, 100)).await.unwrap();
    hold.receipt.cost = Amount(600);
    hold.settle();
    // Used are 600, so there is 1900; less is better than nothing, and then nothing is left.
    let one = first.hold(&who, intent(3, 1000, 100)).await.unwrap();
    let part = first.hold(&who, intent(4, 1000, 100)).await.unwrap();
    assert_eq!((one.amount(), part.amount()), (Amount(1000), Amount(900)));
    let failure = first.hold(&who, intent(5, 1000, 100)).await.err().unwrap();
    assert_eq!(failure.status, 503);
    drop(part);
    // A kill neither forgets what was used nor what was held.
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(one);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    let rest = second.hold(&who, intent(6, 1000, 100)).await.unwrap();
    assert_eq!(
        rest.amount(),
        Amount(900),
        "2500 less 600 and 1000 in suspense"
    );
    drop(rest);
    bench.set(|state| state.down = false);
    eventually("told", || second.outbox_records() == 0).await;
    let owed = |state: &mut crate::control::fake::State| {
        let owed = state.records.iter().map(|(_, end)| end.on_credit);
        owed.sum::<Amount>()
    };
    assert_eq!(bench.fake.with(owed), Amount(1600));
    assert_eq!(bench.fake.with(|state| state.charged()), Amount(300 + 1600));
    // The next outage begins anew, once the ledger has answered.
    assert_eq!(second.cashier.desk.owes(&balance()), Amount(1600));
    spend(&second, 8, 500, 10).await;
    let owes = || second.cashier.desk.owes(&balance());
    eventually("known", || owes() == Amount::ZERO).await;
    bench.set(|state| state.down = true);
    let hold = second.hold(&who, intent(7, 2500, 100)).await.unwrap();
    assert_eq!(hold.amount(), Amount(2500));
}

#[tokio::test]
async fn a_ledger_that_takes_usage_and_answers_no_question_lends_its_credit_once() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| {
        state.central = true;
        state.no_leases = Some(Code::Unavailable);
    });
    let mut who = principal();
    who.policy.outage_credit = Amount(2500);
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    for (n, lent) in [(1, 1000), (2, 1000), (3, 500)] {
        let mut hold = first.hold(&who, intent(n, 1000, 100)).await.unwrap();
        assert_eq!(hold.amount(), Amount(lent), "{n}");
        hold.receipt.cost = hold.amount();
        hold.settle();
        eventually("acknowledged", || first.outbox_records() == 0).await;
    }
    let failure = first.hold(&who, intent(4, 1000, 100)).await.err().unwrap();
    assert_eq!(failure.status, 503);
    // Nor does a restart forget it.
    let home = bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    let failure = second.hold(&who, intent(5, 1000, 100)).await.err().unwrap();
    assert_eq!(failure.status, 503);
    bench.set(|state| state.no_leases = None);
    spend(&second, 6, 1000, 100).await;
    let owes = || second.cashier.desk.owes(&balance());
    eventually("known", || owes() == Amount::ZERO).await;
    bench.set(|state| state.no_leases = Some(Code::Unavailable));
    let hold = second.hold(&who, intent(7, 2500, 2500)).await.unwrap();
    assert_eq!(hold.amount(), Amount(2500));
}

#[tokio::test]
async fn a_ledger_that_refuses_is_not_silent() {
    let bench = Bench::new(10_000).await;
    let mut who = principal();
    who.policy.outage_credit = Amount(2500);
    bench.set(|state| state.no_leases = Some(Code::FailedPrecondition));
    let accounts = bench.open().await;
    let failure = accounts.hold(&who, intent(1, 1000, 100)).await;
    let failure = failure.err().unwrap();
    assert_eq!(failure.status, 503, "nothing is lent to a run that is over");
    bench.set(|state| state.no_leases = None);
    let hold = accounts.hold(&who, intent(2, 1000, 100)).await.unwrap();
    assert_eq!(hold.amount(), Amount(1000));
    // What can't be given back any more is not tried for ever, nor does it keep other questions.
    bench.set(|state| state.no_returns = true);
    drop(hold);
    accounts.send_back(None);
    eventually("told", || accounts.cashier.returning().is_empty()).await;
}
