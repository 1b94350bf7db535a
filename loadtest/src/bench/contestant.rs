//! Who is measured: nobody (the client against the provider), bare Pingora, nginx where it is
//! installed, one edge of a fleet, Godwit in one process, and gateways that run already. Each knows its URL, its model and its process.

use super::{BenchError, anywhere};
use crate::cluster::{
    ClusterError, DEV_KEY, Fleet, Process, Programs, Spawn, Standalone, eventually,
};
use crate::measure::listening_on;
use crate::run::{Target, TargetError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;

/// What every contestant but Godwit and externals is asked for, and Godwit's catalogue has.
pub(super) const MODEL: &str = "bench/model";
/// How long a contestant may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(10);

/// A gateway that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// What reports call it.
    pub name: String,
    /// Its chat completions.
    pub url: String,
    /// Sent as bearer.
    pub key: Option<String>,
    /// The model to ask for.
    pub model: String,
}

impl External {
    /// Reads `NAME=URL[,key=KEY][,model=MODEL]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("NAME=URL is expected")?;
        let mut parts = rest.split(',');
        let mut external = Self {
            name: name.to_owned(),
            url: parts.next().unwrap_or("").to_owned(),
            key: None,
            model: MODEL.to_owned(),
        };
        for part in parts {
            match part.split_once('=') {
                Some(("key", key)) => external.key = Some(key.to_owned()),
                Some(("model", model)) => model.clone_into(&mut external.model),
                _ => return Err(format!("{part}: key= or model= is expected")),
            }
        }
        Ok(external)
    }
}

/// One contestant that runs.
pub struct Contestant {
    /// What reports call it.
    pub name: String,
    /// The model to ask for.
    pub model: String,
    /// Its process; none when its cost is not measured.
    pub pid: Option<u32>,
    url: String,
    key: Option<String>,
    _child: Child,
}

/// What ends with the contestant.
enum Child {
    None,
    Process { _process: Process },
    Godwit { _godwit: Box<Standalone> },
    Fleet { _fleet: Box<Fleet> },
}

impl Contestant {
    /// Where load goes.
    ///
    /// # Errors
    /// Its URL is not plain HTTP.
    pub fn target(&self) -> Result<Target, TargetError> {
        let target = Target::parse(&self.url)?;
        Ok(match &self.key {
            Some(key) => target.header("authorization", &format!("Bearer {key}")),
            None => target,
        })
    }
}

fn plain(name: &str, addr: SocketAddr, child: Option<Process>) -> Contestant {
    Contestant {
        name: name.to_owned(),
        model: MODEL.to_owned(),
        pid: child.as_ref().map(Process::pid),
        url: format!("http://{addr}/v1/chat/completions"),
        key: None,
        _child: match child {
            Some(process) => Child::Process { _process: process },
            None => Child::None,
        },
    }
}

/// The client against the provider itself.
pub(super) fn direct(provider: SocketAddr) -> Contestant {
    plain("direct", provider, None)
}

/// Bare Pingora: this program's own `peer` command.
pub(super) async fn pingora(
    dir: &Path,
    provider: SocketAddr,
    cpu: Option<usize>,
) -> Result<Contestant, BenchError> {
    let own = Programs::find("loadtest")?.path("loadtest")?;
    let file = dir.join("pingora.address");
    let mut spawn = Spawn::new("pingora", &own, dir)
        .arg("peer")
        .arg("--listen")
        .arg(anywhere().to_string())
        .arg("--upstream")
        .arg(provider.to_string())
        .arg("--address-file")
        .arg(&file);
    spawn.cpu = cpu;
    let process = spawn.start()?;
    let read = || async {
        std::fs::read_to_string(&file)
            .ok()?
            .parse::<SocketAddr>()
            .ok()
    };
    match eventually(LISTEN_MAX, read).await {
        Some(addr) => Ok(plain("pingora", addr, Some(process))),
        None => Err(not_ready(&process)),
    }
}

/// nginx with a configuration of its own; none when it is not installed.
pub(super) async fn nginx(
    dir: &Path,
    provider: SocketAddr,
    cpu: Option<usize>,
) -> Result<Option<Contestant>, BenchError> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let Some(program) = places.iter().map(PathBuf::from).find(|path| path.is_file()) else {
        return Ok(None);
    };
    // nginx takes no port 0: borrow one from the system.
    let addr = std::net::TcpListener::bind(anywhere())?.local_addr()?;
    let file = dir.join("nginx.conf");
    std::fs::write(&file, nginx_config(dir, addr, provider))?;
    let mut spawn = Spawn::new("nginx", &program, dir)
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(dir.join("nginx.error.log"));
    spawn.cpu = cpu;
    let process = spawn.start()?;
    let connect = || async { TcpStream::connect(addr).await.ok() };
    match eventually(LISTEN_MAX, connect).await {
        Some(_) => Ok(Some(plain("nginx", addr, Some(process)))),
        None => Err(not_ready(&process)),
    }
}

fn nginx_config(dir: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;\n\
         error_log {dir}/nginx.error.log crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n\
           access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 300s;\n\
           client_max_body_size 64m; client_body_buffer_size 1m;\n\
           client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
           fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           upstream provider {{ server {upstream}; keepalive 2048; keepalive_requests 100000000; }}\n\
           server {{\n\
             listen {listen};\n\
             location / {{\n\
               proxy_pass http://provider; proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\"; proxy_buffering off; proxy_read_timeout 300s;\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

/// Godwit, both planes in one process.
pub(super) fn godwit(mut standalone: Standalone) -> Contestant {
    Contestant {
        name: "godwit".to_owned(),
        model: MODEL.to_owned(),
        pid: Some(standalone.process().pid()),
        url: format!(
            "{}/api/v1/chat/completions",
            standalone.addresses().url("api")
        ),
        key: Some(DEV_KEY.to_owned()),
        _child: Child::Godwit {
            _godwit: Box::new(standalone),
        },
    }
}

/// The first edge of a fleet.
pub(super) fn edge(mut fleet: Fleet) -> Result<Contestant, BenchError> {
    let key = fleet.key().to_owned();
    let edge = fleet.edge(0).ok_or(BenchError::NoEdge)?;
    Ok(Contestant {
        name: "edge".to_owned(),
        model: MODEL.to_owned(),
        pid: Some(edge.process().pid()),
        url: format!("{}/api/v1/chat/completions", edge.url()),
        key: Some(key),
        _child: Child::Fleet {
            _fleet: Box::new(fleet),
        },
    })
}

/// A gateway that somebody else started; its process is found by its port.
pub(super) fn external(peer: &External) -> Contestant {
    let port = Target::parse(&peer.url)
        .ok()
        .map(|target| target.addr().port());
    Contestant {
        name: peer.name.clone(),
        model: peer.model.clone(),
        pid: port.and_then(listening_on),
        url: peer.url.clone(),
        key: peer.key.clone(),
        _child: Child::None,
    }
}

fn not_ready(process: &Process) -> BenchError {
    BenchError::Cluster(ClusterError::NotReady {
        name: process.name().to_owned(),
        what: "does not listen".to_owned(),
        log: process.log_tail(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn externals_are_read() {
        let peer = External::parse("x=http://h:1/v1/chat/completions,key=k,model=m").unwrap();
        assert_eq!((peer.name.as_str(), peer.model.as_str()), ("x", "m"));
        assert_eq!(peer.key.as_deref(), Some("k"));
        assert!(External::parse("x").is_err() && External::parse("x=u,y=z").is_err());
    }
}
