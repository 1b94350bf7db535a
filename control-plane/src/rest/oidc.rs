//! Log-in at the console by the OpenID provider: there and back again. The browser holds a cookie
//! in between, which ties the answer to it, and the same session as after a password at the end.
//! People get a page, programs JSON; why somebody is not let in is told to them and logged once.

use super::caller::{cookie_of, logged_out};
use super::read::Query;
use super::session::{Cookie, told};
use super::{Answer, Refused, Rest, data};
use crate::accounts::AccountsError;
use crate::accounts::identities::VouchedLogIn;
use crate::accounts::sessions::{SESSION_LIFE, SessionToken};
use crate::metrics;
use crate::oidc::{Failure, Fault, Oidc, PENDING_LIFE, Returned};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Ties a log-in to the browser that began it.
const COOKIE: &str = "godwit_log_in";
const START: &str = "/api/v1/auth/oidc/start";
/// A page that loads nothing and is shown in no frame. Its address holds a code.
const PAGE_HEADERS: [(header::HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The routes of a provider, which is configured.
type Provided = State<(Rest, Arc<Oidc>)>;

/// A way to log in.
#[derive(Serialize)]
struct Method<'a> {
    r#type: &'static str,
    name: &'a str,
    /// Where credentials are posted to, or where the browser goes.
    url: &'static str,
}

/// Why not, where it is known by whom: nothing else is logged yet.
enum Wrong {
    Failure(Failure),
    Refused(Refused),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<AccountsError> for Wrong {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::NoSuchOrg(org) => Self::Failure(Failure::NoOrg(org)),
            AccountsError::Invalid { what, reason } => {
                Self::Failure(Failure::Token { what, why: reason })
            }
            error => Self::Refused(error.into()),
        }
    }
}

/// How one may log in here.
pub(super) async fn methods(State(rest): State<Rest>) -> Response {
    let password = Method {
        r#type: "password",
        name: "Password",
        url: "/api/v1/session",
    };
    let provider = rest.oidc.as_ref().map(|oidc| Method {
        r#type: "oidc",
        name: &oidc.settings().name,
        url: START,
    });
    data(
        &[Some(password), provider]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    )
}

/// Sends the browser to the provider.
pub(super) async fn start(State((_, oidc)): Provided, headers: HeaderMap) -> Response {
    let begun = match oidc.begin().await {
        Ok(begun) => begun,
        Err(failure) => return refused(&headers, failure.into()),
    };
    let Ok(url) = HeaderValue::try_from(begun.url) else {
        let failure = Failure::Provider("its address can't be sent".to_owned());
        return refused(&headers, failure.into());
    };
    let mut answer = StatusCode::FOUND.into_response();
    let told = answer.headers_mut();
    told.insert(header::LOCATION, url);
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    log_in_cookie(&oidc, &begun.browser, PENDING_LIFE).set(told);
    answer
}

/// The provider has sent the browser back.
pub(super) async fn callback(
    State((rest, oidc)): Provided,
    headers: HeaderMap,
    query: Query,
) -> Response {
    let returned = Returned {
        state: query.get("state"),
        code: query.get("code"),
        error: query.get("error"),
        issuer: query.get("iss"),
    };
    let mut answer = match log_in(&rest, &oidc, &headers, returned).await {
        Ok(token) => match welcome(&rest, &headers, &token).await {
            Ok(mut answer) => {
                metrics::log_in("done");
                let secure = oidc.settings().is_secure();
                let cookie = Cookie::session(token.reveal(), SESSION_LIFE, secure);
                cookie.set(answer.headers_mut());
                answer
            }
            Err(wrong) => refused(&headers, Wrong::Refused(wrong)),
        },
        // The log-in that this browser has begun may still come to its end.
        Err(Wrong::Failure(failure @ (Failure::Browser | Failure::Stale))) => {
            return refused(&headers, failure.into());
        }
        Err(wrong) => refused(&headers, wrong),
    };
    log_in_cookie(&oidc, "", Duration::ZERO).set(answer.headers_mut());
    answer
}

async fn log_in(
    rest: &Rest,
    oidc: &Oidc,
    headers: &HeaderMap,
    returned: Returned<'_>,
) -> Result<SessionToken, Wrong> {
    let who = oidc.finish(returned, cookie_of(headers, COOKIE)).await?;
    let joining = oidc.settings().joining.as_ref();
    let failure = match rest.accounts.log_in_vouched(&who, joining).await? {
        VouchedLogIn::Done(token) => return Ok(token),
        VouchedLogIn::Unknown => Failure::Unknown(who.email),
        VouchedLogIn::Another => Failure::Another(who.email),
        VouchedLogIn::Disabled => Failure::Disabled(who.email),
    };
    Err(failure.into())
}

/// A redirect from here would still count as one from the provider's site, and the session's
/// cookie goes with nothing that begins at another site: this page goes on by itself.
async fn welcome(rest: &Rest, headers: &HeaderMap, token: &SessionToken) -> Answer {
    if wants_page(headers) {
        let head = "<meta http-equiv=\"refresh\" content=\"0; url=/\">";
        let body = "<p>You are logged in.</p><p><a href=\"/\">Go on</a></p>";
        return Ok(page(StatusCode::OK, head, body));
    }
    let session = rest.accounts.session(token).await?;
    Ok(told(&session.ok_or_else(logged_out)?, token))
}

/// Tells the operator once, and the person.
fn refused(headers: &HeaderMap, wrong: Wrong) -> Response {
    let refused = match wrong {
        Wrong::Failure(failure) => {
            let outcome = failure.outcome();
            metrics::log_in(outcome);
            match failure.fault() {
                Fault::Operator => tracing::error!(outcome, %failure, "an OpenID log-in fails"),
                Fault::Person | Fault::Load => {
                    tracing::info!(outcome, %failure, "an OpenID log-in is refused");
                }
            }
            of_failure(&failure)
        }
        Wrong::Refused(refused) => {
            metrics::log_in("error");
            refused
        }
    };
    if !wants_page(headers) {
        return refused.into_response();
    }
    let (status, message) = refused.told();
    let body = format!(
        "<p>You are not logged in: {}.</p><p><a href=\"{START}\">Log in again</a></p>",
        escaped(message)
    );
    page(status, "", &body)
}

fn of_failure(failure: &Failure) -> Refused {
    let text = failure.told();
    match failure {
        Failure::Stale | Failure::Browser | Failure::Code(_) => Refused::invalid(text),
        Failure::Refused(_) | Failure::Unverified(_) | Failure::Unknown(_) => {
            Refused::forbidden(text)
        }
        Failure::Another(_) | Failure::Disabled(_) => Refused::forbidden(text),
        Failure::Issuer(_) | Failure::Token { .. } | Failure::NoAddress => {
            Refused::new(StatusCode::BAD_GATEWAY, "authentication", text)
        }
        Failure::NoOrg(_) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "server", text),
        Failure::Provider(_) | Failure::Busy => Refused::unavailable(text),
    }
}

fn log_in_cookie<'a>(oidc: &Oidc, value: &'a str, life: Duration) -> Cookie<'a> {
    Cookie {
        name: COOKIE,
        value,
        life,
        // The provider sends the browser back: this one must come along.
        same_site: "Lax",
        secure: oidc.settings().is_secure(),
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn page(status: StatusCode, head: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Godwit</title>\
         {head}</head><body>{body}</body></html>\n"
    );
    (status, PAGE_HEADERS, text).into_response()
}

/// For the text between tags.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut page, character| {
        match character {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            '"' => page.push_str("&quot;"),
            other => page.push(other),
        }
        page
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_sentence_is_markup() {
        assert_eq!(escaped("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}
