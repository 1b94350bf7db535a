//! Limits beside the balance: a request holds from all its purses or from none, the tightest wins,
//! and a kill leaves of each purse what it leaves of the balance.

use super::*;
use crate::auth::KeyRing;
use shared::limit::{Interval, Limit, Scope};

fn limit(scope: Scope, interval: Interval) -> Limit {
    Limit {
        scope,
        id: format!("{scope}_1").into(),
        interval,
        amount: Amount(1000),
        include_byok: false,
    }
}

fn limited(limits: &[Limit]) -> Principal {
    let mut principal = principal();
    principal.policy.limits = limits.to_vec();
    principal
}

fn purse(limit: &Limit, unix_s: u64) -> Purse {
    Purse {
        org: org(),
        window: Some(limit.window(unix_s)),
    }
}

async fn spend_as(accounts: &Arc<Accounts>, who: &Principal, n: u64, ceiling: i128, cost: i128) {
    let mut hold = accounts.hold(who, intent(n, ceiling, 1)).await.unwrap();
    hold.receipt.cost = Amount(cost);
    hold.settle();
}

#[tokio::test]
async fn a_request_holds_from_all_its_purses_or_from_none() {
    let bench = Bench::new(10_000).await;
    let (day, life) = (
        limit(Scope::Workspace, Interval::Daily),
        limit(Scope::Org, Interval::Lifetime),
    );
    bench.set(|state| {
        state.balance.insert(purse(&day, 0), 1000);
        state.balance.insert(purse(&life, 0), 3000);
    });
    let accounts = bench.open().await;
    let who = limited(&[day.clone(), life.clone()]);
    // The tightest purse clamps.
    let part = accounts.hold(&who, intent(1, 2500, 10)).await.unwrap();
    assert_eq!(part.amount(), Amount(1000));
    let before = accounts.available();
    let refused = accounts.hold(&who, intent(2, 50, 50)).await.err().unwrap();
    assert_eq!((refused.status, refused.reason), (403, "budget_exceeded"));
    assert_eq!(refused.metadata["limit"]["scope"], "workspace");
    assert_eq!(accounts.available(), before, "nothing is held of the rest");
    drop(part);
    spend_as(&accounts, &who, 3, 900, 900).await;
    // Another key of the organisation is not bound by the workspace's limit.
    spend_as(
        &accounts,
        &limited(std::slice::from_ref(&life)),
        4,
        2000,
        2000,
    )
    .await;
    // Both are exceeded: the broadest is told.
    let refused = accounts
        .hold(&who, intent(5, 150, 150))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.metadata["limit"]["scope"], "org");
    assert!(refused.message.contains("Organization total budget"));
    // The next day.
    let next_ms = 86_400_000;
    bench.set(|state| {
        state.balance.insert(purse(&day, 86_400), 1000);
    });
    spend_as(&accounts, &who, next_ms, 100, 100).await;
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let used = state.records.iter().map(|(_, end)| end.windows.len());
        assert_eq!(used.collect::<Vec<_>>(), [2, 2, 1, 2]);
    });
    bench.check_sum(10_000, accounts.available());
}

#[tokio::test]
async fn the_fee_on_spend_is_held_and_charged() {
    let bench = Bench::new(1050).await;
    let accounts = bench.open().await;
    let mut who = principal();
    who.policy.spend_fee_ppm = 50_000;
    let mut hold = accounts.hold(&who, intent(1, 1000, 1)).await.unwrap();
    assert_eq!(hold.amount(), Amount(1000), "the ceiling, without the fee");
    assert_eq!(hold.charge(Amount(600), false), Amount(630));
    hold.receipt.cost = Amount(600);
    hold.settle();
    let part = accounts.hold(&who, intent(2, 1000, 1)).await.unwrap();
    assert_eq!(part.amount(), Amount(400), "420 less the fee on 400");
    drop(part);
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.check_sum(1050, accounts.available());
    assert_eq!(bench.fake.with(|state| state.charged()), Amount(630));
}

#[tokio::test]
async fn a_kill_leaves_the_windows_as_it_leaves_the_balance() {
    let bench = Bench::new(10_000).await;
    let month = limit(Scope::Member, Interval::Monthly);
    bench.set(|state| {
        state.slice = Some(400);
        state.balance.insert(purse(&month, 0), 1000);
    });
    let who = limited(std::slice::from_ref(&month));
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend_as(&first, &who, 1, 100, 40).await;
    let lost = first.hold(&who, intent(2, 100, 100)).await.unwrap();
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(lost);
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    spend_as(&second, &who, 3, 100, 60).await;
    eventually("acknowledged", || second.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let charged: i128 = state
            .records
            .iter()
            .flat_map(|(_, end)| end.charges())
            .filter(|(purse, _)| purse.window.is_some())
            .map(|(_, charged)| charged.0)
            .sum();
        assert_eq!(charged, 40 + 100 + 60);
        let leased =
            |(run, lease): (&(Purse, u64), &i128)| run.0.window.is_some().then_some(*lease);
        let leased: i128 = state.leases.iter().filter_map(leased).sum();
        assert_eq!(state.balance[&purse(&month, 0)] + leased + charged, 1000);
    });
}

#[tokio::test]
async fn an_own_key_bears_the_fee_and_counts_where_it_is_to() {
    let bench = Bench::new(100).await;
    let (counts, not) = (
        Limit {
            include_byok: true,
            ..limit(Scope::Workspace, Interval::Daily)
        },
        limit(Scope::Org, Interval::Lifetime),
    );
    bench.set(|state| {
        state.balance.insert(purse(&counts, 0), 1500);
        state.balance.insert(purse(&not, 0), 0);
    });
    let accounts = bench.open().await;
    let mut who = limited(&[counts.clone(), not.clone()]);
    who.policy.byok_fee_ppm = 50_000;
    let own = |n| Intent {
        shared: None,
        own: Amount(1000),
        flags: vec!["flag:email".to_owned()],
        ..intent(n, 0, 10)
    };
    // The balance carries the fee alone; the limit that is used up counts no own keys.
    let mut hold = accounts.hold(&who, own(1)).await.unwrap();
    assert_eq!(hold.amount(), Amount(1000));
    hold.receipt.own_key = true;
    hold.receipt.cost = Amount(800);
    assert_eq!(
        hold.charge(Amount(800), true),
        Amount(40),
        "as charged below"
    );
    hold.settle();
    let part = accounts.hold(&who, own(2)).await.unwrap();
    assert_eq!(part.amount(), Amount(700), "what the limit has left");
    drop(part);
    // A request that may go to either holds for both, and is charged for what it was.
    let both = Intent {
        shared: Some(Amount(20)),
        ..own(3)
    };
    let refused = accounts.hold(&who, both).await.err().unwrap();
    assert_eq!(refused.metadata["limit"]["scope"], "org");
    let mut only = limited(std::slice::from_ref(&counts));
    only.policy.byok_fee_ppm = 50_000;
    let both = Intent {
        shared: Some(Amount(20)),
        ..own(4)
    };
    let mut hold = accounts.hold(&only, both).await.unwrap();
    hold.receipt.cost = Amount(20);
    hold.settle();
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let ends: Vec<_> = state.records.iter().map(|(_, end)| end).collect();
        let windows: Vec<_> = ends.iter().map(|end| end.windows.len()).collect();
        assert_eq!(
            windows,
            [1, 1, 1],
            "what own keys do not count in is not touched"
        );
        assert_eq!(ends[0].flags, ["flag:email"]);
        assert_eq!(
            (ends[0].charge(), ends[2].charge()),
            (Amount(40), Amount(20))
        );
        assert_eq!(ends[0].charge_of(&counts.window(0)), Amount(800));
    });
    bench.check_sum(100, accounts.available());
}

#[tokio::test]
async fn the_allowance_carries_own_keys_without_money() {
    let bench = Bench::new(0).await;
    let month = Limit {
        id: org().as_str().into(),
        ..limit(Scope::Byok, Interval::Monthly)
    };
    bench.set(|state| {
        state.balance.insert(purse(&month, 0), 1500);
    });
    let accounts = bench.open().await;
    let mut who = principal();
    who.policy.byok_fee_ppm = 50_000;
    who.policy.byok_free = Amount(1500);
    let own = |n| Intent {
        shared: None,
        own: Amount(1000),
        ..intent(n, 0, 100)
    };
    let serve = |mut hold: Hold, cost| {
        hold.receipt.own_key = true;
        hold.receipt.cost = Amount(cost);
        hold.settle();
    };
    // Nobody has a dollar here: what is free of the fee is served, and clamped to that.
    serve(accounts.hold(&who, own(1)).await.unwrap(), 900);
    let part = accounts.hold(&who, own(2)).await.unwrap();
    assert_eq!(part.amount(), Amount(600), "so much is free");
    // All of it is set aside: the next one needs money for the fee.
    let refused = accounts.hold(&who, own(3)).await.err().unwrap();
    assert_eq!((refused.status, refused.reason), (402, "byok_fee"));
    serve(part, 600);
    // With money, what is beyond costs the fee; what shared endpoints serve is not of the allowance.
    bench.set(|state| *state.balance.get_mut(&balance()).unwrap() += 1000);
    bench.clock.advance(Duration::from_secs(2));
    serve(accounts.hold(&who, own(4)).await.unwrap(), 800);
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let ends = state.records.iter().map(|(_, end)| end);
        let ends: Vec<_> = ends.map(|end| (end.fee_free.0, end.charge().0)).collect();
        assert_eq!(ends, [(900, 0), (600, 0), (0, 40)]);
        assert_eq!(state.balance[&purse(&month, 0)], 0);
    });
    bench.check_sum(1000, accounts.available());
}

#[tokio::test]
async fn what_of_the_allowance_is_not_used_stays() {
    let bench = Bench::new(1000).await;
    let month = Limit {
        id: org().as_str().into(),
        ..limit(Scope::Byok, Interval::Monthly)
    };
    bench.set(|state| {
        state.balance.insert(purse(&month, 0), 1000);
    });
    let accounts = bench.open().await;
    let mut who = principal();
    who.policy.byok_fee_ppm = 50_000;
    who.policy.byok_free = Amount(1000);
    let both = |n| Intent {
        own: Amount(800),
        ..intent(n, 300, 10)
    };
    for n in 1..4 {
        let mut hold = accounts.hold(&who, both(n)).await.unwrap();
        hold.receipt.cost = Amount(10);
        hold.settle();
    }
    drop(accounts.hold(&who, both(4)).await.unwrap());
    // The balance is far too small: the hold fails after the allowance was set aside.
    let dear = Intent {
        shared: Some(Amount(5000)),
        ..intent(5, 5000, 5000)
    };
    let dear = Intent {
        own: Amount(800),
        ..dear
    };
    assert!(accounts.hold(&who, dear).await.is_err());
    let whole = accounts.hold(&who, both(6)).await.unwrap();
    drop(whole);
    let shown = accounts
        .cashier
        .desk
        .shown(10, accounts.cashier.time(accounts.clock.now()));
    let held: Vec<_> = shown.iter().map(|(_, held, _)| held.0).collect();
    assert_eq!(held, vec![0; held.len()]);
    let left = shown.iter().filter(|(purse, ..)| purse.window.is_some());
    let left: Vec<_> = left.map(|(_, _, left)| left.0).collect();
    let outside = bench.fake.with(|state| state.balance[&purse(&month, 0)]);
    assert_eq!(left[0] + outside, 1000, "nothing of it was used");
}

#[tokio::test]
async fn what_a_kill_cuts_off_at_an_own_key_is_charged_as_far_as_it_came() {
    let bench = Bench::new(1000).await;
    let mut who = principal();
    who.policy.byok_fee_ppm = 100_000;
    let own = |n| Intent {
        shared: None,
        own: Amount(1000),
        ..intent(n, 0, 10)
    };
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    let mut lost = first.hold(&who, own(1)).await.unwrap();
    lost.receipt.own_key = true;
    lost.receipt.cost = Amount(300);
    lost.mark();
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(lost);
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("acknowledged", || second.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let end = &state.records[0].1;
        assert_eq!((end.outcome, end.charge()), (Outcome::Settled, Amount(30)));
    });
    bench.check_sum(1000, second.available());
}

#[tokio::test]
async fn a_limit_that_has_changed_binds_what_was_leased_of_the_one_before() {
    let bench = Bench::new(1_000_000).await;
    let limit = limit(Scope::Workspace, Interval::Lifetime);
    let window = purse(&limit, 0);
    bench.set(|state| {
        state.balance.insert(window.clone(), 100_000);
    });
    let accounts = bench.open().await;
    let who = limited(&[limit]);
    let mut held = accounts.hold(&who, intent(1, 1000, 1000)).await.unwrap();
    let of = |of: &Purse| {
        let leased = |state: &mut crate::control::fake::State| {
            let of = state.leases.iter().filter(|((purse, _), _)| purse == of);
            of.map(|(_, amount)| *amount).sum::<i128>()
        };
        bench.fake.with(leased)
    };
    assert!(of(&window) > 10_000);
    // Another organisation's news change nothing; its own bring back all that is not held,
    let (nobody, no_key) = (BTreeSet::new(), BTreeSet::new());
    accounts.limits_changed(&BTreeSet::from(["org_b".into()]), &no_key, false);
    assert!(of(&window) > 10_000);
    accounts.limits_changed(&BTreeSet::from([org()]), &no_key, false);
    eventually("but what is held", || of(&window) == 1000).await;
    assert!(of(&balance()) > 10_000, "the balance is as it was");
    // and what the request leaves when it ends.
    held.receipt.cost = Amount(300);
    held.settle();
    eventually("all", || of(&window) == 0).await;
    // What is leased from then on stays.
    drop(accounts.hold(&who, intent(2, 1000, 1000)).await.unwrap());
    assert!(of(&window) > 10_000);
    // A key's own limit goes by the key.
    let key = window.window.as_ref().unwrap().id.clone();
    accounts.limits_changed(&nobody, &BTreeSet::from([key]), false);
    assert!(of(&window) > 10_000, "a workspace is no key");
    accounts.limits_changed(&nobody, &no_key, true);
    eventually("everything", || of(&window) == 0).await;
}

/// What the ledger refused it may give after the change: nobody is told of what was there before.
#[tokio::test]
async fn a_refusal_is_not_believed_beyond_a_change_of_the_limit() {
    let bench = Bench::new(1_000_000).await;
    let limit = limit(Scope::Workspace, Interval::Lifetime);
    let window = purse(&limit, 0);
    bench.set(|state| {
        state.balance.insert(window.clone(), 10);
    });
    let accounts = bench.open().await;
    let who = limited(&[limit]);
    let refused = accounts.hold(&who, intent(1, 1000, 100)).await.err();
    assert_eq!(refused.unwrap().status, 403);
    bench.set(|state| {
        state.balance.insert(window.clone(), 5000);
    });
    let nobody = BTreeSet::new();
    accounts.limits_changed(&BTreeSet::from([org()]), &nobody, false);
    drop(accounts.hold(&who, intent(2, 1000, 1000)).await.unwrap());
}

/// What the edge knows of a key is old for a moment after its limits have changed.
#[tokio::test]
async fn a_limit_that_is_gone_is_told_as_such_and_asking_again_helps() {
    let bench = Bench::new(1_000_000).await;
    let (before, after) = (
        limit(Scope::Workspace, Interval::Daily),
        limit(Scope::Workspace, Interval::Weekly),
    );
    let old = limited(std::slice::from_ref(&before));
    bench.set(|state| {
        state.no_limit.insert(purse(&before, 0));
        state.balance.insert(purse(&after, 0), 1000);
        state.keys.insert(old.key, limited(&[after]));
    });
    let accounts = bench.open().await;
    let refused = accounts.hold(&old, intent(1, 100, 10)).await.err().unwrap();
    assert_eq!((refused.status, refused.reason), (503, LIMITS_CHANGED));
    assert!(refused.message.contains("limits"), "{}", refused.message);
    assert!(refused.retry_after.is_some());
    let control = bench.fake.client(&bench.timers);
    let clock = bench.clock.clone();
    let ring = KeyRing::open(None, Some(control), clock, &bench.timers, &bench.tasks);
    let new = ring.ask_again(old.key).await.unwrap();
    spend_as(&accounts, &new, 2, 100, 100).await;
    eventually("charged", || bench.records() == 1).await;
}

#[tokio::test]
async fn a_silent_ledger_is_waited_for_once_where_the_fee_can_be_held() {
    let mut bench = Bench::new(10_000).await;
    bench.timers.topup = Duration::from_secs(20);
    bench.timers.elsewhere = Duration::from_millis(100);
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 10).await;
    let mut who = principal();
    who.policy.byok_fee_ppm = 50_000;
    who.policy.byok_free = Amount(1000);
    who.policy.byok_free_requests = 7;
    let own = |n| Intent {
        shared: None,
        own: Amount(1000),
        ..intent(n, 0, 10)
    };
    bench.set(|state| state.silent = true);
    let begun = std::time::Instant::now();
    let hold = accounts.hold(&who, own(2)).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(hold.amount(), Amount(1000), "with the fee");
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(hold);
}

#[tokio::test]
async fn who_was_out_of_reach_is_looked_for_while_nobody_waits() {
    let bench = Bench::new(10_000).await;
    let month = Limit {
        id: org().as_str().into(),
        ..limit(Scope::Byok, Interval::Monthly)
    };
    bench.set(|state| {
        state.balance.insert(purse(&month, 0), 1_000_000);
    });
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 10).await;
    let mut who = principal();
    who.policy.byok_fee_ppm = 50_000;
    who.policy.byok_free = Amount(1_000_000);
    let own = |n| Intent {
        shared: None,
        own: Amount(1000),
        ..intent(n, 0, 10)
    };
    let fee_of = |hold: &Hold| hold.wants.held(hold.amount());
    bench.set(|state| state.no_leases = Some(tonic::Code::Unavailable));
    let hold = accounts.hold(&who, own(2)).await.unwrap();
    assert_eq!(fee_of(&hold), Amount(50));
    drop(hold);
    bench.set(|state| state.no_leases = None);
    let asked = || bench.fake.with(|state| state.asked);
    let before = asked();
    drop(accounts.hold(&who, own(3)).await.unwrap());
    assert_eq!(asked(), before, "just now there was nobody");
    bench.clock.advance(Duration::from_secs(2));
    let hold = accounts.hold(&who, own(4)).await.unwrap();
    assert_eq!(fee_of(&hold), Amount(50), "it is not waited for");
    drop(hold);
    eventually("asked all the same", || asked() > before).await;
    let free = || async { fee_of(&accounts.hold(&who, own(5)).await.unwrap()) };
    let begun = std::time::Instant::now();
    while free().await != Amount::ZERO {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
}
