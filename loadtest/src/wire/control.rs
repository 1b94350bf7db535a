//! The proxy's control interface over HTTP: `PUT /_wire` sets the weather, `DELETE /_wire` clears
//! it, `GET /_wire` shows weather and traffic. For people and scripts; tests call [`Wire`].

use super::{Weather, Wire};
use crate::server::{Answer, Cut};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;

/// Largest control body, bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Serves the control interface of one proxy.
pub struct WireControl(pub Arc<Wire>);

impl Answer for WireControl {
    type Body =
        http_body_util::combinators::MapErr<Full<Bytes>, fn(std::convert::Infallible) -> io::Error>;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Self::Body> {
        let (status, body) = self.respond(request).await;
        let never: fn(std::convert::Infallible) -> io::Error = |never| match never {};
        let mut response = Response::new(Full::from(body.to_string()).map_err(never));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
        response
    }
}

impl WireControl {
    async fn respond(&self, request: Request<Incoming>) -> (StatusCode, Value) {
        let shown = |wire: &Wire| json!({"weather": wire.weather(), "traffic": wire.traffic()});
        if request.uri().path() != "/_wire" {
            return (StatusCode::NOT_FOUND, json!({"error": "unknown path"}));
        }
        match *request.method() {
            Method::GET => {}
            Method::DELETE => self.0.set(Weather::default()),
            Method::PUT => {
                let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
                    .collect()
                    .await;
                let body = body
                    .map(http_body_util::Collected::to_bytes)
                    .unwrap_or_default();
                match serde_json::from_slice(&body) {
                    Ok(weather) => self.0.set(weather),
                    Err(error) => {
                        let message = error.to_string();
                        return (StatusCode::BAD_REQUEST, json!({"error": message}));
                    }
                }
            }
            _ => {
                return (
                    StatusCode::METHOD_NOT_ALLOWED,
                    json!({"error": "unknown method"}),
                );
            }
        }
        (StatusCode::OK, shown(&self.0))
    }
}
