//! One conversation with one endpoint, from connecting to the first content that is owed to the
//! client. Who is asked, for how long and what is learned from it is decided around this.

use super::{ERROR_BODY_MAX, HELD_BACK_MAX, Job, verdict};
use crate::credential::Unsigned;
use crate::dialect::{self, Outgoing, Target, Translator};
use crate::failure::Failure;
use crate::metrics;
use crate::upstream::{Answer, Body, Request};
use bytes::BytesMut;
use shared::routing::Candidate;
use std::time::{Duration, Instant};

/// An endpoint's first words.
pub(super) struct First {
    /// Turns the rest of the body into the client's bytes.
    pub(super) translator: Box<dyn Translator>,
    /// The rest of the body.
    pub(super) body: Box<dyn Body>,
    /// Client bytes that are due now.
    pub(super) pending: BytesMut,
    /// True when the upstream body has ended.
    pub(super) ended: bool,
}

/// An attempt that failed.
pub(super) struct Broken {
    pub(super) failure: Box<Failure>,
    /// What a whole answer had said until then, as an answer that says so: better than none, where
    /// nobody else gives a better one.
    pub(super) remains: Option<Box<First>>,
    /// False when nothing has left for it.
    pub(super) sent: bool,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            remains: None,
            sent: true,
        }
    }
}

/// The request as the endpoint wants it.
///
/// # Errors
/// It can't be said there, or the client's options for it can't be put in.
pub(super) fn outgoing(job: &Job<'_>, candidate: &Candidate) -> Result<Outgoing, Failure> {
    let (endpoint, provider) = (&candidate.endpoint, &candidate.provider);
    let target = Target {
        endpoint,
        provider,
        generation: job.generation,
        created: job.created,
        max_tokens_clamp: (job.clamp)(candidate),
    };
    let mut outgoing = dialect::prepare(job.call, &target)?;
    let options = candidate.options(&job.call.demand.preferences);
    if !options.is_empty() {
        outgoing.body = dialect::options::spread(&outgoing.body, &options)
            .map_err(|error| Failure::invalid("provider.options", error.to_string()))?;
    }
    Ok(outgoing)
}

/// Asks the endpoint and waits for the first content, from when it began until the deadline.
pub(super) async fn content(
    job: &Job<'_>,
    candidate: &Candidate,
    outgoing: Outgoing,
    (begun, deadline): (Instant, Duration),
) -> Result<First, Broken> {
    let request = job.request(candidate, outgoing, deadline).await;
    let (request, translator) = request.map_err(|failure| Broken {
        sent: false,
        ..failure.into()
    })?;
    let answer = job.node.upstream.send(&request).await.map_err(|error| {
        tracing::debug!(endpoint = %candidate.endpoint.id, %error, "upstream leg failed");
        verdict::leg(&error)
    })?;
    job.node.allowed(candidate, &answer.headers);
    let left = deadline.saturating_sub(begun.elapsed());
    let first = tokio::time::timeout(left, read(candidate, answer, translator));
    first
        .await
        .unwrap_or_else(|_| Err(verdict::first_token_timeout(deadline).into()))
}

impl Job<'_> {
    async fn request(
        &self,
        candidate: &Candidate,
        outgoing: Outgoing,
        deadline: Duration,
    ) -> Result<(Request, Box<dyn Translator>), Failure> {
        let Outgoing {
            path,
            mut headers,
            body,
            translator,
        } = outgoing;
        let unsigned = Unsigned {
            path: &path,
            headers: &headers,
            body: &body,
        };
        let authorized = self.node.authorize(candidate, &unsigned);
        let authorized = tokio::time::timeout(deadline, authorized);
        let authorized = authorized
            .await
            .map_err(|_| verdict::first_token_timeout(deadline))??;
        headers.extend(authorized.headers);
        // The provider's logs and our usage records can then be matched.
        if let Ok(id) = http::HeaderValue::from_str(self.generation.as_str()) {
            headers.push((http::HeaderName::from_static("x-client-request-id"), id));
        }
        let timeouts = &candidate.provider.timeouts;
        let request = Request {
            base_url: authorized.base_url,
            path,
            headers,
            body,
            connect_timeout: timeouts.connect,
            head_timeout: deadline,
        };
        Ok((request, translator))
    }
}

/// Reads until the first content is there. What comes before it is held back.
async fn read(
    candidate: &Candidate,
    answer: Answer,
    mut translator: Box<dyn Translator>,
) -> Result<First, Broken> {
    let Answer {
        status,
        headers,
        mut body,
    } = answer;
    if status != 200 {
        let text = error_body(&mut *body).await;
        let failure = dialect::classify(&candidate.provider, status, &headers, &text);
        return Err(failure.into());
    }
    // What the body is, its first byte says: types of content lie.
    let mut pending = BytesMut::new();
    let mut ended = false;
    while !translator.progress().owed {
        match body.chunk().await.map_err(|error| verdict::leg(&error))? {
            Some(chunk) => translator.feed(&chunk, &mut pending)?,
            None => {
                ended = true;
                if let Err(failure) = translator.end(&mut pending) {
                    let remains = translator.concede(&failure).then(|| {
                        Box::new(First {
                            translator,
                            body,
                            pending: BytesMut::new(),
                            ended,
                        })
                    });
                    let failure = Box::new(failure);
                    return Err(Broken {
                        failure,
                        remains,
                        sent: true,
                    });
                }
                if !translator.progress().owed {
                    return Err(verdict::empty().into());
                }
            }
        }
        if pending.len() > HELD_BACK_MAX && !translator.progress().owed {
            metrics::shed("held_back");
            return Err(verdict::empty().into());
        }
    }
    Ok(First {
        translator,
        body,
        pending,
        ended,
    })
}

/// An error answer's body, as much of it as may be read.
async fn error_body(body: &mut dyn Body) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = body.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() >= ERROR_BODY_MAX {
            text.truncate(ERROR_BODY_MAX);
            break;
        }
    }
    text
}
