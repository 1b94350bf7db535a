//! The trainer of the linear head: multinomial logistic regression with AdaGrad over labelled
//! prompts. The same labels give the same weights; it runs in the build and in `train_prompts`.

use super::head::{BLOB_BYTES, COLUMNS, MAGIC, VERSION, Verdict, checksum, norm, verdict};
use super::signs::Signs;
use super::task::Task;
use super::words::{FEATURES, features};

/// Rounds over all labels.
const ROUNDS: usize = 12;
const RATE: f32 = 0.3;
/// What each weight loses per round.
const DECAY: f32 = 0.002;

/// A prompt of which somebody said what it is.
pub struct Labelled {
    /// What it asks for.
    pub task: Task,
    /// 0 is easy, 1 is hard; none where nobody said.
    pub difficulty: Option<f32>,
    features: Vec<usize>,
    norm: f32,
}

/// Reads labels: a line each of task, difficulty from 1 to 5 and prompt, with tabs between.
///
/// # Errors
/// The first line that is none.
pub fn read(text: &str) -> Result<Vec<Labelled>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(line).collect()
}

/// Reads words that speak for a task: a line each of task and words. Each word is a label.
///
/// # Errors
/// The first line that is none.
pub fn read_words(text: &str) -> Result<Vec<Labelled>, String> {
    let mut all = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let parts = line
            .split_once('\t')
            .and_then(|(task, words)| Some((Task::parse(task)?, words)));
        let (task, words) = parts.ok_or_else(|| format!("not task and words: {line}"))?;
        let labels = words.split(' ').map(|word| Labelled::of(task, None, word));
        all.extend(labels);
    }
    Ok(all)
}

fn line(line: &str) -> Result<Labelled, String> {
    let wrong = || format!("not task, difficulty and prompt: {line}");
    let mut parts = line.splitn(3, '\t');
    let task = parts.next().and_then(Task::parse).ok_or_else(wrong)?;
    let difficulty: u8 = parts
        .next()
        .and_then(|text| text.parse().ok())
        .filter(|level| (1..=5).contains(level))
        .ok_or_else(wrong)?;
    let prompt = parts.next().ok_or_else(wrong)?.replace("\\n", "\n");
    let difficulty = f32::from(difficulty - 1) / 4.0;
    Ok(Labelled::of(task, Some(difficulty), &prompt))
}

impl Labelled {
    fn of(task: Task, difficulty: Option<f32>, prompt: &str) -> Self {
        let mut found = Vec::new();
        let signs = Signs::of(prompt);
        let count = features(prompt, "", &signs, |feature| found.push(feature));
        Self {
            task,
            difficulty,
            features: found,
            norm: norm(count),
        }
    }
}

/// Weights by feature and column.
#[must_use]
pub fn train<'a>(labels: impl Iterator<Item = &'a Labelled>) -> Vec<f32> {
    let labels: Vec<&Labelled> = labels.collect();
    let mut weights = vec![0.0; FEATURES * COLUMNS];
    let mut squares = vec![1e-4_f32; FEATURES * COLUMNS];
    let mut order: Vec<usize> = (0..labels.len()).collect();
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..ROUNDS {
        shuffle(&mut order, &mut state);
        for at in &order {
            if let Some(label) = labels.get(*at) {
                step(label, &mut weights, &mut squares);
            }
        }
    }
    weights
}

/// What weights say of a label's prompt.
#[must_use]
pub fn judge(label: &Labelled, weights: &[f32]) -> Verdict {
    verdict(&scores(label, weights))
}

/// The blob that [`Head::parse`](super::Head::parse) reads.
#[must_use]
pub fn blob(weights: &[f32]) -> Vec<u8> {
    let most = weights.iter().fold(1e-6_f32, |most, w| most.max(w.abs()));
    let scale = most / 127.0;
    #[allow(clippy::cast_possible_truncation, reason = "bounded by the scale")]
    let small: Vec<u8> = weights
        .iter()
        .map(|weight| ((weight / scale).round() as i8).cast_unsigned())
        .collect();
    let mut blob = Vec::with_capacity(BLOB_BYTES);
    blob.extend(MAGIC);
    blob.extend(VERSION.to_le_bytes());
    blob.extend(u16::try_from(Task::LEARNED).unwrap_or(0).to_le_bytes());
    blob.extend(scale.to_le_bytes());
    blob.extend(checksum(&small).to_le_bytes());
    blob.extend(small);
    blob
}

fn scores(label: &Labelled, weights: &[f32]) -> [f32; COLUMNS] {
    let mut scores = [0.0; COLUMNS];
    for feature in &label.features {
        let row = weights.get(feature * COLUMNS..).unwrap_or_default();
        for (score, weight) in scores.iter_mut().zip(row) {
            *score += weight * label.norm;
        }
    }
    scores
}

fn step(label: &Labelled, weights: &mut [f32], squares: &mut [f32]) {
    let scores = scores(label, weights);
    let top = scores.iter().take(Task::LEARNED);
    let top = top.fold(f32::MIN, |top, score| top.max(*score));
    let mut errors = [0.0; COLUMNS];
    let mut sum = 0.0;
    for (error, score) in errors.iter_mut().zip(scores).take(Task::LEARNED) {
        *error = (score - top).exp();
        sum += *error;
    }
    for (at, error) in errors.iter_mut().enumerate().take(Task::LEARNED) {
        *error = *error / sum - f32::from(u8::from(at == label.task as usize));
    }
    if let (Some(error), Some(score), Some(difficulty)) = (
        errors.get_mut(Task::LEARNED),
        scores.get(Task::LEARNED),
        label.difficulty,
    ) {
        *error = score + 0.5 - difficulty;
    }
    for feature in &label.features {
        let start = feature * COLUMNS;
        let row = weights
            .iter_mut()
            .skip(start)
            .zip(squares.iter_mut().skip(start));
        for ((weight, square), error) in row.zip(errors).take(Task::LEARNED + 1) {
            let slope = error * label.norm + DECAY * *weight;
            *square += slope * slope;
            *weight -= RATE * slope / square.sqrt();
        }
    }
}

/// Fisher and Yates, with Marsaglia's xorshift.
fn shuffle(order: &mut [usize], state: &mut u32) {
    for at in (1..order.len()).rev() {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        order.swap(at, *state as usize % (at + 1));
    }
}
