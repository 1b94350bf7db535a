//! A control plane and edges as processes of their own, with certificates made by `godwit admin
//! pki`, a key and credits made by `godwit admin`. Every process can be killed, paused and
//! restarted on its old ports and data.

use super::standalone::admin;
use super::{Addresses, CatalogSpec, ClusterError, Process, Programs, Spawn, ready, serving};
use crate::client::Client;
use crate::wire::Wire;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toml::Table;

/// How to start a fleet.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// What it serves.
    pub catalog: CatalogSpec,
    /// Each edge's point of presence and region.
    pub edges: Vec<(String, String)>,
    /// USD for the first organisation.
    pub credits: String,
    /// Further keys of every edge's configuration.
    pub edge_keys: Vec<(String, String)>,
    /// Further flags of the control plane, `--name` and value.
    pub control_flags: Vec<(String, String)>,
    /// Variables of every process, e.g. providers' keys.
    pub environment: Vec<(String, String)>,
    /// The edges survive [`Process::limit_files`].
    pub survive_limits: bool,
    /// The CPU that the edges are bound to.
    pub edge_cpu: Option<usize>,
    /// Each edge reaches the control plane by a wire of its own, [`Fleet::wire`].
    pub wired: bool,
}

impl FleetConfig {
    /// So many edges, each its own point of presence, all in one region.
    #[must_use]
    pub fn new(catalog: CatalogSpec, edges: usize) -> Self {
        let place = |number| (format!("pop-{number}"), "local".to_owned());
        Self {
            catalog,
            edges: (1..=edges).map(place).collect(),
            credits: "1000".to_owned(),
            edge_keys: Vec::new(),
            control_flags: Vec::new(),
            environment: Vec::new(),
            survive_limits: false,
            edge_cpu: None,
            wired: false,
        }
    }

    /// The same with one more key in every edge's configuration.
    #[must_use]
    pub fn edge_key(mut self, name: &str, value: &str) -> Self {
        self.edge_keys.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts everything and waits until every edge serves.
    ///
    /// # Errors
    /// A program is missing or does not become ready.
    pub async fn start(self) -> Result<Fleet, ClusterError> {
        let programs = Programs::find("edge-node")?;
        let dir = TempDir::new().map_err(ClusterError::system("temporary folder"))?;
        self.catalog.write(&dir.path().join("catalog"))?;
        let control = ControlPlane::start(&self, &programs, dir.path()).await?;
        let mut fleet = Fleet {
            edges: Vec::new(),
            wires: Vec::new(),
            control,
            programs,
            key: String::new(),
            dir,
        };
        let made = fleet.admin(&["keys", "create", "--name", "cluster"])?;
        fleet.key = text(&made, "key");
        if self.credits != "0" {
            fleet.admin(&["credits", "add", &self.credits, "--reference", "cluster"])?;
        }
        let signer = text(&fleet.admin(&["pki", "signer"])?, "public_key");
        for (number, (pop, region)) in self.edges.iter().enumerate() {
            let name = format!("edge-{}", number + 1);
            let issued = fleet.admin(&["pki", "issue", "--role", "edge", "--name", &name])?;
            let place = Place {
                name,
                pop: pop.clone(),
                region: region.clone(),
                certificate: text(&issued, "certificate"),
                key: text(&issued, "key"),
                signer: signer.clone(),
                control: fleet.road(self.wired).await?,
            };
            let edge = EdgeNode::start(&self, &fleet, place).await?;
            fleet.edges.push(edge);
        }
        Ok(fleet)
    }
}

/// A control plane and its edges.
#[derive(Debug)]
pub struct Fleet {
    edges: Vec<EdgeNode>,
    wires: Vec<Wire>,
    control: ControlPlane,
    programs: Programs,
    key: String,
    dir: TempDir,
}

impl Fleet {
    /// The edges, in order.
    #[must_use]
    pub fn edges(&self) -> &[EdgeNode] {
        &self.edges
    }

    /// One edge, to be killed or restarted; none when there are fewer.
    pub fn edge(&mut self, number: usize) -> Option<&mut EdgeNode> {
        self.edges.get_mut(number)
    }

    /// The network between one edge and the control plane; none unless the fleet is wired.
    #[must_use]
    pub fn wire(&self, number: usize) -> Option<&Wire> {
        self.wires.get(number)
    }

    /// Where the next edge reaches the control plane.
    async fn road(&mut self, wired: bool) -> Result<String, ClusterError> {
        let target = self.control.addresses.get("control");
        let Some(target) = target.filter(|_| wired) else {
            return Ok(self.control.url());
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let wire = Wire::start(any, target).await;
        let wire = wire.map_err(ClusterError::system("a wire"))?;
        let url = format!("https://{}", wire.addr());
        self.wires.push(wire);
        Ok(url)
    }

    /// The control plane's process.
    pub const fn control(&mut self) -> &mut Process {
        &mut self.control.process
    }

    /// Starts the control plane again with its data and ports.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restart_control(&mut self) -> Result<(), ClusterError> {
        self.control.restart().await
    }

    /// A client of the control plane's HTTP.
    #[must_use]
    pub fn console(&self) -> Client {
        Client::new(&self.control.addresses.url("console"))
    }

    /// Where the control plane listens for edges; none if it does not say.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control.addresses.get("control")
    }

    /// The control plane's data folder.
    #[must_use]
    pub fn control_data(&self) -> &Path {
        &self.control.data
    }

    /// The funded inference key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A client of one edge's API with the funded key; of none a client that reaches nothing.
    #[must_use]
    pub fn client(&self, number: usize) -> Client {
        let url = self.edges.get(number).map(EdgeNode::url);
        Client::new(&url.unwrap_or_default()).with_key(&self.key)
    }

    /// Runs `godwit admin … --json` and gives its output.
    ///
    /// # Errors
    /// The command failed.
    pub fn admin(&self, arguments: &[&str]) -> Result<Value, ClusterError> {
        self.admin_given(arguments, "")
    }

    /// The same with something on its standard input.
    ///
    /// # Errors
    /// The command failed.
    pub fn admin_given(&self, arguments: &[&str], input: &str) -> Result<Value, ClusterError> {
        let url = self.control.url();
        let said = (arguments, input);
        admin(&self.programs, &self.control.data, &url, said)
    }

    /// Changes the catalogue's folder, from which `admin catalog apply` reads.
    ///
    /// # Errors
    /// The disk.
    pub fn write_catalog(&self, catalog: &CatalogSpec) -> Result<PathBuf, ClusterError> {
        let folder = self.dir.path().join("catalog");
        catalog.write(&folder).map(|()| folder)
    }
}

#[derive(Debug)]
struct ControlPlane {
    process: Process,
    spawn: Spawn,
    addresses: Addresses,
    data: PathBuf,
}

impl ControlPlane {
    async fn start(
        config: &FleetConfig,
        programs: &Programs,
        dir: &Path,
    ) -> Result<Self, ClusterError> {
        let data = dir.join("control");
        let mut spawn = Spawn::new("control-plane", &programs.path("control-plane")?, dir)
            .arg("--data-dir")
            .arg(&data)
            .arg("--catalog")
            .arg(dir.join("catalog"))
            .arg("--control-listen=127.0.0.1:0")
            .arg("--console-listen=127.0.0.1:0");
        for (name, value) in &config.control_flags {
            spawn = spawn.arg(format!("--{name}")).arg(value);
        }
        spawn.environment.clone_from(&config.environment);
        let mut process = spawn.start()?;
        let addresses = ready(&mut process, &data.join("addresses.json")).await?;
        Ok(Self {
            process,
            spawn,
            addresses,
            data,
        })
    }

    async fn restart(&mut self) -> Result<(), ClusterError> {
        self.process.kill();
        let file = self.data.join("addresses.json");
        let _ = std::fs::remove_file(&file);
        for (flag, name) in [("control-listen", "control"), ("console-listen", "console")] {
            let prefix = format!("--{flag}=");
            for argument in &mut self.spawn.arguments {
                let ours = argument.to_string_lossy().starts_with(&prefix);
                if let (true, Some(addr)) = (ours, self.addresses.get(name)) {
                    *argument = format!("{prefix}{addr}").into();
                }
            }
        }
        self.process = self.spawn.start()?;
        self.addresses = ready(&mut self.process, &file).await?;
        Ok(())
    }

    fn url(&self) -> String {
        let addr = self.addresses.get("control");
        addr.map(|addr| format!("https://{addr}"))
            .unwrap_or_default()
    }
}

/// What an edge's configuration says of it.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    pop: String,
    region: String,
    certificate: String,
    key: String,
    signer: String,
    /// Where it reaches the control plane.
    control: String,
}

/// One edge.
#[derive(Debug)]
pub struct EdgeNode {
    process: Process,
    spawn: Spawn,
    addresses: Addresses,
    config: PathBuf,
    table: Table,
    data: PathBuf,
}

impl EdgeNode {
    async fn start(
        config: &FleetConfig,
        fleet: &Fleet,
        place: Place,
    ) -> Result<Self, ClusterError> {
        let dir = fleet.dir.path();
        let data = dir.join(&place.name);
        let file = dir.join(format!("{}.toml", place.name));
        let ca = fleet.control.data.join("pki/ca.crt");
        let mut table = Table::new();
        let mut set = |name: &str, value: &str| table.insert(name.into(), value.into());
        set("node_id", &place.name);
        set("pop", &place.pop);
        set("region", &place.region);
        set("listen", "127.0.0.1:0");
        set("admin_listen", "127.0.0.1:0");
        set("data_dir", &data.to_string_lossy());
        for (name, value) in &config.edge_keys {
            set(name, value);
        }
        table.insert("control".into(), vec![place.control].into());
        table.insert("trusted_signers".into(), vec![place.signer].into());
        let mut tls = Table::new();
        tls.insert("cert".into(), place.certificate.into());
        tls.insert("key".into(), place.key.into());
        tls.insert("ca".into(), ca.to_string_lossy().into_owned().into());
        table.insert("tls".into(), tls.into());
        write(&file, &table)?;
        let program = fleet.programs.path("edge-node")?;
        let mut spawn = Spawn::new(&place.name, &program, dir)
            .arg("--config")
            .arg(&file);
        spawn.environment.clone_from(&config.environment);
        spawn.cpu = config.edge_cpu;
        spawn.survives_limits = config.survive_limits;
        let mut process = spawn.start()?;
        let addresses = serving(&mut process, &data.join("addresses.json")).await?;
        Ok(Self {
            process,
            spawn,
            addresses,
            config: file,
            table,
            data,
        })
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its client API's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.addresses.url("api")
    }

    /// Its client API's address.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addresses.get("api")
    }

    /// A client of its own interface (health, metrics, debug).
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::new(&self.addresses.url("edge_admin"))
    }

    /// Where its peers send gossip.
    #[must_use]
    pub fn gossip(&self) -> Option<SocketAddr> {
        self.addresses.get("gossip")
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Starts it again with its data and ports, and waits until it serves.
    ///
    /// # Errors
    /// It does not.
    pub async fn restart(&mut self) -> Result<(), ClusterError> {
        self.process.kill();
        let file = self.data.join("addresses.json");
        let _ = std::fs::remove_file(&file);
        let listeners = [
            ("listen", "api"),
            ("admin_listen", "edge_admin"),
            ("gossip_listen", "gossip"),
        ];
        for (key, name) in listeners {
            if let Some(addr) = self.addresses.get(name) {
                self.table.insert(key.into(), addr.to_string().into());
            }
        }
        write(&self.config, &self.table)?;
        self.process = self.spawn.start()?;
        self.addresses = serving(&mut self.process, &file).await?;
        Ok(())
    }
}

fn write(file: &Path, table: &Table) -> Result<(), ClusterError> {
    let named = ClusterError::system(format!("{}", file.display()));
    std::fs::write(file, table.to_string()).map_err(named)
}

fn text(value: &Value, name: &str) -> String {
    let member = value.get(name).and_then(Value::as_str);
    member.unwrap_or("").to_owned()
}
