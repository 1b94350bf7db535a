//! OpenAI's chat completions as an upstream, for clients that speak the same: bytes pass both ways
//! but for declared splices. What providers of this dialect do differently is handled in this
//! folder: in place, without a tree.

mod content;
mod counts;
mod request;
mod stream;
mod walk;
mod whole;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target};
use crate::ingress::Call;
use http::{HeaderValue, header};

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Outgoing {
    let walker = walk::Walker::new(call, target);
    let accept = if call.stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    Outgoing {
        path: "/chat/completions".to_owned(),
        headers: vec![
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            (header::ACCEPT, HeaderValue::from_static(accept)),
        ],
        body: request::body(call, target),
        translator: if call.stream {
            Box::new(stream::Stream::new(walker))
        } else {
            Box::new(whole::Whole::new(walker))
        },
    }
}
