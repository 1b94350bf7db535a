//! A deadline that moves with every event, without touching the timer each time: the timer is only
//! armed anew when it fires early.

use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Fires when nothing was heard for a while.
pub struct Idle {
    sleep: Pin<Box<Sleep>>,
    patience: Duration,
    heard: Instant,
}

impl Idle {
    /// Starts now.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(patience)),
            patience,
            heard: Instant::now(),
        }
    }

    /// Something was heard.
    pub fn touch(&mut self) {
        self.heard = Instant::now();
    }

    /// Resolves when nothing was heard for the whole patience. Cancel-safe.
    pub async fn passed(&mut self) {
        loop {
            self.sleep.as_mut().await;
            let due = self.heard + self.patience;
            if due <= Instant::now() {
                return;
            }
            self.sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_event_moves_the_deadline() {
        let begun = Instant::now();
        let mut idle = Idle::new(Duration::from_secs(3));
        tokio::time::advance(Duration::from_secs(2)).await;
        idle.touch();
        idle.passed().await;
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
