//! The control plane's configuration: its keys and what they become. What an operator changes at
//! run time is a resource behind the admin API and has no key here.

use crate::accounts::bootstrap::Wishes;
use crate::https;
use crate::ledger::{FEE_PPM_MAX, Terms};
use crate::oidc;
use crate::payment::WebhookSecret;
use crate::ranker::Pace;
use crate::security::vault::MASTER_KEY_FILE;
use crate::sql::{ServerUrl, Source};
use crate::topup::{Stripe, StripeKey};
use shared::config::{Key, Layers, parse};
use shared::id::NodeId;
use shared::money::Amount;
use shared::observe::{self, LogFormat};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every key, for the file, the environment and the command line.
pub const KEYS: &[Key] = &[
    Key::new(
        "control_listen",
        "127.0.0.1:7070",
        "where edges and operators reach gRPC",
    ),
    Key::new(
        "console_listen",
        "127.0.0.1:7080",
        "HTTP: console, health, metrics",
    ),
    Key::new("data_dir", ".godwit", "where everything is kept"),
    Key::new("name", "control", "this control plane's name among others"),
    Key::new("store", "embedded", "coordination: embedded"),
    Key {
        name: "ledger",
        default: "sqlite",
        // The URL holds a password.
        secret: true,
        about: "accounts and money: sqlite, or a postgres:// URL",
    },
    Key::new(
        "purchase_fee",
        "5%",
        "the fee on a purchase, unless agreed otherwise with the organisation",
    ),
    Key::new(
        "payment_webhook_secret_file",
        "",
        "what the payment provider signs POST /webhooks/stripe with; without it, nobody can",
    ),
    Key::new(
        "payment_api",
        "https://api.stripe.com",
        "where cards are charged for auto top-ups",
    ),
    Key::new(
        "payment_api_key_file",
        "",
        "the payment provider's secret key; without it, there is no auto top-up",
    ),
    Key::new(
        "tls.cert",
        "",
        "certificate chain, PEM; default: made in data_dir/pki",
    ),
    Key::new("tls.key", "", "its private key, PEM"),
    Key::new(
        "tls.ca",
        "",
        "who signs edges' and operators' certificates, PEM",
    ),
    Key::new(
        "signing_key_file",
        "",
        "ed25519 PKCS#8; default: made as data_dir/signer.key",
    ),
    Key::new(
        "admin_token_file",
        "",
        "default: made as data_dir/admin.token",
    ),
    Key::new(
        "master_key_file",
        "",
        "seals organisations' provider keys; default: made as data_dir/master.key",
    ),
    Key::new(
        "oidc_file",
        "",
        "an OpenID provider by which people may log in, as TOML; without it, with passwords only",
    ),
    Key::new(
        "catalog",
        "",
        "a folder of TOML files, loaded when its content has changed",
    ),
    Key::new(
        "rank_every",
        "1s",
        "how often endpoints are ranked without alarms",
    ),
    Key::new("rank_gap", "20ms", "the least time between two rankings"),
    Key::new(
        "forget_edges_after",
        "24h",
        "how long a gone edge is remembered",
    ),
    Key::new(
        "drain_deadline",
        "10s",
        "how long open streams may take to end",
    ),
    Key::new("log_format", "text", "text or json"),
    Key::new("log", "info", "which logs, e.g. info,control_plane=debug"),
];

/// A control plane's configuration.
#[derive(Debug)]
pub struct Config {
    /// gRPC.
    pub control_listen: SocketAddr,
    /// HTTP.
    pub console_listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// This control plane's name.
    pub name: String,
    /// The server of accounts and money; none: SQLite in `data_dir`.
    pub ledger: Option<ServerUrl>,
    /// For organisations with which nothing else is agreed.
    pub terms: Terms,
    /// What the payment provider signs with; none: there is none.
    pub payment_webhook: Option<WebhookSecret>,
    /// What charges cards; none: nothing does.
    pub payment_api: Option<Stripe>,
    /// By whom people may log in besides passwords.
    pub oidc: Option<oidc::Settings>,
    /// Its certificate; none: one of its own making, in `data_dir`.
    pub tls: Option<TlsFiles>,
    /// The node whose certificate is made along, where it makes its own.
    pub first_edge: NodeId,
    /// ed25519 in PKCS#8; made when it is not there.
    pub signing_key_file: PathBuf,
    /// Made when it is not there.
    pub admin_token_file: PathBuf,
    /// Master keys of the vault; made when it is not there.
    pub master_key_file: PathBuf,
    /// The catalogue's folder.
    pub catalog: Option<PathBuf>,
    /// How often it is ranked.
    pub pace: Pace,
    /// How long a gone edge is remembered.
    pub forget_edges_after: Duration,
    /// How long open streams may take to end.
    pub drain_deadline: Duration,
    /// How logs look.
    pub log_format: LogFormat,
    /// Which logs.
    pub log: String,
    /// What the first start makes. No key: an operator makes organisations and keys.
    pub wishes: Wishes,
}

/// PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the others.
    pub ca: PathBuf,
}

impl Config {
    /// Reads every key, noting each problem; none when there is one.
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let control_listen = layers.required("control_listen", parse::socket);
        let console_listen = layers.required("console_listen", parse::socket);
        let data_dir = layers.required("data_dir", parse::path);
        let name = layers.required("name", node_name);
        only(layers, "store", "embedded");
        let ledger = layers.required("ledger", ledger_server);
        let terms = layers.required("purchase_fee", purchase_fee);
        let payment_webhook = layers.optional("payment_webhook_secret_file", webhook_secret);
        let payment_api = payment_api(layers);
        let oidc = layers.optional("oidc_file", parse::path);
        let oidc = oidc.and_then(|path| provider(layers, &path));
        let tls = tls(layers);
        let signing_key_file = layers.optional("signing_key_file", parse::path);
        let admin_token_file = layers.optional("admin_token_file", parse::path);
        let master_key_file = layers.optional("master_key_file", parse::path);
        let catalog = layers.optional("catalog", parse::path);
        let every = layers.required("rank_every", positive);
        let gap = layers.required("rank_gap", parse::duration);
        let forget_edges_after = layers.required("forget_edges_after", positive);
        let drain_deadline = layers.required("drain_deadline", parse::duration);
        let log_format = layers.required("log_format", LogFormat::parse);
        let log = layers.required("log", observe::filter);
        let data_dir = data_dir?;
        let in_data =
            |file: Option<PathBuf>, name: &str| file.unwrap_or_else(|| data_dir.join(name));
        Some(Self {
            control_listen: control_listen?,
            console_listen: console_listen?,
            name: name?,
            ledger: ledger?,
            terms: terms?,
            payment_webhook,
            payment_api: payment_api?,
            oidc,
            tls,
            first_edge: NodeId::from("edge-1"),
            signing_key_file: in_data(signing_key_file, "signer.key"),
            admin_token_file: in_data(admin_token_file, "admin.token"),
            master_key_file: in_data(master_key_file, MASTER_KEY_FILE),
            catalog,
            pace: Pace {
                every: every?,
                gap: gap?,
                ..Pace::default()
            },
            forget_edges_after: forget_edges_after?,
            drain_deadline: drain_deadline?,
            log_format: log_format?,
            log: log?,
            wishes: Wishes::default(),
            data_dir,
        })
    }

    /// What holds without a file, an environment or flags, in `data_dir` and on ports of the
    /// system's choice: for tests and for programs that hold a control plane.
    #[must_use]
    pub fn in_folder(data_dir: &Path) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            control_listen: anywhere,
            console_listen: anywhere,
            data_dir: data_dir.to_owned(),
            name: "control".to_owned(),
            ledger: None,
            terms: Terms::default(),
            payment_webhook: None,
            payment_api: None,
            oidc: None,
            tls: None,
            first_edge: NodeId::from("edge-1"),
            signing_key_file: data_dir.join("signer.key"),
            admin_token_file: data_dir.join("admin.token"),
            master_key_file: data_dir.join(MASTER_KEY_FILE),
            catalog: None,
            pace: Pace::default(),
            forget_edges_after: Duration::from_secs(24 * 3600),
            drain_deadline: Duration::from_secs(10),
            log_format: LogFormat::Text,
            log: "info".to_owned(),
            wishes: Wishes::default(),
        }
    }
}

impl Config {
    /// Where accounts and money are.
    #[must_use]
    pub fn database(&self) -> Source {
        match &self.ledger {
            Some(url) => Source::Server(url.clone()),
            None => Source::File(self.data_dir.join("control.db")),
        }
    }
}

fn ledger_server(text: &str) -> Result<Option<ServerUrl>, String> {
    match text {
        "sqlite" => Ok(None),
        url => url.parse().map(Some),
    }
}

/// `5%`, `5.5%`: exact to a millionth.
fn purchase_fee(text: &str) -> Result<Terms, String> {
    let wrong = || "a share such as 5% is expected, at most 50%".to_owned();
    let percent: Amount = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(wrong)?;
    // A hundredth of a hundredth of a hundredth: a per cent has 10,000 of them.
    let unit = Amount::USD.0 / 10_000;
    let ppm = u32::try_from(percent.0 / unit).map_err(|_| wrong())?;
    if percent.0 % unit != 0 || ppm > FEE_PPM_MAX {
        return Err(wrong());
    }
    Ok(Terms {
        purchase_fee_ppm: ppm,
        ..Terms::default()
    })
}

fn webhook_secret(text: &str) -> Result<WebhookSecret, String> {
    let secret = std::fs::read_to_string(text).map_err(|error| error.to_string())?;
    WebhookSecret::new(secret.trim()).map_err(|error| error.to_string())
}

/// Three files or none.
fn tls(layers: &mut Layers) -> Option<TlsFiles> {
    let names = ["tls.cert", "tls.key", "tls.ca"];
    if !names.iter().any(|name| layers.is_set(name)) {
        return None;
    }
    let cert = layers.required("tls.cert", readable);
    let key = layers.required("tls.key", readable);
    let ca = layers.required("tls.ca", readable);
    Some(TlsFiles {
        cert: cert?,
        key: key?,
        ca: ca?,
    })
}

/// None is a mistake.
fn payment_api(layers: &mut Layers) -> Option<Option<Stripe>> {
    let base = layers.required("payment_api", |text| {
        let good = https::may_ask(text).then(|| text.to_owned());
        good.ok_or_else(|| "an https:// URL is expected".to_owned())
    });
    let key = layers.optional("payment_api_key_file", |path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        StripeKey::new(&text).ok_or_else(|| "no key is in it".to_owned())
    });
    let base = base?;
    Some(key.map(|key| Stripe::new(&base, key)))
}

/// An OpenID provider, out of a file of its own. Standalone reads it, too.
pub fn provider(layers: &mut Layers, path: &Path) -> Option<oidc::Settings> {
    match oidc::Settings::load(path) {
        Ok(settings) => Some(settings),
        Err(problems) => {
            for problem in problems.0 {
                layers.refuse("oidc_file", &problem.to_string());
            }
            None
        }
    }
}

fn readable(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    std::fs::File::open(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

fn positive(text: &str) -> Result<Duration, String> {
    let duration = parse::duration(text)?;
    if duration.is_zero() {
        return Err("must be longer than 0".to_owned());
    }
    Ok(duration)
}

fn node_name(text: &str) -> Result<String, String> {
    use crate::security::{Identity, Role};
    Identity::new(Role::Control, text)
        .map(|identity| identity.name)
        .ok_or_else(|| "1 to 64 of A-Z a-z 0-9 . _ - are expected".to_owned())
}

/// Notes a problem unless the key has the one value that there is.
fn only(layers: &mut Layers, name: &str, value: &str) {
    let _ = layers.required(name, |text| match text {
        text if text == value => Ok(()),
        _ => Err(format!("only {value:?} is built")),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_few() {
        assert!(KEYS.len() < 25);
        let mut layers = Layers::new(KEYS);
        let read = Config::read(&mut layers);
        let config = layers.finish(read).unwrap();
        assert_eq!(config.control_listen.port(), 7070);
        assert_eq!(config.signing_key_file, Path::new(".godwit/signer.key"));
        assert_eq!(config.tls, None);
    }

    #[test]
    fn a_fee_is_a_share() {
        for (text, ppm) in [
            ("5%", Some(50_000)),
            ("5.5 %", Some(55_000)),
            ("0%", Some(0)),
            ("0.0001%", Some(1)),
            ("0.00001%", None),
            ("51%", None),
            ("-1%", None),
            ("5", None),
        ] {
            let read = purchase_fee(text).ok();
            assert_eq!(read.map(|terms| terms.purchase_fee_ppm), ppm, "{text}");
        }
    }

    #[test]
    fn a_ledgers_password_is_not_shown() {
        let mut layers = Layers::new(KEYS);
        layers.toml("ledger = 'postgres://godwit:hidden@db.example/godwit'");
        let read = Config::read(&mut layers);
        assert!(!layers.effective().contains("hidden"));
        let config = layers.finish(read).unwrap();
        assert!(matches!(config.database(), Source::Server(_)));
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn every_mistake_is_told() {
        let mut layers = Layers::new(KEYS);
        layers.toml(
            "store = 'etcd'\nledger = 'mysql://u:hidden@h/d'\nname = 'a/b'\nrank_every = '0'\n\
             log = 'a=loud'\noidc_file = '/nowhere/oidc.toml'\n[tls]\ncert = '/nowhere/cert.pem'\n",
        );
        let read = Config::read(&mut layers);
        let text = layers.finish(read).unwrap_err().to_string();
        assert!(!text.contains("hidden"), "{text}");
        for key in [
            "store",
            "ledger",
            "name",
            "rank_every",
            "log",
            "oidc_file",
            "tls.cert",
            "tls.key",
            "tls.ca",
        ] {
            assert!(
                text.contains(&format!("{key} = ")),
                "{key} is not in\n{text}"
            );
        }
    }
}
