//! How much an endpoint takes from the whole fleet, learned from what it accepts and turns away:
//! growing slowly while it is used, cut at once when it turns away. Being full is no sickness.

use super::CapTuning;
use super::evidence::real;
use crate::clock::Moment;
use std::time::Duration;

/// What is known of an endpoint's capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cap {
    /// Requests per second; none is not limited.
    rate: Option<f64>,
    /// What the catalogue says of it.
    configured: Option<f64>,
    /// Accepted per second, smoothed.
    accepted: f64,
    hit: Option<Moment>,
    gathered: Gathered,
}

/// Since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Gathered {
    since: Moment,
    accepted: u64,
    turned_away: u64,
}

impl Cap {
    /// The catalogue allows so many requests per second; a change starts anew.
    pub(super) fn configure(&mut self, limit: Option<f64>, tuning: &CapTuning) {
        if limit == self.configured {
            return;
        }
        self.configured = limit;
        self.rate = limit.map(|limit| tuning.first * limit);
    }

    /// Requests per second that the whole fleet may send; none is not limited.
    pub(super) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Accepted per second, of late.
    pub(super) const fn accepted(&self) -> f64 {
        self.accepted
    }

    /// When it last turned requests away.
    pub(super) const fn hit(&self) -> Option<Moment> {
        self.hit
    }

    /// Takes in what was accepted and turned away since the last tick.
    pub(super) fn step(
        &mut self,
        accepted: u64,
        turned_away: u64,
        tuning: &CapTuning,
        now: Moment,
    ) {
        let gathered = &mut self.gathered;
        gathered.accepted = gathered.accepted.saturating_add(accepted);
        gathered.turned_away = gathered.turned_away.saturating_add(turned_away);
        let elapsed = now.since(gathered.since);
        if elapsed < tuning.period {
            return;
        }
        let gathered = std::mem::take(gathered);
        self.gathered.since = now;
        self.look(&gathered, elapsed, tuning, now);
    }

    /// True when nothing is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.rate.is_none() || self.rate == self.configured
    }

    fn look(&mut self, gathered: &Gathered, elapsed: Duration, tuning: &CapTuning, now: Moment) {
        // After a long silence the first report doesn't tell of all of it.
        let seconds = elapsed.as_secs_f64().min(5.0);
        let accepted = real(gathered.accepted) / seconds;
        let turned_away = real(gathered.turned_away) / seconds;
        let smooth = 0.5 * self.accepted + 0.5 * accepted;
        if turned_away > tuning.hit_share * accepted + tuning.hit_rate {
            let cut = if accepted > 0.0 {
                tuning.cut * smooth
            } else {
                0.5 * self.rate.unwrap_or(smooth)
            };
            let least = self.configured.map_or(0.0, |limit| tuning.least * limit);
            let least = least.max(tuning.least_rate);
            let cut = self.rate.map_or(cut, |rate| rate.min(cut));
            self.rate = Some(cut.max(least));
            self.hit = Some(now);
        } else if let Some(rate) = self.rate {
            self.rate = self.grown(rate, (accepted, seconds), tuning, now);
        }
        self.accepted = smooth;
    }

    fn grown(
        &self,
        rate: f64,
        (accepted, seconds): (f64, f64),
        tuning: &CapTuning,
        now: Moment,
    ) -> Option<f64> {
        let since_hit = self.hit.map(|hit| now.since(hit));
        if self.configured.is_none() && since_hit.is_none_or(|since| since > tuning.memory) {
            return None;
        }
        if accepted <= tuning.used * rate {
            return Some(rate);
        }
        let careful = since_hit.is_some_and(|since| since < tuning.careful);
        let growth = if careful {
            tuning.grow_carefully
        } else {
            tuning.grow
        };
        let grown = rate * growth.powf(seconds) + tuning.grow_step * seconds;
        let most = self.configured.map(|limit| tuning.most * limit);
        Some(most.map_or(grown, |most| grown.min(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_limit_is_the_first_cap_and_the_last() {
        let (tuning, mut cap) = (CapTuning::default(), Cap::default());
        cap.configure(Some(30.0), &tuning);
        assert_eq!(cap.rate(), Some(28.5));
        for second in 1..60 {
            cap.step(27, 0, &tuning, at(second));
        }
        assert!((cap.rate().unwrap() - 29.4).abs() < 1e-9);
        cap.configure(None, &tuning);
        assert_eq!(cap.rate(), None);
    }

    #[test]
    fn turning_away_cuts_to_what_was_accepted() {
        let (tuning, mut cap) = (CapTuning::default(), Cap::default());
        for second in 1..20 {
            cap.step(50, 0, &tuning, at(second));
            assert_eq!(cap.rate(), None, "nothing is limited without a reason");
        }
        cap.step(50, 1, &tuning, at(20));
        assert_eq!(cap.rate(), None, "once is nothing");
        cap.step(40, 20, &tuning, at(21));
        let learned = cap.rate().unwrap();
        assert!((35.0..46.0).contains(&learned), "{learned}");
        cap.step(0, 20, &tuning, at(22));
        assert!((cap.rate().unwrap() - learned / 2.0).abs() < 1e-9);
        for second in 23..90 {
            cap.step(40, 0, &tuning, at(second));
        }
        assert!(cap.rate().unwrap() > learned, "grows while it is used");
        for second in 90..800 {
            cap.step(0, 0, &tuning, at(second));
        }
        assert_eq!(cap.rate(), None, "and is forgotten");
    }

    #[test]
    fn it_never_falls_to_nothing() {
        let (tuning, mut cap) = (CapTuning::default(), Cap::default());
        cap.configure(Some(10.0), &tuning);
        for second in 1..100 {
            cap.step(0, 9, &tuning, at(second));
        }
        assert!((cap.rate().unwrap() - 0.4).abs() < 1e-9);
    }
}
