//! Who got the attempts, tenth of a second by tenth: counted at the providers, since that is where
//! a reaction shows.

use super::load::Answers;
use crate::provider::Running;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks.
const STEP: Duration = Duration::from_millis(100);
/// A reaction must last so long.
const LASTS: Duration = Duration::from_secs(2);
/// The sick have reacted to when they have less than this share of what they had.
const QUARTER: f64 = 0.25;
/// They are back when they have this share of what they had.
const HALF: f64 = 0.5;

/// Cumulative counts at one moment.
#[derive(Clone, Debug)]
struct Look {
    at: Duration,
    asked: u64,
    attempts: Vec<u64>,
}

/// All looks of a scenario, oldest first.
#[derive(Default)]
pub(super) struct Arrivals {
    looks: Vec<Look>,
}

impl Arrivals {
    /// Looks until `length` is over.
    pub(super) async fn watch(
        &mut self,
        suppliers: &[Running],
        answers: &Answers,
        started: Instant,
        length: Duration,
    ) {
        let mut timer = tokio::time::interval_at(started, STEP);
        while started.elapsed() < length {
            timer.tick().await;
            self.looks.push(Look {
                at: started.elapsed(),
                asked: answers.asked(),
                attempts: suppliers.iter().map(Running::requests).collect(),
            });
        }
    }

    /// Attempts at the `sick` per request between two moments; `None` without requests.
    pub(super) fn share(&self, sick: &[bool], from: Duration, to: Duration) -> Option<f64> {
        let (begin, end) = (self.look(from)?, self.look(to)?);
        let asked = end
            .asked
            .checked_sub(begin.asked)
            .filter(|asked| *asked > 0)?;
        let pairs = begin.attempts.iter().zip(&end.attempts).zip(sick);
        let hit: u64 = pairs
            .filter(|(_, sick)| **sick)
            .map(|((before, after), _)| after - before)
            .sum();
        Some(float(hit) / float(asked))
    }

    /// All attempts per request between two moments.
    pub(super) fn attempts(&self, from: Duration, to: Duration) -> Option<f64> {
        let everybody = vec![true; self.looks.first()?.attempts.len()];
        self.share(&everybody, from, to)
    }

    /// Seconds from the fault's beginning until the sick have less than a quarter of what they
    /// had, for good two seconds; `None` when that never happens.
    pub(super) fn reaction(
        &self,
        sick: &[bool],
        (begins, ends): (Duration, Duration),
    ) -> Option<f64> {
        let base = self.share(sick, begins / 2, begins)?;
        self.first(begins, ends, |share| share < QUARTER * base, sick)
    }

    /// Seconds from the fault's end until the sick have half of what they had again.
    pub(super) fn recovery(&self, sick: &[bool], begins: Duration, ends: Duration) -> Option<f64> {
        let base = self.share(sick, begins / 2, begins)?;
        let last = self.looks.last()?.at;
        self.first(ends, last, |share| share >= HALF * base, sick)
    }

    fn first(
        &self,
        from: Duration,
        until: Duration,
        holds: impl Fn(f64) -> bool,
        sick: &[bool],
    ) -> Option<f64> {
        let inside = |look: &&Look| look.at >= from && look.at + LASTS <= until;
        let mut looks = self.looks.iter().filter(inside);
        let look = looks.find(|look| {
            let share = self.share(sick, look.at, look.at + LASTS);
            share.is_some_and(&holds)
        })?;
        Some((look.at - from).as_secs_f64())
    }

    fn look(&self, at: Duration) -> Option<&Look> {
        self.looks
            .iter()
            .find(|look| look.at >= at)
            .or_else(|| self.looks.last())
    }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request each tenth; the first of two providers gets all until 6 s and after 8 s.
    fn arrivals() -> Arrivals {
        let mut looks = Vec::new();
        let mut attempts = vec![0, 0];
        for tenth in 0..120_u64 {
            let at = STEP * u32::try_from(tenth).unwrap();
            looks.push(Look {
                at,
                asked: tenth,
                attempts: attempts.clone(),
            });
            let away = (60..80).contains(&tenth);
            attempts[usize::from(away)] += 1;
        }
        Arrivals { looks }
    }

    #[test]
    fn reaction_and_recovery_are_when_the_share_moves() {
        let (arrivals, sick) = (arrivals(), [true, false]);
        let (begins, ends) = (Duration::from_secs(5), Duration::from_millis(8_200));
        let reaction = arrivals.reaction(&sick, (begins, ends)).unwrap();
        assert!((0.5..=0.8).contains(&reaction), "{reaction}");
        let recovery = arrivals.recovery(&sick, begins, ends).unwrap();
        assert!(recovery < 0.2, "{recovery}");
        assert_eq!(arrivals.reaction(&[false, true], (begins, ends)), None);
    }
}
