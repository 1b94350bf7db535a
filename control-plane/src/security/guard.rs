//! The door of each gRPC service: who may call it at all. Discovery, telemetry and ledger are for
//! edges; admin is for operators, by certificate or by token. A service behind a guard finds the
//! [`Caller`] in the request and checks what only it can see, such as the node id in a message.

use super::token::TokenCheck;
use super::{AdminToken, Identity, Peer, Role};
use metrics::counter;
use shared::id::NodeId;
use std::sync::Arc;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Calls that a guard has refused, by `service` and `reason`.
pub const REFUSED_CALLS: &str = "godwit_control_refused_calls_total";

/// Makes the doors. Cheap to clone.
#[derive(Clone, Default)]
pub struct Guard {
    token: Option<Arc<TokenCheck>>,
}

impl Guard {
    /// A guard that admits operators by certificate, and by `token` if there is one.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn new(token: Option<&AdminToken>) -> Result<Self, ring::error::Unspecified> {
        let token = token.map(TokenCheck::new).transpose()?.map(Arc::new);
        Ok(Self { token })
    }

    /// The door for edges only, by certificate only.
    #[must_use]
    pub fn edges(&self) -> EdgeDoor {
        EdgeDoor
    }

    /// The door for operators, by certificate or token.
    #[must_use]
    pub fn operators(&self) -> OperatorDoor {
        OperatorDoor {
            token: self.token.clone(),
        }
    }
}

/// Who calls, as the door has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// By certificate.
    Certified(Identity),
    /// By the admin token.
    Token,
}

impl Caller {
    /// Who did it, for the audit log.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Certified(identity) => identity.to_string(),
            Self::Token => "operator/token".to_owned(),
        }
    }
}

/// Admits edges.
#[derive(Clone, Copy)]
pub struct EdgeDoor;

impl Interceptor for EdgeDoor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match identity(&request) {
            Some(identity) if identity.role == Role::Edge => {
                request.extensions_mut().insert(Caller::Certified(identity));
                Ok(request)
            }
            Some(identity) => {
                counter!(REFUSED_CALLS, "service" => "edge", "reason" => "role").increment(1);
                Err(Status::permission_denied(format!(
                    "this service is for edges; the certificate is of {identity}"
                )))
            }
            None => {
                counter!(REFUSED_CALLS, "service" => "edge", "reason" => "unknown").increment(1);
                Err(Status::unauthenticated(
                    "this service needs an edge's client certificate",
                ))
            }
        }
    }
}

/// Admits operators.
#[derive(Clone)]
pub struct OperatorDoor {
    token: Option<Arc<TokenCheck>>,
}

impl Interceptor for OperatorDoor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let caller = self.admit(&request)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

impl OperatorDoor {
    fn admit(&self, request: &Request<()>) -> Result<Caller, Status> {
        if let Some(shown) = bearer(request) {
            // A wrong token is refused even beside a good certificate: somebody is mistaken.
            if self.token.as_ref().is_some_and(|token| token.admits(shown)) {
                return Ok(Caller::Token);
            }
            counter!(REFUSED_CALLS, "service" => "admin", "reason" => "token").increment(1);
            return Err(Status::unauthenticated("this is not the admin token"));
        }
        match identity(request) {
            Some(identity) if identity.role == Role::Operator => Ok(Caller::Certified(identity)),
            Some(identity) => {
                counter!(REFUSED_CALLS, "service" => "admin", "reason" => "role").increment(1);
                Err(Status::permission_denied(format!(
                    "admin is for operators; the certificate is of {identity}"
                )))
            }
            None => {
                counter!(REFUSED_CALLS, "service" => "admin", "reason" => "unknown").increment(1);
                Err(Status::unauthenticated(
                    "admin needs an operator's client certificate or the admin token",
                ))
            }
        }
    }
}

/// Who called.
///
/// # Errors
/// `unauthenticated` when the request came in through no door.
pub fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("nobody has been authenticated"))
}

/// The node of the edge that called.
///
/// # Errors
/// `unauthenticated` or `permission_denied` when it is no edge.
pub fn node_of<T>(request: &Request<T>) -> Result<NodeId, Status> {
    match caller_of(request)? {
        Caller::Certified(Identity {
            role: Role::Edge,
            name,
        }) => Ok(NodeId::from(name)),
        Caller::Certified(_) | Caller::Token => {
            Err(Status::permission_denied("only an edge may call this"))
        }
    }
}

/// Checks that a message speaks for the node that has sent it.
///
/// # Errors
/// `permission_denied` when it names another node.
pub fn must_be_own(node: &NodeId, named: &str) -> Result<(), Status> {
    if node.as_str() == named {
        return Ok(());
    }
    counter!(REFUSED_CALLS, "service" => "edge", "reason" => "node").increment(1);
    Err(Status::permission_denied(format!(
        "the certificate is of edge/{node}, which may not speak for another node"
    )))
}

fn identity(request: &Request<()>) -> Option<Identity> {
    request.extensions().get::<Peer>()?.identity.clone()
}

fn bearer(request: &Request<()>) -> Option<&str> {
    let value = request.metadata().get("authorization")?;
    // An unreadable header is a wrong token, not an absent one.
    let text = value.to_str().unwrap_or_default();
    Some(text.strip_prefix("Bearer ").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(identity: Option<Identity>, authorization: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(Peer {
            address: "127.0.0.1:1".parse().unwrap(),
            identity,
        });
        if let Some(text) = authorization {
            let value = text.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    #[test]
    fn doors_by_role() {
        let folder = tempfile::tempdir().unwrap();
        let token = AdminToken::ensure(&folder.path().join("token")).unwrap();
        let right = format!("Bearer {}", token.reveal());
        let guard = Guard::new(Some(&token)).unwrap();
        let of = |role| Identity::new(role, "a");
        let (edge, operator) = (of(Role::Edge), of(Role::Operator));
        // Identity, header, may pass the edges' door, the operators' door.
        let cases = [
            (edge.clone(), None, true, false),
            (operator.clone(), None, false, true),
            (of(Role::Control), None, false, false),
            (None, None, false, false),
            (None, Some(right.as_str()), false, true),
            (None, Some("Bearer gwa-0"), false, false),
            (None, Some("Bearer "), false, false),
            (None, Some(token.reveal()), false, false),
            (edge.clone(), Some(right.as_str()), true, true),
            (operator, Some("Bearer gwa-0"), false, false),
        ];
        for (identity, header, edges, operators) in cases {
            let at_edges = guard.edges().call(request(identity.clone(), header));
            assert_eq!(at_edges.is_ok(), edges, "{identity:?} {header:?}");
            let at_operators = guard.operators().call(request(identity.clone(), header));
            assert_eq!(at_operators.is_ok(), operators, "{identity:?} {header:?}");
        }
        let mut none = Guard::default().operators();
        assert!(none.call(request(None, Some(&right))).is_err());

        let inside = guard.edges().call(request(edge, None)).unwrap();
        let node = node_of(&inside).unwrap();
        assert!(must_be_own(&node, "a").is_ok());
        assert!(must_be_own(&node, "b").is_err());
        assert!(node_of(&request(None, None)).is_err());
    }
}
