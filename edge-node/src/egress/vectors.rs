//! Lists of vectors and rankings, with usage and cost.

use crate::dialect::Bill;
use crate::egress::{Envelope, usage};
use bytes::BytesMut;

/// Appends an answer of vectors; `list` are its items.
pub(crate) fn embeddings(envelope: &Envelope, list: &[u8], bill: &Bill<'_>, out: &mut BytesMut) {
    out.reserve(list.len() + 1024);
    put(out, &["{\"object\":\"list\",\"id\":", &envelope.id]);
    answer(envelope, ("data", list), bill, out);
}

/// Appends a ranking; `list` are its items.
pub(crate) fn ranking(envelope: &Envelope, list: &[u8], bill: &Bill<'_>, out: &mut BytesMut) {
    out.reserve(list.len() + 1024);
    put(out, &["{\"id\":", &envelope.id]);
    answer(envelope, ("results", list), bill, out);
}

fn answer(envelope: &Envelope, (name, list): (&str, &[u8]), bill: &Bill<'_>, out: &mut BytesMut) {
    put(out, &[",\"model\":", &envelope.model]);
    put(out, &[",\"provider\":", &envelope.provider]);
    put(out, &[",\"", name, "\":["]);
    out.extend_from_slice(list);
    let (prompt, units) = (bill.usage.prompt, bill.usage.search_units);
    let counts = format!("],\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{prompt}");
    put(out, &[&counts]);
    if units > 0 {
        put(out, &[",\"search_units\":", &units.to_string()]);
    }
    put(out, &[",", &usage::cost(bill), "}"]);
    put(out, &[bill.told, "}"]);
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}
