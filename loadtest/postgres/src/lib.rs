//! A PostgreSQL of one's own: from the installed Debian package, in a folder of its own, on a free
//! port of the loopback interface, as an ordinary user also where the caller is root. A watching
//! shell stops it and removes its folder when the caller stops it or ends in any way, kill -9
//! included. Installing PostgreSQL and speaking to it are not here.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where Debian puts the programs, by version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who it runs as where the caller is root, which it refuses: the package's user, else nobody.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// The superuser inside, without a password: only loopback and this user's socket lead there.
const SUPERUSER: &str = "godwit";

/// Starts the server in the background and stops it at the end of standard input. The folder goes,
/// too, unless the caller has said that it is needed. Signals to the caller's group are for the
/// caller. `$1` is the folder, the rest the command.
const WATCH: &str = r#"
trap '' INT TERM HUP
folder=$1
shift
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

/// How it treats the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// As in production: a commit waits for the disk.
    Safe,
    /// Survives a kill, not a loss of power: for tests.
    Fast,
}

/// A running server. Stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    user: Option<&'static str>,
    durability: Durability,
    port: u16,
    watch: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// Makes and starts one.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; its last words are in the error.
    pub fn start(durability: Durability) -> io::Result<Self> {
        let user = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("godwit-pg-").tempdir()?;
        if let Some(user) = user {
            let owned = Command::new("chown").arg(user).arg(folder.path()).output();
            checked("chown", owned)?;
        }
        let mut server = Self {
            folder,
            programs: programs()?,
            user,
            durability,
            port: 0,
            watch: None,
            databases: AtomicU32::new(0),
        };
        let data = server.data();
        let made = server
            .program("initdb")
            .args(["--no-sync", "--no-instructions", "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "-U", SUPERUSER, "-D"])
            .arg(&data)
            .output();
        checked("initdb", made)?;
        server.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        server.run()?;
        Ok(server)
    }

    /// Makes an empty database and gives its URL.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database(&self) -> io::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("godwit_{number}");
        let made = self
            .client("createdb")
            .args(["--template=template0", &name])
            .output();
        checked("createdb", made)?;
        Ok(format!(
            "postgres://{SUPERUSER}@127.0.0.1:{}/{name}?sslmode=disable",
            self.port
        ))
    }

    /// Kills every process of it at once, as a crash does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> io::Result<()> {
        let pid = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        // Halted first: it must not start another while its children are looked for.
        signal("-STOP", &[&pid])?;
        let all = Command::new("ps")
            .args(["-o", "pid=", "--pid", &pid, "--ppid", &pid])
            .output()?;
        let all = String::from_utf8_lossy(&all.stdout).into_owned();
        let all: Vec<_> = all.split_whitespace().collect();
        signal("-KILL", &all)?;
        let deadline = Instant::now() + PATIENCE;
        while !all.iter().all(|pid| is_gone(pid)) && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
        }
        self.end()
    }

    /// Stops it as an operator does, transactions cut.
    ///
    /// # Errors
    /// When it can't be told to.
    pub fn stop(&mut self) -> io::Result<()> {
        self.end()
    }

    /// Starts it again on the same port with what its disk has.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.end()?;
        self.run()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn keep(&self) -> PathBuf {
        self.folder.path().join("keep")
    }

    fn run(&mut self) -> io::Result<()> {
        let folder = self.folder.path().to_owned();
        if self.keep().exists() {
            fs::remove_file(self.keep())?;
        }
        let mut options = vec![
            format!("-p{}", self.port),
            "-clisten_addresses=127.0.0.1".to_owned(),
            format!("-cunix_socket_directories={}", folder.display()),
            "-cmax_connections=100".to_owned(),
        ];
        if self.durability == Durability::Fast {
            options.extend([
                "-cfsync=off".to_owned(),
                "-cfull_page_writes=off".to_owned(),
            ]);
        }
        let server = self.program("postgres");
        let mut watch = Command::new("sh");
        watch
            .arg("-c")
            .arg(WATCH)
            .arg("watch")
            .arg(&folder)
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(self.data())
            .args(&options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.watch = Some(watch.spawn()?);
        let deadline = Instant::now() + PATIENCE;
        while !self.answers()? {
            if Instant::now() > deadline {
                let words = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "PostgreSQL does not start: {words}"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn answers(&self) -> io::Result<bool> {
        let asked = self.client("pg_isready").arg("--quiet").status()?;
        Ok(asked.success())
    }

    /// Ends it by its watch, which reaps it.
    fn end(&mut self) -> io::Result<()> {
        if let Some(mut watch) = self.watch.take() {
            fs::write(self.keep(), "")?;
            drop(watch.stdin.take());
            watch.wait()?;
        }
        Ok(())
    }

    /// A program of the server's, as the user that it runs as.
    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = match self.user {
            None => Command::new(path),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args([&format!("--reuid={user}"), "--clear-groups"])
                    .arg(path);
                command
            }
        };
        command.current_dir("/");
        command
    }

    /// A client's program that speaks to it.
    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .args(["-U", SUPERUSER, "-h"])
            .arg(self.folder.path())
            .arg("-p")
            .arg(self.port.to_string())
            .current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The server that all of a process's tests share; each takes a database of its own. The process's
/// end is its end.
///
/// # Panics
/// When it can't be started: no test that needs it can run.
#[must_use]
#[expect(clippy::panic, reason = "only tests come here")]
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    // Nobody drops a static: its watch ends it.
    SHARED.get_or_init(|| {
        let started = Server::start(Durability::Fast);
        started.unwrap_or_else(|error| panic!("no PostgreSQL to test with: {error}"))
    })
}

fn signal(signal: &str, pids: &[&str]) -> io::Result<()> {
    // One that has ended by itself since is as good as dead.
    Command::new("kill").arg(signal).args(pids).output()?;
    Ok(())
}

/// True when a process has ended, also while nobody has asked how.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.starts_with(['R', 'S', 'D', 'T', 't'])
}

/// Where the server's programs are: the newest version's folder.
fn programs() -> io::Result<PathBuf> {
    let found = fs::read_dir(VERSIONS).map(|entries| {
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
        let folders = folders.filter(|folder| folder.join("postgres").exists());
        folders.max_by_key(|folder| version(folder))
    });
    found.ok().flatten().ok_or_else(|| {
        let reason = "PostgreSQL is not installed: apt-get install postgresql";
        io::Error::new(ErrorKind::NotFound, reason)
    })
}

fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name);
    let name = name.and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}

/// The user that the server is to run as; none: the caller's own.
fn unprivileged() -> io::Result<Option<&'static str>> {
    let own = checked("id", Command::new("id").arg("-u").output())?;
    if String::from_utf8_lossy(&own.stdout).trim() != "0" {
        return Ok(None);
    }
    for user in USERS {
        let known = Command::new("id").args(["-u", user]).output()?;
        if known.status.success() {
            return Ok(Some(user));
        }
    }
    Err(io::Error::new(
        ErrorKind::NotFound,
        "no user to run PostgreSQL as",
    ))
}

fn checked(what: &str, done: io::Result<Output>) -> io::Result<Output> {
    let done = done.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))?;
    if done.status.success() {
        return Ok(done);
    }
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(io::Error::other(format!(
        "{what}: {}: {words}",
        done.status
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_dies_starts_again_and_leaves_nothing() {
        let mut server = Server::start(Durability::Fast).unwrap();
        let first = server.database().unwrap();
        let second = server.database().unwrap();
        assert_ne!(first, second);
        server.kill().unwrap();
        assert!(!server.answers().unwrap());
        server.restart().unwrap();
        assert!(server.database().is_ok());
        server.stop().unwrap();
        assert!(!server.answers().unwrap());
        let folder = server.folder.path().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}
