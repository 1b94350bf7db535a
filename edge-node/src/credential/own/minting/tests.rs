use crate::credential::google::tests::{file, issuer};
use crate::credential::own::tests::{authorize, provider, sealed};
use crate::credential::own::{OwnKeys, Unusable};
use crate::upstream::pooled::Pooled;
use serde_json::{Value, json};
use shared::byok::{Place, SealedCredential};
use shared::catalog::Auth;
use shared::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const HOST: &str = "https://aiplatform.googleapis.com";

/// A node whose issuer is `listener`.
fn keys(listener: &TcpListener) -> Arc<OwnKeys> {
    let port = listener.local_addr().unwrap().port();
    let mut keys = Arc::into_inner(OwnKeys::new(None)).unwrap();
    keys.issuer = format!("http://127.0.0.1:{port}/token");
    Arc::new(keys)
}

/// An account of one's own, whose file names another issuer, at a host.
fn own(keys: &OwnKeys, origin: &str) -> Arc<SealedCredential> {
    let own = sealed(keys, origin, &file(1).to_string());
    let place = Place {
        project: Some("theirs".to_owned()),
        ..Place::default()
    };
    Arc::new(SealedCredential {
        place,
        ..(*own).clone()
    })
}

fn token(name: &str) -> (u16, Value) {
    (200, json!({"access_token": name, "expires_in": 3600}))
}

#[tokio::test]
async fn an_own_account_gets_tokens_of_google_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (keys, clock) = (keys(&listener), Clock::manual());
    let upstream = Pooled::new(None, clock.clone());
    let vertex = format!("{HOST}/v1/projects/PROJECT/locations/global");
    let vertex = provider(&vertex, Auth::Bearer);
    let own = own(&keys, HOST);
    let none = authorize(&keys, &own, &vertex, "/x").unwrap_err();
    assert_eq!(none, Unusable::NoToken);
    let shown = || {
        let clock = &clock;
        let request = crate::credential::Unsigned {
            path: "/publishers/google/models/g:generateContent",
            headers: &[],
            body: b"{}",
        };
        let authorized = keys.authorize(&own, &vertex, &request, clock).unwrap();
        assert!(authorized.headers[0].1.is_sensitive());
        let token = authorized.headers[0].1.to_str().unwrap().to_owned();
        (authorized.base_url, token)
    };
    let play = async {
        // Many at once, one question.
        let ask = || keys.refresh(&own, &upstream, &clock);
        let all = futures::future::join_all((0..5).map(|_| ask())).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        let url = format!("{HOST}/v1/projects/theirs/locations/global");
        assert_eq!(shown(), (url, "Bearer one".to_owned()));
        // Due: while the issuer fails the old one is good, and it is not asked again at once.
        clock.advance(Duration::from_mins(56));
        ask().await.unwrap();
        ask().await.unwrap();
        assert_eq!(shown().1, "Bearer one");
        clock.advance(Duration::from_secs(11));
        ask().await.unwrap();
        assert_eq!(shown().1, "Bearer two");
        // Past its end and refused: it can't be used, and the issuer has its peace for a while.
        clock.advance(Duration::from_hours(2));
        assert_eq!(ask().await.unwrap_err(), Unusable::NoToken);
        assert_eq!(ask().await.unwrap_err(), Unusable::NoToken);
    };
    let refused = (400, json!({"error": "invalid_grant"}));
    let answers = vec![token("one"), (503, json!({})), token("two"), refused];
    let (asked, ()) = tokio::join!(issuer(listener, answers), play);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|form| form.contains("jwt-bearer")));
}

#[tokio::test]
async fn an_account_is_of_no_use_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (keys, clock) = (keys(&listener), Clock::manual());
    let upstream = Pooled::new(None, clock.clone());
    let elsewhere = own(&keys, "https://api.p.example");
    let refused = keys.refresh(&elsewhere, &upstream, &clock).await;
    assert_eq!(refused.unwrap_err(), Unusable::Form);
    // Nor does its file travel as a key.
    let own = sealed(&keys, "https://api.p.example", &file(1).to_string());
    for auth in [Auth::XApiKey, Auth::ApiKey, Auth::XGoogApiKey, Auth::Bearer] {
        let there = provider("https://api.p.example/v1", auth);
        assert!(authorize(&keys, &own, &there, "/x").is_err(), "{auth:?}");
    }
}
