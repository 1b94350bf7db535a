//! Which conversation a request belongs to: what the client calls it, else how it began. Only
//! places in the body are kept; [`crate::session`] makes hashes of them.

use crate::failure::Failure;
use crate::ingress::peek::{Peek, SESSION_CHARS_MAX};
use crate::wire::json::Span;
use http::HeaderMap;

/// The header that names a session; the body's `session_id` wins over it.
const SESSION_HEADER: &str = "x-session-id";

/// What tells one conversation from another, the strongest mark that a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conversation {
    /// The client's own name for the session.
    Named(String),
    /// Where `prompt_cache_key` stands.
    CacheKey(Span),
    /// Where the instructions and the first other message stand.
    Begins(Option<Span>, Span),
}

/// The places of a conversation's beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning {
    instructions: Option<Span>,
    first: Option<Span>,
}

impl Beginning {
    /// Notes a message's content, in order; only the first of each kind counts.
    pub(crate) fn note(&mut self, are_instructions: bool, content: Span) {
        let place = if are_instructions {
            &mut self.instructions
        } else {
            &mut self.first
        };
        place.get_or_insert(content);
    }
}

impl Conversation {
    /// The conversation of a request.
    pub(super) fn of(peek: &Peek, headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        if let Some(id) = &peek.session_id {
            return Ok(Some(Self::Named(id.clone())));
        }
        let header = headers.get(SESSION_HEADER);
        if let Some(id) = header.and_then(|value| value.to_str().ok())
            && !id.is_empty()
        {
            if id.len() > SESSION_CHARS_MAX {
                let text =
                    format!("{SESSION_HEADER} is longer than {SESSION_CHARS_MAX} characters");
                return Err(Failure::invalid(SESSION_HEADER, text));
            }
            return Ok(Some(Self::Named(id.to_owned())));
        }
        if let Some(key) = peek.prompt_cache_key {
            return Ok(Some(Self::CacheKey(key)));
        }
        let begins = peek.survey.beginning;
        Ok(begins
            .first
            .map(|first| Self::Begins(begins.instructions, first)))
    }
}
