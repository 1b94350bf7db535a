//! The client's body for an upstream of the same dialect: its bytes, but for the model's name,
//! members that are addressed to us, parameters that the endpoint does not know, and what a quirk
//! demands.

mod history;

use crate::dialect::Target;
use crate::dialect::openai_chat::{demands, thinking};
use crate::egress::quoted;
use crate::ingress::Call;
use crate::ingress::peek::{Field, Member, Own};
use crate::wire::json::{self, Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Splices, Tail};
use bytes::Bytes;
use shared::catalog::{Parameter, Quirk};

/// The body to send; with these `web_search_options` for a search that is asked for otherwise.
pub(crate) fn body(call: &Call, target: &Target<'_>, search: Option<String>) -> Bytes {
    let text = call.text();
    let mut request = Request {
        search,
        ..Request::new(call, text, target)
    };
    let first = call.members.first();
    let mut members = Members::new(first.map_or(0, |member| member.key.start));
    for member in &call.members {
        let (start, end) = (member.key.start, member.value.end);
        if request.member(member) {
            members.keep(&mut request.splices, start, end);
        } else {
            members.remove(&mut request.splices, start, end);
        }
    }
    let mut tail = members.finish(&mut request.splices);
    request.add(&mut tail);
    let mut out = Vec::with_capacity(text.len() + 256);
    let source = text.as_bytes();
    request
        .splices
        .pieces(source, |piece| out.extend_from_slice(piece));
    out.into()
}

struct Request<'a> {
    call: &'a Call,
    /// The call's body.
    text: &'a str,
    target: &'a Target<'a>,
    splices: Splices,
    /// What `max_tokens` is to be called; none leaves the client's word.
    limit_name: Option<&'static str>,
    has_model: bool,
    has_limit: bool,
    has_stream_options: bool,
    has_effort: bool,
    /// The client says how to think in a provider's own words.
    has_own_words: bool,
    has_tier: bool,
    /// `web_search_options` that are to be added.
    search: Option<String>,
}

impl<'a> Request<'a> {
    fn new(call: &'a Call, text: &'a str, target: &'a Target<'a>) -> Self {
        Self {
            call,
            text,
            target,
            splices: Splices::default(),
            limit_name: limit_name(target),
            has_model: false,
            has_limit: false,
            has_stream_options: false,
            has_effort: false,
            has_own_words: false,
            has_tier: false,
            search: None,
        }
    }

    /// Notes the edits of one member; false takes it out.
    fn member(&mut self, member: &Member) -> bool {
        match member.field {
            Field::Model => {
                self.has_model = true;
                let name = quoted(&self.target.endpoint.provider_model);
                self.splices.replace(member.value, name);
                true
            }
            // Top-level caching is a word of OpenRouter's; its parts' own marks pass.
            Field::Own(
                Own::Models
                | Own::Provider
                | Own::Prompt
                | Own::Route
                | Own::Plugins
                | Own::Preset
                | Own::Usage
                | Own::SessionId
                | Own::Transforms
                | Own::Trace
                | Own::Debug
                | Own::CacheControl
                | Own::MaxToolCalls
                | Own::StopServerToolsWhen,
            ) => false,
            Field::StreamOptions => {
                let keep = self.call.stream && !self.has(Quirk::NoStreamOptions);
                if keep {
                    self.has_stream_options = true;
                    self.stream_options(member.value);
                }
                keep
            }
            Field::Turns => {
                // The text was checked when it came in.
                let _ = self.history(member.value.start);
                true
            }
            Field::ServiceTier => {
                self.has_tier = true;
                self.tier(member.value)
            }
            Field::Parameter(parameter) => self.parameter(parameter, member),
            Field::Other => {
                let key = self.text.get(member.key.start..member.key.end);
                let name = key.map(|key| key.trim_matches('"'));
                self.has_own_words |= name.is_some_and(thinking::is_own_word);
                true
            }
            Field::Stream
            | Field::Choices
            | Field::User
            | Field::PromptCacheKey
            | Field::Metadata
            | Field::Modalities
            | Field::Audio
            | Field::Special(_) => true,
        }
    }

    fn parameter(&mut self, parameter: Parameter, member: &Member) -> bool {
        match parameter {
            Parameter::MaxTokens | Parameter::MaxCompletionTokens => self.limit(parameter, member),
            Parameter::ReasoningEffort => {
                self.has_effort = self.effort_passes();
                self.has_effort
            }
            // Said by `reasoning_effort`; showing it is decided when the answer comes.
            Parameter::Reasoning | Parameter::IncludeReasoning => false,
            // Said by `response_format`.
            Parameter::StructuredOutputs => false,
            // Leaving tools out would change the question; endpoints without them are not chosen. A
            // search is no tool here.
            Parameter::ResponseFormat => {
                let parameters = &self.call.demand.parameters;
                let is_schema = parameters.contains(&Parameter::StructuredOutputs);
                let takes = |one| self.target.supports(one);
                takes(parameter) || is_schema && takes(Parameter::StructuredOutputs)
            }
            Parameter::Tools => {
                // The text was checked when it came in.
                self.tools(member.value).unwrap_or(true)
            }
            Parameter::ToolChoice => self.search.is_none() || self.call.demand.needs_tools,
            _ => self.target.supports(parameter),
        }
    }

    /// Takes the tool out that asks for a search; false where no other is left.
    fn tools(&mut self, value: Span) -> Result<bool, SyntaxError> {
        let search = self.call.search.as_ref().and_then(|search| search.span);
        let Some(search) = search.filter(|it| value.start < it.start && it.end < value.end) else {
            return Ok(true);
        };
        let mut scanner = Scanner::starting(self.text, value.start);
        scanner.begin_array()?;
        let mut tools = Members::new(scanner.at());
        while scanner.element()? {
            scanner.kind()?;
            let (start, end) = (scanner.at(), scanner.value()?.end);
            if start == search.start {
                tools.remove(&mut self.splices, start, end);
            } else {
                tools.keep(&mut self.splices, start, end);
            }
        }
        tools.finish(&mut self.splices);
        Ok(self.call.demand.needs_tools)
    }

    /// True where the client's word for an effort is the endpoint's too.
    fn effort_passes(&self) -> bool {
        let wish = self.call.reasoning.effort;
        let is_known = wish.is_none_or(|it| thinking::word(it, self.target) == Some(it.as_str()));
        thinking::takes_effort(self.target) && is_known && !thinking::is_switched(self.target)
    }

    /// `max_tokens` by its right name and within the clamp. Of two only the first stays where both
    /// would get one name.
    fn limit(&mut self, parameter: Parameter, member: &Member) -> bool {
        let raw = self.text.get(member.value.start..member.value.end);
        let Some(own) = raw.and_then(json::count) else {
            // Null: as if it were not there.
            return false;
        };
        if self.limit_name.is_some() && self.has_limit {
            return false;
        }
        self.has_limit = true;
        let mut limit = own;
        if let Some(name) = self.limit_name {
            if name != parameter.as_str() {
                self.splices.replace(member.key, quoted(name));
            }
            limit = self.call.max_tokens.unwrap_or(own);
        }
        if let Some(clamp) = self.target.max_tokens_clamp {
            limit = limit.min(clamp);
        }
        if limit != own {
            self.splices.replace(member.value, limit.to_string());
        }
        true
    }

    /// The endpoint's tier, whatever the client wished.
    fn tier(&mut self, value: Span) -> bool {
        let mut scanner = Scanner::starting(self.text, value.start);
        if scanner.kind() == Ok(Kind::Null) && self.target.endpoint.tier().is_none() {
            return true;
        }
        if self.has(Quirk::NoServiceTier) {
            return false;
        }
        let word = self.target.tier_word(scanner.string().ok());
        if let Some(word) = word {
            self.splices.replace(value, word);
        }
        word.is_some()
    }

    fn stream_options(&mut self, value: Span) {
        // The text was checked when it came in: no error can come.
        if self.force_usage(value).is_err() {
            self.splices.replace(value, "{\"include_usage\":true}");
        }
    }

    fn force_usage(&mut self, value: Span) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::starting(self.text, value.start);
        if scanner.kind()? != Kind::Object {
            self.splices.replace(value, "{\"include_usage\":true}");
            return Ok(());
        }
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        let mut found = false;
        while let Some(key) = scanner.key()? {
            let inner = scanner.value()?;
            members.keep(&mut self.splices, key.start, inner.end);
            if key.name.decode() == "include_usage" {
                found = true;
                self.splices.replace(inner, "true");
            }
        }
        if !found {
            let mut tail = members.finish(&mut self.splices);
            tail.add(&mut self.splices, "\"include_usage\":true");
        }
        Ok(())
    }

    /// Adds what must be there and is not.
    fn add(&mut self, tail: &mut Tail) {
        // The client may have named it in `models` alone.
        if !self.has_model {
            let name = quoted(&self.target.endpoint.provider_model);
            tail.add(&mut self.splices, format!("\"model\":{name}"));
        }
        if let Some(clamp) = self.target.max_tokens_clamp
            && !self.has_limit
        {
            let name = self.limit_name.unwrap_or("max_tokens");
            tail.add(&mut self.splices, format!("\"{name}\":{clamp}"));
        }
        if self.call.stream && !self.has_stream_options && !self.has(Quirk::NoStreamOptions) {
            let member = "\"stream_options\":{\"include_usage\":true}";
            tail.add(&mut self.splices, member);
        }
        if let Some(search) = self.search.take() {
            tail.add(
                &mut self.splices,
                format!("\"web_search_options\":{search}"),
            );
        }
        if !self.has_tier
            && let Some(word) = self.target.tier_word(None)
        {
            tail.add(&mut self.splices, format!("\"service_tier\":{word}"));
        }
        let (call, target) = (self.call, self.target);
        let tools = call.demand.needs_tools;
        if call.stream && tools && self.has(Quirk::ToolStream) {
            tail.add(&mut self.splices, "\"tool_stream\":true");
        }
        if self.has_effort {
            return;
        }
        let forced = demands::forces_raw(call, self.text);
        for (name, value) in thinking::members(&call.reasoning, call.max_tokens, forced, target) {
            // Where the client uses the provider's own words, those stand.
            if self.has_own_words && thinking::is_own_word(name) {
                continue;
            }
            tail.add(&mut self.splices, format!("\"{name}\":{value}"));
        }
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.target.has(quirk)
    }
}

/// What the provider calls the longest answer; none when both names will do.
pub(super) fn limit_name(target: &Target<'_>) -> Option<&'static str> {
    let supported = &target.endpoint.supported_parameters;
    let old = supported.contains(&Parameter::MaxTokens);
    let new = supported.contains(&Parameter::MaxCompletionTokens);
    if target.has(Quirk::MaxCompletionTokens) {
        Some("max_completion_tokens")
    } else if target.has(Quirk::MaxTokensOnly) || (old && !new) {
        Some("max_tokens")
    } else if new && !old {
        Some("max_completion_tokens")
    } else {
        None
    }
}
