//! Who says what an endpoint takes. Counts and words come from edges, and a broken or lying one
//! must not move everybody's cap: a point of presence whose word the others contradict counts for
//! as much as they saw. Only what is contradicted is clipped: most of a fleet's traffic may be at
//! one place, and an endpoint that nobody else asks has no other witness.

use super::Taken;
use super::limit::Word;
use crate::clock::Moment;
use crate::ranking::CapTuning;
use crate::ranking::evidence::real;
use crate::ranking::roster::PopIx;
use crate::window::Stated;
use std::time::Duration;

/// Who has less than this left of what it saw is forgotten.
const NEGLIGIBLE: f64 = 0.05;

/// All points of presence that told of an endpoint's capacity lately, by place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Witnesses {
    by: Vec<Witness>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Witness {
    pop: PopIx,
    /// Since the last look.
    fresh: Taken,
    /// Forgotten by half-life; what is fresh is in it from the look on.
    lately: Lately,
}

/// What was seen of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lately {
    accepted: f64,
    turned_away: f64,
    whole: f64,
    tokens: f64,
}

/// What is believed of all that came since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Believed {
    pub(super) taken: Taken,
    /// What was accepted for certain: a word of the provider's is refuted by no less.
    pub(super) certain: u64,
}

impl Witnesses {
    /// Adds what was seen at one place.
    pub(super) fn saw(&mut self, pop: PopIx, taken: &Taken) {
        if let Some(witness) = seat(&mut self.by, pop) {
            witness.fresh.merge(taken);
        }
    }

    /// What came since the last look, without what is contradicted; `kept` of what was remembered
    /// is still remembered.
    pub(super) fn believed(&mut self, kept: f64, tuning: &CapTuning) -> Believed {
        let mut all = Lately::default();
        for witness in &mut self.by {
            witness.lately.scale(kept);
            witness.lately.add(&Lately::of(&witness.fresh));
            all.add(&witness.lately);
        }
        let busiest = Top::of(&self.by, |it| it.attempts());
        let accuser = Top::of(&self.by, |it| it.turned_away);
        let mut sum = Believed::default();
        for (at, witness) in self.by.iter().enumerate() {
            let lately = all.minus(&witness.lately);
            let others = Others {
                lately,
                without_busiest: lately.minus(&busiest.besides(at)),
                without_accuser: lately.minus(&accuser.besides(at)),
            };
            let taken = others.believe(witness, tuning);
            let certain = if lately.attempts() >= tuning.contradicts {
                let most = tuning.clip * lately.accepted;
                at_most(most, witness.lately.accepted, taken.accepted)
            } else {
                taken.accepted
            };
            sum.taken.merge(&taken);
            sum.certain = sum.certain.saturating_add(certain);
        }
        for witness in &mut self.by {
            witness.fresh = Taken::default();
        }
        self.by
            .retain(|it| it.lately.attempts() + it.lately.whole >= NEGLIGIBLE);
        sum
    }
}

/// What all but one saw. Two of them must contradict it: one alone may be the one that lies.
struct Others {
    lately: Lately,
    without_busiest: Lately,
    without_accuser: Lately,
}

/// Who saw the most of something, and the next: so that anybody's others have one.
#[derive(Default)]
struct Top {
    at: usize,
    most: f64,
    first: Lately,
    second: (f64, Lately),
}

impl Top {
    fn of(by: &[Witness], key: fn(&Lately) -> f64) -> Self {
        let mut top = Self::default();
        for (at, Witness { lately, .. }) in by.iter().enumerate() {
            let value = key(lately);
            if value > top.most {
                top.second = (top.most, top.first);
                (top.at, top.most, top.first) = (at, value, *lately);
            } else if value > top.second.0 {
                top.second = (value, *lately);
            }
        }
        top
    }

    /// The first among all but this one.
    const fn besides(&self, at: usize) -> Lately {
        if at == self.at {
            self.second.1
        } else {
            self.first
        }
    }
}

impl Others {
    fn believe(&self, witness: &Witness, tuning: &CapTuning) -> Taken {
        let mut taken = witness.fresh;
        let (mine, theirs) = (&witness.lately, &self.lately);
        if self.without_busiest.contradicts(mine, tuning) {
            let share = theirs.turned_away / theirs.attempts().max(1e-9);
            let most = share * mine.attempts().min(theirs.attempts());
            taken.turned_away = at_most(most, mine.turned_away, taken.turned_away);
        }
        // Who alone is let in, and much, hides that everybody else is not.
        if mine.contradicts(&self.without_accuser, tuning) {
            let most = tuning.clip * theirs.accepted;
            taken.accepted = at_most(most, mine.accepted, taken.accepted);
        }
        if theirs.whole < tuning.contradicts {
            return taken;
        }
        let size = mine.tokens / mine.whole.max(1e-9);
        let usual = theirs.tokens / theirs.whole;
        if size > tuning.clip * usual {
            let most = tuning.clip * theirs.tokens;
            taken.tokens = at_most(most, mine.tokens, taken.tokens);
        } else if usual > tuning.clip * size {
            let most = tuning.clip * theirs.whole;
            taken.whole = at_most(most, mine.whole, taken.whole);
        }
        taken
    }
}

impl Lately {
    fn of(taken: &Taken) -> Self {
        Self {
            accepted: real(taken.accepted),
            turned_away: real(taken.turned_away),
            whole: real(taken.whole),
            tokens: real(taken.tokens),
        }
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.turned_away += other.turned_away;
        self.whole += other.whole;
        self.tokens += other.tokens;
    }

    fn minus(&self, part: &Self) -> Self {
        let rest = |all: f64, part: f64| (all - part).max(0.0);
        Self {
            accepted: rest(self.accepted, part.accepted),
            turned_away: rest(self.turned_away, part.turned_away),
            whole: rest(self.whole, part.whole),
            tokens: rest(self.tokens, part.tokens),
        }
    }

    fn scale(&mut self, by: f64) {
        self.accepted *= by;
        self.turned_away *= by;
        self.whole *= by;
        self.tokens *= by;
    }

    fn attempts(&self) -> f64 {
        self.accepted + self.turned_away
    }

    /// Would it have been turned away more often, were that true of it, too? So many times that
    /// chance does not explain it. Few attempts say little of a share.
    fn contradicts(&self, word: &Self, tuning: &CapTuning) -> bool {
        let share = word.turned_away / (word.attempts() + tuning.contradicts);
        let expected = self.attempts() * share;
        expected >= tuning.contradicts && tuning.clip * self.turned_away < expected
    }
}

/// What the provider says of its limits, by who heard it: one place's word counts where nobody else
/// heard any; else a limit is as strict as two of them say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    by: Vec<Heard>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    pop: PopIx,
    fresh: Stated,
    requests: Word,
    tokens: Word,
}

impl Words {
    /// In whatever order it comes.
    pub(super) fn hear(&mut self, pop: PopIx, stated: &Stated) {
        if stated.is_silent() {
            return;
        }
        if let Some(heard) = seat(&mut self.by, pop) {
            heard.fresh.merge(stated);
        }
    }

    /// What was said since the last time, as far as it is agreed on. What was agreed on before may
    /// be refuted, of requests and of tokens: then a looser word need not wait.
    pub(super) fn agreed(
        &mut self,
        refuted: (bool, bool),
        patience: Duration,
        now: Moment,
    ) -> Stated {
        let (mut requests, mut tokens, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        let (mut of_requests, mut of_tokens) = (false, false);
        for heard in &mut self.by {
            let fresh = std::mem::take(&mut heard.fresh);
            of_requests |= fresh.requests_per_minute.is_some();
            of_tokens |= fresh.tokens_per_minute.is_some();
            let waits = |refuted| if refuted { Duration::ZERO } else { patience };
            let (of_one, of_other) = (waits(refuted.0), waits(refuted.1));
            heard.requests.hear(fresh.requests_per_minute, of_one, now);
            heard.tokens.hear(fresh.tokens_per_minute, of_other, now);
            requests.extend(heard.requests.within(patience, now));
            tokens.extend(heard.tokens.within(patience, now));
            rests.extend(fresh.retry_after.map(std::cmp::Reverse));
        }
        self.by.retain(|it| {
            let said = [&it.requests, &it.tokens];
            said.iter().any(|word| word.within(patience, now).is_some())
        });
        Stated {
            requests_per_minute: second(requests).filter(|_| of_requests),
            tokens_per_minute: second(tokens).filter(|_| of_tokens),
            retry_after: second(rests).map(|rest| rest.0),
        }
    }
}

/// The second least, or the only one.
fn second<T: Ord>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.into_iter().take(2).last()
}

/// What counts of a fresh count, where of all that is remembered `most` counts.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to an integer saturates"
)]
fn at_most(most: f64, remembered: f64, fresh: u64) -> u64 {
    if remembered <= most {
        return fresh;
    }
    (real(fresh) * most / remembered) as u64
}

/// What is kept by place, ascending.
trait Seated: Default {
    fn pop(&self) -> PopIx;
    fn at(pop: PopIx) -> Self;
}

impl Seated for Witness {
    fn pop(&self) -> PopIx {
        self.pop
    }
    fn at(pop: PopIx) -> Self {
        Self {
            pop,
            ..Self::default()
        }
    }
}

impl Seated for Heard {
    fn pop(&self) -> PopIx {
        self.pop
    }
    fn at(pop: PopIx) -> Self {
        Self {
            pop,
            ..Self::default()
        }
    }
}

/// One place's. Where all places saw the endpoint, its place there is its place here.
fn seat<T: Seated>(seats: &mut Vec<T>, pop: PopIx) -> Option<&mut T> {
    let at = pop.at();
    if seats.get(at).is_some_and(|it| it.pop() == pop) {
        return seats.get_mut(at);
    }
    let at = match seats.binary_search_by_key(&pop, T::pop) {
        Ok(at) => at,
        Err(at) => {
            seats.insert(at, T::at(pop));
            at
        }
    };
    seats.get_mut(at)
}
