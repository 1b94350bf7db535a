//! Who may call what: every service against every kind of caller, and certificates that must not
//! get in.

use crate::plane::{self, Plane, caller};
use shared::proto::admin as admin_wire;
use shared::proto::discovery as discovery_wire;
use shared::proto::ledger as ledger_wire;
use tonic::Code;

/// The codes of one caller's calls of each service: discovery, telemetry, ledger, admin.
async fn codes(caller: &plane::Caller) -> [Code; 4] {
    let lookup = discovery_wire::LookupKeyRequest {
        key_hash: vec![0; 32],
        seal_key: Vec::new(),
    };
    let heartbeat = ledger_wire::ShipRequest {
        node_id: "edge-1".to_owned(),
        boot_epoch: 1,
        ..ledger_wire::ShipRequest::default()
    };
    let mut reports = match caller.telemetry().report(tokio_stream::empty()).await {
        Ok(acks) => acks.into_inner(),
        Err(status) => {
            return [
                plane::code(caller.discovery().lookup_key(lookup).await),
                status.code(),
                plane::code(caller.ledger().ship(heartbeat).await),
                plane::code(caller.admin().list_keys(keys()).await),
            ];
        }
    };
    [
        plane::code(caller.discovery().lookup_key(lookup).await),
        plane::code(reports.message().await),
        plane::code(caller.ledger().ship(heartbeat).await),
        plane::code(caller.admin().list_keys(keys()).await),
    ]
}

fn keys() -> admin_wire::ListKeysRequest {
    admin_wire::ListKeysRequest::default()
}

#[tokio::test]
async fn every_service_against_every_caller() {
    let plane = Plane::start().await;
    let (yes, who, no) = (Code::Ok, Code::Unauthenticated, Code::PermissionDenied);
    let wrong = "gwa-0000000000000000000000000000000000000000000000000000000000000000";
    let token = plane.token();
    let cases = [
        (caller().pair(plane.edge()), [yes, yes, yes, no]),
        (caller().pair(plane.operator()), [no, no, no, yes]),
        (caller().pair(plane.control()), [no, no, no, no]),
        (caller(), [who, who, who, who]),
        (caller().token(&token), [who, who, who, yes]),
        (caller().token(wrong), [who, who, who, who]),
        // A token is nothing to the edges' services, and a wrong one is refused whoever shows it.
        (
            caller().pair(plane.edge()).token(&token),
            [yes, yes, yes, yes],
        ),
        (
            caller().pair(plane.operator()).token(wrong),
            [no, no, no, who],
        ),
        // Certificates of our CA that name nobody, two, or an unknown role.
        (caller().pair(plane.named(&[])), [who; 4]),
        (
            caller().pair(plane.named(&["spiffe://godwit/root/a"])),
            [who; 4],
        ),
        (
            caller().pair(plane.named(&["spiffe://elsewhere/edge/edge-1"])),
            [who; 4],
        ),
        (
            caller().pair(plane.named(&[
                "spiffe://godwit/edge/edge-1",
                "spiffe://godwit/operator/ada",
            ])),
            [who; 4],
        ),
    ];
    for (number, (caller, expected)) in cases.into_iter().enumerate() {
        let caller = caller.connect(&plane).await.unwrap();
        assert_eq!(codes(&caller).await, expected, "case {number}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_of_yesterday_gets_nowhere() {
    let plane = Plane::start().await;
    for pair in [plane.foreign(), plane.expired()] {
        // TLS 1.3 tells a client only when it reads: the first call fails, not the connection.
        let Ok(caller) = caller().pair(pair).connect(&plane).await else {
            continue;
        };
        for code in codes(&caller).await {
            assert!(
                matches!(code, Code::Unknown | Code::Unavailable),
                "{code:?}"
            );
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_server_without_our_certificate_is_not_spoken_to() {
    let (plane, other) = (Plane::start().await, Plane::start().await);
    let refused = caller()
        .pair(plane.operator())
        .trusting(&other)
        .connect(&plane);
    assert!(refused.await.is_err());
    plane.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_edge_speaks_for_its_own_node_only() {
    let plane = Plane::start().await;
    let edge = caller().pair(plane.edge()).connect(&plane).await.unwrap();
    let acquire = ledger_wire::AcquireLeaseRequest {
        node_id: "edge-2".to_owned(),
        ..ledger_wire::AcquireLeaseRequest::default()
    };
    let release = ledger_wire::ReleaseLeaseRequest {
        node_id: "edge-2".to_owned(),
        ..ledger_wire::ReleaseLeaseRequest::default()
    };
    let ship = ledger_wire::ShipRequest {
        node_id: String::new(),
        ..ledger_wire::ShipRequest::default()
    };
    let codes = [
        plane::code(edge.ledger().acquire_lease(acquire).await),
        plane::code(edge.ledger().release_lease(release).await),
        plane::code(edge.ledger().ship(ship).await),
    ];
    assert_eq!(codes, [Code::PermissionDenied; 3]);
    plane.stop().await;
}
