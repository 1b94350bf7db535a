//! What ranking costs at the control plane: 100 edges in 25 points of presence and 5 regions, 2,000
//! endpoints of 250 models, all of them used by all edges in every second. `tick` is what the
//! ranker does each second, `merge` is one edge's report. `cargo bench -p shared --bench ranking`
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use divan::{Bencher, black_box};
use mimalloc::MiMalloc;
use shared::catalog::file;
use shared::clock::Moment;
use shared::id::{BootEpoch, EndpointId, Version};
use shared::ranking::Fleet;
use shared::snapshot::Snapshot;
use shared::window::{Observation, Outcome, Report, Window};
use std::fmt::Write;
use std::time::Duration;

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EDGES: usize = 100;
const MODELS: usize = 250;
const PROVIDERS: usize = 8;
/// Until windows are full, and caps and states have come to rest.
const WARM_UP_SECONDS: u64 = 60;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 20)]
fn tick(bencher: Bencher<'_, '_>) {
    let mut world = World::new();
    for _ in 0..WARM_UP_SECONDS {
        world.report_all();
        world.tick();
    }
    let world = std::cell::RefCell::new(world);
    bencher
        .with_inputs(|| world.borrow_mut().report_all())
        .bench_local_values(|()| world.borrow_mut().tick());
}

/// Nothing is told of most endpoints in most seconds.
#[divan::bench(sample_count = 20)]
fn tick_with_one_endpoint_of_ten_used(bencher: Bencher<'_, '_>) {
    let mut world = World::new();
    world.used = 10;
    for _ in 0..WARM_UP_SECONDS {
        world.report_all();
        world.tick();
    }
    let world = std::cell::RefCell::new(world);
    bencher
        .with_inputs(|| world.borrow_mut().report_all())
        .bench_local_values(|()| world.borrow_mut().tick());
}

#[divan::bench(sample_count = 100)]
fn merge(bencher: Bencher<'_, '_>) {
    let mut world = World::new();
    world.report_all();
    world.tick();
    let world = std::cell::RefCell::new(world);
    bencher
        .with_inputs(|| world.borrow_mut().next_report(0))
        .bench_local_values(|report| {
            let mut world = world.borrow_mut();
            let now = world.now;
            black_box(world.fleet.merge(&report, now))
        });
}

struct World {
    fleet: Fleet,
    snapshot: Snapshot,
    ids: Vec<EndpointId>,
    now: Moment,
    second: u64,
    sequence: u64,
    random: fastrand::Rng,
    /// One endpoint of so many is used in a second.
    used: usize,
}

impl World {
    fn new() -> Self {
        let catalog = file::parse(&[("all.toml".to_owned(), catalog())].into()).unwrap();
        let snapshot = Snapshot::from_catalog(Version::default(), &catalog).unwrap();
        let ids = snapshot.endpoints().iter().map(|it| it.id.clone());
        Self {
            fleet: Fleet::default(),
            ids: ids.collect(),
            snapshot,
            now: Moment::default(),
            second: 0,
            sequence: 0,
            random: fastrand::Rng::with_seed(7),
            used: 1,
        }
    }

    fn tick(&mut self) {
        self.second += 1;
        self.now = Moment::default().plus(Duration::from_secs(self.second));
        let version = Version {
            epoch: 1,
            number: self.second,
        };
        black_box(self.fleet.tick(&self.snapshot, self.now, 0, version));
    }

    fn report_all(&mut self) {
        for edge in 0..EDGES {
            let report = self.next_report(edge);
            self.fleet.merge(&report, self.now);
        }
    }

    fn next_report(&mut self, edge: usize) -> Report {
        self.sequence += 1;
        let used = self.used;
        let first = self.random.usize(..used);
        let ids = self.ids.clone();
        let ids = ids.into_iter().skip(first).step_by(used);
        Report {
            node: format!("edge-{edge}").into(),
            pop: format!("pop-{}", edge / 4).into(),
            region: format!("region-{}", edge / 20).into(),
            epoch: BootEpoch(1),
            sequence: self.sequence,
            windows: ids.map(|id| (id, self.window())).collect(),
            alarming: false,
        }
    }

    fn window(&mut self) -> Window {
        let mut window = Window::default();
        for _ in 0..2 {
            let failed = self.random.u32(..200) == 0;
            let outcome = if failed {
                Outcome::HardFail
            } else {
                Outcome::Ok
            };
            let ttft = self.random.u64(300..900);
            window.record(&Observation {
                ttft: (!failed).then(|| Duration::from_millis(ttft)),
                tokens_per_second: (!failed).then(|| 40.0 + 60.0 * self.random.f64()),
                first_attempt: true,
                ..Observation::of(outcome)
            });
        }
        window
    }
}

fn catalog() -> String {
    let mut text = String::new();
    for provider in 0..PROVIDERS {
        write!(
            text,
            "[[providers]]\nslug = \"p{provider}\"\nname = \"P{provider}\"\n\
             dialect = \"openai-chat\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
             api_key_env = \"KEY\"\nlimits = {{ requests_per_minute = 60000 }}\n"
        )
        .unwrap();
    }
    for model in 0..MODELS {
        write!(
            text,
            "[[models]]\nid = \"lab/model-{model}\"\nname = \"M{model}\"\ncreated = 1\n\
             context_length = 131072\ninput_modalities = [\"text\"]\n\
             output_modalities = [\"text\"]\ntokenizer = \"Other\"\n"
        )
        .unwrap();
        for provider in 0..PROVIDERS {
            write!(
                text,
                "[[endpoints]]\nmodel = \"lab/model-{model}\"\nprovider = \"p{provider}\"\n\
                 provider_model = \"x\"\ncontext_length = 131072\nquantization = \"fp8\"\n\
                 supported_parameters = []\n\
                 pricing = {{ prompt = \"0.00000{}\", completion = \"0.0000{}\" }}\n",
                provider + 1,
                provider + 1
            )
            .unwrap();
        }
    }
    text
}
