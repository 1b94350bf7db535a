//! Log-in by an OpenID provider: the authorization code flow with PKCE, a state and a nonce, bound
//! to the browser that began it and good once. The library `openidconnect` does the protocol and
//! checks the token; here is what it leaves to its caller: which browser, which issuer answers,
//! whether the token is for us alone and of now, and whether the address is verified. Deliberately
//! not here: who that is to us ([`crate::accounts::identities`]).

mod failure;
mod pending;
mod provider;
mod settings;

pub use failure::{Failure, Fault};
pub use pending::{PENDING_LIFE, PENDING_MAX};
pub use provider::{ANSWER_DEADLINE, FAILED_GAP, KNOWN_LIFE, KNOWN_LIFE_MAX};
pub use settings::Settings;

use crate::accounts::identities::Vouched;
use crate::https::HttpsError;
use crate::metrics;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreErrorResponseType, CoreIdToken, CoreIdTokenClaims,
    CoreRequestTokenError, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClaimsVerificationError, CsrfToken, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, Scope, SignatureVerificationError, TokenResponse,
    UserInfoError,
};
use pending::{Begun, Pending, Unfit};
use provider::{Known, Provider, chain};
use shared::clock::Clock;
use shared::key::KeyHash;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// Answers of browsers that are worked on at one time; one more is turned away.
pub const EXCHANGES_MAX: usize = 16;
/// How far the time at which a token was made may be from ours, either way.
pub const ISSUED_WITHIN: Duration = Duration::from_secs(300);
/// Random bytes of a state and of what the browser holds.
const RANDOM_BYTES: u32 = 32;

/// The log-in by one provider.
pub struct Oidc {
    settings: Settings,
    provider: Provider,
    pending: Pending,
    exchanges: Semaphore,
    clock: Clock,
}

/// A log-in that has begun.
pub struct Beginning {
    /// Where the browser is sent.
    pub url: String,
    /// What it must show when it comes back. Not to be printed.
    pub browser: String,
}

/// What a browser brings back from the provider.
#[derive(Clone, Copy, Default)]
pub struct Returned<'a> {
    /// What we have sent along.
    pub state: Option<&'a str>,
    /// What the provider trades for a token.
    pub code: Option<&'a str>,
    /// Why there is none.
    pub error: Option<&'a str>,
    /// Who answers.
    pub issuer: Option<&'a str>,
}

impl Oidc {
    /// The log-in that is configured. The provider is asked when somebody logs in.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            provider: Provider::new(settings.clone(), clock.clone()),
            settings,
            pending: Pending::default(),
            exchanges: Semaphore::new(EXCHANGES_MAX),
            clock,
        }
    }

    /// What is configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Begins a log-in.
    ///
    /// # Errors
    /// When the provider does not say where to send people.
    pub async fn begin(&self) -> Result<Beginning, Failure> {
        let known = self.provider.known().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = known
            .client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new_random_len(RANDOM_BYTES),
                || Nonce::new_random_len(RANDOM_BYTES),
            )
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        let browser = CsrfToken::new_random_len(RANDOM_BYTES).into_secret();
        let begun = Begun {
            browser: KeyHash::of(&browser),
            nonce,
            verifier,
        };
        self.pending.add(state.secret(), begun, self.clock.now());
        let url = url.into();
        Ok(Beginning { url, browser })
    }

    /// Ends a log-in: who it is, by the provider's word. `browser` is what the cookie holds.
    ///
    /// # Errors
    /// Whatever does not fit: then nobody is logged in, and the state is used up, unless the
    /// browser was the wrong one.
    pub async fn finish(
        &self,
        returned: Returned<'_>,
        browser: Option<&str>,
    ) -> Result<Vouched, Failure> {
        let state = returned.state.unwrap_or_default();
        let begun = self.pending.take(state, browser, self.clock.now());
        let begun = begun.map_err(|unfit| match unfit {
            Unfit::Unknown => Failure::Stale,
            Unfit::Browser => Failure::Browser,
        })?;
        let Ok(_place) = self.exchanges.try_acquire() else {
            metrics::shed("log_in_exchanges");
            return Err(Failure::Busy);
        };
        let known = self.provider.known().await?;
        self.check_answerer(&known, returned.issuer)?;
        if let Some(error) = returned.error {
            return Err(Failure::Refused(Failure::words(error)));
        }
        let Some(code) = returned.code else {
            return Err(Failure::Refused("neither a code nor an error".to_owned()));
        };
        let exchange = known
            .client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(begun.verifier)
            .request_async(self.provider.line());
        let tokens = exchange.await.map_err(|error| not_exchanged(&error))?;
        self.vouched(&known, &tokens, &begun.nonce).await
    }

    /// RFC 9207: one provider's answer is not another's.
    fn check_answerer(&self, known: &Known, issuer: Option<&str>) -> Result<(), Failure> {
        match issuer {
            Some(issuer) if issuer == self.settings.issuer.as_str() => Ok(()),
            Some(issuer) => Err(Failure::Issuer(Failure::words(issuer))),
            None if known.names_issuer => Err(Failure::Issuer("it names none".to_owned())),
            None => Ok(()),
        }
    }

    async fn vouched(
        &self,
        known: &Arc<Known>,
        tokens: &CoreTokenResponse,
        nonce: &Nonce,
    ) -> Result<Vouched, Failure> {
        let id_token = tokens.id_token();
        let id_token = id_token.ok_or_else(|| Failure::token("no token", "there is none"))?;
        let mut known = Arc::clone(known);
        let claims = match self.verified(&known, id_token, nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                known = self.provider.renewed(&known).await?;
                self.verified(&known, id_token, nonce)
            }
            verified => verified,
        };
        let claims = claims.map_err(|error| not_verified(&error))?;
        self.check_party(claims)?;
        check_access_token(&known, id_token, claims, tokens)?;
        let mut told = Told::of_token(claims);
        if told.email.is_none() && known.tells_more {
            told = self.asked(&known, claims, tokens).await?;
        }
        let email = told.email.ok_or(Failure::NoAddress)?;
        if told.verified != Some(true) {
            return Err(Failure::Unverified(Failure::words(&email)));
        }
        Ok(Vouched {
            issuer: self.settings.issuer.as_str().to_owned(),
            subject: claims.subject().as_str().to_owned(),
            email,
            name: told.name.unwrap_or_default(),
        })
    }

    fn verified<'a>(
        &self,
        known: &Known,
        token: &'a CoreIdToken,
        nonce: &Nonce,
    ) -> Result<&'a CoreIdTokenClaims, ClaimsVerificationError> {
        let now = UNIX_EPOCH + Duration::from_millis(self.clock.unix_ms());
        let verifier = known
            .client
            .id_token_verifier()
            .set_allowed_algs(known.algorithms.iter().cloned())
            .set_time_fn(move || now.into())
            .set_issue_time_verifier_fn(move |issued| {
                let issued = SystemTime::from(issued);
                let apart = now.duration_since(issued).unwrap_or_else(|e| e.duration());
                match apart <= ISSUED_WITHIN {
                    true => Ok(()),
                    false => Err(format!("made {} s from now", apart.as_secs())),
                }
            });
        token.claims(&verifier, nonce)
    }

    /// The library leaves this one to its callers.
    fn check_party(&self, claims: &CoreIdTokenClaims) -> Result<(), Failure> {
        match claims.authorized_party() {
            Some(party) if *party != self.settings.client_id => {
                Err(Failure::token("wrong audience", "azp is another client"))
            }
            _ => Ok(()),
        }
    }

    /// Some providers keep the address out of the token.
    async fn asked(
        &self,
        known: &Known,
        claims: &CoreIdTokenClaims,
        tokens: &CoreTokenResponse,
    ) -> Result<Told, Failure> {
        let token = tokens.access_token();
        // The library makes a header of it, and takes for granted that it can.
        if !token.secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "its access token can't be sent".to_owned();
            return Err(Failure::Provider(reason));
        }
        let subject = claims.subject().clone();
        let question = known.client.user_info(token.clone(), Some(subject));
        let question = question.map_err(|error| Failure::Provider(chain(&error)))?;
        let told = question.request_async(self.provider.line()).await;
        let told: CoreUserInfoClaims = told.map_err(|error| not_told(&error))?;
        Ok(Told::of_answer(&told))
    }
}

/// What the provider says of somebody.
struct Told {
    email: Option<String>,
    verified: Option<bool>,
    name: Option<String>,
}

impl Told {
    fn of_token(claims: &CoreIdTokenClaims) -> Self {
        Self {
            email: claims.email().map(|email| email.as_str().to_owned()),
            verified: claims.email_verified(),
            name: claims
                .name()
                .and_then(|name| name.get(None))
                .map(|name| name.as_str().to_owned()),
        }
    }

    fn of_answer(claims: &CoreUserInfoClaims) -> Self {
        Self {
            email: claims.email().map(|email| email.as_str().to_owned()),
            verified: claims.email_verified(),
            name: claims
                .name()
                .and_then(|name| name.get(None))
                .map(|name| name.as_str().to_owned()),
        }
    }
}

/// An access token that came along belongs to this ID token, where the provider says to which.
fn check_access_token(
    known: &Known,
    token: &CoreIdToken,
    claims: &CoreIdTokenClaims,
    tokens: &CoreTokenResponse,
) -> Result<(), Failure> {
    let Some(expected) = claims.access_token_hash() else {
        return Ok(());
    };
    let odd = |error: &dyn std::error::Error| Failure::token("wrong access token", chain(error));
    let verifier = known.client.id_token_verifier();
    let key = token.signing_key(&verifier).map_err(|error| odd(&error))?;
    let algorithm = token.signing_alg().map_err(|error| odd(&error))?;
    let hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
    match hash.map_err(|error| odd(&error))? == *expected {
        true => Ok(()),
        false => Err(Failure::token("wrong access token", "at_hash is another's")),
    }
}

fn not_exchanged(error: &CoreRequestTokenError<HttpsError>) -> Failure {
    match error {
        CoreRequestTokenError::ServerResponse(answer) => {
            let words = Failure::words(&answer.to_string());
            match answer.error() {
                CoreErrorResponseType::InvalidGrant => Failure::Code(words),
                _ => Failure::Provider(words),
            }
        }
        // What can't be read may hold a token: only its place is told.
        CoreRequestTokenError::Parse(error, _) => Failure::Provider(format!(
            "its token answer is not understood at {}",
            error.path()
        )),
        other => Failure::Provider(Failure::words(&chain(other))),
    }
}

fn not_told(error: &UserInfoError<HttpsError>) -> Failure {
    match error {
        UserInfoError::ClaimsVerification(error) => not_verified(error),
        UserInfoError::Parse(error) => Failure::Provider(format!(
            "its user info is not understood at {}",
            error.path()
        )),
        other => Failure::Provider(Failure::words(&chain(other))),
    }
}

fn not_verified(error: &ClaimsVerificationError) -> Failure {
    use ClaimsVerificationError as Wrong;
    let what = match error {
        Wrong::Expired(_) => "of another time",
        Wrong::InvalidAudience(_) => "wrong audience",
        Wrong::InvalidIssuer(_) => "wrong issuer",
        Wrong::InvalidNonce(_) => "wrong nonce",
        Wrong::InvalidSubject(_) => "wrong subject",
        Wrong::SignatureVerification(_) => "wrong signature",
        _ => "not understood",
    };
    Failure::token(what, chain(error))
}
