//! An OpenID provider of our own on loopback: it checks what it is asked as the standards say, and
//! then says what a test wants it to.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa as ring_rsa};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::task::Tasks;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;

pub(crate) const CLIENT: &str = "godwit";
pub(crate) const SECRET: &str = "secret-of-godwit-at-the-provider";
const REDIRECT: &str = "https://console.test/api/v1/auth/oidc/callback";

/// How a token is signed.
#[derive(Clone)]
pub(crate) enum Signing {
    Ec(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
    /// With the client's secret.
    Secret,
    Nothing,
}

#[derive(Clone)]
pub(crate) struct Key {
    id: String,
    signing: Signing,
}

/// What the provider does.
pub(crate) struct World {
    url: String,
    clock: Clock,
    /// Who sits before the browser.
    pub(crate) person: Value,
    /// The keys that it tells of.
    pub(crate) keys: Vec<Key>,
    /// The key that it signs with.
    pub(crate) signer: Key,
    /// What it says of itself, beside the usual.
    pub(crate) says: Value,
    /// Changes a token's claims before they are signed.
    pub(crate) twist: fn(&mut Value),
    /// Changes a token answer.
    pub(crate) answer: fn(&mut Value),
    /// What it tells of somebody on request.
    pub(crate) info: Value,
    /// Sends everybody back with this.
    pub(crate) refuses: Option<&'static str>,
    /// Whom it says that it is when it sends somebody back.
    pub(crate) names: Option<String>,
    /// What it answers to everything.
    pub(crate) broken: Option<(StatusCode, usize)>,
    /// How often what was asked for.
    pub(crate) asked: BTreeMap<String, u32>,
    grants: HashMap<String, Grant>,
}

struct Grant {
    challenge: String,
    nonce: String,
}

pub(crate) struct Provider {
    pub(crate) url: String,
    world: Shared,
    tasks: Tasks,
}

type Shared = Arc<Mutex<World>>;

impl Key {
    pub(crate) fn ec(id: &str) -> Self {
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap();
        Self::new(id, Signing::Ec(Arc::new(pair)))
    }

    pub(crate) fn rsa(id: &str) -> Self {
        let made = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let made = made.to_pkcs1_der().unwrap();
        let pair = RsaKeyPair::from_der(made.as_bytes()).unwrap();
        Self::new(id, Signing::Rsa(Arc::new(pair)))
    }

    pub(crate) fn new(id: &str, signing: Signing) -> Self {
        let id = id.to_owned();
        Self { id, signing }
    }

    fn algorithm(&self) -> &'static str {
        match self.signing {
            Signing::Ec(_) => "ES256",
            Signing::Rsa(_) => "RS256",
            Signing::Secret => "HS256",
            Signing::Nothing => "none",
        }
    }

    fn public(&self) -> Value {
        let (id, algorithm) = (&self.id, self.algorithm());
        match &self.signing {
            Signing::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "alg": algorithm,
                        "x": base64(x), "y": base64(y) })
            }
            Signing::Rsa(pair) => {
                let public = ring_rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "use": "sig", "kid": id, "alg": algorithm,
                        "n": base64(&public.n), "e": base64(&public.e) })
            }
            Signing::Secret | Signing::Nothing => panic!("there is no public half"),
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match &self.signing {
            Signing::Ec(pair) => {
                let signed = pair.sign(&SystemRandom::new(), text).unwrap();
                signed.as_ref().to_vec()
            }
            Signing::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
                    .unwrap();
                signature
            }
            Signing::Secret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                hmac::sign(&key, text).as_ref().to_vec()
            }
            Signing::Nothing => Vec::new(),
        }
    }

    fn token(&self, claims: &Value) -> String {
        let head = json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" });
        let text = format!(
            "{}.{}",
            base64(head.to_string().as_bytes()),
            base64(claims.to_string().as_bytes())
        );
        let signature = base64(&self.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

impl Provider {
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = Key::ec("first");
        let world = Arc::new(Mutex::new(World {
            url: url.clone(),
            clock,
            person: json!({ "sub": "248289761001", "email": "ada@example.com",
                            "email_verified": true, "name": "Ada L" }),
            keys: vec![key.clone()],
            signer: key,
            says: json!({}),
            twist: |_| {},
            answer: |_| {},
            info: json!({}),
            refuses: None,
            names: None,
            broken: None,
            asked: BTreeMap::new(),
            grants: HashMap::new(),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&world));
        let tasks = Tasks::new();
        let mut stop = tasks.stop_signal();
        tasks.spawn("provider", async move {
            let stopping = async move { stop.wait().await };
            let serving = axum::serve(listener, router).with_graceful_shutdown(stopping);
            serving.await.unwrap();
        });
        Self { url, world, tasks }
    }

    /// What it does from now on.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// How often something was asked for.
    pub(crate) fn asked(&self, path: &str) -> u32 {
        self.world().asked.get(path).copied().unwrap_or_default()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.tasks.request_stop();
    }
}

/// Counts; the answer when it is broken.
fn enter<'a>(world: &'a Shared, path: &str) -> Result<MutexGuard<'a, World>, Response> {
    let mut world = world.lock().unwrap();
    *world.asked.entry(path.to_owned()).or_default() += 1;
    match world.broken {
        Some((status, length)) => Err((status, "x".repeat(length)).into_response()),
        None => Ok(world),
    }
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn odd(what: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("odd {what}")).into_response()
}

fn form(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        into[name] = value.clone();
    }
}

async fn discovery(State(world): State<Shared>) -> Response {
    let world = match enter(&world, "discovery") {
        Ok(world) => world,
        Err(answer) => return answer,
    };
    let url = &world.url;
    let mut says = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
        "code_challenge_methods_supported": ["S256"],
    });
    merge(&mut says, &world.says);
    axum::Json(says).into_response()
}

async fn keys(State(world): State<Shared>) -> Response {
    match enter(&world, "keys") {
        Ok(world) => {
            let keys: Vec<_> = world.keys.iter().map(Key::public).collect();
            axum::Json(json!({ "keys": keys })).into_response()
        }
        Err(answer) => answer,
    }
}

async fn authorize(State(world): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let mut world = match enter(&world, "authorize") {
        Ok(world) => world,
        Err(answer) => return answer,
    };
    let query = form(query.unwrap_or_default().as_bytes());
    let is = |name: &str, value: &str| query.get(name).is_some_and(|given| given == value);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
    ] {
        if !is(name, value) {
            return odd(name);
        }
    }
    let code = format!("code-{}", world.asked["authorize"]);
    let grant = Grant {
        challenge: query["code_challenge"].clone(),
        nonce: query["nonce"].clone(),
    };
    let address = format!("{REDIRECT}?");
    let length = address.len();
    let mut back = form_urlencoded::Serializer::for_suffix(address, length);
    back.append_pair("state", &query["state"]);
    match world.refuses {
        Some(error) => back.append_pair("error", error),
        None => back.append_pair("code", &code),
    };
    if let Some(name) = &world.names {
        back.append_pair("iss", name);
    }
    world.grants.insert(code, grant);
    (StatusCode::FOUND, [(header::LOCATION, back.finish())]).into_response()
}

async fn token(State(world): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut world = match enter(&world, "token") {
        Ok(world) => world,
        Err(answer) => return answer,
    };
    let refused = |error: &str| {
        let body = json!({ "error": error, "error_description": "as the provider says it" });
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    };
    let basic = BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    let shown = headers.get(header::AUTHORIZATION);
    if shown.is_none_or(|shown| shown.as_bytes() != format!("Basic {basic}").as_bytes()) {
        return refused("invalid_client");
    }
    let body = form(&body);
    if body["grant_type"] != "authorization_code" || body["redirect_uri"] != REDIRECT {
        return refused("invalid_request");
    }
    let Some(grant) = world.grants.remove(&body["code"]) else {
        return refused("invalid_grant");
    };
    let verifier = digest(&SHA256, body["code_verifier"].as_bytes());
    if base64(verifier.as_ref()) != grant.challenge {
        return refused("invalid_grant");
    }
    let access = "access-0123456789";
    let now = world.clock.unix_s();
    let mut claims = json!({
        "iss": world.url,
        "aud": CLIENT,
        "exp": now + 300,
        "iat": now,
        "nonce": grant.nonce,
        "at_hash": base64(&digest(&SHA256, access.as_bytes()).as_ref()[..16]),
    });
    merge(&mut claims, &world.person);
    (world.twist)(&mut claims);
    let mut answer = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": 300,
        "id_token": world.signer.token(&claims),
    });
    (world.answer)(&mut answer);
    axum::Json(answer).into_response()
}

async fn userinfo(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let world = match enter(&world, "userinfo") {
        Ok(world) => world,
        Err(answer) => return answer,
    };
    let shown = headers.get(header::AUTHORIZATION);
    match shown.is_some_and(|shown| shown == "Bearer access-0123456789") {
        true => axum::Json(world.info.clone()).into_response(),
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}
