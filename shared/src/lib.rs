//! Values and pure decisions that both planes of Godwit speak. No sockets, no store.
//!
//! Glossary:
//! - **provider**: a company that serves models; **model**: what a client asks for by id;
//!   **endpoint**: one provider's offer of one model (a price, a context length, a region).
//! - **dialect**: a wire format; **quirk**: a named deviation from one.
//! - **snapshot**: the catalogue at one version; **delta**: the change between two; **manifest**:
//!   what the leader signs; **ack/nack**: the edge's verdict on a push, per resource.
//! - **window**: what an edge saw of one endpoint since its last report; **ranking**: the fleet's
//!   scores and shares made of all windows; **view**: snapshot + ranking, all a request may read.
//! - **principal**: who calls; **plan**: candidates in order, with reasons; **hold**: money set
//!   aside for one request; **lease**: a slice of an organisation's balance held by one edge;
pub mod byok;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod convert;
pub mod date;
pub mod duty;
pub mod folder;
pub mod gossip;
pub mod guardrail;
pub mod health;
pub mod id;
pub mod key;
pub mod limit;
pub mod manifest;
pub mod money;
pub mod observe;
pub mod policy;
pub mod prompt;
pub mod proto;
pub mod ranking;
pub mod rate;
pub mod record;
pub mod routing;
pub mod sketch;
pub mod snapshot;
pub mod task;
pub mod usage;
pub mod window;
