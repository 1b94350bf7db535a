//! A running control plane and clients of it with every kind of credential.

use control_plane::app::{self, Running};
use control_plane::config::Config;
use control_plane::pki::{self, LEAF_VALID, Pair};
use control_plane::security::{AdminToken, CONTROL_DNS_NAME, Identity, Role};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use shared::clock::Clock;
use shared::id::{NodeId, OrgId};
use shared::money::Amount;
use shared::proto::admin::admin_client::AdminClient;
use shared::proto::discovery::discovery_client::DiscoveryClient;
use shared::proto::ledger::ledger_client::LedgerClient;
use shared::proto::telemetry::telemetry_client::TelemetryClient;
use shared::task::Tasks;
use std::path::Path;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CATALOG: &str = r#"
[[models]]
id = "lab/one"
name = "Model One"
created = 1733506137
context_length = 131072
input_modalities = ["text"]
output_modalities = ["text"]
tokenizer = "Other"

[[providers]]
slug = "acme"
name = "Acme"
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "ACME_KEY"

[[endpoints]]
model = "lab/one"
provider = "acme"
provider_model = "one"
context_length = 131072
quantization = "fp8"
supported_parameters = ["temperature"]
pricing = { prompt = "0.00000012", completion = "0.0000003" }
"#;

/// A control plane that serves one model, with one organisation that has 10 USD.
pub(crate) struct Plane {
    pub(crate) running: Running,
    folder: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_with(Clock::system(), |_| {}).await
    }

    /// The same at another time and with another configuration.
    pub(crate) async fn start_with(clock: Clock, adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = folder.path().join("catalog");
        std::fs::create_dir(&catalogue).unwrap();
        std::fs::write(catalogue.join("a.toml"), CATALOG).unwrap();
        let mut config = Config::in_folder(folder.path());
        config.catalog = Some(catalogue);
        config.first_edge = NodeId::from("edge-1");
        config.wishes.credits = Amount(10 * Amount::USD.0);
        adjust(&mut config);
        let running = app::start(config, Tasks::new(), clock).await;
        Self {
            running: running.unwrap(),
            folder,
        }
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.running.stop(PATIENCE).await, 0);
    }

    pub(crate) fn org(&self) -> OrgId {
        self.running.bootstrapped.org.id.clone()
    }

    pub(crate) fn token(&self) -> String {
        let token = AdminToken::read(&self.path().join("admin.token")).unwrap();
        token.unwrap().reveal().to_owned()
    }

    pub(crate) fn edge(&self) -> Pair {
        self.pki().edge
    }
    pub(crate) fn operator(&self) -> Pair {
        self.pki().operator
    }
    pub(crate) fn control(&self) -> Pair {
        self.pki().control
    }

    /// The right name, certified by another CA.
    pub(crate) fn foreign(&self) -> Pair {
        let elsewhere = tempfile::tempdir().unwrap();
        let node = NodeId::from("edge-1");
        pki::ensure(elsewhere.path(), &node, now()).unwrap().edge
    }

    /// The right name, certified by our CA until yesterday.
    pub(crate) fn expired(&self) -> Pair {
        let identity = Identity::new(Role::Edge, "edge-1").unwrap();
        let params = self.params(&[&identity.uri()], now() - LEAF_VALID.as_secs() - 86_400);
        self.sign(&params)
    }

    /// Whatever is wanted, certified by our CA.
    pub(crate) fn named(&self, uris: &[&str]) -> Pair {
        self.sign(&self.params(uris, now() - 60))
    }

    fn params(&self, uris: &[&str], from_unix_s: u64) -> CertificateParams {
        let from = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(from_unix_s);
        let mut params = CertificateParams::default();
        params.not_before = from;
        params.not_after = from + LEAF_VALID;
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        for uri in uris {
            let uri = SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        params
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let ca_key = std::fs::read_to_string(self.path().join("pki/ca.key")).unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name = rcgen::DistinguishedName::new();
        let name = rcgen::DnType::CommonName;
        ca.distinguished_name.push(name, "Godwit fleet CA");
        let issuer = Issuer::new(ca, KeyPair::from_pem(&ca_key).unwrap());
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn pki(&self) -> pki::Pki {
        pki::ensure(self.path(), &NodeId::from("edge-1"), now()).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn now() -> u64 {
    Clock::system().unix_s()
}

/// A caller to be.
#[derive(Default)]
pub(crate) struct Credentials {
    pair: Option<Pair>,
    token: Option<String>,
    ca: Option<String>,
}

/// A caller without any credential.
pub(crate) fn caller() -> Credentials {
    Credentials::default()
}

impl Credentials {
    pub(crate) fn pair(mut self, pair: Pair) -> Self {
        self.pair = Some(pair);
        self
    }
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }
    pub(crate) fn trusting(mut self, other: &Plane) -> Self {
        self.ca = Some(other.pki().ca);
        self
    }

    pub(crate) async fn connect(self, plane: &Plane) -> Result<Caller, tonic::transport::Error> {
        let ca = self.ca.unwrap_or_else(|| plane.pki().ca);
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name(CONTROL_DNS_NAME);
        if let Some(Pair { certificate, key }) = self.pair {
            tls = tls.identity(tonic::transport::Identity::from_pem(certificate, key));
        }
        let url = format!("https://{}", plane.running.control);
        let endpoint = Endpoint::from_shared(url)?.timeout(PATIENCE);
        let channel = endpoint.tls_config(tls)?.connect().await?;
        let token = self.token;
        let token = token.map(|token| format!("Bearer {token}").parse().unwrap());
        let through = InterceptedService::new(channel, Bearer(token));
        Ok(Caller { through })
    }
}

#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let token = token.clone();
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

type Through = InterceptedService<Channel, Bearer>;

/// A connected caller.
pub(crate) struct Caller {
    through: Through,
}

impl Caller {
    pub(crate) fn discovery(&self) -> DiscoveryClient<Through> {
        DiscoveryClient::new(self.through.clone())
    }
    pub(crate) fn telemetry(&self) -> TelemetryClient<Through> {
        TelemetryClient::new(self.through.clone())
    }
    pub(crate) fn ledger(&self) -> LedgerClient<Through> {
        LedgerClient::new(self.through.clone())
    }
    pub(crate) fn admin(&self) -> AdminClient<Through> {
        AdminClient::new(self.through.clone())
    }
}

/// The code of an answer.
pub(crate) fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

/// What is in an answer.
pub(crate) fn body<T>(answer: Result<Response<T>, Status>) -> T {
    answer.unwrap().into_inner()
}
