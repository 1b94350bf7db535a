//! The linear head: a row of small weights for each feature, one for each task and one for the
//! difficulty. A blob has a fixed size, a version and a checksum; one that is not whole is refused.

use super::signs::Signs;
use super::task::Task;
use super::words::{FEATURES, features};

/// The version of features and tasks that weights are made for: a table for another one can't be
/// used with them.
pub const VERSION: u16 = 1;
/// Weights of one feature: the tasks, the difficulty, nothing.
pub(super) const COLUMNS: usize = 32;
/// The column of the difficulty.
const DIFFICULTY: usize = Task::LEARNED;
pub(super) const MAGIC: [u8; 4] = *b"gwph";
const HEADER_BYTES: usize = 16;
/// The size of a blob, in bytes.
pub const BLOB_BYTES: usize = HEADER_BYTES + FEATURES * COLUMNS;

/// Why a blob is no good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Too long or too short.
    Size,
    /// Something else, or damaged.
    Content,
    /// For other features or tasks.
    Version,
}

/// The weights, borrowed from a blob.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    scale: f32,
    weights: &'a [u8],
}

/// What the head says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict {
    /// The task with the highest score.
    pub task: Task,
    /// How probable it is against the others, 0..1.
    pub confidence: f32,
    /// 0 is easy, 1 is hard.
    pub difficulty: f32,
}

impl<'a> Head<'a> {
    /// Checks a blob.
    ///
    /// # Errors
    /// It has another size, version or checksum.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Refused> {
        if blob.len() != BLOB_BYTES {
            return Err(Refused::Size);
        }
        let (header, weights) = blob.split_at_checked(HEADER_BYTES).ok_or(Refused::Size)?;
        let four = |at: usize| -> Option<[u8; 4]> { header.get(at..at + 4)?.try_into().ok() };
        let two = |at: usize| -> Option<[u8; 2]> { header.get(at..at + 2)?.try_into().ok() };
        if four(0) != Some(MAGIC) {
            return Err(Refused::Content);
        }
        let shape = (
            two(4).map(u16::from_le_bytes),
            two(6).map(u16::from_le_bytes),
        );
        if shape != (Some(VERSION), u16::try_from(Task::LEARNED).ok()) {
            return Err(Refused::Version);
        }
        let scale = four(8).map_or(0.0, f32::from_le_bytes);
        let sum = four(12).map(u32::from_le_bytes);
        if sum != Some(checksum(weights)) || !scale.is_finite() || scale <= 0.0 {
            return Err(Refused::Content);
        }
        Ok(Self { scale, weights })
    }

    /// The task and difficulty of a prompt.
    #[must_use]
    pub fn judge(&self, user: &str, system: &str, signs: &Signs) -> Verdict {
        let mut sums = [0_i32; COLUMNS];
        let count = features(user, system, signs, |feature| {
            let start = feature * COLUMNS;
            let row = self.weights.get(start..start + COLUMNS).unwrap_or_default();
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += i32::from(weight.cast_signed());
            }
        });
        let mut scores = [0.0; COLUMNS];
        let norm = self.scale * norm(count);
        for (score, sum) in scores.iter_mut().zip(sums) {
            #[allow(clippy::cast_precision_loss, reason = "far below 2^24")]
            let sum = sum as f32;
            *score = sum * norm;
        }
        verdict(&scores)
    }
}

/// Each feature of a prompt weighs the less, the more there are.
pub(super) fn norm(count: u32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "a count of words")]
    let count = count.max(1) as f32;
    count.sqrt().recip()
}

/// What scores mean.
pub(super) fn verdict(scores: &[f32; COLUMNS]) -> Verdict {
    let (mut best, mut top, mut sum) = (Task::Chat, f32::MIN, 0.0);
    let learned = Task::ALL.iter().zip(scores).take(Task::LEARNED);
    for (task, score) in learned.clone() {
        if *score > top {
            (best, top) = (*task, *score);
        }
    }
    for (_, score) in learned {
        sum += (score - top).exp();
    }
    let difficulty = scores.get(DIFFICULTY).copied().unwrap_or_default();
    Verdict {
        task: best,
        confidence: 1.0 / sum.max(1.0),
        difficulty: (difficulty + 0.5).clamp(0.0, 1.0),
    }
}

/// FNV-1a: against damage, not against malice; who may send weights signs them.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
