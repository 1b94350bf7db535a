//! The edits of what passes: our marks, the cost, and the members that clients demand and older or
//! lesser servers of this API leave out.

use super::Body;
use crate::dialect::Bill;
use crate::dialect::openai_responses::fields::Fields;
use crate::egress::responses::usage;
use crate::wire::json::{Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Tail};

/// How many calls of an answer may be open at once for their names to be known at their end.
const OPEN_CALLS_MAX: usize = 128;
/// Members that every response object has, and what they are when nobody said.
const DEMANDED: [(&str, &str); 13] = [
    ("completed_at", "null"),
    ("error", "null"),
    ("incomplete_details", "null"),
    ("instructions", "null"),
    ("metadata", "{}"),
    ("output", "[]"),
    ("parallel_tool_calls", "true"),
    ("temperature", "null"),
    ("top_p", "null"),
    ("frequency_penalty", "null"),
    ("presence_penalty", "null"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
];

impl Body {
    /// Notes the edits of an event.
    pub(super) fn mark(&mut self, data: &str, bill: Option<&Bill<'_>>) -> Result<(), SyntaxError> {
        self.splices.clear();
        let has = |word: &str| memchr::memmem::find(data.as_bytes(), word.as_bytes()).is_some();
        if !has("\"sequence_number\"") {
            let number = format!("\"sequence_number\":{},", self.number);
            let inside = data.find('{').map_or(0, |brace| brace + 1);
            self.splices.insert(inside, number);
        }
        if has("\"response\"") || has("\"item\"") || has("call_arguments.done") {
            let event = Fields::whole(data)?;
            if let Some(item) = event.item {
                self.mark_item(&mut Scanner::starting(data, item.start))?;
            }
            self.follow_call(data, &event)?;
            self.kept.note(data, &event);
            if let Some(response) = event.response {
                self.mark_response(data, response, bill)?;
            }
        }
        Ok(())
    }

    /// At the end of a call's arguments its function is named again.
    fn follow_call(&mut self, data: &str, event: &Fields<'_>) -> Result<(), SyntaxError> {
        let kind = event.kind.map(|kind| kind.inner());
        let place = event.output_index;
        match (kind, event.item) {
            (Some("response.output_item.added"), Some(item)) => {
                let item = Fields::at(data, item)?;
                if let Some(name) = item.name.filter(|_| self.calls.len() < OPEN_CALLS_MAX) {
                    self.calls.push((place, name.raw().to_owned()));
                }
            }
            (Some("response.output_item.done"), _) => self.calls.retain(|(of, _)| *of != place),
            (Some("response.function_call_arguments.done"), _) if event.name.is_none() => {
                let name = self.calls.iter().find(|(of, _)| *of == place);
                let end = data.rfind('}').unwrap_or(data.len());
                if let Some((_, name)) = name {
                    self.splices.insert(end, format!(",\"name\":{name}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes the edits of a response object; with a bill it gets its cost.
    pub(super) fn mark_response(
        &mut self,
        data: &str,
        response: Span,
        bill: Option<&Bill<'_>>,
    ) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::starting(data, response.start);
        let (mut has_usage, mut has_provider) = (false, false);
        let mut missing = DEMANDED.map(Some);
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let mut value = scanner.clone();
            let span = scanner.value()?;
            members.keep(&mut self.splices, key.start, span.end);
            let name = key.name.decode();
            for demanded in &mut missing {
                demanded.take_if(|(demanded, _)| *demanded == name);
            }
            match (&*name, bill) {
                ("id", _) => self.splices.replace(span, &self.envelope.id),
                ("model", _) => self.splices.replace(span, &self.envelope.model),
                ("provider", _) => {
                    has_provider = true;
                    self.splices.replace(span, &self.envelope.provider);
                }
                ("output", _) if kind == Kind::Array => {
                    value.begin_array()?;
                    while value.element()? {
                        self.mark_item(&mut value)?;
                    }
                }
                ("text", _) if kind == Kind::Object => self.mark_form(&mut value)?,
                ("usage", Some(bill)) => {
                    has_usage = true;
                    self.price(&mut value, (kind, span), bill)?;
                }
                _ => {}
            }
        }
        let mut tail = members.finish(&mut self.splices);
        for (name, value) in missing.into_iter().flatten() {
            tail.add(&mut self.splices, format!("\"{name}\":{value}"));
        }
        if !has_provider {
            let provider = format!("\"provider\":{}", self.envelope.provider);
            tail.add(&mut self.splices, provider);
        }
        if let Some(bill) = bill {
            if !has_usage {
                let usage = format!("\"usage\":{}", usage::object(bill));
                tail.add(&mut self.splices, usage);
            }
            if let Some(told) = bill.told.strip_prefix(',') {
                tail.add(&mut self.splices, told);
            }
        }
        Ok(())
    }

    /// The form of the answer, which is told again: a description is a string or absent.
    fn mark_form(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            if key.name.decode() != "format" || scanner.kind()? != Kind::Object {
                scanner.value()?;
                continue;
            }
            scanner.begin_object()?;
            let mut members = Members::new(scanner.at());
            while let Some(key) = scanner.key()? {
                let is_null = scanner.kind()? == Kind::Null;
                let end = scanner.value()?.end;
                if is_null && key.name.decode() == "description" {
                    members.remove(&mut self.splices, key.start, end);
                } else {
                    members.keep(&mut self.splices, key.start, end);
                }
            }
            members.finish(&mut self.splices);
        }
        Ok(())
    }

    /// The provider's own counts, and what they cost; ours where it gives none.
    fn price(
        &mut self,
        scanner: &mut Scanner<'_>,
        (kind, span): (Kind, Span),
        bill: &Bill<'_>,
    ) -> Result<(), SyntaxError> {
        if kind != Kind::Object {
            self.splices.replace(span, usage::object(bill));
            return Ok(());
        }
        let (mut has_input, mut has_output) = (false, false);
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let mut value = scanner.clone();
            let end = scanner.value()?.end;
            let name = key.name.decode();
            if matches!(&*name, "cost" | "is_byok" | "cost_details") {
                members.remove(&mut self.splices, key.start, end);
                continue;
            }
            members.keep(&mut self.splices, key.start, end);
            if name == "input_tokens_details" && kind == Kind::Object {
                has_input = true;
                let counts = usage::input_details(bill.usage);
                self.counts(&mut value, &counts)?;
            } else if name == "output_tokens_details" && kind == Kind::Object {
                has_output = true;
                let counts = usage::output_details(bill.usage);
                self.counts(&mut value, &counts)?;
            }
        }
        let mut tail = members.finish(&mut self.splices);
        if !has_input {
            let counts = usage::input_details(bill.usage);
            add(&mut tail, self, "input_tokens_details", &counts);
        }
        if !has_output {
            let counts = usage::output_details(bill.usage);
            add(&mut tail, self, "output_tokens_details", &counts);
        }
        tail.add(&mut self.splices, usage::cost(bill));
        Ok(())
    }

    /// Adds those of our counts that an object of counts lacks.
    fn counts(
        &mut self,
        scanner: &mut Scanner<'_>,
        counts: &[(&'static str, u64)],
    ) -> Result<(), SyntaxError> {
        let mut missing = counts.to_vec();
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let end = scanner.value()?.end;
            members.keep(&mut self.splices, key.start, end);
            missing.retain(|(name, _)| key.name.decode() != *name);
        }
        let mut tail = members.finish(&mut self.splices);
        for (name, count) in missing {
            tail.add(&mut self.splices, format!("\"{name}\":{count}"));
        }
        Ok(())
    }

    /// Consumes an item. Reasoning is marked with its maker, so that it goes back to no other.
    fn mark_item(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(());
        }
        let (mut is_reasoning, mut is_search, mut action) = (false, false, None);
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let place = (scanner.kind()? == Kind::Object).then(|| scanner.clone());
            let value = scanner.value()?;
            members.keep(&mut self.splices, key.start, value.end);
            match &*key.name.decode() {
                "type" => {
                    is_reasoning = scanner.raw(value) == "\"reasoning\"";
                    is_search = scanner.raw(value) == "\"web_search_call\"";
                }
                "action" => action = place,
                _ => {}
            }
        }
        if let Some(maker) = self.maker.filter(|_| is_reasoning) {
            let mut tail = members.finish(&mut self.splices);
            tail.add(&mut self.splices, format!("\"format\":\"{maker}\""));
        }
        if let Some(mut action) = action.filter(|_| is_search) {
            self.mark_search(&mut action)?;
        }
        Ok(())
    }

    /// A search says for what, also where the server does not tell.
    fn mark_search(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let (mut is_search, mut has_query) = (false, false);
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let value = scanner.value()?;
            members.keep(&mut self.splices, key.start, value.end);
            let name = key.name.decode();
            is_search |= name == "type" && scanner.raw(value) == "\"search\"";
            has_query |= name == "query";
        }
        if is_search && !has_query {
            let mut tail = members.finish(&mut self.splices);
            tail.add(&mut self.splices, "\"query\":\"\"");
        }
        Ok(())
    }
}

fn add(tail: &mut Tail, body: &mut Body, name: &str, counts: &[(&'static str, u64)]) {
    let mut text = format!("\"{name}\":{{");
    for (place, (name, count)) in counts.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\"{name}\":{count}"));
    }
    text.push('}');
    tail.add(&mut body.splices, text);
}
