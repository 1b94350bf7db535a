//! The parts of a message, and of what a tool gives.

use crate::ingress::peek::Refused;
use crate::ingress::read::{foreign, raw_of, text_of, wrong};
use crate::message::{Part, Place, Source};
use crate::wire::json::{Kind, Scanner, Span, Str};

/// The parts of a message or of a tool's output.
pub(super) fn content<'a>(
    raw: &'a str,
    span: Option<Span>,
    place: Place,
    member: &str,
) -> Result<Vec<Part<'a>>, Refused> {
    let mut parts = Vec::new();
    let Some(span) = span else {
        return Ok(parts);
    };
    let mut scanner = Scanner::starting(raw, span.start);
    match scanner.kind()? {
        Kind::String => parts.push(Part::plain(scanner.string()?)),
        Kind::Array => {
            scanner.begin_array()?;
            while scanner.element()? {
                let index = parts.len();
                parts.push(part(&mut scanner, &|| {
                    format!("{place}.{member}[{index}]")
                })?);
            }
        }
        _ => {}
    }
    Ok(parts)
}

/// The members of a part, of all kinds.
#[derive(Default)]
pub(super) struct Members<'a> {
    kind: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    cache: Option<&'a str>,
    url: Option<Str<'a>>,
    detail: Option<Str<'a>>,
    data: Option<Str<'a>>,
    format: Option<Str<'a>>,
    name: Option<Str<'a>>,
    id: Option<Str<'a>>,
}

impl<'a> Members<'a> {
    /// Consumes an object; anything else has none of them.
    pub(super) fn read(
        scanner: &mut Scanner<'a>,
        place: &dyn Fn() -> String,
    ) -> Result<Self, Refused> {
        let mut members = Self::default();
        members.object(scanner, place)?;
        Ok(members)
    }

    fn object(
        &mut self,
        scanner: &mut Scanner<'a>,
        place: &dyn Fn() -> String,
    ) -> Result<(), Refused> {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(());
        }
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let member = key.name.decode();
            let inner = || format!("{}.{member}", place());
            let field = match (&*member, scanner.kind()?) {
                ("input_audio" | "image_url", Kind::Object) => {
                    self.object(scanner, &inner)?;
                    continue;
                }
                ("cache_control", _) => {
                    self.cache = raw_of(scanner)?;
                    continue;
                }
                ("type", _) => &mut self.kind,
                ("text" | "refusal", _) => &mut self.text,
                ("image_url" | "video_url" | "file_url" | "url", _) => &mut self.url,
                ("detail", _) => &mut self.detail,
                ("data" | "file_data", _) => &mut self.data,
                ("format", _) => &mut self.format,
                ("filename", _) => &mut self.name,
                ("file_id", _) => &mut self.id,
                _ => {
                    scanner.value()?;
                    continue;
                }
            };
            *field = text_of(scanner, &inner)?;
        }
        Ok(())
    }
}

fn part<'a>(scanner: &mut Scanner<'a>, place: &dyn Fn() -> String) -> Result<Part<'a>, Refused> {
    let members = Members::read(scanner, place)?;
    let cache = members.cache;
    let missing = |member: &str| wrong(&format!("{}.{member}", place()), "is missing");
    match &*members.kind.map(Str::decode).unwrap_or_default() {
        "input_text" | "output_text" | "text" => Ok(Part::Text {
            text: members.text.ok_or_else(|| missing("text"))?,
            cache,
        }),
        "refusal" => {
            let said = members.text.ok_or_else(|| missing("refusal"))?;
            Ok(Part::Refusal(said))
        }
        "input_image" => {
            let url = members.url.map(Source::Url);
            let source = url.or_else(|| members.id.map(Source::Id));
            Ok(Part::Image {
                source: source.ok_or_else(|| missing("image_url"))?,
                detail: members.detail,
                cache,
            })
        }
        "input_video" => Ok(Part::Video {
            source: Source::Url(members.url.ok_or_else(|| missing("video_url"))?),
            cache,
        }),
        "input_audio" => Ok(Part::Audio {
            data: members.data.ok_or_else(|| missing("input_audio.data"))?,
            format: members
                .format
                .ok_or_else(|| missing("input_audio.format"))?,
            cache,
        }),
        "input_file" => {
            let url = members.data.or(members.url).map(Source::Url);
            let source = url.or_else(|| members.id.map(Source::Id));
            Ok(Part::File {
                source: source.ok_or_else(|| missing("file_data"))?,
                name: members.name,
                cache,
            })
        }
        _ => Err(foreign(&place(), "does not take this kind of content")),
    }
}
