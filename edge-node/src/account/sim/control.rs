//! The simulated control plane: the real ledger on SQLite behind a network that the world moves.
//! After a fail-over the old leader may live on for a while, and writes as long as the fence lets
//! it.

use crate::account::desk::{Ask, Granted};
use crate::account::wal::{ReturnedPart, Returning};
use control_plane::ledger::{Batch, LeaseRequest, Ledger, LedgerError, Need, Part, ReleaseRequest};
use control_plane::sql::{Database, Source};
use control_plane::store::Epoch;
use shared::clock::Clock;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::{Origin, UsageRecord};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What an edge asks for.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Acquire {
        purse: Purse,
        ask: Ask,
    },
    Release(Returning),
    Ship {
        epoch: BootEpoch,
        inherited: Vec<BootEpoch>,
        records: Vec<UsageRecord>,
    },
}

/// What it gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Granted(Granted),
    Released,
    Watermark(u64),
    /// Try again later.
    Unavailable,
    /// Never.
    Refused,
}

/// The ledger, and who leads.
pub(super) struct Control {
    pub(super) database: Database,
    pub(super) clock: Clock,
    /// None while it is dead.
    leader: Option<(Epoch, Ledger)>,
    /// A leader of before that does not know.
    zombie: Option<(Epoch, Ledger)>,
    fence: u64,
    pub(super) fenced: u64,
}

/// An empty database with all migrations, made once.
fn template() -> &'static Path {
    static FILE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = FILE.get_or_init(|| {
        // Another runtime: this one may be in the middle of something.
        let made = std::thread::spawn(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("template.db");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let database = Database::open(&Source::File(file.clone())).await.unwrap();
                database.close().await;
            });
            (folder, file)
        });
        made.join().unwrap()
    });
    file
}

impl Control {
    pub(super) async fn new(folder: &Path) -> Self {
        let file = folder.join("control.db");
        std::fs::copy(template(), &file).unwrap();
        let database = Database::open(&Source::File(file)).await.unwrap();
        let mut control = Self {
            database,
            clock: Clock::manual(),
            leader: None,
            zombie: None,
            fence: 0,
            fenced: 0,
        };
        control.restart(false).await;
        control
    }

    pub(super) fn is_up(&self) -> bool {
        self.leader.is_some()
    }

    /// The leader dies, or is cut off and goes on as if nothing were.
    pub(super) fn die(&mut self, as_zombie: bool) {
        let leader = self.leader.take();
        if as_zombie {
            self.zombie = leader;
        }
    }

    pub(super) async fn restart(&mut self, zombie_dies: bool) {
        if zombie_dies {
            self.zombie = None;
        }
        self.fence += 1;
        let ledger = Ledger::open(self.database.clone(), self.clock.clone()).await;
        self.leader = Some((Epoch(self.fence), ledger.unwrap()));
    }

    /// The ledger of the leader; a new one when there is none.
    pub(super) async fn ledger(&mut self) -> (Epoch, &Ledger) {
        if self.leader.is_none() {
            self.restart(true).await;
        }
        let (fence, ledger) = self.leader.as_ref().unwrap();
        (*fence, ledger)
    }

    pub(super) async fn sweep(&mut self) {
        if let Some((fence, ledger)) = &self.leader {
            let swept = ledger.sweep(*fence, self.clock.now()).await;
            swept.unwrap();
        }
    }

    /// Does what is asked, at the leader or at one that no longer is. None: nobody is there.
    pub(super) async fn handle(
        &mut self,
        node: &NodeId,
        run: BootEpoch,
        call: &Call,
        at_zombie: bool,
    ) -> Option<Result<Answer, String>> {
        let place = if at_zombie {
            &self.zombie
        } else {
            &self.leader
        };
        let (fence, ledger) = place.as_ref()?;
        let done = answer(*fence, ledger, node, run, call).await;
        Some(match done {
            Ok(answer) => Ok(answer),
            Err(LedgerError::Fenced(_)) if at_zombie => {
                self.fenced += 1;
                Ok(Answer::Unavailable)
            }
            Err(LedgerError::Replaced { .. } | LedgerError::Copied { .. }) => Ok(Answer::Refused),
            Err(error) => Err(format!("{call:?} of {node}/{}: {error}", run.0)),
        })
    }
}

async fn answer(
    fence: Epoch,
    ledger: &Ledger,
    node: &NodeId,
    run: BootEpoch,
    call: &Call,
) -> Result<Answer, LedgerError> {
    let origin = |epoch| Origin {
        node: node.clone(),
        epoch,
    };
    match call {
        Call::Acquire { purse, ask } => {
            let request = LeaseRequest {
                origin: origin(run),
                purse: purse.clone(),
                lease_id: ask.lease_id.clone(),
                wanted: ask.wanted,
                least: ask.least,
                need: Some(Need {
                    now: ask.needed,
                    largest: ask.largest,
                    central: ask.central,
                }),
            };
            let grant = ledger.acquire(fence, &request).await?;
            Ok(Answer::Granted(Granted {
                amount: grant.granted,
                ttl: grant.ttl,
                outside: grant.available,
                elsewhere: grant.elsewhere,
                central: grant.central,
            }))
        }
        Call::Release(returning) => {
            let request = ReleaseRequest {
                origin: origin(returning.epoch),
                purse: returning.purse.clone(),
                release_id: returning.release_id.clone(),
                part: match &returning.part {
                    ReturnedPart::Any => Part::Amount(returning.amount, None),
                    ReturnedPart::Before(id) => Part::Amount(returning.amount, Some(id.clone())),
                    ReturnedPart::Unheard(id) => Part::Grant(id.clone()),
                },
            };
            ledger.release(fence, &request).await?;
            Ok(Answer::Released)
        }
        Call::Ship {
            epoch,
            inherited,
            records,
        } => {
            let batch = Batch {
                origin: origin(*epoch),
                inherited: inherited.clone(),
                records: records.clone(),
            };
            Ok(Answer::Watermark(ledger.ship(fence, &batch).await?))
        }
    }
}

/// How many of an organisation's postings are of this kind.
pub(super) async fn postings(database: &Database, org: &OrgId, kind: &str) -> i64 {
    let row: (i64,) = sqlx::query_as(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM postings WHERE org = $1 AND kind = $2",
    )
    .bind(org.as_str())
    .bind(kind)
    .fetch_one(database.readers())
    .await
    .unwrap();
    row.0
}

/// How many grants are kept that gave something.
pub(super) async fn grants_kept(database: &Database) -> i64 {
    let row: (i64,) = sqlx::query_as(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM lease_grants WHERE nano > 0 OR pico_rem > 0",
    )
    .fetch_one(database.readers())
    .await
    .unwrap();
    row.0
}

/// Every posting's lines, for who traces a failed run.
pub(super) async fn books(database: &Database) -> String {
    let rows: Vec<(String, i64, String, String, String, i64)> = sqlx::query_as(
        "SELECT p.org, p.number, p.kind, p.reference, l.account,
             CAST(l.nano * 1000 + l.pico_rem AS BIGINT)
         FROM postings p JOIN posting_lines l ON l.org = p.org AND l.number = p.number
         ORDER BY p.org, p.number, l.line",
    )
    .fetch_all(database.readers())
    .await
    .unwrap();
    let line = |(org, number, kind, reference, account, pico): &_| {
        format!("{org} {number} {kind} {reference}: {account} {pico}\n")
    };
    rows.iter().map(line).collect()
}

/// Every usage record: generation, outcome, cost, held.
pub(super) async fn records(database: &Database) -> Vec<(String, String, Amount, Amount)> {
    let rows: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT generation, outcome, cost_nano, CAST(cost_pico_rem AS BIGINT), held_nano,
             CAST(held_pico_rem AS BIGINT)
         FROM usage_records ORDER BY node, epoch, sequence",
    )
    .fetch_all(database.readers())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(generation, outcome, cost, cost_rem, held, held_rem)| {
            let (cost, held) = (
                Amount::from_nano(cost, cost_rem),
                Amount::from_nano(held, held_rem),
            );
            (generation, outcome, cost, held)
        })
        .collect()
}
