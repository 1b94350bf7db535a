//! The command line against a control plane that runs in the test.

use super::*;
use control_plane::app::{self, Running};
use control_plane::config::Config;
use serde_json::Value;
use shared::clock::Clock;
use shared::money::Amount;
use shared::task::Tasks;
use std::path::Path;
use std::time::Duration;

const CATALOG: &str = r#"
[[models]]
id = "lab/one"
name = "Model One"
created = 1733506137
context_length = 131072
input_modalities = ["text"]
output_modalities = ["text"]
tokenizer = "Other"

[[providers]]
slug = "acme"
name = "Acme"
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "ACME_KEY"

[[endpoints]]
model = "lab/one"
provider = "acme"
provider_model = "one"
context_length = 131072
quantization = "fp8"
supported_parameters = ["temperature"]
pricing = { prompt = "0.00000012", completion = "0.0000003" }
"#;

struct Bench {
    running: Running,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::in_folder(folder.path());
        let catalog = folder.path().join("catalog");
        write_catalog(&catalog, CATALOG);
        config.catalog = Some(catalog);
        config.wishes.credits = Amount::USD;
        let running = app::start(config, Tasks::new(), Clock::system()).await;
        let running = running.unwrap();
        let addresses = format!(r#"{{"control": "{}"}}"#, running.control);
        std::fs::write(folder.path().join("addresses.json"), addresses).unwrap();
        Self { running, folder }
    }

    async fn stop(self) {
        assert_eq!(self.running.stop(Duration::from_secs(20)).await, 0);
    }

    /// Runs a command line with the data folder's defaults.
    async fn run(&self, line: &str) -> Result<Report, Failed> {
        execute_in(self.folder.path(), line).await
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(line).await.unwrap().to_json()).unwrap()
    }

    async fn text(&self, line: &str) -> String {
        self.run(line).await.unwrap().to_text()
    }
}

async fn execute_in(data: &Path, line: &str) -> Result<Report, Failed> {
    let data = data.display().to_string();
    let line = line.replace("DATA", &data);
    let words = ["godwit admin", "--data-dir", &data].into_iter();
    let parsed = AdminArgs::try_parse_from(words.chain(line.split_whitespace())).unwrap();
    Box::pin(execute(parsed)).await
}

fn write_catalog(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("a.toml"), text).unwrap();
}

#[tokio::test]
async fn keys_from_making_to_revoking() {
    let bench = Bench::start().await;
    let made = bench.json("keys create --name ci").await;
    let id = made["id"].as_str().unwrap().to_owned();
    let listed = bench.json("keys list").await;
    assert_eq!(listed[0]["id"], made["id"]);
    assert_eq!(listed[0]["revoked"], false);
    bench.run(&format!("keys revoke {id}")).await.unwrap();
    let text = bench.text("keys list").await;
    assert!(text.contains("revoked") && text.contains("ci"), "{text}");
    let refused = bench.run("keys revoke 00").await.unwrap_err();
    assert_eq!(refused.code, EXIT_REFUSED);
    let audit = bench.text("audit --limit 1").await;
    assert!(audit.contains("operator/token  key.revoke"), "{audit}");
    bench.stop().await;
}

#[tokio::test]
async fn people_workspaces_and_changes_of_keys() {
    let bench = Bench::start().await;
    let org = bench.json("orgs create Lab").await;
    let org = org["id"].as_str().unwrap();
    assert!(bench.text("orgs list").await.contains(org));
    let line = format!("members add ada@example.com --name Ada --role admin --org {org}");
    let added = bench.json(&line).await;
    let ada = added[0]["user"].as_str().unwrap();
    assert!(
        bench
            .text(&format!("members list --org {org}"))
            .await
            .contains("admin")
    );
    let last = format!("members role {ada} member --org {org}");
    assert_eq!(bench.run(&last).await.unwrap_err().code, EXIT_REFUSED);
    let disabled = bench.json("members disable ada@example.com").await;
    assert_eq!(disabled["user"], ada);
    assert_eq!(disabled["disabled"], true);
    let enabled = bench.text("members enable Ada@example.com").await;
    assert!(enabled.contains("may log in"), "{enabled}");
    let unlinked = bench.json("members unlink ada@example.com").await;
    assert_eq!(unlinked["unlinked"], 0);
    let nobody = bench.run("members unlink eve@example.com").await;
    assert_eq!(nobody.unwrap_err().code, EXIT_REFUSED);

    let made = bench
        .json("workspaces create Research --slug research")
        .await;
    let workspace = made[0]["id"].as_str().unwrap();
    let line = format!("keys create --name ci --workspace {workspace}");
    let key = bench.json(&line).await;
    let id = key["id"].as_str().unwrap();
    let line = format!("keys set {id} --disable --limit 2.5 --reset weekly");
    let changed = bench.json(&line).await;
    assert_eq!(changed[0]["workspace"], workspace);
    assert_eq!(changed[0]["disabled"], true);
    let policy: Value = serde_json::from_str(changed[0]["policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&policy["limit"], &policy["limit_reset"]),
        (&"2.5".into(), &"weekly".into())
    );
    let refused = bench.run("workspaces delete research").await.unwrap_err();
    assert_eq!(refused.code, EXIT_REFUSED);
    bench.run(&format!("keys revoke {id}")).await.unwrap();
    bench.run("workspaces delete research").await.unwrap();
    let verdict = bench.json("ledger verify").await;
    assert_eq!(verdict["problems"], Value::Array(vec![]));
    bench.stop().await;
}

#[tokio::test]
async fn a_catalogue_from_a_folder_and_back() {
    let bench = Bench::start().await;
    let folder = bench.folder.path().join("new");
    write_catalog(&folder, &CATALOG.replace("0.0000003", "0.0000004"));
    let none = bench.run("rollouts rollback").await.unwrap_err();
    assert!(
        none.text.contains("revision 1; none before it"),
        "{}",
        none.text
    );
    let valid = bench.json("catalog validate DATA/new").await;
    assert_eq!(
        (&valid["endpoints"], &valid["problems"]),
        (&1.into(), &Value::Array(vec![]))
    );
    let diff = bench.text("catalog diff DATA/new").await;
    assert_eq!(
        diff,
        "~ endpoint/lab/one@acme\n0 new, 1 different, 0 gone\n"
    );
    let applied = bench.text("catalog apply DATA/new").await;
    assert_eq!(applied, "version 1.2: 1 changed, 0 removed\n");
    let endpoints = bench.text("endpoints --model lab/one").await;
    assert!(endpoints.contains("lab/one@acme") && endpoints.contains("0.0000004"));
    bench.run("catalog rollback 1").await.unwrap();
    let history = bench.json("catalog history").await;
    assert_eq!(history[0]["number"], 3);
    bench.run("catalog export DATA/out").await.unwrap();
    let same = bench.text("catalog diff DATA/out").await;
    assert_eq!(same, "0 new, 0 different, 0 gone\n");

    let paused = bench.json("rollouts pause").await;
    assert_eq!(
        (&paused["stage"], &paused["sent"]),
        (&"paused".into(), &3.into())
    );
    write_catalog(&folder, &CATALOG.replace("0.0000003", "0.0000005"));
    let applied = bench.text("catalog apply DATA/new").await;
    assert!(applied.contains("edges are sent revision 3"), "{applied}");
    let status = bench.text("rollouts status").await;
    assert!(
        status.starts_with("paused at revision 3 by operator/"),
        "{status}"
    );
    assert!(status.contains("the newest is 4"), "{status}");
    let back = bench.json("rollouts rollback").await;
    assert_eq!(
        (&back["stage"], &back["sent"]),
        (&"paused".into(), &5.into())
    );
    let resumed = bench.text("rollouts resume").await;
    assert!(
        resumed.starts_with("edges are sent revision 5, the newest"),
        "{resumed}"
    );

    write_catalog(&folder, &CATALOG.replace("0.0000003", "-1"));
    for line in ["catalog validate DATA/new", "catalog apply DATA/new"] {
        let report = bench.run(line).await.unwrap();
        assert!(report.is_wrong());
        assert!(report.to_text().contains("a.toml:"), "{}", report.to_text());
    }
    bench.stop().await;
}

#[tokio::test]
async fn money_and_fleet() {
    let bench = Bench::start().await;
    let added = bench.text("credits add 2.5 --reference invoice-7").await;
    assert_eq!(added, "added; available: 3.5 USD\n");
    let credits = bench.json("credits list").await;
    assert_eq!(credits[0]["available_usd"], "3.5");
    let bought = bench.text("credits buy 10 --reference card-1").await;
    assert_eq!(bought, "bought; fee: 0.5 USD; available: 13 USD\n");
    let agreed = bench.text("credits terms --fee-ppm 0").await;
    assert_eq!(agreed, "agreed, for purchases and requests from now on\n");
    let back = bench.text("credits refund 9.5 --reference back-1").await;
    assert_eq!(back, "given back; available: 3.5 USD\n");
    let verdict = bench.text("ledger verify").await;
    assert!(verdict.starts_with("the books are in order"), "{verdict}");
    assert!(bench.text("edges").await.starts_with("NODE"));
    assert_eq!(bench.json("edges list").await, Value::Array(vec![]));
    let refused = bench.run("edges drain fra1-a").await.unwrap_err();
    assert!(
        refused.text.contains("no edge was ever heard of"),
        "{}",
        refused.text
    );
    assert_eq!(bench.text("rankings").await, "no edge was heard of yet\n");
    let explained = bench.text("explain lab/one@acme --region eu").await;
    assert!(explained.contains("acme"), "{explained}");
    let cordoned = bench.text("endpoints cordon lab/one@acme").await;
    assert_eq!(cordoned, "lab/one@acme: draining, weight x1\n");
    let weighed = bench.json("endpoints weight lab/one@acme 2.5").await;
    assert_eq!(
        (&weighed["state"], &weighed["weight"]),
        (&"draining".into(), &2.5.into())
    );
    let back = bench.text("endpoints uncordon lab/one@acme").await;
    assert_eq!(back, "lab/one@acme: in service, weight x2.5\n");
    let pinned = bench.text("endpoints pin lab/one@acme").await;
    assert_eq!(pinned, "lab/one@acme: in service, pinned, weight x2.5\n");
    let listed = bench.json("endpoints --model lab/one").await;
    assert_eq!(listed[0]["pinned"], true);
    assert!(bench.run("endpoints pin lab/one@nobody").await.is_err());
    assert!(
        bench
            .run("endpoints weight lab/one@acme 1e9")
            .await
            .is_err()
    );
    let history = bench.json("rankings history lab/one@acme").await;
    assert_eq!(history, Value::Array(vec![]));
    bench.stop().await;
}

#[tokio::test]
async fn credentials_and_their_absence() {
    let bench = Bench::start().await;
    let with = |flags: &str| bench.run_owned(format!("{flags} keys list"));
    let operator = "--cert DATA/pki/operator.crt --key DATA/pki/operator.key";
    assert!(with(operator).await.is_ok());
    let edge = "--cert DATA/pki/edge.crt --key DATA/pki/edge.key";
    assert_eq!(with(edge).await.unwrap_err().code, EXIT_NOT_ALLOWED);
    let wrong = with("--token gwa-0").await.unwrap_err();
    assert_eq!(wrong.code, EXIT_NOT_ALLOWED);
    let nowhere = with("--control 127.0.0.1:1").await.unwrap_err();
    assert_eq!(nowhere.code, EXIT_UNREACHABLE);
    // Without a token file, the operator's certificate of the folder is shown.
    std::fs::remove_file(bench.folder.path().join("admin.token")).unwrap();
    assert!(with("").await.is_ok());
    let empty = tempfile::tempdir().unwrap();
    let stopped = execute_in(empty.path(), "edges").await.unwrap_err();
    assert_eq!(stopped.code, EXIT_UNREACHABLE);
    bench.stop().await;
}

impl Bench {
    async fn run_owned(&self, line: String) -> Result<Report, Failed> {
        self.run(&line).await
    }
}

#[tokio::test]
async fn certificates_without_a_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &'static str| execute_in(folder.path(), line);
    let issue = "pki issue --role edge --name fra1-a";
    assert!(run(issue).await.is_err(), "there is no CA yet");
    let made = run("pki init").await.unwrap().to_json();
    assert!(made.contains("\"made\": true"), "{made}");
    assert!(
        run("pki init")
            .await
            .unwrap()
            .to_json()
            .contains("\"made\": false")
    );
    let issued = run(issue).await.unwrap().to_text();
    assert!(
        issued.starts_with("spiffe://godwit/edge/fra1-a"),
        "{issued}"
    );
    assert!(folder.path().join("pki/edge-fra1-a.key").exists());
    assert!(run("pki issue --role edge --name a/b").await.is_err());
    assert!(
        run("pki issue --role edge --name a --file ../a")
            .await
            .is_err()
    );
    assert!(
        run("pki issue --role edge --name a --file ca")
            .await
            .is_err()
    );
    let key = run("pki signer").await.unwrap().to_text();
    assert_eq!(key.trim().len(), 64);
    assert_eq!(run("pki signer").await.unwrap().to_text(), key);
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    AdminArgs::command().debug_assert();
    let both = [
        "godwit admin",
        "--token",
        "t",
        "--cert",
        "c",
        "--key",
        "k",
        "edges",
    ];
    assert!(AdminArgs::try_parse_from(both).is_err());
    let half = ["godwit admin", "--cert", "c", "edges"];
    assert!(AdminArgs::try_parse_from(half).is_err());
}

#[tokio::test]
async fn price_lists_become_a_catalogue_offline() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let providers = root.join("deploy/catalog/providers.toml");
    std::fs::copy(providers, folder.path().join("providers.toml")).unwrap();
    let lists = root.join("shared/src/catalog/import/tests");
    let list = |flag: &str, name: &str| format!("--{flag} {}", lists.join(name).display());
    let line = [
        "catalog import --out DATA".to_owned(),
        list("litellm", "litellm.json"),
        list("models-dev", "models-dev.json"),
        list("openrouter", "openrouter.json"),
    ];
    let report = execute_in(folder.path(), &line.join(" ")).await.unwrap();
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["unknown_providers"][0], "litellm newhost");
    let valid = execute_in(folder.path(), "catalog validate DATA").await;
    let valid: Value = serde_json::from_str(&valid.unwrap().to_json()).unwrap();
    assert_eq!(valid["endpoints"], json["endpoints"]);
    let missing = line.join(" ").replace("litellm.json", "none.json");
    let failed = execute_in(folder.path(), &missing).await.unwrap_err();
    assert!(failed.text.contains("none.json"), "{}", failed.text);
}
