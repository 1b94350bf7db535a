//! Requests: what is taken is written for each dialect, and what is written is JSON.

use super::{Api, Dialect, Way};
use bytes::Bytes;
use edge_node::dialect::{count, prepare};
use edge_node::ingress::{Surface, parse};
use http::HeaderMap;
use serde::de::IgnoredAny;

/// One request of an API. The first byte says what is odd about the providers.
pub fn request(api: Api, data: &[u8]) {
    let Some((quirks, body)) = data.split_first() else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let Ok(call) = parse(api, Surface::OpenRouter, &HeaderMap::new(), body.clone()) else {
        return;
    };
    let is_json = |bytes: &[u8]| serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    assert!(is_json(&body), "what is no JSON was taken");
    for dialect in Dialect::ALL {
        let way = Way::new(*dialect, *quirks);
        if let Ok(outgoing) = prepare(&call, &way.target()) {
            let text = String::from_utf8_lossy(&outgoing.body);
            assert!(is_json(&outgoing.body), "{dialect}: {text}");
        }
        if api == Api::Messages
            && let Some(count) = count(&call, &way.target())
        {
            assert!(is_json(&count.body), "{dialect}");
        }
    }
}
