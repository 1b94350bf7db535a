//! What messages and tools amount to: sizes for the estimate of prompt tokens, kinds of content for
//! the choice of endpoints. Roles and the types of parts are checked, their contents are not.

use crate::dialect::search::{self, Search};
use crate::dialect::served::{self, Words};
use crate::egress::seal::Seal;
use crate::failure::Failure;
use crate::ingress::conversation::Beginning;
use crate::ingress::freeform::{self, Freeform};
use crate::ingress::peek::{Refused, expect};
use crate::ingress::{SearchAt, later};
use crate::wire::json::{Kind, Scanner, Span};
use shared::catalog::Modality;
use std::borrow::Cow;

/// Bytes of text per token, on average over tokenizers.
const BYTES_PER_TOKEN: u64 = 4;
/// What a message costs besides its text, in tokens.
const MESSAGE_TOKENS: u64 = 4;
/// What a picture, file or sound counts, in tokens: their bytes say little.
const MEDIA_TOKENS: u64 = 1000;

/// Sizes and kinds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Bytes of text, tool calls and tool definitions.
    pub(crate) text_bytes: u64,
    pub(crate) messages: u64,
    pub(crate) media: u64,
    /// Of these: pictures.
    pub(crate) images: u64,
    /// Of these: sounds.
    pub(crate) sounds: u64,
    /// In how many units a ranking is charged at most; 0 for anything else.
    pub(crate) search_units: u64,
    pub(crate) tools: u64,
    /// With repetitions; text is not among them.
    pub(crate) input: Vec<Modality>,
    /// The longest of several texts, in tokens, where each stands for itself.
    pub(crate) longest_text: Option<u64>,
    /// Where the conversation's first messages stand.
    pub(crate) beginning: Beginning,
    /// Thoughts that came through here under a seal.
    pub(crate) sealed: Vec<Seal>,
    /// Tools that take free text.
    pub(crate) freeform: Vec<Freeform>,
    /// How many searches the declared tools make at most.
    pub(crate) searches: u64,
    /// A search of the web that the provider shall do.
    pub(crate) search: Option<SearchAt>,
    /// The place of a chat tool that providers of other dialects run.
    pub(crate) other_tool: Option<String>,
    /// The place of an item that holds what a tool of another dialect's provider did.
    pub(crate) other_run: Option<String>,
}

impl Survey {
    /// An estimate, in tokens.
    pub(crate) const fn prompt_tokens(&self) -> u64 {
        self.text_bytes.div_ceil(BYTES_PER_TOKEN) + self.other_tokens()
    }

    /// What is no text, in tokens.
    pub(crate) const fn other_tokens(&self) -> u64 {
        self.messages * MESSAGE_TOKENS + self.media * MEDIA_TOKENS
    }

    /// Notes a picture, file, sound or film.
    pub(crate) fn media(&mut self, kind: Modality) {
        self.media += 1;
        self.images += u64::from(kind == Modality::Image);
        self.sounds += u64::from(kind == Modality::Audio);
        if !self.input.contains(&kind) {
            self.input.push(kind);
        }
    }

    /// Notes a search; there can be one.
    pub(crate) fn search(&mut self, place: String, span: Option<Span>) -> Result<(), Failure> {
        if self.search.is_some() {
            let message = format!("{place}: a search of the web is asked for twice");
            return Err(Failure::invalid(&place, message));
        }
        self.search = Some(SearchAt { place, span });
        Ok(())
    }

    /// Notes bytes of text.
    pub(crate) fn text(&mut self, bytes: usize) {
        self.text_bytes += bytes as u64;
    }
}

/// Consumes `messages`, an array.
pub(crate) fn messages(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    scanner.begin_array()?;
    while scanner.element()? {
        let place = Place::Message(survey.messages);
        survey.messages += 1;
        message(scanner, survey, place)?;
    }
    if survey.messages == 0 {
        return Err(Failure::invalid("messages", "messages is empty").into());
    }
    Ok(())
}

/// Consumes `tools`, an array.
pub(crate) fn tools(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{index}]");
        index += 1;
        let kind = scanner.kind()?;
        expect(&place, &[Kind::Object], kind)?;
        let start = scanner.at();
        let mut again = scanner.clone();
        let kind = type_of(scanner, &place)?;
        survey.text(scanner.at() - start);
        match kind.as_deref() {
            Some("function") => {}
            Some("custom") => {
                let tool = freeform::tool(&mut again, &place)?;
                freeform::note(&mut survey.freeform, tool)?;
            }
            kind => {
                let span = again.value()?;
                let (raw, place) = (again.raw(span), format!("{place}.type"));
                if let Some(search) = Search::of(raw) {
                    later::search(&place, &search)?;
                    survey.search(place, Some(span))?;
                    continue;
                }
                later::tool(&place, kind.unwrap_or_default())?;
                survey.searches += search::most(raw);
                if served::words_of(raw) != Words::None {
                    survey.other_tool = Some(place);
                }
            }
        }
        survey.tools += 1;
    }
    Ok(())
}

/// Consumes an object and returns its `type`, a string, if it has one.
pub(crate) fn type_of<'a>(
    scanner: &mut Scanner<'a>,
    place: &str,
) -> Result<Option<Cow<'a, str>>, Refused> {
    let mut found = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let kind = scanner.kind()?;
        if key.name.decode() == "type" && kind != Kind::Null {
            expect(&format!("{place}.type"), &[Kind::String], kind)?;
            found = Some(scanner.string()?.decode());
        } else {
            scanner.value()?;
        }
    }
    Ok(found)
}

/// Where in the messages; put into words only when something is wrong there.
#[derive(Clone, Copy)]
enum Place {
    Message(u64),
    Role(u64),
    Content(u64),
    Part(u64, u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(m) => write!(f, "messages[{m}]"),
            Self::Role(m) => write!(f, "messages[{m}].role"),
            Self::Content(m) => write!(f, "messages[{m}].content"),
            Self::Part(m, p) => write!(f, "messages[{m}].content[{p}]"),
        }
    }
}

fn wrong(place: Place, why: &str) -> Refused {
    let place = place.to_string();
    Failure::invalid(&place, format!("{place} {why}")).into()
}

fn message(scanner: &mut Scanner<'_>, survey: &mut Survey, place: Place) -> Result<(), Refused> {
    let index = survey.messages - 1;
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        return Err(wrong(
            place,
            &format!("must be an object, not {}", kind.as_str()),
        ));
    }
    let (mut role, mut has_content, mut spoken) = (None, None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let kind = scanner.kind()?;
        let start = scanner.at();
        match &*name {
            "role" => {
                let place = Place::Role(index);
                if role.is_some() {
                    return Err(wrong(place, "stands more than once"));
                }
                if kind != Kind::String {
                    return Err(wrong(
                        place,
                        &format!("must be a string, not {}", kind.as_str()),
                    ));
                }
                role = Some(scanner.string()?.decode());
            }
            "content" => {
                if has_content.is_some() {
                    return Err(wrong(Place::Content(index), "stands more than once"));
                }
                has_content = Some(kind != Kind::Null);
                content(scanner, survey, index)?;
                let end = scanner.at();
                spoken = Some(Span { start, end });
            }
            _ => {
                scanner.value()?;
                survey.text(scanner.at() - start);
            }
        }
    }
    if let (Some(role), Some(spoken)) = (role.as_deref(), spoken) {
        let are_instructions = matches!(role, "system" | "developer");
        survey.beginning.note(are_instructions, spoken);
    }
    match role.as_deref() {
        None => Err(wrong(Place::Role(index), "is missing")),
        Some("assistant" | "tool" | "function") => Ok(()),
        Some("system" | "developer" | "user") if has_content == Some(true) => Ok(()),
        Some("system" | "developer" | "user") => Err(wrong(Place::Content(index), "is missing")),
        Some(_) => {
            let roles = "must be one of system, developer, user, assistant, tool";
            Err(wrong(Place::Role(index), roles))
        }
    }
}

fn content(scanner: &mut Scanner<'_>, survey: &mut Survey, index: u64) -> Result<(), Refused> {
    match scanner.kind()? {
        Kind::String => {
            let text = scanner.string()?;
            survey.text(text.inner().len());
        }
        Kind::Null => {
            scanner.value()?;
        }
        Kind::Array => {
            scanner.begin_array()?;
            let mut part_index = 0;
            while scanner.element()? {
                part(scanner, survey, Place::Part(index, part_index))?;
                part_index += 1;
            }
        }
        kind => {
            let why = format!("must be a string or an array, not {}", kind.as_str());
            return Err(wrong(Place::Content(index), &why));
        }
    }
    Ok(())
}

fn part(scanner: &mut Scanner<'_>, survey: &mut Survey, place: Place) -> Result<(), Refused> {
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        return Err(wrong(
            place,
            &format!("must be an object, not {}", kind.as_str()),
        ));
    }
    let start = scanner.at();
    let mut found = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let kind = scanner.kind()?;
        if key.name.decode() == "type" {
            if kind != Kind::String {
                return Err(wrong(place, "has a type that is not a string"));
            }
            found = Some(scanner.string()?.decode());
        } else {
            scanner.value()?;
        }
    }
    match found.as_deref() {
        None => return Err(wrong(place, "has no type")),
        Some("image_url") => survey.media(Modality::Image),
        Some("input_audio") => survey.media(Modality::Audio),
        Some("file") => survey.media(Modality::File),
        Some("video_url") => survey.media(Modality::Video),
        Some(_) => survey.text(scanner.at() - start),
    }
    Ok(())
}
