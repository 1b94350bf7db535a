//! Everything that needs a second process: simulated providers, fault proxy, load, replay, bench.

pub mod bench;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod measure;
pub mod peer;
pub mod provider;
pub mod replay;
pub mod run;
pub mod scenario;
pub mod server;
pub mod swarm;
pub mod wire;
