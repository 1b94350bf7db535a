//! What the provider says of itself, and the questions to it: found at the first log-in, kept for
//! a named time, asked for anew when a token is signed by a key that is not known. One asks at a
//! time; after a failure nobody does for a named time. While the provider is away, what it said
//! before is good for a day.

use super::failure::Failure;
use super::settings::Settings;
use crate::https::{Https, HttpsError};
use hyper::body::Bytes;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AsyncHttpClient, AuthType, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, ProviderMetadata,
};
use serde::{Deserialize, Serialize};
use shared::clock::{Clock, Moment};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long the provider may take for one answer, whose length [`crate::https`] bounds.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long what the provider says of itself is not asked for anew.
pub const KNOWN_LIFE: Duration = Duration::from_secs(3600);
/// How long it is used while it can't be asked for.
pub const KNOWN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long after a failure the provider is left alone.
pub const FAILED_GAP: Duration = Duration::from_secs(5);

/// How tokens may be signed: by keys of which we know only the public half.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// A client that knows where to send people and where to ask.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointMaybeSet,
>;

type Metadata = ProviderMetadata<
    NamesIssuer,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// RFC 9207: whether the provider names itself in each answer that a browser brings.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct NamesIssuer {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for NamesIssuer {}

/// What the provider has said of itself.
pub(super) struct Known {
    /// With its keys.
    pub(super) client: Client,
    /// How its tokens may be signed.
    pub(super) algorithms: Vec<CoreJwsSigningAlgorithm>,
    /// Its answers name it.
    pub(super) names_issuer: bool,
    /// There is somewhere to ask for an address.
    pub(super) tells_more: bool,
    at: Moment,
}

/// The provider.
pub(super) struct Provider {
    settings: Settings,
    line: Line,
    clock: Clock,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Arc<Known>>,
    failed: Option<(Moment, String)>,
}

impl Provider {
    pub(super) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            line: Line(Https::new(ANSWER_DEADLINE)),
            clock,
            state: tokio::sync::Mutex::default(),
        }
    }

    /// The way to the provider.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// What it says of itself.
    pub(super) async fn known(&self) -> Result<Arc<Known>, Failure> {
        let mut state = self.state.lock().await;
        let fresh = state.younger(self.clock.now(), KNOWN_LIFE);
        if let Some(known) = fresh {
            return Ok(known);
        }
        match self.learn(&mut state).await {
            Ok(known) => Ok(known),
            Err(reason) => {
                let kept = state.younger(self.clock.now(), KNOWN_LIFE_MAX);
                kept.ok_or(Failure::Provider(reason))
            }
        }
    }

    /// The same asked anew, unless that was done since `seen`: it has other keys now.
    pub(super) async fn renewed(&self, seen: &Arc<Known>) -> Result<Arc<Known>, Failure> {
        let mut state = self.state.lock().await;
        match &state.known {
            Some(known) if !Arc::ptr_eq(known, seen) => Ok(Arc::clone(known)),
            _ => self.learn(&mut state).await.map_err(Failure::Provider),
        }
    }

    async fn learn(&self, state: &mut State) -> Result<Arc<Known>, String> {
        let now = self.clock.now();
        if let Some((at, reason)) = &state.failed
            && now.since(*at) < FAILED_GAP
        {
            return Err(reason.clone());
        }
        match self.discover().await {
            Ok(known) => {
                let known = Arc::new(known);
                *state = State {
                    known: Some(Arc::clone(&known)),
                    failed: None,
                };
                Ok(known)
            }
            Err(reason) => {
                let reason = Failure::words(&reason);
                tracing::warn!(reason, "the OpenID provider does not say what it is");
                state.failed = Some((self.clock.now(), reason.clone()));
                Err(reason)
            }
        }
    }

    async fn discover(&self) -> Result<Known, String> {
        let issuer = self.settings.issuer.clone();
        let told = Metadata::discover_async(issuer, &self.line).await;
        let told = told.map_err(|error| chain(&error))?;
        let token = told.token_endpoint().ok_or("it names no token endpoint")?;
        let token = token.clone();
        let places = [
            Some(told.authorization_endpoint().as_str()),
            Some(token.as_str()),
            Some(told.jwks_uri().as_str()),
            told.userinfo_endpoint().map(|url| url.as_str()),
        ];
        // In clear only where the issuer is, which is on this machine then.
        let secure = self.settings.issuer.as_str().starts_with("https://");
        for place in places.into_iter().flatten() {
            if !crate::https::may_ask(place) || (secure && !place.starts_with("https://")) {
                return Err(format!("{place} is no https:// URL"));
            }
        }
        let supported = told.id_token_signing_alg_values_supported();
        let algorithms = ALGORITHMS.into_iter().filter(|one| supported.contains(one));
        let algorithms: Vec<_> = algorithms.collect();
        if algorithms.is_empty() {
            return Err("it signs in no way that is known here".to_owned());
        }
        let extra = told.additional_metadata();
        let names_issuer = extra.authorization_response_iss_parameter_supported;
        let tells_more = told.userinfo_endpoint().is_some();
        let by_body = takes_only_bodies(told.token_endpoint_auth_methods_supported());
        let settings = &self.settings;
        let (id, secret) = (settings.client_id.clone(), settings.client_secret.clone());
        let client = CoreClient::from_provider_metadata(told, id, secret);
        let client = client
            .set_token_uri(token)
            .set_redirect_uri(settings.redirect_url.clone())
            .set_auth_type(match by_body {
                true => AuthType::RequestBody,
                false => AuthType::BasicAuth,
            });
        Ok(Known {
            client,
            algorithms,
            names_issuer,
            tells_more,
            at: self.clock.now(),
        })
    }
}

impl State {
    fn younger(&self, now: Moment, life: Duration) -> Option<Arc<Known>> {
        let known = self.known.as_ref()?;
        (now.since(known.at) < life).then(|| Arc::clone(known))
    }
}

/// A provider that names no method takes the header.
fn takes_only_bodies(methods: Option<&Vec<CoreClientAuthMethod>>) -> bool {
    methods.is_some_and(|methods| {
        methods.contains(&CoreClientAuthMethod::ClientSecretPost)
            && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
    })
}

/// An error and what it comes from. The library's errors repeat no bodies.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The library's questions, over our own client: one connection each, no redirects, a deadline, a
/// bounded answer.
pub(super) struct Line(Https);

impl<'c> AsyncHttpClient<'c> for Line {
    type Error = HttpsError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpsError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.send(request.map(Bytes::from)).await?;
            let mut response = HttpResponse::new(answer.body.to_vec());
            let status = hyper::StatusCode::from_u16(answer.status);
            *response.status_mut() = status.unwrap_or(hyper::StatusCode::BAD_GATEWAY);
            Ok(response)
        })
    }
}
