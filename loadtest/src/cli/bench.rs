//! `loadtest bench` and `loadtest peer`.

use super::{Verdict, announce, say, say_json, stop_signal};
use crate::bench::{self, External, Settings};
use crate::peer::Peer;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct BenchArguments {
    /// A gateway that runs already: NAME=URL[,key=KEY][,model=MODEL]; may be repeated.
    #[arg(long)]
    peer: Vec<String>,
    /// Only these loads (closed2k, closed200k, rate40, rate1000, burst, paced20, paced200,
    /// paced1000); may be repeated.
    #[arg(long)]
    load: Vec<String>,
    /// Repetitions, interleaved.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Seconds that count, of each load and repetition.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Leave the choice of CPUs to the system.
    #[arg(long)]
    no_pin: bool,
    /// Leave Godwit out.
    #[arg(long)]
    without_godwit: bool,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn bench(arguments: BenchArguments) -> Result<Verdict, String> {
    let peers: Result<Vec<External>, String> = arguments
        .peer
        .iter()
        .map(|text| External::parse(text))
        .collect();
    let seconds = |value: f64| Duration::try_from_secs_f64(value).map_err(|e| e.to_string());
    let settings = Settings {
        loads: arguments.load,
        peers: peers?,
        repeats: arguments.repeats,
        window: seconds(arguments.seconds)?,
        warm_up: seconds(arguments.warm_up)?,
        pin: !arguments.no_pin,
        without_godwit: arguments.without_godwit,
    };
    let report = bench::run(&settings)
        .await
        .map_err(|error| error.to_string())?;
    if arguments.json {
        say_json(&report.to_json(), false);
    } else {
        say(&report.to_text());
    }
    Ok(Verdict::Pass)
}

#[derive(clap::Args)]
pub(super) struct PeerArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9301")]
    listen: SocketAddr,
    /// Where requests are forwarded to.
    #[arg(long)]
    upstream: SocketAddr,
    /// Write the address to this file when ready.
    #[arg(long)]
    address_file: Option<PathBuf>,
}

pub(super) async fn peer(arguments: PeerArguments) -> Result<Verdict, String> {
    let peer = Peer::start(arguments.listen, arguments.upstream).await;
    let peer = peer.map_err(|error| format!("{}: {error}", arguments.listen))?;
    announce(
        &format!("http://{}", peer.addr()),
        peer.addr(),
        arguments.address_file,
    )?;
    stop_signal().await;
    peer.stop().await;
    Ok(Verdict::Pass)
}
