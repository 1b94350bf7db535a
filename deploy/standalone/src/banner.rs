//! What a start prints: where everything is, the first key (once), and a request to paste.

use shared::key::SecretKey;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the banner tells.
pub(crate) struct Facts<'a> {
    /// Where what listens.
    pub(crate) addresses: &'a BTreeMap<String, String>,
    /// With a certificate the API speaks TLS.
    pub(crate) tls: bool,
    /// Made on this start; shown this once.
    pub(crate) first_key: Option<&'a SecretKey>,
    /// A key that the operator chose.
    pub(crate) chosen_key: Option<&'a str>,
    /// A model that answers.
    pub(crate) model: &'a str,
    /// Are providers simulated.
    pub(crate) simulated: bool,
    /// The catalogue's size: models, providers, endpoints with a credential.
    pub(crate) counts: (usize, usize, usize),
}

/// The banner's text.
pub(crate) fn text(facts: &Facts<'_>) -> String {
    let at = |name: &str| facts.addresses.get(name).map_or("-", String::as_str);
    let scheme = if facts.tls { "https" } else { "http" };
    let base = format!("{scheme}://{}/api/v1", at("api"));
    let (models, providers, endpoints) = facts.counts;
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<18}{value}");
    };
    line("API", &base);
    line("console", &format!("http://{}/", at("console")));
    line(
        "edge metrics",
        &format!("http://{}/metrics", at("edge_admin")),
    );
    line(
        "control metrics",
        &format!("http://{}/metrics", at("console")),
    );
    line(
        "admin (gRPC)",
        &format!("https://{}   (godwit admin --help)", at("control")),
    );
    line(
        "catalogue",
        &format!("{models} models, {providers} providers; {endpoints} endpoints can be used"),
    );
    if let Some(key) = facts.first_key {
        line(
            "API key",
            &format!("{}   (shown once; only its hash is kept)", key.reveal()),
        );
    }
    let key = match (facts.first_key, facts.chosen_key) {
        (Some(key), _) => key.reveal(),
        (None, Some(key)) => key,
        (None, None) => "$GODWIT_API_KEY",
    };
    let body = format!(
        r#"{{"model": "{}", "messages": [{{"role": "user", "content": "Hello"}}]}}"#,
        facts.model
    );
    let mut whole = format!("godwit {}\n\n{text}\n", env!("CARGO_PKG_VERSION"));
    if facts.simulated {
        whole.push_str(
            "  WARNING: no provider credential is set: answers come from simulated providers.\n\n",
        );
    }
    let _ = writeln!(
        whole,
        "curl {base}/chat/completions -H 'Content-Type: application/json' \
         -H \"Authorization: Bearer {key}\" -d '{body}'"
    );
    whole
}
