//! What a prompt asks for, from its first bytes and the request's form: features, a linear head, an
//! estimate of tokens. Pure, and nothing is allocated on a request's path. Which model suits a
//! task is [`crate::routing::auto`]'s concern.

mod head;
mod signs;
mod task;
pub mod tokens;
pub mod train;
mod words;

pub use head::{BLOB_BYTES, Head, Refused, VERSION, Verdict};
pub use signs::{Length, Script, Signs};
pub use task::Task;
pub use words::{SYSTEM_BYTES, USER_BYTES};

use crate::catalog::Modality;
use std::sync::LazyLock;

/// The weights that this build was made with: trained on `prompt/labels.tsv` in the build.
static SHIPPED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prompt-head.bin"));

static HEAD: LazyLock<Option<Head<'static>>> = LazyLock::new(|| Head::parse(SHIPPED).ok());

/// A request as far as the analysis reads it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompt<'a> {
    /// The last user turn; its first [`USER_BYTES`] are read.
    pub user: &'a str,
    /// The system's text; its first [`SYSTEM_BYTES`] are read.
    pub system: &'a str,
    /// The text of the whole conversation, in bytes.
    pub bytes: u64,
    /// How many turns there are.
    pub turns: u64,
    /// The kinds of content.
    pub input: &'a [Modality],
    /// Tools are declared.
    pub tools: bool,
    /// The answer must fit a schema.
    pub schema: bool,
}

/// What a prompt asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Analysis {
    /// Its task.
    pub task: Task,
    /// How probable the task is, 0..1; 1 where the form tells it.
    pub confidence: f32,
    /// 0 is easy, 1 is hard.
    pub difficulty: f32,
    /// The script of most of its letters.
    pub script: Script,
    /// There is a program in it.
    pub code: bool,
    /// There is a formula in it.
    pub maths: bool,
    /// The length of the whole conversation.
    pub length: Length,
    /// How many turns there are.
    pub turns: u64,
    /// Tools are declared.
    pub tools: bool,
    /// The answer must fit a schema.
    pub schema: bool,
    /// There is something else than text.
    pub media: bool,
}

/// Analyses a prompt with the shipped weights; none when they can't be read.
#[must_use]
pub fn analyse(prompt: &Prompt<'_>) -> Option<Analysis> {
    HEAD.as_ref().map(|head| analyse_with(head, prompt))
}

/// Analyses a prompt.
#[must_use]
pub fn analyse_with(head: &Head<'_>, prompt: &Prompt<'_>) -> Analysis {
    let user = words::cut(prompt.user, USER_BYTES);
    let signs = Signs::of(user);
    let verdict = head.judge(user, prompt.system, &signs);
    let media = prompt.input.iter().any(|kind| *kind != Modality::Text);
    let form = match (prompt.tools, media) {
        (true, _) => Some(Task::Agent),
        (false, true) => Some(Task::Vision),
        (false, false) => None,
    };
    let length = Length::of(prompt.bytes);
    Analysis {
        task: form.unwrap_or(verdict.task),
        confidence: form.map_or(verdict.confidence, |_| 1.0),
        difficulty: harder(verdict.difficulty, prompt, length),
        script: signs.script,
        code: signs.code,
        maths: signs.maths,
        length,
        turns: prompt.turns,
        tools: prompt.tools,
        schema: prompt.schema,
        media,
    }
}

/// Tools, a schema and a long conversation ask for more than the words tell.
fn harder(difficulty: f32, prompt: &Prompt<'_>, length: Length) -> f32 {
    let mut more = difficulty;
    for is_harder in [prompt.tools, prompt.schema, length >= Length::Long] {
        if is_harder {
            more += 0.1;
        }
    }
    more.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
