//! What operators do, over the wire: keys, catalogue, money, and who has done what.

use crate::plane::{CATALOG, Plane, body, caller, code};
use shared::key::KeyHash;
use shared::proto::admin as wire;
use tonic::Code;

fn files(text: &str) -> wire::CatalogFiles {
    let files = [("a.toml".to_owned(), text.to_owned())];
    wire::CatalogFiles {
        files: files.into(),
    }
}

#[tokio::test]
async fn a_key_is_made_listed_and_revoked() {
    let plane = Plane::start().await;
    let operator = caller().token(&plane.token()).connect(&plane).await;
    let mut admin = operator.unwrap().admin();
    let create = wire::CreateKeyRequest {
        name: "ci".to_owned(),
        policy_json: r#"{"limit": "2.5"}"#.to_owned(),
        ..wire::CreateKeyRequest::default()
    };
    let made = body(admin.create_key(create.clone()).await);
    assert_eq!(KeyHash::of(&made.key).to_string(), made.id);
    let listed = body(admin.list_keys(wire::ListKeysRequest::default()).await);
    let row = listed.keys.iter().find(|key| key.id == made.id).unwrap();
    assert_eq!(
        (&*row.name, &*row.kind, row.revoked),
        ("ci", "inference", false)
    );
    assert_eq!(row.usage_usd, "0");
    let revoke = wire::RevokeKeyRequest {
        id: made.id.clone(),
    };
    body(admin.revoke_key(revoke).await);
    let listed = body(admin.list_keys(wire::ListKeysRequest::default()).await);
    assert!(
        listed
            .keys
            .iter()
            .any(|key| key.id == made.id && key.revoked)
    );

    let unknown = wire::RevokeKeyRequest { id: "0".repeat(64) };
    assert_eq!(code(admin.revoke_key(unknown).await), Code::NotFound);
    let odd = wire::RevokeKeyRequest { id: "x".to_owned() };
    assert_eq!(code(admin.revoke_key(odd).await), Code::InvalidArgument);
    for change in [
        wire::CreateKeyRequest {
            kind: "root".to_owned(),
            ..create.clone()
        },
        wire::CreateKeyRequest {
            policy_json: r#"{"limits": "2.5"}"#.to_owned(),
            ..create.clone()
        },
    ] {
        assert_eq!(code(admin.create_key(change).await), Code::InvalidArgument);
    }
    let elsewhere = wire::CreateKeyRequest {
        org: "org_none".to_owned(),
        ..create
    };
    assert_eq!(code(admin.create_key(elsewhere).await), Code::NotFound);

    let audit = wire::ListAuditRequest { limit: 2 };
    let audit = body(admin.list_audit(audit).await).entries;
    let done: Vec<_> = audit.iter().map(|e| (&*e.actor, &*e.action)).collect();
    let by = "operator/token";
    assert_eq!(done, [(by, "key.revoke"), (by, "key.create")]);
    plane.stop().await;
}

#[tokio::test]
async fn a_catalogue_is_checked_changed_and_taken_back() {
    let plane = Plane::start().await;
    let operator = caller().pair(plane.operator()).connect(&plane).await;
    let mut admin = operator.unwrap().admin();
    let valid = body(admin.validate_catalog(files(CATALOG)).await);
    assert_eq!((valid.problems.len(), valid.endpoints), (0, 1));
    let broken = CATALOG.replace("\"acme\"", "\"Acme!\"");
    let invalid = body(admin.validate_catalog(files(&broken)).await);
    assert!(!invalid.problems.is_empty());
    assert!(
        invalid
            .problems
            .iter()
            .all(|problem| problem.file == "a.toml")
    );
    let refused = body(admin.apply_catalog(files(&broken)).await);
    assert_eq!((refused.problems.is_empty(), refused.number), (false, 0));

    let dearer = CATALOG.replace("0.0000003", "0.0000004");
    let difference = body(admin.diff_catalog(files(&dearer)).await);
    assert_eq!(difference.changed, ["endpoint/lab/one@acme"]);
    assert_eq!((difference.added.len(), difference.removed.len()), (0, 0));
    let applied = body(admin.apply_catalog(files(&dearer)).await);
    assert_eq!((applied.number, applied.changed), (2, 1));
    let price = |rows: wire::ListEndpointsResponse| rows.endpoints[0].completion_price.clone();
    let list = || wire::ListEndpointsRequest::default();
    assert_eq!(price(body(admin.list_endpoints(list()).await)), "0.0000004");

    let back = wire::RollbackCatalogRequest { number: 1 };
    assert_eq!(body(admin.rollback_catalog(back).await).number, 3);
    assert_eq!(price(body(admin.list_endpoints(list()).await)), "0.0000003");
    let nowhere = wire::RollbackCatalogRequest { number: 99 };
    assert_eq!(code(admin.rollback_catalog(nowhere).await), Code::NotFound);
    let history = wire::CatalogHistoryRequest {};
    let history = body(admin.catalog_history(history).await).revisions;
    let made: Vec<_> = history.iter().map(|r| (r.number, &*r.actor)).collect();
    assert_eq!(made[..2], [(3, "operator/local"), (2, "operator/local")]);
    let exported = body(admin.export_catalog(wire::ExportCatalogRequest {}).await);
    let same = body(admin.diff_catalog(exported).await);
    assert_eq!(same, wire::DiffCatalogResponse::default());
    let audit = wire::ListAuditRequest { limit: 2 };
    let audit = body(admin.list_audit(audit).await).entries;
    let actions: Vec<_> = audit.iter().map(|entry| &*entry.action).collect();
    assert_eq!(actions, ["catalog.rollback", "catalog.apply"]);
    plane.stop().await;
}

#[tokio::test]
async fn money_is_given_once_and_the_books_are_in_order() {
    let plane = Plane::start().await;
    let operator = caller().pair(plane.operator()).connect(&plane).await;
    let mut admin = operator.unwrap().admin();
    let add = wire::AddCreditsRequest {
        org: String::new(),
        amount_usd: "2.5".to_owned(),
        reference: "invoice-7".to_owned(),
    };
    for added in [true, false] {
        let response = body(admin.add_credits(add.clone()).await);
        assert_eq!((response.added, &*response.available_usd), (added, "12.5"));
    }
    for (amount, org, expected) in [
        ("-1", "", Code::InvalidArgument),
        ("0", "", Code::InvalidArgument),
        ("1e3", "", Code::InvalidArgument),
        ("1", "org_none", Code::NotFound),
    ] {
        let odd = wire::AddCreditsRequest {
            amount_usd: amount.to_owned(),
            org: org.to_owned(),
            reference: "x".to_owned(),
        };
        assert_eq!(code(admin.add_credits(odd).await), expected, "{amount}");
    }
    let buy = wire::BuyCreditsRequest {
        org: String::new(),
        amount_usd: "100".to_owned(),
        reference: "card-1".to_owned(),
    };
    for (added, fee) in [(true, "5"), (false, "5")] {
        let response = body(admin.buy_credits(buy.clone()).await);
        assert_eq!((response.added, &*response.fee_usd), (added, fee));
    }
    let refund = wire::RefundCreditsRequest {
        org: String::new(),
        amount_usd: "95".to_owned(),
        reference: "back-1".to_owned(),
    };
    for refunded in [true, false] {
        let response = body(admin.refund_credits(refund.clone()).await);
        let expect = (refunded, "12.5");
        assert_eq!((response.refunded, &*response.available_usd), expect);
    }
    body(admin.set_terms(wire::SetTermsRequest::default()).await);
    let bill = wire::ReconcileBillRequest {
        provider: "acme".to_owned(),
        lines: vec![wire::BillLine {
            id: "nobody".to_owned(),
            amount_usd: "1".to_owned(),
            ..wire::BillLine::default()
        }],
        complete_until_unix_ms: 1,
    };
    let done = body(admin.reconcile_bill(bill).await);
    assert_eq!(
        (done.unknown, done.settled, &*done.charged_usd),
        (1, 0, "0")
    );
    let credits = body(admin.list_credits(wire::ListCreditsRequest {}).await);
    assert_eq!(credits.orgs[0].org, plane.org().to_string());
    assert_eq!(credits.orgs[0].available_usd, "12.5");
    assert_eq!(credits.orgs[0].fees_usd, "5");
    let verdict = body(admin.verify_ledger(wire::VerifyLedgerRequest {}).await);
    assert_eq!((verdict.postings, verdict.problems.len()), (4, 0));
    plane.stop().await;
}

#[tokio::test]
async fn terms_stay_and_bills_without_amounts_are_refused() {
    let plane = Plane::start().await;
    let operator = caller().pair(plane.operator()).connect(&plane).await;
    let mut admin = operator.unwrap().admin();
    // What is not given stays: a credit for outages changes no fee.
    let terms = wire::SetTermsRequest {
        outage_credit_usd: Some("1".to_owned()),
        ..wire::SetTermsRequest::default()
    };
    body(admin.set_terms(terms).await);
    let bought = wire::BuyCreditsRequest {
        org: String::new(),
        amount_usd: "100".to_owned(),
        reference: "pay-2".to_owned(),
    };
    assert_eq!(body(admin.buy_credits(bought).await).fee_usd, "5");
    let strange = wire::ReconcileBillRequest {
        provider: "nope".to_owned(),
        ..wire::ReconcileBillRequest::default()
    };
    let refused = admin.reconcile_bill(strange).await.unwrap_err();
    assert!(refused.message().contains("\"nope\""), "{refused}");
    for (amount, tokens) in [("", 0), ("-5", 0), ("1", 7)] {
        let line = wire::BillLine {
            id: "gen".to_owned(),
            amount_usd: amount.to_owned(),
            input_tokens: tokens,
            ..wire::BillLine::default()
        };
        let odd = wire::ReconcileBillRequest {
            provider: "acme".to_owned(),
            lines: vec![line],
            complete_until_unix_ms: 0,
        };
        let refused = admin.reconcile_bill(odd).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{amount:?}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let plane = Plane::start().await;
    let operator = caller().pair(plane.operator()).connect(&plane).await;
    let mut admin = operator.unwrap().admin();
    let node_id = "fra1-a".to_owned();
    let refused = admin.drain_edge(wire::DrainEdgeRequest { node_id }).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(
        refused.message(),
        "there is no edge \"fra1-a\"; no edge was ever heard of"
    );
    assert_eq!(
        body(admin.list_edges(wire::ListEdgesRequest {}).await).edges,
        []
    );
    let model = wire::ListEndpointsRequest {
        model: "no/such".to_owned(),
    };
    assert_eq!(code(admin.list_endpoints(model).await), Code::NotFound);
    let rankings = body(
        admin
            .get_rankings(wire::GetRankingsRequest::default())
            .await,
    );
    assert_eq!(rankings.regions, []);
    let explain = |endpoint: &str, region: &str| wire::ExplainRankingRequest {
        endpoint: endpoint.to_owned(),
        region: region.to_owned(),
    };
    let early = admin.explain_ranking(explain("lab/one@acme", "")).await;
    assert_eq!(code(early), Code::FailedPrecondition);
    let unknown = admin.explain_ranking(explain("lab/one@beta", "eu")).await;
    assert_eq!(code(unknown), Code::NotFound);
    let explained = body(admin.explain_ranking(explain("lab/one@acme", "eu")).await);
    assert!(explained.text.contains("acme"), "{}", explained.text);
    plane.stop().await;
}
