//! `godwit` as a child: both planes in one process, with a known key and a given catalogue.
//! Restarting keeps the data folder and the ports.

use super::{Addresses, CatalogSpec, ClusterError, Process, Programs, Spawn, serving};
use crate::client::Client;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The funded inference key that every cluster has.
pub const DEV_KEY: &str =
    "sk-gw-v1-00000000000000000000000000000000000000000000000000000000de000042";

/// How to start `godwit`.
#[derive(Clone, Debug)]
pub struct StandaloneConfig {
    /// What it serves.
    pub catalog: CatalogSpec,
    /// USD for the first organisation.
    pub credits: String,
    /// `auto`, `on` or `off`.
    pub simulate: String,
    /// Further flags, `--name` and value.
    pub flags: Vec<(String, String)>,
    /// Variables, e.g. providers' keys.
    pub environment: Vec<(String, String)>,
    /// The only CPU that it may use.
    pub cpu: Option<usize>,
}

impl StandaloneConfig {
    /// `godwit` with this catalogue, nothing simulated, enough credits.
    #[must_use]
    pub fn new(catalog: CatalogSpec) -> Self {
        Self {
            catalog,
            credits: "1000".to_owned(),
            simulate: "off".to_owned(),
            flags: Vec::new(),
            environment: Vec::new(),
            cpu: None,
        }
    }

    /// The same with one more flag.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It is missing, or does not become ready.
    pub async fn start(self) -> Result<Standalone, ClusterError> {
        let programs = Programs::find("godwit")?;
        let dir = TempDir::new().map_err(ClusterError::system("temporary folder"))?;
        self.catalog.write(&dir.path().join("catalog"))?;
        let spawn = self.spawn(&programs.path("godwit")?, dir.path());
        let mut process = spawn.start()?;
        let data = dir.path().join("data");
        let addresses = serving(&mut process, &data.join("addresses.json")).await?;
        Ok(Standalone {
            process,
            spawn,
            addresses,
            programs,
            dir,
        })
    }

    fn spawn(&self, program: &Path, dir: &Path) -> Spawn {
        let mut spawn = Spawn::new("godwit", program, dir)
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--catalog")
            .arg(dir.join("catalog"))
            .arg("--simulate")
            .arg(&self.simulate)
            .arg("--credits")
            .arg(&self.credits)
            .arg("--dev-key")
            .arg(DEV_KEY);
        for listener in LISTENERS {
            spawn = spawn.arg(format!("--{}", listener.1)).arg("127.0.0.1:0");
        }
        for (name, value) in &self.flags {
            spawn = spawn.arg(format!("--{name}")).arg(value);
        }
        spawn.environment.clone_from(&self.environment);
        spawn.cpu = self.cpu;
        spawn
    }
}

/// Names in `addresses.json`, and the flags.
const LISTENERS: [(&str, &str); 4] = [
    ("api", "listen"),
    ("edge_admin", "admin-listen"),
    ("control", "control-listen"),
    ("console", "console-listen"),
];

/// A running `godwit`.
#[derive(Debug)]
pub struct Standalone {
    process: Process,
    spawn: Spawn,
    addresses: Addresses,
    programs: Programs,
    dir: TempDir,
}

impl Standalone {
    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A client of its API with the funded key.
    #[must_use]
    pub fn client(&self) -> Client {
        self.stranger().with_key(DEV_KEY)
    }

    /// A client of its API without a key.
    #[must_use]
    pub fn stranger(&self) -> Client {
        Client::new(&self.addresses.url("api"))
    }

    /// A client of the edge's own interface (health, metrics, debug).
    #[must_use]
    pub fn edge_admin(&self) -> Client {
        Client::new(&self.addresses.url("edge_admin"))
    }

    /// A client of the control plane's HTTP.
    #[must_use]
    pub fn console(&self) -> Client {
        Client::new(&self.addresses.url("console"))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// TERM, and how it ended.
    pub async fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.process.terminate(patience).await
    }

    /// Starts it again with the same data and the same ports.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restart(&mut self) -> Result<(), ClusterError> {
        self.process.kill();
        let file = self.data_dir().join("addresses.json");
        let _ = std::fs::remove_file(&file);
        let mut arguments = self.spawn.arguments.clone();
        for (name, flag) in LISTENERS {
            let flag = format!("--{flag}");
            let place = arguments.iter().position(|argument| *argument == *flag);
            let value = place.and_then(|place| arguments.get_mut(place + 1));
            if let (Some(value), Some(addr)) = (value, self.addresses.get(name)) {
                *value = addr.to_string().into();
            }
        }
        self.spawn.arguments = arguments;
        self.process = self.spawn.start()?;
        self.addresses = serving(&mut self.process, &file).await?;
        Ok(())
    }

    /// Runs `godwit admin … --json` against it and gives its output.
    ///
    /// # Errors
    /// The command failed.
    pub fn admin(&self, arguments: &[&str]) -> Result<serde_json::Value, ClusterError> {
        let control = self.addresses.get("control");
        let control = control
            .map(|addr| format!("https://{addr}"))
            .unwrap_or_default();
        admin(&self.programs, &self.data_dir(), &control, (arguments, ""))
    }

    /// Changes the catalogue's folder (the running process keeps what it has).
    ///
    /// # Errors
    /// The disk.
    pub fn write_catalog(&self, catalog: &CatalogSpec) -> Result<PathBuf, ClusterError> {
        let folder = self.dir.path().join("catalog");
        catalog.write(&folder).map(|()| folder)
    }
}

/// Runs the command-line client, and gives it its input.
pub(super) fn admin(
    programs: &Programs,
    data_dir: &Path,
    control: &str,
    (arguments, input): (&[&str], &str),
) -> Result<serde_json::Value, ClusterError> {
    let failed = || ClusterError::system("godwit admin");
    let mut child = Command::new(programs.path("godwit")?)
        .arg("admin")
        .args(arguments)
        .args(["--control", control, "--json"])
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed())?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing may have ended.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(ClusterError::Admin {
            arguments: arguments.join(" "),
            output: format!("{text}{errors}"),
        });
    }
    Ok(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
}
