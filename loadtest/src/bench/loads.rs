//! The loads: the shapes of `closed2k` … `paced1000` that the project's figures are given for.

use super::BenchError;
use crate::run::Shape;
use serde_json::json;
use std::time::Duration;

/// Tokens of each stream.
const TOKENS: u64 = 200;
/// Tokens of each whole answer: about 1 KB with its envelope.
const WHOLE_TOKENS: u64 = 120;
/// Tokens per second of a paced stream.
const PACE: u64 = 50;

/// One load.
#[derive(Clone, Copy, Debug)]
pub struct BenchLoad {
    /// What reports call it.
    pub name: &'static str,
    /// How requests are started.
    pub shape: Shape,
    /// Answers are streams.
    pub stream: bool,
    /// Bytes of each prompt.
    pub prompt_bytes: usize,
    /// Streams are paced.
    pub paced: bool,
    /// The least warm-up.
    pub warm_up: Duration,
    /// Time over which the streams start.
    pub stagger: Duration,
    /// Not run unless asked for by name.
    pub large: bool,
}

const fn whole(name: &'static str, shape: Shape, prompt_bytes: usize) -> BenchLoad {
    BenchLoad {
        name,
        shape,
        stream: false,
        prompt_bytes,
        paced: false,
        warm_up: Duration::ZERO,
        stagger: Duration::ZERO,
        large: false,
    }
}

const fn streams(name: &'static str, connections: usize, paced: bool, large: bool) -> BenchLoad {
    // A paced stream lasts 4 s: start them over that time, and count when all run.
    let seconds = if paced { TOKENS / PACE } else { 0 };
    BenchLoad {
        name,
        shape: Shape::Closed { connections },
        stream: true,
        prompt_bytes: 600,
        paced,
        warm_up: Duration::from_secs(seconds),
        stagger: Duration::from_secs(seconds),
        large,
    }
}

/// Every load.
pub const ALL: [BenchLoad; 8] = [
    whole("closed2k", Shape::Closed { connections: 64 }, 2_000),
    whole("closed200k", Shape::Closed { connections: 16 }, 200_000),
    whole("rate40", rate(40.0, 4), 2_000),
    whole("rate1000", rate(1_000.0, 32), 2_000),
    streams("burst", 16, false, false),
    streams("paced20", 20, true, true),
    streams("paced200", 200, true, false),
    streams("paced1000", 1_000, true, true),
];

const fn rate(per_second: f64, connections: usize) -> Shape {
    Shape::Rate {
        per_second,
        connections,
    }
}

/// The loads of these names; of none: all but the large.
pub(super) fn chosen(names: &[String]) -> Result<Vec<BenchLoad>, BenchError> {
    if names.is_empty() {
        return Ok(ALL.iter().filter(|load| !load.large).copied().collect());
    }
    let find = |name: &String| {
        let load = ALL.iter().find(|load| load.name == name);
        load.copied().ok_or_else(|| BenchError::Load(name.clone()))
    };
    names.iter().map(find).collect()
}

impl BenchLoad {
    /// The body of every request.
    #[must_use]
    pub fn body(&self, model: &str) -> String {
        let tokens = if self.stream { TOKENS } else { WHOLE_TOKENS };
        let mut text = format!("#tokens={tokens} ");
        if self.paced {
            text.push_str(&format!("#rate={PACE} "));
        }
        while text.len() < self.prompt_bytes {
            text.push_str("a godwit crosses the ocean without a rest; ");
        }
        let messages = json!([
            {"role": "system", "content": "You answer at length."},
            {"role": "user", "content": text},
        ]);
        json!({"model": model, "stream": self.stream, "max_tokens": 4_096, "temperature": 0.7,
            "messages": messages})
        .to_string()
    }
}
