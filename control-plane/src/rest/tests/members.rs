//! Log-ins with their cookies, workspaces and members over the management API.

use super::*;
use crate::testing::on_both;

async fn people_manage_with_a_cookie(f: Fixture) {
    f.member("ada@example.com", MemberRole::Admin).await;
    let bob = f.member("bob@example.com", MemberRole::Member).await;
    let (cookie, token) = f.log_in("bob@example.com").await;
    let as_bob = |ask: Ask| ask.with("cookie", &cookie).with("x-csrf-token", &token);
    let make = || ask("POST", "/api/v1/keys").of(json!({ "name": "bob's" }));

    // Without the token, or from another site's page, a cookie is not enough for a change.
    assert_eq!(f.answer(make().with("cookie", &cookie)).await.0, 403);
    let wrong = make().with("cookie", &cookie).with("x-csrf-token", "0");
    assert_eq!(f.answer(wrong).await.0, 403);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(
            f.answer(as_bob(make()).with(name, value)).await.0,
            403,
            "{name}"
        );
    }
    let own = as_bob(make()).with("origin", "http://127.0.0.1:7080");
    let (status, made) = f.answer(own).await;
    assert_eq!(
        (status, &made["data"]["creator_user_id"]),
        (201, &json!(bob)),
        "{made}"
    );

    // A member sees and changes their own keys only, and nobody else's role.
    let (_, told) = f
        .answer(ask("GET", "/api/v1/keys").with("cookie", &cookie))
        .await;
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/keys/{}", f.inference.hash());
    assert_eq!(f.answer(as_bob(ask("DELETE", &path))).await.0, 404);
    let path = format!("/api/v1/organization/members/{bob}");
    let raise = || ask("PATCH", &path).of(json!({ "role": "admin" }));
    assert_eq!(f.answer(as_bob(raise())).await.0, 403);
    let (ada_cookie, ada_token) = f.log_in("ada@example.com").await;
    let as_ada = |ask: Ask| {
        ask.with("cookie", &ada_cookie)
            .with("x-csrf-token", &ada_token)
    };
    assert_eq!(f.answer(as_ada(raise())).await.0, 200);
    let mixed = raise()
        .with("cookie", &ada_cookie)
        .with("x-csrf-token", &token);
    assert_eq!(f.answer(mixed).await.0, 403, "another session's token");
    let elsewhere = ask("GET", "/v1/keys").with("x-godwit-org", "org_none");
    assert_eq!(f.answer(elsewhere.with("cookie", &ada_cookie)).await.0, 403);

    let out = || ask("DELETE", "/api/v1/session").with("cookie", &cookie);
    assert_eq!(f.answer(out()).await.0, 403);
    assert_eq!(f.answer(out().with("x-csrf-token", &token)).await.0, 204);
    let gone = ask("GET", "/api/v1/session").with("cookie", &cookie);
    assert_eq!(f.answer(gone).await.0, 401);
    let wrong = json!({ "email": "ada@example.com", "password": "wrong wrong wrong" });
    assert_eq!(
        f.answer(ask("POST", "/api/v1/session").of(wrong)).await.0,
        401
    );
}

async fn a_cookie_opens_nothing_over_an_edge(f: Fixture) {
    f.member("ada@example.com", MemberRole::Admin).await;
    let (cookie, _) = f.log_in("ada@example.com").await;
    let request = axum::http::Request::get("/api/v1/keys").header("cookie", &cookie);
    let mut edges = f.rest.clone().for_edges();
    let answer = edges
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "no edge");
    let identity = crate::security::Identity::new(Role::Edge, "e");
    let request = axum::http::Request::get("/api/v1/keys").header("cookie", &cookie);
    let address = "127.0.0.1:1".parse().unwrap();
    let request = request.extension(Peer { address, identity });
    let answer = edges
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

async fn workspaces_and_members_are_told(f: Fixture) {
    let given = json!({ "email": "ada@example.com", "name": "Ada L", "role": "org:admin" });
    let add = ask("POST", "/api/v1/organization/members").of(given);
    let (status, ada) = f.answer(add.by(&f.management)).await;
    assert_eq!(
        (status, &ada["data"]["last_name"]),
        (201, &json!("L")),
        "{ada}"
    );
    let given = json!({ "name": "Lab", "slug": "lab", "default_text_model": "a/b" });
    let make = ask("POST", "/api/v1/workspaces").of(given);
    let (status, made) = f.answer(make.by(&f.management)).await;
    assert_eq!(
        (status, &made["data"]["slug"]),
        (201, &json!("lab")),
        "{made}"
    );
    let users = json!({ "user_ids": [ada["data"]["id"]] });
    for (way, count) in [("add", "added_count"), ("remove", "removed_count")] {
        let path = format!("/api/v1/workspaces/lab/members/{way}");
        let (status, told) = f
            .answer(ask("POST", &path).of(users.clone()).by(&f.management))
            .await;
        assert_eq!((status, &told[count]), (200, &json!(1)), "{told}");
    }
    let change = json!({ "description": "x", "default_text_model": null });
    let patch = ask("PATCH", "/api/v1/workspaces/lab").of(change);
    let (_, told) = f.answer(patch.by(&f.management)).await;
    assert_eq!(told["data"]["description"], "x");
    assert_eq!(told["data"]["default_text_model"], Value::Null);
    let (_, told) = f
        .answer(ask("GET", "/v1/workspaces?limit=1").by(&f.management))
        .await;
    assert_eq!(
        (&told["total_count"], told["data"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    let delete = |name: &str| ask("DELETE", &format!("/v1/workspaces/{name}")).by(&f.management);
    assert_eq!(f.answer(delete("default")).await.0, 409);
    assert_eq!(f.answer(delete("lab")).await.0, 200);
    let path = format!(
        "/v1/organization/members/{}",
        ada["data"]["id"].as_str().unwrap()
    );
    assert_eq!(
        f.answer(ask("DELETE", &path).by(&f.management)).await.0,
        409
    );
}

async fn members_give_a_key_no_more_than_it_has(f: Fixture) {
    let bob = f.member("bob@example.com", MemberRole::Member).await;
    let (cookie, token) = f.log_in("bob@example.com").await;
    let as_bob = |ask: Ask| ask.with("cookie", &cookie).with("x-csrf-token", &token);
    let lab = json!({ "name": "Lab", "slug": "lab" });
    let lab = ask("POST", "/api/v1/workspaces").of(lab).by(&f.management);
    let lab = f.answer(lab).await.1["data"]["id"].clone();

    // A key comes into a workspace only with somebody who is in it.
    let make = |name: &str| {
        let given = json!({ "name": name, "workspace_id": lab });
        as_bob(ask("POST", "/api/v1/keys").of(given))
    };
    let (status, told) = f.answer(make("too early")).await;
    assert_eq!(status, 403, "{told}");
    let users = json!({ "user_ids": [bob] });
    let add = ask("POST", "/api/v1/workspaces/lab/members/add").of(users);
    let (_, added) = f.answer(add.by(&f.management)).await;
    assert_eq!(added["data"][0]["role"], "member", "{added}");
    assert_eq!(f.answer(make("in time")).await.0, 201);

    let (_, made) = f
        .answer(as_bob(
            ask("POST", "/api/v1/keys").of(json!({ "name": "k" })),
        ))
        .await;
    let path = format!("/api/v1/keys/{}", made["data"]["hash"].as_str().unwrap());
    let limited = json!({
        "limit": 5, "limit_reset": "monthly", "include_byok_in_limit": true,
        "expires_at": "2030-01-01T00:00:00Z",
    });
    let by_admin = |change: Value| ask("PATCH", &path).of(change).by(&f.management);
    assert_eq!(f.answer(by_admin(limited)).await.0, 200);
    for widened in [
        json!({ "limit": 5.01 }),
        json!({ "limit": null }),
        json!({ "limit_reset": "daily" }),
        json!({ "limit_reset": null }),
        json!({ "include_byok_in_limit": false }),
        json!({ "expires_at": "2030-01-01T00:00:01Z" }),
        json!({ "expires_at": null }),
        json!({ "workspace_id": lab }),
    ] {
        let (status, told) = f
            .answer(as_bob(ask("PATCH", &path).of(widened.clone())))
            .await;
        assert_eq!(status, 403, "{widened}: {told}");
        let name = widened.as_object().unwrap().keys().next().unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(name), "{message}");
    }
    let narrowed = json!({
        "name": "mine", "limit": 4, "limit_reset": "monthly", "disabled": true,
        "expires_at": "2029-01-01T00:00:00Z",
    });
    let (status, told) = f.answer(as_bob(ask("PATCH", &path).of(narrowed))).await;
    assert_eq!((status, &told["data"]["limit"]), (200, &json!(4)), "{told}");
    let enabled = json!({ "disabled": false });
    let again = as_bob(ask("PATCH", &path).of(enabled.clone()));
    assert_eq!(f.answer(again).await.0, 403, "whoever disabled it");
    assert_eq!(f.answer(by_admin(enabled)).await.0, 200);
    assert_eq!(f.answer(as_bob(ask("DELETE", &path))).await.0, 200);
}

async fn no_organisation_comes_into_another_by_its_people(f: Fixture) {
    let other = f.rest.accounts.create_org("op", "Other").await.unwrap();
    let key = NewKey {
        org: Some(other.id),
        ..NewKey::of(KeyKind::Management, "other")
    };
    let others = f.rest.accounts.create_key("op", &key).await.unwrap();
    let path = "/api/v1/organization/members";
    let add = |email: &str, password: Option<&str>, key: &SecretKey| {
        let given = json!({ "email": email, "role": "admin", "password": password });
        ask("POST", path).of(given).by(key)
    };
    // Somebody who stays, so that the one who is added can be taken out again.
    let stays = f.answer(add("eve@a.test", None, &others)).await;
    assert_eq!(stays.0, 201);
    let (_, cfo) = f.answer(add("cfo@b.test", Some(PASSWORD), &others)).await;
    let refused = f.answer(add("cfo@b.test", None, &f.management)).await;
    assert_eq!(refused.0, 409, "{}", refused.1);
    let one = format!("{path}/{}", cfo["data"]["id"].as_str().unwrap());
    assert_eq!(f.answer(ask("DELETE", &one).by(&others)).await.0, 200);
    let added = f.answer(add("cfo@b.test", None, &f.management)).await;
    assert_eq!(added.0, 201, "{}", added.1);
    let given = json!({ "email": "cfo@b.test", "password": PASSWORD });
    let log_in = ask("POST", "/api/v1/session").of(given);
    assert_eq!(f.answer(log_in).await.0, 401);
}

on_both! {
    no_organisation_comes_into_another_by_its_people,
    members_give_a_key_no_more_than_it_has,
    people_manage_with_a_cookie,
    a_cookie_opens_nothing_over_an_edge,
    workspaces_and_members_are_told,
}
