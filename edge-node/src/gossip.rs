//! Tells the other edges of this point of presence at once when this node begins to leave an
//! endpoint alone, and listens to them: datagrams to each peer that the control plane has named,
//! under a key that it has given. This file is the shell; what counts is decided in
//! [`shared::gossip`].

mod keep;

#[cfg(test)]
mod tests;

pub use keep::Keep;

use crate::metrics;
use ::metrics::{counter, gauge};
use shared::clock::{Clock, Moment};
use shared::gossip::{
    Arrivals, Circle, Dropped, HEARD_MAX, Hearsay, Key, NEWS_MAX, News, PACKET_MAX, Packet, open,
    seal,
};
use shared::health::{Ask, Board, Evidence, Handle};
use shared::id::{BootEpoch, NodeId};
use shared::task::Stop;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

/// News that wait to be sent; what exceeds it is shed.
const NEWS_QUEUE_MAX: usize = 256;
/// Datagrams get lost: each piece of news is sent again after these times.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];
/// News that wait to be sent again; what exceeds it is sent once.
const AGAIN_MAX: usize = 512;

/// Where peers send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket.
    pub listen: SocketAddr,
    /// What peers reach it by, where that is another address.
    pub address: Option<SocketAddr>,
}

/// The side of the request path and of the discovery stream.
#[derive(Debug)]
pub struct Gossip {
    news: mpsc::Sender<(Handle, Moment)>,
    circle: watch::Sender<Option<Circle>>,
    keep: Keep,
    /// What peers reach this node by.
    pub address: SocketAddr,
    /// Where it listens.
    pub listens: SocketAddr,
}

/// The side of the socket.
pub struct Service {
    socket: UdpSocket,
    news: mpsc::Receiver<(Handle, Moment)>,
    circle: watch::Receiver<Option<Circle>>,
    voice: Voice,
    ears: Ears,
    again: Vec<(tokio::time::Instant, Handle, Moment)>,
    clock: Clock,
}

/// Who speaks.
struct Voice {
    node: NodeId,
    epoch: BootEpoch,
    sequence: u64,
}

/// Who listens.
struct Ears {
    board: Arc<Board>,
    arrivals: Arrivals,
    hearsay: Hearsay,
}

/// The two sides, from the circle that is on disk.
///
/// # Errors
/// The address can't be used.
pub async fn bind(
    config: Config,
    (node, epoch): (NodeId, BootEpoch),
    board: Arc<Board>,
    keep: Keep,
    clock: Clock,
) -> io::Result<(Gossip, Service)> {
    let socket = UdpSocket::bind(config.listen).await?;
    let listens = socket.local_addr()?;
    let mut address = listens;
    if let Some(reached) = config.address {
        let port = if reached.port() == 0 {
            address.port()
        } else {
            reached.port()
        };
        address = SocketAddr::new(reached.ip(), port);
    }
    let (news, waiting) = mpsc::channel(NEWS_QUEUE_MAX);
    let (circle, current) = watch::channel(keep.load());
    let gossip = Gossip {
        news,
        circle,
        keep,
        address,
        listens,
    };
    let service = Service {
        socket,
        news: waiting,
        circle: current,
        voice: Voice {
            node,
            epoch,
            sequence: 0,
        },
        ears: Ears {
            board,
            arrivals: Arrivals::default(),
            hearsay: Hearsay::default(),
        },
        again: Vec::new(),
        clock,
    };
    Ok((gossip, service))
}

impl Gossip {
    /// This node leaves the endpoint alone until then, for what it saw itself.
    pub fn announce(&self, endpoint: Handle, until: Moment) {
        if self.news.try_send((endpoint, until)).is_err() {
            metrics::shed("gossip_news");
        }
    }

    /// The control plane has named the peers; kept for a start without it.
    pub async fn meet(&self, circle: Circle) {
        if self.circle.borrow().as_ref() == Some(&circle) {
            return;
        }
        self.keep.save(&circle).await;
        self.circle.send_replace(Some(circle));
    }
}

impl Service {
    /// Talks and listens until the program stops.
    pub async fn run(mut self, mut stop: Stop) {
        let mut buffer = [0; PACKET_MAX + 1];
        self.met();
        loop {
            let next = self.again.iter().map(|(at, ..)| *at).min();
            let next = next.unwrap_or_else(|| tokio::time::Instant::now() + HEARD_MAX);
            tokio::select! {
                () = stop.wait() => return,
                changed = self.circle.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.met();
                }
                Some(news) = self.news.recv() => self.tell(news).await,
                () = tokio::time::sleep_until(next), if !self.again.is_empty() => {
                    self.tell_again().await;
                }
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, _)) => self.hear(buffer.get(..length).unwrap_or(&[])),
                    // A peer that is not there makes the next receive fail.
                    Err(error) => tracing::debug!(%error, "gossip"),
                },
            }
        }
    }

    fn met(&mut self) {
        let circle = self.circle.borrow_and_update();
        let peers = circle.as_ref().map_or(&[][..], |circle| &circle.peers);
        let names = peers.iter().map(|(node, _)| node.as_str());
        self.ears.arrivals.expect(names, self.clock.now());
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!(metrics::GOSSIP_PEERS).set(peers.len() as f64);
    }

    async fn tell(&mut self, first: (Handle, Moment)) {
        let mut batch = vec![first];
        while batch.len() < NEWS_MAX
            && let Ok(more) = self.news.try_recv()
        {
            batch.push(more);
        }
        let now = tokio::time::Instant::now();
        for after in AGAIN_AFTER {
            let room = AGAIN_MAX.saturating_sub(self.again.len());
            let later = batch.iter().take(room);
            self.again
                .extend(later.map(|(endpoint, until)| (now + after, *endpoint, *until)));
        }
        self.send(&batch).await;
    }

    async fn tell_again(&mut self) {
        let now = tokio::time::Instant::now();
        let due: Vec<_> = self.again.extract_if(.., |(at, ..)| *at <= now).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|(_, endpoint, until)| (endpoint, until))
            .collect();
        for batch in due.chunks(NEWS_MAX) {
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: &[(Handle, Moment)]) {
        let Some(circle) = self.circle.borrow().clone() else {
            return;
        };
        let now = self.clock.now();
        let news = batch.iter().map(|(endpoint, until)| News {
            endpoint: *endpoint,
            left: until.since(now).min(HEARD_MAX),
        });
        let news: Vec<News> = news.filter(|news| !news.left.is_zero()).collect();
        if news.is_empty() {
            return;
        }
        self.voice.sequence += 1;
        let packet = Packet {
            sender: self.voice.node.to_string(),
            boot_epoch: self.voice.epoch.0,
            sequence: self.voice.sequence,
            sent_unix_ms: self.clock.unix_ms(),
            news,
        };
        let bytes = seal(&Key::new(&circle.secret), &packet);
        for (_, address) in &circle.peers {
            let sent = self.socket.send_to(&bytes, address).await;
            count(if sent.is_ok() { "sent" } else { "unsent" });
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let circle = self.circle.borrow();
        let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
        let heard = circle
            .as_ref()
            .ok_or(Dropped::Stranger)
            .and_then(|circle| self.ears.hear(circle, bytes, now, unix_ms));
        count(heard.map_or_else(Dropped::as_str, |()| "heard"));
    }
}

impl Ears {
    fn hear(
        &mut self,
        circle: &Circle,
        bytes: &[u8],
        now: Moment,
        unix_ms: u64,
    ) -> Result<(), Dropped> {
        let packet = open(&Key::new(&circle.secret), bytes)?;
        self.arrivals.admit(&packet, now, unix_ms)?;
        let named = |(node, _): &(String, SocketAddr)| *node == packet.sender;
        let peer = circle.peers.iter().position(named).unwrap_or_default();
        for news in packet.news {
            let ask = Ask {
                handle: news.endpoint,
                ..Ask::default()
            };
            let own = self.board.local(&ask, now).penalty;
            if let Some(until) = self.hearsay.hear(peer as u64, &news, own, now) {
                self.board.heard_paused(news.endpoint, until, now);
                count("paused");
            }
        }
        Ok(())
    }
}

fn count(result: &'static str) {
    counter!(metrics::GOSSIP, "result" => result).increment(1);
}
