//! Tools that a provider runs by itself. Declared in the words of one dialect they go to providers
//! of it as they stand, and so does what they did; to others neither can be said, and the request is
//! refused by its place, so that it goes to an endpoint that can.

#[cfg(test)]
mod tests;

use crate::dialect::search::{self, Search};
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{DetailKind, Part, Request};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// Tools of the Responses API that are no functions, by the beginning of their type.
const RESPONSES: [&str; 13] = [
    "web_search",
    "file_search",
    "code_interpreter",
    "image_generation",
    "mcp",
    "computer",
    "local_shell",
    "shell",
    "apply_patch",
    "tool_search",
    "namespace",
    "x_search",
    "collections_search",
];
/// Members that are tools of Gemini's.
const GEMINI: [&str; 14] = [
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "codeExecution",
    "code_execution",
    "urlContext",
    "url_context",
    "googleMaps",
    "google_maps",
    "fileSearch",
    "file_search",
    "computerUse",
    "computer_use",
];

/// In whose words a tool is declared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Words {
    /// Types that end in a date.
    Anthropic,
    /// A member instead of a type.
    Gemini,
    /// The Responses API, and whose form reasoning has there.
    Responses(&'static str),
    /// Nobody's that we know; as the words of a dialect: it has none for such tools.
    None,
}

/// In whose words this tool, which is neither a function nor takes free text, is declared.
pub(crate) fn words_of(raw: &str) -> Words {
    read(&mut Scanner::new(raw)).unwrap_or(Words::None)
}

/// Refuses what a dialect that has these words for tools of its own can't say.
///
/// # Errors
/// A tool is declared in other words, or the conversation has what another's tool did.
pub(crate) fn check(request: &Request<'_>, words: Words) -> Result<(), Failure> {
    if words == Words::None {
        search::none(request)?;
    }
    for tool in &request.served {
        // A search is said in other words: [`search::tools`].
        let is_sayable = || words != Words::None && Search::of(tool.raw).is_some();
        if !is_of(tool.raw, words) && !is_sayable() {
            let place = format!("tools[{}].type", tool.index);
            return Err(refuse(&place, "runs no such tool"));
        }
    }
    let maker = match words {
        Words::Anthropic => "anthropic",
        Words::Gemini => "google",
        Words::Responses(maker) => maker,
        Words::None => "",
    };
    for turn in &request.turns {
        let is_own =
            |format: Option<Str<'_>>| format.is_some_and(|it| it.decode().starts_with(maker));
        for (index, part) in turn.parts.iter().enumerate() {
            let Part::Reasoning(run) = part else {
                continue;
            };
            if run.kind == DetailKind::Tool && (maker.is_empty() || !is_own(run.format)) {
                let place = match run.raw {
                    Some(_) => format!("{}.content[{index}]", turn.place),
                    None => format!("{}.reasoning_details", turn.place),
                };
                return Err(foreign_run(&place));
            }
        }
    }
    Ok(())
}

/// A 400: what stands at `place` was done by another provider's tool.
pub(crate) fn foreign_run(place: &str) -> Failure {
    refuse(place, "can't go on from what another's tool did")
}

/// Appends the tools in the dialect's words, as the client wrote them.
pub(crate) fn write(request: &Request<'_>, words: Words, list: &mut List) {
    let own = request.served.iter().filter(|tool| is_of(tool.raw, words));
    for tool in own {
        put(list.item(), &[tool.raw]);
    }
}

/// True for a tool that is declared in these words.
pub(crate) fn is_of(raw: &str, words: Words) -> bool {
    is_same(words_of(raw), words)
}

const fn is_same(one: Words, other: Words) -> bool {
    matches!(
        (one, other),
        (Words::Anthropic, Words::Anthropic)
            | (Words::Gemini, Words::Gemini)
            | (Words::Responses(_), Words::Responses(_))
    )
}

fn read(scanner: &mut Scanner<'_>) -> Result<Words, SyntaxError> {
    let mut words = Words::None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => return Ok(of_type(&scanner.string()?.decode())),
            (name, _) => {
                scanner.value()?;
                if GEMINI.contains(&name) {
                    words = Words::Gemini;
                }
            }
        }
    }
    Ok(words)
}

fn of_type(kind: &str) -> Words {
    let dated = kind
        .rsplit_once('_')
        .is_some_and(|(_, date)| date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()));
    if dated || kind == "mcp_toolset" {
        Words::Anthropic
    } else if RESPONSES.iter().any(|known| kind.starts_with(known)) {
        Words::Responses("")
    } else {
        Words::None
    }
}
