//! Godwit's control plane: catalogue, accounts, ledger, telemetry, ranking, push, admin. The data
//! plane never waits for it on a request that it can serve.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod config;
pub mod console_http;
pub mod encoded;
pub mod https;
pub mod leader;
pub mod ledger;
pub mod metrics;
pub mod oidc;
pub mod payment;
pub mod pki;
pub mod publish;
pub mod ranker;
pub mod rates;
pub mod registry;
pub mod rest;
pub mod security;
pub mod sql;
pub mod store;
pub mod telemetry;
#[cfg(test)]
pub(crate) mod testing;
pub mod topup;
