//! Tools that take free text instead of arguments. They are noted while the body is peeked, because
//! answers must be given back in their form; upstreams that know only functions get one with a
//! single argument, and are told the grammar, if there is one, in words.

use crate::failure::Failure;
use crate::ingress::peek::{Refused, expect};
use crate::ingress::read::{raw_of, text_of, wrong};
use crate::message::Request;
use crate::wire::json::{Kind, Scanner, Str};

/// How many such tools a call may have.
pub(crate) const TOOLS_MAX: usize = 128;
const TEXT: &str = "{\"type\":\"text\"}";

/// A tool that takes free text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Freeform {
    /// Its name, as the inside of a JSON string.
    pub(crate) name: String,
    /// The form of the text, in the words of the Responses API.
    form: String,
    /// The JSON Schema of a function in its place.
    parameters: String,
}

/// Consumes a tool of the type `custom`, with its members inside `custom` (chat) or beside the type.
pub(crate) fn tool(scanner: &mut Scanner<'_>, place: &str) -> Result<Freeform, Refused> {
    let (mut name, mut form) = (None, Form::default());
    members(scanner, place, &mut name, &mut form)?;
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(&format!("{place}.name"), "is missing"))?;
    Ok(Freeform {
        name: name.inner().to_owned(),
        form: form.written(),
        parameters: form.parameters(),
    })
}

/// Gives the tools of a request that were noted their forms.
pub(crate) fn complete<'a>(request: &mut Request<'a>, noted: &'a [Freeform]) {
    for tool in &mut request.tools {
        if tool.freeform.is_some()
            && let Some(noted) = noted.iter().find(|it| it.name == tool.name.inner())
        {
            tool.freeform = Some(&noted.form);
            tool.parameters = Some(&noted.parameters);
        }
    }
}

/// Adds one to those that were noted.
pub(crate) fn note(noted: &mut Vec<Freeform>, tool: Freeform) -> Result<(), Refused> {
    if noted.len() == TOOLS_MAX {
        let message = format!("tools: at most {TOOLS_MAX} may take free text");
        return Err(Failure::invalid("tools", message).into());
    }
    noted.push(tool);
    Ok(())
}

fn members<'a>(
    scanner: &mut Scanner<'a>,
    place: &str,
    name: &mut Option<Str<'a>>,
    form: &mut Form<'a>,
) -> Result<(), Refused> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = format!("{place}.{member}");
        match (&*member, scanner.kind()?) {
            ("custom", Kind::Object) => members(scanner, &inner, name, form)?,
            ("name", _) => *name = text_of(scanner, &|| inner.clone())?,
            ("format", Kind::Null) => {
                raw_of(scanner)?;
            }
            ("format", kind) => {
                expect(&inner, &[Kind::Object], kind)?;
                form.read(scanner, &inner)?;
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

/// What the text must be like.
#[derive(Default)]
struct Form<'a> {
    syntax: Option<Str<'a>>,
    definition: Option<Str<'a>>,
}

impl<'a> Form<'a> {
    /// Consumes `{type, syntax, definition}`; chat has the latter two inside `grammar`.
    fn read(&mut self, scanner: &mut Scanner<'a>, place: &str) -> Result<(), Refused> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let member = key.name.decode();
            let inner = format!("{place}.{member}");
            match (&*member, scanner.kind()?) {
                ("grammar", Kind::Object) => self.read(scanner, &inner)?,
                ("syntax", _) => self.syntax = text_of(scanner, &|| inner.clone())?,
                ("definition", _) => self.definition = text_of(scanner, &|| inner.clone())?,
                ("type", _) => {
                    let kind = text_of(scanner, &|| inner.clone())?.map(Str::decode);
                    if !matches!(kind.as_deref(), Some("text" | "grammar")) {
                        return Err(wrong(&inner, "must be one of text, grammar"));
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn written(&self) -> String {
        match (self.syntax, self.definition) {
            (Some(syntax), Some(definition)) => format!(
                r#"{{"type":"grammar","syntax":{},"definition":{}}}"#,
                syntax.raw(),
                definition.raw()
            ),
            _ => TEXT.to_owned(),
        }
    }

    fn parameters(&self) -> String {
        let grammar = match (self.syntax, self.definition) {
            (Some(syntax), Some(definition)) => format!(
                r", which must match this grammar ({}):\n{}",
                syntax.inner(),
                definition.inner()
            ),
            _ => String::new(),
        };
        format!(
            concat!(
                r#"{{"type":"object","properties":{{"input":{{"type":"string","#,
                r#""description":"The whole input of the tool, as plain text{}"}}}},"#,
                r#""required":["input"],"additionalProperties":false}}"#
            ),
            grammar
        )
    }
}
