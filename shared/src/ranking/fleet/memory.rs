//! What is known of one endpoint, and how a tick moves it on.

use crate::catalog::{Limits, Provider};
use crate::clock::Moment;
use crate::id::Pop;
use crate::ranking::account::Account;
use crate::ranking::cap::{Cap, Taken};
use crate::ranking::evidence::{Evidence, Fading, Observer};
use crate::ranking::probe::Turn;
use crate::ranking::record::{Record, Track};
use crate::ranking::roster::{NodeIx, PopIx, RegionIx, Roster};
use crate::ranking::score::Facts;
use crate::ranking::speed::{Better, Recent};
use crate::ranking::state::{Answers, Machine};
use crate::ranking::tally::{Scratch, Tally};
use crate::ranking::{State, Tuning, verdict};
use crate::window::Window;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is known of one endpoint.
#[derive(Clone, Debug, Default)]
pub(in crate::ranking) struct Memory {
    pub(in crate::ranking) evidence: Evidence,
    /// Milliseconds to the first token, of all regions together.
    pub(in crate::ranking) ttft: Recent,
    /// Tokens per second: the provider's doing, not the region's.
    pub(in crate::ranking) throughput: Recent,
    /// The same of answers that came whole: told where no stream tells. It is no part of a score,
    /// since it holds the time to the first token, which differs with the length of the answers.
    pub(in crate::ranking) whole_throughput: Recent,
    pub(in crate::ranking) record: Record,
    /// The fleet's state.
    pub(in crate::ranking) machine: Machine,
    pub(in crate::ranking) cap: Cap,
    pub(in crate::ranking) account: Account,
    /// Requests whose first attempt it was, by node, between the last tick and the one before.
    pub(in crate::ranking) requests: Vec<(NodeIx, u32)>,
    /// What the evidence amounted to at the last tick.
    pub(in crate::ranking) tally: Tally,
    /// By region.
    pub(in crate::ranking) regions: Vec<Local>,
    stepped: Option<Moment>,
}

/// What is known of one endpoint in one region.
#[derive(Clone, Debug, Default)]
pub(in crate::ranking) struct Local {
    pub(in crate::ranking) ttft: Recent,
    pub(in crate::ranking) record: Track,
    /// The region's own state: something may be wrong only here.
    pub(in crate::ranking) machine: Machine,
    pub(in crate::ranking) standing: Option<Standing>,
    pub(in crate::ranking) turn: Turn,
}

/// What the last tick made of it in a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ranking) struct Standing {
    /// By mode.
    pub(in crate::ranking) shares: [f64; 4],
    /// What they were made of.
    pub(in crate::ranking) facts: Facts,
    /// What held the share down, of the balanced mode: the state's and the ramp's limit.
    pub(in crate::ranking) limit: f64,
}

/// What all endpoints need for a tick.
pub(in crate::ranking) struct Step<'a> {
    pub(in crate::ranking) roster: &'a Roster,
    /// Points of presence with a live node.
    pub(in crate::ranking) pops: BTreeSet<PopIx>,
    pub(in crate::ranking) tuning: &'a Tuning,
    /// For an endpoint that has not been stepped before.
    pub(in crate::ranking) elapsed: Duration,
    pub(in crate::ranking) now: Moment,
}

impl Memory {
    /// Adds a window of a report that covers so much time.
    pub(in crate::ranking) fn add(
        &mut self,
        from: (NodeIx, PopIx, RegionIx),
        window: &Window,
        tuning: &Tuning,
        now: Moment,
    ) {
        let most = self
            .evidence
            .samples_max(&tuning.verdict, Duration::from_secs(1));
        self.evidence.add(from, window, now);
        self.cap.hear(from.1, &window.stated);
        self.throughput.add(&window.throughput, most);
        self.whole_throughput.add(&window.whole_throughput, most);
        if !window.ttft.is_empty() {
            let at = from.2.at();
            self.reach(at + 1);
            if let Some(local) = self.regions.get_mut(at) {
                local.ttft.add(&window.ttft, most);
            }
        }
    }

    /// There are so many regions.
    pub(in crate::ranking) fn reach(&mut self, regions: usize) {
        if self.regions.len() < regions {
            self.regions.resize_with(regions, Local::default);
        }
    }

    /// A region has no edge any more, and another may take its place.
    pub(in crate::ranking) fn forget(&mut self, region: RegionIx) {
        if let Some(local) = self.regions.get_mut(region.at()) {
            *local = Local::default();
        }
    }

    /// The provider's limits, as it states them or the catalogue does, are the first cap.
    pub(in crate::ranking) fn configure(
        &mut self,
        provider: Option<&Provider>,
        tuning: &Tuning,
        now: Moment,
    ) {
        let limits = provider.map(|provider| provider.limits).unwrap_or_default();
        if limits == Limits::default() {
            self.account = Account::default();
        }
        let per_second = |per_minute: u32| f64::from(per_minute) / 60.0;
        let configured = (
            limits.requests_per_minute.map(per_second),
            limits.tokens_per_minute.map(per_second),
        );
        self.cap.configure(configured, &tuning.cap, now);
    }

    /// Requests per second that the whole fleet may send it, by what it takes itself and by its part
    /// of its provider's account; none is not limited.
    pub(in crate::ranking) fn rate(&self) -> Option<f64> {
        least(self.cap.rate(), self.account.requests())
    }

    /// The same in tokens.
    pub(in crate::ranking) fn tokens(&self) -> Option<f64> {
        least(self.cap.tokens(), self.account.tokens())
    }

    /// Requests per second of the usual size that fit both.
    pub(in crate::ranking) fn fits(&self) -> Option<f64> {
        let by_tokens = self.account.tokens().zip(self.cap.unit());
        let by_tokens = by_tokens.map(|(tokens, unit)| tokens / unit);
        least(self.cap.fits(), least(self.account.requests(), by_tokens))
    }

    /// Time passes.
    pub(in crate::ranking) fn step(&mut self, step: &Step<'_>, scratch: &mut Scratch) {
        let Step { tuning, now, .. } = *step;
        let elapsed = self
            .stepped
            .map_or(step.elapsed, |before| now.since(before));
        self.stepped = Some(now);
        let fading = Fading::over(elapsed, &tuning.verdict);
        self.evidence.fold(fading, &tuning.verdict);
        self.requests.clear();
        for observer in &self.evidence.observers {
            let brought = observer.brought();
            self.cap.saw(observer.pop, &Taken::of(brought));
            if brought.requests > 0 {
                self.requests.push((observer.node, brought.requests));
            }
        }
        self.cap.step(&tuning.cap, now);
        self.speeds(step, elapsed);

        let said = verdict::fleet(&self.evidence, step.roster, &tuning.verdict, now);
        let answers = self.answers_to(&self.machine, step, None);
        let mut proved = self.machine.step(&said, answers, tuning, now);
        proved |= self.step_regions(step);
        if proved {
            self.evidence.absolve();
        }
        self.tally.of(&self.evidence, &tuning.verdict, now, scratch);
    }

    /// The stricter of the fleet's state and the region's, and its limit.
    pub(in crate::ranking) fn state(&self, region: RegionIx, tuning: &Tuning) -> (State, f64) {
        let fleet = (self.machine.state(), self.machine.limit(tuning));
        let own = self.regions.get(region.at()).map(|local| &local.machine);
        let own = own.map(|machine| (machine.state(), machine.limit(tuning)));
        match own {
            Some(own) if own.1 < fleet.1 => own,
            _ => fleet,
        }
    }

    /// The machine whose question a probe answers.
    pub(in crate::ranking) fn asking(&self, region: RegionIx) -> Option<&Machine> {
        let own = self.regions.get(region.at()).map(|local| &local.machine);
        let half_open = |machine: &&Machine| machine.state() == State::HalfOpen;
        Some(&self.machine)
            .filter(half_open)
            .or_else(|| own.filter(half_open))
    }

    /// True when there is something to tell of it: its model has rows.
    pub(in crate::ranking) fn is_live(&self, tuning: &Tuning, now: Moment) -> bool {
        let local = |local: &Local| !local.machine.is_blank(tuning, now);
        !self.evidence.is_empty()
            || !self.ttft.is_empty()
            || !self.throughput.is_empty()
            || !self.whole_throughput.is_empty()
            || !self.cap.is_blank()
            || !self.machine.is_blank(tuning, now)
            || self.regions.iter().any(local)
    }

    /// True when nothing is left to remember.
    pub(in crate::ranking) fn is_blank(&self, tuning: &Tuning, now: Moment) -> bool {
        self.record.is_blank(tuning.probe.memory, now) && !self.is_live(tuning, now)
    }

    fn speeds(&mut self, step: &Step<'_>, elapsed: Duration) {
        let (tuning, now) = (&step.tuning.speed, step.now);
        let memory = step.tuning.probe.memory;
        let regime = self.ttft.current_from();
        let before = self.ttft.now();
        self.throughput.fold(Better::More, tuning, now);
        self.whole_throughput.fold(Better::More, tuning, now);
        for local in &self.regions {
            self.ttft.add_fresh(&local.ttft);
        }
        self.ttft.fold(Better::Less, tuning, now);
        for local in &mut self.regions {
            local.ttft.fold(Better::Less, tuning, now);
        }
        let faster = before
            .zip(self.ttft.now())
            .is_some_and(|(before, after)| after.p50 < tuning.faster * before.p50);
        if faster && self.ttft.current_from() > regime {
            // Regions are too sparse to see for themselves that it has recovered.
            for local in &mut self.regions {
                if local.ttft.current_from() < self.ttft.current_from() {
                    local.ttft.replace_current(&self.ttft, Better::Less, tuning);
                }
            }
        }
        if let Some(speed) = self.throughput.now() {
            self.record.touch(now);
            self.record.throughput.learn(speed.p50, elapsed, memory);
        }
        if let Some(ttft) = self.ttft.now() {
            self.record.touch(now);
            self.record.ttft.learn(ttft.p50, elapsed, memory);
        }
        for local in &mut self.regions {
            if let Some(ttft) = local.ttft.now() {
                local.record.learn(ttft.p50, elapsed, memory);
            }
        }
    }

    /// Regions have a state of their own only where something is wrong.
    fn step_regions(&mut self, step: &Step<'_>) -> bool {
        let Step { tuning, now, .. } = *step;
        if self.evidence.has_failures() {
            let seen = self.evidence.observers.iter().map(|it| it.region.at());
            self.reach(seen.max().map_or(0, |at| at + 1));
        }
        let mut proved = false;
        let mut regions = std::mem::take(&mut self.regions);
        for (at, local) in (0_u32..).zip(&mut regions) {
            let region = RegionIx(at);
            if local.machine.is_blank(tuning, now) && !self.evidence.has_failures() {
                continue;
            }
            let said = verdict::region(&self.evidence, region, &tuning.verdict);
            let answers = self.answers_to(&local.machine, step, Some(region));
            proved |= local.machine.step(&said, answers, tuning, now);
        }
        self.regions = regions;
        proved
    }

    /// What counts as an answer to a machine's question: of its region; and where somebody
    /// accuses, of another point of presence, if there is one that could answer.
    fn answers_to(&self, machine: &Machine, step: &Step<'_>, region: Option<RegionIx>) -> Answers {
        let mut sum = Answers::default();
        if machine.state() != State::HalfOpen {
            return sum;
        }
        let accused_by = |accusers: &BTreeSet<Pop>, pop: PopIx| {
            step.roster
                .pop(pop)
                .is_some_and(|pop| accusers.contains(pop))
        };
        let accusers = machine
            .accusers()
            .filter(|accusers| step.pops.iter().any(|pop| !accused_by(accusers, *pop)));
        let counts = |observer: &&Observer| {
            region.is_none_or(|region| observer.region == region)
                && accusers.is_none_or(|accusers| !accused_by(accusers, observer.pop))
        };
        for observer in self.evidence.observers.iter().filter(counts) {
            let answers = observer.brought().answers();
            sum.ok += answers.ok;
            sum.failed += answers.failed;
            sum.silent += answers.silent;
        }
        sum
    }
}

/// The stricter of two limits.
fn least(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
