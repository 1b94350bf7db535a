//! What an edge holds and what it lets in. Pure: messages in, verdicts out, no sockets, no clock.
//! A table is checked for its signer, its version, its content, its size and whether requests can
//! still be routed with it; a refused resource never blocks the good ones.

use shared::clock::Moment;
use shared::health::Board;
use shared::key::KeyHash;
use shared::manifest::{Manifest, ManifestError, PublicKey};
use shared::policy::{KeyKind, KeyPolicy, Principal};
use shared::proto::discovery as wire;
use shared::ranking::{RankingDelta, RankingTable, absurdity};
use shared::routing::{Demand, View, plan};
use shared::snapshot::{RESOURCES_MAX, Rejected, Resource, Snapshot};
use std::sync::Arc;

/// Models for which a plan is made before a table is used.
pub const SHADOW_PLANS: usize = 64;

/// How far a table may change at once. Small tables change freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Tables with fewer endpoints are not guarded.
    pub from: usize,
    /// The least part of the endpoints that must remain, in percent.
    pub remain_percent: usize,
    /// The most that the endpoints may become, in percent.
    pub grow_percent: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            from: 100,
            remain_percent: 25,
            grow_percent: 1000,
        }
    }
}

impl Guard {
    /// No bound but that a table may not become empty: one machine, whose operator sees what he
    /// does.
    #[must_use]
    pub const fn lenient() -> Self {
        Self {
            from: usize::MAX,
            remain_percent: 0,
            grow_percent: usize::MAX,
        }
    }
}

/// A push that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The metric label: a closed set.
    pub label: &'static str,
    /// For the control plane and the log.
    pub reason: String,
}

impl Refusal {
    fn new(label: &'static str, reason: impl Into<String>) -> Self {
        Self {
            label,
            reason: reason.into(),
        }
    }
}

/// A table that is in use now.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// True when it is what was held already.
    pub unchanged: bool,
    /// Resources in it that are not served.
    pub rejected: Vec<Rejected>,
    /// Its signed head.
    pub manifest: Manifest,
}

/// What this edge holds.
pub struct Session {
    trusted: Vec<PublicKey>,
    guard: Guard,
    snapshot: Snapshot,
    ranking: Arc<RankingTable>,
}

impl Session {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(trusted: Vec<PublicKey>, guard: Guard) -> Self {
        Self {
            trusted,
            guard,
            snapshot: Snapshot::empty(),
            ranking: Arc::default(),
        }
    }

    /// The catalogue in use.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The ranking in use.
    #[must_use]
    pub fn ranking_table(&self) -> &Arc<RankingTable> {
        &self.ranking
    }

    /// Takes a table that an earlier run had accepted: signed and whole, or not at all.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn restore(&mut self, update: wire::AuthorityUpdate) -> Result<(), String> {
        let (manifest, snapshot, _) = self.build(update).map_err(|refusal| refusal.reason)?;
        manifest
            .covers(&snapshot)
            .map_err(|error| error.to_string())?;
        self.snapshot = snapshot;
        Ok(())
    }

    /// Takes a pushed table.
    ///
    /// # Errors
    /// Why the held one stays.
    pub fn authority(
        &mut self,
        update: wire::AuthorityUpdate,
        in_use: &View,
    ) -> Result<Adopted, Refusal> {
        let full = update.base.is_none();
        let (manifest, snapshot, rejected) = self.build(update)?;
        let held = self.snapshot.version();
        if manifest.version < held {
            let reason = format!("version {} is older than {held}", manifest.version);
            return Err(Refusal::new("version", reason));
        }
        manifest
            .covers(&snapshot)
            .map_err(|error| Refusal::new("root", error.to_string()))?;
        let unchanged = manifest.version == held && snapshot.root() == self.snapshot.root();
        if manifest.version == held && !unchanged && !(full && held == Snapshot::empty().version())
        {
            let reason = format!("version {held} is held with another content");
            return Err(Refusal::new("version", reason));
        }
        self.check_size(&snapshot)?;
        shadow_run(in_use, &snapshot)?;
        self.snapshot = snapshot;
        Ok(Adopted {
            unchanged,
            rejected,
            manifest,
        })
    }

    /// Takes a ranking; true when it is another than the held one.
    ///
    /// # Errors
    /// It is malformed, its base is not what is held, or no model could be routed by it.
    pub fn ranking(&mut self, update: wire::RankingUpdate) -> Result<bool, Refusal> {
        let malformed =
            |error: shared::convert::ConvertError| Refusal::new("malformed", error.to_string());
        let delta = RankingDelta::try_from(update).map_err(malformed)?;
        if delta.base.is_some() && delta.version <= self.ranking.version {
            return Ok(false);
        }
        if delta.base.is_none() && delta.version < self.ranking.version {
            return Ok(false);
        }
        let table = self
            .ranking
            .apply(delta)
            .map_err(|error| Refusal::new("base", error.to_string()))?;
        if let Some(reason) = absurdity(&table) {
            return Err(Refusal::new("absurd", reason));
        }
        self.ranking = Arc::new(table);
        Ok(true)
    }

    /// Checks the signature first: nothing else of an unsigned table is looked at.
    fn build(
        &self,
        update: wire::AuthorityUpdate,
    ) -> Result<(Manifest, Snapshot, Vec<Rejected>), Refusal> {
        let manifest = update
            .manifest
            .ok_or_else(|| Refusal::new("malformed", "there is no manifest"))?;
        let manifest = Manifest::try_from(manifest)
            .map_err(|error| Refusal::new("malformed", error.to_string()))?;
        manifest
            .verify(&self.trusted)
            .map_err(|error| match error {
                ManifestError::UnknownSigner(_) => Refusal::new("signer", error.to_string()),
                _ => Refusal::new("signature", error.to_string()),
            })?;
        if update.upserts.len() > RESOURCES_MAX {
            let reason = format!("more than {RESOURCES_MAX} resources");
            return Err(Refusal::new("size", reason));
        }
        let resources = update.upserts.into_iter().map(Resource::read).collect();
        let (snapshot, rejected) = match update.base {
            None => Snapshot::from_resources(manifest.version, resources),
            Some(base) if self.snapshot.version() == base.into() => {
                self.snapshot
                    .apply(manifest.version, resources, &update.removals)
            }
            Some(base) => {
                let held = self.snapshot.version();
                let reason = format!(
                    "the delta is from {}.{}, held is {held}",
                    base.epoch, base.number
                );
                return Err(Refusal::new("base", reason));
            }
        };
        Ok((manifest, snapshot, rejected))
    }

    fn check_size(&self, new: &Snapshot) -> Result<(), Refusal> {
        let (held, new) = (self.snapshot.endpoints().len(), new.endpoints().len());
        if new == 0 && held > 0 {
            return Err(Refusal::new(
                "empty",
                format!("no endpoint is left of {held}"),
            ));
        }
        if held < self.guard.from {
            return Ok(());
        }
        if new.saturating_mul(100) < held.saturating_mul(self.guard.remain_percent) {
            return Err(Refusal::new(
                "shrunk",
                format!("{new} endpoints are left of {held}"),
            ));
        }
        if new.saturating_mul(100) > held.saturating_mul(self.guard.grow_percent) {
            return Err(Refusal::new(
                "grown",
                format!("{held} endpoints would become {new}"),
            ));
        }
        Ok(())
    }
}

/// Plans sample requests on the new table. Where the table in use can route, so must the new one.
fn shadow_run(in_use: &View, new: &Snapshot) -> Result<(), Refusal> {
    let routable = |view: &View| {
        let board = Board::default();
        let principal = nobody();
        let models = view.snapshot.models();
        let step = models.len().div_ceil(SHADOW_PLANS).max(1);
        models.iter().step_by(step).any(|model| {
            let demand = Demand {
                model: model.id.to_string(),
                ..Demand::default()
            };
            plan(
                view,
                &board,
                &|_| true,
                &principal,
                &demand,
                Moment::default(),
                0,
            )
            .is_ok()
        })
    };
    let candidate = View::new(Arc::new(new.clone()), Arc::clone(&in_use.ranking));
    if routable(in_use) && !routable(&candidate) {
        return Err(Refusal::new(
            "shadow",
            "no sample request can be routed with it",
        ));
    }
    Ok(())
}

fn nobody() -> Principal {
    Principal {
        org: "shadow".into(),
        key: KeyHash([0; 32]),
        key_name: String::new(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}

#[cfg(test)]
mod tests;
