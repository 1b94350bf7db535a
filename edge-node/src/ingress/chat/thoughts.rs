//! `reasoning_details` as a client gives them back: pieces are put together, nothing is changed,
//! and whose they are is left to the upstream's dialect.

use crate::ingress::peek::Refused;
use crate::ingress::read::raw_of;
use crate::message::{DetailKind, Part, Thought};
use crate::wire::json::{Kind, Scanner, Str};

/// A detail as it stands in the list.
#[derive(Default)]
struct Piece<'a> {
    kind: Option<Str<'a>>,
    text: Option<Str<'a>>,
    signature: Option<Str<'a>>,
    id: Option<Str<'a>>,
    format: Option<Str<'a>>,
    index: Option<&'a str>,
}

/// Details come whole, or in the pieces in which they were streamed. Pieces with one index, kind
/// and form belong together, up to the one with a signature.
pub(super) fn read<'a>(scanner: &mut Scanner<'a>, all: &mut Vec<Part<'a>>) -> Result<(), Refused> {
    let mut open: Option<(Option<&str>, Thought<'a>)> = None;
    scanner.begin_array()?;
    while scanner.element()? {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            continue;
        }
        let piece = Piece::read(scanner)?;
        let kind = match piece.kind.map(Str::decode).as_deref() {
            Some("reasoning.summary") => DetailKind::Summary,
            Some("reasoning.encrypted") => DetailKind::Encrypted,
            Some("reasoning.server_tool_call") => DetailKind::Tool,
            _ => DetailKind::Text,
        };
        let goes_on = open.as_ref().is_some_and(|(index, thought)| {
            let format = |of: Option<Str<'a>>| of.map(Str::raw);
            *index == piece.index
                && thought.kind == kind
                && thought.signature.is_none()
                && !matches!(kind, DetailKind::Encrypted | DetailKind::Tool)
                && format(thought.format) == format(piece.format)
        });
        if !goes_on && let Some((_, thought)) = open.take() {
            all.push(Part::Reasoning(thought));
        }
        let (_, thought) = open.get_or_insert_with(|| {
            let thought = Thought {
                kind,
                texts: Vec::new(),
                signature: None,
                id: None,
                format: piece.format,
                raw: None,
            };
            (piece.index, thought)
        });
        thought
            .texts
            .extend(piece.text.filter(|text| !text.is_empty()));
        thought.signature = piece.signature.filter(|text| !text.is_empty());
        thought.id = piece.id.or(thought.id);
    }
    all.extend(open.map(|(_, thought)| Part::Reasoning(thought)));
    Ok(())
}

impl<'a> Piece<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, Refused> {
        let mut piece = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let field = match (&*key.name.decode(), scanner.kind()?) {
                ("type", Kind::String) => &mut piece.kind,
                ("text" | "summary" | "data" | "result", Kind::String) => &mut piece.text,
                ("signature", Kind::String) => &mut piece.signature,
                ("id", Kind::String) => &mut piece.id,
                ("format", Kind::String) => &mut piece.format,
                ("index", Kind::Number) => {
                    piece.index = raw_of(scanner)?;
                    continue;
                }
                _ => {
                    scanner.value()?;
                    continue;
                }
            };
            *field = Some(scanner.string()?);
        }
        Ok(piece)
    }
}
