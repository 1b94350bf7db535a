//! Pictures, sound, films and documents as `inlineData` or `fileData`. Links are passed on, not
//! fetched: the provider takes public ones, its own files and `gs://`.

use crate::dialect::write::{put, refuse};
use crate::failure::Failure;
use crate::message::{Media, Part, Source};
use crate::wire::json::{self, Str};

/// Media types by the end of a name.
const TYPES: [(&str, &str); 28] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("json", "application/json"),
    ("xml", "text/xml"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/flac"),
    ("aiff", "audio/aiff"),
    ("m4a", "audio/m4a"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mov", "video/mov"),
    ("avi", "video/avi"),
    ("webm", "video/webm"),
    ("wmv", "video/wmv"),
    ("flv", "video/x-flv"),
];

/// Appends the member of a part that holds the media.
///
/// # Errors
/// It comes from where this dialect can't get it, or the part is none of media.
pub(super) fn member(part: &Part<'_>, place: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
    match part {
        Part::Image { source, .. } => write(source, None, "image/jpeg", place, out),
        Part::Video { source, .. } => write(source, None, "video/mp4", place, out),
        Part::File { source, name, .. } => write(source, *name, "application/pdf", place, out),
        Part::Audio { data, format, .. } => {
            let media = sound(&format.decode());
            inline(&media, data.raw(), out);
            Ok(())
        }
        _ => Err(refuse(place, "does not take this kind of content")),
    }
}

/// The media type of an audio format.
fn sound(format: &str) -> String {
    match format {
        "pcm16" | "pcm" => "audio/pcm".to_owned(),
        "mpeg" | "mpga" => "audio/mp3".to_owned(),
        known => format!("audio/{known}"),
    }
}

fn write(
    source: &Source<'_>,
    name: Option<Str<'_>>,
    usual: &str,
    place: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let by_name = || name.and_then(|name| by_end(&name.decode()));
    match source.resolve() {
        Media::Inline { media, data } => {
            let says_nothing = media.is_empty() || media == "application/octet-stream";
            let named = by_name().filter(|_| says_nothing);
            let media = match named {
                Some(known) => known,
                None if media.is_empty() => usual,
                None => &media,
            };
            let mut quoted = Vec::with_capacity(data.len() + 2);
            json::write_string(&mut quoted, &data);
            inline(media, &String::from_utf8(quoted).unwrap_or_default(), out);
            Ok(())
        }
        Media::Url(url) if is_link(&url) => {
            let media = by_end(&url).or_else(by_name).unwrap_or(usual);
            link(&url, media, out);
            Ok(())
        }
        Media::Id(id) if id.starts_with("files/") || is_link(&id) => {
            link(&id, by_name().unwrap_or(usual), out);
            Ok(())
        }
        Media::Url(_) => Err(refuse(place, "needs a link or base64 in a data URL")),
        Media::Id(_) => Err(refuse(place, "does not know files of other providers")),
    }
}

fn is_link(url: &str) -> bool {
    ["https://", "http://", "gs://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
}

/// The media type that the end of a name or of a link's path tells.
fn by_end(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next().unwrap_or(name);
    let (_, end) = path.rsplit_once('.')?;
    let mut all = TYPES.iter();
    all.find(|(known, _)| known.eq_ignore_ascii_case(end))
        .map(|(_, media)| *media)
}

/// `data` has its quotes.
fn inline(media: &str, data: &str, out: &mut Vec<u8>) {
    put(out, &["\"inlineData\":{\"mimeType\":"]);
    json::write_string(out, media);
    put(out, &[",\"data\":", data, "}"]);
}

fn link(url: &str, media: &str, out: &mut Vec<u8>) {
    put(out, &["\"fileData\":{\"mimeType\":"]);
    json::write_string(out, media);
    put(out, &[",\"fileUri\":"]);
    json::write_string(out, url);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_type() {
        assert_eq!(by_end("https://x.y/a.PNG?b=c.pdf"), Some("image/png"));
        assert_eq!(by_end("a.tar.csv"), Some("text/csv"));
        assert_eq!(by_end("https://x.y/a"), None);
        assert_eq!(by_end("none"), None);
    }
}
