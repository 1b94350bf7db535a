//! Budgets of workspaces over the management API.

use super::*;
use crate::testing::on_both;

impl Fixture {
    async fn set(&self, workspace: &str, interval: &str, given: Value) -> (u16, Value) {
        let put = ask("PUT", &format!("{workspace}/budgets/{interval}")).of(given);
        self.answer(put.by(&self.management)).await
    }

    /// A new workspace's address.
    async fn workspace(&self, slug: &str) -> String {
        let given = json!({ "name": "Lab", "slug": slug });
        let make = ask("POST", "/api/v1/workspaces").of(given);
        let (status, made) = self.answer(make.by(&self.management)).await;
        assert_eq!(status, 201, "{made}");
        format!(
            "/api/v1/workspaces/{}",
            made["data"]["id"].as_str().unwrap()
        )
    }
}

async fn budgets_are_managed(f: Fixture) {
    let by = |ask: Ask| ask.by(&f.management);
    let one = f.workspace("lab").await;
    // By its slug as by its id.
    let all = "/v1/workspaces/lab/budgets";
    let (status, told) = f.answer(by(ask("GET", all))).await;
    let empty = json!({ "data": [], "include_byok_in_budgets": false });
    assert_eq!((status, told), (200, empty));
    let set = |interval: &'static str, given: Value| f.set(&one, interval, given);
    let (status, told) = set("monthly", json!({ "limit_usd": 0.300000000001 })).await;
    let id = one.rsplit('/').next().unwrap();
    let made_at = told["data"]["created_at"].clone();
    assert!(made_at.as_str().is_some_and(|text| text.ends_with('Z')));
    let expect = json!({
        "data": {
            "id": format!("{id}/monthly"), "workspace_id": id, "limit_usd": 0.300000000001,
            "reset_interval": "monthly", "created_at": made_at, "updated_at": made_at,
        },
        "include_byok_in_budgets": false,
    });
    assert_eq!((status, told), (200, expect.clone()));
    let (status, told) = f.answer(by(ask("GET", &format!("{all}/monthly")))).await;
    assert_eq!((status, &told), (200, &expect), "every digit comes back");

    for _ in 0..2 {
        let (status, told) = f.answer(by(ask("DELETE", &format!("{all}/monthly")))).await;
        assert_eq!((status, told), (200, json!({ "deleted": true })));
        let (status, _) = f.answer(by(ask("GET", &format!("{all}/monthly")))).await;
        assert_eq!(status, 404);
    }
}

async fn budgets_grow_with_their_intervals(f: Fixture) {
    let by = |ask: Ask| ask.by(&f.management);
    let one = f.workspace("lab").await;
    let all = "/v1/workspaces/lab/budgets";
    let set = |interval: &'static str, given: Value| f.set(&one, interval, given);
    set("monthly", json!({ "limit_usd": 0.3 })).await;
    // They grow with their intervals, strictly, in whatever order they are set.
    for (interval, limit, expect) in [
        ("lifetime", json!(0.3), 400),
        ("lifetime", json!(2), 200),
        ("daily", json!(0.1), 200),
        ("weekly", json!(0.1), 400),
        ("weekly", json!(0.2), 200),
        ("daily", json!(0.2), 400),
        ("monthly", json!(2), 400),
        ("daily", json!(0), 400),
        ("daily", json!(-1), 400),
        ("daily", json!("1"), 400),
        ("yearly", json!(9), 400),
    ] {
        let (status, told) = set(interval, json!({ "limit_usd": limit })).await;
        assert_eq!(status, expect, "{interval} {limit}: {told}");
    }
    let (status, _) = set("daily", json!({ "limit_usd": 0.1, "limit": 1 })).await;
    assert_eq!(status, 400, "an unknown member");
    // Whether own keys count is one setting of all; left out, it stays.
    f.rest.clock.advance(Duration::from_secs(1));
    let given = json!({ "limit_usd": 0.05, "include_byok_in_budgets": true });
    let (_, told) = set("daily", given).await;
    assert_eq!(told["include_byok_in_budgets"], true);
    assert_ne!(told["data"]["updated_at"], told["data"]["created_at"]);
    set("weekly", json!({ "limit_usd": 0.25 })).await;
    let (_, told) = f.answer(by(ask("GET", all))).await;
    let listed: Vec<_> = told["data"].as_array().unwrap().iter().collect();
    let intervals = listed.iter().map(|it| it["reset_interval"].clone());
    let expect = [
        json!("daily"),
        json!("weekly"),
        json!("monthly"),
        Value::Null,
    ];
    assert_eq!(intervals.collect::<Vec<_>>(), expect);
    assert_eq!(told["include_byok_in_budgets"], true);
    let limits = f.rest.accounts.limits(&f.org).await.unwrap();
    assert!(limits.iter().all(|limit| limit.include_byok) && limits.len() == 4);

    for _ in 0..2 {
        let (status, told) = f.answer(by(ask("DELETE", &format!("{all}/weekly")))).await;
        assert_eq!((status, told), (200, json!({ "deleted": true })));
        let (status, _) = f.answer(by(ask("GET", &format!("{all}/weekly")))).await;
        assert_eq!(status, 404);
    }
    assert_eq!(f.answer(by(ask("DELETE", &one))).await.0, 200);
    let left = f.rest.accounts.limits(&f.org).await.unwrap();
    assert_eq!(left, [], "budgets go with their workspace");
}

async fn a_budget_limits_the_keys_of_its_workspace(f: Fixture) {
    let path = "/api/v1/workspaces/default/budgets/daily";
    let put = ask("PUT", path).of(json!({ "limit_usd": 5 }));
    assert_eq!(f.answer(put.by(&f.management)).await.0, 200);
    let principal = f.rest.accounts.lookup(f.inference.hash()).await.unwrap();
    let limits = principal.principal.unwrap().policy.limits;
    let mut of_it = limits.iter().filter(|it| it.scope == Scope::Workspace);
    let limit = of_it.next().unwrap();
    assert_eq!(
        (limit.interval, limit.amount.to_string()),
        (Interval::Daily, "5".to_owned())
    );
    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    assert_eq!(told["data"]["effective_budget"]["scope"], "workspace");
    assert_eq!(told["data"]["effective_budget"]["limit_usd"], 5);
}

async fn only_administrators_set_budgets(f: Fixture) {
    f.member("bob@example.com", MemberRole::Member).await;
    let (cookie, token) = f.log_in("bob@example.com").await;
    let as_bob = |ask: Ask| ask.with("cookie", &cookie).with("x-csrf-token", &token);
    let path = "/api/v1/workspaces/default/budgets/daily";
    let put = || ask("PUT", path).of(json!({ "limit_usd": 5 }));
    assert_eq!(f.answer(as_bob(put())).await.0, 403);
    assert_eq!(f.answer(as_bob(ask("DELETE", path))).await.0, 403);
    assert_eq!(f.answer(as_bob(ask("GET", path))).await.0, 404, "may look");
    assert_eq!(f.answer(put()).await.0, 401);
    assert_eq!(f.answer(put().by(&f.inference)).await.0, 403);
    let other = f.rest.accounts.create_org("op", "Other").await.unwrap();
    let key = NewKey {
        org: Some(other.id),
        ..NewKey::of(KeyKind::Management, "other")
    };
    let foreign = f.rest.accounts.create_key("op", &key).await.unwrap();
    let one = f.workspace("lab").await;
    let foreign_put = ask("PUT", &format!("{one}/budgets/daily")).of(json!({ "limit_usd": 5 }));
    assert_eq!(f.answer(foreign_put.by(&foreign)).await.0, 404);
}

on_both! {
    a_budget_limits_the_keys_of_its_workspace,
    budgets_are_managed,
    budgets_grow_with_their_intervals,
    only_administrators_set_budgets,
}
