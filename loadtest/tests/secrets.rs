//! No secret is anywhere: a cluster is given marked ones (keys of providers, the platform's and an
//! organisation's own, a service account's too; keys of its API; the admin token and the master key;
//! passwords of a person and of the database, a log-in's cookie and token; what it shares with the
//! payment and the `OpenID` provider), is used, misused and killed; then everything that it wrote or
//! said is searched for them, as they are, in hex and in base64. On SQLite and on PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Reply};
use loadtest::cluster::scene::{CHAT, chat, streamed};
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Provider, Running};
use postgres_server::{Durability, Server};
use serde_json::json;
use sqlx::Row;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PROVIDER_KEY: &str = "sk-marked-provider-3f9ac1d27b6e48f0";
const GOOGLE: &str = "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global";
const SESSION: &str = "/api/v1/session";
const PASSWORD: &str = "marked-password-90b1c2d3e4f5a6b7";
const OWN_KEY: &str = "sk-marked-own-5b7c9d1e3f2a4c6e";
const ACCOUNT_KEY: &str = "MARKEDaccount8f7e6d5c4b3a29180f1e2d3c4b5a6978";
const WEBHOOK_SECRET: &str = "whsec_marked-7d6c5b4a39281706";
const PAYMENT_KEY: &str = "sk_marked_payment-1a2b3c4d5e6f7081";
const OIDC_SECRET: &str = "marked-oidc-2b3c4d5e6f708192";
const PEOPLES_PASSWORD: &str = "marked-people-3c4d5e6f70819203";
const EMAIL: &str = "marked@example.com";
const STRANGERS_KEY: &str =
    "sk-gw-v1-feedfacefeedface00000000000000000000000000000000000000000badcafe";
/// By design, for their owner alone: where the command line reads its token, and what unwraps the
/// credentials.
const TOKEN_FILE: &str = "admin.token";
const MASTER_KEY_FILE: &str = "master.key";
const OWNERS_FILES: [&str; 2] = [TOKEN_FILE, MASTER_KEY_FILE];

/// Everything that was written or said, by where.
#[derive(Default)]
struct Heap(BTreeMap<String, Vec<u8>>);

impl Heap {
    fn add(&mut self, place: &str, bytes: &[u8]) {
        let of = self.0.entry(place.to_owned()).or_default();
        of.extend_from_slice(bytes);
        of.push(b'\n');
    }

    fn heard(&mut self, place: &str, reply: &Reply) {
        self.add(
            place,
            format!("{} {:?}", reply.status, reply.headers).as_bytes(),
        );
        self.add(place, &reply.body);
    }

    fn folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                self.folder(&path);
            } else if OWNERS_FILES.iter().any(|name| path.ends_with(name)) {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{} is others' too", path.display());
            } else {
                // One that goes while it is looked for is a temporary file.
                let bytes = std::fs::read(&path).unwrap_or_default();
                self.add(&path.to_string_lossy(), &bytes);
            }
        }
    }

    /// Where `what` is, in any of its forms.
    fn places(&self, what: &str) -> Vec<&str> {
        let hex = what.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        // Of three alignments in base64, two ends are cut off: enough of the middle is searched.
        let forms: Vec<String> = (0..3)
            .map(|skip| base64(what.get(skip..).unwrap_or_default().as_bytes()))
            .chain([what.to_owned(), hex])
            .collect();
        let found = |bytes: &[u8]| {
            let mut forms = forms.iter();
            forms.any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
        };
        let places = self.0.iter().filter(|(_, bytes)| found(bytes));
        places.map(|(place, _)| place.as_str()).collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    let whole = bytes.len() / 3 * 3;
    base64::engine::general_purpose::STANDARD.encode(&bytes[..whole])
}

/// A provider that repeats what it was given, as some do with a wrong key.
async fn parrot() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            repeat(BufReader::new(socket)).await;
        }
    });
    (base, tasks)
}

async fn repeat(mut socket: BufReader<TcpStream>) {
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.unwrap_or(0) < 3 {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_lowercase().as_str() {
            "authorization" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    let _ = socket.read_exact(&mut body).await;
    let message = format!("Incorrect API key provided: {key}");
    let body = json!({"error": {"message": message, "code": "invalid_api_key"}}).to_string();
    let head = format!(
        "HTTP/1.1 401 No\r\nx-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all((head + &body).as_bytes()).await;
}

async fn provider(key: &str) -> Running {
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        tokens_per_second: 100.0,
        api_key: Some(key.to_owned()),
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

/// Writes the files that the control plane's configuration names, outside of its own.
fn flags(parrot: &str, folder: &Path) -> Vec<(String, String)> {
    let host = parrot.trim_end_matches("/v1");
    let oidc = format!(
        "issuer = \"{host}\"\nclient_id = \"godwit\"\nclient_secret = \"{OIDC_SECRET}\"\n\
         public_url = \"http://127.0.0.1\"\n"
    );
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let flags = [
        ("payment-api", host.to_owned()),
        ("payment-api-key-file", file("payment", PAYMENT_KEY)),
        (
            "payment-webhook-secret-file",
            file("webhook", WEBHOOK_SECRET),
        ),
        ("oidc-file", file("oidc.toml", &oidc)),
    ];
    flags.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

async fn cluster(
    good: &Running,
    strict: &Running,
    parrot: &str,
    (database, folder): (Option<&str>, &Path),
) -> Fleet {
    let with_key = |row: &mut loadtest::cluster::ProviderSpec| {
        row.api_key_env = Some("MARKED_PROVIDER_KEY".to_owned());
    };
    let dialect = Dialect::OpenaiChat;
    let catalog = CatalogSpec::default()
        .provider_with("good", dialect, &good.base_url(), with_key)
        .provider_with("strict", dialect, &strict.base_url(), with_key)
        .provider_with("parrot", dialect, parrot, with_key)
        .provider_of("google", "vertex-gemini", GOOGLE, with_key)
        .model("marked/good", &["good"])
        .model("marked/strict", &["strict"])
        .model("marked/parrot", &["parrot"]);
    let mut config = FleetConfig::new(catalog, 2);
    config.environment = vec![("MARKED_PROVIDER_KEY".to_owned(), PROVIDER_KEY.to_owned())];
    let database = database.map(|url| ("GODWIT_LEDGER".to_owned(), url.to_owned()));
    config.environment.extend(database);
    config.control_flags = flags(parrot, folder);
    let fleet = config.start().await.unwrap();
    let own = |provider: &str, secret: &str| {
        let create = ["credentials", "create", provider];
        fleet.admin_given(&create, secret).unwrap();
    };
    own("parrot", OWN_KEY);
    let account = json!({"type": "service_account", "project_id": "marked", "private_key":
        format!("-----BEGIN PRIVATE KEY-----\n{ACCOUNT_KEY}\n-----END PRIVATE KEY-----\n"),
        "client_email": "robot@marked.iam.gserviceaccount.com"});
    own("google", &account.to_string());
    let member = ["members", "add", EMAIL, "--role", "admin"];
    let member = [&member[..], &["--password-stdin"]].concat();
    fleet.admin_given(&member, PEOPLES_PASSWORD).unwrap();
    fleet
}

/// Logs in, and misuses what is for people and for who takes payments. Gives what it was given: the
/// cookie, the token against forgery and a key.
async fn use_console(fleet: &Fleet, heap: &mut Heap) -> Vec<String> {
    let console = fleet.console();
    let who = |password: &str| json!({"email": EMAIL, "password": password});
    let reply = console.post(SESSION, &who(STRANGERS_KEY)).await.unwrap();
    assert_eq!(reply.status, 401, "{}", reply.text());
    heap.heard("console", &reply);
    let told = console.post(SESSION, &who(PEOPLES_PASSWORD)).await.unwrap();
    assert_eq!(told.status, 200, "{}", told.text());
    let cookie = told.header("set-cookie").split(';').next().unwrap();
    let csrf = told.json()["data"]["csrf_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let person = console.clone().with_header("cookie", cookie);
    for page in ["/api/v1/keys", "/api/v1/credits", "/api/v1/nothing"] {
        heap.heard("console", &person.get(page).await.unwrap());
    }
    let wish = json!({"name": "marked"});
    let forged = person.clone().with_header("x-csrf-token", STRANGERS_KEY);
    for refused in [&person, &forged] {
        let reply = refused.post("/api/v1/keys", &wish).await.unwrap();
        assert_eq!(reply.status, 403, "{}", reply.text());
        heap.heard("console", &reply);
    }
    let meant = person.with_header("x-csrf-token", &csrf);
    let made = meant.post("/api/v1/keys", &wish).await.unwrap().json();
    let signed = console.clone().with_header("stripe-signature", "t=1,v1=00");
    for (client, path) in [(&signed, "/webhooks/stripe"), (&console, SESSION)] {
        let reply = client.post(path, &json!({"secret": 1})).await.unwrap();
        assert!(reply.status >= 400, "{}", reply.text());
        heap.heard("console", &reply);
    }
    let begun = console.get("/api/v1/auth/oidc/start").await.unwrap();
    heap.heard("console", &begun);
    let (_, cookie) = cookie.split_once('=').unwrap();
    let key = made["key"].as_str().unwrap();
    [cookie, &csrf, key].map(str::to_owned).to_vec()
}

/// Uses and misuses everything that takes a secret.
async fn use_it(fleet: &mut Fleet, heap: &mut Heap, keys: &[String]) {
    for client in [fleet.client(0), fleet.client(1)] {
        for model in ["marked/good", "marked/strict", "marked/parrot"] {
            let reply = client.post(CHAT, &chat(model, "godwits")).await.unwrap();
            assert_eq!(
                reply.status == 200,
                model == "marked/good",
                "{}",
                reply.text()
            );
            heap.heard("answers", &reply);
            let events = client.stream(CHAT, &streamed(chat(model, "godwits"))).await;
            heap.add("answers", &events.unwrap().bytes().await.unwrap());
        }
    }
    let url = fleet.edges()[0].url();
    let stranger = || Client::new(&url);
    let wrong = [STRANGERS_KEY, &keys[1], &keys[2]];
    for key in wrong {
        let client = stranger().with_key(key);
        heap.heard(
            "refusals",
            &client.post(CHAT, &chat("marked/good", "x")).await.unwrap(),
        );
        let query = format!("{CHAT}?key={key}");
        let body = json!({"model": key, "api_key": key, "messages": []});
        let reply = stranger().post(&query, &body).await.unwrap();
        // What a client sent in the wrong place may be told to that client.
        assert_ne!(reply.status, 200);
    }
    // Killed in the middle of an answer, so that recovery has something to do.
    let client = fleet.client(0);
    let body = streamed(chat("marked/good", "godwits #tokens=200"));
    let mut events = client.stream(CHAT, &body).await.unwrap();
    events.next().await.unwrap();
    let edge = fleet.edge(0).unwrap();
    edge.process().kill();
    heap.folder(edge.data_dir());
    edge.restart().await.unwrap();
    let rule = [
        ["--threshold", "5000"],
        ["--amount", "40"],
        ["--monthly-cap", "5000"],
        ["--customer", "cus_1"],
        ["--payment-method", "pm_1"],
    ];
    let rule = [&["credits", "topup", "set"][..], &rule.concat()].concat();
    fleet.admin(&rule).unwrap();
    fleet.control().kill();
    // A start looks at once who is low, and is refused.
    fleet.restart_control().await.unwrap();
    let shown = || async {
        let shown = fleet.admin(&["credits", "topup", "show"]).unwrap();
        let asked = shown["charges"].as_array().is_some_and(|it| !it.is_empty());
        asked.then_some(shown)
    };
    let shown = eventually(Duration::from_secs(20), shown).await.unwrap();
    heap.add("commands", shown.to_string().as_bytes());
    for command in [
        &["credentials", "list"][..],
        &["members", "list"],
        &["keys", "list"],
        &["credits", "list"],
        &["ledger", "verify"],
        &["audit"],
        &["fleet", "status"],
    ] {
        let said = fleet.admin(command);
        heap.add("commands", format!("{said:?}").as_bytes());
    }
}

async fn pages(fleet: &Fleet, heap: &mut Heap) {
    let plan = chat("marked/good", "godwits");
    for edge in fleet.edges() {
        let admin = edge.admin();
        let empty = || async {
            let page = admin.get("/metrics").await.ok()?.text();
            let empty = |line: &str| line == "godwit_usage_outbox_records 0";
            page.lines().any(empty).then_some(())
        };
        assert!(eventually(Duration::from_secs(30), empty).await.is_some());
        for page in [
            "/metrics",
            "/debug/view",
            "/debug/holds",
            "/healthz",
            "/readyz",
            "/debug/nothing",
        ] {
            heap.heard("edge pages", &admin.get(page).await.unwrap());
        }
        heap.heard(
            "edge pages",
            &admin.post("/debug/plan", &plan).await.unwrap(),
        );
        let client = Client::new(&edge.url());
        heap.heard("edge pages", &client.get("/api/v1/models").await.unwrap());
    }
    for page in ["/metrics", "/healthz", "/readyz", "/"] {
        heap.heard("control pages", &fleet.console().get(page).await.unwrap());
    }
}

/// Every row of every table, as text.
async fn database(url: &str, heap: &mut Heap) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let tables = sqlx::query(
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
         WHERE table_schema = 'public'",
    );
    for table in tables.fetch_all(&pool).await.unwrap() {
        let table: String = table.get(0);
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM {table} t"));
        for row in sqlx::query(sql).fetch_all(&pool).await.unwrap() {
            heap.add(
                &format!("table {table}"),
                row.get::<String, _>(0).as_bytes(),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_on_a_disk_a_page_a_log_or_in_an_error() {
    searched(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_table_of_postgresql() {
    let server = Server::start(Durability::Fast).unwrap();
    searched(Some(&server.database().unwrap())).await;
}

async fn searched(plain: Option<&str>) {
    let url = plain.map(|plain| plain.replacen('@', &format!(":{PASSWORD}@"), 1));
    let (good, strict) = (provider(PROVIDER_KEY).await, provider("another").await);
    let (parrot, _parrot) = parrot().await;
    let files = tempfile::tempdir().unwrap();
    let place = (url.as_deref(), files.path());
    let mut fleet = cluster(&good, &strict, &parrot, place).await;
    let create = |kind: &str| {
        let made = fleet.admin(&["keys", "create", "--kind", kind, "--name", "marked"]);
        let made = made.unwrap();
        let member = |name: &str| made[name].as_str().unwrap().to_owned();
        (member("key"), member("id"))
    };
    let (revoked, id) = create("inference");
    let (management, _) = create("management");
    fleet.admin(&["keys", "revoke", &id]).unwrap();
    let keys = [fleet.key().to_owned(), revoked, management];
    let mut heap = Heap::default();
    let given = use_console(&fleet, &mut heap).await;
    use_it(&mut fleet, &mut heap, &keys).await;
    pages(&fleet, &mut heap).await;
    let data = fleet.control_data().to_owned();
    let owners = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let (token, master) = (owners(TOKEN_FILE), owners(MASTER_KEY_FILE));
    heap.folder(data.parent().unwrap());

    // The search finds what is there.
    let found = |place: &str, what: &str| {
        let places = heap.places(what);
        assert!(places.iter().any(|it| it.contains(place)), "{places:?}");
    };
    found("wal", "marked/good");
    if plain.is_none() {
        found("control.db", "marked/parrot");
    }
    found("keys.cache", "cluster");
    if let Some(plain) = plain {
        database(plain, &mut heap).await;
        let places = heap.places("marked/parrot");
        assert!(places.contains(&"table usage_records"), "{places:?}");
    }
    let mut secrets = vec![
        PROVIDER_KEY,
        OWN_KEY,
        ACCOUNT_KEY,
        PASSWORD,
        PEOPLES_PASSWORD,
        WEBHOOK_SECRET,
        PAYMENT_KEY,
        OIDC_SECRET,
        STRANGERS_KEY,
        token.trim(),
    ];
    let master = master.lines().filter_map(|line| line.split_once(' '));
    let master: Vec<&str> = master.map(|(_id, key)| key).collect();
    assert!(!master.is_empty(), "no master key");
    secrets.extend(master);
    let made = keys.iter().chain(&given);
    secrets.extend(made.map(String::as_str));
    for secret in secrets {
        assert!(secret.len() >= 20, "{secret}");
        let bare = secret.rsplit('-').next().unwrap_or(secret);
        for form in [secret, bare] {
            let places = heap.places(form);
            assert!(places.is_empty(), "{secret} is in {places:?}");
        }
    }
}
