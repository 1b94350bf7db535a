//! A whole control plane over real TLS on loopback: who may call what, money exactly once, and
//! what operators do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod money;
mod operator;
mod plane;
mod roles;
