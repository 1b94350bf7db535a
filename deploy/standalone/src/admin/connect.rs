//! The way to the control plane: mTLS with an operator's certificate, or TLS with the admin token.

use super::{Failed, Target};
use control_plane::pki::PairFiles;
use control_plane::security::token::TOKEN_FILE;
use control_plane::security::{AdminToken, CONTROL_DNS_NAME};
use shared::proto::admin::admin_client::AdminClient;
use std::path::Path;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a call may take; verifying a large ledger is the longest.
const CALL_MAX: Duration = Duration::from_secs(600);

/// The admin API, called with the right credential.
pub(super) type Client = AdminClient<InterceptedService<Channel, Bearer>>;

/// Adds the token to each call, if there is one.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A client of the control plane that the flags name.
pub(super) async fn client(to: &Target) -> Result<Client, Failed> {
    let url = match &to.control {
        Some(url) => url.clone(),
        None => recorded_address(&to.data_dir)?,
    };
    let url = if url.contains("://") {
        url
    } else {
        format!("https://{url}")
    };
    let ca = match &to.ca {
        Some(path) => read(path)?,
        None => read(&PairFiles::of(&to.data_dir, "ca").certificate)?,
    };
    let (identity, bearer) = credential(to)?;
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .domain_name(CONTROL_DNS_NAME);
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|error| Failed::new(format!("--control {url}: {error}")))?
        .connect_timeout(CONNECT_MAX)
        .timeout(CALL_MAX)
        .tls_config(tls)
        .map_err(|error| Failed::new(format!("certificates: {}", causes(&error))))?;
    let channel = endpoint.connect().await.map_err(|error| {
        Failed::unreachable(format!("{url} can't be reached: {}", causes(&error)))
    })?;
    let limit = control_plane::admin::MESSAGE_BYTES_MAX;
    Ok(AdminClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit))
}

/// The certificate that was given, else the token that was given, else what is in the data
/// folder: the token, or an operator's certificate.
fn credential(to: &Target) -> Result<(Option<Identity>, Bearer), Failed> {
    if let (Some(cert), Some(key)) = (&to.cert, &to.key) {
        return Ok((
            Some(Identity::from_pem(read(cert)?, read(key)?)),
            Bearer(None),
        ));
    }
    if let Some(token) = &to.token {
        return Ok((None, bearer(token)?));
    }
    let path = to.data_dir.join(TOKEN_FILE);
    let token = AdminToken::read(&path);
    let token = token.map_err(|error| Failed::new(format!("{}: {error}", path.display())))?;
    if let Some(token) = token {
        return Ok((None, bearer(token.reveal())?));
    }
    let pair = PairFiles::of(&to.data_dir, "operator").read();
    let pair = pair.map_err(|error| Failed::new(error.to_string()))?;
    let Some(pair) = pair else {
        return Err(Failed::new(format!(
            "{} holds neither a token nor an operator's certificate: give --token, or --cert and --key",
            to.data_dir.display()
        )));
    };
    Ok((
        Some(Identity::from_pem(pair.certificate, pair.key)),
        Bearer(None),
    ))
}

fn bearer(token: &str) -> Result<Bearer, Failed> {
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    let mut value = value.map_err(|_| Failed::new("this can't be a token"))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

/// Where the standalone of this data folder listens.
fn recorded_address(data_dir: &Path) -> Result<String, Failed> {
    let path = data_dir.join("addresses.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failed::unreachable(format!(
            "{}: {error}; is it running? Otherwise give --control URL",
            path.display()
        ))
    })?;
    let addresses: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Failed::new(format!("{}: {error}", path.display())))?;
    let control = addresses.get("control").and_then(serde_json::Value::as_str);
    let control = control.map(str::to_owned);
    control.ok_or_else(|| Failed::new(format!("{} names no control plane", path.display())))
}

fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path)
        .map_err(|error| Failed::new(format!("{}: {error}", path.display())))
}

/// An error and what is behind it: tonic's own text alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
