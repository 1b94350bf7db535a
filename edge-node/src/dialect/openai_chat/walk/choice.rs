//! One choice of a chunk or answer: its text, its calls and how it ends, brought into OpenAI's words.
//! What its body says is read in [`super::body`], its calls in [`super::call`].

use super::{Form, Seen, Walker};
use crate::dialect::calls::Calls;
use crate::dialect::openai_chat::content;
use crate::dialect::openai_chat::read::{gave_up, probabilities};
use crate::dialect::{classify, finish};
use crate::egress::quoted;
use crate::ingress::peek::CHOICES_MAX;
use crate::message::Finish;
use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};
use crate::wire::splice::{Members, Tail};

/// State of one choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) calls: Calls,
    pub(super) finish: Option<Finish>,
    pub(super) thoughts: content::Thoughts,
}

/// One choice of one chunk or answer.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) index: Option<u64>,
    /// Its place in `Walker::choices`.
    pub(super) at: usize,
    /// The finish reason; the place without a word is null.
    pub(super) finish_at: Option<Span>,
    pub(super) finish: Option<Str<'a>>,
    /// What the provider failed with, as written.
    pub(super) error: Option<&'a str>,
    pub(super) has_native: bool,
    pub(super) has_body: bool,
    /// Where the array of tool calls starts.
    pub(super) calls_at: Option<usize>,
    pub(super) content: Option<(Span, Str<'a>)>,
    /// Reasoning that stood inside the content, as the inside of a JSON string.
    pub(super) reasoning: String,
    /// Pictures that stood inside the content, as the insides of JSON strings.
    pub(super) images: Vec<String>,
    /// A refusal that stood inside the content.
    pub(super) refusal: String,
    /// Where `reasoning` stands, and how much it says.
    pub(super) named: Option<(Span, usize)>,
    /// The name and the value of reasoning under another name.
    pub(super) alias: Option<(Span, Str<'a>)>,
    pub(super) body_tail: Tail,
    pub(super) annotations: Option<Span>,
    /// Bytes of output.
    pub(super) bytes: u64,
    /// Output that has no bytes of text.
    pub(super) output: bool,
}

impl Walker {
    pub(super) fn choice<'a>(
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
        if index == 0 && part.has_body {
            seen.body = Some(part.body_tail);
            seen.annotations = part.annotations;
        }
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
            "error" if kind == Kind::Object => {
                let span = scanner.value()?;
                part.error = Some(scanner.raw(span));
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

    /// Probabilities of reasoning alone are no reason to leave out the list of the text's, nor are
    /// those in an older form.
    fn logprobs(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let span = scanner.clone().value()?;
        let older = probabilities::entries(scanner.raw(span));
        let mut has_content = false;
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            scanner.value()?;
            members.keep(&mut self.splices, key.start, scanner.at());
            has_content |= key.name.decode() == "content";
        }
        let mut tail = members.finish(&mut self.splices);
        if !has_content {
            let list = older.map_or_else(|| "null".to_owned(), |list| format!("[{list}]"));
            tail.add(&mut self.splices, format!("\"content\":{list}"));
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
        self.progress.unexplained |= part.finish.is_none();
        let has_output = output || self.progress.output_bytes > 0 || self.progress.owed;
        let finish = finish::finish_or_guess(&word, has_output);
        if finish == Finish::Error {
            self.fault = Some(gave_up(&self.name, &word, part.error));
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
    pub(super) fn call_id(&self, call: usize) -> String {
        let generation = self
            .envelope
            .id
            .trim_matches('"')
            .trim_start_matches("gen-");
        quoted(&format!("call_{generation}_{call}"))
    }
}
