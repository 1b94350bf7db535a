//! Everything that is not inference: the catalogue's listings from the node's view, and precise
//! answers for paths that are unknown, come later or want another method.

use crate::client::Client;
use crate::failure::{ErrorType, Failure, Fault};
use crate::gateway::route::Route;
use crate::node::Node;

/// Answers a route that is no inference.
///
/// # Errors
/// No such path, model or method; or the client has gone.
pub async fn answer(node: &Node, client: &mut Client<'_>, route: &Route) -> Result<(), Failure> {
    let view = node.view();
    client.decided_by(view.snapshot.version());
    match route {
        Route::Later(what) => Err(later(what)),
        Route::Method(allowed) => Err(wrong_method(allowed)),
        _ => Err(unknown()),
    }
}

fn unknown() -> Failure {
    let text = "no such path; the API is under /api/v1 and /v1";
    Failure::new(
        Fault::Caller,
        404,
        ErrorType::NotFound,
        "unknown_path",
        text,
    )
}

fn later(what: &str) -> Failure {
    let text = format!("{what}: not available in this version");
    Failure::new(
        Fault::Caller,
        501,
        ErrorType::Unmapped,
        "not_available",
        text,
    )
}

fn wrong_method(allowed: &str) -> Failure {
    let text = format!("this path takes {allowed}");
    Failure::new(
        Fault::Caller,
        405,
        ErrorType::InvalidRequest,
        "method",
        text,
    )
}
