//! The providers as they really are, moment by moment: load, limits, faults, luck. Policies see
//! only answers; oracles may look.

mod calls;
mod flags;

use crate::random::Random;
use crate::scenario::{Break, Kind, REGIONS, Scenario};
pub use calls::Call;
use calls::Sessions;
pub use flags::Flags;
use shared::health::Allowance;
use std::f64::consts::TAU;
use std::time::Duration;

/// A request is served well when its first token comes within so many seconds …
pub const TTFT_GOOD: f64 = 3.0;
/// … and its tokens at least so many per second.
pub const SPEED_GOOD: f64 = 20.0;

/// How an attempt ends, if nobody gives up before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With tokens.
    Ok,
    /// With a 5xx.
    HardFail,
    /// With a 503 or 529.
    Overload,
    /// With a 429.
    RateLimited,
    /// Never.
    Hang,
}

/// What an offer does with an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Answer {
    /// How.
    pub ending: Ending,
    /// Seconds to the first token or to the failure.
    pub delay: f64,
    /// Seconds from the first token to the last.
    pub stream: f64,
    /// False when the stream is cut.
    pub complete: bool,
    /// Tokens per second.
    pub speed: f64,
    /// Seconds that a 429 asks for.
    pub retry_after: f64,
    /// The part of the prompt that was cached.
    pub hit: f64,
    /// What its headers state of requests and of tokens.
    pub stated: (Option<Allowance>, Option<Allowance>),
}

/// Everything that a policy doesn't own; the same for all policies of a seed but for the luck of
/// their attempts.
pub struct World {
    /// What happens.
    pub scenario: Scenario,
    /// All requests, by time.
    pub calls: Vec<Call>,
    offers: Vec<Load>,
    sessions: Sessions,
    luck: Random,
    flags: Vec<Flags>,
    flags_of: u64,
}

/// How much of an offer is in use.
struct Load {
    running: usize,
    requests: Bucket,
    tokens: Bucket,
    /// The load of others' traffic: period and phase.
    tide: (f64, f64),
}

#[derive(Default)]
struct Bucket {
    left: f64,
    filled: f64,
}

impl Bucket {
    /// What is left now, when it fills at that rate and holds two seconds of it.
    fn fill(&mut self, rate: f64, now: f64) -> f64 {
        self.left = (2.0 * rate).min(self.left + (now - self.filled) * rate);
        self.filled = now;
        self.left
    }
}

impl World {
    /// The world of a seed.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let mut random = Random::stream(seed, 1);
        let offers = scenario.offers.iter().map(|offer| Load {
            running: 0,
            requests: Bucket {
                left: 2.0 * offer.limit,
                filled: 0.0,
            },
            tokens: Bucket {
                left: 2.0 * offer.tokens.unwrap_or(0.0),
                filled: 0.0,
            },
            tide: (random.uniform(180.0, 420.0), random.uniform(0.0, TAU)),
        });
        let offers = offers.collect();
        let calls = calls::calls(&scenario, &mut Random::stream(seed, 2));
        let flags = vec![Flags::default(); scenario.offers.len() * REGIONS.len()];
        Self {
            calls,
            offers,
            sessions: Sessions::default(),
            luck: Random::stream(seed, 3),
            flags,
            flags_of: u64::MAX,
            scenario,
        }
    }

    /// What is wrong with an offer now. Faults begin and end on whole seconds.
    pub fn flags(&mut self, offer: usize, region: usize, now: f64) -> Flags {
        let second = now as u64;
        if second != self.flags_of {
            self.flags_of = second;
            self.see_flags(second as f64);
        }
        self.flags[region * self.scenario.offers.len() + offer]
    }

    fn see_flags(&mut self, second: f64) {
        let count = self.scenario.offers.len();
        for (at, flags) in self.flags.iter_mut().enumerate() {
            *flags = Flags::default();
            let (region, offer) = (at / count, &self.scenario.offers[at % count]);
            for fault in &self.scenario.faults {
                let here = fault.region.is_none_or(|only| only == region);
                if fault.active(second) && here && fault.providers.contains(&offer.provider) {
                    flags.add(fault.what, second - fault.start, fault.end - fault.start);
                }
            }
        }
    }

    /// How full an offer is: 1 is full.
    #[must_use]
    pub fn load(&self, offer: usize, now: f64) -> f64 {
        let Load { running, tide, .. } = &self.offers[offer];
        let own = *running as f64 / self.scenario.offers[offer].concurrent;
        own + 0.08 + 0.07 * (TAU * now / tide.0 + tide.1).sin()
    }

    /// Requests that its limit would still let pass.
    pub fn allowance(&mut self, offer: usize, left_of_limit: f64, now: f64) -> f64 {
        let rate = self.scenario.offers[offer].limit * left_of_limit;
        self.offers[offer].requests.fill(rate, now)
    }

    /// So many times the idle latency at that load.
    #[must_use]
    pub fn slowed(load: f64) -> f64 {
        1.0 + 0.3 * (load - 0.5).max(0.0) / (1.06 - load.min(1.0))
    }

    /// What becomes of an attempt; takes its part of the limits.
    pub fn attempt(&mut self, call: usize, offer: usize, now: f64) -> Answer {
        let asked = self.calls[call];
        let region = self.scenario.region_of(asked.edge);
        let flags = self.flags(offer, region, now);
        let trip = self.scenario.round_trip(region, offer);
        let failed = |ending, delay, retry_after| Answer {
            ending,
            delay,
            stream: 0.0,
            complete: false,
            speed: 0.0,
            retry_after,
            hit: 0.0,
            stated: (None, None),
        };
        if flags.down {
            return failed(Ending::HardFail, 0.08 + trip, 0.0);
        }
        let unreachable = self.uplink(asked.edge, now);
        if unreachable > 0.0 && self.luck.unit() < unreachable {
            return failed(Ending::HardFail, 0.08, 0.0);
        }
        if flags.hole > 0.0 && self.luck.unit() < flags.hole {
            return failed(Ending::Hang, 1e9, 0.0);
        }
        let admitted = self.admit(offer, &asked, flags.limit, now);
        let stated = self.stated(offer, flags.limit);
        if !admitted {
            let retry_after = 1.0 + 2.0 * self.luck.unit();
            return Answer {
                stated,
                ..failed(Ending::RateLimited, 0.05 + trip, retry_after)
            };
        }
        let load = self.load(offer, now);
        if load >= 1.0 {
            return Answer {
                stated,
                ..failed(Ending::Overload, 0.1 + trip, 0.0)
            };
        }
        let about = self.scenario.offers[offer];
        if self.luck.unit() < about.errors + flags.errors {
            return failed(Ending::HardFail, 0.3 + trip, 0.0);
        }
        let hit = self.sessions.hit(&asked, offer, now);
        let luck = &mut self.luck;
        let tail = if luck.unit() < 0.012 { 5.0 } else { 1.0 };
        let reading = asked.prompt * (1.0 - hit) / READ_SPEED;
        let work = (about.ttft + reading) * Self::slowed(load) * flags.latency;
        let delay = trip + work * luck.log_normal(0.0, 0.4) * tail;
        let crowded = 1.0 - 0.4 * (load - 0.6).max(0.0);
        let speed = about.speed * flags.speed * luck.log_normal(0.0, 0.15) * crowded;
        let complete = luck.unit() >= flags.truncate;
        let whole = asked.output / speed;
        Answer {
            ending: Ending::Ok,
            delay,
            stream: if complete { whole } else { whole * luck.unit() },
            complete,
            speed,
            retry_after: 0.0,
            hit,
            stated,
        }
    }

    fn admit(&mut self, offer: usize, call: &Call, left_of_limit: f64, now: f64) -> bool {
        if self.allowance(offer, left_of_limit, now) < 1.0 {
            return false;
        }
        let load = &mut self.offers[offer];
        if let Some(tokens) = self.scenario.offers[offer].tokens {
            let wanted = call.prompt + call.output;
            // A request larger than what is left is let through once the bucket is half full:
            // limits are kept over a minute, not by the request.
            let left = load.tokens.fill(tokens * left_of_limit, now);
            if left < wanted.min(tokens * left_of_limit) {
                return false;
            }
            load.tokens.left -= wanted;
        }
        load.requests.left -= 1.0;
        true
    }

    /// What an offer's headers state now: limits per minute, which refill steadily.
    fn stated(&self, offer: usize, left_of_limit: f64) -> (Option<Allowance>, Option<Allowance>) {
        let about = self.scenario.offers[offer];
        if !about.states_limits {
            return (None, None);
        }
        let allowance = |rate: f64, bucket: &Bucket| {
            let rate = rate * left_of_limit;
            let missing = (2.0 * rate - bucket.left).max(0.0);
            Allowance {
                period: None,
                limit: Some(60.0 * rate),
                remaining: 60.0 * rate - missing,
                reset: Some(Duration::from_secs_f64(missing / rate)),
            }
        };
        let load = &self.offers[offer];
        let tokens = about.tokens.map(|rate| allowance(rate, &load.tokens));
        (Some(allowance(about.limit, &load.requests)), tokens)
    }

    /// The part of its requests for which an edge reaches nobody.
    fn uplink(&self, edge: usize, now: f64) -> f64 {
        if self.scenario.kind == Kind::Standard {
            return 0.0;
        }
        let active = self.scenario.faults.iter().filter(|it| it.active(now));
        let parts = active.filter_map(|fault| match fault.what {
            Break::Uplink(cut, part) if cut == edge => Some(part),
            _ => None,
        });
        parts.fold(0.0, f64::max)
    }

    /// Does this edge lie now?
    #[must_use]
    pub fn lies(&self, edge: usize, now: f64) -> bool {
        let mut active = self.scenario.faults.iter().filter(|it| it.active(now));
        active.any(|fault| fault.what == Break::Liar(edge))
    }

    /// An attempt occupies the offer until [`World::released`].
    pub fn occupied(&mut self, offer: usize) {
        self.offers[offer].running += 1;
    }

    /// It no longer does.
    pub fn released(&mut self, offer: usize) {
        self.offers[offer].running = self.offers[offer].running.saturating_sub(1);
    }

    /// An offer has read a prompt: the session's next one finds it cached there.
    pub fn served(&mut self, call: usize, offer: usize, now: f64) {
        self.sessions.served(&self.calls[call], offer, now);
    }

    /// The offer at which a session's prompt is cached, and the part that is.
    #[must_use]
    pub fn warm_at(&self, call: usize, now: f64) -> Option<(usize, f64)> {
        self.sessions.warm_at(&self.calls[call], now)
    }

    /// What an answer costs, in millionths of a USD.
    #[must_use]
    pub fn cost(&self, call: usize, offer: usize, hit: f64) -> f64 {
        let (call, offer) = (&self.calls[call], &self.scenario.offers[offer]);
        if self.scenario.kind == Kind::Standard {
            return offer.price * call.output;
        }
        let read = call.prompt * (1.0 - hit + hit * offer.cached);
        offer.price * (PROMPT_PRICE * read + OUTPUT_PRICE * call.output)
    }
}

/// Prompt tokens that an offer reads per second.
const READ_SPEED: f64 = 12_000.0;
/// What tokens cost in the extended world, as parts of an offer's price.
pub(crate) const PROMPT_PRICE: f64 = 0.5;
pub(crate) const OUTPUT_PRICE: f64 = 2.0;
