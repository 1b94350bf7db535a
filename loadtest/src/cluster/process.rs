//! One child process: started with its output in a file, signalled, waited for, killed when its
//! owner goes. Where `setpriv` is installed the kernel kills it even when the owner is killed.

use super::{ClusterError, LOOK_EVERY};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes of output that an error repeats.
const LOG_TAIL_BYTES: usize = 4_000;
/// Lets the kernel kill a child whose parent died.
const SETPRIV: &str = "/usr/bin/setpriv";

/// What to start.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// For messages and the log's name.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables on top of a bare environment (`PATH` and `HOME` are passed on).
    pub environment: Vec<(String, String)>,
    /// Where its output goes: `NAME.log` in this folder, appended to.
    pub logs: PathBuf,
    /// The only CPU that it may use, where `taskset` is installed.
    pub cpu: Option<usize>,
    /// A file that may grow no more ([`Process::limit_files`]) is an error to it, not its death.
    pub survives_limits: bool,
}

impl Spawn {
    /// A program with no arguments and no variables.
    #[must_use]
    pub fn new(name: &str, program: &Path, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            logs: logs.to_owned(),
            cpu: None,
            survives_limits: false,
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The program or the log cannot be opened.
    pub fn start(&self) -> Result<Process, ClusterError> {
        let log = self.logs.join(format!("{}.log", self.name));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(ClusterError::system(format!("{}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(ClusterError::system(format!("{}", log.display())))?;
        let mut words: Vec<OsString> = Vec::new();
        if Path::new(SETPRIV).is_file() {
            words.extend([SETPRIV, "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        if let Some(cpu) = self.cpu.filter(|_| Path::new("/usr/bin/taskset").is_file()) {
            let cpu = cpu.to_string();
            words.extend(["/usr/bin/taskset", "-c", cpu.as_str()].map(OsString::from));
        }
        if self.survives_limits {
            words.extend(["/usr/bin/env", "--ignore-signal=XFSZ"].map(OsString::from));
        }
        words.push(self.program.clone().into_os_string());
        words.extend(self.arguments.iter().cloned());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        for name in ["PATH", "HOME", "LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command
            .spawn()
            .map_err(ClusterError::system(format!("{}", self.program.display())))?;
        Ok(Process {
            name: self.name.clone(),
            child,
            log,
        })
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; none while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, `HUP`).
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
    }

    /// Lets none of its files grow beyond so many bytes: a full disk, for it alone. None lifts it.
    ///
    /// # Errors
    /// `prlimit` is not installed or fails.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<(), ClusterError> {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let done = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string()])
            .arg(format!("--fsize={limit}:unlimited"))
            .status()
            .and_then(|status| {
                let failed = || std::io::Error::other(format!("{status}"));
                if status.success() {
                    Ok(())
                } else {
                    Err(failed())
                }
            });
        done.map_err(ClusterError::system("prlimit"))
    }

    /// Sends TERM and waits for the end; none when it did not end in time.
    pub async fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.signal("TERM");
        self.end(patience).await
    }

    /// Waits for the end; none when it did not end in time.
    pub async fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// All of its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last of its output.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let start = log.len().saturating_sub(LOG_TAIL_BYTES);
        let start = (start..log.len()).find(|at| log.is_char_boundary(*at));
        log.get(start.unwrap_or(0)..).unwrap_or("").to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
