//! Godwit's data plane: one request path from client API to provider dialect, read in [`gateway`].

pub mod account;
pub mod admin;
pub mod admission;
pub mod app;
pub mod attempt;
pub mod auth;
pub mod catalogue;
pub mod client;
pub mod config;
pub mod control;
pub mod credential;
pub mod dialect;
pub mod exchange;
pub mod failure;
pub mod gateway;
pub mod ingress;
pub mod listen;
pub mod message;
pub mod metrics;
pub mod node;
pub mod relay;
pub mod report;
pub mod sync;
pub mod timers;
pub mod upstream;
pub mod wire;
