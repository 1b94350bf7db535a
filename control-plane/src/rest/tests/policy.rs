//! Guardrails and own provider keys over the management API, member by member.

use super::*;
use crate::accounts::credentials::{CredentialTerms, Located, NewCredential, ProviderSecret};
use crate::registry::Author;
use crate::testing::{catalog, on_both};
use shared::byok::Place;

impl Fixture {
    /// Serves `lab/one` at these providers.
    async fn serve(&self, providers: &[&str]) {
        let author = Author {
            actor: "op",
            note: "",
        };
        let registry = &self.rest.registry;
        registry.apply(&catalog(providers), author).await.unwrap();
    }
}

async fn guardrails_are_managed(f: Fixture) {
    f.serve(&["openai", "x"]).await;
    let by = |ask: Ask| ask.by(&f.management);
    let rules = json!({
        "name": "no names", "description": "d", "limit_usd": 0.1, "reset_interval": "daily",
        "include_byok_in_budgets": true, "allowed_models": ["lab/one"],
        "ignored_models": ["lab/One"],
        "allowed_providers": ["openai"], "ignored_providers": ["x"], "enforce_zdr_openai": true,
        "enable_paid_model_training": false, "allowed_data_regions": ["europe"],
        "content_filters": [{"pattern": "x+", "action": "block", "label": "xs"}],
        "content_filter_builtins": [{"slug": "regex-prompt-injection", "action": "flag",
            "scan_scope": "all_messages"}],
    });
    let path = "/api/v1/guardrails";
    assert_eq!(
        f.answer(ask("POST", path).by(&f.inference).of(rules.clone()))
            .await
            .0,
        403
    );
    let (status, made) = f.answer(by(ask("POST", path).of(rules.clone()))).await;
    assert_eq!(status, 201, "{made}");
    let made = &made["data"];
    for (name, value) in rules.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    let absent = [
        "workspace_id",
        "enforce_zdr",
        "updated_at",
        "enforce_zdr_xai",
    ];
    assert!(absent.iter().all(|name| made[*name].is_null()), "{made}");
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));
    let id = made["id"].as_str().unwrap();
    let one = format!("{path}/{id}");
    let given = json!({"limit_usd": null, "reset_interval": null, "allowed_models": ["LAB/one"],
        "description": null});
    let (status, told) = f.answer(by(ask("PATCH", &one).of(given))).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["data"]["allowed_models"], json!(["LAB/one"]));
    assert_eq!(
        told["data"]["ignored_models"],
        json!(["lab/One"]),
        "left as it was"
    );
    assert!(told["data"]["limit_usd"].is_null() && told["data"]["description"].is_null());
    assert_eq!(f.answer(by(ask("GET", &one))).await.1, told);
    refused(&f, &one).await;
    let (_, listed) = f.answer(by(ask("GET", &format!("{path}?limit=1")))).await;
    assert_eq!(
        (&listed["total_count"], &listed["data"][0]["id"]),
        (&json!(1), &json!(id))
    );
    let (_, none) = f.answer(by(ask("GET", &format!("{path}?offset=1")))).await;
    assert_eq!(
        (&none["total_count"], &none["data"]),
        (&json!(1), &json!([]))
    );
    assigned(&f, id).await;
    let (_, gone) = f.answer(by(ask("DELETE", &one))).await;
    assert_eq!(gone, json!({ "deleted": true }));
    assert_eq!(f.answer(by(ask("GET", &one))).await.0, 404);
}

async fn refused(f: &Fixture, one: &str) {
    let by = |ask: Ask| ask.by(&f.management);
    for bad in [
        json!({"limit_usd": -1}),
        json!({"limit_usd": true}),
        json!({"ignored_models": ["lab/One", "lab/two"]}),
        json!({"allowed_models": ["lab/two"]}),
        json!({"ignored_providers": ["opneai"]}),
        json!({"allowed_models": []}),
        json!({"rules": {}}),
        json!({"content_filters": [{"pattern": "(?=x)", "action": "block"}]}),
        json!({"allow_safety_retention_other": true}),
        json!({"name": 5}),
    ] {
        let (status, told) = f.answer(by(ask("PATCH", one).of(bad.clone()))).await;
        assert_eq!(status, 400, "{bad}: {told}");
    }
}

async fn assigned(f: &Fixture, id: &str) {
    let by = |ask: Ask| ask.by(&f.management);
    let ada = f.member("ada@example.com", MemberRole::Member).await;
    let key = f.inference.hash().to_string();
    let paths = |kind: &str| format!("/v1/guardrails/{id}/assignments/{kind}");
    let keys = json!({ "key_hashes": [key] });
    let members = json!({ "member_user_ids": [ada.as_str()] });
    for (kind, given) in [("keys", &keys), ("members", &members)] {
        for (again, count) in [(false, 1), (true, 0)] {
            let (status, told) = f
                .answer(by(ask("POST", &paths(kind)).of(given.clone())))
                .await;
            assert_eq!(
                (status, &told["assigned_count"]),
                (200, &json!(count)),
                "{again}"
            );
        }
    }
    let (_, told) = f.answer(by(ask("GET", &paths("keys")))).await;
    let one = &told["data"][0];
    assert_eq!(
        (&told["total_count"], &one["key_hash"]),
        (&json!(1), &json!(key))
    );
    assert_eq!(
        (&one["guardrail_id"], &one["key_name"]),
        (&json!(id), &json!("a key"))
    );
    assert!(one["key_label"].as_str().unwrap().starts_with("sk-gw"));
    let (_, told) = f
        .answer(by(ask("GET", "/v1/guardrails/assignments/members")))
        .await;
    let one = &told["data"][0];
    assert_eq!(
        (&one["user_id"], &one["organization_id"]),
        (&json!(ada.as_str()), &json!(f.org.as_str()))
    );
    assert!(one["assigned_by"].is_null(), "a program did it");
    let unknown = json!({ "key_hashes": ["0".repeat(64)] });
    assert_eq!(
        f.answer(by(ask("POST", &paths("keys")).of(unknown)))
            .await
            .0,
        404
    );
    for (kind, given) in [("keys", keys), ("members", members)] {
        let path = format!("{}/remove", paths(kind));
        let (_, told) = f.answer(by(ask("POST", &path).of(given))).await;
        assert_eq!(told, json!({ "unassigned_count": 1 }));
        let (_, told) = f.answer(by(ask("GET", &paths(kind)))).await;
        assert_eq!(told["total_count"], 0);
    }
}

async fn own_keys_are_managed(f: Fixture) {
    let by = |ask: Ask| ask.by(&f.management);
    let given = json!({"provider": "nobody", "key": "sk-0123456789-0123456789"});
    let (status, told) = f.answer(by(ask("POST", "/v1/byok").of(given))).await;
    assert_eq!(status, 404, "{told}");
    let new = NewCredential {
        org: Some(f.org.clone()),
        workspace: None,
        provider: "openai".to_owned(),
        located: Located {
            origin: "https://api.openai.com".to_owned(),
            place: Place::default(),
        },
        secret: ProviderSecret::new("sk-marked-own-key-01234"),
        terms: CredentialTerms::default(),
    };
    let made = f.rest.accounts.create_credential("op", &new).await.unwrap();
    let (status, listed) = f
        .answer(by(ask("GET", "/api/v1/byok?provider=openai")))
        .await;
    assert_eq!(
        (status, &listed["total_count"]),
        (200, &json!(1)),
        "{listed}"
    );
    let expect = json!({
        "id": made.id, "provider": "openai", "name": null, "label": "sk-...1234",
        "disabled": false, "is_fallback": false, "is_required": false, "is_byok_only": false,
        "sort_order": 0, "workspace_id": null, "allowed_models": null,
        "allowed_api_key_hashes": null, "allowed_user_ids": null, "declared_region": null,
        "declared_zdr": null, "created_at": "2026-02-10T00:00:00.000Z", "updated_at": null,
        "origin": "https://api.openai.com",
    });
    assert_eq!(listed["data"][0], expect);
    let one = format!("/v1/byok/{}", made.id);
    let given = json!({"name": "mine", "is_byok_only": true, "allowed_models": ["a/b"],
        "key": "sk-marked-own-key-56789"});
    let (status, told) = f.answer(by(ask("PATCH", &one).of(given))).await;
    assert_eq!(status, 200, "{told}");
    let told = &told["data"];
    assert_eq!(
        (&told["name"], &told["label"]),
        (&json!("mine"), &json!("sk-...6789"))
    );
    assert_eq!(
        (&told["is_required"], &told["allowed_models"]),
        (&json!(true), &json!(["a/b"]))
    );
    assert!(!told.to_string().contains("marked"));
    let (_, told) = f
        .answer(by(ask("PATCH", &one).of(json!({"allowed_models": null}))))
        .await;
    assert!(told["data"]["allowed_models"].is_null());
    assert_eq!(told["data"]["is_required"], true, "left as it was");
    for bad in [
        json!({"allowed_models": []}),
        json!({"declared_zdr": true}),
        json!({"key": ""}),
        json!({"origin": "https://evil.example"}),
    ] {
        let (status, told) = f.answer(by(ask("PATCH", &one).of(bad.clone()))).await;
        assert_eq!(status, 400, "{bad}: {told}");
    }
    assert_eq!(f.answer(ask("DELETE", &one).by(&f.inference)).await.0, 403);
    assert_eq!(
        f.answer(by(ask("DELETE", &one))).await.1,
        json!({ "deleted": true })
    );
    assert_eq!(f.answer(by(ask("GET", &one))).await.0, 404);
}

/// A body that JSON in floats would change.
async fn a_guardrails_limit_keeps_every_digit(f: Fixture) {
    let digits = "1234567.000000000001";
    let body = format!(r#"{{"name": "g", "limit_usd": {digits}, "reset_interval": "daily"}}"#);
    let bearer = format!("Bearer {}", f.management.reveal());
    let request = axum::http::Request::post("/api/v1/guardrails")
        .header("authorization", bearer)
        .header("content-type", "application/json");
    let mut router = f.rest.clone().for_people();
    let request = request.body(Body::from(body)).unwrap();
    let answer = router.call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let told = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let told = String::from_utf8_lossy(&told).into_owned();
    let expect = format!(r#""limit_usd":{digits}"#);
    assert!(told.contains(&expect), "{told}");
    let kept = f
        .rest
        .accounts
        .guardrails(Some(&f.org), None)
        .await
        .unwrap();
    let limit = kept[0].rules.limit_usd.unwrap();
    assert_eq!(limit.to_string(), digits);
    // A change of something else leaves it.
    let one = format!("/api/v1/guardrails/{}", kept[0].id);
    let patch = ask("PATCH", &one).of(json!({ "enforce_zdr": true }));
    assert_eq!(f.answer(patch.by(&f.management)).await.0, 200);
    let kept = f.rest.accounts.guardrail(Some(&f.org), &kept[0].id).await;
    assert_eq!(kept.unwrap().rules.limit_usd, Some(limit));
}

async fn a_workspace_has_a_default_guardrail(f: Fixture) {
    let by = |ask: Ask| ask.by(&f.management);
    let workspace = "/api/v1/workspaces/default";
    let default = async || {
        let (_, told) = f.answer(by(ask("GET", workspace))).await;
        told["data"]["default_guardrail_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let holds = async || {
        let looked_up = f.rest.accounts.lookup(f.inference.hash()).await.unwrap();
        let rules = looked_up.principal.unwrap().policy.rules;
        rules
            .map(|rules| (rules.zdr.openai, rules.zdr.xai))
            .unwrap_or_default()
    };
    // Its id is known before it is there; it is made when its rules are first written, and holds.
    let id = default().await;
    let path = format!("/api/v1/guardrails/{id}");
    assert_eq!(f.answer(by(ask("GET", &path))).await.0, 404);
    assert_eq!(holds().await, (false, false));
    let patch = |given: Value| f.answer(by(ask("PATCH", &path).of(given)));
    assert_eq!(patch(json!({ "ignored_models": ["x/y"] })).await.0, 400);
    let both = tokio::join!(
        patch(json!({ "enforce_zdr_openai": true })),
        patch(json!({ "enforce_zdr_xai": true }))
    );
    assert_eq!((both.0.0, both.1.0), (200, 200), "{both:?}");
    assert_eq!(holds().await, (true, true));
    assert_eq!(default().await, id);
    let (_, told) = f.answer(by(ask("GET", &path))).await;
    assert_eq!(told["data"]["name"], "Default of default");

    // Another one can be made the default, or none.
    let new = ask("POST", "/api/v1/guardrails").of(json!({ "name": "g" }));
    let (_, made) = f.answer(by(new)).await;
    let other = made["data"]["id"].clone();
    let choose = |id: &Value| {
        let given = json!({ "default_guardrail_id": id });
        f.answer(by(ask("PATCH", workspace).of(given)))
    };
    let (status, told) = choose(&other).await;
    assert_eq!(
        (status, &told["data"]["default_guardrail_id"]),
        (200, &other)
    );
    assert_eq!(holds().await, (false, false));
    assert_eq!(choose(&json!("gr_none")).await.0, 404);
    assert_eq!(choose(&json!(id)).await.0, 200);
    assert_eq!(holds().await, (true, true));
    assert_eq!(choose(&Value::Null).await.0, 200);
    assert_eq!(holds().await, (false, false));
    let (status, _) = patch(json!({ "name": "n" })).await;
    assert_eq!(
        (status, holds().await),
        (200, (true, true)),
        "written, so it holds"
    );

    // One of another workspace is not for this one, and a member may not write it.
    not_for_everybody(&f, &path).await;
}

async fn not_for_everybody(f: &Fixture, path: &str) {
    let by = |ask: Ask| ask.by(&f.management);
    let given = json!({ "name": "Lab", "slug": "lab" });
    let (_, lab) = f
        .answer(by(ask("POST", "/api/v1/workspaces").of(given)))
        .await;
    let given = json!({ "name": "g", "workspace_id": lab["data"]["id"] });
    let (_, made) = f
        .answer(by(ask("POST", "/api/v1/guardrails").of(given)))
        .await;
    let given = json!({ "default_guardrail_id": made["data"]["id"] });
    let choose = ask("PATCH", "/api/v1/workspaces/default").of(given);
    assert_eq!(f.answer(by(choose)).await.0, 409);
    f.member("bob@example.com", MemberRole::Member).await;
    let (cookie, token) = f.log_in("bob@example.com").await;
    let mine = ask("PATCH", path).of(json!({ "enforce_zdr": false }));
    let mine = mine.with("cookie", &cookie).with("x-csrf-token", &token);
    assert_eq!(f.answer(mine).await.0, 403);
}

async fn changes_at_the_same_time_are_all_kept(f: Fixture) {
    f.serve(&["acme"]).await;
    let by = |ask: Ask| ask.by(&f.management);
    let new = by(ask("POST", "/api/v1/guardrails").of(json!({ "name": "g" })));
    let (status, made) = f.answer(new).await;
    assert_eq!(status, 201, "{made}");
    let guardrail = format!(
        "/api/v1/guardrails/{}",
        made["data"]["id"].as_str().unwrap()
    );
    let workspace = "/api/v1/workspaces/default";
    for (path, one, other) in [
        (
            guardrail.as_str(),
            json!({ "ignored_models": ["lab/one"] }),
            json!({ "ignored_providers": ["acme"] }),
        ),
        (
            workspace,
            json!({ "default_text_model": "a/b" }),
            json!({ "default_provider_sort": "price" }),
        ),
    ] {
        let patch = |given: &Value| by(ask("PATCH", path).of(given.clone()));
        let both = tokio::join!(f.answer(patch(&one)), f.answer(patch(&other)));
        assert_eq!((both.0.0, both.1.0), (200, 200), "{both:?}");
        let (_, told) = f.answer(by(ask("GET", path))).await;
        for given in [one, other] {
            for (name, value) in given.as_object().unwrap() {
                assert_eq!(&told["data"][name], value, "{name}");
            }
        }
    }
}

on_both! {
    a_guardrails_limit_keeps_every_digit,
    a_workspace_has_a_default_guardrail,
    changes_at_the_same_time_are_all_kept,
    guardrails_are_managed,
    own_keys_are_managed,
}
