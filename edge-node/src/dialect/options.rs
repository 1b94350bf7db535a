//! `provider.options` in the request that leaves: members of the client's objects stand in the place
//! of the body's own of the same name, or behind them. One level deep, byte for byte.

use crate::wire::json::{Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Splices};
use bytes::Bytes;

/// The body with these objects spread over it, later ones over earlier ones.
///
/// # Errors
/// When one of them is not a JSON object.
pub(crate) fn spread(body: &Bytes, objects: &[&str]) -> Result<Bytes, SyntaxError> {
    let mut members: Vec<Member<'_>> = Vec::new();
    for object in objects {
        for member in Member::all(object)? {
            members.retain(|it| it.name != member.name);
            members.push(member);
        }
    }
    if members.is_empty() {
        return Ok(body.clone());
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    let mut splices = Splices::default();
    let mut scanner = Scanner::new(text);
    scanner.begin_object()?;
    let mut own = Members::new(scanner.at());
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let value = scanner.value()?;
        if members.iter().any(|it| it.name == *name) {
            own.remove(&mut splices, key.start, value.end);
        } else {
            own.keep(&mut splices, key.start, value.end);
        }
    }
    let mut tail = own.finish(&mut splices);
    for member in &members {
        tail.add(&mut splices, member.raw);
    }
    let mut spread =
        Vec::with_capacity(body.len() + objects.iter().map(|it| it.len()).sum::<usize>());
    splices.pieces(body, |piece| spread.extend_from_slice(piece));
    Ok(spread.into())
}

struct Member<'a> {
    name: String,
    /// Name and value.
    raw: &'a str,
}

impl<'a> Member<'a> {
    fn all(object: &'a str) -> Result<Vec<Self>, SyntaxError> {
        let mut all = Vec::new();
        let mut scanner = Scanner::new(object);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode().into_owned();
            let value = scanner.value()?;
            let span = Span {
                start: key.start,
                end: value.end,
            };
            all.push(Self {
                name,
                raw: scanner.raw(span),
            });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_replace_those_of_the_same_name_one_level_deep() {
        let check = |body: &str, objects: &[&str], expect: &str| {
            let spread = spread(&Bytes::copy_from_slice(body.as_bytes()), objects).unwrap();
            assert_eq!(std::str::from_utf8(&spread).unwrap(), expect);
        };
        check(r#"{ "a":1.0 }"#, &[], r#"{ "a":1.0 }"#);
        check(r#"{ "a":1.0 }"#, &["{}"], r#"{ "a":1.0 }"#);
        check("{}", &[r#"{"x": 1e5 }"#], r#"{"x": 1e5}"#);
        check(
            r#"{"a":{"b":1,"c":2}, "d":3}"#,
            &[r#"{"a":{"b":9}}"#],
            r#"{"d":3,"a":{"b":9}}"#,
        );
        check(
            r#"{"a":1,"b":2}"#,
            &[r#"{"b":3,"c":4}"#, r#"{"c":5}"#],
            r#"{"a":1,"b":3,"c":5}"#,
        );
        assert!(spread(&Bytes::from_static(b"[]"), &[r#"{"x":1}"#]).is_err());
    }
}
