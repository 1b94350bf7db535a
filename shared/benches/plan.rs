//! What a decision costs: nanoseconds and allocations of `plan` with the whole shipped catalogue
//! loaded, for a model that eight endpoints serve, with a board that has seen all of them.
//! `cargo bench -p shared --bench plan`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark may panic")]

use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use shared::catalog::{Provider, file};
use shared::clock::Moment;
use shared::health::{Board, Departure, Handle};
use shared::id::Version;
use shared::key::KeyHash;
use shared::policy::{KeyKind, KeyPolicy, Principal};
use shared::ranking::{Mode, Percentiles, RankingRow, RankingTable, share_u16};
use shared::routing::{Demand, View, plan};
use shared::snapshot::Snapshot;
use shared::window::Outcome;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    divan::main();
}

const CANDIDATES: usize = 8;

/// A node in the middle of its work.
struct Scene {
    view: View,
    board: Board,
    principal: Principal,
    demand: Demand,
    now: Moment,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
        let catalog = file::parse(&file::read_dir(&folder).unwrap()).unwrap();
        let snapshot = Snapshot::from_catalog(Version::default(), &catalog).unwrap();
        let rows = snapshot.endpoints().iter().map(|endpoint| {
            let row = RankingRow {
                share: [share_u16(1.0 / 8.0); 4],
                ttft_ms: Percentiles {
                    p50: 400,
                    p75: 500,
                    p90: 700,
                    p99: 2000,
                },
                ttft_ms_p95: 900,
                cap: 50_000,
                ..RankingRow::default()
            };
            (endpoint.id.clone(), row)
        });
        let mut ranking = RankingTable {
            rows: rows.collect(),
            ..RankingTable::default()
        };
        ranking.portion.usual = 100_000;
        let now = Moment::default().plus(Duration::from_secs(100));
        let board = Board::default();
        for (at, endpoint) in snapshot.endpoints().iter().enumerate() {
            let handle = Handle::of(&endpoint.id);
            board.departed(handle, &Departure::default(), now);
            board.answered(handle, Some(Duration::from_millis(400)), now);
            if at % 5 == 0 {
                board.observe(handle, &Outcome::HardFail, now, 0.5);
            }
        }
        let demand = Demand {
            mode,
            prompt_tokens: 700,
            ..Demand::default()
        };
        let mut scene = Self {
            view: View::new(Arc::new(snapshot), Arc::new(ranking)).received_at(now),
            board,
            principal: principal(),
            demand,
            now: now.plus(Duration::from_millis(500)),
        };
        scene.demand.model = scene.model();
        scene
    }

    /// The first model with exactly as many candidates.
    fn model(&self) -> String {
        let fits = |id: &str| {
            let demand = Demand {
                model: id.to_owned(),
                ..Demand::default()
            };
            let made = plan(
                &self.view,
                &self.board,
                &|_: &Provider| true,
                &self.principal,
                &demand,
                self.now,
                1,
            );
            made.is_ok_and(|plan| plan.candidates.len() == CANDIDATES && plan.excluded.is_empty())
        };
        let mut models = self.view.snapshot.models().iter();
        let model = models.find(|model| fits(model.id.as_str()));
        model
            .unwrap_or_else(|| panic!("no model has {CANDIDATES} candidates"))
            .id
            .to_string()
    }
}

fn principal() -> Principal {
    Principal {
        org: "org".into(),
        key: KeyHash([0; 32]),
        key_name: String::new(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}

/// Drawn by share, as nearly all requests are.
#[divan::bench(args = [Mode::Balanced, Mode::Latency], sample_count = 2000, sample_size = 50)]
fn eight_candidates(bencher: Bencher<'_, '_>, mode: Mode) {
    let scene = Scene::new(mode);
    let mut seed = 0_u64;
    bencher.bench_local(|| {
        seed += 1;
        plan(
            black_box(&scene.view),
            black_box(&scene.board),
            &|_: &Provider| true,
            &scene.principal,
            black_box(&scene.demand),
            scene.now,
            seed,
        )
    });
}

/// What is left is drawn again after a failure.
#[divan::bench(sample_count = 2000, sample_size = 50)]
fn drawn_again(bencher: Bencher<'_, '_>) {
    let scene = Scene::new(Mode::Balanced);
    let made = plan(
        &scene.view,
        &scene.board,
        &|_: &Provider| true,
        &scene.principal,
        &scene.demand,
        scene.now,
        1,
    );
    let mut made = made.unwrap();
    drop(made.take(|_| true));
    bencher.bench_local(|| {
        made.arrange(black_box(&scene.view), black_box(&scene.board), scene.now);
    });
}

/// How long to wait for the first candidate.
#[divan::bench(sample_count = 2000, sample_size = 50)]
fn patience(bencher: Bencher<'_, '_>) {
    let scene = Scene::new(Mode::Balanced);
    let made = plan(
        &scene.view,
        &scene.board,
        &|_: &Provider| true,
        &scene.principal,
        &scene.demand,
        scene.now,
        1,
    );
    let first = made.unwrap().take(|_| true).unwrap();
    bencher.bench_local(|| scene.view.patience(black_box(&first), &scene.demand, true));
}
