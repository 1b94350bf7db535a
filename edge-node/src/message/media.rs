//! Media and JSON texts inside a message: kept in the form in which the client wrote them, and
//! brought into the one that a dialect needs.

use crate::wire::json::{self, Str};
use std::borrow::Cow;

/// Where a picture, film or document comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// `https://…`, `gs://…` or `data:TYPE;base64,…`.
    Url(Str<'a>),
    /// Base64, its media type apart.
    Inline {
        /// The media type.
        media: Str<'a>,
        /// The bytes.
        data: Str<'a>,
    },
    /// A file that was given to the provider before.
    Id(Str<'a>),
}

/// A source, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Media<'a> {
    /// A link, or a data URL that is not base64.
    Url(Cow<'a, str>),
    /// The bytes themselves.
    Inline {
        /// The media type, without parameters.
        media: Cow<'a, str>,
        /// Base64.
        data: Cow<'a, str>,
    },
    /// A file that was given to the provider before.
    Id(Cow<'a, str>),
}

impl<'a> Source<'a> {
    /// What it is, whichever way the client wrote it.
    #[must_use]
    pub fn resolve(&self) -> Media<'a> {
        match self {
            Self::Id(id) => Media::Id(id.decode()),
            Self::Inline { media, data } => Media::Inline {
                media: media.decode(),
                data: data.decode(),
            },
            Self::Url(url) => match url.decode() {
                Cow::Borrowed(url) => match split(url) {
                    Some((media, data)) => Media::Inline {
                        media: media.into(),
                        data: data.into(),
                    },
                    None => Media::Url(url.into()),
                },
                Cow::Owned(url) => match split(&url) {
                    Some((media, data)) => Media::Inline {
                        media: media.to_owned().into(),
                        data: data.to_owned().into(),
                    },
                    None => Media::Url(url.into()),
                },
            },
        }
    }

    /// Appends it as one URL, a JSON string; false, and nothing written, for an id.
    pub fn write_url(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Id(_) => return false,
            Self::Url(url) => out.extend_from_slice(url.raw().as_bytes()),
            Self::Inline { media, data } => {
                for piece in ["\"data:", media.inner(), ";base64,", data.inner(), "\""] {
                    out.extend_from_slice(piece.as_bytes());
                }
            }
        }
        true
    }
}

/// Media type and base64 of a data URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media = head.strip_suffix(";base64")?;
    Some((media.split(';').next().unwrap_or(media), data))
}

/// A JSON text.
#[derive(Clone, Copy, Debug)]
pub enum Json<'a> {
    /// Inside a JSON string; nobody has checked it.
    Quoted(Str<'a>),
    /// As it stands; checked.
    Plain(&'a str),
    /// What a tool was given that takes free text: an object with that text as its only member.
    Freeform(Str<'a>),
}

impl<'a> Json<'a> {
    /// The text, digit for digit as the client has it.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Quoted(text) => text.decode(),
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Freeform(text) => Cow::Owned(format!("{{\"input\":{}}}", text.raw())),
        }
    }

    /// Appends it as a JSON string.
    pub fn write_quoted(&self, out: &mut Vec<u8>) {
        match self {
            Self::Quoted(text) => out.extend_from_slice(text.raw().as_bytes()),
            Self::Plain(_) | Self::Freeform(_) => json::write_string(out, &self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Scanner;

    fn string(raw: &str) -> Str<'_> {
        Scanner::new(raw).string().unwrap()
    }

    #[test]
    fn sources_say_the_same_whichever_way_they_are_written() {
        let inline = |media: &'static str, data: &'static str| Media::Inline {
            media: media.into(),
            data: data.into(),
        };
        let url = |raw: &'static str| Source::Url(string(raw)).resolve();
        assert_eq!(url("\"data:a/b;base64,QQ==\""), inline("a/b", "QQ=="));
        assert_eq!(url(r#""data:a\/b;x=1;base64,QQ==""#), inline("a/b", "QQ=="));
        assert_eq!(url("\"data:a/b,x\""), Media::Url("data:a/b,x".into()));
        assert_eq!(url("\"https://x\""), Media::Url("https://x".into()));
        let apart = Source::Inline {
            media: string("\"a/b\""),
            data: string("\"QQ==\""),
        };
        assert_eq!(apart.resolve(), inline("a/b", "QQ=="));
        let mut out = Vec::new();
        assert!(apart.write_url(&mut out));
        assert_eq!(out, b"\"data:a/b;base64,QQ==\"");
    }

    #[test]
    fn json_keeps_its_digits() {
        let quoted = Json::Quoted(string(r#""{\"a\":1.0}""#));
        let plain = Json::Plain(r#"{"a":1.0}"#);
        for json in [quoted, plain] {
            assert_eq!(json.text(), r#"{"a":1.0}"#);
            let mut out = Vec::new();
            json.write_quoted(&mut out);
            assert_eq!(out, br#""{\"a\":1.0}""#);
        }
    }
}
