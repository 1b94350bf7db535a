//! What a run leaves: a record per request, and who was asked first, second by second.

use crate::scenario::REGIONS;
use crate::world::{SPEED_GOOD, TTFT_GOOD};

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Record {
    /// When it was asked.
    pub at: f64,
    /// With a whole answer.
    pub ok: bool,
    /// Seconds to the first token, failed attempts included.
    pub ttft: f64,
    /// In millionths of a USD.
    pub cost: f64,
    /// Tokens of prompt and answer.
    pub tokens: f64,
    /// Tokens per second.
    pub speed: f64,
}

impl Record {
    /// Whole, soon and fast enough.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.ok && self.ttft <= TTFT_GOOD && self.speed >= SPEED_GOOD
    }
}

/// What a run leaves.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// In order of their ends.
    pub records: Vec<Record>,
    /// All attempts.
    pub attempts: u64,
    /// Those that answered 429.
    pub rate_limited: u64,
    /// What cancelled hedges cost, in millionths of a USD, and when.
    pub wasted: f64,
    /// First attempts by second, region and provider.
    shares: Vec<u32>,
    providers: usize,
}

impl Trace {
    /// Nothing yet, of a run with so many providers that takes so many seconds.
    pub(super) fn new(seconds: usize, providers: usize) -> Self {
        Self {
            shares: vec![0; (seconds + 1) * REGIONS.len() * providers],
            providers,
            ..Self::default()
        }
    }

    /// Counts a first attempt.
    pub(super) fn asked(&mut self, second: usize, region: usize, provider: usize) {
        let at = (second * REGIONS.len() + region) * self.providers + provider;
        if let Some(count) = self.shares.get_mut(at) {
            *count += 1;
        }
    }

    /// First attempts of a region in a second, at one provider.
    #[must_use]
    pub fn first_attempts(&self, second: usize, region: usize, provider: usize) -> u32 {
        let at = (second * REGIONS.len() + region) * self.providers + provider;
        self.shares.get(at).copied().unwrap_or_default()
    }

    /// The same at all providers.
    #[must_use]
    pub fn all_first_attempts(&self, second: usize, region: usize) -> u32 {
        let providers = 0..self.providers;
        providers
            .map(|provider| self.first_attempts(second, region, provider))
            .sum()
    }
}
