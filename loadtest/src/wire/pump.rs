//! One direction of one connection: a reader that stamps each chunk with the time it is due, a
//! bounded queue, a writer that keeps to time, rate and faults. The queue is what makes a delay a
//! delay and not a slow link.

use super::Weather;
use bytes::{Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Largest chunk that is read at once, bytes.
pub const CHUNK_BYTES: usize = 16 << 10;
/// Most chunks under way in one direction; a full queue stops reading.
pub const QUEUE_CHUNKS: usize = 256;

/// One direction.
pub(crate) struct Pump<'a> {
    pub(crate) weather: watch::Receiver<Arc<Weather>>,
    pub(crate) counted: &'a AtomicU64,
    pub(crate) towards_caller: bool,
}

struct Parcel {
    due: Instant,
    /// None: the sender has closed its half.
    bytes: Option<Bytes>,
}

impl Pump<'_> {
    /// Carries until the source closes. An error is a reset, ours or a real one.
    pub(crate) async fn run(self, source: ReadHalf<'_>, sink: WriteHalf<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(QUEUE_CHUNKS);
        let reading = read(source, self.weather.clone(), sender);
        futures::future::try_join(reading, self.write(sink, receiver)).await?;
        Ok(())
    }

    async fn write(
        mut self,
        mut sink: WriteHalf<'_>,
        mut parcels: mpsc::Receiver<Parcel>,
    ) -> io::Result<()> {
        let mut written = 0u64;
        while let Some(parcel) = parcels.recv().await {
            tokio::time::sleep_until(parcel.due).await;
            self.clear_sky().await?;
            let Some(mut bytes) = parcel.bytes else {
                sink.shutdown().await?;
                return Ok(());
            };
            while !bytes.is_empty() {
                let weather = Arc::clone(&self.weather.borrow());
                let (allowed, end) = self.allowed(&weather, written, bytes.len());
                let part = self.spoil(&weather, written, bytes.split_to(allowed));
                pace(&weather, part.len()).await;
                sink.write_all(&part).await?;
                written += part.len() as u64;
                self.counted.fetch_add(part.len() as u64, Ordering::Relaxed);
                match end {
                    End::None => {}
                    End::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                    End::Close => {
                        sink.shutdown().await?;
                        // Held open, but nothing more passes: the caller saw a proper end.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits while nothing passes.
    async fn clear_sky(&mut self) -> io::Result<()> {
        let clear = self.weather.wait_for(|weather| !weather.black_hole).await;
        clear
            .map(|_| ())
            .map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    /// How many of `left` bytes go in the next write, and what happens behind them.
    fn allowed(&self, weather: &Weather, written: u64, left: usize) -> (usize, End) {
        let drip = match weather.drip_bytes {
            0 => left,
            most => left.min(most),
        };
        if !self.towards_caller {
            return (drip, End::None);
        }
        let (limit, end) = match (weather.reset_after, weather.truncate_after) {
            (Some(limit), _) => (limit, End::Reset),
            (None, Some(limit)) => (limit, End::Close),
            (None, None) => return (drip, End::None),
        };
        let room = usize::try_from(limit.saturating_sub(written)).unwrap_or(usize::MAX);
        if room <= drip {
            (room, end)
        } else {
            (drip, End::None)
        }
    }

    fn spoil(&self, weather: &Weather, written: u64, part: Bytes) -> Bytes {
        if !self.towards_caller || weather.corrupt_every == 0 {
            return part;
        }
        let mut spoilt = BytesMut::from(part.as_ref());
        for (offset, byte) in spoilt.iter_mut().enumerate() {
            if (written + offset as u64 + 1).is_multiple_of(weather.corrupt_every) {
                *byte ^= 0x10;
            }
        }
        spoilt.freeze()
    }
}

enum End {
    None,
    Reset,
    Close,
}

async fn read(
    mut source: ReadHalf<'_>,
    mut weather: watch::Receiver<Arc<Weather>>,
    parcels: mpsc::Sender<Parcel>,
) -> io::Result<()> {
    let mut due = Instant::now();
    loop {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        let count = source.read_buf(&mut buffer).await?;
        let delay = delay(&weather.borrow_and_update());
        due = due.max(Instant::now() + delay);
        let bytes = (count > 0).then(|| buffer.freeze());
        if parcels.send(Parcel { due, bytes }).await.is_err() || count == 0 {
            return Ok(());
        }
    }
}

fn delay(weather: &Weather) -> Duration {
    let jitter = match weather.jitter_ms {
        0 => 0,
        most => fastrand::u64(0..=most),
    };
    Duration::from_millis(weather.delay_ms.saturating_add(jitter))
}

/// Waits as long as `count` bytes take at the allowed rate.
async fn pace(weather: &Weather, count: usize) {
    let mut wait = Duration::from_millis(weather.drip_ms);
    let nanos = (count as u64).saturating_mul(1_000_000_000);
    if let Some(nanos) = nanos.checked_div(weather.bytes_per_second) {
        wait += Duration::from_nanos(nanos);
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}
