//! What the tests of several modules need: a small catalogue, a signer, a running control plane
//! and an edge that talks to it over the wire.

mod database;
mod edge;

pub(crate) use database::{TestDatabase, empty, on_both};
pub(crate) use edge::{EdgeClient, hello};

use crate::app::{self, Running};
use crate::config::Config;
use crate::pki;
use crate::publish::Edge;
use shared::clock::Clock;
use shared::id::NodeId;
use shared::manifest::Signer;
use shared::task::Tasks;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A new signer.
pub(crate) fn signer() -> Signer {
    Signer::generate().unwrap().0
}

/// A catalogue with one model, `lab/one`, at the named providers.
pub(crate) fn catalog(providers: &[&str]) -> BTreeMap<String, String> {
    let mut text = r#"
[[models]]
id = "lab/one"
name = "Model One"
created = 1733506137
context_length = 131072
input_modalities = ["text"]
output_modalities = ["text"]
tokenizer = "Other"
"#
    .to_owned();
    for provider in providers {
        text.push_str(&format!(
            r#"
[[providers]]
slug = "{provider}"
name = "{provider}"
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "SOME_API_KEY"

[[endpoints]]
model = "lab/one"
provider = "{provider}"
provider_model = "one"
context_length = 131072
quantization = "fp8"
supported_parameters = ["temperature"]
pricing = {{ prompt = "0.00000012", completion = "0.0000003" }}
"#
        ));
    }
    [("catalog.toml".to_owned(), text)].into()
}

/// A control plane on ports of the system's choice.
pub(crate) struct Bench {
    pub(crate) running: Running,
    folder: tempfile::TempDir,
}

impl Bench {
    /// Serves one model at these providers.
    pub(crate) async fn start(providers: &[&str]) -> Self {
        Self::start_with(providers, |_| {}).await
    }

    /// The same with another configuration.
    pub(crate) async fn start_with(providers: &[&str], adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = folder.path().join("catalog");
        std::fs::create_dir(&catalogue).unwrap();
        for (name, text) in catalog(providers) {
            std::fs::write(catalogue.join(name), text).unwrap();
        }
        let mut config = Config::in_folder(folder.path());
        config.catalog = Some(catalogue);
        adjust(&mut config);
        let running = app::start(config, Tasks::new(), Clock::system())
            .await
            .unwrap();
        Self { running, folder }
    }

    /// Stops it and starts it in the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { running, folder } = self;
        assert_eq!(running.stop(PATIENCE).await, 0);
        let config = Config::in_folder(folder.path());
        let running = app::start(config, Tasks::new(), Clock::system())
            .await
            .unwrap();
        Self { running, folder }
    }

    /// Stops it; gives how many tasks had to be cut.
    pub(crate) async fn stop(self) -> usize {
        self.running.stop(PATIENCE).await
    }

    /// The edge `edge-1`, connected with its certificate.
    pub(crate) async fn edge(&self) -> EdgeClient {
        let pki = pki::ensure(
            self.folder.path(),
            &NodeId::from("edge-1"),
            Clock::system().unix_s(),
        );
        let pki = pki.unwrap();
        EdgeClient::connect(self.running.control, &pki.ca, Some(&pki.edge)).await
    }

    /// Somebody without a certificate.
    pub(crate) async fn stranger(&self) -> EdgeClient {
        let ca = std::fs::read_to_string(self.folder.path().join("pki/ca.crt")).unwrap();
        EdgeClient::connect(self.running.control, &ca, None).await
    }

    /// Waits until the only edge is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Edge) -> bool) -> Edge {
        let look = async {
            loop {
                let edge = self
                    .running
                    .parts
                    .edges
                    .list()
                    .into_iter()
                    .find(|edge| wanted(edge));
                if let Some(edge) = edge {
                    return edge;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap()
    }

    /// An HTTP request to the console: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(self.running.console, path).await
    }
}

/// An HTTP request: status and body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
