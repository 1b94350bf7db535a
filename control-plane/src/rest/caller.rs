//! Who calls: an API key, or somebody who is logged in. What they reach follows from that. A page
//! of another site can make a browser send its cookie, so a change needs a token besides, which
//! only our own pages can know.

use super::{FromBrowser, Refused, Rest};
use crate::accounts::people::Role;
use crate::accounts::sessions::{Session, SessionToken};
use crate::accounts::{KeyFilter, KeyRow, Refusal};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use shared::id::{OrgId, UserId};
use shared::key::{KEY_LENGTH_MAX, KeyHash};
use shared::policy::{KeyKind, Principal};

/// The cookie of a log-in.
pub(crate) const COOKIE: &str = "godwit_session";
/// The header with the token against forgery.
const CSRF_HEADER: &str = "x-csrf-token";
/// Which of their organisations somebody means; the first when it is not sent.
const ORG_HEADER: &str = "x-godwit-org";
const HOW_TO: &str = "send the header `Authorization: Bearer sk-gw-v1-…`";

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A program, with a key.
    Key(Box<Principal>),
    /// Somebody, in one of their organisations.
    Person {
        /// Who.
        user: UserId,
        /// Where.
        org: OrgId,
        /// What they may do there.
        role: Role,
    },
}

impl Caller {
    /// Whose things are meant.
    pub(crate) fn org(&self) -> &OrgId {
        match self {
            Self::Key(principal) => &principal.org,
            Self::Person { org, .. } => org,
        }
    }

    /// Who it is, in the audit log.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::Key(principal) => format!("key/{}", principal.key),
            Self::Person { user, .. } => format!("user/{user}"),
        }
    }

    /// The person, if it is one.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match self {
            Self::Key(_) => None,
            Self::Person { user, .. } => Some(user),
        }
    }

    /// The person, if it is one who is no administrator.
    pub(crate) fn member(&self) -> Option<&UserId> {
        match self {
            Self::Person {
                user,
                role: Role::Member,
                ..
            } => Some(user),
            _ => None,
        }
    }

    /// Fails unless the caller may see what everybody in the organisation may: any person in it,
    /// or a management key.
    pub(crate) fn must_belong(&self) -> Result<(), Refused> {
        match self {
            Self::Person { .. } => Ok(()),
            Self::Key(principal) => match principal.kind {
                KeyKind::Management => Ok(()),
                KeyKind::Inference => Err(Refused::forbidden(
                    "this route needs a management key; an inference key can't manage",
                )),
            },
        }
    }

    /// Fails unless the caller may change everything: an administrator, or a management key.
    pub(crate) fn must_administer(&self) -> Result<(), Refused> {
        self.must_belong()?;
        match self.member() {
            Some(_) => Err(Refused::forbidden("only administrators may do this")),
            None => Ok(()),
        }
    }

    /// The keys that the caller may see and change: all of the organisation's, or a member's own.
    pub(crate) fn keys(&self) -> Result<KeyFilter, Refused> {
        self.must_belong()?;
        Ok(KeyFilter {
            org: Some(self.org().clone()),
            created_by: self.member().cloned(),
            ..KeyFilter::default()
        })
    }

    /// A key that the caller may see and change.
    pub(crate) async fn key(&self, rest: &Rest, hash: KeyHash) -> Result<KeyRow, Refused> {
        let mine = self.keys()?;
        let row = rest.accounts.key(hash).await?;
        row.filter(|row| mine.org.as_ref() == Some(&row.org))
            .filter(|row| mine.created_by.is_none() || mine.created_by == row.created_by)
            .ok_or_else(|| Refused::not_found("there is no such key"))
    }
}

impl FromRequestParts<Rest> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, Refused> {
        if let Some(key) = key_of(&parts.headers)? {
            return by_key(rest, key).await;
        }
        if parts.extensions.get::<FromBrowser>().is_some()
            && let Some(token) = cookie(&parts.headers)
        {
            must_be_meant(&parts.method, &parts.headers, &token)?;
            let session = rest.accounts.session(&token).await?;
            let session = session.ok_or_else(logged_out)?;
            return person(&parts.headers, session);
        }
        Err(Refused::unauthenticated(format!("no API key; {HOW_TO}")))
    }
}

/// The key in the headers, bearer or `x-api-key`.
fn key_of(headers: &HeaderMap) -> Result<Option<KeyHash>, Refused> {
    let bearer = headers.get(header::AUTHORIZATION).map(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7).unwrap_or_default();
        match scheme.eq_ignore_ascii_case(b"bearer ") {
            true => key.trim_ascii(),
            false => b"",
        }
    });
    let given = bearer.or_else(|| Some(headers.get("x-api-key")?.as_bytes().trim_ascii()));
    let Some(key) = given else { return Ok(None) };
    let fits = (1..=KEY_LENGTH_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(key) {
        Ok(key) if fits => Ok(Some(KeyHash::of(key))),
        _ => Err(Refused::unauthenticated(format!(
            "this is no API key; {HOW_TO}"
        ))),
    }
}

async fn by_key(rest: &Rest, key: KeyHash) -> Result<Caller, Refused> {
    let answer = rest.accounts.lookup(key).await?;
    match answer.principal {
        Ok(principal) => Ok(Caller::Key(Box::new(principal))),
        Err(refusal) => Err(Refused::unauthenticated(match refusal {
            Refusal::Unknown => "this API key does not exist; check it, or make a new one",
            Refusal::Revoked => "this API key has been revoked; use another, or make a new one",
            Refusal::Disabled => "this API key is disabled; enable it, or use another",
            Refusal::Expired => "this API key has expired; make a new one",
        })),
    }
}

/// The token of the session's cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<SessionToken> {
    cookie_of(headers, COOKIE).map(SessionToken::from_text)
}

/// The value of a cookie; none when it is too long to be one of ours.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    (value.len() <= KEY_LENGTH_MAX).then_some(value)
}

/// Fails when a page of another site may have made this request.
pub(super) fn must_be_meant(
    method: &Method,
    headers: &HeaderMap,
    token: &SessionToken,
) -> Result<(), Refused> {
    if method.is_safe() {
        return Ok(());
    }
    must_be_same_origin(headers)?;
    let sent = headers
        .get(CSRF_HEADER)
        .and_then(|value| value.to_str().ok());
    // Hashes are compared, so that the time tells nothing of the token.
    let expected = KeyHash::of(&token.against_forgery());
    if sent.is_some_and(|sent| KeyHash::of(sent) == expected) {
        return Ok(());
    }
    let text = format!("a change needs the header {CSRF_HEADER}; GET /api/v1/session tells it");
    Err(Refused::forbidden(text))
}

/// Fails when a browser says that the page is of another site.
pub(super) fn must_be_same_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let foreign = || Refused::forbidden("this request comes from a page of another site");
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().map_err(|_| foreign())?;
        let host = origin.split_once("://").map(|(_, host)| host);
        if host.is_none() || host != text(header::HOST) {
            return Err(foreign());
        }
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(foreign()),
    }
}

fn person(headers: &HeaderMap, session: Session) -> Result<Caller, Refused> {
    let wanted = headers.get(ORG_HEADER).map(|value| value.as_bytes());
    let mut orgs = session.orgs.into_iter();
    let found = orgs.find(|(org, _)| wanted.is_none_or(|id| id == org.id.as_str().as_bytes()));
    let (org, role) =
        found.ok_or_else(|| Refused::forbidden("you are not a member of this organisation"))?;
    Ok(Caller::Person {
        user: session.user,
        org: org.id,
        role,
    })
}

pub(super) fn logged_out() -> Refused {
    Refused::unauthenticated("you are not logged in, or no longer; log in again")
}
