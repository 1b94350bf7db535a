//! What a request begins with where it does not say: its workspace's default model and order of
//! providers. A model is written into the body, so that everything after reads it there; whatever
//! the request says itself stands.

use super::Api;
use crate::wire::json::{Kind, Scanner, SyntaxError, write_escaped};
use bytes::Bytes;
use shared::policy::Settings;
use shared::ranking::Mode;
use shared::routing::{DefaultSort, Preferences};

/// The body with the default model, where it names none. What can't be read stays as it is: the
/// parse says what is wrong with it.
#[must_use]
pub fn with_model(api: Api, settings: &Settings, body: Bytes) -> Bytes {
    let talks = !matches!(api, Api::Embeddings | Api::Rerank);
    let knows = settings.default_text_model.is_some() || settings.default_image_model.is_some();
    if !talks || !knows {
        return body;
    }
    let Ok(text) = simdutf8::basic::from_utf8(&body) else {
        return body;
    };
    let Ok(Some((at, draws, empty))) = unnamed(text) else {
        return body;
    };
    let model = if draws {
        &settings.default_image_model
    } else {
        &settings.default_text_model
    };
    let (Some(model), Some((before, after))) = (model, text.split_at_checked(at)) else {
        return body;
    };
    let mut out = Vec::with_capacity(body.len() + model.len() + 16);
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(b"\"model\":\"");
    write_escaped(&mut out, model);
    out.extend_from_slice(if empty { b"\"" } else { b"\"," });
    out.extend_from_slice(after.as_bytes());
    out.into()
}

/// Where a body that names no model begins to have members, whether pictures are asked for, and
/// whether it has none.
fn unnamed(text: &str) -> Result<Option<(usize, bool, bool)>, SyntaxError> {
    let mut scanner = Scanner::new(text);
    if scanner.kind()? != Kind::Object {
        return Ok(None);
    }
    scanner.begin_object()?;
    let (at, mut draws, mut empty) = (scanner.at(), false, true);
    while let Some(key) = scanner.key()? {
        empty = false;
        match (&*key.name.decode(), scanner.kind()?) {
            ("model" | "models", _) => return Ok(None),
            ("modalities", Kind::Array) => {
                scanner.begin_array()?;
                while scanner.element()? {
                    if scanner.kind()? == Kind::String {
                        draws |= scanner.string()?.decode() == "image";
                    } else {
                        scanner.value()?;
                    }
                }
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(Some((at, draws, empty)))
}

/// How it is sorted where neither the request, its model's suffix nor its tier says so.
pub fn sort(settings: &Settings, preferences: &mut Preferences) {
    preferences.default_sort = match settings.default_provider_sort.as_deref() {
        Some("price") => Some(DefaultSort::By(Mode::Price)),
        Some("latency") => Some(DefaultSort::By(Mode::Latency)),
        Some("throughput") => Some(DefaultSort::By(Mode::Throughput)),
        Some("exacto") => Some(DefaultSort::Exacto),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            default_text_model: Some("a/b".to_owned()),
            default_image_model: Some("a/draws".to_owned()),
            default_provider_sort: Some("price".to_owned()),
        }
    }

    #[track_caller]
    fn check(body: &'static str, expect: &str) {
        let done = with_model(Api::Chat, &settings(), Bytes::from_static(body.as_bytes()));
        assert_eq!(done, expect.as_bytes());
    }

    #[test]
    fn who_names_no_model_gets_the_default() {
        check(
            r#" { "messages":[{"model":1}]}"#,
            r#" {"model":"a/b", "messages":[{"model":1}]}"#,
        );
        check("{}", r#"{"model":"a/b"}"#);
        check(
            r#"{"modalities":["text","image"]}"#,
            r#"{"model":"a/draws","modalities":["text","image"]}"#,
        );
        for same in [
            r#"{"x":1,"model":"c/d"}"#,
            r#"{"models":["c/d"]}"#,
            r#"{"model":null}"#,
            "[]",
            "{",
        ] {
            check(same, same);
        }
        let body = Bytes::from_static(b"{}");
        assert_eq!(with_model(Api::Rerank, &settings(), body), "{}");
    }

    #[test]
    fn the_default_stands_beside_what_the_request_says() {
        let mut preferences = Preferences {
            sort: Some(Mode::Latency),
            ..Preferences::default()
        };
        sort(&settings(), &mut preferences);
        assert_eq!(
            (preferences.sort, preferences.default_sort),
            (Some(Mode::Latency), Some(DefaultSort::By(Mode::Price)))
        );
    }
}
