//! What we made survives the wire; what we can't read is named.

use super::*;
use crate::catalog::Dialect;
use crate::id::{BootEpoch, EndpointId};
use crate::key::KeyHash;
use crate::money::Amount;
use crate::policy::{KeyKind, KeyPolicy, Principal};
use crate::proto::{discovery, ledger, telemetry};
use crate::ranking::{
    Percentiles, Portion, ProbeLease, RankingDelta, RankingRow, RankingTable, State,
};
use crate::record::{Outcome, Particulars, Tried, UsageRecord};
use crate::snapshot::Resource;
use crate::snapshot::tests::catalog;
use crate::usage::Usage;
use crate::window::Report;
use crate::window::tests::window;
use proptest::prelude::*;

#[test]
fn catalogue_resources_round_trip() {
    let mut catalog = catalog(3, 2, 2);
    let row = crate::catalog::AutoRow {
        task: "a task of a newer build".to_owned(),
        tier: crate::catalog::CostTier::Xhigh,
        models: vec!["m1/x".into()],
    };
    let (classifier, rows) = (7, vec![row]);
    catalog.auto = Some(std::sync::Arc::new(crate::catalog::AutoTable {
        classifier,
        rows,
    }));
    let (snapshot, rejected) =
        crate::snapshot::Snapshot::from_catalog(Version::default(), &catalog)
            .map(|snapshot| (snapshot, 0))
            .unwrap_or_default();
    assert_eq!(rejected, 0);
    assert!(snapshot.resource_count() > 5);
    for resource in snapshot.resources() {
        let wire = discovery::Resource::from(&resource);
        assert_eq!(Resource::try_from(wire), Ok(resource));
    }
}

#[test]
fn an_unreadable_resource_is_named_and_kept() {
    let resource = Resource::Provider(catalog(1, 1, 1).providers[0].clone());
    let mut wire = discovery::Resource::from(&resource);
    let name = wire.name.clone();
    if let Some(discovery::resource::Body::Provider(provider)) = &mut wire.body {
        provider.dialect = "telepathy".to_owned();
    }
    let rejected = Resource::try_from(wire.clone()).unwrap_err();
    assert_eq!(rejected.resource, name);
    assert_eq!(rejected.reason, "dialect: unknown value \"telepathy\"");
    let kept = Resource::read(wire.clone());
    assert_eq!(discovery::Resource::from(&kept), wire);

    let mut lying = discovery::Resource::from(&resource);
    lying.name = "provider/another".to_owned();
    assert!(
        Resource::try_from(lying)
            .unwrap_err()
            .reason
            .contains(&name)
    );
    assert!(Dialect::parse("telepathy").is_none());
}

#[test]
fn a_bad_price_is_refused_with_its_field() {
    let resource = Resource::Endpoint(catalog(1, 1, 1).endpoints[0].clone());
    let mut wire = discovery::Resource::from(&resource);
    if let Some(discovery::resource::Body::Endpoint(endpoint)) = &mut wire.body {
        endpoint.pricing.as_mut().unwrap().completion = "-1".to_owned();
    }
    let reason = Resource::try_from(wire).unwrap_err().reason;
    assert_eq!(reason, "pricing.completion: negative");
}

#[test]
fn a_principal_round_trips_and_a_broken_policy_is_no_free_pass() {
    let principal = Principal {
        org: "org_1".into(),
        key: KeyHash::of("sk"),
        key_name: "ci".to_owned(),
        kind: KeyKind::Inference,
        expires_at: Some(9),
        policy: KeyPolicy {
            limit: Some(Amount(5)),
            allowed_models: vec!["a/b".into()],
            zdr: true,
            ..KeyPolicy::default()
        },
    };
    let wire = discovery::KeyRecord::from(&principal);
    assert_eq!(Principal::try_from(wire.clone()), Ok(principal));
    for json in ["", "{", "{\"zdr\": 3}"] {
        let mut broken = wire.clone();
        broken.policy_json = json.to_owned();
        assert!(Principal::try_from(broken).is_err(), "{json}");
    }
}

fn particulars() -> Particulars {
    Particulars {
        session: "s".to_owned(),
        user: "u".to_owned(),
        referer: "https://app.example/page".to_owned(),
        title: "t".to_owned(),
        agent: "a/1".to_owned(),
        tier: "flex".to_owned(),
        media: 2,
        sounds: 1,
        cache_discount: Amount(-7),
        tried: vec![Tried {
            endpoint: "a/b@p".into(),
            provider: "p".into(),
            status: 429,
            latency_ms: 12,
            own_key: true,
        }],
    }
}

#[test]
fn a_usage_record_round_trips() {
    let record = UsageRecord {
        sequence: 4,
        generation: "gen-1".into(),
        org: "org_1".into(),
        key: KeyHash::of("sk"),
        outcome: Outcome::Suspense,
        held: Amount(i128::from(u64::MAX) * 9),
        cost: Amount(7),
        api: "chat".to_owned(),
        requested_model: "a/b:nitro".to_owned(),
        model: Some("a/b".into()),
        endpoint: None,
        provider: Some("p".into()),
        price_version: Version {
            epoch: 1,
            number: 2,
        },
        usage: Usage {
            prompt: 1,
            cache_read: 2,
            cache_write: 3,
            cache_write_1h: 4,
            prompt_audio: 5,
            prompt_free: 11,
            completion: 6,
            reasoning: 7,
            completion_audio: 8,
            completion_image: 9,
            completion_free: 12,
            prompt_image: 13,
            web_searches: 10,
            search_units: 14,
            images: 15,
            maps: 16,
            citations: 17,
            fetches: 18,
            file_searches: 19,
            code_runs: 20,
            estimated: true,
        },
        streamed: true,
        finish_reason: "stop".to_owned(),
        fault: Some("provider".to_owned()),
        started_unix_ms: 11,
        duration_ms: 12,
        ttft_ms: 13,
        attempts: 14,
        upstream_id: "x".to_owned(),
        windows: vec!["key:ab:daily:86400".parse().unwrap()],
        fee_ppm: 16,
        own_key: true,
        flags: vec!["flag:email".to_owned(), "redact:PROJECT".to_owned()],
        on_credit: Amount(5),
        fee_free: Amount(6),
        particulars: particulars(),
    };
    let wire = ledger::UsageRecord::from(&record);
    assert_eq!(UsageRecord::try_from(wire.clone()), Ok(record));
    let mut negative = wire;
    negative.cost_pico = "-1".to_owned();
    assert!(UsageRecord::try_from(negative).is_err());
}

fn percentiles() -> impl Strategy<Value = Percentiles> {
    any::<[u32; 4]>().prop_map(|[p50, p75, p90, p99]| Percentiles { p50, p75, p90, p99 })
}

pub(crate) fn row() -> impl Strategy<Value = RankingRow> {
    let states = prop::sample::select(State::ALL);
    (
        any::<([u16; 4], [u16; 4], [u8; 4])>(),
        states,
        (percentiles(), percentiles()),
        any::<(u32, u32, u16, u16, u32, u16)>(),
        prop::option::of(any::<u32>()),
    )
        .prop_map(
            |((share, long_run, behind), state, speeds, numbers, probe)| RankingRow {
                share,
                long_run,
                behind,
                state,
                ttft_ms: speeds.0,
                ttft_ms_p95: numbers.0,
                throughput_tenths: speeds.1,
                failure: numbers.2,
                tool_failure: numbers.3,
                cap: numbers.1,
                token_cap: numbers.4,
                part: numbers.5,
                probe: probe.map(|number| ProbeLease {
                    node: "edge-1".into(),
                    number,
                }),
            },
        )
}

fn table(number: u64) -> impl Strategy<Value = RankingTable> {
    let rows = prop::collection::btree_map("[a-f]", row(), 0..5);
    let models = prop::collection::btree_map("[a-f]", 1_u32..1_000_000, 0..4);
    (rows, models, 0_u32..1_000_000).prop_map(move |(rows, models, usual)| RankingTable {
        version: Version { epoch: 1, number },
        generated_unix_ms: number,
        rows: rows
            .into_iter()
            .map(|(id, row)| (EndpointId::from(id), row))
            .collect(),
        portion: Portion {
            usual,
            models: models
                .into_iter()
                .map(|(id, part)| (id.into(), part))
                .collect(),
        },
    })
}

proptest! {
    #[test]
    fn reports_round_trip(a in window(), b in window(), alarming: bool) {
        let report = Report {
            node: "edge-1".into(),
            pop: "fra1".into(),
            region: "eu".into(),
            epoch: BootEpoch(7),
            sequence: 3,
            windows: vec![("m@a".into(), a), ("m@b".into(), b)],
            alarming,
        };
        let wire = telemetry::WindowReport::from(&report);
        prop_assert_eq!(Report::try_from(wire), Ok(report));
    }

    #[test]
    fn tables_survive_diff_wire_and_apply(old in table(1), new in table(2)) {
        let wire = discovery::RankingUpdate::from(&new.diff(&old));
        let delta = RankingDelta::try_from(wire).unwrap();
        prop_assert_eq!(&old.apply(delta).unwrap(), &new);
        let full = RankingDelta::try_from(discovery::RankingUpdate::from(&new)).unwrap();
        prop_assert_eq!(&old.apply(full).unwrap(), &new);
        let stray = new.diff(&RankingTable { version: Version { epoch: 9, number: 9 }, ..old.clone() });
        prop_assert!(old.apply(stray).is_err());
    }
}
