//! One pass over a chunk or an answer: notes what the gateway must know of it and the splices that
//! make it ours. Everything else stays as the provider wrote it.

use crate::dialect::calls::Calls;
use crate::dialect::openai_chat::content;
use crate::dialect::openai_chat::counts::Counts;
use crate::dialect::{Target, classify, finish};
use crate::egress::{Envelope, quoted};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::ingress::peek::CHOICES_MAX;
use crate::message::{Finish, Progress, Served};
use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};
use crate::wire::splice::{Members, Splices, Tail};
use shared::catalog::Quirk;

mod body;
mod call;

/// The tiers that the API has words for; other words are names of a provider's ordinary one.
const TIERS: [&str; 6] = ["auto", "default", "fast", "flex", "priority", "scale"];

/// Which of the two forms of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `chat.completion.chunk`, with deltas.
    Chunk,
    /// `chat.completion`, with messages.
    Answer,
}

/// What one chunk or answer held.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many choices.
    pub(crate) choices: usize,
    /// True when something is said that was not said before.
    pub(crate) news: bool,
    /// Where members may be added.
    pub(crate) tail: Tail,
    has: Has,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each member that must be there"
)]
struct Has {
    id: bool,
    object: bool,
    created: bool,
    model: bool,
    provider: bool,
    fingerprint: bool,
}

/// State over the chunks of one answer.
#[derive(Debug)]
pub(crate) struct Walker {
    pub(crate) envelope: Envelope,
    pub(crate) progress: Progress,
    pub(crate) splices: Splices,
    /// A chunk to be sent before the one that was walked.
    pub(crate) before: String,
    /// The provider's name, for messages.
    pub(crate) name: String,
    /// The provider says which service tier served.
    pub(crate) names_tier: bool,
    form: Form,
    counts: Counts,
    choices: Vec<Choice>,
    /// Lengths of the lists of sources that came last.
    sources: (usize, usize),
    reasoning_outside: bool,
    think_tags: bool,
    /// What is wrong with the answer although it is JSON.
    fault: Option<Failure>,
}

/// State of one choice.
#[derive(Debug, Default)]
struct Choice {
    calls: Calls,
    finish: Option<Finish>,
    thoughts: content::Thoughts,
}

/// One choice of one chunk or answer.
#[derive(Debug, Default)]
struct Part<'a> {
    index: Option<u64>,
    /// Its place in `Walker::choices`.
    at: usize,
    /// The finish reason; the place without a word is null.
    finish_at: Option<Span>,
    finish: Option<Str<'a>>,
    has_native: bool,
    has_body: bool,
    /// Where the array of tool calls starts.
    calls_at: Option<usize>,
    content: Option<(Span, Str<'a>)>,
    /// Reasoning that stood inside the content, as the inside of a JSON string.
    reasoning: String,
    has_reasoning: bool,
    reasoning_content: Option<Span>,
    body_tail: Tail,
    /// Bytes of output.
    bytes: u64,
    /// Output that has no bytes of text.
    output: bool,
}

impl Walker {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        let form = if call.stream {
            Form::Chunk
        } else {
            Form::Answer
        };
        let has = |quirk| target.provider.quirks.contains(&quirk);
        Self {
            form,
            envelope: Envelope::new(call, target),
            progress: Progress::default(),
            splices: Splices::default(),
            before: String::new(),
            name: target.provider.name.clone(),
            names_tier: false,
            counts: Counts::default(),
            choices: Vec::new(),
            sources: (0, 0),
            reasoning_outside: has(Quirk::ReasoningOutsideCompletion),
            think_tags: has(Quirk::ThinkTags),
            fault: None,
        }
    }

    /// Walks one chunk or answer; its splices are in [`Walker::splices`] afterwards.
    pub(crate) fn walk(&mut self, text: &str) -> Result<Seen, Failure> {
        self.splices.clear();
        self.before.clear();
        let mut scanner = Scanner::new(text);
        let seen = self.object(&mut scanner, text);
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let seen = seen.map_err(|error| classify::garbage(&self.name, error.reason))?;
        scanner
            .end()
            .map_err(|error| classify::garbage(&self.name, error.reason))?;
        self.progress.usage = self.counts.usage(self.reasoning_outside);
        Ok(seen)
    }

    /// True when some choice has called a tool.
    pub(crate) fn has_calls(&self) -> bool {
        self.choices.iter().any(|choice| !choice.calls.is_empty())
    }

    /// The choices that have begun and not ended.
    pub(crate) fn open_choices(&self) -> impl Iterator<Item = usize> {
        let all = self.choices.iter().enumerate();
        all.filter(|(_, choice)| choice.finish.is_none())
            .map(|(index, _)| index)
    }

    fn object<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        text: &'a str,
    ) -> Result<Seen, SyntaxError> {
        let mut seen = Seen::default();
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            if self.top(scanner, text, &name, &mut seen)? {
                members.keep(&mut self.splices, key.start, scanner.at());
            } else {
                members.remove(&mut self.splices, key.start, scanner.at());
            }
        }
        seen.tail = members.finish(&mut self.splices);
        self.complete(&mut seen);
        Ok(seen)
    }

    /// Consumes one top-level value; false takes the member out.
    fn top<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        text: &'a str,
        name: &str,
        seen: &mut Seen,
    ) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        match name {
            "choices" if kind == Kind::Array => {
                scanner.begin_array()?;
                while scanner.element()? {
                    self.choice(scanner, text, seen)?;
                    seen.choices += 1;
                }
            }
            "error" => {
                let span = scanner.value()?;
                if kind != Kind::Null {
                    let error = scanner.raw(span);
                    self.fault
                        .get_or_insert_with(|| classify::in_band(&self.name, error));
                }
                return Ok(false);
            }
            "usage" => {
                self.counts.read(scanner)?;
                return Ok(false);
            }
            "x_groq" if kind == Kind::Object => self.x_groq(scanner)?,
            // Most repeat them in each chunk.
            "citations" | "search_results" if kind == Kind::Array => {
                let span = scanner.value()?;
                let length = scanner.raw(span).len();
                let known = match name {
                    "citations" => &mut self.sources.0,
                    _ => &mut self.sources.1,
                };
                seen.news |= length > 2 && length != *known;
                *known = length;
            }
            // Random padding.
            "obfuscation" => {
                scanner.value()?;
                return Ok(false);
            }
            _ => return self.mark(scanner, name, seen),
        }
        Ok(true)
    }

    /// Groq repeats its usage here.
    fn x_groq(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            if key.name.decode() == "usage" {
                self.counts.read(scanner)?;
                members.remove(&mut self.splices, key.start, scanner.at());
            } else {
                scanner.value()?;
                members.keep(&mut self.splices, key.start, scanner.at());
            }
        }
        members.finish(&mut self.splices);
        Ok(())
    }

    /// Consumes a top-level value and puts our mark on it where it has one.
    fn mark(
        &mut self,
        scanner: &mut Scanner<'_>,
        name: &str,
        seen: &mut Seen,
    ) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        if name == "id" && kind == Kind::String && self.progress.upstream_id.is_empty() {
            let id = scanner.clone().string()?;
            self.progress.upstream_id = id.decode().into_owned();
        }
        if name == "service_tier" {
            self.names_tier = true;
            let word = scanner.clone().string().ok();
            let served = word.and_then(|word| Served::parse(&word.decode()));
            self.progress.served = served.or(self.progress.served);
        }
        let span = scanner.value()?;
        let raw = scanner.raw(span);
        let new: &str = match name {
            "id" => {
                seen.has.id = true;
                &self.envelope.id
            }
            "model" => {
                seen.has.model = true;
                &self.envelope.model
            }
            "provider" => {
                seen.has.provider = true;
                &self.envelope.provider
            }
            "object" => {
                seen.has.object = true;
                self.form.object()
            }
            "created" => {
                seen.has.created = true;
                if json::count(raw).is_none_or(|created| created == 0) {
                    let created = self.envelope.created.to_string();
                    self.splices.replace(span, created);
                }
                return Ok(true);
            }
            "system_fingerprint" => {
                seen.has.fingerprint = true;
                // In a chunk it must be a string or absent.
                return Ok(self.form == Form::Answer || kind == Kind::String);
            }
            "service_tier" if kind == Kind::String => {
                let told = raw.get(1..raw.len() - 1).unwrap_or("");
                if !TIERS.contains(&told) {
                    self.splices.replace(span, "\"default\"");
                }
                return Ok(true);
            }
            _ => return Ok(true),
        };
        if raw != new {
            self.splices.replace(span, new);
        }
        Ok(true)
    }

    /// Adds the marks that were missing.
    fn complete(&mut self, seen: &mut Seen) {
        let Self {
            splices,
            envelope,
            form,
            ..
        } = self;
        let mut add = |missing: bool, name: &str, value: &str| {
            if missing {
                seen.tail.add_with(splices, |text| {
                    text.extend_from_slice(name.as_bytes());
                    text.extend_from_slice(value.as_bytes());
                });
            }
        };
        let has = &seen.has;
        add(!has.id, "\"id\":", &envelope.id);
        add(!has.object, "\"object\":", form.object());
        if !has.created {
            add(true, "\"created\":", &envelope.created.to_string());
        }
        add(!has.model, "\"model\":", &envelope.model);
        add(!has.provider, "\"provider\":", &envelope.provider);
        let fingerprint = *form == Form::Answer && !has.fingerprint;
        add(fingerprint, "\"system_fingerprint\":", "null");
    }

    fn choice<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        text: &'a str,
        seen: &mut Seen,
    ) -> Result<(), SyntaxError> {
        let mut part = Part::default();
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            if self.choice_member(scanner, &name, &mut part)? {
                members.keep(&mut self.splices, key.start, scanner.at());
            } else {
                members.remove(&mut self.splices, key.start, scanner.at());
            }
        }
        let mut tail = members.finish(&mut self.splices);
        if part.index.is_none() {
            tail.add(&mut self.splices, format!("\"index\":{}", seen.choices));
        }
        let index = part.index.unwrap_or(seen.choices as u64);
        let Some(index) = usize::try_from(index).ok().filter(|_| index < CHOICES_MAX) else {
            self.fault = Some(classify::too_large(&self.name, "128 choices"));
            return Ok(());
        };
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Choice::default);
        }
        if !part.has_body {
            match self.form {
                Form::Chunk => tail.add(&mut self.splices, "\"delta\":{}"),
                // Azure, where its filter took all of it.
                Form::Answer if part.finish.is_some() => {
                    let message = "\"message\":{\"role\":\"assistant\",\"content\":null}";
                    tail.add(&mut self.splices, message);
                }
                Form::Answer => {
                    self.fault = Some(classify::garbage(&self.name, "a choice has no message"));
                }
            }
        }
        part.at = index;
        self.settle_text(&mut part);
        if let Some(at) = part.calls_at {
            part.output |= self.calls(&mut Scanner::starting(text, at), &part)?;
        }
        self.settle_finish(&part, &mut tail, seen);
        Ok(())
    }

    /// Consumes one value of a choice; false takes the member out.
    fn choice_member<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: &str,
        part: &mut Part<'a>,
    ) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        match name {
            "index" => {
                let span = scanner.value()?;
                part.index = json::count(scanner.raw(span));
                return Ok(part.index.is_some());
            }
            "delta" | "message" if self.form.body() == name => {
                if kind == Kind::Object {
                    part.has_body = true;
                    self.body(scanner, part)?;
                } else {
                    scanner.value()?;
                    return Ok(false);
                }
            }
            "finish_reason" => {
                if kind == Kind::String {
                    let word = scanner.clone().string()?;
                    part.finish = Some(word).filter(|word| !word.is_empty());
                }
                let span = scanner.value()?;
                part.finish_at = Some(span);
                if kind == Kind::String && part.finish.is_none() {
                    self.splices.replace(span, "null");
                }
            }
            "native_finish_reason" => {
                part.has_native = true;
                scanner.value()?;
            }
            "logprobs" if kind == Kind::Object => self.logprobs(scanner)?,
            // Older Moonshot.
            "usage" => {
                self.counts.read(scanner)?;
                return Ok(false);
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(true)
    }

    /// Probabilities of reasoning alone are no reason to leave out the list of the text's.
    fn logprobs(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let mut has_content = false;
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            scanner.value()?;
            members.keep(&mut self.splices, key.start, scanner.at());
            has_content |= key.name.inner() == "content";
        }
        let mut tail = members.finish(&mut self.splices);
        if !has_content {
            tail.add(&mut self.splices, "\"content\":null");
        }
        Ok(())
    }

    /// Brings the end of a choice into OpenAI's words and notes what is new.
    fn settle_finish(&mut self, part: &Part<'_>, tail: &mut Tail, seen: &mut Seen) {
        let (index, form) = (part.at, self.form);
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        let had_finish = choice.finish.is_some();
        let output = part.bytes > 0 || part.output;
        self.progress.output_bytes += part.bytes;
        self.progress.owed |= output;
        // A finish that is repeated, with nothing else, only carried usage.
        seen.news |= output || !had_finish;
        let word = match (part.finish, form) {
            (Some(word), _) => word.decode(),
            (None, Form::Chunk) => {
                if part.finish_at.is_none() {
                    tail.add(&mut self.splices, "\"finish_reason\":null");
                }
                return;
            }
            (None, Form::Answer) if choice.calls.is_empty() => "stop".into(),
            (None, Form::Answer) => "tool_calls".into(),
        };
        let has_output = output || self.progress.output_bytes > 0 || self.progress.owed;
        let finish = finish::finish_or_guess(&word, has_output);
        if finish == Finish::Error {
            let message = format!("{} gave up: {}", self.name, word);
            self.fault = Some(Failure::provider(502, "finish_error", message));
            return;
        }
        let ours = format!("\"{}\"", finish.as_str());
        match part.finish_at {
            Some(_) if part.finish.is_some_and(|word| word.raw() == ours) => {}
            Some(span) => self.splices.replace(span, ours),
            None => tail.add(&mut self.splices, format!("\"finish_reason\":{ours}")),
        }
        if !part.has_native {
            let native = part.finish.map_or("null", Str::raw);
            tail.add(
                &mut self.splices,
                format!("\"native_finish_reason\":{native}"),
            );
        }
        choice.finish = Some(finish);
        self.progress.owed = true;
        self.progress.finish_reason = Some(finish);
        let complete = matches!(finish, Finish::Stop | Finish::ToolCalls);
        if complete {
            self.settle_calls(index);
        }
    }

    /// All calls have come: gives arguments to those without, checks the others.
    fn settle_calls(&mut self, index: usize) {
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        self.progress.tool_error |= !choice.calls.are_sound();
        if self.form == Form::Answer {
            return;
        }
        let bare: Vec<usize> = choice.calls.bare().collect();
        for call in bare {
            choice.calls.argue(call, "{}");
            let delta = format!(
                "{{\"tool_calls\":[{{\"index\":{call},\"function\":{{\"arguments\":\"{{}}\"}}}}]}}"
            );
            let mut chunk = bytes::BytesMut::new();
            self.envelope.begin_chunk(&mut chunk);
            self.before.push_str(&String::from_utf8_lossy(&chunk));
            self.before.push_str(&format!(
                "\"choices\":[{{\"index\":{index},\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
            ));
        }
    }

    /// An id for a call that came without one.
    fn call_id(&self, call: usize) -> String {
        let generation = self
            .envelope
            .id
            .trim_matches('"')
            .trim_start_matches("gen-");
        quoted(&format!("call_{generation}_{call}"))
    }
}

impl Form {
    const fn object(self) -> &'static str {
        match self {
            Self::Chunk => "\"chat.completion.chunk\"",
            Self::Answer => "\"chat.completion\"",
        }
    }

    const fn body(self) -> &'static str {
        match self {
            Self::Chunk => "delta",
            Self::Answer => "message",
        }
    }
}
