//! The connection over which an edge's reports go, and its table comes. In the reference's world
//! nothing is ever lost on it. In the extended one it stalls and it breaks: the edge notices at
//! once or by its keep-alive, connects again after a pause, and sends what was not acknowledged
//! again. So reports come late, twice and overtaken by later ones, as the real ones do; none is
//! gone but what has grown too old by then. The outbox is the production code's.

use super::agenda::Item;
use super::{Ours, REPORT_TAKES, moment, seconds};
use crate::random::Random;
use crate::scenario::Kind;
use crate::world::World;
use shared::window::Report;

/// With this probability a report's connection breaks with it, and whether it still arrives is even.
const LOST: f64 = 0.01;
/// Of those, the part that the edge is not told of.
const SILENTLY: f64 = 0.5;
/// Seconds until its keep-alive tells it then: a ping each 5 s, whose answer may take 3.
const KEEP_ALIVE: (f64, f64) = (3.0, 8.0);
/// With this probability a report is held up, for so many seconds, and holds up what is behind it.
const HELD_UP: (f64, f64) = (0.01, 5.0);
/// Seconds that a connection takes to be made: TCP, TLS, HTTP/2.
const CONNECT_TAKES: f64 = 0.3;
/// Seconds after which a try to connect is given up.
const CONNECT_MAX: f64 = 2.0;
/// The bounds of the pause before a connection, in seconds: doubled by each failure.
const PAUSE: (f64, f64) = (0.1, 10.0);
/// A connection that lived so long begins with the least pause again.
const SETTLED: f64 = 5.0;
/// What is older than this is not reported.
const STALE: f64 = 10.0;

/// An edge's connection to the control plane.
pub(super) struct Line {
    /// Which one it is, counted from the first.
    number: u64,
    /// As far as the edge knows it is there.
    up: bool,
    /// Nothing passes any more, whether the edge knows it or not.
    lost: bool,
    since: f64,
    /// When the last report arrives.
    until: f64,
    /// The next pause is below this.
    pause: f64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            number: 1,
            up: true,
            lost: false,
            since: 0.0,
            until: 0.0,
            pause: PAUSE.0,
        }
    }
}

impl Line {
    /// Do tables come through?
    pub(super) fn carries(&self) -> bool {
        self.up && !self.lost
    }

    /// Seconds until the next try.
    fn next_pause(&mut self, luck: &mut Random) -> f64 {
        let pause = luck.unit() * self.pause;
        self.pause = (2.0 * self.pause).min(PAUSE.1);
        pause
    }
}

impl Ours {
    /// An edge tells what it has to tell, if it can.
    pub(super) fn report(&mut self, world: &World, edge: usize, now: f64) {
        let lies = world.lies(edge, now);
        if self.scenario.kind == Kind::Extended {
            let from = &mut self.edges[edge];
            if from.line.up
                && !from.outbox.is_full()
                && let Some(report) = from.report(lies, now)
            {
                self.carry(edge, report, now);
            }
            return;
        }
        if self.scenario.is_cut(now) {
            self.edges[edge].unheard();
            return;
        }
        let from = &mut self.edges[edge];
        if let Some(report) = from.report(lies, now) {
            from.outbox.acknowledged(report.epoch, report.sequence);
            let item = Item::Arrives(Box::new(report), None);
            self.agenda.push(now + REPORT_TAKES, item);
        }
    }

    fn carry(&mut self, edge: usize, report: Report, now: f64) {
        let cut = self.scenario.is_cut(now);
        let line = &mut self.edges[edge].line;
        if line.lost {
            return;
        }
        let mut arrives = !cut;
        if cut || self.luck.unit() < LOST {
            line.lost = true;
            arrives &= self.luck.unit() < 0.5;
            let unnoticed = if cut || self.luck.unit() < SILENTLY {
                self.luck.uniform(KEEP_ALIVE.0, KEEP_ALIVE.1)
            } else {
                REPORT_TAKES
            };
            let item = Item::Breaks(edge, line.number);
            self.agenda.push(now + unnoticed, item);
        }
        if !arrives {
            return;
        }
        let held_up = if self.luck.unit() < HELD_UP.0 {
            HELD_UP.1
        } else {
            0.0
        };
        // Within one connection nothing overtakes.
        line.until = line.until.max(now + REPORT_TAKES + held_up);
        let item = Item::Arrives(Box::new(report), Some((edge, line.number)));
        self.agenda.push(line.until, item);
    }

    /// A report has come over this connection: its acknowledgement goes back.
    pub(super) fn acknowledge(&mut self, over: Option<(usize, u64)>, report: &Report, now: f64) {
        if let Some((edge, line)) = over {
            let item = Item::Acknowledged(edge, line, report.sequence);
            self.agenda.push(now + REPORT_TAKES, item);
        }
    }

    /// And is there, if the connection still is.
    pub(super) fn acknowledged(&mut self, edge: usize, line: u64, sequence: u64) {
        let edge = &mut self.edges[edge];
        if edge.line.number == line && !edge.line.lost {
            edge.outbox.acknowledged(super::edge::EPOCH, sequence);
        }
    }

    /// An edge learns that its connection is gone.
    pub(super) fn breaks(&mut self, edge: usize, line: u64, now: f64) {
        let known = &mut self.edges[edge].line;
        if known.number != line {
            return;
        }
        known.up = false;
        if now - known.since >= SETTLED {
            known.pause = PAUSE.0;
        }
        let pause = known.next_pause(&mut self.luck);
        let at = now + pause + CONNECT_TAKES;
        self.agenda.push(at, Item::Connects(edge));
    }

    /// An edge connects again, if the control plane can be reached.
    pub(super) fn connects(&mut self, edge: usize, now: f64) {
        let cut = self.scenario.is_cut(now);
        let from = &mut self.edges[edge];
        if cut {
            let at = now + CONNECT_MAX + from.line.next_pause(&mut self.luck);
            self.agenda.push(at, Item::Connects(edge));
            return;
        }
        from.line = Line {
            number: from.line.number + 1,
            since: now,
            until: now,
            pause: from.line.pause,
            ..Line::default()
        };
        if from.outbox.forget_stale(seconds(STALE), moment(now)) {
            from.unheard();
        }
        let again: Vec<Report> = from.outbox.unacked().cloned().collect();
        for report in again {
            self.carry(edge, report, now);
        }
    }
}
