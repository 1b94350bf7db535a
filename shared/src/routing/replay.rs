//! A decision made again: what a plan was made from beside the tables, the caller and the demand,
//! small enough to travel with an explanation. With the same tables it gives the same plan, bit for
//! bit.

use super::{Demand, Plan, Refusal, Sticky, View, plan};
use crate::catalog::Provider;
use crate::health::{Handle, Local, Recorded};
use crate::id::Version;
use crate::policy::Principal;
use serde_json::{Value, json};
use std::time::Duration;

/// What a decision depended on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Record {
    /// The catalogue's version.
    pub snapshot_version: Version,
    /// The ranking's version.
    pub ranking_version: Version,
    /// How old the ranking was.
    pub ranking_age: Duration,
    /// The request's randomness.
    pub seed: u64,
    /// Who served the conversation before.
    pub sticky: Vec<Sticky>,
    /// What this node knew of each endpoint that could serve.
    pub local: Vec<(Handle, Local)>,
}

impl Record {
    /// Of a plan from which nothing was taken yet.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let candidates = plan.candidates.iter().map(|it| (it.handle, it.local));
        Self {
            snapshot_version: plan.snapshot_version,
            ranking_version: plan.ranking_version,
            ranking_age: plan.ranking_age,
            seed: plan.seed,
            sticky: plan.sticky.clone(),
            local: candidates.chain(plan.passed_over.iter().copied()).collect(),
        }
    }

    /// Makes the plan again, for the demand as the client stated it.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn replay(
        &self,
        view: &View,
        usable: &dyn Fn(&Provider) -> bool,
        principal: &Principal,
        demand: &Demand,
    ) -> Result<Plan, Refusal> {
        let evidence = Recorded::new(self.local.clone());
        let now = view.moment_at_age(self.ranking_age);
        let mut demand = demand.clone();
        demand.sticky.clone_from(&self.sticky);
        plan(view, &evidence, usable, principal, &demand, now, self.seed)
    }

    /// True when the view has the tables that the decision was made from.
    #[must_use]
    pub fn is_of(&self, view: &View) -> bool {
        let tables = (view.snapshot.version(), view.ranking.version);
        tables == (self.snapshot_version, self.ranking_version)
    }

    /// As it travels. Numbers of 64 bits are texts: a reader of JSON may keep only 53.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let local = self.local.iter().map(|(handle, local)| {
            json!([
                format!("{:016x}", handle.0),
                local.penalty,
                local.acceptance,
                local.paused,
                local.full,
                local.peak,
                local.in_flight,
                local.probed,
            ])
        });
        let sticky = self.sticky.iter();
        let sticky = sticky.map(|it| json!([it.endpoint.as_str(), it.hit, it.pinned]));
        json!({
            "sticky": sticky.collect::<Vec<_>>(),
            "catalogue": self.snapshot_version.to_string(),
            "ranking": self.ranking_version.to_string(),
            "ranking_age_ns": self.ranking_age.as_nanos().to_string(),
            "seed": self.seed.to_string(),
            "local": local.collect::<Vec<_>>(),
        })
    }

    /// The inverse of [`Record::to_json`]; none for anything else.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str();
        let list = |name: &str| value.get(name)?.as_array();
        let (local, sticky) = (list("local")?.iter(), list("sticky")?.iter());
        Some(Self {
            snapshot_version: version(text("catalogue")?)?,
            ranking_version: version(text("ranking")?)?,
            ranking_age: Duration::from_nanos(text("ranking_age_ns")?.parse().ok()?),
            seed: text("seed")?.parse().ok()?,
            sticky: sticky.map(conversation).collect::<Option<_>>()?,
            local: local.map(one).collect::<Option<_>>()?,
        })
    }
}

fn version(text: &str) -> Option<Version> {
    let (epoch, number) = text.split_once('.')?;
    Some(Version {
        epoch: epoch.parse().ok()?,
        number: number.parse().ok()?,
    })
}

fn conversation(value: &Value) -> Option<Sticky> {
    Some(Sticky {
        endpoint: value.get(0)?.as_str()?.into(),
        hit: u16::try_from(value.get(1)?.as_u64()?).ok()?,
        pinned: value.get(2)?.as_bool()?,
    })
}

fn one(value: &Value) -> Option<(Handle, Local)> {
    let at = |index: usize| value.get(index);
    let count = |index| u32::try_from(at(index)?.as_u64()?).ok();
    let handle = u64::from_str_radix(at(0)?.as_str()?, 16).ok()?;
    let local = Local {
        penalty: at(1)?.as_f64()?,
        acceptance: at(2)?.as_f64()?,
        paused: at(3)?.as_bool()?,
        full: at(4)?.as_bool()?,
        peak: at(5)?.as_f64()?,
        in_flight: count(6)?,
        probed: count(7)?,
    };
    Some((Handle(handle), local))
}
