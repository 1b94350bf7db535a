//! Says how good the prompt classifier is on prompts that it has not seen. `unseen.tsv` was written
//! after the rest and is never learned from; besides, each fifth of the labels is held out once,
//! which flatters, since the list of words was written beside them. The build trains on all labels and
//! words, with the same code. `cargo run --release -p shared --example train_prompts`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people"
)]

use shared::prompt::Task;
use shared::prompt::train::{Labelled, judge, read, read_words, train};
use std::collections::BTreeMap;

const FOLDS: usize = 5;
/// The most confusions that are shown.
const SHOWN: usize = 12;

/// What was told of prompts that were not learned from.
#[derive(Default)]
struct Tally {
    right: usize,
    all: usize,
    off: f32,
    confused: BTreeMap<(Task, Task), u32>,
}

impl Tally {
    fn test<'a>(&mut self, labels: impl Iterator<Item = &'a Labelled>, weights: &[f32]) {
        for label in labels {
            let said = judge(label, weights);
            self.all += 1;
            self.off += (said.difficulty - label.difficulty.unwrap_or(0.5)).abs();
            if said.task == label.task {
                self.right += 1;
            } else {
                *self.confused.entry((label.task, said.task)).or_default() += 1;
            }
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    fn show(self, what: &str) {
        let share = 100.0 * self.right as f64 / self.all as f64;
        let off = self.off / self.all as f32;
        println!(
            "{what}: {} of {} right ({share:.1} %)",
            self.right, self.all
        );
        println!("  difficulty off by {off:.2} on average, of 0..1");
        let mut confused: Vec<_> = self.confused.into_iter().collect();
        confused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for ((is, said), count) in confused.into_iter().take(SHOWN) {
            println!("  {} taken for {}: {count}", is.as_str(), said.as_str());
        }
    }
}

fn main() {
    let labels = read(include_str!("../src/prompt/labels.tsv")).unwrap();
    let words = read_words(include_str!("../src/prompt/words.tsv")).unwrap();
    let unseen = read(include_str!("../src/prompt/unseen.tsv")).unwrap();
    let (tasks, count) = (Task::LEARNED, labels.len());
    println!(
        "{tasks} tasks, {count} labelled prompts, {} words",
        words.len()
    );

    let mut tally = Tally::default();
    tally.test(unseen.iter(), &train(labels.iter().chain(&words)));
    tally.show("unseen");

    let mut tally = Tally::default();
    for fold in 0..FOLDS {
        let (held_out, kept): (Vec<_>, Vec<_>) =
            (labels.iter().enumerate()).partition(|(at, _)| at % FOLDS == fold);
        let kept = kept.into_iter().map(|(_, label)| label);
        let weights = train(kept.chain(&words));
        tally.test(held_out.into_iter().map(|(_, label)| label), &weights);
    }
    tally.show("each fifth of the labels held out once");
}
