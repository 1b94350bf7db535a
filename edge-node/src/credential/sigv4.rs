//! AWS Signature Version 4: a request's method, path, headers and body under a key that is derived
//! for the day, the region and the service. Put together from `ring`'s SHA-256 and HMAC, and checked
//! against AWS's published examples. Queries and signatures in pieces are not here.

use http::{HeaderName, HeaderValue, header};
use ring::{digest, hmac};
use std::fmt::Write;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";

/// A key, never printed.
pub(super) struct Key {
    id: String,
    secret: String,
    /// Of a session with temporary credentials.
    token: Option<String>,
}

impl Key {
    /// `ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:TOKEN`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, ':');
        let mut part = || parts.next().map(str::to_owned).filter(|it| !it.is_empty());
        Some(Self {
            id: part()?,
            secret: part()?,
            token: part(),
        })
    }

    /// With the session's token that stands elsewhere, if these are a session's credentials.
    pub(super) fn in_session(mut self, token: Option<String>) -> Self {
        if self.token.is_none() && self.id.starts_with(TEMPORARY) {
            self.token = token.filter(|token| !token.is_empty());
        }
        self
    }
}

/// What ids of temporary credentials begin with.
const TEMPORARY: &str = "ASIA";

/// What is signed.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) method: &'a str,
    /// Scheme, host and perhaps a path.
    pub(super) base_url: &'a str,
    /// Appended to it, encoded as it is sent.
    pub(super) path: &'a str,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// What the signature is good for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers to add; none where a value has no form as a header. `now` is in seconds since 1970.
pub(super) fn sign(
    key: &Key,
    parts: &Parts<'_>,
    scope: Scope<'_>,
    now: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let time = timestamp(now);
    let day = time.get(..8)?;
    let mut signed = vec![("host", host(parts.base_url)), (DATE, &*time)];
    signed.extend(parts.content_type.map(|value| ("content-type", value)));
    signed.extend(key.token.as_deref().map(|token| (TOKEN, token)));
    signed.sort_unstable();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n{}\n\n", parts.method, canonical_path(parts));
    for (name, value) in &signed {
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{}", hash(parts.body)));
    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let start = format!("AWS4{}", key.secret);
    let mut secret = mac(start.as_bytes(), day);
    for step in [region, service, "aws4_request"] {
        secret = mac(secret.as_ref(), step);
    }
    let signature = hex(mac(secret.as_ref(), &text).as_ref());
    let id = &key.id;
    let value = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    let mut headers = vec![(
        HeaderName::from_static(DATE),
        HeaderValue::from_str(&time).ok()?,
    )];
    let mut hide = |name: HeaderName, value: &str| -> Option<()> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.push((name, value));
        Some(())
    };
    if let Some(token) = &key.token {
        hide(HeaderName::from_static(TOKEN), token)?;
    }
    hide(header::AUTHORIZATION, &value)?;
    Some(headers)
}

/// The service that a host belongs to: Bedrock's OpenAI-compatible hosts are one of their own.
pub(super) fn service(base_url: &str) -> &'static str {
    if host(base_url).starts_with("bedrock-mantle.") {
        "bedrock-mantle"
    } else {
        "bedrock"
    }
}

/// The region in a host's name, e.g. of `bedrock-runtime.eu-west-3.amazonaws.com`.
pub(super) fn region(base_url: &str) -> Option<&str> {
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_region = |label: &&str| {
        let words: Vec<&str> = label.split('-').collect();
        let [country, middle @ .., number] = &*words else {
            return false;
        };
        (country.len() == 2 || *country == "eusc")
            && is_word(country)
            && !middle.is_empty()
            && middle.iter().all(is_word)
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    };
    host(base_url).split(['.', ':']).find(is_region)
}

/// Host and port, as they stand in the base URL.
fn host(base_url: &str) -> &str {
    let rest = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The path as it is sent, each of its segments encoded once more.
fn canonical_path(parts: &Parts<'_>) -> String {
    let rest = parts
        .base_url
        .split_once("://")
        .map_or("", |(_, rest)| rest);
    let base = rest.split_once('/').map_or("", |(_, path)| path);
    let mut path = String::new();
    if !base.is_empty() {
        path.push('/');
    }
    for byte in base.bytes().chain(parts.path.bytes()) {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(secret: &[u8], text: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `YYYYMMDDTHHMMSSZ` (days to civil date after Howard Hinnant's algorithm).
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the time of AWS's published examples.
    const THEN: u64 = 1_440_938_160;
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SESSION: &str = concat!(
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmx",
        "fpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0K",
        "PkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZb",
        "qBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    );

    fn authorization(token: &str, parts: &Parts<'_>, service: &str) -> String {
        let key = Key::parse(&format!("AKIDEXAMPLE:{SECRET}{token}")).unwrap();
        let region = "us-east-1";
        let headers = sign(&key, parts, Scope { region, service }, THEN).unwrap();
        let (_, value) = headers.last().unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    fn example<'a>(method: &'a str, path: &'a str) -> Parts<'a> {
        Parts {
            method,
            base_url: "https://example.amazonaws.com",
            path,
            content_type: None,
            body: b"",
        }
    }

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let check = |token: &str, parts: &Parts<'_>, names: &str, signature: &str| {
            let expected = format!(
                "AWS4-HMAC-SHA256 \
                 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(authorization(token, parts, "service"), expected);
        };
        check(
            "",
            &example("GET", "/"),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            "",
            &example("POST", "/"),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            &format!(":{SESSION}"),
            &example("POST", "/"),
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        );
        let form = Parts {
            content_type: Some("application/x-www-form-urlencoded"),
            body: b"Param1=value1",
            ..example("POST", "/")
        };
        check(
            "",
            &form,
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
        check(
            "",
            &example(
                "GET",
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            ),
            "host;x-amz-date",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        );
    }

    #[test]
    fn a_path_is_encoded_once_more() {
        let parts = Parts {
            base_url: "https://bedrock-runtime.us-east-1.amazonaws.com",
            content_type: Some("application/json"),
            body: br#"{"messages":[]}"#,
            ..example("POST", "/model/amazon.nova-lite-v1%3A0/converse-stream")
        };
        assert_eq!(
            canonical_path(&parts),
            "/model/amazon.nova-lite-v1%253A0/converse-stream"
        );
        // What AWS's own signer for Python says to the same request.
        let value = authorization("", &parts, "bedrock");
        assert!(
            value.ends_with("e92babdda2750f102be6c8ece063ed5e38ed09c80b6c56daa77065859d35f153"),
            "{value}"
        );
        assert_eq!(
            canonical_path(&Parts {
                base_url: "http://h/a",
                ..example("POST", "/b")
            }),
            "/a/b"
        );
    }

    #[test]
    fn the_region_stands_in_the_host() {
        let check = |url: &str, expected| assert_eq!(region(url), expected, "{url}");
        check(
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            Some("us-east-1"),
        );
        check(
            "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/x",
            Some("us-gov-west-1"),
        );
        check(
            "https://vpce-0a.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com:443",
            Some("ap-southeast-2"),
        );
        check(
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1",
            Some("us-east-1"),
        );
        check(
            "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu",
            Some("eusc-de-east-1"),
        );
        check("http://127.0.0.1:8080", None);
        check("https://bedrock.example.com/us-east-1", None);
    }

    #[test]
    fn each_host_belongs_to_its_service() {
        let mantle = "https://bedrock-mantle.us-east-1.api.aws/v1";
        assert_eq!(service(mantle), "bedrock-mantle");
        let runtime = "https://bedrock-runtime.us-east-1.amazonaws.com";
        assert_eq!(service(runtime), "bedrock");
    }

    #[test]
    fn keys_are_taken_apart() {
        assert!(Key::parse("").is_none());
        assert!(Key::parse("AKID").is_none());
        assert!(Key::parse("AKID:").is_none());
        let key = Key::parse(" AKID:se/cr+et:a:b= ").unwrap();
        assert_eq!((&*key.id, &*key.secret), ("AKID", "se/cr+et"));
        assert_eq!(key.token.as_deref(), Some("a:b="));
        let token = |text: &str| {
            let key = Key::parse(text).unwrap();
            key.in_session(Some("t".to_owned())).token
        };
        assert_eq!(token("ASIAX:secret").as_deref(), Some("t"));
        assert_eq!(token("AKIAX:secret"), None);
        assert_eq!(token("ASIAX:secret:own").as_deref(), Some("own"));
    }
}
