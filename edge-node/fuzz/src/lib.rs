//! What the fuzz targets try: no input panics, a body says the same however the network cuts it,
//! what goes out is whole, times in headers are bounded, and the wire's own readers agree with other
//! ones. The targets only name what they try; seeds are made by `seed`.

mod answers;
mod limits;
mod requests;
mod wire;

pub use answers::{answer, error, vectors};
pub use edge_node::ingress::Api;
pub use limits::limits;
pub use requests::request;
pub use shared::catalog::Dialect;
pub use wire::{eventstream, json, lines, splice, sse};

use edge_node::dialect::Target;
use shared::catalog::{Endpoint, Provider, Quirk};
use shared::id::GenerationId;

#[path = "../../tests/support/offer.rs"]
mod offer;

/// Where requests go and answers come from.
struct Way {
    provider: Provider,
    endpoint: Endpoint,
    generation: GenerationId,
}

impl Way {
    /// Each bit is a quirk.
    fn new(dialect: Dialect, quirks: u8) -> Self {
        let mut provider = offer::provider(dialect);
        let mut bits = std::iter::successors(Some(quirks), |bits| Some(bits.rotate_left(3)))
            .flat_map(|bits| (0..8).map(move |at| bits >> at & 1 == 1));
        let chosen = |_: &&Quirk| bits.next().unwrap_or_default();
        provider.quirks = Quirk::ALL.iter().filter(chosen).copied().collect();
        Self {
            provider,
            endpoint: offer::endpoint("a/b", "theirs"),
            generation: GenerationId::from("gen-fuzz"),
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            endpoint: &self.endpoint,
            provider: &self.provider,
            generation: &self.generation,
            created: 7,
            max_tokens_clamp: None,
        }
    }
}
