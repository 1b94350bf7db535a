//! Pictures, films and documents of a message: the bytes themselves, in a format that is named. Links
//! are refused, because nothing is fetched here.

use crate::dialect::write::{put, refuse};
use crate::failure::Failure;
use crate::message::{Media, Source};
use crate::wire::json::{self, Str};

/// The longest name of a document, less its number.
const NAME_CHARS_MAX: usize = 180;

/// A picture.
///
/// # Errors
/// It is a link, or of a kind that is not taken.
pub(super) fn image(source: &Source<'_>, at: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
    let format = |media: &str| match media {
        "image/png" => Some("png"),
        "image/jpeg" | "image/jpg" => Some("jpeg"),
        "image/gif" => Some("gif"),
        "image/webp" => Some("webp"),
        _ => None,
    };
    put(out, &["{\"image\":{"]);
    inline(source, format, at, out)?;
    put(out, &["}}"]);
    Ok(())
}

/// A film.
///
/// # Errors
/// As [`image`].
pub(super) fn video(source: &Source<'_>, at: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
    let format = |media: &str| match media {
        "video/mp4" => Some("mp4"),
        "video/quicktime" => Some("mov"),
        "video/webm" => Some("webm"),
        "video/x-matroska" => Some("mkv"),
        "video/mpeg" => Some("mpeg"),
        "video/x-flv" => Some("flv"),
        "video/x-ms-wmv" => Some("wmv"),
        "video/3gpp" => Some("three_gp"),
        _ => None,
    };
    put(out, &["{\"video\":{"]);
    inline(source, format, at, out)?;
    put(out, &["}}"]);
    Ok(())
}

/// Names are letters, digits, single blanks and few signs, and no two are alike.
///
/// # Errors
/// As [`image`].
pub(super) fn document(
    source: &Source<'_>,
    (name, count): (Option<Str<'_>>, usize),
    at: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let format = |media: &str| match media {
        "application/pdf" => Some("pdf"),
        "text/csv" => Some("csv"),
        "text/html" => Some("html"),
        "text/markdown" => Some("md"),
        "text/plain" => Some("txt"),
        "application/msword" => Some("doc"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Some("docx"),
        "application/vnd.ms-excel" => Some("xls"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Some("xlsx"),
        _ => None,
    };
    put(out, &["{\"document\":{"]);
    inline(source, format, at, out)?;
    let safe = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let name = name.map(Str::decode).unwrap_or_default();
    let words = name.split(|c| !safe(c)).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let mut name: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() {
        name.push_str("document");
    }
    put(
        out,
        &[",\"name\":\"", &name, " ", &count.to_string(), "\"}}"],
    );
    Ok(())
}

/// Appends format and bytes.
fn inline(
    source: &Source<'_>,
    format: impl Fn(&str) -> Option<&'static str>,
    at: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let Media::Inline { media, data } = source.resolve() else {
        return Err(refuse(
            at,
            "needs the bytes themselves, as base64 in a data URL",
        ));
    };
    let Some(format) = format(&media.to_ascii_lowercase()) else {
        return Err(refuse(at, "does not take this media type"));
    };
    put(out, &["\"format\":\"", format, "\",\"source\":{\"bytes\":"]);
    json::write_string(out, &data);
    out.push(b'}');
    Ok(())
}
