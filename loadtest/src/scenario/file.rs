//! What a scenario file says: fleet, load, providers, the fault, and what must come out.

use super::money::Money;
use crate::cluster::ClusterError;
use crate::provider::Rule;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most edges of a scenario.
const EDGES_MAX: usize = 16;
/// Most requests per second: more would measure the machine.
const RATE_MAX: f64 = 500.0;
/// Most seconds of one phase.
const PHASE_MAX_S: f64 = 600.0;

/// A scenario that was read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, for people.
    pub name: String,
    /// Edge processes, each a point of presence of its own.
    pub edges: usize,
    /// Over all edges, at random times (Poisson).
    pub requests_per_second: f64,
    /// Seed of arrivals and of the providers' dice.
    pub seed: u64,
    /// Tokens of each answer.
    pub completion_tokens: u64,
    /// Seconds before the fault.
    pub before_s: f64,
    /// Seconds of it.
    pub fault_s: f64,
    /// Seconds after it.
    pub after_s: f64,
    /// The control plane is killed with the beginning of the fault and comes back at its end.
    #[serde(default)]
    pub control_plane_cut: bool,
    /// Who serves the model.
    pub providers: Vec<Supplier>,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// What must come out.
    #[serde(default)]
    pub expect: Expect,
}

/// A simulated provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplier {
    /// Its slug.
    pub slug: String,
    /// USD per token, prompt and completion alike.
    pub price: String,
    /// Milliseconds to the first token.
    pub ttft_ms: u64,
    /// Its pace after that.
    pub tokens_per_second: f64,
}

/// What breaks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Whose, by slug.
    pub providers: Vec<String>,
    /// How: as `PUT /_fault` of a simulated provider.
    pub rule: Rule,
}

/// A scenario file of either kind.
#[derive(Clone, Debug)]
pub enum AnyScenario {
    /// Faults of providers.
    Faults(Box<Scenario>),
    /// `kind = "money"`: kills, and three books.
    Money(Box<Money>),
}

/// Bounds; what is absent is not judged.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Most seconds until the sick have less than a quarter of the attempts that they had.
    pub reaction_s: Option<f64>,
    /// Most requests that failed for their client, over the whole scenario.
    pub client_errors: Option<u64>,
    /// Least share of good answers in the fault's window, percent.
    pub fault_goodput_pct: Option<f64>,
}

/// Why a scenario can't be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file can't be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something else than a scenario.
    #[error("{}: {what}", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A simulated provider can't listen.
    #[error("simulated provider: {0}")]
    Listen(#[source] std::io::Error),
    /// A process of the fleet.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The ledger's database.
    #[error("the ledger's database: {0}")]
    Books(String),
}

impl AnyScenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or it is no scenario.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(file).map_err(|source| ScenarioError::Read {
            file: file.to_owned(),
            source,
        })?;
        let content = |what: String| ScenarioError::Content {
            file: file.to_owned(),
            what,
        };
        let mut table: toml::Table =
            toml::from_str(&text).map_err(|error| content(error.to_string()))?;
        match table.remove("kind") {
            None => Ok(Self::Faults(Box::new(Scenario::read(file)?))),
            Some(kind) if kind.as_str() == Some("money") => {
                let money: Money = table
                    .try_into()
                    .map_err(|error: toml::de::Error| content(error.to_string()))?;
                money.check().map_err(content)?;
                Ok(Self::Money(Box::new(money)))
            }
            Some(kind) => Err(content(format!("kind = {kind}: there is only \"money\""))),
        }
    }
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or it is no scenario.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(file).map_err(|source| ScenarioError::Read {
            file: file.to_owned(),
            source,
        })?;
        let content = |what: String| ScenarioError::Content {
            file: file.to_owned(),
            what,
        };
        let scenario: Self = toml::from_str(&text).map_err(|error| content(error.to_string()))?;
        scenario.check().map_err(content)?;
        Ok(scenario)
    }

    /// From the start: when the fault begins and when it ends.
    pub(super) fn window(&self) -> (Duration, Duration) {
        let begins = Duration::from_secs_f64(self.before_s);
        (begins, begins + Duration::from_secs_f64(self.fault_s))
    }

    pub(super) fn after(&self) -> Duration {
        Duration::from_secs_f64(self.after_s)
    }

    /// The places of those that break.
    pub(super) fn sick(&self) -> Vec<bool> {
        let broken = |slug: &String| self.faults.iter().any(|it| it.providers.contains(slug));
        self.providers.iter().map(|it| broken(&it.slug)).collect()
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=EDGES_MAX).contains(&self.edges) {
            return Err(format!("edges = {}: not in 1 to {EDGES_MAX}", self.edges));
        }
        let rate = self.requests_per_second;
        if !(rate > 0.0 && rate <= RATE_MAX) {
            return Err(format!(
                "requests_per_second = {rate}: not in 0 to {RATE_MAX}"
            ));
        }
        for (name, seconds) in [
            ("before_s", self.before_s),
            ("fault_s", self.fault_s),
            ("after_s", self.after_s),
        ] {
            if !(0.0..=PHASE_MAX_S).contains(&seconds) {
                return Err(format!("{name} = {seconds}: not in 0 to {PHASE_MAX_S}"));
            }
        }
        let known = |slug: &&String| self.providers.iter().any(|it| it.slug == **slug);
        let mut named = self.faults.iter().flat_map(|fault| &fault.providers);
        if let Some(stranger) = named.find(|slug| !known(slug)) {
            return Err(format!("faults: there is no provider {stranger}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_files_are_scenarios() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            AnyScenario::read(&entry.unwrap().path()).unwrap();
            seen += 1;
        }
        assert!(seen >= 4, "{seen}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.toml");
        let good = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/dead.toml"),
        )
        .unwrap();
        for (from, to, word) in [
            ("edges = 3", "edges = 0", "edges = 0"),
            ("edges = 3", "hedges = 3", "hedges"),
            (
                "providers = [\"a\"]",
                "providers = [\"z\"]",
                "no provider z",
            ),
        ] {
            std::fs::write(&file, good.replace(from, to)).unwrap();
            let error = Scenario::read(&file).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
