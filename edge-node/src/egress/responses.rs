//! The Responses API: events as the typed events of a stream or as one response object, and errors
//! in its form.

mod answer;
mod echo;
mod error;
mod items;
mod reasoning;
mod stream;
pub(crate) mod usage;

#[cfg(test)]
mod tests;

pub(crate) use answer::Response;
pub(crate) use error::{cut_body, cut_events, error_body, error_event};

use bytes::BytesMut;

/// How ids of reasoning begin that its maker gave none: they mean nothing when they come back.
pub(crate) const OWN_IDS: &str = "rs_gw_";
/// How ids of items of reasoning begin that hold what a provider's own tool did.
pub(crate) const TOOL_IDS: &str = "rs_gwt_";

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}
