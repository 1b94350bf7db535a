//! A search of the web that a provider does by itself: read in whosever words it is asked for, said in
//! the words of each dialect that has some. What OpenRouter's API says of a native search holds: the
//! number of results is ignored. A setting that a dialect has no word for is refused by its place.

#[cfg(test)]
mod tests;

use crate::dialect::Target;
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::Request;
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};
use shared::catalog::{Dialect, Parameter};

/// How many searches are paid for, and asked for at most where that can be said, when the client
/// does not say.
pub(crate) const SEARCHES_MAX: u64 = 10;
/// Where the client says that its user is.
const LOCATION: [&str; 4] = ["city", "country", "region", "timezone"];

/// What is wished of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search<'a> {
    /// `low`, `medium` or `high`, as written.
    context_size: Option<&'a str>,
    /// How often at most, as written.
    max_uses: Option<&'a str>,
    /// Only there, as written.
    allowed: Vec<&'a str>,
    /// Anywhere but there, as written.
    excluded: Vec<&'a str>,
    /// Of [`LOCATION`], as written.
    location: Vec<(&'static str, &'a str)>,
    /// Whose: `native`, `auto`, or a company's that providers do not run.
    engine: Option<Str<'a>>,
    is_search: bool,
    has_unknown: bool,
}

/// In whose words a search is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tongue {
    /// A tool with a date.
    Anthropic,
    /// A member of a tool; Vertex can leave domains out.
    Gemini {
        /// Not AI Studio's.
        vertex: bool,
    },
    /// A tool; xAI's can leave domains out.
    Responses(&'static str),
}

impl Tongue {
    const fn words(self) -> Words {
        match self {
            Self::Anthropic => Words::Anthropic,
            Self::Gemini { .. } => Words::Gemini,
            Self::Responses(maker) => Words::Responses(maker),
        }
    }
}

impl<'a> Search<'a> {
    /// The search that this tool is; none for other tools, and for what only its maker can read.
    pub(crate) fn of(raw: &'a str) -> Option<Self> {
        Self::settings(raw).filter(|search| search.is_search)
    }

    /// The search with these settings, an object; none where one of them is not known.
    pub(crate) fn settings(raw: &'a str) -> Option<Self> {
        let mut search = Self::default();
        let mut scanner = Scanner::new(raw);
        if scanner.kind() != Ok(Kind::Object) {
            return None;
        }
        search.read(&mut scanner).ok()?;
        (!search.has_unknown).then_some(search)
    }

    /// How many searches that is at most, as far as anybody says.
    pub(crate) fn most(&self) -> u64 {
        let told = self.max_uses.and_then(json::count);
        told.unwrap_or(SEARCHES_MAX)
    }

    /// The engine, where it is none of the provider's own.
    pub(crate) fn foreign_engine(&self) -> Option<String> {
        let engine = self.engine?.decode();
        (!matches!(&*engine, "auto" | "native")).then(|| engine.into_owned())
    }

    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            match (&*key.name.decode(), kind) {
                (_, Kind::Null) => {
                    scanner.value()?;
                }
                ("type", Kind::String) => {
                    let kind = scanner.string()?.decode();
                    let own = kind.strip_prefix("openrouter:").unwrap_or(&kind);
                    self.is_search |= own.starts_with("web_search");
                }
                ("googleSearch" | "google_search", Kind::Object) => {
                    self.is_search = true;
                    self.read(scanner)?;
                }
                ("parameters" | "filters", Kind::Object) => self.read(scanner)?,
                ("user_location", Kind::Object) => self.place(scanner)?,
                ("engine", Kind::String) => self.engine = Some(scanner.string()?),
                ("search_context_size", Kind::String) => {
                    self.context_size = Some(scanner.string()?.raw());
                }
                ("max_uses", Kind::Number) => {
                    let span = scanner.value()?;
                    self.max_uses = Some(scanner.raw(span));
                }
                ("allowed_domains" | "include_domains", Kind::Array) => {
                    self.allowed = texts(scanner)?;
                }
                (
                    "excluded_domains" | "exclude_domains" | "excludeDomains" | "blocked_domains",
                    Kind::Array,
                ) => self.excluded = texts(scanner)?,
                // Not the provider's to say, or said to be ignored where it searches itself.
                ("id" | "enabled" | "name" | "max_results" | "search_prompt", _) => {
                    scanner.value()?;
                }
                _ => {
                    self.has_unknown = true;
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    /// Consumes a location, in which OpenAI's chat wraps another.
    fn place(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("approximate", Kind::Object) => self.place(scanner)?,
                (name, Kind::String) => {
                    let raw = scanner.string()?.raw();
                    let known = LOCATION.into_iter().find(|it| *it == name);
                    self.location.extend(known.map(|name| (name, raw)));
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn say(&self, tongue: Tongue) -> Result<String, &'static str> {
        match tongue {
            Tongue::Anthropic => self.anthropic(),
            Tongue::Gemini { vertex } => self.gemini(vertex),
            Tongue::Responses(maker) => self.responses(maker.starts_with("xai")),
        }
    }

    fn anthropic(&self) -> Result<String, &'static str> {
        if !self.allowed.is_empty() && !self.excluded.is_empty() {
            return Err("takes domains to search or to leave out, not both");
        }
        let mut out = String::from(r#"{"type":"web_search_20250305","name":"web_search""#);
        out.push_str(&format!(",\"max_uses\":{}", self.most()));
        list(&mut out, ",", "allowed_domains", &self.allowed);
        list(&mut out, ",", "blocked_domains", &self.excluded);
        self.locate(&mut out);
        out.push('}');
        Ok(out)
    }

    fn gemini(&self, vertex: bool) -> Result<String, &'static str> {
        if !self.allowed.is_empty() {
            return Err("searches everywhere");
        }
        if self.max_uses.is_some() {
            return Err("searches as often as it likes");
        }
        if !vertex && !self.excluded.is_empty() {
            return Err("leaves no domains out");
        }
        let mut out = String::from(r#"{"googleSearch":{"#);
        list(&mut out, "", "excludeDomains", &self.excluded);
        out.push_str("}}");
        Ok(out)
    }

    fn responses(&self, is_xai: bool) -> Result<String, &'static str> {
        if self.max_uses.is_some() {
            return Err("searches as often as it likes");
        }
        if !is_xai && !self.excluded.is_empty() {
            return Err("leaves no domains out");
        }
        let mut out = String::from(r#"{"type":"web_search""#);
        if let Some(size) = self.context_size.filter(|_| !is_xai) {
            out.push_str(&format!(",\"search_context_size\":{size}"));
        }
        let mut filters = String::new();
        list(&mut filters, "", "allowed_domains", &self.allowed);
        let comma = if filters.is_empty() { "" } else { "," };
        list(&mut filters, comma, "excluded_domains", &self.excluded);
        if !filters.is_empty() {
            out.push_str(&format!(",\"filters\":{{{filters}}}"));
        }
        if !is_xai {
            self.locate(&mut out);
        }
        out.push('}');
        Ok(out)
    }

    /// The value of chat's `web_search_options`.
    fn options(&self) -> Result<String, &'static str> {
        if !self.allowed.is_empty() || !self.excluded.is_empty() {
            return Err("searches everywhere");
        }
        if self.max_uses.is_some() {
            return Err("searches as often as it likes");
        }
        let mut list = List::default();
        if let Some(size) = self.context_size {
            put(list.item(), &["\"search_context_size\":", size]);
        }
        if !self.location.is_empty() {
            let start = "\"user_location\":{\"type\":\"approximate\",\"approximate\":{";
            put(list.item(), &[start, &self.members(), "}}"]);
        }
        let members = String::from_utf8_lossy(list.as_bytes()).into_owned();
        Ok(format!("{{{members}}}"))
    }

    fn members(&self) -> String {
        let all = self.location.iter();
        let all: Vec<String> = all.map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
        all.join(",")
    }

    fn locate(&self, out: &mut String) {
        if !self.location.is_empty() {
            let members = self.members();
            out.push_str(&format!(
                ",\"user_location\":{{\"type\":\"approximate\",{members}}}"
            ));
        }
    }
}

/// How many searches this tool makes at most; none unless it searches, whatever else is said of it.
pub(crate) fn most(tool: &str) -> u64 {
    let words: [&[u8]; 3] = [b"web_search", b"googleSearch", b"google_search"];
    let may = |word: &&[u8]| memchr::memmem::find(tool.as_bytes(), word).is_some();
    if !words.iter().any(may) {
        return 0;
    }
    let mut search = Search::default();
    match search.read(&mut Scanner::new(tool)) {
        Ok(()) if search.is_search => search.most(),
        _ => 0,
    }
}

/// The searches that a request asks for in other words than the dialect's, in the dialect's.
///
/// # Errors
/// The endpoint does not search, or not so.
pub(crate) fn tools(
    request: &Request<'_>,
    tongue: Tongue,
    target: &Target<'_>,
) -> Result<Option<String>, Failure> {
    let asked = request.search.iter();
    let asked = asked.map(|asked| (asked.place.to_owned(), Search::settings(asked.raw)));
    let declared = request.served.iter();
    let declared = declared.filter(|tool| !served::is_of(tool.raw, tongue.words()));
    let declared = declared.map(|tool| {
        let place = format!("tools[{}].type", tool.index);
        (place, Search::of(tool.raw))
    });
    let mut said: Option<String> = None;
    for (place, search) in asked.chain(declared) {
        // Others are told by [`served::check`].
        let Some(search) = search else { continue };
        let runs_tools = target.provider.dialect != Dialect::BedrockInvoke;
        if !runs_tools || !target.supports(Parameter::WebSearchOptions) {
            return Err(refuse(&place, "does not search the web"));
        }
        let text = search.say(tongue).map_err(|why| refuse(&place, why))?;
        if said.is_some_and(|before| before != text) {
            return Err(refuse(&place, "takes one search"));
        }
        said = Some(text);
    }
    Ok(said)
}

/// Refuses a search, for dialects without words for one.
///
/// # Errors
/// The request asks for one.
pub(crate) fn none(request: &Request<'_>) -> Result<(), Failure> {
    match &request.search {
        Some(asked) => Err(refuse(asked.place, "does not search the web")),
        None => Ok(()),
    }
}

/// The `web_search_options` that stand for the search which a chat call asks for in another way; none
/// where it asks for none, or by them.
///
/// # Errors
/// The endpoint does not search, or not so.
pub(crate) fn options(call: &Call, target: &Target<'_>) -> Result<Option<String>, Failure> {
    let Some(asked) = &call.search else {
        return Ok(None);
    };
    // Without a search it would be the answer to another question.
    let can = Parameter::WebSearchOptions;
    if !target.endpoint.supported_parameters.contains(&can) {
        return Err(refuse(&asked.place, "does not search the web"));
    }
    if asked.place == can.as_str() {
        return Ok(None);
    }
    let search = Search::settings(asked.raw(call)).unwrap_or_default();
    let said = search.options();
    said.map(Some).map_err(|why| refuse(&asked.place, why))
}

fn texts<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<&'a str>, SyntaxError> {
    let mut all = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let span = scanner.value()?;
        all.push(scanner.raw(span));
    }
    Ok(all)
}

fn list(out: &mut String, comma: &str, name: &str, texts: &[&str]) {
    if !texts.is_empty() {
        out.push_str(&format!("{comma}\"{name}\":[{}]", texts.join(",")));
    }
}
