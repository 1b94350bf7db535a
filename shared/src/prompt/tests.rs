//! The analysis of whole requests, and what the shipped weights are worth.

use super::train::{judge, read, read_words, train};
use super::*;

fn task_of(user: &str) -> Task {
    let prompt = Prompt {
        user,
        bytes: user.len() as u64,
        turns: 1,
        ..Prompt::default()
    };
    analyse(&prompt).unwrap().task
}

#[test]
fn plain_cases_are_told() {
    for (user, task) in [
        (
            "Translate to Spanish: where is the museum?",
            Task::Translate,
        ),
        ("Summarize this article in two sentences", Task::Summarize),
        ("Write a Python function that reverses a string", Task::Code),
        ("Schreibe ein Gedicht über den Herbst", Task::Creative),
        ("Solve the equation 4x^2 - 9 = 0 for x", Task::Math),
        (
            "Write a SQL query that counts orders per customer",
            Task::Data,
        ),
        ("请把这句话翻译成英文：今天下雨了", Task::Translate),
    ] {
        assert_eq!(task_of(user), task, "{user}");
    }
}

#[test]
fn the_form_wins_over_words() {
    let mut prompt = Prompt {
        user: "Translate this to French",
        tools: true,
        ..Prompt::default()
    };
    assert_eq!(analyse(&prompt).unwrap().task, Task::Agent);
    prompt.tools = false;
    prompt.input = &[Modality::Text, Modality::Image];
    let analysis = analyse(&prompt).unwrap();
    assert_eq!((analysis.task, analysis.media), (Task::Vision, true));
}

#[test]
fn signs_are_seen() {
    let signs = |text: &str| Signs::of(text);
    assert_eq!(signs("привет, мир").script, Script::Cyrillic);
    assert_eq!(signs("今日は東京に行きました").script, Script::Kana);
    assert_eq!(signs("今天我们去北京").script, Script::Han);
    assert_eq!(signs("안녕하세요 여러분").script, Script::Hangul);
    assert_eq!(signs("42").script, Script::Latin);
    assert!(signs("look:\n```\nx\n```").code);
    assert!(signs("fn main() { let x = f(a[0]); g(x); }").code);
    assert!(!signs("a plain sentence (with a remark), nothing else").code);
    assert!(signs("3x^2 = 12").maths);
    assert!(!signs("a plain sentence").maths);
    assert_eq!(Length::of(10), Length::Short);
    assert_eq!(Length::of(50_000), Length::Long);
}

#[test]
fn any_text_is_read_within_bounds() {
    let long = "ß語🙂 x".repeat(20_000);
    let prompt = Prompt {
        user: &long,
        system: &long,
        bytes: 1 << 40,
        ..Prompt::default()
    };
    let analysis = analyse(&prompt).unwrap();
    assert!((0.0..=1.0).contains(&analysis.difficulty));
    assert!((0.0..=1.0).contains(&analysis.confidence));
    assert!(analyse(&Prompt::default()).is_some());
}

#[test]
fn a_blob_that_is_not_whole_is_refused() {
    assert_eq!(Head::parse(&[]).unwrap_err(), Refused::Size);
    let mut blob = SHIPPED.to_vec();
    assert!(Head::parse(&blob).is_ok());
    blob[BLOB_BYTES - 1] ^= 1;
    assert_eq!(Head::parse(&blob).unwrap_err(), Refused::Content);
    blob[BLOB_BYTES - 1] ^= 1;
    blob[4] ^= 1;
    assert_eq!(Head::parse(&blob).unwrap_err(), Refused::Version);
    blob.pop();
    assert_eq!(Head::parse(&blob).unwrap_err(), Refused::Size);
}

/// The documented figures come from `examples/train_prompts.rs`.
#[test]
fn prompts_that_were_not_seen_are_told_far_better_than_by_chance() {
    let labels = read(include_str!("labels.tsv")).unwrap();
    let words = read_words(include_str!("words.tsv")).unwrap();
    let unseen = read(include_str!("unseen.tsv")).unwrap();
    let weights = train(labels.iter().chain(&words));
    let right = |label: &&train::Labelled| judge(label, &weights).task == label.task;
    let right = unseen.iter().filter(right).count();
    assert!(
        right * 100 >= unseen.len() * 35,
        "{right} of {}",
        unseen.len()
    );
}
