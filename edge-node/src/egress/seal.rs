//! Reasoning of other makers on its way through the Messages API, which has no place for whose it
//! is: kind, format and id are put into the signature (or the data), and taken out again when the
//! client gives the block back. What Anthropic signed itself is never touched.

use crate::message::{Detail, DetailKind, Escaped, Thought};
use crate::wire::json::{self, Kind, Scanner, Str};

/// How a seal begins.
const MARK: &str = "gw1:";
/// Whose form needs no seal.
const OWN: &str = "anthropic";

/// The form of Anthropic's own thoughts.
pub(crate) fn anthropic() -> Str<'static> {
    let text = Scanner::new("\"anthropic-claude-v1\"").string();
    text.unwrap_or(Str::EMPTY)
}

/// True for what the Messages API has words for.
pub(crate) fn is_own(detail: &Detail<'_>) -> bool {
    detail.format.0.starts_with(OWN)
}

/// The JSON texts of a list, each as written; none where it is no list.
pub(crate) fn blocks(list: &str) -> Option<Vec<&str>> {
    json::check(list).ok().filter(|kind| *kind == Kind::Array)?;
    let mut scanner = Scanner::new(list);
    let mut all = Vec::new();
    scanner.begin_array().ok()?;
    while scanner.element().ok()? {
        let span = scanner.value().ok()?;
        all.push(scanner.raw(span));
    }
    Some(all)
}

/// What to give in place of a signature or data, as the inside of a JSON string.
pub(crate) fn close(detail: &Detail<'_>, data: Escaped<'_>) -> String {
    if is_own(detail) {
        return data.0.to_owned();
    }
    let mut inner = format!(r#"{{"kind":"{}""#, detail.kind.as_str()).into_bytes();
    // Written anew: the same thought has the same seal however its provider spells it.
    for (name, text) in [("format", detail.format), ("id", detail.id), ("data", data)] {
        inner.extend_from_slice(format!(",\"{name}\":").as_bytes());
        json::write_string(&mut inner, &text.decode());
    }
    inner.push(b'}');
    let mut out = MARK.as_bytes().to_vec();
    json::write_escaped(&mut out, std::str::from_utf8(&inner).unwrap_or(""));
    String::from_utf8(out).unwrap_or_default()
}

/// What one seal holds, a JSON object, and where its string stands in the client's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    at: usize,
    inner: String,
}

/// Opens a signature or data that stands at `at`; none unless it was sealed here. An empty one
/// belongs to a thought of nobody.
pub(crate) fn open(text: Str<'_>, at: usize) -> Option<Seal> {
    if text.is_empty() {
        let inner = "{}".to_owned();
        return Some(Seal { at, inner });
    }
    if !text.inner().starts_with(MARK) {
        return None;
    }
    let text = text.decode();
    let inner = text.strip_prefix(MARK)?.to_owned();
    (json::check(&inner) == Ok(Kind::Object)).then_some(Seal { at, inner })
}

/// The contents of a seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    kind: DetailKind,
    format: Option<Str<'a>>,
    id: Option<Str<'a>>,
    data: Option<Str<'a>>,
}

/// The seal of the string that stands at `at`.
pub(crate) fn find(seals: &[Seal], at: usize) -> Option<Sealed<'_>> {
    let seal = seals.iter().find(|seal| seal.at == at)?;
    read(&mut Scanner::new(&seal.inner)).ok()
}

fn read<'a>(scanner: &mut Scanner<'a>) -> Result<Sealed<'a>, json::SyntaxError> {
    let mut sealed = Sealed {
        kind: DetailKind::Text,
        format: None,
        id: None,
        data: None,
    };
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if scanner.kind()? != Kind::String {
            scanner.value()?;
            continue;
        }
        let text = Some(scanner.string()?).filter(|text| !text.is_empty());
        match &*key.name.decode() {
            "kind" => {
                let known = [
                    DetailKind::Text,
                    DetailKind::Summary,
                    DetailKind::Encrypted,
                    DetailKind::Tool,
                ];
                let named = |kind: &DetailKind| text.is_some_and(|t| t.decode() == kind.as_str());
                sealed.kind = known.into_iter().find(named).unwrap_or(DetailKind::Text);
            }
            "format" => sealed.format = text,
            "id" => sealed.id = text,
            "data" => sealed.data = text,
            _ => {}
        }
    }
    Ok(sealed)
}

impl<'a> Sealed<'a> {
    /// The thought again; `text` is what the client could read of it.
    pub(crate) fn thought(self, text: Option<Str<'a>>) -> Thought<'a> {
        let encrypted = matches!(self.kind, DetailKind::Encrypted | DetailKind::Tool);
        let texts = if encrypted { self.data } else { text };
        Thought {
            kind: self.kind,
            texts: texts.into_iter().collect(),
            signature: self.data.filter(|_| !encrypted),
            id: self.id,
            format: self.format,
            raw: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_gives_back_what_was_put_in() {
        for kind in [DetailKind::Text, DetailKind::Summary, DetailKind::Encrypted] {
            let detail = Detail {
                index: 3,
                kind,
                id: Escaped(r"call\n1"),
                format: Escaped("google-gemini-v1"),
            };
            let sealed = close(&detail, Escaped(r#"a\"b\\c\u00e9"#));
            let body = format!("\"{sealed}\"");
            let seal = open(Scanner::new(&body).string().unwrap(), 17).unwrap();
            assert!(find(std::slice::from_ref(&seal), 16).is_none());
            let seals = [seal];
            let thought = find(&seals, 17).unwrap().thought(Some(Str::EMPTY));
            assert_eq!(thought.kind, kind);
            assert_eq!(thought.id.unwrap().decode(), "call\n1");
            assert_eq!(thought.format.unwrap().decode(), "google-gemini-v1");
            let data = if kind == DetailKind::Encrypted {
                assert_eq!(thought.signature, None);
                thought.texts[0]
            } else {
                thought.signature.unwrap()
            };
            assert_eq!(data.decode(), "a\"b\\c\u{e9}");
        }
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let own = Detail {
            index: 0,
            kind: DetailKind::Text,
            id: Escaped(""),
            format: Escaped("anthropic-claude-v1"),
        };
        assert_eq!(close(&own, Escaped("EuY=")), "EuY=");
        for raw in ["\"EuY=\"", "\"gw1:\"", "\"gw1:{\""] {
            assert_eq!(open(Scanner::new(raw).string().unwrap(), 0), None, "{raw}");
        }
    }
}
