//! The time, as a value that is passed in: [`Clock::System`] in programs, [`Clock::manual`] in
//! tests. The only place that reads the system's clocks for decisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on a monotonic clock, in nanoseconds since the clock was made. Only differences mean
/// anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to this, zero if `earlier` is later.
    #[must_use]
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved on by `by`.
    #[must_use]
    #[inline]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Where a program reads the time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks; the origin of [`Moment`]s is given.
    System(Instant),
    /// A clock that only moves when it is told to.
    Manual(Arc<ManualClock>),
}

/// The state of a manual clock: nanoseconds since its start.
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed_ns: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// A clock that stands still until [`Clock::advance`].
    #[must_use]
    pub fn manual() -> Self {
        Self::Manual(Arc::default())
    }

    /// Moves a manual clock on; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            clock.elapsed_ns.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// The monotonic time.
    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::System(origin) => {
                Moment(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
            }
            Self::Manual(clock) => Moment(clock.elapsed_ns.load(Ordering::SeqCst)),
        }
    }

    /// Milliseconds since 1970; a manual clock counts from 2026-01-01.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn unix_ms(&self) -> u64 {
        match self {
            Self::System(_) => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Self::Manual(clock) => {
                1_767_225_600_000 + clock.elapsed_ns.load(Ordering::SeqCst) / 1_000_000
            }
        }
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix_s(&self) -> u64 {
        self.unix_ms() / 1000
    }
}
