use super::*;
use shared::byok::Place;
use shared::byok::seal::seal;
use shared::catalog::Dialect;
use shared::key::hex;

const SECRET: &str = "sk-marked-own-key";

pub(super) fn provider(base_url: &str, auth: Auth) -> Provider {
    Provider {
        auth,
        ..Provider::new("p", Dialect::OpenaiChat, base_url)
    }
}

pub(super) fn sealed(keys: &OwnKeys, origin: &str, secret: &str) -> Arc<SealedCredential> {
    let mut one = SealedCredential {
        id: "byok_1".to_owned(),
        provider: "p".into(),
        origin: origin.to_owned(),
        fallback: false,
        required: false,
        allowed_models: None,
        place: Place::default(),
        sealed: String::new(),
    };
    one.sealed = hex(&seal(keys.public(), secret.as_bytes(), &one.binding()).unwrap());
    Arc::new(one)
}

pub(super) fn authorize(
    keys: &OwnKeys,
    own: &Arc<SealedCredential>,
    provider: &Provider,
    path: &str,
) -> Result<Authorized, Unusable> {
    let request = Unsigned {
        path,
        headers: &[],
        body: b"{}",
    };
    keys.authorize(own, provider, &request, &Clock::manual())
}

#[test]
fn a_key_goes_to_its_own_host_only() {
    let keys = OwnKeys::new(None);
    let own = sealed(&keys, "https://api.p.example", SECRET);
    let check = |base_url: &str, path: &str, expect: Result<&str, Unusable>| {
        let got = authorize(&keys, &own, &provider(base_url, Auth::Bearer), path);
        let got = got.map(|it| it.headers[0].1.to_str().unwrap().to_owned());
        assert_eq!(got.as_deref().map_err(|error| *error), expect, "{base_url}");
    };
    check(
        "https://api.p.example/v1",
        "/chat",
        Ok("Bearer sk-marked-own-key"),
    );
    check(
        "https://API.P.example:443",
        "/chat",
        Ok("Bearer sk-marked-own-key"),
    );
    for elsewhere in [
        "https://evil.example/v1",
        "http://api.p.example/v1",
        "https://api.p.example:8443/v1",
        "https://api.p.example.evil.example",
        "https://api.p.example@evil.example",
    ] {
        check(elsewhere, "/chat", Err(Unusable::OtherHost));
    }
    check(
        "https://api.p.example",
        ".evil.example/chat",
        Err(Unusable::OtherHost),
    );
    check(
        "https://api.p.example",
        "@evil.example/chat",
        Err(Unusable::OtherHost),
    );
    let mut other = provider("https://api.p.example", Auth::Bearer);
    other.slug = "q".into();
    let refused = authorize(&keys, &own, &other, "/chat").unwrap_err();
    assert_eq!(refused, Unusable::OtherHost);
}

#[test]
fn threads_that_open_a_key_at_the_same_time_share_it() {
    for _ in 0..20 {
        let keys = OwnKeys::new(None);
        let own = sealed(&keys, "https://api.p.example", SECRET);
        let start = std::sync::Barrier::new(8);
        let opened: Vec<Arc<Secret>> = std::thread::scope(|scope| {
            let open = || {
                start.wait();
                keys.open(&own).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(opened.iter().all(|it| Arc::ptr_eq(it, &opened[0])));
    }
}

#[test]
fn no_key_goes_to_an_address_with_gaps() {
    let keys = OwnKeys::new(None);
    for (origin, path) in [
        ("https://resource.openai.azure.invalid", "/openai"),
        ("https://api.p.example", "/accounts/ACCOUNT/ai/v1"),
        (
            "https://api.p.example",
            "/v1/projects/PROJECT/locations/global",
        ),
    ] {
        let own = sealed(&keys, origin, SECRET);
        let provider = provider(&format!("{origin}{path}"), Auth::Bearer);
        let refused = authorize(&keys, &own, &provider, "/chat").unwrap_err();
        assert_eq!(refused, Unusable::NoAddress, "{origin}{path}");
    }
}

#[test]
fn gaps_are_filled_with_what_is_the_owners() {
    let keys = OwnKeys::new(None);
    let at = |origin: &str, address: &str| {
        let place = Place {
            address: Some(address.to_owned()),
            ..Place::default()
        };
        let own = sealed(&keys, origin, SECRET);
        Arc::new(SealedCredential {
            place,
            ..(*own).clone()
        })
    };
    let azure = provider(
        "https://resource.openai.azure.invalid/openai/v1",
        Auth::ApiKey,
    );
    let mine = at("https://mine.openai.azure.com", "mine.openai.azure.com");
    let authorized = authorize(&keys, &mine, &azure, "/chat/completions").unwrap();
    assert_eq!(
        authorized.base_url,
        "https://mine.openai.azure.com/openai/v1"
    );
    assert_eq!(authorized.headers[0].1, SECRET);
    // The address is not sealed: one that somebody has changed leads to no other host.
    for address in [
        "other",
        "evil.example",
        "mine.openai.azure.com.evil.example",
    ] {
        let moved = at("https://mine.openai.azure.com", address);
        assert!(authorize(&keys, &moved, &azure, "/chat/completions").is_err());
    }
    let elsewhere = provider("https://evil.example/openai/v1", Auth::ApiKey);
    assert!(authorize(&keys, &mine, &elsewhere, "/chat/completions").is_err());
}

#[test]
fn an_origin_that_was_changed_does_not_open() {
    let keys = OwnKeys::new(None);
    let own = sealed(&keys, "https://api.p.example", SECRET);
    assert!(keys.opens(std::slice::from_ref(&own)));
    let moved = Arc::new(SealedCredential {
        origin: "https://evil.example".to_owned(),
        ..(*own).clone()
    });
    let evil = provider("https://evil.example", Auth::Bearer);
    let refused = authorize(&keys, &moved, &evil, "/chat").unwrap_err();
    assert_eq!(refused, Unusable::Sealed);
    assert!(!OwnKeys::new(None).opens(&[own]));
}

#[test]
fn every_way_to_authenticate_is_marked_as_secret() {
    let keys = OwnKeys::new(Some(&Pem::Text(b"node".to_vec())));
    assert_eq!(
        OwnKeys::new(Some(&Pem::Text(b"node".to_vec()))).public(),
        keys.public()
    );
    let own = sealed(&keys, "https://api.p.example", SECRET);
    for auth in [Auth::Bearer, Auth::XApiKey, Auth::ApiKey, Auth::XGoogApiKey] {
        let provider = provider("https://api.p.example", auth);
        let authorized = authorize(&keys, &own, &provider, "/chat").unwrap();
        assert!(
            authorized
                .headers
                .iter()
                .all(|(_, value)| value.is_sensitive())
        );
        assert!(!format!("{authorized:?} {keys:?} {own:?}").contains("marked"));
    }
    let host = "https://bedrock-runtime.us-east-1.amazonaws.com";
    let aws = provider(host, Auth::AwsSigv4);
    let wrong = sealed(&keys, host, SECRET);
    let refused = authorize(&keys, &wrong, &aws, "/model").unwrap_err();
    assert_eq!(refused, Unusable::Form);
    let right = sealed(&keys, host, "AKID:secret");
    assert!(authorize(&keys, &right, &aws, "/model").is_ok());
}

#[test]
fn a_changed_secret_is_opened_anew() {
    let keys = OwnKeys::new(None);
    let provider = provider("https://api.p.example", Auth::XApiKey);
    for secret in [SECRET, "sk-other"] {
        let own = sealed(&keys, "https://api.p.example", secret);
        let authorized = authorize(&keys, &own, &provider, "/chat").unwrap();
        assert_eq!(authorized.headers[0].1, secret);
    }
}
