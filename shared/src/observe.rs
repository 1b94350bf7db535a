//! What a program says of itself: structured logs on standard error and Prometheus metrics. Both
//! are set up once per process however often they are asked for, so that two planes in one process
//! share them. What is measured is named in each plane's `metrics` module, not here.

use crate::task::{Stop, lock};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How often collected histogram samples are folded, scraped or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Seconds: from the cost of one hop inside a process to the longest stream.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
/// The one metric in seconds with buckets of its own.
const TTFT: &str = "godwit_ttft_seconds";
/// Seconds until a first token: providers answer between 50 ms and a minute.
const TTFT_SECONDS: &[f64] = &[
    0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
];
/// Tokens per second of one stream.
const TOKENS_PER_SECOND: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0,
    2000.0,
];

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl LogFormat {
    /// Reads `text` or `json`.
    ///
    /// # Errors
    /// When it is neither; in words for a configuration problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json is expected".to_owned()),
        }
    }
}

/// Checks a log filter, e.g. `info,control_plane=debug`.
///
/// # Errors
/// When it is not one; in words for a configuration problem.
pub fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// Sends this process's logs to standard error, those that `filter` lets through. Only the first
/// call in a process has an effect; gives whether this was it.
pub fn logs(format: LogFormat, filter: &str) -> bool {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would tell of them on standard error, too, and panic when that can't be written: a full
        // disk under the log must not end what serves.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    match format {
        LogFormat::Text => builder.try_init().is_ok(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().is_ok(),
    }
}

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

static METRICS: OnceLock<Metrics> = OnceLock::new();
/// Held while the recorder is installed, so that two first callers don't install two.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The process's metrics; the first call installs the recorder.
///
/// # Errors
/// When the process has another recorder already.
pub fn metrics() -> Result<Metrics, BuildError> {
    let _guard = lock(&INSTALLING);
    if let Some(installed) = METRICS.get() {
        return Ok(installed.clone());
    }
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), SECONDS)?
        .set_buckets_for_metric(Matcher::Full(TTFT.to_owned()), TTFT_SECONDS)?
        .set_buckets_for_metric(suffix("_tokens_per_second"), TOKENS_PER_SECOND)?
        .install_recorder()?;
    let installed = Metrics(handle);
    Ok(METRICS.get_or_init(|| installed).clone())
}

impl Metrics {
    /// Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds collected samples until the program stops; without it a process that nobody scrapes
    /// keeps them all.
    pub async fn maintain(self, mut stop: Stop) {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = every.tick() => self.0.run_upkeep(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorder_is_one_for_the_process() {
        let first = metrics().unwrap();
        let second = metrics().unwrap();
        metrics::counter!("observe_test_total").increment(3);
        metrics::histogram!(TTFT).record(0.04);
        metrics::histogram!("observe_test_seconds").record(0.04);
        for text in [first.render(), second.render()] {
            assert!(text.contains("observe_test_total 3"), "{text}");
            assert!(
                text.contains("godwit_ttft_seconds_bucket{le=\"0.05\"} 1"),
                "{text}"
            );
            assert!(
                !text.contains("godwit_ttft_seconds_bucket{le=\"0.00005\"}"),
                "{text}"
            );
            assert!(
                text.contains("observe_test_seconds_bucket{le=\"0.00005\"} 0"),
                "{text}"
            );
        }
    }

    #[test]
    fn logs_can_be_set_up_twice() {
        logs(LogFormat::Json, "warn");
        assert!(!logs(LogFormat::Text, "info"));
        assert!(filter("info,control_plane=debug").is_ok());
        assert!(filter("control_plane=loud").is_err());
    }
}
