//! One message of a conversation and what it is made of. Media, reasoning and arguments keep the
//! form in which the client wrote them; what a dialect needs of them is worked out by the methods
//! here.

use crate::wire::json::{self, Str};
use std::borrow::Cow;
use std::fmt;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The operator.
    System,
    /// The operator, in the words of OpenAI's newer models.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
}

impl Role {
    /// True for the operator's roles.
    #[must_use]
    pub const fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// Where a message stands in the client's body; written as the path to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The member with the messages, e.g. `messages` or `input`.
    pub list: &'static str,
    /// Its index in there.
    pub index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part<'a>>,
    /// The participant's name, where the client gives it one.
    pub name: Option<Str<'a>>,
    /// The call that a tool answers.
    pub call_id: Option<Str<'a>>,
    /// The tool failed: its parts say how.
    pub is_error: bool,
    /// A cache mark on a tool's result as a whole, as written.
    pub cache: Option<&'a str>,
    /// Its place in the client's body; several turns may share one.
    pub place: Place,
}

impl<'a> Turn<'a> {
    /// An empty one.
    #[must_use]
    pub const fn new(role: Role, place: Place) -> Self {
        Self {
            role,
            parts: Vec::new(),
            name: None,
            call_id: None,
            is_error: false,
            cache: None,
            place,
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Plain text.
    Text {
        /// The text.
        text: Str<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// What the model said when it refused.
    Refusal(Str<'a>),
    /// A picture.
    Image {
        /// The picture.
        source: Source<'a>,
        /// How closely to look: `auto`, `low`, `high`.
        detail: Option<Str<'a>>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: Str<'a>,
        /// `wav`, `mp3`, …
        format: Str<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// What the model said aloud before, by the id that its provider gave it.
    Spoken(Str<'a>),
    /// A film.
    Video {
        /// The film.
        source: Source<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// A document.
    File {
        /// The document.
        source: Source<'a>,
        /// Its name.
        name: Option<Str<'a>>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// What the model thought before.
    Reasoning(Thought<'a>),
    /// A call of a tool.
    Call {
        /// What its result will name.
        id: Str<'a>,
        /// The function.
        name: Str<'a>,
        /// A JSON text, which the client may have made up.
        arguments: Json<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
}

impl<'a> Part<'a> {
    /// Text without a mark.
    #[must_use]
    pub const fn plain(text: Str<'a>) -> Self {
        Self::Text { text, cache: None }
    }

    /// The part's cache mark.
    #[must_use]
    pub const fn cache(&self) -> Option<&'a str> {
        match self {
            Self::Text { cache, .. }
            | Self::Image { cache, .. }
            | Self::Audio { cache, .. }
            | Self::Video { cache, .. }
            | Self::File { cache, .. }
            | Self::Call { cache, .. } => *cache,
            Self::Refusal(_) | Self::Spoken(_) | Self::Reasoning(_) => None,
        }
    }
}

/// What kind a detail of reasoning is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DetailKind {
    /// The thought itself.
    Text,
    /// What the provider tells of it.
    Summary,
    /// Readable by its provider only.
    Encrypted,
}

impl DetailKind {
    /// How `reasoning_details` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "reasoning.text",
            Self::Summary => "reasoning.summary",
            Self::Encrypted => "reasoning.encrypted",
        }
    }
}

/// A detail of reasoning as the client gives it back.
#[derive(Clone, Debug)]
pub struct Thought<'a> {
    /// What kind.
    pub kind: DetailKind,
    /// Pieces of one text, or of the encrypted data.
    pub texts: Vec<Str<'a>>,
    /// What proves to the provider that it is unchanged.
    pub signature: Option<Str<'a>>,
    /// The provider's id of it, or of the tool call that it belongs to.
    pub id: Option<Str<'a>>,
    /// Whose form it has, e.g. `anthropic-claude-v1`; none where the client did not say.
    pub format: Option<Str<'a>>,
}

impl<'a> Thought<'a> {
    /// Reasoning that came as plain text: nobody signed it.
    #[must_use]
    pub fn plain(text: Str<'a>) -> Self {
        Self {
            kind: DetailKind::Text,
            texts: vec![text],
            signature: None,
            id: None,
            format: None,
        }
    }

    /// True when it has the form of this maker, or of nobody: makers refuse what others signed.
    #[must_use]
    pub fn is_of(&self, maker: &str) -> bool {
        self.format
            .is_none_or(|format| format.decode().starts_with(maker))
    }
}

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
}

impl<'a> Json<'a> {
    /// The text, digit for digit as the client has it.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Quoted(text) => text.decode(),
            Self::Plain(text) => Cow::Borrowed(text),
        }
    }

    /// Appends it as a JSON string.
    pub fn write_quoted(&self, out: &mut Vec<u8>) {
        match self {
            Self::Quoted(text) => out.extend_from_slice(text.raw().as_bytes()),
            Self::Plain(text) => json::write_string(out, text),
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
