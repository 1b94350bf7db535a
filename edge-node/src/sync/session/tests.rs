//! The session against a model control plane whose messages are lost, repeated and reordered.

use super::*;
use proptest::prelude::*;
use shared::catalog::{Catalog, Dialect, Endpoint, Model, Provider};
use shared::id::{EndpointId, ProviderSlug, Version};
use shared::manifest::Signer;

fn catalog(models: &[u32]) -> Catalog {
    let provider = Provider::new("acme", Dialect::OpenaiChat, "http://127.0.0.1:1/v1");
    let models = models
        .iter()
        .map(|n| Model::new(format!("acme/m{n:05}"), 1000));
    let models: Vec<_> = models.map(Arc::new).collect();
    let endpoint = |model: &Arc<Model>| Arc::new(Endpoint::new(model, &provider.slug));
    Catalog {
        endpoints: models.iter().map(endpoint).collect(),
        providers: vec![Arc::new(provider)],
        models,
        auto: None,
    }
}

fn snapshot(number: u64, models: &[u32]) -> Snapshot {
    Snapshot::from_catalog(Version { epoch: 1, number }, &catalog(models)).unwrap()
}

fn full(signer: &Signer, snapshot: &Snapshot) -> wire::AuthorityUpdate {
    wire::AuthorityUpdate {
        manifest: Some((&signer.sign(snapshot)).into()),
        base: None,
        upserts: snapshot
            .resources()
            .map(|resource| (&resource).into())
            .collect(),
        removals: Vec::new(),
    }
}

fn delta(signer: &Signer, old: &Snapshot, new: &Snapshot) -> wire::AuthorityUpdate {
    let (upserts, removals) = old.diff(new);
    wire::AuthorityUpdate {
        manifest: Some((&signer.sign(new)).into()),
        base: Some(old.version().into()),
        upserts: upserts.iter().map(Into::into).collect(),
        removals,
    }
}

fn fresh() -> (Signer, Session) {
    let (signer, _) = Signer::generate().unwrap();
    let session = Session::new(vec![signer.public_key()], Guard::default());
    (signer, session)
}

fn push(session: &mut Session, update: wire::AuthorityUpdate) -> Result<Adopted, &'static str> {
    let view = View::new(Arc::new(session.snapshot().clone()), Arc::default());
    session
        .authority(update, &view)
        .map_err(|refusal| refusal.label)
}

#[test]
fn only_a_trusted_signature_over_the_content_is_taken() {
    let (signer, mut session) = fresh();
    let table = snapshot(1, &[1, 2]);
    let (stranger, _) = Signer::generate().unwrap();
    assert_eq!(
        push(&mut session, full(&stranger, &table)).unwrap_err(),
        "signer"
    );
    let mut tampered = full(&signer, &table);
    tampered.upserts.pop();
    assert_eq!(push(&mut session, tampered).unwrap_err(), "root");
    let mut forged = full(&signer, &table);
    if let Some(manifest) = &mut forged.manifest {
        manifest.root = vec![0; 32];
    }
    assert_eq!(push(&mut session, forged).unwrap_err(), "signature");
    assert_eq!(session.snapshot().resource_count(), 0);
    assert!(!push(&mut session, full(&signer, &table)).unwrap().unchanged);
    assert!(push(&mut session, full(&signer, &table)).unwrap().unchanged);
}

#[test]
fn versions_never_go_back_and_big_tables_do_not_vanish() {
    let (signer, mut session) = fresh();
    let many: Vec<u32> = (0..200).collect();
    push(&mut session, full(&signer, &snapshot(2, &many))).unwrap();
    assert_eq!(
        push(&mut session, full(&signer, &snapshot(1, &many))).unwrap_err(),
        "version"
    );
    let nothing = Snapshot::from_resources(
        Version {
            epoch: 1,
            number: 3,
        },
        Vec::new(),
    )
    .0;
    assert_eq!(
        push(&mut session, full(&signer, &nothing)).unwrap_err(),
        "empty"
    );
    assert_eq!(
        push(&mut session, full(&signer, &snapshot(3, &[1]))).unwrap_err(),
        "shrunk"
    );
    assert_eq!(session.snapshot().version().number, 2);
    push(&mut session, full(&signer, &snapshot(4, &many[..100]))).unwrap();
}

#[test]
fn a_bad_resource_is_named_and_the_good_ones_are_used() {
    let (signer, mut session) = fresh();
    let mut wrong = catalog(&[1, 2]);
    wrong.endpoints.push(Arc::new(Endpoint {
        provider: ProviderSlug::from("nobody"),
        id: EndpointId::from("acme/m00001@nobody"),
        tag: "nobody".into(),
        ..(*wrong.endpoints[0]).clone()
    }));
    let resources = wrong.providers.iter().cloned().map(Resource::Provider);
    let resources = resources.chain(wrong.models.iter().cloned().map(Resource::Model));
    let resources = resources.chain(wrong.endpoints.iter().cloned().map(Resource::Endpoint));
    let version = Version {
        epoch: 1,
        number: 1,
    };
    let (table, _) = Snapshot::from_resources(version, resources.collect());
    let adopted = push(&mut session, full(&signer, &table)).unwrap();
    assert_eq!(adopted.rejected.len(), 1);
    assert_eq!(adopted.rejected[0].resource, "endpoint/acme/m00001@nobody");
    assert_eq!(session.snapshot().endpoints().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, repeated or reordered on the way: what the edge holds is always one of
    /// the versions that were made, whole, and never older than what it held before.
    #[test]
    fn any_schedule_leaves_a_whole_table(
        tables in prop::collection::vec(prop::collection::btree_set(0_u32..40, 1..20), 2..8),
        schedule in prop::collection::vec((0_usize..8, 0_usize..8, any::<bool>()), 1..40),
    ) {
        let (signer, mut session) = fresh();
        let made: Vec<Snapshot> = tables
            .iter()
            .zip(1_u64..)
            .map(|(models, number)| snapshot(number, &models.iter().copied().collect::<Vec<_>>()))
            .collect();
        let mut before = Version::default();
        for (from, to, as_delta) in schedule {
            let (from, to) = (&made[from % made.len()], &made[to % made.len()]);
            let update = if as_delta { delta(&signer, from, to) } else { full(&signer, to) };
            let _ = push(&mut session, update);
            let held = session.snapshot();
            prop_assert!(held.version() >= before);
            before = held.version();
            if before.number > 0 {
                let origin = &made[usize::try_from(before.number).unwrap() - 1];
                prop_assert_eq!(held.root(), origin.root());
            }
        }
    }
}
