//! A whole control plane over real TLS on loopback: who may call what, money exactly once, what
//! operators do, and log-in by an OpenID provider.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod browser;
mod log_in;
mod money;
mod operator;
mod plane;
mod provider;
mod roles;
