//! The bodies of the simulated provider's answers: whole, paced token by token, or broken on
//! purpose. A body owns its bill entry, so hanging up writes the entry down with what was given
//! out until then.

use super::answer::{Answer, Piece};
use super::bill::Open;
use super::dialect::{Refusal, Script};
use super::fault::{Kind, Rule};
use crate::server::Cut;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Between the last bytes before a cut and the cut, so that they leave the machine's buffers.
const CUT_GRACE: Duration = Duration::from_millis(10);

/// The body of an answer.
pub(crate) enum Body {
    /// Known bytes.
    Whole {
        bytes: Option<Bytes>,
        open: Option<Box<Open>>,
    },
    /// Token by token.
    Paced(Box<Paced>),
    /// Some bytes, then an ending.
    Broken {
        bytes: Option<Bytes>,
        ending: Box<Ending>,
    },
}

impl Body {
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Whole {
            bytes: Some(bytes.into()),
            open: None,
        }
    }

    pub(crate) fn billed(bytes: impl Into<Bytes>, open: Open) -> Self {
        Self::Whole {
            bytes: Some(bytes.into()),
            open: Some(Box::new(open)),
        }
    }
}

/// How a broken body ends.
pub(crate) struct Ending {
    pub(crate) how: How,
    pub(crate) grace: Option<Pin<Box<Sleep>>>,
    pub(crate) _open: Open,
}

/// What the other side sees.
#[derive(Clone)]
pub(crate) enum How {
    /// The body ends properly.
    Clean,
    /// The connection closes inside the body.
    Close,
    /// Nothing more comes.
    Hang,
    /// A TCP reset.
    Reset(Cut),
}

impl Ending {
    pub(crate) fn new(how: How, open: Open) -> Self {
        Self {
            how,
            grace: None,
            _open: open,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &self.how {
            How::Clean => return Poll::Ready(None),
            How::Hang => return Poll::Pending,
            How::Close | How::Reset(_) => {}
        }
        let grace = self
            .grace
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CUT_GRACE)));
        std::task::ready!(grace.as_mut().poll(context));
        if let How::Reset(cut) = &self.how {
            cut.reset();
        }
        Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())))
    }
}

/// A stream that gives out one token per frame, each at its time.
pub(crate) struct Paced {
    answer: Answer,
    script: Box<dyn Script>,
    /// When the first token is due.
    first_at: Instant,
    /// Between two tokens; zero gives them out as fast as they are taken.
    interval: Duration,
    next: usize,
    /// The last frame has not been flushed yet.
    unflushed: bool,
    state: State,
    mishap: Option<Mishap>,
    stamps: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    open: Option<Open>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Begun,
    Done,
}

/// What goes wrong in a stream, before which token.
pub(crate) struct Mishap {
    pub(crate) rule: Rule,
    pub(crate) cut: Cut,
}

/// What a paced stream is made of.
pub(crate) struct Plan {
    pub(crate) answer: Answer,
    pub(crate) script: Box<dyn Script>,
    pub(crate) interval: Duration,
    pub(crate) mishap: Option<Mishap>,
    pub(crate) stamps: Option<Instant>,
    pub(crate) open: Open,
}

impl Paced {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            answer: plan.answer,
            script: plan.script,
            first_at: Instant::now(),
            interval: plan.interval,
            next: 0,
            unflushed: false,
            state: State::Fresh,
            mishap: plan.mishap,
            stamps: plan.stamps,
            sleep: None,
            open: Some(plan.open),
        }
    }

    /// Resolves when the next step is due.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.unflushed) {
            // Waiting once makes the server write what it has: real providers flush each event.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.interval.is_zero() {
            return Poll::Ready(());
        }
        let steps = u32::try_from(self.next).unwrap_or(u32::MAX);
        let due = self.first_at + self.interval.saturating_mul(steps);
        if due <= Instant::now() {
            return Poll::Ready(());
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(context)
    }

    fn struck(&self) -> bool {
        let left = self.answer.pieces.len();
        let after = |mishap: &Mishap| usize::try_from(mishap.rule.after_tokens).unwrap_or(left);
        self.mishap
            .as_ref()
            .is_some_and(|mishap| self.next >= after(mishap).min(left))
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Fresh {
            self.state = State::Begun;
            self.script.start(&self.answer, out);
            if let Some(open) = &mut self.open {
                open.entry.input_tokens = self.answer.input_tokens;
                open.entry.cached_tokens = self.answer.cached_tokens;
            }
        }
    }

    /// The next frame: a token, or the end.
    fn step(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.begin(&mut out);
        if let Some(piece) = self.answer.pieces.get(self.next) {
            match (piece, self.stamps) {
                (Piece::Text(_), Some(origin)) => {
                    let nanos = origin.elapsed().as_nanos();
                    let stamp = Piece::Text(Cow::Owned(format!(" {nanos}")));
                    self.script.piece(&stamp, &mut out);
                }
                _ => self.script.piece(piece, &mut out),
            }
            self.next += 1;
            if let Some(open) = &mut self.open {
                open.entry.output_tokens += 1;
            }
        } else {
            self.script.finish(&self.answer, &mut out);
            self.state = State::Done;
            if let Some(mut open) = self.open.take() {
                open.complete();
            }
        }
        self.unflushed = !out.is_empty();
        out
    }

    /// Turns into the bytes of the mishap and the ending behind it.
    fn strike(&mut self) -> Option<Body> {
        let mishap = self.mishap.take()?;
        let mut out = Vec::new();
        let how = match mishap.rule.kind {
            Kind::Reset => How::Reset(mishap.cut),
            Kind::Truncate => {
                self.begin(&mut out);
                if mishap.rule.clean {
                    How::Clean
                } else {
                    How::Close
                }
            }
            Kind::Garbage => {
                self.script.garbage(&mut out);
                How::Clean
            }
            Kind::ErrorEvent => {
                let mut refusal = Refusal::new(mishap.rule.status, "the simulated provider failed");
                refusal.retry_after = mishap.rule.retry_after;
                self.script.error(&refusal, &mut out);
                How::Clean
            }
            Kind::Stall
            | Kind::Status
            | Kind::BlackHole
            | Kind::SlowDrip
            | Kind::Latency
            | Kind::Html
            | Kind::EmptyStream => {
                self.begin(&mut out);
                How::Hang
            }
        };
        let open = self.open.take()?;
        Some(Body::Broken {
            bytes: Some(Bytes::from(out)),
            ending: Box::new(Ending::new(how, open)),
        })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let broken = match &mut *self {
            Self::Whole { bytes, open } => {
                if let Some(mut open) = open.take() {
                    open.complete();
                }
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Broken { bytes, ending } => {
                return match bytes.take().filter(|bytes| !bytes.is_empty()) {
                    Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    None => ending.poll(context),
                };
            }
            Self::Paced(paced) => {
                // Some dialects say nothing until several tokens make a whole.
                let bytes = loop {
                    if paced.state == State::Done {
                        return Poll::Ready(None);
                    }
                    std::task::ready!(paced.poll_due(context));
                    if paced.struck() {
                        break None;
                    }
                    let bytes = paced.step();
                    if !bytes.is_empty() {
                        break Some(bytes);
                    }
                };
                if let Some(bytes) = bytes {
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))));
                }
                paced.strike()
            }
        };
        let Some(broken) = broken else {
            return Poll::Ready(None);
        };
        *self = broken;
        self.poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Paced(_) | Self::Broken { .. } => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole { bytes: None, .. })
    }
}
