//! Pictures and documents. A document is a PDF, a text or a link; what clients send as a file and is
//! a picture goes as that.

use crate::dialect::anthropic_messages::messages::cache;
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{Media, Place, Source};
use crate::wire::json::{self, Str};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Appends a picture.
pub(super) fn picture(
    source: &Source<'_>,
    mark: Option<&str>,
    place: Place,
    list: &mut List,
) -> Result<(), Failure> {
    let source = written(&source.resolve(), place)?;
    block(("image", &source), (None, mark), list);
    Ok(())
}

/// Appends a document with its title.
pub(super) fn document(
    source: &Source<'_>,
    (name, mark): (Option<Str<'_>>, Option<&str>),
    place: Place,
    list: &mut List,
) -> Result<(), Failure> {
    let media = source.resolve();
    let kind = match &media {
        Media::Inline { media, .. } => &**media,
        Media::Url(_) | Media::Id(_) => "application/pdf",
    };
    if kind.starts_with("image/") {
        let source = written(&media, place)?;
        block(("image", &source), (None, mark), list);
        return Ok(());
    }
    let source = match &media {
        Media::Inline { data, .. } if is_text(kind) => text(data, place)?,
        _ if kind == "application/pdf" => written(&media, place)?,
        _ => return Err(refuse(&at(place), "takes documents that are PDFs or texts")),
    };
    block(("document", &source), (name, mark), list);
    Ok(())
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || matches!(kind, "application/json" | "application/xml")
}

fn at(place: Place) -> String {
    format!("{place}.content")
}

/// A text, which stands here as it is.
fn text(data: &str, place: Place) -> Result<String, Failure> {
    let bytes = STANDARD.decode(data.as_bytes()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| refuse(&at(place), "takes texts in UTF-8"))?;
    let mut out = b"{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":".to_vec();
    json::write_string(&mut out, &text);
    out.push(b'}');
    Ok(String::from_utf8(out).unwrap_or_default())
}

fn block(
    (kind, source): (&str, &str),
    (name, mark): (Option<Str<'_>>, Option<&str>),
    list: &mut List,
) {
    let out = list.item();
    put(out, &["{\"type\":\"", kind, "\",\"source\":", source]);
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        put(out, &[",\"title\":", name.raw()]);
    }
    cache(mark, out);
    out.push(b'}');
}

/// Where a picture or document comes from.
fn written(media: &Media<'_>, place: Place) -> Result<String, Failure> {
    let mut out = Vec::new();
    match media {
        Media::Url(url) if url.starts_with("https://") || url.starts_with("http://") => {
            put(&mut out, &["{\"type\":\"url\",\"url\":"]);
            json::write_string(&mut out, url);
        }
        Media::Inline { media, data } => {
            out.reserve(data.len() + 64);
            put(&mut out, &["{\"type\":\"base64\",\"media_type\":"]);
            json::write_string(&mut out, media);
            put(&mut out, &[",\"data\":"]);
            json::write_string(&mut out, data);
        }
        Media::Id(id) => {
            put(&mut out, &["{\"type\":\"file\",\"file_id\":"]);
            json::write_string(&mut out, id);
        }
        Media::Url(_) => {
            let why = "needs an http(s) URL or base64 in a data URL";
            return Err(refuse(&at(place), why));
        }
    }
    out.push(b'}');
    Ok(String::from_utf8(out).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::dialect::fixture::Fixture;
    use serde_json::{Value, json};
    use shared::catalog::Dialect;

    #[test]
    fn files_become_what_they_are() {
        let sent = |url: &str| {
            let file = json!({ "type": "file", "file": { "filename": "f", "file_data": url } });
            let request = json!({
                "model": "a/b", "messages": [{ "role": "user", "content": [file] }],
            });
            let body = Fixture::new(Dialect::AnthropicMessages).body(&request.to_string());
            let body: Value = serde_json::from_str(&body?).unwrap();
            Ok::<_, crate::failure::Failure>(body["messages"][0]["content"][0].clone())
        };
        let block = |kind: &str, source: Value| {
            let mut block = json!({ "type": kind, "source": source });
            if kind == "document" {
                block["title"] = "f".into();
            }
            block
        };
        let base64 = |media: &str| json!({ "type": "base64", "media_type": media, "data": "aMOp" });
        let pdf = block("document", base64("application/pdf"));
        assert_eq!(sent("data:application/pdf;base64,aMOp").unwrap(), pdf);
        let picture = block("image", base64("image/png"));
        assert_eq!(sent("data:image/png;base64,aMOp").unwrap(), picture);
        let text = json!({ "type": "text", "media_type": "text/plain", "data": "hé" });
        for kind in ["text/csv", "application/json"] {
            let url = format!("data:{kind};base64,aMOp");
            assert_eq!(sent(&url).unwrap(), block("document", text.clone()));
        }
        let link = block(
            "document",
            json!({ "type": "url", "url": "https://x/f.pdf" }),
        );
        assert_eq!(sent("https://x/f.pdf").unwrap(), link);
        let failure = sent("data:application/zip;base64,aMOp").unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("messages[0].content"));
    }
}
