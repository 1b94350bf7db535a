//! A session and an edge that meet every schedule: updates and words are delayed, streams break,
//! tables are refused whole and in part. Whatever happens, a change is only ever sent from what the
//! edge holds, and in the end the edge holds what is newest.

use super::session::Session;
use crate::registry::Published;
use crate::testing::{self, catalog};
use proptest::prelude::*;
use shared::catalog::file;
use shared::clock::Moment;
use shared::id::Version;
use shared::manifest::Signer;
use shared::proto::discovery as wire;
use shared::proto::pushed::control_message::Body;
use shared::snapshot::{Resource, Snapshot};
use std::collections::VecDeque;
use std::sync::Arc;

const PROVIDERS: [&str; 4] = ["acme", "beta", "gamma", "delta"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A new version, with the providers of this mask.
    Publish(u8),
    /// The control plane looks for something to send.
    Pump,
    /// The edge takes the next update and judges it.
    Deliver(Verdict),
    /// The control plane hears the edge's next word.
    Hear,
    /// The stream breaks; the edge comes back, known or not.
    Reconnect(bool),
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Accept,
    Refuse,
    RefuseInPart,
}

#[derive(Debug)]
enum Word {
    Ack(Version),
    Nack(Version),
}

struct World {
    signer: Signer,
    newest: Arc<Published>,
    session: Session,
    updates: VecDeque<wire::AuthorityUpdate>,
    words: VecDeque<Word>,
    held: Snapshot,
}

impl World {
    fn new() -> Self {
        let signer = testing::signer();
        let newest = publish(&signer, 1, 1);
        Self {
            signer,
            newest,
            session: Session::new(None, 0, Moment(0)),
            updates: VecDeque::new(),
            words: VecDeque::new(),
            held: Snapshot::empty(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(mask) => {
                let number = self.newest.snapshot.version().number + 1;
                self.newest = publish(&self.signer, number, mask);
            }
            Step::Pump => self.pump(),
            Step::Deliver(verdict) => self.deliver(verdict),
            Step::Hear => match self.words.pop_front() {
                Some(Word::Ack(version)) => {
                    self.session.acked(version, Moment(0));
                }
                Some(Word::Nack(version)) => self.session.nacked(version),
                None => {}
            },
            Step::Reconnect(known) => {
                self.updates.clear();
                self.words.clear();
                let held = (self.held.version(), self.held.clone());
                let holds = known && self.held.resource_count() > 0;
                self.session = Session::new(holds.then_some(held), 0, Moment(0));
            }
        }
    }

    fn pump(&mut self) {
        let update = self.session.authority(&self.newest, Moment(0));
        if let Some(Body::Authority(update)) = update.and_then(|update| update.read()) {
            self.updates.push_back(update);
        }
        assert!(
            self.updates.len() <= 1,
            "one update is on its way at a time"
        );
    }

    fn deliver(&mut self, verdict: Verdict) {
        let Some(update) = self.updates.pop_front() else {
            return;
        };
        let manifest = update.manifest.unwrap();
        let version = Version::from(manifest.version.unwrap());
        let resources = update.upserts.into_iter().map(Resource::read).collect();
        let next = match update.base {
            None => Snapshot::from_resources(version, resources).0,
            Some(base) => {
                assert_eq!(
                    Version::from(base),
                    self.held.version(),
                    "a base that is not held"
                );
                self.held.apply(version, resources, &update.removals).0
            }
        };
        assert_eq!(
            next.root().to_vec(),
            manifest.root,
            "what came is not what was signed"
        );
        if !matches!(verdict, Verdict::Accept) {
            self.words.push_back(Word::Nack(version));
        }
        if !matches!(verdict, Verdict::Refuse) {
            self.held = next;
            self.words.push_back(Word::Ack(version));
        }
    }

    /// Until nothing more happens.
    fn settle(&mut self) {
        for _ in 0..4 {
            for step in [
                Step::Pump,
                Step::Deliver(Verdict::Accept),
                Step::Hear,
                Step::Hear,
            ] {
                self.step(step);
            }
        }
    }
}

fn publish(signer: &Signer, number: u64, mask: u8) -> Arc<Published> {
    let chosen = PROVIDERS.iter().enumerate();
    let chosen = chosen
        .filter(|(at, _)| mask & (1 << at) != 0)
        .map(|(_, name)| *name);
    let catalog = file::parse(&catalog(&chosen.collect::<Vec<_>>())).unwrap();
    let version = Version { epoch: 1, number };
    let snapshot = Snapshot::from_catalog(version, &catalog).unwrap();
    let manifest = signer.sign(&snapshot);
    Arc::new(Published::new(snapshot, manifest, Moment(0)))
}

fn steps() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Accept),
        1 => Just(Verdict::Refuse),
        1 => Just(Verdict::RefuseInPart),
    ];
    prop_oneof![
        2 => (1_u8..16).prop_map(Step::Publish),
        4 => Just(Step::Pump),
        4 => verdict.prop_map(Step::Deliver),
        4 => Just(Step::Hear),
        1 => any::<bool>().prop_map(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_edge_ends_with_what_is_newest(schedule in prop::collection::vec(steps(), 0..60)) {
        let mut world = World::new();
        for step in schedule {
            world.step(step);
        }
        world.settle();
        // What was refused is not offered again, but the next version is.
        world.step(Step::Publish(5));
        world.settle();
        prop_assert_eq!(world.held.version(), world.newest.snapshot.version());
        prop_assert_eq!(world.held.root(), world.newest.snapshot.root());
    }
}
