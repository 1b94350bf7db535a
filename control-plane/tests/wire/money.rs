//! An edge's money over the wire: leases and usage, each once however often it is sent.

use crate::plane::{Plane, body, caller, code};
use shared::money::Amount;
use shared::proto::ledger as wire;
use tonic::Code;

fn usd(dollars: i128) -> String {
    (dollars * Amount::USD.0).to_string()
}

fn record(org: &str, sequence: u64, cost_usd: i128) -> wire::UsageRecord {
    wire::UsageRecord {
        sequence,
        generation_id: format!("gen-{sequence}"),
        org: org.to_owned(),
        key_hash: vec![7; 32],
        outcome: "settled".to_owned(),
        held_pico: usd(cost_usd),
        cost_pico: usd(cost_usd),
        api: "chat".to_owned(),
        requested_model: "lab/one".to_owned(),
        ..wire::UsageRecord::default()
    }
}

#[tokio::test]
async fn everything_counts_once() {
    let plane = Plane::start().await;
    let org = plane.org().to_string();
    let edge = caller().pair(plane.edge()).connect(&plane).await.unwrap();
    let mut ledger = edge.ledger();
    let acquire = wire::AcquireLeaseRequest {
        window: String::new(),
        node_id: "edge-1".to_owned(),
        boot_epoch: 1,
        org: org.clone(),
        lease_id: "lease-1".to_owned(),
        wanted_pico: usd(4),
        least_pico: usd(4),
        ..wire::AcquireLeaseRequest::default()
    };
    for _ in 0..3 {
        let lease = body(ledger.acquire_lease(acquire.clone()).await);
        assert_eq!(lease.granted_pico, usd(4));
        assert_eq!(lease.available_pico, usd(6));
        assert_eq!(lease.ttl_ms, 7_200_000);
    }
    let ship = |records: Vec<wire::UsageRecord>| wire::ShipRequest {
        node_id: "edge-1".to_owned(),
        boot_epoch: 1,
        records,
        inherited_epochs: Vec::new(),
    };
    let records: Vec<_> = (1..=3).map(|number| record(&org, number, 1)).collect();
    for batch in [&records[..2], &records[..2], &records[1..], &[]] {
        body(ledger.ship(ship(batch.to_vec())).await);
    }
    let gap = ledger.ship(ship(vec![record(&org, 5, 1)])).await;
    assert_eq!(code(gap), Code::OutOfRange);
    let reused = ledger.ship(ship(vec![{
        let mut other = record(&org, 1, 1);
        other.generation_id = "gen-other".to_owned();
        other
    }]));
    assert_eq!(code(reused.await), Code::DataLoss);
    let mut broken = record(&org, 4, 1);
    broken.cost_pico = "-1".to_owned();
    let refused = ledger.ship(ship(vec![broken])).await;
    assert_eq!(code(refused), Code::InvalidArgument);
    let release = wire::ReleaseLeaseRequest {
        node_id: "edge-1".to_owned(),
        boot_epoch: 1,
        org,
        release_id: "release-1".to_owned(),
        amount_pico: usd(1),
        ..wire::ReleaseLeaseRequest::default()
    };
    for _ in 0..2 {
        body(ledger.release_lease(release.clone()).await);
    }
    let ledger = &plane.running.parts.ledger;
    let totals = ledger.totals().await.unwrap()[&plane.org()];
    assert_eq!(totals.available.to_string(), "7");
    assert_eq!(totals.used.to_string(), "3");
    assert_eq!(totals.leased, Amount::ZERO);
    let verdict = ledger.verify().await.unwrap();
    assert_eq!(verdict.problems, Vec::<String>::new());
    plane.stop().await;
}

#[tokio::test]
async fn an_organisation_without_money_gets_no_lease() {
    let plane = Plane::start().await;
    let edge = caller().pair(plane.edge()).connect(&plane).await.unwrap();
    let acquire = wire::AcquireLeaseRequest {
        window: String::new(),
        node_id: "edge-1".to_owned(),
        boot_epoch: 1,
        org: "org_poor".to_owned(),
        lease_id: "lease-1".to_owned(),
        wanted_pico: usd(4),
        least_pico: "1".to_owned(),
        ..wire::AcquireLeaseRequest::default()
    };
    let lease = body(edge.ledger().acquire_lease(acquire.clone()).await);
    assert_eq!((&*lease.granted_pico, &*lease.available_pico), ("0", "0"));
    let odd = wire::AcquireLeaseRequest {
        window: String::new(),
        wanted_pico: "1.5".to_owned(),
        ..acquire
    };
    let refused = edge.ledger().acquire_lease(odd).await;
    assert_eq!(code(refused), Code::InvalidArgument);
    plane.stop().await;
}
