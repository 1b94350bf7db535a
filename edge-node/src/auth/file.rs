//! The key file: what the cache knows, on disk, so that a restart needs no control plane. Hashes
//! and what they may do; replaced as a whole, so that it is never half. Deliberately not here: its
//! format ([`super::cache`]).

use super::KeyRing;
use super::cache::Cache;
use shared::clock::Clock;
use shared::task::{Stop, lock};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Two writes are at least this many times the first wait apart,
const SOONS_APART: u32 = 10;
/// and this many times what the last one took: a large file leaves nine tenths of the time to
/// others.
const TIMES_TAKEN: u32 = 9;

/// What the writer has to know.
#[derive(Default)]
pub(super) struct Saving {
    wake: Notify,
    urgent: Notify,
    dirty: AtomicBool,
}

impl Saving {
    /// The cache has changed; a denial is written at once.
    pub(super) fn touched(&self, urgent: bool) {
        self.dirty.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        if urgent {
            self.urgent.notify_one();
        }
    }
}

/// Fills the cache from the file, if there is a good one.
pub(super) fn load(cache: &mut Cache, file: &Path, clock: &Clock) {
    match std::fs::read(file) {
        Ok(bytes) => {
            if !cache.load(&bytes, clock.now(), clock.unix_ms()) {
                tracing::warn!(file = %file.display(), "key file is damaged; not used");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(file = %file.display(), %error, "key file can't be read"),
    }
}

/// Writes the file soon after a change, so that a kill forgets little; at once after a denial, and
/// at the end.
pub(super) async fn keep_file(ring: Arc<KeyRing>, file: PathBuf, mut stop: Stop) {
    loop {
        tokio::select! {
            () = ring.saving.wake.notified() => {}
            () = stop.wait() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(ring.timers.key_save_soon.min(ring.timers.key_save)) => {}
            () = ring.saving.urgent.notified() => {}
            () = stop.wait() => break,
        }
        let begun = Instant::now();
        save(&ring, &file).await;
        let pause = pause(
            begun.elapsed(),
            ring.timers.key_save_soon,
            ring.timers.key_save,
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.wait() => break,
        }
    }
    save(&ring, &file).await;
}

fn pause(took: Duration, soon: Duration, most: Duration) -> Duration {
    let least = soon.saturating_mul(SOONS_APART);
    took.saturating_mul(TIMES_TAKEN).max(least).min(most)
}

async fn save(ring: &Arc<KeyRing>, file: &Path) {
    if !ring.saving.dirty.swap(false, Ordering::Relaxed) {
        return;
    }
    let (ring, file) = (Arc::clone(ring), file.to_owned());
    let saved = tokio::task::spawn_blocking(move || {
        let bytes = {
            let cache = lock(&ring.cache);
            cache.save(ring.clock.now(), ring.clock.unix_ms())?
        };
        replace(&file, &bytes)
    })
    .await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(%error, "key file not written");
    }
}

/// A new content for a file: all of it or none, also after a power loss.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(dir)?;
    let new = file.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut opened = options.open(&new)?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    std::fs::rename(&new, file)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_is_written_more_seldom() {
        let ms = Duration::from_millis;
        let pause = |took| pause(ms(took), ms(100), ms(10_000));
        assert_eq!(pause(1), ms(1000));
        assert_eq!(pause(300), ms(2700));
        assert_eq!(pause(5000), ms(10_000));
    }
}
