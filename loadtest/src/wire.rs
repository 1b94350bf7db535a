//! A TCP proxy that is a bad network: delay, bandwidth, drip, reset, truncation, black hole,
//! corruption, set at run time. It promises to keep bytes in order and memory bounded; it does not
//! look into what it carries, so it fits plain text, TLS and gRPC alike.

mod control;
mod pump;

pub use control::WireControl;
pub use pump::{CHUNK_BYTES, QUEUE_CHUNKS};

use serde::{Deserialize, Serialize};
use shared::task::Tasks;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Most connections through one proxy; further ones wait in the listen queue.
pub const WIRE_CONNECTIONS_MAX: usize = 10_000;
/// How long connecting to the target may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What the network is like. The default is a good one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weather {
    /// Each way, milliseconds.
    pub delay_ms: u64,
    /// Up to so much more, each way, milliseconds; order is kept.
    pub jitter_ms: u64,
    /// Each way and connection; 0 is no limit.
    pub bytes_per_second: u64,
    /// At most so many bytes in one write; 0 is no limit.
    pub drip_bytes: usize,
    /// Between two writes, milliseconds.
    pub drip_ms: u64,
    /// Bytes towards the caller, then a TCP reset.
    pub reset_after: Option<u64>,
    /// Bytes towards the caller, then a proper close.
    pub truncate_after: Option<u64>,
    /// Nothing passes, neither way; connections stay open and new ones are taken.
    pub black_hole: bool,
    /// New connections are reset at once.
    pub refuse: bool,
    /// One bit is flipped in each so-many-th byte towards the caller; 0 is never.
    pub corrupt_every: u64,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections taken.
    pub connections: u64,
    /// Bytes from callers to the target.
    pub bytes_up: u64,
    /// Bytes from the target to callers.
    pub bytes_down: u64,
}

/// A proxy that runs.
pub struct Wire {
    addr: SocketAddr,
    weather: watch::Sender<Arc<Weather>>,
    meter: Arc<Meter>,
    tasks: Tasks,
}

#[derive(Default)]
pub(crate) struct Meter {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Wire {
    /// Listens, and carries every connection to `target`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let (weather, seen) = watch::channel(Arc::default());
        let meter = Arc::new(Meter::default());
        let tasks = Tasks::new();
        let road = Road {
            target,
            weather: seen,
            meter: Arc::clone(&meter),
        };
        tasks.spawn("wire", accept(listener, road, tasks.clone()));
        Ok(Self {
            addr,
            weather,
            meter,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the weather, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(Arc::new(weather));
    }

    /// The weather as it is.
    #[must_use]
    pub fn weather(&self) -> Weather {
        self.weather.borrow().as_ref().clone()
    }

    /// What went through.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.meter.connections.load(Ordering::Relaxed),
            bytes_up: self.meter.up.load(Ordering::Relaxed),
            bytes_down: self.meter.down.load(Ordering::Relaxed),
        }
    }

    /// Closes the listener and every connection.
    pub async fn stop(&self) {
        self.tasks.drain(Duration::ZERO).await;
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("addr", &self.addr).finish()
    }
}

#[derive(Clone)]
struct Road {
    target: SocketAddr,
    weather: watch::Receiver<Arc<Weather>>,
    meter: Arc<Meter>,
}

async fn accept(listener: TcpListener, road: Road, tasks: Tasks) {
    let room = Arc::new(Semaphore::new(WIRE_CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((caller, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        road.meter.connections.fetch_add(1, Ordering::Relaxed);
        let road = road.clone();
        tasks.spawn("carry", async move {
            carry(caller, road).await;
            drop(permit);
        });
    }
}

async fn carry(mut caller: TcpStream, road: Road) {
    if road.weather.borrow().refuse {
        let _ = caller.set_zero_linger();
        return;
    }
    let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(road.target)).await;
    let Ok(Ok(mut target)) = connecting else {
        let _ = caller.set_zero_linger();
        return;
    };
    let _ = caller.set_nodelay(true);
    let _ = target.set_nodelay(true);
    let (caller_read, caller_write) = caller.split();
    let (target_read, target_write) = target.split();
    let up = pump::Pump {
        weather: road.weather.clone(),
        counted: &road.meter.up,
        towards_caller: false,
    };
    let down = pump::Pump {
        weather: road.weather,
        counted: &road.meter.down,
        towards_caller: true,
    };
    let both = futures::future::try_join(
        up.run(caller_read, target_write),
        down.run(target_read, caller_write),
    );
    if both.await.is_err() {
        let _ = caller.set_zero_linger();
        let _ = target.set_zero_linger();
    }
}
