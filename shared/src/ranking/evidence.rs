//! What is remembered of one endpoint: who saw it succeed and fail, forgotten by half-life. What
//! came since the last tick is kept in whole numbers until the tick, so that the order in which
//! reports come makes no difference. What it amounts to is [`super::tally`]'s and
//! [`super::verdict`]'s concern.

mod observer;
mod pooled;

pub(super) use observer::{Brought, Observer};
pub(super) use pooled::{Pooled, Prior};

use super::VerdictTuning;
use super::roster::{NodeIx, PopIx, RegionIx};
use crate::clock::Moment;
use crate::health::half_life;
use crate::window::Window;
use std::time::Duration;

/// What has less than this left to say is forgotten.
const NEGLIGIBLE: f64 = 0.02;
/// The same over the last minute: a single request is remembered for one and a half.
const DECLINE_NEGLIGIBLE: f64 = 0.25;

/// All edges that saw one endpoint lately, by place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    pub(super) observers: Vec<Observer>,
    /// By region: all others together. A fleet of a thousand edges has hundreds of them for every
    /// endpoint, and none says anything that its sum doesn't.
    crowd: Vec<Crowd>,
    /// The median observer's attempts.
    pub(super) usual: f64,
}

/// What those of one region saw who have no complaint and little to say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Crowd {
    pub(super) lately: Pooled,
    pub(super) decline: Pooled,
}

/// Which of two memories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Span {
    /// Now.
    Lately,
    /// Over about a minute.
    Decline,
}

/// How much is left of what was known, after the time between two ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fading {
    lately: f64,
    decline: f64,
}

impl Fading {
    pub(super) fn over(elapsed: Duration, tuning: &VerdictTuning) -> Self {
        Self {
            lately: half_life(elapsed, tuning.half_life),
            decline: half_life(elapsed, tuning.decline_half_life),
        }
    }
}

impl Evidence {
    /// Adds a window of an edge.
    pub(super) fn add(&mut self, from: (NodeIx, PopIx, RegionIx), window: &Window, now: Moment) {
        let (node, pop, region) = from;
        match self.find(node) {
            Ok(at) => {
                if let Some(observer) = self.observers.get_mut(at) {
                    (observer.pop, observer.region) = (pop, region);
                    observer.add(window, now);
                }
            }
            Err(at) => {
                let mut observer = Observer::new(from, now);
                observer.add(window, now);
                self.observers.insert(at, observer);
            }
        }
    }

    /// Where a node stands, or belongs. Where all nodes of the fleet saw the endpoint, its place
    /// there is its place here.
    fn find(&self, node: NodeIx) -> Result<usize, usize> {
        let at = node.at();
        if self.observers.get(at).is_some_and(|it| it.node == node) {
            return Ok(at);
        }
        self.observers.binary_search_by_key(&node, |it| it.node)
    }

    /// Time passes, and what came since the last tick counts from now on.
    pub(super) fn fold(&mut self, fading: Fading, tuning: &VerdictTuning) {
        for crowd in &mut self.crowd {
            crowd.fade(fading);
        }
        let mut sizes: Vec<f64> = Vec::with_capacity(self.observers.len());
        let crowd = &mut self.crowd;
        self.observers.retain_mut(|observer| {
            observer.fold(fading, tuning);
            let stays = !observer.is_one_of_many();
            if stays {
                sizes.push(observer.lately.seen);
            } else {
                observer.join(crowd);
            }
            stays
        });
        let middle = sizes.len() / 2;
        self.usual = if sizes.is_empty() {
            0.0
        } else {
            *sizes.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        // With one or two there is no median to speak of.
        let most = if sizes.len() < 3 {
            f64::INFINITY
        } else {
            (self.usual * tuning.observer_clip).max(tuning.observer)
        };
        for observer in &mut self.observers {
            let seen = observer.lately.seen;
            observer.weight = if seen > most { most / seen } else { 1.0 };
        }
    }

    /// True when anybody saw it fail, and it still counts.
    pub(super) fn has_failures(&self) -> bool {
        let fails = |it: &Observer| it.lately.bad >= 0.5 || it.decline.bad >= 0.5;
        self.observers.iter().any(fails)
    }

    /// After a recovery old failures no longer count.
    pub(super) fn absolve(&mut self) {
        for observer in &mut self.observers {
            for pooled in [&mut observer.lately, &mut observer.decline] {
                pooled.seen = (pooled.seen - pooled.bad).max(0.0);
                pooled.bad = 0.0;
            }
        }
    }

    /// What all edges of a region, or of all, say together.
    pub(super) fn pool(&self, span: Span, region: Option<RegionIx>) -> Pooled {
        let mut pooled = Pooled::default();
        let here = |of: RegionIx| region.is_none_or(|region| region == of);
        for observer in self.observers.iter().filter(|it| here(it.region)) {
            let memory = match span {
                Span::Lately => &observer.lately,
                Span::Decline => &observer.decline,
            };
            pooled.add(memory, observer.weight);
        }
        for (_, crowd) in self.crowd().filter(|(of, _)| here(*of)) {
            let memory = match span {
                Span::Lately => &crowd.lately,
                Span::Decline => &crowd.decline,
            };
            pooled.add(memory, 1.0);
        }
        pooled
    }

    /// Those who are not told apart, by region.
    pub(super) fn crowd(&self) -> impl Iterator<Item = (RegionIx, &Crowd)> {
        let regions = (0_u32..).map(RegionIx).zip(&self.crowd);
        regions.filter(|(_, crowd)| crowd.says())
    }

    /// True when nobody has anything to say.
    pub(super) fn is_empty(&self) -> bool {
        self.observers.is_empty() && self.crowd().next().is_none()
    }

    /// How many samples of one report may count: no edge tells more of a speed than a few times
    /// what the median one does.
    pub(super) fn samples_max(&self, tuning: &VerdictTuning, report: Duration) -> u64 {
        // What decays by half in a half-life and stays the same comes at this rate.
        let rate = self.usual * std::f64::consts::LN_2 / tuning.half_life.as_secs_f64();
        let usual = rate * report.as_secs_f64();
        count(8.0 + tuning.observer_clip * usual)
    }
}

impl Crowd {
    fn fade(&mut self, fading: Fading) {
        self.lately.scale(fading.lately);
        self.decline.scale(fading.decline);
        if !self.says() {
            *self = Self::default();
        }
    }

    /// Is there anything left of what they saw?
    fn says(&self) -> bool {
        self.lately.seen >= NEGLIGIBLE || self.decline.seen >= DECLINE_NEGLIGIBLE
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one tick")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to an integer saturates"
)]
fn count(number: f64) -> u64 {
    number.max(0.0) as u64
}
