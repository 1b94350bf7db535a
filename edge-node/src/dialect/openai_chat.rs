//! OpenAI's chat completions as an upstream. For clients that speak the same, bytes pass both ways
//! but for declared splices; for others the body is composed and the answer read. What providers of
//! this dialect do differently is handled in this folder: in place, without a tree.

mod compose;
mod content;
mod counts;
mod demands;
mod executed;
mod read;
mod request;
mod stream;
mod thinking;
mod walk;
mod whole;

#[cfg(test)]
mod tests;

pub(super) use read::Answer;
pub(super) use thinking::{effort, takes_effort, word};

use crate::dialect::{Outgoing, Target, Translator, accepted, search, translate};
use crate::failure::Failure;
use crate::ingress::{self, Api, Call};
use crate::wire::sse;
use bytes::Bytes;

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let (body, translator) = if call.api == Api::Chat {
        demands::check(call, demands::forces_raw(call, call.text()), target)?;
        let search = search::options(call, target)?;
        (request::body(call, target, search), spliced(call, target))
    } else {
        composed(call, target)?
    };
    let path = "/chat/completions".to_owned();
    Ok(Outgoing::json(path, accepted(call), body, translator))
}

fn spliced(call: &Call, target: &Target<'_>) -> Box<dyn Translator> {
    let walker = walk::Walker::new(call, target);
    if call.stream {
        Box::new(stream::Stream::new(walker))
    } else {
        let spare = translate::Spare::new(read::Answer::new(target), call, target);
        Box::new(whole::Whole::new(walker, spare))
    }
}

/// The body for a call of another API, and the translator of its answer.
fn composed(call: &Call, target: &Target<'_>) -> Result<(Bytes, Box<dyn Translator>), Failure> {
    let request = ingress::request(call)?;
    demands::check(call, demands::forces(&request), target)?;
    let body = compose::body(&request, target)?.into();
    let reader = Answer::new(target).stopping_at(&request.stop);
    let translator = translate::translator::<sse::Parser, _>(reader, call, target);
    Ok((body, translator))
}
