use super::*;
use crate::credential::Credentials;
use crate::credential::secret::Secret;
use crate::upstream::pooled::Pooled;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use shared::catalog::Dialect;
use shared::clock::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Made for these tests and good for nothing else.
const KEY: &str = include_str!("test-key.pem");

/// Answers each connection with the next answer; gives back what it was asked.
pub(in crate::credential) async fn issuer(
    listener: TcpListener,
    answers: Vec<(u16, Value)>,
) -> Vec<String> {
    let mut asked = Vec::new();
    for (status, answer) in answers {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        let body = loop {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).await.unwrap();
            text.extend_from_slice(&piece[..read]);
            let whole = String::from_utf8_lossy(&text).into_owned();
            let Some((head, body)) = whole.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() == length {
                assert!(head.starts_with("post /token http/1.1"), "{head}");
                break body.to_owned();
            }
        };
        asked.push(body);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
    asked
}

fn decode(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for letter in text.chars() {
        let six = LETTERS.find(letter).unwrap();
        bits.extend((0..6).rev().map(|place| six >> place & 1));
    }
    let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit);
    bits.chunks_exact(8)
        .map(|bits| u8::try_from(byte(bits)).unwrap())
        .collect()
}

pub(in crate::credential) fn file(port: u16) -> Value {
    json!({
        "type": "service_account", "project_id": "our-project", "private_key_id": "k1",
        "private_key": KEY, "client_email": "edge@our-project.iam",
        "token_uri": format!("http://127.0.0.1:{port}/token"),
    })
}

struct Scene {
    clock: Clock,
    account: Arc<Account>,
    refresher: Refresher,
}

fn scene(text: &str) -> Scene {
    let clock = Clock::manual();
    let credentials = Arc::new(Credentials::at(clock.clone()));
    let account = Account::of(text).unwrap();
    credentials.insert("VERTEX", Arc::clone(&account));
    let upstream = Arc::new(Pooled::new(None, clock.clone()));
    Scene {
        clock,
        account,
        refresher: Refresher::new(credentials, upstream),
    }
}

#[tokio::test]
async fn a_service_account_signs_for_tokens_ahead_of_their_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.json");
    std::fs::write(&path, file(port).to_string()).unwrap();
    let token = |name: &str| (200, json!({"access_token": name, "expires_in": 3600}));
    let answers = vec![token("one"), (503, json!({})), token("two")];
    let Scene {
        clock,
        account,
        mut refresher,
    } = scene(path.to_str().unwrap());
    let minutes = |count: u64| Duration::from_mins(count);
    let play = async {
        let shown = || {
            account
                .header(clock.now())
                .map(|h| h.to_str().unwrap().to_owned())
        };
        assert_eq!((shown(), account.project()), (None, None));
        refresher.round().await;
        assert_eq!(shown().as_deref(), Some("Bearer one"));
        assert_eq!(account.project().as_deref(), Some("our-project"));
        // Fresh: nobody is asked.
        clock.advance(minutes(54));
        refresher.round().await;
        // Due: the issuer fails, the old token stays, and the next try waits.
        clock.advance(minutes(2));
        refresher.round().await;
        refresher.round().await;
        assert_eq!(shown().as_deref(), Some("Bearer one"));
        clock.advance(Duration::from_secs(1));
        refresher.round().await;
        assert_eq!(shown().as_deref(), Some("Bearer two"));
        clock.advance(minutes(60));
        assert_eq!(shown(), None);
    };
    let (asked, ()) = tokio::join!(issuer(listener, answers), play);
    assert_eq!(asked.len(), 3);
    let (grant, assertion) = asked[0].split_once("&assertion=").unwrap();
    assert_eq!(
        grant,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    );
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let read = |text: &str| -> Value { serde_json::from_slice(&decode(text)).unwrap() };
    assert_eq!(
        read(head),
        json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
    );
    let claims = read(claims);
    assert_eq!(claims["iss"], "edge@our-project.iam");
    assert_eq!(claims["aud"], format!("http://127.0.0.1:{port}/token"));
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
}

#[tokio::test]
async fn a_users_account_gives_its_refresh_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r",
        "quota_project_id": "theirs", "token_uri": format!("http://127.0.0.1:{port}/token"),
    });
    let mut scene = scene(&text.to_string());
    let answer = (200, json!({"access_token": "t", "expires_in": 60}));
    let (asked, ()) = tokio::join!(issuer(listener, vec![answer]), scene.refresher.round());
    assert_eq!(
        asked,
        ["grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=1%2F%2Fr"]
    );
    assert_eq!(scene.account.project().as_deref(), Some("theirs"));
    // Short lives are renewed half-way.
    scene.clock.advance(Duration::from_secs(29));
    assert!(!scene.account.is_due(scene.clock.now()));
    scene.clock.advance(Duration::from_secs(1));
    assert!(scene.account.is_due(scene.clock.now()));
}

#[tokio::test]
async fn a_token_that_was_refused_is_fetched_anew_but_not_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut scene = scene(&file(port).to_string());
    let now = || scene.clock.now();
    let token = (200, json!({"access_token": "t", "expires_in": 3600}));
    tokio::join!(issuer(listener, vec![token]), scene.refresher.round());
    scene.account.distrust(now());
    assert!(!scene.account.is_due(now()));
    scene.clock.advance(Duration::from_mins(1));
    scene.account.distrust(now());
    assert!(scene.account.is_due(now()));
    // It may be good elsewhere, until another is there.
    assert!(scene.account.header(now()).is_some());
    // Near its end it does not leave any more.
    scene.clock.advance(Duration::from_secs(58 * 60 + 50));
    assert!(scene.account.header(now()).is_none());
}

#[test]
fn threads_that_meet_an_account_at_the_same_time_share_it() {
    let mut provider = crate::dialect::fixture::Fixture::new(Dialect::VertexGemini).provider;
    // A path, wherever this runs.
    provider.api_key_env = Some("PATH".to_owned());
    for _ in 0..50 {
        let (credentials, start) = (Credentials::default(), std::sync::Barrier::new(8));
        let met: Vec<Arc<Account>> = std::thread::scope(|scope| {
            let meet = || {
                start.wait();
                match credentials.secret(&provider) {
                    Some(Secret::Account(account)) => account,
                    _ => panic!("PATH is not taken for a file's path"),
                }
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(meet)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(met.iter().all(|it| Arc::ptr_eq(it, &met[0])));
    }
}

#[test]
fn a_refusal_of_the_token_before_does_not_bring_it_back() {
    let account = Account::of("{}").unwrap();
    let at = |seconds| Moment::default().plus(Duration::from_secs(seconds));
    let grant = |token: &str| Grant {
        token: token.to_owned(),
        life: Duration::from_hours(1),
    };
    account.put(&grant("old"), None, at(0)).unwrap();
    let refused = account.current.load_full().unwrap();
    // Between a thread's reading it and marking it, the next one is there.
    account.put(&grant("new"), None, at(100)).unwrap();
    account.distrust_token(&refused, at(101));
    assert_eq!(account.header(at(101)).unwrap(), "Bearer new");
    assert!(!account.is_due(at(101)));
}

#[tokio::test]
async fn what_is_no_account_gives_no_token_and_no_secret() {
    for text in [
        "{\"private_key\":\"hidden",
        "{\"type\":\"x\"}",
        "/no/such/file.json",
    ] {
        let mut scene = scene(text);
        scene.refresher.round().await;
        assert!(scene.account.header(scene.clock.now()).is_none(), "{text}");
        let reason = scene.refresher.fetch(&scene.account).await;
        assert!(!reason.unwrap_err().contains("hidden"));
    }
    assert!(Account::of("ya29.a0/token").is_none());
}
