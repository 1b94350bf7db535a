//! A fold of changes equals a rebuild; the bad never blocks the good.

use super::*;
use crate::catalog::{Auth, DataPolicy, Dialect, Parameter, Pricing, Quantization};
use proptest::prelude::*;

/// `p0`, `p1` …; each of the models `m0/x` … is served by `each` of them, dearer each time.
pub(crate) fn catalog(providers: usize, models: usize, each: usize) -> Catalog {
    let mut catalog = Catalog {
        providers: (0..providers).map(|at| Arc::new(provider(at))).collect(),
        models: (0..models).map(|at| Arc::new(model(at))).collect(),
        endpoints: Vec::new(),
        auto: None,
    };
    for model in 0..models {
        for provider in 0..each.min(providers) {
            let endpoint = endpoint(model, provider, &format!("p{provider}"));
            catalog.endpoints.push(Arc::new(endpoint));
        }
    }
    catalog
}

pub(crate) fn provider(at: usize) -> Provider {
    let url = format!("http://127.0.0.1:{}/v1", 9100 + at);
    Provider {
        name: format!("Provider {at}"),
        auth: Auth::Bearer,
        api_key_env: Some(format!("P{at}_API_KEY")),
        regions: vec!["us-east".to_owned()],
        data_policy: DataPolicy {
            training: false,
            retention_days: Some(0),
        },
        ..Provider::new(format!("p{at}"), Dialect::OpenaiChat, url)
    }
}

pub(crate) fn model(at: usize) -> Model {
    Model {
        name: format!("Model {at}"),
        created: 1,
        canonical_slug: Some(format!("m{at}/x-2026")),
        ..Model::new(format!("m{at}/x"), 131_072)
    }
}

pub(crate) fn endpoint(of: usize, provider: usize, tag: &str) -> Endpoint {
    let of = model(of);
    let price = |text: String| text.parse().unwrap();
    Endpoint {
        id: EndpointId::of(&of.id, tag),
        tag: tag.to_owned(),
        provider_model: "x".to_owned(),
        max_completion_tokens: Some(8192),
        quantization: Quantization::Fp8,
        supported_parameters: vec![Parameter::Temperature, Parameter::Tools],
        pricing: Pricing {
            prompt: price(format!("0.000000{}", provider + 1)),
            completion: price(format!("0.000001{}", provider + 1)),
            ..Pricing::default()
        },
        ..Endpoint::new(&of, &format!("p{provider}").into())
    }
}

fn version(number: u64) -> Version {
    Version { epoch: 1, number }
}

fn same(a: &Snapshot, b: &Snapshot) -> bool {
    let lists = a.providers() == b.providers()
        && a.models() == b.models()
        && a.endpoints() == b.endpoints();
    lists && a.root() == b.root() && a.resource_count() == b.resource_count()
}

#[test]
fn look_ups_agree_with_the_lists() {
    let snapshot = Snapshot::from_catalog(version(1), &catalog(12, 3, 4)).unwrap();
    assert_eq!(snapshot.resource_count(), 12 + 3 + 12);
    for provider in snapshot.providers() {
        assert_eq!(snapshot.provider(provider.slug.as_str()), Some(provider));
    }
    for model in snapshot.models() {
        assert_eq!(snapshot.model(model.id.as_str()), Some(model));
        let alias = model.canonical_slug.as_deref().unwrap();
        assert_eq!(snapshot.model(alias), Some(model));
        let of_model = snapshot.endpoints_of(model.id.as_str());
        assert_eq!(of_model.len(), 4);
        for index in of_model {
            let endpoint = snapshot.endpoint(*index).unwrap();
            assert_eq!(endpoint.model, model.id);
            assert_eq!(snapshot.index_of(&endpoint.id), Some(*index));
        }
    }
    assert!(snapshot.endpoints_of("nobody/nothing").is_empty());
}

#[test]
fn a_bad_resource_is_named_and_blocks_no_other() {
    let mut catalog = catalog(2, 2, 2);
    let mut orphan = endpoint(0, 7, "p7");
    catalog.endpoints.push(Arc::new(orphan.clone()));
    let mut odd = provider(8);
    odd.base_url = "ftp://x".to_owned();
    catalog.providers.push(Arc::new(odd));
    let rejected = Snapshot::from_catalog(version(1), &catalog).unwrap_err();
    let names: Vec<_> = rejected.iter().map(|it| it.resource.as_str()).collect();
    assert_eq!(names, ["provider/p8", "endpoint/m0/x@p7"]);
    assert!(rejected[1].reason.contains("no such provider"));

    let resource = Resource::Endpoint(Arc::new(orphan.clone()));
    let good = Snapshot::from_catalog(version(1), &super::tests::catalog(2, 2, 2)).unwrap();
    let (held, rejected) = good.apply(version(2), vec![resource], &[]);
    assert_eq!(rejected.len(), 1);
    assert_eq!(held.endpoints().len(), 4);
    // What it lacked comes later: it is served without being sent again.
    let missing = Resource::Provider(Arc::new(provider(7)));
    let (healed, rejected) = held.apply(version(3), vec![missing], &[]);
    assert_eq!(rejected, []);
    assert_eq!(healed.endpoints().len(), 5);

    orphan.id = "m0/x@other".into();
    let (_, rejected) = good.apply(version(2), vec![Resource::Endpoint(Arc::new(orphan))], &[]);
    assert!(rejected[0].reason.contains("is not model@tag"));
}

#[test]
fn a_name_given_twice_is_refused_once() {
    let twice = vec![
        Resource::Provider(Arc::new(provider(1))),
        Resource::Provider(Arc::new(provider(1))),
    ];
    let (snapshot, rejected) = Snapshot::from_resources(version(1), twice);
    assert_eq!((snapshot.providers().len(), rejected.len()), (1, 1));
}

#[test]
fn a_table_that_names_unknown_models_is_refused_and_blocks_nothing() {
    let table = |model: &str| {
        let row = crate::catalog::AutoRow {
            task: "default".to_owned(),
            tier: crate::catalog::CostTier::Low,
            models: vec![model.into()],
        };
        let (classifier, rows) = (1, vec![row]);
        Resource::Auto(Arc::new(crate::catalog::AutoTable { classifier, rows }))
    };
    let good = Snapshot::from_catalog(version(1), &catalog(2, 2, 2)).unwrap();
    let (with, rejected) = good.apply(version(2), vec![table("m1/x")], &[]);
    assert!(rejected.is_empty() && with.auto().is_some());
    let (without, rejected) = good.apply(version(2), vec![table("m9/x")], &[]);
    assert!(rejected[0].reason.contains("there is no model"));
    assert_eq!(
        (rejected[0].resource.as_str(), without.auto()),
        (AUTO_NAME, None)
    );
    assert_eq!(without.endpoints().len(), 4);
    assert_eq!(
        with.apply(version(3), vec![], &[AUTO_NAME.to_owned()])
            .0
            .auto(),
        None
    );
}

fn some_catalog() -> impl Strategy<Value = Vec<Resource>> {
    let endpoint = (0_usize..4, 0_usize..6, 0_usize..3).prop_map(|(model, at, dearer)| {
        let mut endpoint = endpoint(model, at, &format!("p{at}"));
        endpoint.context_length += dearer as u64;
        Resource::Endpoint(Arc::new(endpoint))
    });
    let provider = (0_usize..6, 0_usize..3).prop_map(|(at, port)| {
        let mut provider = provider(at);
        provider.base_url = format!("http://127.0.0.1:{port}");
        Resource::Provider(Arc::new(provider))
    });
    let model = (0_usize..4).prop_map(|at| Resource::Model(Arc::new(model(at))));
    prop::collection::vec(prop_oneof![endpoint, provider, model], 0..24).prop_map(|all| {
        let by_name: BTreeMap<_, _> = all.into_iter().map(|it| (it.name(), it)).collect();
        by_name.into_values().collect()
    })
}

proptest! {
    #[test]
    fn applying_the_difference_gives_the_rebuild(
        first in some_catalog(), second in some_catalog(), third in some_catalog(),
    ) {
        let (a, _) = Snapshot::from_resources(version(1), first);
        let (b, refused_b) = Snapshot::from_resources(version(2), second);
        let (c, _) = Snapshot::from_resources(version(3), third);
        let (upserts, removals) = a.diff(&b);
        let (applied, refused) = a.apply(version(2), upserts, &removals);
        prop_assert!(same(&applied, &b));
        prop_assert_eq!(refused, refused_b);
        let (upserts, removals) = applied.diff(&c);
        let (applied, _) = applied.apply(version(3), upserts, &removals);
        prop_assert!(same(&applied, &c));
        prop_assert_eq!(c.diff(&applied), (vec![], vec![]));
        prop_assert_eq!(applied.version(), version(3));
    }

    #[test]
    fn the_root_tells_every_difference(first in some_catalog(), second in some_catalog()) {
        let (a, _) = Snapshot::from_resources(version(1), first.clone());
        let (b, _) = Snapshot::from_resources(version(1), second.clone());
        prop_assert_eq!(a.root() == b.root(), first == second);
    }

    #[test]
    fn every_endpoint_served_has_its_provider_and_model(all in some_catalog()) {
        let (snapshot, rejected) = Snapshot::from_resources(version(1), all);
        for endpoint in snapshot.endpoints() {
            prop_assert!(snapshot.provider(endpoint.provider.as_str()).is_some());
            prop_assert!(snapshot.model(endpoint.model.as_str()).is_some());
        }
        let served = snapshot.providers().len() + snapshot.models().len() + snapshot.endpoints().len();
        prop_assert_eq!(served + rejected.len(), snapshot.resource_count());
    }
}
