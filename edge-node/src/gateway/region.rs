//! In-region requests: who asks at a host that begins with `eu.` or `us.` is served there or not at
//! all. It fails closed: by a node that surely stands there, at endpoints that surely serve there.

use crate::failure::{ErrorType, Failure, Fault};
use http::header;
use http::request::Parts;
use shared::catalog::DataRegion;
use shared::id::Region;

/// The region that the request must not leave.
///
/// # Errors
/// 403: this node is not known to stand there.
pub(crate) fn asked(head: &Parts, node: &Region) -> Result<Option<DataRegion>, Failure> {
    let host = head
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or_else(|| head.uri.host()).unwrap_or_default();
    let wanted = host.split_once('.').and_then(|(first, _)| {
        let first = first.to_ascii_lowercase();
        DataRegion::parse(&first)
    });
    match wanted {
        Some(region) if region.has_place(node.as_str()) != Some(true) => Err(outside(region)),
        wanted => Ok(wanted),
    }
}

fn outside(region: DataRegion) -> Failure {
    let text = format!("this node is not known to stand in region {region}");
    let kind = ErrorType::PermissionDenied;
    let mut failure = Failure::new(Fault::Caller, 403, kind, "region_restricted", text);
    failure.availability = Some("region_restricted");
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_host_names_a_region_and_the_node_must_stand_there() {
        let check = |host: &'static str, node: &str, expect: Result<Option<DataRegion>, u16>| {
            let request = Request::get("/api/v1/models").header(header::HOST, host);
            let head = request.body(()).unwrap().into_parts().0;
            let got = asked(&head, &node.into()).map_err(|failure| failure.status);
            assert_eq!(got, expect, "{host} {node}");
        };
        check("godwit.ai", "eu-west", Ok(None));
        check("eu.godwit.ai", "eu-west", Ok(Some(DataRegion::Eu)));
        check("EU.godwit.ai:8080", "eu-west", Ok(Some(DataRegion::Eu)));
        check("us.godwit.ai", "us-east", Ok(Some(DataRegion::Us)));
        check("us.godwit.ai", "eu-west", Err(403));
        check("eu.godwit.ai", "local", Err(403));
        check("europe.godwit.ai", "us-east", Ok(None));
        check("127.0.0.1:8080", "local", Ok(None));
    }
}
