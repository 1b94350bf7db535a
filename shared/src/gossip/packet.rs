//! A packet: who says it, in which run, as its how many-th, when, and what; under HMAC-SHA256. It
//! fits into one datagram on every path.
//!
//! `"GWG1"`, u8 length and bytes of the sender's name, u64 boot epoch, u64 sequence, u64 milliseconds
//! since 1970, u8 count, then for each: u64 handle, u32 milliseconds; then 32 bytes of HMAC over all
//! of that. Integers are big-endian.

use super::Dropped;
use crate::health::Handle;
use ring::hmac;
use std::time::Duration;

/// The longest name of a sender, in bytes.
pub const SENDER_MAX: usize = 64;
/// The most news in one packet.
pub const NEWS_MAX: usize = 32;
const MAGIC: &[u8] = b"GWG1";
const MAC_BYTES: usize = 32;
/// The longest packet, in bytes.
pub const PACKET_MAX: usize = MAGIC.len() + 1 + SENDER_MAX + 24 + 1 + NEWS_MAX * 12 + MAC_BYTES;

/// The key that the edges of one point of presence share.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// Of 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The sender leaves an endpoint alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct News {
    /// Which endpoint.
    pub endpoint: Handle,
    /// For how long from now.
    pub left: Duration,
}

/// What an edge says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packet {
    /// The node's name.
    pub sender: String,
    /// Its run.
    pub boot_epoch: u64,
    /// Counts the packets of the run, from 1.
    pub sequence: u64,
    /// When it was sent, in milliseconds since 1970.
    pub sent_unix_ms: u64,
    /// At most [`NEWS_MAX`].
    pub news: Vec<News>,
}

/// The packet's bytes; what exceeds its limits is left out.
#[must_use]
pub fn seal(key: &Key, packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PACKET_MAX);
    bytes.extend(MAGIC);
    let sender = packet.sender.as_bytes();
    let sender = sender.get(..SENDER_MAX).unwrap_or(sender);
    bytes.push(u8::try_from(sender.len()).unwrap_or(0));
    bytes.extend(sender);
    for number in [packet.boot_epoch, packet.sequence, packet.sent_unix_ms] {
        bytes.extend(number.to_be_bytes());
    }
    let news = packet.news.get(..NEWS_MAX).unwrap_or(&packet.news);
    bytes.push(u8::try_from(news.len()).unwrap_or(0));
    for one in news {
        bytes.extend(one.endpoint.0.to_be_bytes());
        let left = u32::try_from(one.left.as_millis()).unwrap_or(u32::MAX);
        bytes.extend(left.to_be_bytes());
    }
    let mac = hmac::sign(&key.0, &bytes);
    bytes.extend(mac.as_ref());
    bytes
}

/// Reads a packet that was made with the key. Nothing of another one is looked at.
///
/// # Errors
/// It is too short or too long, of another maker, or malformed.
pub fn open(key: &Key, bytes: &[u8]) -> Result<Packet, Dropped> {
    if bytes.len() > PACKET_MAX {
        return Err(Dropped::Size);
    }
    let body = bytes.len().checked_sub(MAC_BYTES).ok_or(Dropped::Size)?;
    let (body, mac) = bytes.split_at_checked(body).ok_or(Dropped::Size)?;
    hmac::verify(&key.0, body, mac).map_err(|_| Dropped::Forged)?;
    read(body).ok_or(Dropped::Malformed)
}

fn read(body: &[u8]) -> Option<Packet> {
    let mut rest = body.strip_prefix(MAGIC)?;
    let length = usize::from(number::<1>(&mut rest).map(u8::from_be_bytes)?);
    let (sender, after) = rest.split_at_checked(length)?;
    rest = after;
    let sender = std::str::from_utf8(sender).ok()?.to_owned();
    let mut long = || number::<8>(&mut rest).map(u64::from_be_bytes);
    let (boot_epoch, sequence, sent_unix_ms) = (long()?, long()?, long()?);
    let count = usize::from(number::<1>(&mut rest).map(u8::from_be_bytes)?);
    if length > SENDER_MAX || count > NEWS_MAX {
        return None;
    }
    let mut news = Vec::with_capacity(count);
    for _ in 0..count {
        let endpoint = Handle(number::<8>(&mut rest).map(u64::from_be_bytes)?);
        let left = number::<4>(&mut rest).map(u32::from_be_bytes)?;
        let left = Duration::from_millis(left.into());
        news.push(News { endpoint, left });
    }
    rest.is_empty().then_some(Packet {
        sender,
        boot_epoch,
        sequence,
        sent_unix_ms,
        news,
    })
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}
