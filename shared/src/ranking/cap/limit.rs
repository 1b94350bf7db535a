//! One limit of an endpoint, of requests or of tokens: what is sent under it, growing slowly while
//! it is used, cut at once when it is hit.

use crate::clock::Moment;
use crate::ranking::CapTuning;
use std::time::Duration;

/// What is known of one limit, in units per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limit {
    /// None is not limited.
    rate: Option<f64>,
    /// What the catalogue or the provider says of it.
    configured: Option<f64>,
    /// Used per second, smoothed.
    used: f64,
}

/// What one look found, whichever limit it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Seconds that it covers.
    pub(super) seconds: f64,
    /// What one request takes of the limit.
    pub(super) unit: f64,
    /// When the endpoint last turned requests away.
    pub(super) hit: Option<Moment>,
    pub(super) now: Moment,
}

impl Limit {
    /// It is known to be so much per second; a change starts anew.
    pub(super) fn configure(&mut self, limit: Option<f64>, tuning: &CapTuning) {
        if limit == self.configured {
            return;
        }
        self.configured = limit;
        self.rate = limit.map(|limit| tuning.first * limit);
    }

    pub(super) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    pub(super) const fn used(&self) -> f64 {
        self.used
    }

    /// True when nothing is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.rate.is_none() || self.rate == self.configured
    }

    /// Is it known, and used so far that it explains why requests are turned away?
    pub(super) fn explains(&self, tuning: &CapTuning) -> bool {
        self.rate.is_some_and(|rate| self.used > tuning.used * rate)
    }

    pub(super) fn measure(&mut self, used: f64) {
        self.used = 0.5 * self.used + 0.5 * used;
    }

    /// It was hit, while something was accepted or not.
    pub(super) fn cut(&mut self, accepted: bool, unit: f64, tuning: &CapTuning) {
        let cut = if accepted {
            tuning.cut * self.used
        } else {
            0.5 * self.rate.unwrap_or(self.used)
        };
        let cut = self.rate.map_or(cut, |rate| rate.min(cut));
        self.rate = Some(cut.max(self.least(unit, tuning)));
    }

    /// Nothing gets through, and for how long is known.
    pub(super) fn shut(&mut self, unit: f64, tuning: &CapTuning) {
        self.rate = Some(self.least(unit, tuning));
    }

    /// It was not hit while `used` per second passed.
    pub(super) fn grow(&mut self, used: f64, look: &Look, tuning: &CapTuning) {
        let Some(rate) = self.rate else { return };
        let since_hit = look.hit.map(|hit| look.now.since(hit));
        if self.configured.is_none() && since_hit.is_none_or(|since| since > tuning.memory) {
            self.rate = None;
            return;
        }
        if used <= tuning.used * rate {
            return;
        }
        let careful = since_hit.is_some_and(|since| since < tuning.careful);
        let growth = if careful {
            tuning.grow_carefully
        } else {
            tuning.grow
        };
        let step = tuning.grow_step * look.unit * look.seconds;
        let grown = rate * growth.powf(look.seconds) + step;
        let most = self.configured.map(|limit| tuning.most * limit);
        self.rate = Some(most.map_or(grown, |most| grown.min(most)));
    }

    fn least(&self, unit: f64, tuning: &CapTuning) -> f64 {
        let least = self.configured.map_or(0.0, |limit| tuning.least * limit);
        least.max(tuning.least_rate * unit)
    }
}

/// A provider's own word of a limit: a stricter one counts at once, a looser one when the stricter
/// has not been heard for a while, since keys of one account may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Word {
    value: Option<u64>,
    heard: Moment,
    /// When more than that was last accepted, and nothing turned away for it.
    refuted: Option<Moment>,
}

impl Word {
    pub(super) fn hear(&mut self, said: Option<u64>, patience: Duration, now: Moment) {
        let Some(said) = said else { return };
        let stands = |mine: u64| said > mine && now.since(self.heard) < patience;
        if !self.value.is_some_and(stands) {
            (self.value, self.heard) = (Some(said), now);
        }
    }

    /// What is agreed on, from now on.
    pub(super) fn take(&mut self, said: Option<u64>, now: Moment) {
        if said.is_some() {
            if self.value != said {
                self.refuted = None;
            }
            (self.value, self.heard) = (said, now);
        }
    }

    /// What was said, if it was lately.
    pub(super) fn within(&self, memory: Duration, now: Moment) -> Option<u64> {
        self.value.filter(|_| now.since(self.heard) < memory)
    }

    /// So much per second is accepted. If that is so many times what was said, it was said of
    /// something else: it cuts nobody.
    pub(super) fn weigh(&mut self, accepted: Option<f64>, refutes: f64, now: Moment) {
        let said = self.said().unwrap_or(f64::INFINITY);
        if accepted.is_some_and(|accepted| accepted > refutes * said) {
            self.refuted = Some(now);
        }
    }

    /// Was more accepted than it allows?
    pub(super) const fn is_refuted(&self) -> bool {
        self.refuted.is_some()
    }

    /// Requests were turned away: it may be right after all.
    pub(super) fn listen(&mut self) {
        self.refuted = None;
    }

    /// Per second, while it is believed.
    pub(super) fn per_second(&self, memory: Duration, now: Moment) -> Option<f64> {
        let within = |then: Moment| now.since(then) <= memory;
        if self.refuted.is_some_and(within) {
            return None;
        }
        self.said().filter(|_| within(self.heard))
    }

    fn said(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
        self.value.map(|value| value as f64 / 60.0)
    }
}

/// What was accepted over the last minute or so, since requests were last turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Accepted {
    count: f64,
    seconds: f64,
}

impl Accepted {
    /// More was accepted; of what was before, so much is remembered.
    pub(super) fn add(&mut self, count: f64, seconds: f64, kept: f64) {
        self.count = self.count * kept + count;
        self.seconds = self.seconds * kept + seconds;
    }

    /// Per second; none where too little time tells of it.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.seconds >= 0.5).then(|| self.count / self.seconds)
    }
}
