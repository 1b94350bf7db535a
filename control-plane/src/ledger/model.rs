//! The ledger against a model of it: random operations, sent twice, late and in odd orders, on a
//! real database of each kind. After each one the balances and the answers are those of the model; at the
//! end the books verify.

use super::tests::{key, record};
use super::*;
use crate::sql::Engine;
use crate::testing::TestDatabase;
use proptest::prelude::*;
use shared::id::{BootEpoch, NodeId};
use shared::key::KeyHash;
use shared::record::{Outcome, UsageRecord};
use std::collections::{BTreeSet, HashMap};

const FENCE: Epoch = Epoch(1);

/// `new` further records after `again` known ones, of the run `late` runs ago. `skip` leaves the
/// first new one out.
#[derive(Clone, Debug)]
struct Shipment {
    node: u8,
    late: u8,
    again: u8,
    new: Vec<Entry>,
    skip: bool,
}

/// Organisation, key, outcome, held, cost.
type Entry = (u8, u8, u8, u32, u32);

#[derive(Clone, Debug)]
enum Op {
    Credit {
        org: u8,
        id: u8,
        amount: u32,
    },
    Acquire {
        org: u8,
        node: u8,
        id: u8,
        wanted: u32,
        least: u32,
    },
    Release {
        org: u8,
        node: u8,
        id: u8,
        amount: u32,
    },
    Ship(Shipment),
    Restart {
        node: u8,
        inherits: bool,
    },
    Wait {
        minutes: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (org, node, id, money) = (0..2_u8, 0..2_u8, 0..12_u8, 0..5000_u32);
    let entry = (org.clone(), 0..2_u8, 0..5_u8, money.clone(), money.clone());
    prop_oneof![
        1 => (org.clone(), id.clone(), money.clone())
            .prop_map(|(org, id, amount)| Op::Credit { org, id, amount }),
        3 => (org.clone(), node.clone(), id.clone(), money.clone(), money.clone())
            .prop_map(|(org, node, id, wanted, least)| Op::Acquire { org, node, id, wanted, least }),
        1 => (org, node.clone(), id, money)
            .prop_map(|(org, node, id, amount)| Op::Release { org, node, id, amount }),
        4 => (node.clone(), 0..3_u8, 0..4_u8, prop::collection::vec(entry, 0..5), prop::bool::weighted(0.1))
            .prop_map(|(node, late, again, new, skip)| Op::Ship(Shipment { node, late, again, new, skip })),
        2 => (node, any::<bool>()).prop_map(|(node, inherits)| Op::Restart { node, inherits }),
        2 => prop_oneof![0..15_u8, 0..150_u8].prop_map(|minutes| Op::Wait { minutes }),
    ]
}

#[derive(Default)]
struct Model {
    totals: BTreeMap<OrgId, Totals>,
    leases: BTreeMap<(OrgId, Origin), Amount>,
    usage: BTreeMap<KeyHash, Amount>,
    credited: BTreeMap<(OrgId, u8), Amount>,
    granted: HashMap<String, ((OrgId, Origin), Amount)>,
    /// Grants that are forgotten: their ids get nothing more.
    closed: BTreeSet<(OrgId, String)>,
    released: BTreeSet<String>,
    inherited: BTreeSet<(OrgId, Origin, BootEpoch)>,
    /// By node and run, who has taken it over first.
    claimed: HashMap<(u8, BootEpoch), BootEpoch>,
    /// Per node the epochs of its runs, oldest first; per run what it has sent.
    runs: HashMap<u8, Vec<BootEpoch>>,
    /// Runs that have taken over all runs before.
    heirs: BTreeSet<(u8, BootEpoch)>,
    sent: HashMap<Origin, Vec<UsageRecord>>,
    contacts: BTreeMap<Origin, Moment>,
}

impl Model {
    fn of(&mut self, org: &OrgId) -> &mut Totals {
        self.totals.entry(org.clone()).or_default()
    }

    fn cover(&mut self, org: &OrgId) {
        let totals = self.of(org);
        let paid = totals.available.min(totals.overrun);
        totals.available -= paid;
        totals.overrun -= paid;
    }

    fn lend(&mut self, org: &OrgId, origin: &Origin, amount: Amount) {
        let lease = self.leases.entry((org.clone(), origin.clone()));
        *lease.or_default() += amount;
        self.of(org).leased += amount;
        self.of(org).available -= amount;
    }

    fn is_closed(&self, org: &OrgId, id: &str) -> bool {
        self.closed.contains(&(org.clone(), id.to_owned()))
    }

    /// Forgets grants.
    fn close(&mut self, which: impl Fn(&(OrgId, Origin), Amount) -> bool) {
        let closed = self
            .granted
            .extract_if(|_, (holder, granted)| which(holder, *granted));
        let closed = closed.map(|(id, ((org, _), _))| (org, id));
        self.closed.extend(closed);
    }

    /// Forgets grants that were taken back, and those of leases of which their node has nothing left.
    fn close_empty(&mut self) {
        let held: BTreeSet<(OrgId, NodeId)> = self
            .leases
            .iter()
            .filter(|(_, holds)| **holds > Amount::ZERO)
            .map(|((org, run), _)| (org.clone(), run.node.clone()))
            .collect();
        self.close(|(org, run), granted| {
            granted == Amount::ZERO || !held.contains(&(org.clone(), run.node.clone()))
        });
    }

    /// Something was heard of a run, and by that of the node's newest one that was ever heard of.
    fn touch(&mut self, origin: &Origin, now: Moment) {
        self.contacts.insert(origin.clone(), now);
        let known = self.contacts.keys().filter(|run| run.node == origin.node);
        if let Some(newest) = known.max().cloned() {
            self.contacts.insert(newest, now);
        }
    }

    fn newest(&mut self, node: u8) -> Origin {
        self.run(node, 0)
    }

    fn run(&mut self, node: u8, late: u8) -> Origin {
        let runs = self
            .runs
            .entry(node)
            .or_insert_with(|| vec![BootEpoch(100)]);
        let index = runs.len().saturating_sub(1 + usize::from(late));
        Origin {
            node: NodeId::from(format!("n{node}")),
            epoch: runs[index],
        }
    }

    fn charge(&mut self, origin: &Origin, record: &UsageRecord) {
        let amount = match record.outcome {
            Outcome::Settled => {
                *self.usage.entry(record.key).or_default() += record.cost;
                self.of(&record.org).used += record.cost;
                record.cost
            }
            Outcome::Suspense => {
                self.of(&record.org).suspense += record.held;
                record.held
            }
            Outcome::Released => return,
        };
        // A batch draws once, so the order of leases only matters per batch; sums do not differ.
        let mut left = amount;
        let mut runs: Vec<_> = self
            .leases
            .keys()
            .filter(|(org, run)| *org == record.org && run.node == origin.node)
            .map(|(_, run)| run.clone())
            .collect();
        runs.sort_by_key(|run| (run != origin, std::cmp::Reverse(run.epoch)));
        for run in runs {
            let lease = self.leases.get_mut(&(record.org.clone(), run)).unwrap();
            let part = left.min(*lease);
            *lease -= part;
            left -= part;
            self.of(&record.org).leased -= part;
        }
        self.of(&record.org).overrun += left;
    }
}

fn org(number: u8) -> OrgId {
    OrgId::from(format!("org_{number}"))
}

fn usd(micro: u32) -> Amount {
    // Odd amounts, so that the pico column is used.
    Amount(i128::from(micro) * 1_000_007)
}

struct Bench {
    ledger: Ledger,
    clock: Clock,
    model: Model,
}

impl Bench {
    async fn step(&mut self, op: &Op) {
        match op {
            Op::Credit { org: o, id, amount } => self.credit(&org(*o), *id, usd(*amount)).await,
            Op::Acquire {
                org: o,
                node,
                id,
                wanted,
                least,
            } => {
                let request = LeaseRequest {
                    origin: self.model.newest(*node),
                    purse: org(*o).into(),
                    lease_id: format!("l{id}"),
                    wanted: usd(*wanted),
                    least: usd(*least),
                    need: None,
                };
                self.acquire(request).await;
            }
            Op::Release {
                org: o,
                node,
                id,
                amount,
            } => {
                self.release(&org(*o), *node, *id, usd(*amount)).await;
            }
            Op::Ship(shipment) => self.ship(shipment).await,
            Op::Restart { node, inherits } => {
                let next = BootEpoch(self.model.newest(*node).epoch.0 + 1);
                self.model.runs.get_mut(node).unwrap().push(next);
                if *inherits {
                    self.model.heirs.insert((*node, next));
                }
            }
            Op::Wait { minutes } => self.wait(u64::from(*minutes)).await,
        }
        let mut expected = self.model.totals.clone();
        expected.retain(|_, totals| *totals != Totals::default());
        let mut totals = self.ledger.totals().await.unwrap();
        totals.retain(|_, totals| *totals != Totals::default());
        assert_eq!(totals, expected, "after {op:?}");
    }

    async fn credit(&mut self, org: &OrgId, id: u8, amount: Amount) {
        let given = self
            .ledger
            .credit(FENCE, org, &format!("c{id}"), amount)
            .await;
        if amount == Amount::ZERO {
            assert!(matches!(given, Err(LedgerError::Invalid { .. })));
            return;
        }
        let before = self.model.credited.get(&(org.clone(), id));
        let new = before.is_none();
        if before.is_some_and(|before| *before != amount) {
            assert!(matches!(given, Err(LedgerError::OtherAmount)));
            return;
        }
        assert_eq!(given.unwrap(), new);
        if new {
            self.model.credited.insert((org.clone(), id), amount);
            self.model.of(org).available += amount;
            self.model.of(org).given += amount;
            self.model.cover(org);
        }
    }

    async fn acquire(&mut self, request: LeaseRequest) {
        let (org, wanted, least) = (&request.purse.org, request.wanted, request.least);
        let answer = self.ledger.acquire(FENCE, &request).await;
        if wanted.max(least) == Amount::ZERO {
            assert!(matches!(answer, Err(LedgerError::Invalid { .. })));
            return;
        }
        let holder = (org.clone(), request.origin.clone());
        let expected = match self.model.granted.get(&request.lease_id) {
            Some((same, granted)) if *same == holder => *granted,
            Some(((of, run), Amount::ZERO)) if of == org && run.node == request.origin.node => {
                Amount::ZERO
            }
            Some(_) => {
                assert!(matches!(answer, Err(LedgerError::Invalid { .. })));
                return;
            }
            None if self.model.is_closed(org, &request.lease_id) => Amount::ZERO,
            None => {
                let available = self.model.of(org).available;
                let holds = self.model.leases.get(&holder).copied().unwrap_or_default();
                let affordable = least <= available && available > Amount::ZERO;
                let granted = if affordable {
                    let share = Amount((available + holds).0 / 8) - holds;
                    wanted.min(share).max(least)
                } else {
                    Amount::ZERO
                };
                if granted > Amount::ZERO {
                    self.model.lend(org, &request.origin, granted);
                    let (_, asker) = &holder;
                    self.model.close(|(of, run), _| {
                        of == org && run.node == asker.node && run.epoch <= asker.epoch
                    });
                    let grant = (holder, granted);
                    self.model.granted.insert(request.lease_id.clone(), grant);
                }
                granted
            }
        };
        self.model.touch(&request.origin, self.clock.now());
        assert_eq!(answer.unwrap().granted, expected);
    }

    async fn release(&mut self, org: &OrgId, node: u8, id: u8, amount: Amount) {
        let origin = self.model.newest(node);
        let id = format!("r{id}");
        let request = ReleaseRequest {
            origin: origin.clone(),
            purse: org.clone().into(),
            release_id: id.clone(),
            part: Part::Amount(amount, None),
        };
        let done = self.ledger.release(FENCE, &request).await;
        if amount == Amount::ZERO {
            assert!(matches!(done, Err(LedgerError::Invalid { .. })));
            return;
        }
        done.unwrap();
        self.model.touch(&origin, self.clock.now());
        if self.model.released.insert(format!("{org}/{node}/{id}")) {
            let lease = self.model.leases.get(&(org.clone(), origin.clone()));
            let back = amount.min(lease.copied().unwrap_or_default());
            self.model.lend(org, &origin, -back);
            self.model.cover(org);
        }
    }

    async fn ship(&mut self, shipment: &Shipment) {
        let Shipment {
            node,
            late,
            again,
            new,
            skip,
        } = shipment;
        let (node, late, again, skip) = (*node, *late, *again, *skip);
        let origin = self.model.run(node, late);
        let known = self.model.sent.entry(origin.clone()).or_default().clone();
        let from = known.len().saturating_sub(usize::from(again));
        let mut records = known[from..].to_vec();
        for (o, k, outcome, held, cost) in new {
            let sequence = u64::try_from(from + records.len()).unwrap() + 1;
            let outcome = match outcome {
                0 => Outcome::Suspense,
                1 => Outcome::Released,
                _ => Outcome::Settled,
            };
            let mut record = record(&org(*o), sequence, outcome, usd(*held), usd(*cost));
            record.key = key(*o * 2 + *k);
            records.push(record);
        }
        let fresh: Vec<_> = records[known.len() - from..].to_vec();
        let gap = skip && fresh.len() > 1;
        if gap {
            records = fresh[1..].to_vec();
        }
        let heir = self.model.heirs.contains(&(node, origin.epoch));
        let earlier = |epoch: &BootEpoch| *epoch < origin.epoch;
        let runs = self.model.runs[&node].clone();
        let inherited = runs.into_iter().filter(earlier).filter(|_| heir);
        let batch = Batch {
            origin: origin.clone(),
            inherited: inherited.collect(),
            records,
        };
        let answer = self.ledger.ship(FENCE, &batch).await;
        if gap {
            assert!(matches!(answer, Err(LedgerError::Gap { .. })), "{answer:?}");
            return;
        }
        let copied = batch.inherited.iter().any(|from| {
            let heir = self.model.claimed.get(&(node, *from));
            heir.is_some_and(|heir| *heir != origin.epoch && !batch.inherited.contains(heir))
        });
        if copied {
            assert!(
                matches!(answer, Err(LedgerError::Copied { .. })),
                "{answer:?}"
            );
            return;
        }
        for from in &batch.inherited {
            let claim = self.model.claimed.entry((node, *from));
            claim.or_insert(origin.epoch);
        }
        self.inherit(&batch);
        for record in &fresh {
            self.model.charge(&origin, record);
        }
        for org in [org(0), org(1)] {
            self.model.cover(&org);
        }
        self.model.touch(&origin, self.clock.now());
        let sent = self.model.sent.get_mut(&origin).unwrap();
        sent.extend(fresh);
        assert_eq!(answer.unwrap(), u64::try_from(sent.len()).unwrap());
    }

    fn inherit(&mut self, batch: &Batch) {
        for from in &batch.inherited {
            for org in [org(0), org(1)] {
                let old = Origin {
                    node: batch.origin.node.clone(),
                    epoch: *from,
                };
                let holds = self.model.leases.get(&(org.clone(), old.clone()));
                let holds = holds.copied().unwrap_or_default();
                let once = (org.clone(), batch.origin.clone(), *from);
                if holds > Amount::ZERO && self.model.inherited.insert(once) {
                    self.model.lend(&org, &old, -holds);
                    self.model.lend(&org, &batch.origin, holds);
                }
            }
        }
    }

    async fn wait(&mut self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
        let now = self.clock.now();
        self.ledger.sweep(FENCE, now).await.unwrap();
        let known: BTreeSet<Origin> = self.model.contacts.keys().cloned().collect();
        let leases = self.model.leases.clone();
        for ((org, origin), holds) in leases {
            let contact = self.model.contacts[&origin];
            let newer = |other: &Origin| other.node == origin.node && other.epoch > origin.epoch;
            let limit = if known.iter().any(newer) { 612 } else { 7345 };
            if holds > Amount::ZERO && now.since(contact) > Duration::from_secs(limit) {
                self.model.lend(&org, &origin, -holds);
                self.model.cover(&org);
                let holder = (org, origin);
                for (other, granted) in self.model.granted.values_mut() {
                    if *other == holder {
                        *granted = Amount::ZERO;
                    }
                }
            }
        }
        self.model.close_empty();
    }
}

fn play(engine: Engine, ops: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let on = TestDatabase::new(engine).await;
        let clock = Clock::manual();
        let ledger = Ledger::open(on.database.clone(), clock.clone())
            .await
            .unwrap();
        let mut bench = Bench {
            ledger,
            clock,
            model: Model::default(),
        };
        for op in ops {
            bench.step(op).await;
        }
        let by_key = bench.ledger.usage_by_key(None).await.unwrap();
        bench
            .model
            .usage
            .retain(|_, amount| *amount != Amount::ZERO);
        assert_eq!(by_key, bench.model.usage);
        let verdict = bench.ledger.verify().await.unwrap();
        assert_eq!(verdict.problems, Vec::<String>::new());
        on.database.close().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_is_its_model_on_sqlite(ops in prop::collection::vec(op(), 1..60)) {
        play(Engine::Sqlite, &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_is_its_model_on_postgres(ops in prop::collection::vec(op(), 1..60)) {
        play(Engine::Postgres, &ops);
    }
}
