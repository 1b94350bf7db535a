//! What the analysis of a prompt costs: time and allocations for a short prompt and for 8 KiB of
//! prose, code and Chinese, of which the first 4 KiB are read and 1 KiB of the system's text.
//! `cargo bench -p shared --bench prompt`

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use shared::prompt::{Prompt, analyse};

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const BYTES: usize = 8 * 1024;
const SYSTEM: &str = "You are a careful assistant. Answer in the language of the question. ";

fn main() {
    divan::main();
}

fn long(piece: &str) -> String {
    piece.repeat(BYTES.div_ceil(piece.len()))
}

fn run(bencher: Bencher<'_, '_>, user: &str) {
    let system = long(SYSTEM);
    // The weights are read at first use.
    black_box(analyse(&Prompt::default()));
    bencher.counter(BytesCount::of_str(user)).bench(|| {
        analyse(black_box(&Prompt {
            user,
            system: &system,
            bytes: user.len() as u64,
            turns: 1,
            ..Prompt::default()
        }))
    });
}

#[divan::bench]
fn short(bencher: Bencher<'_, '_>) {
    run(bencher, "Translate to German: where is the station?");
}

#[divan::bench]
fn prose_8_kib(bencher: Bencher<'_, '_>) {
    let words = (0..1_500_u32)
        .map(|at| format!("word{} of a letter ", at.wrapping_mul(2_654_435_761) % 977));
    run(bencher, &words.collect::<String>());
}

#[divan::bench]
fn code_8_kib(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        &long("fn f(x: &[u8]) -> usize { x.iter().map(|b| *b as usize).sum() }\n"),
    );
}

#[divan::bench]
fn chinese_8_kib(bencher: Bencher<'_, '_>) {
    run(bencher, &long("请把下面的文章翻译成英文，并总结主要内容。"));
}
