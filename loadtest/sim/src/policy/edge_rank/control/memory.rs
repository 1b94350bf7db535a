//! What the reference's control plane remembers of an offer, and how it moves.

use super::super::histogram::Histogram;

/// What is known of an offer in one region.
#[derive(Clone, Default)]
pub(super) struct Local {
    pub(super) n: f64,
    pub(super) bad: f64,
    pub(super) ttft: Histogram,
    pub(super) ttft_fast: Histogram,
    pub(super) open: bool,
    pub(super) relapses: f64,
    pub(super) hold: f64,
    pub(super) good: u32,
    pub(super) share: f64,
}

/// What is known of an offer.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) regions: Vec<Local>,
    pub(super) speed: Histogram,
    pub(super) speed_fast: Histogram,
    pub(super) ttft: Histogram,
    pub(super) ttft_fast: Histogram,
    pub(super) cap: f64,
    pub(super) capped: f64,
    pub(super) accepted: f64,
    /// Since the last tick.
    pub(super) ok: f64,
    pub(super) full: f64,
    /// Its score by the catalogue.
    pub(super) long_run: f64,
}

impl Memory {
    /// The median speed; another regime replaces the old one.
    pub(super) fn speed(&mut self, otherwise: f64) -> f64 {
        let median = self.speed.quantile(0.5, otherwise);
        let fast = self.speed_fast.quantile(0.5, median);
        if self.speed_fast.n < 4.5 || (fast / median > 0.6 && fast / median < 1.7) {
            return median;
        }
        self.speed.reset_to(&self.speed_fast, 3.0);
        fast
    }

    /// All regions together see an improvement that each is too sparse to see.
    pub(super) fn improved(&mut self) {
        let fast = self.ttft_fast.quantile(0.5, 1.0);
        if self.ttft_fast.n < 5.0 || fast >= 0.55 * self.ttft.quantile(0.5, 0.1) {
            return;
        }
        self.ttft.reset_to(&self.ttft_fast, 3.0);
        for local in &mut self.regions {
            local.ttft.reset_to(&self.ttft_fast, 1.0);
        }
    }
}

impl Local {
    /// p50, p90 and p95; another regime replaces the old one.
    pub(super) fn latencies(&mut self, usual: f64) -> (f64, f64, f64) {
        let median = self.ttft.quantile(0.5, usual);
        let ratio = self.ttft_fast.quantile(0.5, usual) / median;
        let otherwise = if self.ttft_fast.n >= 4.5 && !(ratio > 0.55 && ratio < 1.8) {
            self.ttft.reset_to(&self.ttft_fast, 3.0);
            (usual, usual)
        } else {
            (1.7 * usual, 2.2 * usual)
        };
        (
            self.ttft.quantile(0.5, usual),
            self.ttft.quantile(0.9, otherwise.0),
            self.ttft.quantile(0.95, otherwise.1),
        )
    }

    pub(super) fn step(&mut self, failing: f64, all: f64, now: f64) {
        let proof = 2.0 * (self.relapses - 1.0).min(3.0).exp2();
        if !self.open && failing > 0.45 && self.n + all > 4.0 {
            self.open = true;
            self.relapses += 1.0;
            self.good = 0;
            self.hold = now + (2.0 * self.relapses.exp2()).min(30.0);
        } else if self.open && now >= self.hold && f64::from(self.good) >= proof {
            self.open = false;
            (self.n, self.bad) = (4.0, 0.0);
            self.share = 0.01;
        }
    }
}
