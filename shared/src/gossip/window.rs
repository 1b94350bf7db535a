//! Which packets of a sender were had already: a run, the highest sequence of it, and which of the 64
//! before; and how many it may send. Kept for the senders on the list only.

use super::{Dropped, PEERS_MAX, Packet};
use crate::clock::Moment;
use std::collections::HashMap;

/// How far a sender's clock may be from ours, in milliseconds: what was recorded earlier can't be
/// played to an edge that has forgotten what it had.
pub const CLOCK_MAX: u64 = 30_000;
/// Packets that a sender may send per second …
const RATE: f64 = 50.0;
/// … and at once.
const BURST: f64 = 100.0;

/// What has arrived.
#[derive(Debug, Default)]
pub struct Arrivals {
    senders: HashMap<String, Sender>,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    epoch: u64,
    highest: u64,
    /// Bit n: `highest - n` was had.
    had: u64,
    tokens: f64,
    filled: Moment,
}

impl Arrivals {
    /// Forgets who is not on the list any more, and knows who is new there.
    pub fn expect<'a>(&mut self, peers: impl Iterator<Item = &'a str>, now: Moment) {
        let mut expected = HashMap::new();
        for peer in peers.take(PEERS_MAX) {
            let known = self.senders.get(peer).copied();
            let sender = known.unwrap_or(Sender {
                epoch: 0,
                highest: 0,
                had: 0,
                tokens: BURST,
                filled: now,
            });
            expected.insert(peer.to_owned(), sender);
        }
        self.senders = expected;
    }

    /// Lets a packet in, once.
    ///
    /// # Errors
    /// Its sender is not on the list or sends too many, its time is not now, or it was had.
    pub fn admit(&mut self, packet: &Packet, now: Moment, now_unix_ms: u64) -> Result<(), Dropped> {
        let sender = self
            .senders
            .get_mut(&packet.sender)
            .ok_or(Dropped::Stranger)?;
        if packet.sent_unix_ms.abs_diff(now_unix_ms) > CLOCK_MAX {
            return Err(Dropped::Late);
        }
        sender.note(packet.boot_epoch, packet.sequence)?;
        let filled = now.since(sender.filled).as_secs_f64() * RATE;
        sender.tokens = (sender.tokens + filled).min(BURST);
        sender.filled = now;
        if sender.tokens < 1.0 {
            return Err(Dropped::Flood);
        }
        sender.tokens -= 1.0;
        Ok(())
    }
}

impl Sender {
    fn note(&mut self, epoch: u64, sequence: u64) -> Result<(), Dropped> {
        if epoch < self.epoch || sequence == 0 {
            return Err(Dropped::Replayed);
        }
        if epoch > self.epoch {
            (self.epoch, self.highest, self.had) = (epoch, sequence, 1);
            return Ok(());
        }
        if sequence > self.highest {
            let ahead = u32::try_from(sequence - self.highest).unwrap_or(u32::MAX);
            self.had = self.had.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = sequence;
            return Ok(());
        }
        let behind = u32::try_from(self.highest - sequence).unwrap_or(u32::MAX);
        let bit = 1_u64.checked_shl(behind).ok_or(Dropped::Replayed)?;
        if self.had & bit != 0 {
            return Err(Dropped::Replayed);
        }
        self.had |= bit;
        Ok(())
    }
}
