//! The one place that spawns: every task is named, owned by a [`Tasks`], and drained.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The owner of a program's long-running tasks. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

struct Inner {
    running: std::sync::Mutex<JoinSet<&'static str>>,
    stop: watch::Sender<bool>,
}

/// Tells a task that the program is stopping.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Resolves when the program is stopping.
    pub async fn wait(&mut self) {
        // A dropped sender means that the program is gone: stop, too.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }

    /// True once the program is stopping.
    #[must_use]
    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// The channel underneath, for libraries that take one.
    #[must_use]
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// An owner without tasks.
    #[must_use]
    pub fn new() -> Self {
        let (stop, _) = watch::channel(false);
        Self {
            inner: Arc::new(Inner {
                running: std::sync::Mutex::new(JoinSet::new()),
                stop,
            }),
        }
    }

    /// The signal that tells this owner's tasks to end.
    #[must_use]
    pub fn stop_signal(&self) -> Stop {
        Stop(self.inner.stop.subscribe())
    }

    /// Runs `future` on the current runtime until it ends or [`Tasks::drain`] gives up on it.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = lock(&self.inner.running);
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            future.await;
            name
        });
    }

    /// Asks every task to end.
    pub fn request_stop(&self) {
        self.inner.stop.send_replace(true);
    }

    /// Asks every task to end and waits for them; after `deadline` the rest is aborted. Gives
    /// the number of tasks that had to be aborted.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.request_stop();
        let mut running = std::mem::take(&mut *lock(&self.inner.running));
        let ended = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            let left = running.len();
            running.abort_all();
            return left;
        }
        0
    }
}

/// Locks a mutex; one poisoned by a panic is used as it is.
#[inline]
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Resolves when the process is asked to end: SIGTERM or SIGINT.
pub async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
