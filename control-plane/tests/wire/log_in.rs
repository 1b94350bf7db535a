//! Log-in by an OpenID provider, from outside: a browser, a provider of our own, and between them
//! the control plane over HTTP. What lets somebody in, and everything that must not.

use crate::browser::{Browser, CONSOLE, Page};
use crate::plane::Plane;
use crate::provider::{CLIENT, Key, Provider, SECRET, Signing};
use axum::http::StatusCode;
use control_plane::accounts::people::{NewMember, Role};
use control_plane::https::ANSWER_BYTES_MAX;
use control_plane::oidc::{FAILED_GAP, KNOWN_LIFE, KNOWN_LIFE_MAX, PENDING_LIFE, Settings};
use serde_json::{Value, json};
use shared::clock::Clock;
use std::time::Duration;

const SESSION: &str = "godwit_session";
const ADA: &str = "ada@example.com";

struct Scene {
    plane: Plane,
    provider: Provider,
    clock: Clock,
}

fn start() -> String {
    format!("{CONSOLE}/api/v1/auth/oidc/start")
}

fn session() -> String {
    format!("{CONSOLE}/api/v1/session")
}

impl Scene {
    /// A provider, and a control plane where Ada is known, with this in its configuration besides.
    async fn set(more: &str) -> Self {
        let clock = Clock::manual();
        let provider = Provider::start(clock.clone()).await;
        let toml = format!(
            "issuer = '{}'\nclient_id = '{CLIENT}'\nclient_secret = '{SECRET}'\n\
             public_url = '{CONSOLE}'\nname = 'Example'\n{more}",
            provider.url
        );
        let settings = Settings::parse(&toml, []).unwrap();
        let plane = Plane::start_with(clock.clone(), |config| config.oidc = Some(settings)).await;
        let new = NewMember {
            email: ADA.to_owned(),
            name: "Ada".to_owned(),
            role: Role::Admin,
            password: None,
            operator: true,
        };
        let accounts = &plane.running.parts.accounts;
        accounts.add_member("op", &plane.org(), &new).await.unwrap();
        Self {
            plane,
            provider,
            clock,
        }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.plane.running.console)
    }

    /// Somebody logs in, in a browser of their own.
    async fn log_in(&self) -> (Browser, Page) {
        let mut browser = self.browser();
        let page = browser.go(&start()).await;
        (browser, page)
    }

    async fn lets_in(&self, why: &str) -> Browser {
        let (browser, page) = self.log_in().await;
        assert_eq!(page.status, 200, "{why}: {}", page.body);
        assert!(browser.cookie(SESSION).is_some(), "{why}");
        browser
    }

    async fn keeps_out(&self, why: &str, status: u16, words: &str) {
        let (browser, page) = self.log_in().await;
        kept_out(&browser, &page, (why, status, words));
    }

    /// The token says something else.
    fn twist(&self, twist: fn(&mut Value)) {
        self.provider.world().twist = twist;
    }

    async fn stop(self) {
        self.plane.stop().await;
    }
}

fn kept_out(browser: &Browser, page: &Page, (why, status, words): (&str, u16, &str)) {
    assert_eq!(page.status, status, "{why}: {}", page.body);
    assert!(page.body.contains(words), "{why}: {}", page.body);
    assert!(browser.cookie(SESSION).is_none(), "{why}");
}

#[tokio::test]
async fn somebody_who_is_known_logs_in_and_out() {
    let scene = Scene::set("").await;
    let mut browser = scene.browser();
    let methods = browser.go(&format!("{CONSOLE}/api/v1/auth/methods")).await;
    assert_eq!(
        methods.json()["data"][1],
        json!({ "type": "oidc", "name": "Example", "url": "/api/v1/auth/oidc/start" })
    );
    assert_eq!(
        scene.provider.asked("discovery"),
        0,
        "it is asked at the first log-in"
    );
    let page = browser.go(&start()).await;
    assert_eq!(
        (page.status, page.goes_on_to()),
        (200, Some("/")),
        "{}",
        page.body
    );
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let cookie = browser.cookie(SESSION).unwrap();
    for rule in [
        "; Secure;",
        "; HttpOnly;",
        "; SameSite=Strict;",
        "; Max-Age=43200;",
    ] {
        assert!(cookie.rules.contains(rule), "{cookie:?}");
    }
    assert!(browser.cookie("godwit_log_in").is_none());

    // The same session as a password's: nothing of another site opens it, a change needs a token.
    assert_eq!(browser.come(&session()).await.status, 401);
    let told = browser.go(&session()).await.json();
    assert_eq!(told["data"]["email"], ADA);
    assert_eq!(told["data"]["organizations"][0]["role"], "admin");
    let keys = browser.go(&format!("{CONSOLE}/api/v1/keys")).await;
    assert_eq!(keys.status, 200);
    let out = browser.ask("DELETE", &session(), false, &[]).await;
    assert_eq!(out.status, 403);
    let token = told["data"]["csrf_token"].as_str().unwrap();
    let token = [("x-csrf-token", token)];
    let out = browser.ask("DELETE", &session(), false, &token).await;
    assert_eq!(out.status, 204);
    assert_eq!(browser.go(&session()).await.status, 401);

    // A program is told what a password's log-in tells.
    let mut program = Browser::program(scene.plane.running.console);
    let told = program.go(&start()).await.json();
    assert_eq!(told["data"]["email"], ADA);
    scene.stop().await;
}

#[tokio::test]
async fn the_subject_counts_and_not_the_address() {
    let scene = Scene::set("").await;
    scene.lets_in("ada is linked").await;
    scene.provider.world().person["email"] = json!("lovelace@example.org");
    let mut browser = scene.lets_in("her address has changed").await;
    assert_eq!(browser.go(&session()).await.json()["data"]["email"], ADA);
    scene.provider.world().person["sub"] = json!("another");
    let words = "nobody here has the e-mail address lovelace@example.org";
    scene.keeps_out("a stranger", 403, words).await;
    scene.provider.world().person["email"] = json!(ADA);
    let words = "belongs to another account";
    scene
        .keeps_out("who has got her old address", 403, words)
        .await;
    scene.provider.world().person["email"] = json!("<b>@example.com");
    scene
        .keeps_out("markup", 403, "&lt;b&gt;@example.com")
        .await;

    let accounts = scene.plane.running.parts.accounts.clone();
    accounts.set_disabled("op", ADA, true).await.unwrap();
    assert_eq!(browser.go(&session()).await.status, 401);
    scene.provider.world().person["sub"] = json!("248289761001");
    scene.keeps_out("disabled", 403, "you may not log in").await;
    accounts.set_disabled("op", ADA, false).await.unwrap();
    scene.lets_in("enabled again").await;
    scene.stop().await;
}

#[tokio::test]
async fn people_of_a_domain_join() {
    let scene = Scene::set("join_domains = ['example.org']\n").await;
    scene.provider.world().person = json!({
        "sub": "7", "email": "Grace@Example.org", "email_verified": true, "name": "Grace H",
    });
    let mut browser = scene.lets_in("of the domain").await;
    let told = browser.go(&session()).await.json();
    assert_eq!(told["data"]["email"], "grace@example.org");
    assert_eq!(told["data"]["name"], "Grace H");
    assert_eq!(told["data"]["organizations"][0]["role"], "member");
    for email in [
        "eve@evil-example.org",
        "eve@example.org.evil",
        "eve@sub.example.org",
    ] {
        let person = json!({ "sub": email, "email": email, "email_verified": true });
        scene.provider.world().person = person;
        scene.keeps_out(email, 403, "nobody here has").await;
    }
    let person = json!({ "sub": "8", "email": "eve@example.org", "email_verified": false });
    scene.provider.world().person = person;
    scene
        .keeps_out("not verified", 403, "has not verified")
        .await;
    scene.stop().await;

    let scene = Scene::set("join_domains = ['example.org']\njoin_org = 'org_gone'\n").await;
    scene.provider.world().person["email"] = json!("eve@example.org");
    scene
        .keeps_out("no organisation", 500, "is not there")
        .await;
    scene.stop().await;
}

/// What a token says instead, and what comes of it.
type Twist = (&'static str, fn(&mut Value), u16, &'static str);

const TWISTS: &[Twist] = &[
    (
        "another nonce",
        |c| c["nonce"] = json!("x"),
        502,
        "wrong nonce",
    ),
    ("no nonce", |c| c["nonce"] = Value::Null, 502, "wrong nonce"),
    (
        "for another",
        |c| c["aud"] = json!("other"),
        502,
        "wrong audience",
    ),
    (
        "for nobody",
        |c| c["aud"] = json!([]),
        502,
        "wrong audience",
    ),
    (
        "for another, too",
        |c| c["aud"] = json!([CLIENT, "other"]),
        502,
        "wrong audience",
    ),
    (
        "by way of another",
        |c| c["azp"] = json!("other"),
        502,
        "wrong audience",
    ),
    (
        "of another issuer",
        |c| c["iss"] = json!("https://id.example.com"),
        502,
        "wrong issuer",
    ),
    (
        "over",
        |c| c["exp"] = c["iat"].clone(),
        502,
        "of another time",
    ),
    (
        "made long ago",
        |c| c["iat"] = json!(c["iat"].as_u64().unwrap() - 301),
        502,
        "of another time",
    ),
    (
        "made in the future",
        |c| c["iat"] = json!(c["iat"].as_u64().unwrap() + 301),
        502,
        "of another time",
    ),
    (
        "without an end",
        |c| c["exp"] = Value::Null,
        503,
        "can't be used",
    ),
    (
        "with another access token",
        |c| c["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA"),
        502,
        "wrong access token",
    ),
    (
        "not verified",
        |c| c["email_verified"] = json!(false),
        403,
        "has not verified your e-mail address ada@example.com",
    ),
    (
        "perhaps verified",
        |c| c["email_verified"] = Value::Null,
        403,
        "has not verified",
    ),
    (
        "without a subject",
        |c| c["sub"] = json!(""),
        502,
        "subject",
    ),
    (
        "with an odd subject",
        |c| c["sub"] = json!("a\u{0}b"),
        502,
        "subject",
    ),
    (
        "with no address",
        |c| c["email"] = json!("ada"),
        502,
        "email",
    ),
    (
        "of an empty address",
        |c| c["email"] = json!(""),
        502,
        "email",
    ),
];

#[tokio::test]
async fn a_token_that_is_not_for_us_now_lets_nobody_in() {
    let scene = Scene::set("").await;
    for (why, twist, status, words) in TWISTS {
        scene.twist(*twist);
        scene.keeps_out(why, *status, words).await;
    }
    scene.twist(|_| {});
    scene.lets_in("the same without a twist").await;
    scene.stop().await;
}

#[tokio::test]
async fn only_the_providers_own_keys_sign() {
    let scene = Scene::set("").await;
    scene.lets_in("by the first key").await;
    let (first, sound) = ("wrong signature", scene.provider.world().signer.clone());
    for (why, key) in [
        ("an unknown key", Key::ec("unknown")),
        ("another key of the same name", Key::ec("first")),
        ("the client's secret", Key::new("first", Signing::Secret)),
        ("nothing", Key::new("first", Signing::Nothing)),
    ] {
        scene.provider.world().signer = key;
        scene.keeps_out(why, 502, first).await;
    }
    // A new key is asked for when a token is signed by it, and an old one is none any more.
    let asked = scene.provider.asked("keys");
    let rotated = Key::rsa("second");
    {
        let mut world = scene.provider.world();
        world.keys = vec![rotated.clone()];
        world.signer = rotated;
    }
    scene.lets_in("by a new key").await;
    assert_eq!(scene.provider.asked("keys"), asked + 1);
    scene.lets_in("again").await;
    assert_eq!(scene.provider.asked("keys"), asked + 1);
    scene.provider.world().signer = sound;
    scene.keeps_out("an old key", 502, first).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_log_in_is_good_once_in_its_browser_and_time() {
    let scene = Scene::set("").await;
    let callback = "/auth/oidc/callback";
    let mut ada = scene.browser();
    let back = ada.go_before(&start(), callback).await;
    let waiting = ada.cookie("godwit_log_in").unwrap();
    for rule in [
        "; Secure;",
        "; HttpOnly;",
        "; SameSite=Lax;",
        "; Max-Age=600;",
    ] {
        assert!(waiting.rules.contains(rule), "{waiting:?}");
    }
    // Somebody else is made to open Ada's address, with or without a log-in of their own.
    let mut eve = scene.browser();
    let page = eve.come(&back).await;
    kept_out(&eve, &page, ("no cookie", 400, "another browser"));
    eve.go_before(&start(), callback).await;
    let page = eve.come(&back).await;
    kept_out(&eve, &page, ("another cookie", 400, "another browser"));
    // Theirs goes on all the same, and so does Ada's.
    let before = ada.clone();
    assert_eq!(ada.come(&back).await.status, 200);
    let mut again = before.clone();
    let page = again.come(&back).await;
    kept_out(&again, &page, ("used", 400, "begin again"));

    let mut late = scene.browser();
    let back = late.go_before(&start(), callback).await;
    scene.clock.advance(PENDING_LIFE);
    let page = late.come(&back).await;
    kept_out(&late, &page, ("late", 400, "ten minutes"));
    for query in [
        "",
        "?code=x",
        "?state=made-up&code=x",
        "?error=access_denied",
    ] {
        let page = late
            .come(&format!("{CONSOLE}/api/v1{callback}{query}"))
            .await;
        kept_out(&late, &page, (query, 400, "begin again"));
    }
    // A code of another log-in is bound to that one's verifier.
    let stolen = scene.browser().go_before(&start(), callback).await;
    let code = |url: &str| url.split("code=").nth(1).unwrap().to_owned();
    let mut eve = scene.browser();
    let own = eve.go_before(&start(), callback).await;
    let mixed = own.replace(&code(&own), &code(&stolen));
    let page = eve.come(&mixed).await;
    kept_out(
        &eve,
        &page,
        ("a stolen code", 400, "does not know this log-in"),
    );
    scene.stop().await;
}

#[tokio::test]
async fn the_providers_no_and_anothers_answer_are_told() {
    let scene = Scene::set("").await;
    scene.provider.world().refuses = Some("access_denied");
    scene.keeps_out("a no", 403, "did not let you in").await;
    scene.provider.world().refuses = Some("<script>");
    scene
        .keeps_out("no word of the provider's is shown", 403, "did not")
        .await;
    scene.provider.world().refuses = None;
    scene.provider.world().names = Some("https://id.example.com".to_owned());
    scene
        .keeps_out("another's answer", 502, "another identity provider")
        .await;
    let own = scene.provider.url.clone();
    scene.provider.world().names = Some(own);
    scene.lets_in("its own answer").await;
    // A provider that promises to name itself does.
    scene.provider.world().says = json!({ "authorization_response_iss_parameter_supported": true });
    scene.clock.advance(KNOWN_LIFE);
    scene.lets_in("as promised").await;
    scene.provider.world().names = None;
    scene
        .keeps_out("not as promised", 502, "another identity provider")
        .await;
    scene.stop().await;
}

#[tokio::test]
async fn an_address_may_be_asked_for() {
    let scene = Scene::set("").await;
    scene.twist(|claims| {
        for claim in ["email", "email_verified", "name", "at_hash"] {
            claims.as_object_mut().unwrap().remove(claim);
        }
    });
    let subject = scene.provider.world().person["sub"].clone();
    let info = json!({ "sub": subject, "email": ADA, "email_verified": true });
    let tells = |info: &Value| scene.provider.world().info = info.clone();
    tells(&info);
    scene.lets_in("asked").await;
    let mut odd = info.clone();
    odd["sub"] = json!("another");
    tells(&odd);
    scene.keeps_out("of another", 502, "wrong subject").await;
    odd = info.clone();
    odd["email_verified"] = json!(false);
    tells(&odd);
    scene
        .keeps_out("not verified", 403, "has not verified")
        .await;
    tells(&json!({ "sub": subject }));
    scene.keeps_out("none", 502, "no e-mail address").await;
    tells(&json!([]));
    scene.keeps_out("nonsense", 503, "can't be used").await;
    tells(&info);
    scene.provider.world().answer = |answer| answer["access_token"] = json!("a\nb");
    scene
        .keeps_out("an access token that can't be sent", 503, "can't be used")
        .await;
    scene.provider.world().answer = |answer| answer["id_token"] = Value::Null;
    scene.keeps_out("no token", 502, "no token").await;
    scene.provider.world().answer = |answer| answer["id_token"] = json!("a.b.c");
    scene.keeps_out("no such token", 503, "can't be used").await;
    scene.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_is_waited_for() {
    let scene = Scene::set("").await;
    let breaks = |how| scene.provider.world().broken = how;
    breaks(Some((StatusCode::INTERNAL_SERVER_ERROR, 0)));
    scene
        .keeps_out("away", 503, "can't be used at the moment")
        .await;
    breaks(None);
    scene
        .keeps_out("left alone", 503, "can't be used at the moment")
        .await;
    assert_eq!(scene.provider.asked("discovery"), 1);
    scene.clock.advance(FAILED_GAP);
    scene.lets_in("back").await;
    // What it said before is good while it is away, but not for ever; its tokens are not.
    scene.clock.advance(KNOWN_LIFE);
    breaks(Some((StatusCode::OK, ANSWER_BYTES_MAX + 1)));
    let mut browser = scene.browser();
    let page = browser.ask("GET", &start(), false, &[]).await;
    assert_eq!(page.status, 302, "{}", page.body);
    scene.clock.advance(KNOWN_LIFE_MAX - KNOWN_LIFE);
    let page = browser.ask("GET", &start(), false, &[]).await;
    assert_eq!(page.status, 503);
    breaks(None);
    scene.clock.advance(FAILED_GAP);
    let mut browser = scene.browser();
    let back = browser.go_before(&start(), "/auth/oidc/callback").await;
    breaks(Some((StatusCode::BAD_GATEWAY, 0)));
    let page = browser.come(&back).await;
    kept_out(&browser, &page, ("no token", 503, "can't be used"));
    breaks(None);

    for (what, says) in [
        (
            "another issuer",
            json!({ "issuer": "https://id.example.com" }),
        ),
        ("no place to ask", json!({ "token_endpoint": null })),
        (
            "in clear",
            json!({ "token_endpoint": "http://id.example.com/token" }),
        ),
        (
            "secrets only",
            json!({ "id_token_signing_alg_values_supported": ["HS256", "none"] }),
        ),
    ] {
        scene.clock.advance(KNOWN_LIFE_MAX + Duration::from_secs(1));
        scene.provider.world().says = says;
        scene.keeps_out(what, 503, "can't be used").await;
    }
    scene.stop().await;
}

#[tokio::test]
async fn without_a_provider_there_is_nothing_to_log_in_by() {
    let plane = Plane::start().await;
    let mut browser = Browser::new(plane.running.console);
    assert_eq!(browser.go(&start()).await.status, 404);
    let methods = browser.go(&format!("{CONSOLE}/api/v1/auth/methods")).await;
    assert_eq!(methods.json()["data"].as_array().unwrap().len(), 1);
    plane.stop().await;
}
