//! What is sent for a token and what comes back: a service account signs an assertion (RFC 7523), a
//! user's account gives its refresh token. No I/O.

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Google's own issuer.
pub(in crate::credential) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// How long an assertion is good; the most that is taken.
const ASSERTION_S: u64 = 3600;
/// How far our clock may be ahead.
const CLOCK_SKEW_S: u64 = 10;
/// The longest that a token is believed to live.
const LIFE_MAX_S: u64 = 12 * 3600;

/// An account's file, never printed.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct File {
    #[serde(rename = "type")]
    kind: String,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    private_key_id: String,
    private_key: String,
    client_email: String,
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

/// A token.
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) life: Duration,
}

impl File {
    /// Where to ask.
    pub(super) fn token_uri(&self) -> &str {
        self.token_uri.as_deref().unwrap_or(TOKEN_URI)
    }

    /// Whose resources are used.
    pub(super) fn project(&self) -> Option<String> {
        let project = self.project_id.as_ref().or(self.quota_project_id.as_ref());
        project.cloned()
    }

    /// What to ask: a form. `now` is in seconds since 1970.
    /// `issuer` is where it is asked.
    pub(super) fn form(&self, issuer: &str, now: u64) -> Result<String, &'static str> {
        match self.kind.as_str() {
            "service_account" => {
                let assertion = self.assertion(issuer, now)?;
                Ok(format!(
                    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
                ))
            }
            "authorized_user" => Ok(format!(
                "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
                percent(&self.client_id),
                percent(&self.client_secret),
                percent(&self.refresh_token),
            )),
            _ => Err("neither a service account nor a user's account"),
        }
    }

    /// A signed JWT.
    fn assertion(&self, issuer: &str, now: u64) -> Result<String, &'static str> {
        const BAD_KEY: &str = "private_key is not an RSA key in PKCS #8";
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes());
        let key = key.map_err(|_| BAD_KEY)?;
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| BAD_KEY)?;
        let header = if self.private_key_id.is_empty() {
            json!({"alg": "RS256", "typ": "JWT"})
        } else {
            json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id})
        };
        // Our clock may be ahead of the issuer's.
        let now = now.saturating_sub(CLOCK_SKEW_S);
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": issuer,
            "iat": now,
            "exp": now + ASSERTION_S,
        });
        let mut text = base64url(header.to_string().as_bytes());
        text.push('.');
        text.push_str(&base64url(claims.to_string().as_bytes()));
        let mut signature = vec![0; key.public().modulus_len()];
        let random = SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .map_err(|_| "the assertion can't be signed")?;
        text.push('.');
        text.push_str(&base64url(&signature));
        Ok(text)
    }
}

impl Grant {
    /// Reads the answer. Of a refusal only the code is told.
    pub(super) fn read(status: u16, body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Answer {
            access_token: String,
            expires_in: u64,
            error: String,
        }
        let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
        if status != 200 || answer.access_token.is_empty() || answer.expires_in == 0 {
            let plain = |c: &char| c.is_ascii_lowercase() || *c == '_';
            let code: String = answer.error.chars().filter(plain).take(64).collect();
            return Err(format!("status {status} {code}"));
        }
        Ok(Self {
            token: answer.access_token,
            life: Duration::from_secs(answer.expires_in.min(LIFE_MAX_S)),
        })
    }
}

/// Base64 for URLs, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let six = (bits >> (18 - 6 * place)) & 63;
            let letter = LETTERS.get(six as usize).copied().unwrap_or(b'A');
            out.push(char::from(letter));
        }
    }
    out
}

/// A form's value.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_encoded() {
        assert_eq!(base64url(b""), "");
        assert_eq!(base64url(b"f"), "Zg");
        assert_eq!(base64url(b"fo"), "Zm8");
        assert_eq!(base64url(b"foo"), "Zm9v");
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        assert_eq!(percent("1//a b.c"), "1%2F%2Fa%20b.c");
    }

    #[test]
    fn a_refusal_tells_its_code_only() {
        let read = |status, body: &str| Grant::read(status, body.as_bytes()).map(|g| g.life);
        let good = r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#;
        assert_eq!(read(200, good), Ok(Duration::from_secs(3599)));
        let refused = r#"{"error":"invalid_grant","error_description":"secret@x"}"#;
        assert_eq!(
            read(400, refused),
            Err("status 400 invalid_grant".to_owned())
        );
        assert_eq!(read(200, "<html>"), Err("status 200 ".to_owned()));
    }
}
