//! No secret is anywhere: a cluster is given marked ones (a provider's key, the keys of its API, the
//! admin token, the database's password), is used, misused and killed; then everything that it
//! wrote or said is searched for them, as they are, in hex and in base64.

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
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PROVIDER_KEY: &str = "sk-marked-provider-3f9ac1d27b6e48f0";
const PASSWORD: &str = "marked-password-90b1c2d3e4f5a6b7";
const STRANGERS_KEY: &str =
    "sk-gw-v1-feedfacefeedface00000000000000000000000000000000000000000badcafe";
/// By design: where the command line reads it, for its owner alone.
const TOKEN_FILE: &str = "admin.token";

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
            } else if !path.ends_with(TOKEN_FILE) {
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

async fn cluster(good: &Running, strict: &Running, parrot: &str, database: &str) -> Fleet {
    let with_key = |row: &mut loadtest::cluster::ProviderSpec| {
        row.api_key_env = Some("MARKED_PROVIDER_KEY".to_owned());
    };
    let dialect = Dialect::OpenaiChat;
    let catalog = CatalogSpec::default()
        .provider_with("good", dialect, &good.base_url(), with_key)
        .provider_with("strict", dialect, &strict.base_url(), with_key)
        .provider_with("parrot", dialect, parrot, with_key)
        .model("marked/good", &["good"])
        .model("marked/strict", &["strict"])
        .model("marked/parrot", &["parrot"]);
    let mut config = FleetConfig::new(catalog, 2);
    config.environment = vec![
        ("MARKED_PROVIDER_KEY".to_owned(), PROVIDER_KEY.to_owned()),
        ("GODWIT_LEDGER".to_owned(), database.to_owned()),
    ];
    config.start().await.unwrap()
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
    fleet.control().kill();
    fleet.restart_control().await.unwrap();
    for command in [
        &["keys", "list"][..],
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
    let server = Server::start(Durability::Fast).unwrap();
    let plain = server.database().unwrap();
    let url = plain.replacen('@', &format!(":{PASSWORD}@"), 1);
    let (good, strict) = (provider(PROVIDER_KEY).await, provider("another").await);
    let (parrot, _parrot) = parrot().await;
    let mut fleet = cluster(&good, &strict, &parrot, &url).await;
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
    use_it(&mut fleet, &mut heap, &keys).await;
    pages(&fleet, &mut heap).await;
    database(&plain, &mut heap).await;
    let data = fleet.control_data().to_owned();
    let token = std::fs::read_to_string(data.join(TOKEN_FILE)).unwrap();
    heap.folder(data.parent().unwrap());

    // The search finds what is there.
    assert!(!heap.places("marked/good").is_empty());
    assert!(
        heap.places("marked/good")
            .iter()
            .any(|it| it.contains("wal"))
    );
    assert!(
        heap.places("marked/parrot")
            .contains(&"table usage_records")
    );
    let mut secrets = vec![PROVIDER_KEY, PASSWORD, STRANGERS_KEY, token.trim()];
    secrets.extend(keys.iter().map(String::as_str));
    for secret in secrets {
        assert!(secret.len() >= 20, "{secret}");
        let bare = secret.rsplit('-').next().unwrap_or(secret);
        for form in [secret, bare] {
            let places = heap.places(form);
            assert!(places.is_empty(), "{secret} is in {places:?}");
        }
    }
}
