//! The simulated world: time, the network, who lives, what is asked, and what must be true.

mod chaos;
mod judge;
mod network;

use super::control::{Answer, Call, Control};
use super::run::Run;
use crate::account::lease::Now;
use crate::account::wal::OpenHold;
use shared::clock::{Clock, Moment};
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::money::Amount;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Turns of chaos in one run.
const TURNS: u64 = 220;
const NODES: usize = 3;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
/// A manual clock's wall time at its start.
const WALL_MS: i64 = 1_767_225_600_000;
/// When the ledger takes a lease back of which it hears nothing: two hours and a fiftieth and a
/// second.
const LEDGER_WAITS: u64 = 7_345 * SECOND;
/// How long a node whose call has no answer says nothing.
const PAUSE: u64 = 10 * SECOND;
/// How long a call is waited for.
const PATIENCE: u64 = 2 * SECOND;

/// How a run went.
pub(super) struct Played {
    pub(super) trace: String,
    pub(super) problem: Option<String>,
    pub(super) counts: Counts,
}

/// What happened, for the record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) settled: u64,
    pub(super) released: u64,
    pub(super) suspense: u64,
    pub(super) refused: u64,
    pub(super) kills: u64,
    pub(super) power_losses: u64,
    pub(super) control_deaths: u64,
    pub(super) lost_messages: u64,
    pub(super) doubled_messages: u64,
    pub(super) clock_jumps: u64,
    pub(super) log_failures: u64,
    pub(super) fenced: u64,
    pub(super) recalls: u64,
    /// Holds on credit.
    pub(super) lent: u64,
    /// Questions that were answered with a reservation for who waited.
    pub(super) central: u64,
    /// Runs in which a clock that was set back let an ended lease be used.
    pub(super) excused: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, one) in [
            (&mut self.requests, other.requests),
            (&mut self.settled, other.settled),
            (&mut self.released, other.released),
            (&mut self.suspense, other.suspense),
            (&mut self.refused, other.refused),
            (&mut self.kills, other.kills),
            (&mut self.power_losses, other.power_losses),
            (&mut self.control_deaths, other.control_deaths),
            (&mut self.lost_messages, other.lost_messages),
            (&mut self.doubled_messages, other.doubled_messages),
            (&mut self.clock_jumps, other.clock_jumps),
            (&mut self.log_failures, other.log_failures),
            (&mut self.fenced, other.fenced),
            (&mut self.recalls, other.recalls),
            (&mut self.lent, other.lent),
            (&mut self.central, other.central),
            (&mut self.excused, other.excused),
        ] {
            *sum += one;
        }
    }
}

/// What each node may let an organisation use while the ledger is out of reach.
fn credit_of(org: &OrgId) -> Amount {
    Amount(if org.as_str() == "org_b" { 5_000 } else { 0 })
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    Arrives { id: u64, at_zombie: bool },
    Answers { id: u64, answer: Answer },
    GivesUp { id: u64 },
}

/// Why a call was made: a node has one of the last two at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    TopUp,
    Ship,
    Return,
}

struct Pending {
    node: usize,
    boot: u64,
    line: Line,
    call: Call,
    sent: Moment,
}

struct Node {
    name: NodeId,
    dir: PathBuf,
    run: Option<Run>,
    boots: u64,
    started: u64,
    /// The machine's wall clock, apart from the truth.
    wall_off_ms: i64,
    /// Its pace, in millionths.
    rate_ppm: i64,
    cut_off: bool,
    open: Vec<Arc<OpenHold>>,
    waiting: Vec<(String, OrgId, Amount, Amount)>,
    busy: (bool, bool),
    /// After a call without an answer, as the real one's pause.
    quiet_until: u64,
    /// True time of the last contact, over all runs.
    contact: u64,
    /// Its wall clock was changed.
    jumped: bool,
}

/// What is true of a request.
#[derive(Clone, Debug)]
struct Fate {
    org: OrgId,
    held: Amount,
    credit: Amount,
    /// What it ended with; zero released it. None: it was cut off.
    cost: Option<Amount>,
    /// The last mark, at least.
    node: usize,
    boot: u64,
    begun_on_disk: bool,
    ended_in_log: bool,
    ended_on_disk: bool,
    power_lost: bool,
}

pub(super) struct World {
    random: fastrand::Rng,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    control: Control,
    swept: u64,
    nodes: Vec<Node>,
    calls: BTreeMap<u64, Pending>,
    /// Calls whose message is still under way, also after their node gave up.
    posted: BTreeMap<u64, (usize, BootEpoch, Call)>,
    ids: u64,
    fates: BTreeMap<String, Fate>,
    given: BTreeMap<OrgId, Amount>,
    excused: Amount,
    /// What each node has let each organisation use on credit since the ledger last answered its
    /// question about it.
    lent: BTreeMap<(usize, OrgId), Amount>,
    /// Usage is taken, and questions are answered too late.
    slow: bool,
    healed: bool,
    /// Nobody is away for hours: then nothing is excused.
    calm: bool,
    counts: Counts,
    trace: String,
    problem: Option<String>,
    _folder: tempfile::TempDir,
}

fn fast_dir() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let folder = fast_dir();
        let mut random = fastrand::Rng::with_seed(seed);
        let node = |number: usize| Node {
            name: NodeId::from(format!("n{number}")),
            dir: folder.path().join(format!("n{number}")),
            run: None,
            boots: 0,
            started: 0,
            wall_off_ms: 0,
            rate_ppm: 0,
            cut_off: false,
            open: Vec::new(),
            waiting: Vec::new(),
            busy: (false, false),
            quiet_until: 0,
            contact: 0,
            jumped: false,
        };
        let mut nodes: Vec<_> = (0..NODES).map(node).collect();
        for node in &mut nodes {
            node.rate_ppm = random.i64(-5_000..=5_000);
        }
        let mut world = Self {
            control: Control::new(folder.path()).await,
            random,
            now: SECOND,
            queue: BTreeMap::new(),
            events: 0,
            swept: 0,
            nodes,
            calls: BTreeMap::new(),
            posted: BTreeMap::new(),
            ids: 0,
            fates: BTreeMap::new(),
            given: BTreeMap::new(),
            excused: Amount::ZERO,
            lent: BTreeMap::new(),
            slow: false,
            healed: false,
            calm: seed.is_multiple_of(2),
            counts: Counts::default(),
            trace: String::new(),
            problem: None,
            _folder: folder,
        };
        world.control.clock.advance(Duration::from_nanos(SECOND));
        for org in ["org_a", "org_b"] {
            // Of some there is too little to be leased ahead, of others there is not.
            let most = if seed.is_multiple_of(3) {
                4_000_000
            } else {
                200_000
            };
            let amount = Amount(world.random.i128(1_000..most));
            world.credit(&OrgId::from(org), amount).await;
        }
        for number in 0..NODES {
            world.start(number);
        }
        world
    }

    pub(super) async fn play(mut self) -> Played {
        for turn in 0..TURNS {
            self.turn(turn).await;
            if self.problem.is_some() {
                break;
            }
        }
        if self.problem.is_none() {
            self.heal().await;
            self.judge().await;
        }
        self.counts.fenced = self.control.fenced;
        self.control.database.close().await;
        Played {
            trace: self.trace,
            problem: self.problem,
            counts: self.counts,
        }
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.trace, "{:>12} {text}", self.now / MS);
    }

    fn wrong(&mut self, what: String) {
        self.say(&what);
        self.problem.get_or_insert(what);
    }

    fn any_node(&mut self) -> usize {
        self.random.usize(0..NODES)
    }

    fn any_org(&mut self) -> OrgId {
        OrgId::from(if self.random.u8(0..4) == 0 {
            "org_b"
        } else {
            "org_a"
        })
    }

    /// Both clocks of a node.
    fn time_of(&self, number: usize) -> Now {
        let node = &self.nodes[number];
        let alive = i128::from(self.now - node.started.min(self.now));
        let alive = alive * (1_000_000 + i128::from(node.rate_ppm)) / 1_000_000;
        let wall = WALL_MS + i64::try_from(self.now / MS).unwrap() + node.wall_off_ms;
        Now {
            moment: Moment(u64::try_from(alive).unwrap() + 1),
            unix_ms: u64::try_from(wall).unwrap(),
        }
    }

    async fn turn(&mut self, turn: u64) {
        let wait = match self.random.u8(0..100) {
            0..60 => self.random.u64(0..50 * MS),
            60..90 => self.random.u64(0..3 * SECOND),
            _ if self.calm => self.random.u64(0..MINUTE),
            90..97 => self.random.u64(0..2 * MINUTE),
            97..99 => self.random.u64(0..40 * MINUTE),
            _ => self.random.u64(0..180 * MINUTE),
        };
        self.pass(wait).await;
        match self.random.u8(0..100) {
            0..42 => self.request(),
            42..62 => self.end_one(),
            62..66 => self.mark_one(),
            66..72 => self.keep_one(),
            72..78 => self.sweep_one(),
            78..82 => self.die().await,
            82..84 => self.control_dies_or_lives().await,
            84..87 => self.clock_jumps(),
            87..88 => self.cut_or_join(),
            88..89 => self.slow = self.random.u8(0..4) > 0 && !self.slow,
            89..90 => {
                let (org, amount) = (self.any_org(), Amount(self.random.i128(1..20_000)));
                self.credit(&org, amount).await;
            }
            _ => {}
        }
        for number in 0..NODES {
            self.talk(number);
        }
        if turn.is_multiple_of(16) {
            // Grants are forgotten in the middle of everything.
            self.control.sweep().await;
            self.check_totals().await;
        }
    }

    /// Time goes on: what is due happens.
    async fn pass(&mut self, wait: u64) {
        let until = self.now + wait;
        while let Some(entry) = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= until)
        {
            let ((at, _), event) = entry.remove_entry();
            self.move_to(at).await;
            self.happens(event).await;
        }
        self.move_to(until).await;
    }

    async fn move_to(&mut self, at: u64) {
        let by = at.saturating_sub(self.now);
        self.now += by;
        self.control.clock.advance(Duration::from_nanos(by));
        if self.now >= self.swept + MINUTE {
            self.swept = self.now;
            self.control.sweep().await;
        }
    }
}
