//! One HTTP/1.1 connection for load: the request is prepared bytes, the answer is read with as
//! little work as its framing allows. It understands what servers here send (content-length,
//! chunked, close) and refuses the rest; it is no general client.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What is read from the socket at once, bytes.
const READ_BYTES: usize = 64 << 10;

/// A connection that is used for one request after the other.
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
    keep: bool,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The body is over.
    Done,
    /// So many bytes are left.
    Length(u64),
    /// At a chunk's size line.
    ChunkSize,
    /// So many bytes of a chunk and its line end are left.
    Chunk(u64),
    /// Until the other side closes.
    Close,
}

impl Connection {
    /// Connects, without delay for small writes.
    ///
    /// # Errors
    /// No connection.
    pub async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(READ_BYTES),
            framing: Framing::Done,
            keep: true,
        })
    }

    /// True when another request may be sent: the last answer was read whole and the connection
    /// stays open.
    #[must_use]
    pub fn reusable(&self) -> bool {
        self.keep && self.framing == Framing::Done && self.buffer.is_empty()
    }

    /// Sends a whole request.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Reads the head of the answer.
    ///
    /// # Errors
    /// The socket's, or something that is not HTTP/1.1.
    pub async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                let head = parse(&head, &mut self.framing, &mut self.keep)?;
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(bad("head too large"));
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next bytes of the body, as they come; none at its end.
    ///
    /// # Errors
    /// The socket's, or a body that was cut.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(step) = self.take()? {
                return Ok(step);
            }
            if self.fill().await? == 0 {
                if self.framing == Framing::Close {
                    self.framing = Framing::Done;
                    self.keep = false;
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// What the buffer gives: some bytes, the end (`Some(None)`), or nothing yet.
    fn take(&mut self) -> io::Result<Option<Option<Bytes>>> {
        loop {
            match self.framing {
                Framing::Done => return Ok(Some(None)),
                Framing::Close if self.buffer.is_empty() => return Ok(None),
                Framing::Close => return Ok(Some(Some(self.buffer.split().freeze()))),
                Framing::Length(left) => {
                    if left == 0 {
                        self.framing = Framing::Done;
                        continue;
                    }
                    let bytes = self.up_to(left);
                    self.framing = Framing::Length(left - bytes.len() as u64);
                    return Ok((!bytes.is_empty()).then_some(Some(bytes)));
                }
                Framing::ChunkSize => {
                    let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") else {
                        return Ok(None);
                    };
                    let line = self.buffer.get(..end).unwrap_or(&[]);
                    let size = chunk_size(line).ok_or_else(|| bad("chunk size"))?;
                    if size == 0 {
                        // The last chunk: its line end and, without trailers, an empty line.
                        if self.buffer.len() < end + 4 {
                            return Ok(None);
                        }
                        self.buffer.advance(end + 4);
                        self.framing = Framing::Done;
                        continue;
                    }
                    self.buffer.advance(end + 2);
                    self.framing = Framing::Chunk(size + 2);
                }
                Framing::Chunk(left) => {
                    if left > 2 {
                        let bytes = self.up_to(left - 2);
                        self.framing = Framing::Chunk(left - bytes.len() as u64);
                        return Ok((!bytes.is_empty()).then_some(Some(bytes)));
                    }
                    if (self.buffer.len() as u64) < left {
                        return Ok(None);
                    }
                    self.buffer.advance(usize::try_from(left).unwrap_or(0));
                    self.framing = Framing::ChunkSize;
                }
            }
        }
    }

    fn up_to(&mut self, left: u64) -> Bytes {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let count = self.buffer.len().min(most);
        self.buffer.split_to(count).freeze()
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES / 4);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn parse(head: &[u8], framing: &mut Framing, keep: &mut bool) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| bad("head is not text"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("");
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| bad("status line"))?;
    *framing = Framing::Close;
    *keep = true;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            *framing = Framing::Length(value.parse().map_err(|_| bad("content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            *framing = Framing::ChunkSize;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            *keep = false;
        }
    }
    if status == 204 || status == 304 || status < 200 {
        *framing = Framing::Done;
    }
    Ok(Head { status })
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
