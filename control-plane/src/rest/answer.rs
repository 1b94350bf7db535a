//! The shapes of answers that the routes share: one thing, one that was made, a page of many, and
//! that something is gone.

use super::read::Query;
use super::{Answer, Refused};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json as literal;

/// Things in a page when none is asked for, and at most.
const PAGE: (u64, u64) = (50, 100);

#[derive(Serialize)]
struct Data<'a, T: Serialize> {
    data: &'a T,
}

/// A JSON answer. What it says is somebody's own, and changes.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut headers = HeaderMap::new();
    let set = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, set("application/json"));
    headers.insert(header::CACHE_CONTROL, set("no-store"));
    match serde_json::to_vec(body) {
        Ok(body) => (status, headers, body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written");
            Refused::internal().into_response()
        }
    }
}

/// `{"data": …}`.
pub(super) fn data(data: &impl Serialize) -> Response {
    json(StatusCode::OK, &Data { data })
}

/// The same of what was made just now.
pub(super) fn made(data: &impl Serialize) -> Response {
    json(StatusCode::CREATED, &Data { data })
}

/// It is gone.
pub(super) fn deleted() -> Response {
    json(StatusCode::OK, &literal!({ "deleted": true }))
}

/// The page that `limit` and `offset` ask for, and how many there are in all.
pub(super) fn page<T, Told: Serialize>(
    query: &Query,
    all: Vec<T>,
    told: impl FnMut(T) -> Told,
) -> Answer {
    #[derive(Serialize)]
    struct Page<Told> {
        data: Vec<Told>,
        total_count: usize,
    }
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let limit = number(query.number("limit")?.unwrap_or(PAGE.0).min(PAGE.1));
    let offset = number(query.number("offset")?.unwrap_or(0));
    let total_count = all.len();
    let data = all.into_iter().skip(offset).take(limit).map(told).collect();
    Ok(json(StatusCode::OK, &Page { data, total_count }))
}
