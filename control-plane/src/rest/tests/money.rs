//! Credits, use, limits and payments over the management API.

use super::*;
use crate::testing::on_both;

async fn money_and_use_are_told(f: Fixture) {
    let buy = || {
        let ask = ask("POST", "/api/v1/credits").of(json!({ "amount": 40.5 }));
        ask.with("idempotency-key", "card-1").by(&f.management)
    };
    let (status, told) = f.answer(buy()).await;
    assert_eq!(
        (status, &told["data"]["fee"]),
        (201, &json!(2.025)),
        "{told}"
    );
    let (status, told) = f.answer(buy()).await;
    assert_eq!((status, &told["data"]["added"]), (200, &json!(false)));
    assert_eq!(told["data"]["fee"], json!(2.025), "as it was posted");
    let other = ask("POST", "/api/v1/credits").of(json!({ "amount": 41 }));
    let other = other.with("idempotency-key", "card-1").by(&f.management);
    assert_eq!(f.answer(other).await.0, 409);
    let cost: Amount = "0.000000000123".parse().unwrap();
    f.spend(&f.inference, 1, cost, 1).await;
    f.spend(&f.inference, 2, cost, 0).await;

    let answer = f.raw(ask("GET", "/api/v1/credits").by(&f.management)).await;
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let exact = r#"{"data":{"total_credits":38.475,"total_usage":0.000000000246}}"#;
    assert_eq!(std::str::from_utf8(&body).unwrap(), exact);

    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    let told = &told["data"];
    assert_eq!(
        (&told["usage"], &told["usage_daily"]),
        (&json!(2.46e-10), &json!(1.23e-10))
    );
    assert_eq!(told["is_free_tier"], false);
    assert_eq!(told["effective_budget"], Value::Null);
    assert_eq!(told["free_model_daily_requests"]["limit"], 1000);

    let (_, told) = f
        .answer(ask("GET", "/api/v1/activity").by(&f.management))
        .await;
    let rows = told["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "today is not over");
    assert_eq!(
        (&rows[0]["requests"], &rows[0]["usage"]),
        (&json!(1), &json!(1.23e-10))
    );
    let today = shared::date::date(f.rest.clock.unix_s() / DAY_S);
    let path = format!("/api/v1/activity?date={today}&group_by=workspace");
    let (_, told) = f.answer(ask("GET", &path).by(&f.management)).await;
    assert!(
        told["data"][0]["workspace_id"]
            .as_str()
            .unwrap()
            .starts_with("ws_")
    );
    assert_eq!(told["data"][0]["reasoning_tokens"], 1);

    let (_, told) = f
        .answer(ask("GET", "/v1/generation?id=gen-1").by(&f.inference))
        .await;
    let told = &told["data"];
    assert_eq!(
        (&told["total_cost"], &told["model"]),
        (&json!(1.23e-10), &json!("a/b"))
    );
    assert_eq!(
        (&told["latency"], &told["generation_time"]),
        (&json!(10), &json!(20))
    );
    f.leads.send_replace(None);
    assert_eq!(f.answer(buy()).await.0, 503);
}

async fn a_generation_tells_who_asked_and_who_was_tried(f: Fixture) {
    let gift = f.rest.ledger.credit(Epoch(1), &f.org, "gift", Amount::USD);
    gift.await.unwrap();
    f.spend(&f.inference, 1, Amount(123), 0).await;
    let asked = ask("GET", "/v1/generation?id=gen-1").by(&f.inference);
    let (_, told) = f.answer(asked).await;
    let told = &told["data"];
    for (member, expect) in [
        ("request_id", json!("gen-1")),
        ("session_id", json!("talk-1")),
        ("external_user", json!("u-7")),
        ("http_referer", json!("https://app.example/chat")),
        ("origin", json!("https://app.example")),
        ("app_title", json!("An app")),
        ("user_agent", json!("client/1")),
        ("service_tier", json!("flex")),
        ("num_media_prompt", json!(2)),
        ("num_input_audio_prompt", json!(1)),
        ("cache_discount", json!(-0.5)),
        ("is_byok", json!(false)),
        ("native_tokens_reasoning", json!(1)),
    ] {
        assert_eq!(told[member], expect, "{member}");
    }
    let responses = &told["provider_responses"];
    let of = |place: usize| &responses[place];
    assert_eq!(responses.as_array().unwrap().len(), 3);
    assert_eq!(
        (&of(0)["status"], &of(0)["endpoint_id"], &of(0)["id"]),
        (&json!(429), &json!("a/b@beta"), &Value::Null)
    );
    assert_eq!(of(1)["status"], Value::Null);
    assert_eq!(of(1).get("latency"), None, "left out, not null");
    assert_eq!(
        of(2),
        &json!({
            "id": "up", "endpoint_id": "a/b@acme", "provider_name": "acme",
            "model_permaslug": "a/b", "is_byok": false, "latency": 10, "status": 200,
            "routed_service_tier": "flex",
        })
    );
}

async fn budgets_are_told(f: Fixture) {
    let gift = f.rest.ledger.credit(Epoch(1), &f.org, "gift", Amount::USD);
    gift.await.unwrap();
    f.spend(&f.inference, 1, "0.000000000123".parse().unwrap(), 0)
        .await;
    let purse = (Scope::Org, &f.org.as_str().into(), Interval::Monthly);
    let most = Some(("0.000000000250".parse().unwrap(), false));
    let set = f.rest.accounts.set_limit("op", &f.org, purse, most);
    set.await.unwrap();
    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    let budget = &told["data"]["effective_budget"];
    assert_eq!(budget["scope"], "organization", "{told}");
    assert_eq!(budget["reset_interval"], "monthly");
    assert!(budget["remaining_usd"].as_f64().unwrap() < 2.5e-10);
    assert_eq!(budget["spend_usd"], 1.23e-10);
}

async fn a_payment_is_told_once(f: Fixture) {
    let told = |org: &str| {
        let object = json!({ "id": "pi_1", "amount_received": 2000, "currency": "usd",
            "metadata": { "godwit_org": org } });
        json!({ "type": "payment_intent.succeeded", "data": { "object": object } })
    };
    let tell = |body: Value, secret: &str| {
        let now = f.rest.clock.unix_s();
        let signature = crate::payment::sign(secret, body.to_string().as_bytes(), now);
        let ask = ask("POST", "/webhooks/stripe").of(body);
        let answer = f.answer(ask.with("stripe-signature", &signature));
        async move { answer.await.0 }
    };
    assert_eq!(
        tell(told(f.org.as_str()), "whsec_another_secret").await,
        400
    );
    assert_eq!(tell(told("org_none"), SECRET).await, 404);
    assert_eq!(tell(told("\0"), SECRET).await, 404);
    assert_eq!(tell(json!({ "type": "x" }), SECRET).await, 200, "not ours");
    let odd = json!({ "type": "payment_intent.succeeded" });
    assert_eq!(tell(odd, SECRET).await, 400);
    for _ in 0..2 {
        assert_eq!(tell(told(f.org.as_str()), SECRET).await, 200);
        let totals = f.rest.ledger.totals_of(&f.org).await.unwrap();
        assert_eq!(totals.bought.to_string(), "20");
        assert_eq!(totals.available.to_string(), "19");
    }
    // A payment is one organisation's, whatever else is told of it.
    let other = f.rest.accounts.create_org("op", "Other").await.unwrap();
    assert_eq!(tell(told(other.id.as_str()), SECRET).await, 409);
    let totals = f.rest.ledger.totals_of(&other.id).await.unwrap();
    assert_eq!(totals.bought, Amount::ZERO);
    // Nobody takes a payment's place by a key of their own.
    let buy = ask("POST", "/v1/credits").of(json!({ "amount": 1 }));
    let buy = buy
        .with("idempotency-key", "payment/pi_2")
        .by(&f.management);
    assert_eq!(f.answer(buy).await.0, 400);
    let ask = ask("POST", "/webhooks/stripe").of(told(f.org.as_str()));
    assert_eq!(f.answer(ask).await.0, 400, "not signed");
}

async fn an_auto_top_up_is_shown_and_changed(f: Fixture) {
    let path = "/api/v1/credits/auto-topup";
    let by = |ask: Ask| ask.by(&f.management);
    assert_eq!(f.answer(ask("GET", path).by(&f.inference)).await.0, 403);
    assert_eq!(f.answer(by(ask("GET", path))).await.0, 404);
    let usd = |dollars: i128| Amount(Amount::USD.0 * dollars);
    let rule = crate::topup::Rule {
        threshold: usd(10),
        amount: usd(40),
        monthly_cap: usd(100),
        customer: "cus_1".to_owned(),
        payment_method: "pm_1".to_owned(),
    };
    let topups = f.rest.accounts.topups();
    topups.change("op", &f.org, &rule.into()).await.unwrap();
    let change = json!({ "threshold": 20, "enabled": false });
    let (status, told) = f.answer(by(ask("PATCH", path).of(change))).await;
    assert_eq!(status, 200, "{told}");
    let (_, again) = f.answer(by(ask("GET", path))).await;
    assert_eq!(again, told);
    let told = &told["data"];
    assert_eq!(
        (&told["threshold"], &told["amount"]),
        (&json!(20), &json!(40))
    );
    assert_eq!(told["enabled"], false);
    assert_eq!(told["charges"], json!([]));
    for bad in [json!({ "amount": 0.001 }), json!({ "customer": "cus_2" })] {
        assert_eq!(f.answer(by(ask("PATCH", path).of(bad))).await.0, 400);
    }
}

async fn free_requests_are_told_as_they_are_counted(f: Fixture) {
    let window = Window {
        scope: Scope::Free,
        id: f.org.as_str().into(),
        interval: Interval::Daily,
        start: Interval::Daily.start(f.rest.clock.unix_s()),
    };
    let counted = |record: &mut UsageRecord| record.windows = vec![window.clone()];
    // A free model under another name, one that failed, and a name that costs something.
    f.used((&f.inference, 1), Amount::ZERO, 0, counted).await;
    let failed = |record: &mut UsageRecord| {
        counted(record);
        record.outcome = Outcome::Released;
    };
    f.used((&f.inference, 2), Amount::ZERO, 0, failed).await;
    let named = |record: &mut UsageRecord| record.requested_model = "a/b:free".to_owned();
    f.used((&f.inference, 3), Amount::USD, 0, named).await;
    let (_, told) = f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await;
    let expect = json!({ "limit": 50, "used": 2, "remaining": 48 });
    assert_eq!(told["data"]["free_model_daily_requests"], expect);
}

async fn a_key_is_told_what_requests_are_measured_by(f: Fixture) {
    let by = |ask: Ask| ask.by(&f.management);
    let dollars = |usd: i128| Amount(usd * Amount::USD.0);
    let told = async || f.answer(ask("GET", "/api/v1/key").by(&f.inference)).await.1["data"].take();
    // A guardrail's budget counts what was used before it held, from its first moment.
    f.spend(&f.inference, 1, dollars(2), 0).await;
    let given = json!({ "name": "g", "limit_usd": 5, "reset_interval": "daily" });
    let (_, made) = f.answer(by(ask("POST", "/v1/guardrails").of(given))).await;
    let id = made["data"]["id"].as_str().unwrap();
    let keys = json!({ "key_hashes": [f.inference.hash().to_string()] });
    let assign = ask("POST", &format!("/v1/guardrails/{id}/assignments/keys")).of(keys);
    assert_eq!(f.answer(by(assign)).await.0, 200);
    let key = told().await;
    let budget = &key["budgets"][0];
    assert_eq!(
        (&budget["spend_usd"], &budget["remaining_usd"]),
        (&json!(2), &json!(3))
    );
    // What nobody knows the cost of yet counts against the limit, and is told apart.
    let path = format!("/v1/keys/{}", f.inference.hash());
    let limit = ask("PATCH", &path).of(json!({ "limit": 9, "limit_reset": "daily" }));
    assert_eq!(f.answer(by(limit)).await.0, 200);
    let window = Window {
        scope: Scope::Key,
        id: f.inference.hash().to_string().into(),
        interval: Interval::Daily,
        start: Interval::Daily.start(f.rest.clock.unix_s()),
    };
    let suspense = |record: &mut UsageRecord| {
        record.windows = vec![window];
        record.outcome = Outcome::Suspense;
    };
    f.used((&f.inference, 2), dollars(3), 0, suspense).await;
    let key = told().await;
    assert_eq!(
        (&key["usage"], &key["limit_remaining"]),
        (&json!(2), &json!(4)),
        "{key}"
    );
    assert_eq!(key["limit_unsettled"], 3);
    let (_, listed) = f.answer(by(ask("GET", &path))).await;
    assert_eq!(listed["data"]["limit_remaining"], 4);
}

on_both! {
    a_key_is_told_what_requests_are_measured_by,
    free_requests_are_told_as_they_are_counted,
    money_and_use_are_told,
    a_generation_tells_who_asked_and_who_was_tried,
    budgets_are_told,
    a_payment_is_told_once,
    an_auto_top_up_is_shown_and_changed,
}
