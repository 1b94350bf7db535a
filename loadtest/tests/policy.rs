//! An organisation's policy as its clients meet it, on a control plane and three edges as processes
//! of their own: guardrails hold on every edge and no request loosens them, filters work on what is
//! sent, own provider keys are used in their order and shown to nobody else, and every change is
//! there within two seconds. Measured times are printed (`-- --nocapture`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and print what it measured"
)]

#[path = "policy/changes.rs"]
mod changes;
#[path = "policy/guardrails.rs"]
mod guardrails;
#[path = "policy/keys.rs"]
mod keys;
#[path = "policy/rotation.rs"]
mod rotation;
#[path = "policy/workspace.rs"]
mod workspace;

use loadtest::client::{Client, Reply};
use loadtest::cluster::scene::{ALPHA, BETA, BOTH, CHAT};
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, ProviderSpec, eventually};
use loadtest::provider::{Config, Dialect, Provider, Running};
use serde_json::Value;
use std::time::Duration;

const EDGES: usize = 3;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The platform's own key at `alpha`; simulated providers take any.
const OURS: &str = "sk-marked-platform-provider-key";

/// A fleet with two providers: `alpha`, which trains on prompts and keeps them, at which the
/// platform has a key, and `beta`, which keeps nothing and asks for none.
struct Stage {
    alpha: Running,
    beta: Running,
    fleet: Fleet,
    /// The id of the fleet's key.
    key: String,
    /// Where secrets are written for the command line to read.
    dir: tempfile::TempDir,
}

impl Stage {
    async fn start() -> Self {
        Self::with_credits("1000").await
    }

    async fn with_credits(credits: &str) -> Self {
        let (alpha, beta) = (
            provider(Dialect::OpenaiChat).await,
            provider(Dialect::AnthropicMessages).await,
        );
        let mut config = FleetConfig::new(catalog(&alpha.base_url(), &beta.base_url()), EDGES);
        config
            .environment
            .push(("ALPHA_PLATFORM_KEY".to_owned(), OURS.to_owned()));
        config.credits = credits.to_owned();
        let fleet = config.start().await.unwrap();
        let key = shared::key::KeyHash::of(fleet.key()).to_string();
        Self {
            alpha,
            beta,
            fleet,
            key,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn admin(&self, arguments: &[&str]) -> Value {
        self.fleet.admin(arguments).unwrap()
    }

    /// Makes a guardrail and lets it hold for the whole organisation.
    fn guardrail(&self, rules: &str) -> String {
        let made = self.admin(&["guardrails", "create", "--name", "test", "--rules", rules]);
        let id = made["id"].as_str().unwrap().to_owned();
        let done = self.admin(&["guardrails", "assign", &id, "--organization"]);
        assert_eq!(done["changed"], 1);
        id
    }

    /// Keeps an own key at `alpha` and gives its id.
    fn own_key(&self, secret: &str, more: &[&str]) -> String {
        let file = self.dir.path().join("secret");
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let file = file.to_str().unwrap();
        let mut arguments = vec!["credentials", "create", "alpha", "--key-file", file];
        arguments.extend(more);
        let made = self.admin(&arguments);
        made["id"].as_str().unwrap().to_owned()
    }

    fn clients(&self) -> Vec<Client> {
        (0..EDGES).map(|edge| self.fleet.client(edge)).collect()
    }

    /// Asks every edge until each answers as `wanted`; gives the last edge's answer.
    async fn until(&self, body: &Value, wanted: impl Fn(&Reply) -> bool) -> Reply {
        let mut last = None;
        for client in self.clients() {
            let probe = || async {
                let reply = client.post(CHAT, body).await.unwrap();
                wanted(&reply).then_some(reply)
            };
            last = eventually(PATIENCE, probe).await;
            assert!(last.is_some(), "{} does not follow", client.base());
        }
        last.unwrap()
    }

    async fn until_status(&self, body: &Value, status: u16) -> Value {
        let reply = self.until(body, |reply| reply.status == status).await;
        reply.json()
    }
}

async fn provider(dialect: Dialect) -> Running {
    let config = Config {
        dialect: Some(dialect),
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

fn catalog(alpha: &str, beta: &str) -> CatalogSpec {
    let hungry = |row: &mut ProviderSpec| {
        row.api_key_env = Some("ALPHA_PLATFORM_KEY".to_owned());
        row.training = true;
        row.retention_days = 30;
    };
    CatalogSpec::default()
        .provider_with("alpha", Dialect::OpenaiChat, alpha, hungry)
        .provider("beta", Dialect::AnthropicMessages, beta)
        .model(ALPHA, &["alpha"])
        .model(BETA, &["beta"])
        .model(BOTH, &["alpha", "beta"])
}
