//! One pass over a chunk or an answer: notes what the gateway must know of it and the splices that
//! make it ours. Everything else stays as the provider wrote it.

use crate::dialect::openai_chat::counts::Counts;
use crate::dialect::openai_chat::executed::Executed;
use crate::dialect::{Target, classify};
use crate::egress::Envelope;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Progress, Served};
use crate::wire::json::{self, Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Splices, Tail};
use shared::catalog::Quirk;

mod body;
mod call;
mod choice;
mod sources;

use choice::Choice;
use sources::Sources;

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
    /// There is a list of them, if an empty one.
    has_choices: bool,
    /// True when something is said that was not said before.
    pub(crate) news: bool,
    /// Where members may be added.
    pub(crate) tail: Tail,
    /// Where members may be added to the first choice's delta or message.
    body: Option<Tail>,
    /// The first choice's own annotations.
    annotations: Option<Span>,
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
    sources: Sources,
    /// Tools that the provider ran.
    executed: Executed,
    reasoning_outside: bool,
    think_tags: bool,
    /// What is wrong with the answer although it is JSON.
    fault: Option<Failure>,
}

impl Walker {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        let form = if call.stream {
            Form::Chunk
        } else {
            Form::Answer
        };
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
            sources: Sources::default(),
            executed: Executed::default(),
            reasoning_outside: target.has(Quirk::ReasoningOutsideCompletion),
            think_tags: target.has(Quirk::ThinkTags),
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
        if !seen.has_choices
            && let Some(failure) = classify::bare(&self.name, text)
        {
            return Err(failure);
        }
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
        self.annotate(text, &mut seen);
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
                seen.has_choices = true;
                scanner.begin_array()?;
                while scanner.element()? {
                    self.choice(scanner, text, seen)?;
                    seen.choices += 1;
                }
            }
            "error" => {
                self.error(scanner)?;
                return Ok(false);
            }
            "usage" => {
                self.counts.read(scanner)?;
                return Ok(false);
            }
            "x_groq" if kind == Kind::Object => self.x_groq(scanner)?,
            "citations" | "search_results" if kind == Kind::Array => {
                let span = scanner.value()?;
                seen.news |= self.sources.note(name, scanner.raw(span));
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

    /// Consumes an error, or null.
    fn error(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let kind = scanner.kind()?;
        let span = scanner.value()?;
        if kind != Kind::Null {
            let error = scanner.raw(span);
            self.fault
                .get_or_insert_with(|| classify::in_band(&self.name, error));
        }
        Ok(())
    }

    /// Groq repeats its usage here, and tells of errors.
    fn x_groq(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            match &*key.name.decode() {
                "usage" => {
                    self.counts.read(scanner)?;
                    members.remove(&mut self.splices, key.start, scanner.at());
                    continue;
                }
                "error" => self.error(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            members.keep(&mut self.splices, key.start, scanner.at());
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
