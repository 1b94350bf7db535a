//! Log-in of people at the console: a password for a cookie that only this site's pages get sent
//! and no script can read.

use super::caller::{COOKIE, cookie, logged_out, must_be_meant, must_be_same_origin};
use super::client::ClientNetwork;
use super::read::Body;
use super::{Answer, Refused, Rest, data};
use crate::accounts::sessions::{LogIn, SESSION_LIFE, Session, SessionToken};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::date::rfc3339;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    email: String,
    password: String,
}

/// Who is logged in, as a page needs to know it.
#[derive(Serialize)]
struct Told<'a> {
    user_id: &'a str,
    email: &'a str,
    name: &'a str,
    organizations: Vec<ToldOrg<'a>>,
    expires_at: String,
    csrf_token: String,
}

#[derive(Serialize)]
struct ToldOrg<'a> {
    id: &'a str,
    name: &'a str,
    role: &'static str,
}

pub(super) async fn log_in(
    State(rest): State<Rest>,
    headers: HeaderMap,
    ClientNetwork(network): ClientNetwork,
    Body(given): Body<Credentials>,
) -> Answer {
    must_be_same_origin(&headers)?;
    let (email, password) = (&given.email, &given.password);
    let token = match rest.accounts.log_in(email, password, network).await? {
        LogIn::Done(token) => token,
        LogIn::Wrong => {
            let text = "nobody has this address and this password";
            return Err(Refused::unauthenticated(text));
        }
        LogIn::TooMany(wait) => {
            let text = "too many attempts to log in with this address from your network";
            return Err(Refused::too_many(text, wait));
        }
    };
    let session = rest.accounts.session(&token).await?;
    let mut answer = told(&session.ok_or_else(logged_out)?, &token);
    let cookie = Cookie::session(token.reveal(), SESSION_LIFE, !is_here(&headers));
    cookie.set(answer.headers_mut());
    Ok(answer)
}

pub(super) async fn show(State(rest): State<Rest>, headers: HeaderMap) -> Answer {
    let token = cookie(&headers).ok_or_else(logged_out)?;
    let session = rest.accounts.session(&token).await?;
    Ok(told(&session.ok_or_else(logged_out)?, &token))
}

pub(super) async fn log_out(
    State(rest): State<Rest>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let token = cookie(&headers).ok_or_else(logged_out)?;
    must_be_meant(&method, &headers, &token)?;
    rest.accounts.log_out(&token).await?;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let cookie = Cookie::session("", Duration::ZERO, !is_here(&headers));
    cookie.set(answer.headers_mut());
    Ok(answer)
}

pub(super) fn told(session: &Session, token: &SessionToken) -> Response {
    data(&Told {
        user_id: session.user.as_str(),
        email: &session.email,
        name: &session.name,
        organizations: session
            .orgs
            .iter()
            .map(|(org, role)| ToldOrg {
                id: org.id.as_str(),
                name: &org.name,
                role: role.as_str(),
            })
            .collect(),
        expires_at: rfc3339(session.expires_at),
        csrf_token: token.against_forgery(),
    })
}

/// A cookie for this site that no script can read.
pub(super) struct Cookie<'a> {
    pub(super) name: &'static str,
    pub(super) value: &'a str,
    /// Zero takes it away.
    pub(super) life: Duration,
    /// Which requests that begin at other sites it goes with: `Strict` with none, `Lax` with those
    /// that bring somebody here.
    pub(super) same_site: &'static str,
    /// Over TLS only.
    pub(super) secure: bool,
}

impl<'a> Cookie<'a> {
    /// The cookie of a log-in.
    pub(super) fn session(value: &'a str, life: Duration, secure: bool) -> Self {
        Self {
            name: COOKIE,
            value,
            life,
            same_site: "Strict",
            secure,
        }
    }

    pub(super) fn set(&self, answer: &mut HeaderMap) {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={}; Path=/; HttpOnly; SameSite={}; Max-Age={}{secure}",
            self.name,
            self.value,
            self.same_site,
            self.life.as_secs()
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            answer.append(header::SET_COOKIE, value);
        }
    }
}

/// Plain HTTP is for this machine itself only: there a browser would not send a cookie that is for
/// TLS.
fn is_here(request: &HeaderMap) -> bool {
    let host = request
        .get(header::HOST)
        .map_or(&b""[..], |host| host.as_bytes());
    let here = [&b"127.0.0.1"[..], b"localhost", b"[::1]"];
    here.iter().any(|name| {
        let rest = host.strip_prefix(*name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
    })
}
