//! What the operating system says of a process: CPU time and memory from `/proc`, who listens on
//! a port, who is whose child. Figures are sums over a process and its children, because servers
//! fork workers.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// CPU time so far and memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss: u64,
    /// The most there was, bytes.
    pub rss_peak: u64,
}

/// The account of a process and its children; none when it is gone.
#[must_use]
pub fn account(pid: u32) -> Option<Account> {
    let mut sum = one(pid)?;
    for child in children(pid) {
        if let Some(child) = account(child) {
            sum.cpu += child.cpu;
            sum.rss += child.rss;
            sum.rss_peak += child.rss_peak;
        }
    }
    Some(sum)
}

fn one(pid: u32) -> Option<Account> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks: count from the last bracket. Fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let nanos = (user + system).saturating_mul(1_000_000_000) / ticks_per_second();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Account {
        cpu: Duration::from_nanos(nanos),
        rss: bytes("VmRSS:").unwrap_or(0) * 1024,
        rss_peak: bytes("VmHWM:").unwrap_or(0) * 1024,
    })
}

/// How finely the system counts CPU time.
#[must_use]
pub fn ticks_per_second() -> u64 {
    static TICKS: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let ticks = text.and_then(|text| text.trim().parse().ok());
        ticks.filter(|ticks| *ticks > 0).unwrap_or(100)
    })
}

/// The direct children of a process.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    found
}

/// The process of this user that listens on a TCP port of this machine.
#[must_use]
pub fn listening_on(port: u16) -> Option<u32> {
    let mut inode = None;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        let line = text.lines().skip(1).find(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().unwrap_or("");
            let state = fields.nth(1).unwrap_or("");
            state == "0A" && local.ends_with(&format!(":{port:04X}"))
        });
        inode = inode.or_else(|| line?.split_whitespace().nth(9).map(str::to_owned));
    }
    let socket = format!("socket:[{}]", inode?);
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let files = fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        for file in files {
            if fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy() == socket) {
                return Some(pid);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_an_account_and_its_port_is_found() {
        let own = account(std::process::id()).unwrap();
        assert!(own.rss > 0 && own.rss_peak >= own.rss);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), Some(std::process::id()));
    }
}
