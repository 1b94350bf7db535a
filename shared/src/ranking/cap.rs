//! How much an endpoint takes from the whole fleet, in requests and in tokens: what its provider
//! states or the catalogue says, else learned from what it accepts and turns away, growing slowly
//! while it is used and cut at once when it turns away. Being full is no sickness.

mod limit;
mod witness;

use super::CapTuning;
use super::evidence::{Brought, real};
use super::roster::PopIx;
use crate::clock::Moment;
use crate::health::half_life;
use crate::window::Stated;
use limit::{Accepted, Limit, Look, Word};
use std::time::Duration;
use witness::{Believed, Witnesses, Words};

/// What is known of an endpoint's capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cap {
    requests: Limit,
    tokens: Limit,
    /// What the provider said, by who heard it and all in all.
    words: Words,
    said: (Word, Word),
    accepted: Accepted,
    /// Tokens of whole answers, and how many answers, forgotten by half-life.
    usual: (f64, f64),
    hit: Option<Moment>,
    /// Nothing gets through until then, said the provider.
    rests: Option<Moment>,
    witnesses: Witnesses,
    gathered: Gathered,
}

/// Since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Gathered {
    since: Moment,
    retry_after: Option<Duration>,
}

/// What an endpoint took and turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) accepted: u64,
    pub(super) turned_away: u64,
    /// Answers that came whole …
    pub(super) whole: u64,
    /// … and their tokens, prompts included.
    pub(super) tokens: u64,
}

impl Taken {
    /// What an edge brought.
    pub(super) fn of(brought: &Brought) -> Self {
        Self {
            accepted: brought.accepted().into(),
            turned_away: brought.turned_away.into(),
            whole: brought.whole.into(),
            tokens: brought.tokens,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.turned_away = self.turned_away.saturating_add(other.turned_away);
        self.whole = self.whole.saturating_add(other.whole);
        self.tokens = self.tokens.saturating_add(other.tokens);
    }
}

impl Cap {
    /// The catalogue allows so many requests and tokens per second. The provider's own word counts
    /// where it is stricter, or the catalogue has none.
    pub(super) fn configure(
        &mut self,
        (requests, tokens): (Option<f64>, Option<f64>),
        tuning: &CapTuning,
        now: Moment,
    ) {
        let stricter = |limit: Option<f64>, word: &Word| match word.per_second(tuning.believed, now)
        {
            Some(said) => Some(limit.map_or(said, |limit| limit.min(said))),
            None => limit,
        };
        let (rate, unit) = (self.accepted.rate(), self.unit());
        let (of_requests, of_tokens) = &mut self.said;
        let is_full = self.hit.is_some_and(|hit| now.since(hit) < tuning.careful);
        let refutes = if is_full {
            tuning.refutes_full
        } else {
            tuning.refutes
        };
        of_requests.weigh(rate, refutes, now);
        of_tokens.weigh(rate.zip(unit).map(|(rate, unit)| rate * unit), refutes, now);
        let requests = stricter(requests, of_requests);
        let tokens = stricter(tokens, of_tokens);
        self.requests.configure(requests, tuning);
        self.tokens.configure(tokens, tuning);
    }

    /// What the provider said of its limits at one place, in whatever order it comes.
    pub(super) fn hear(&mut self, pop: PopIx, stated: &Stated) {
        self.words.hear(pop, stated);
    }

    /// What was accepted and turned away at one place since the last tick.
    pub(super) fn saw(&mut self, pop: PopIx, taken: &Taken) {
        if *taken != Taken::default() {
            self.witnesses.saw(pop, taken);
        }
    }

    /// Requests per second that the whole fleet may send; none is not limited.
    pub(super) const fn rate(&self) -> Option<f64> {
        self.requests.rate()
    }

    /// The same in tokens.
    pub(super) const fn tokens(&self) -> Option<f64> {
        self.tokens.rate()
    }

    /// Requests per second of the usual size that fit both.
    pub(super) fn fits(&self) -> Option<f64> {
        let by_tokens = self.tokens.rate().zip(self.unit());
        let by_tokens = by_tokens.map(|(tokens, unit)| tokens / unit);
        match (self.requests.rate(), by_tokens) {
            (Some(requests), Some(by_tokens)) => Some(requests.min(by_tokens)),
            (requests, by_tokens) => requests.or(by_tokens),
        }
    }

    /// Accepted per second, of late.
    pub(super) const fn accepted(&self) -> f64 {
        self.requests.used()
    }

    /// The same in tokens.
    pub(super) const fn accepted_tokens(&self) -> f64 {
        self.tokens.used()
    }

    /// Tokens of a usual request and its answer.
    pub(super) fn unit(&self) -> Option<f64> {
        let (tokens, answers) = self.usual;
        (answers > 0.0 && tokens > 0.0).then(|| tokens / answers)
    }

    /// When it last turned requests away.
    pub(super) const fn hit(&self) -> Option<Moment> {
        self.hit
    }

    /// A tick: what was seen and heard since the last one counts.
    pub(super) fn step(&mut self, tuning: &CapTuning, now: Moment) {
        let (requests, tokens) = &mut self.said;
        let refuted = (requests.is_refuted(), tokens.is_refuted());
        let agreed = self.words.agreed(refuted, tuning.word, now);
        requests.take(agreed.requests_per_minute, now);
        tokens.take(agreed.tokens_per_minute, now);
        let gathered = &mut self.gathered;
        gathered.retry_after = gathered.retry_after.max(agreed.retry_after);
        let elapsed = now.since(gathered.since);
        if elapsed < tuning.period {
            return;
        }
        let gathered = std::mem::take(gathered);
        self.gathered.since = now;
        let kept = half_life(elapsed, tuning.witness_half_life);
        let believed = self.witnesses.believed(kept, tuning);
        self.look(&believed, gathered.retry_after, (elapsed, now), tuning);
    }

    /// True when nothing is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.requests.is_blank() && self.tokens.is_blank()
    }

    fn look(
        &mut self,
        believed: &Believed,
        retry_after: Option<Duration>,
        (elapsed, now): (Duration, Moment),
        tuning: &CapTuning,
    ) {
        let taken = &believed.taken;
        self.learn_usual(taken, half_life(elapsed, tuning.usual_half_life));
        let unit = self.unit();
        // After a long silence the first report doesn't tell of all of it.
        let seconds = elapsed.as_secs_f64().min(5.0);
        let accepted = real(taken.accepted) / seconds;
        let turned_away = real(taken.turned_away) / seconds;
        // Answers end long after they were let in: what was let in now is what counts.
        let tokens = unit.map_or(0.0, |unit| accepted * unit);
        self.requests.measure(accepted);
        self.tokens.measure(tokens);
        let hit = turned_away > tuning.hit_share * accepted + tuning.hit_rate;
        self.learn_accepted((real(believed.certain), seconds), hit, tuning);
        if hit {
            self.hit = Some(now);
            self.cut(accepted > 0.0, retry_after, tuning, now);
            return;
        }
        if self.rests.is_some_and(|until| until > now) {
            return;
        }
        let look = Look {
            seconds,
            unit: 1.0,
            hit: self.hit,
            now,
        };
        self.requests.grow(accepted, &look, tuning);
        let unit = unit.unwrap_or(1.0);
        self.tokens.grow(tokens, &Look { unit, ..look }, tuning);
    }

    /// Which limit it was is not told. One that is known and nearly used up explains it; where none
    /// does, or both do, both are cut.
    fn cut(
        &mut self,
        accepted: bool,
        retry_after: Option<Duration>,
        tuning: &CapTuning,
        now: Moment,
    ) {
        let unit = self.unit();
        if !accepted && let Some(rest) = retry_after {
            self.rests = Some(now.plus(rest.min(tuning.rest_most)));
            self.requests.shut(1.0, tuning);
            if let Some(unit) = unit.filter(|_| self.tokens.rate().is_some()) {
                self.tokens.shut(unit, tuning);
            }
            return;
        }
        let (requests, tokens) = (self.requests.explains(tuning), self.tokens.explains(tuning));
        if requests || !tokens {
            self.requests.cut(accepted, 1.0, tuning);
        }
        if let Some(unit) = unit.filter(|_| tokens || !requests) {
            self.tokens.cut(accepted, unit, tuning);
        }
    }

    /// Over the last minute or so; since it last turned requests away, if that is later. Who does,
    /// may be right with its word after all.
    fn learn_accepted(&mut self, (count, seconds): (f64, f64), hit: bool, tuning: &CapTuning) {
        if hit {
            self.accepted = Accepted::default();
            let (of_requests, of_tokens) = &mut self.said;
            of_requests.listen();
            of_tokens.listen();
        }
        let elapsed = Duration::from_secs_f64(seconds);
        let kept = half_life(elapsed, tuning.usual_half_life);
        self.accepted.add(count, seconds, kept);
    }

    fn learn_usual(&mut self, taken: &Taken, kept: f64) {
        let (tokens, answers) = &mut self.usual;
        *tokens = *tokens * kept + real(taken.tokens);
        *answers = *answers * kept + real(taken.whole);
        if *answers < 1e-3 {
            self.usual = (0.0, 0.0);
        }
    }
}

#[cfg(test)]
mod tests;
