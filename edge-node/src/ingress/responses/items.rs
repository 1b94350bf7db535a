//! The items of the input as turns. Neighbouring items of the model (what it thought, said and
//! called) become one turn, because other APIs give them in one message.

mod parts;

use crate::egress::responses::{OWN_IDS, TOOL_IDS};
use crate::ingress::peek::Refused;
use crate::ingress::read::{foreign, text_of, wrong};
use crate::message::{DetailKind, Json, Part, Place, Role, Source, Thought, Turn};
use crate::wire::json::{Kind, Scanner, Span, Str};
use parts::{Members, content};

/// Reads the input, a text or a list.
pub(super) fn turns(raw: &str) -> Result<Vec<Turn<'_>>, Refused> {
    let mut scanner = Scanner::new(raw);
    let mut turns = Vec::new();
    if scanner.kind()? == Kind::String {
        let mut turn = Turn::new(Role::User, place(0));
        turn.parts.push(Part::plain(scanner.string()?));
        return Ok(vec![turn]);
    }
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let item = Item::read(&mut scanner, place(index))?;
        item.give(raw, place(index), &mut turns)?;
        index += 1;
    }
    Ok(turns)
}

const fn place(index: usize) -> Place {
    Place {
        list: "input",
        index,
    }
}

/// A string of our own.
fn constant(raw: &'static str) -> Str<'static> {
    Scanner::new(raw).string().unwrap_or(Str::EMPTY)
}

/// The members of an item, of all kinds.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Str<'a>>,
    role: Option<Str<'a>>,
    id: Option<Str<'a>>,
    call_id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    arguments: Option<Str<'a>>,
    input: Option<Str<'a>>,
    encrypted: Option<Str<'a>>,
    signature: Option<Str<'a>>,
    format: Option<Str<'a>>,
    result: Option<Str<'a>>,
    content: Option<Span>,
    output: Option<Span>,
    summary: Option<Span>,
}

impl<'a> Item<'a> {
    fn read(scanner: &mut Scanner<'a>, place: Place) -> Result<Self, Refused> {
        let mut item = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            let inner = || format!("{place}.{name}");
            let field = match &*name {
                "type" => &mut item.kind,
                "role" => &mut item.role,
                "id" => &mut item.id,
                "call_id" => &mut item.call_id,
                "name" => &mut item.name,
                "arguments" => &mut item.arguments,
                "input" => &mut item.input,
                "encrypted_content" => &mut item.encrypted,
                "signature" => &mut item.signature,
                "format" => &mut item.format,
                "result" => &mut item.result,
                other => {
                    let span = scanner.value()?;
                    match other {
                        "content" => item.content = Some(span),
                        "output" => item.output = Some(span),
                        "summary" => item.summary = Some(span),
                        _ => {}
                    }
                    continue;
                }
            };
            *field = text_of(scanner, &inner)?;
        }
        Ok(item)
    }

    /// Adds the item to the turns. `raw` is the list that it stands in.
    fn give(self, raw: &'a str, place: Place, turns: &mut Vec<Turn<'a>>) -> Result<(), Refused> {
        let missing = |name: &str| wrong(&format!("{place}.{name}"), "is missing");
        match self.kind.map(Str::decode).as_deref() {
            None | Some("message") => self.message(raw, place, turns)?,
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let call = Part::Call {
                    id: self.call_id.ok_or_else(|| missing("call_id"))?,
                    name: self.name.ok_or_else(|| missing("name"))?,
                    arguments: if kind == "custom_tool_call" {
                        Json::Freeform(self.input.ok_or_else(|| missing("input"))?)
                    } else {
                        Json::Quoted(self.arguments.unwrap_or(Str::EMPTY))
                    },
                    cache: None,
                };
                assistant(turns, place).parts.push(call);
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                let mut turn = Turn::new(Role::Tool, place);
                turn.call_id = Some(self.call_id.ok_or_else(|| missing("call_id"))?);
                turn.parts = content(raw, self.output, place, "output")?;
                turns.push(turn);
            }
            Some("reasoning") => {
                let thoughts = self.thoughts(raw, place)?;
                let all = thoughts.into_iter().map(Part::Reasoning);
                assistant(turns, place).parts.extend(all);
            }
            Some("image_generation_call") => {
                if let Some(data) = self.result {
                    let is_url = ["data:", "http"];
                    let is_url = is_url.iter().any(|word| data.inner().starts_with(word));
                    let source = if is_url {
                        Source::Url(data)
                    } else {
                        let media = constant("\"image/png\"");
                        Source::Inline { media, data }
                    };
                    assistant(turns, place).parts.push(Part::Image {
                        source,
                        detail: None,
                        cache: None,
                    });
                }
            }
            Some(_) => {
                let place = format!("{place}.type");
                return Err(foreign(&place, "does not take items of this type"));
            }
        }
        Ok(())
    }

    fn message(
        &self,
        raw: &'a str,
        place: Place,
        turns: &mut Vec<Turn<'a>>,
    ) -> Result<(), Refused> {
        let parts = content(raw, self.content, place, "content")?;
        let role = match self.role.map(Str::decode).as_deref() {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("assistant") => {
                assistant(turns, place).parts.extend(parts);
                return Ok(());
            }
            _ => Role::User,
        };
        let mut turn = Turn::new(role, place);
        turn.parts = parts;
        turns.push(turn);
        Ok(())
    }

    /// What one item of reasoning holds. Without a format it is of the maker of this API.
    fn thoughts(&self, raw: &'a str, place: Place) -> Result<Vec<Thought<'a>>, Refused> {
        let format = self.format.filter(|format| !format.is_empty());
        let format = format.unwrap_or_else(|| constant("\"openai-responses-v1\""));
        let id = self.id.filter(|id| !id.inner().starts_with(OWN_IDS));
        let thought = |kind, text: Option<Str<'a>>| Thought {
            kind,
            texts: text.into_iter().collect(),
            signature: None,
            id,
            format: Some(format),
            raw: None,
        };
        let mut all = Vec::new();
        for text in texts(raw, self.summary, place)? {
            all.push(thought(DetailKind::Summary, Some(text)));
        }
        let told = texts(raw, self.content, place)?;
        let mut told: Vec<Thought<'a>> = told
            .into_iter()
            .map(|text| thought(DetailKind::Text, Some(text)))
            .collect();
        if let Some(signature) = self.signature.filter(|text| !text.is_empty()) {
            if told.is_empty() {
                told.push(thought(DetailKind::Text, None));
            }
            if let Some(last) = told.last_mut() {
                last.signature = Some(signature);
            }
        }
        all.append(&mut told);
        if let Some(data) = self.encrypted.filter(|data| !data.is_empty()) {
            let is_tool = |id: Str<'_>| id.inner().starts_with(TOOL_IDS);
            let kind = match self.id.is_some_and(is_tool) {
                true => DetailKind::Tool,
                false => DetailKind::Encrypted,
            };
            all.push(thought(kind, Some(data)));
        }
        Ok(all)
    }
}

/// The turn of the model that goes on here.
fn assistant<'t, 'a>(turns: &'t mut Vec<Turn<'a>>, place: Place) -> &'t mut Turn<'a> {
    if turns.last().is_none_or(|turn| turn.role != Role::Assistant) {
        turns.push(Turn::new(Role::Assistant, place));
    }
    let last = turns.len() - 1;
    #[expect(clippy::indexing_slicing, reason = "there is one, or it was pushed")]
    &mut turns[last]
}

/// The texts of summaries or thoughts.
fn texts(raw: &str, list: Option<Span>, place: Place) -> Result<Vec<Str<'_>>, Refused> {
    let mut texts = Vec::new();
    let Some(list) = list else {
        return Ok(texts);
    };
    let mut scanner = Scanner::starting(raw, list.start);
    if scanner.kind()? != Kind::Array {
        return Ok(texts);
    }
    scanner.begin_array()?;
    while scanner.element()? {
        let members = Members::read(&mut scanner, &|| place.to_string())?;
        texts.extend(members.text.filter(|text| !text.is_empty()));
    }
    Ok(texts)
}
