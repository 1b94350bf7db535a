//! Writes the contents: user and model in turn, neighbours merged, results of tools first and in
//! the order of their calls. Signatures go back to the part that they came with.

use crate::dialect::gemini::Host;
use crate::dialect::gemini::media;
use crate::dialect::gemini::model::Model;
use crate::dialect::write::{List, put, refuse, run};
use crate::failure::Failure;
use crate::message::{DetailKind, Json, Part, Place, Role, Thought, Turn};
use crate::wire::json::{self, Kind, Str};

mod result;

/// Reasoning of other makers carries signatures that this dialect's providers refuse.
const MAKER: &str = "google";
/// What Google documents for calls whose signature is lost or that another model made.
const NO_SIGNATURE: &str = "\"skip_thought_signature_validator\"";

/// Appends the contents, with commas between them.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(turns: &[Turn<'_>], model: Model, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut writer = Writer {
        model,
        calls: Vec::new(),
        contents: List::default(),
        results: Vec::new(),
        rest: List::default(),
        speaker: Role::User,
        has_call: false,
    };
    for turn in turns.iter().filter(|turn| !turn.role.is_system()) {
        let role = match turn.role {
            Role::Assistant => Role::Assistant,
            Role::System | Role::Developer | Role::User | Role::Tool => Role::User,
        };
        if role != writer.speaker {
            writer.end();
            writer.speaker = role;
        }
        match turn.role {
            Role::Tool => writer.result(turn)?,
            Role::Assistant => writer.said(turn)?,
            Role::System | Role::Developer | Role::User => writer.asked(turn)?,
        }
    }
    writer.end();
    if writer.contents.is_empty() {
        return Err(refuse("messages", "needs a message of the user"));
    }
    out.extend_from_slice(writer.contents.as_bytes());
    Ok(())
}

/// Contents that are being put together.
struct Writer<'a> {
    model: Model,
    /// The calls so far: id and function.
    calls: Vec<(Str<'a>, Str<'a>)>,
    contents: List,
    /// Results of tools, with the place of their call.
    results: Vec<(usize, Vec<u8>)>,
    rest: List,
    speaker: Role,
    /// The content has a call: only the first of a turn must be signed.
    has_call: bool,
}

/// What belongs to the parts of one turn of the model's.
#[derive(Default)]
struct Signatures<'t, 'a> {
    /// With the id of the call that they belong to.
    bound: Vec<(Str<'a>, &'t Thought<'a>)>,
    /// Of texts and pictures, in order.
    free: Vec<&'t Thought<'a>>,
}

impl<'a> Writer<'a> {
    fn end(&mut self) {
        self.results.sort_by_key(|(place, _)| *place);
        let mut parts = List::default();
        for (_, result) in self.results.drain(..) {
            parts.item().extend_from_slice(&result);
        }
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            parts.item().extend_from_slice(rest.as_bytes());
        }
        self.has_call = false;
        if parts.is_empty() {
            return;
        }
        let role = if self.speaker == Role::Assistant {
            "model"
        } else {
            "user"
        };
        let out = self.contents.item();
        put(out, &["{\"role\":\"", role, "\",\"parts\":["]);
        out.extend_from_slice(parts.as_bytes());
        put(out, &["]}"]);
    }

    fn asked(&mut self, turn: &Turn<'a>) -> Result<(), Failure> {
        for (index, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text { text, .. } | Part::Refusal(text) => self.text(*text, None),
                Part::Reasoning(_) => {}
                part => self.media(part, (turn.place, index), None)?,
            }
        }
        Ok(())
    }

    /// What the model said. The last free signatures belong to the last parts that may have one.
    fn said(&mut self, turn: &Turn<'a>) -> Result<(), Failure> {
        let mut signatures = Signatures::of(turn);
        let room = turn.parts.iter().filter(|part| may_be_signed(part)).count();
        let over = signatures.free.len().saturating_sub(room);
        let own = signatures.free.split_off(over);
        let mut unsigned = room - own.len();
        let (mut own, mut left) = (own.into_iter(), signatures.free.into_iter());
        for (index, part) in turn.parts.iter().enumerate() {
            let mut next = || {
                if unsigned > 0 {
                    unsigned -= 1;
                    return None;
                }
                own.next()
            };
            match part {
                Part::Text { text, .. } | Part::Refusal(text) => {
                    let signature = if text.is_empty() { None } else { next() };
                    self.text(*text, signature);
                }
                Part::Reasoning(thought) => self.thought(thought),
                Part::Call {
                    id,
                    name,
                    arguments,
                    ..
                } => {
                    let place = turn.place;
                    let bound = signatures.bound.iter();
                    let bound = bound.rev().find(|(of, _)| same(*of, *id)).map(|(_, s)| *s);
                    let signature = bound.or_else(|| left.next());
                    let arguments = object(*arguments, place)?;
                    self.call((*id, *name), &arguments, signature);
                }
                part => {
                    let signature = if may_be_signed(part) { next() } else { None };
                    self.media(part, (turn.place, index), signature)?;
                }
            }
        }
        // Nothing is left to carry these; they still may not be lost.
        for signature in left {
            let out = self.rest.item();
            put(out, &["{\"text\":\"\""]);
            sign(Some(signature), out);
            out.push(b'}');
        }
        Ok(())
    }

    /// Empty texts are refused by the provider.
    fn text(&mut self, text: Str<'_>, signature: Option<&Thought<'_>>) {
        if text.is_empty() {
            return;
        }
        let out = self.rest.item();
        put(out, &["{\"text\":", text.raw()]);
        sign(signature, out);
        out.push(b'}');
    }

    fn media(
        &mut self,
        part: &Part<'_>,
        (place, index): (Place, usize),
        signature: Option<&Thought<'_>>,
    ) -> Result<(), Failure> {
        let place = format!("{place}.content[{index}]");
        let mut whole = b"{".to_vec();
        media::member(part, &place, &mut whole)?;
        sign(signature, &mut whole);
        whole.push(b'}');
        self.rest.item().extend_from_slice(&whole);
        Ok(())
    }

    /// Thoughts go back as they came. Those of nobody known are not the model's.
    fn thought(&mut self, thought: &Thought<'_>) {
        if thought.kind == DetailKind::Tool {
            return run(thought, &mut self.rest);
        }
        let is_own = thought.format.is_some() && thought.is_of(MAKER);
        if thought.kind == DetailKind::Encrypted || !is_own || thought.texts.is_empty() {
            return;
        }
        let out = self.rest.item();
        put(out, &["{\"text\":\""]);
        for text in &thought.texts {
            put(out, &[text.inner()]);
        }
        put(out, &["\",\"thought\":true"]);
        if let Some(signature) = thought.signature {
            put(out, &[",\"thoughtSignature\":", signature.raw()]);
        }
        out.push(b'}');
    }

    fn call(&mut self, call: (Str<'a>, Str<'a>), arguments: &str, signature: Option<&Thought<'_>>) {
        let (id, name) = call;
        self.calls.push(call);
        let needs_one = self.model.is_third() && !self.has_call;
        self.has_call = true;
        let out = self.rest.item();
        put(out, &["{\"functionCall\":{"]);
        if has_ids(self.model) && !id.is_empty() {
            put(out, &["\"id\":", id.raw(), ","]);
        }
        put(
            out,
            &["\"name\":", name.raw(), ",\"args\":", arguments, "}"],
        );
        if signature.is_none() && needs_one {
            put(out, &[",\"thoughtSignature\":", NO_SIGNATURE]);
        }
        sign(signature, out);
        out.push(b'}');
    }
}

impl<'t, 'a> Signatures<'t, 'a> {
    fn of(turn: &'t Turn<'a>) -> Self {
        let has_call = |id: Str<'_>| {
            let call = |part: &Part<'_>| matches!(part, Part::Call { id: of, .. } if same(*of, id));
            turn.parts.iter().any(call)
        };
        let mut all = Self::default();
        for part in &turn.parts {
            let Part::Reasoning(thought) = part else {
                continue;
            };
            let is_own = thought.kind == DetailKind::Encrypted && thought.is_of(MAKER);
            match thought.id {
                _ if !is_own || thought.texts.is_empty() => {}
                Some(id) if has_call(id) => all.bound.push((id, thought)),
                _ => all.free.push(thought),
            }
        }
        all
    }
}

fn may_be_signed(part: &Part<'_>) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => !text.is_empty(),
        Part::Image { .. } => true,
        _ => false,
    }
}

/// Ids came with Gemini 3; Vertex refused them for long and matches by order as well.
fn has_ids(model: Model) -> bool {
    model.is_third() && model.host == Host::Studio
}

fn same(one: Str<'_>, other: Str<'_>) -> bool {
    one.raw() == other.raw() || one.decode() == other.decode()
}

fn sign(signature: Option<&Thought<'_>>, out: &mut Vec<u8>) {
    if let Some(signature) = signature {
        put(out, &[",\"thoughtSignature\":\""]);
        for text in &signature.texts {
            put(out, &[text.inner()]);
        }
        out.push(b'"');
    }
}

/// Arguments as an object, digit for digit as the client has them.
fn object(arguments: Json<'_>, place: Place) -> Result<String, Failure> {
    let text = arguments.text();
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    if json::check(&text) == Ok(Kind::Object) {
        return Ok(text.into_owned());
    }
    let place = format!("{place}.tool_calls");
    let why = "takes only arguments that are a JSON object";
    Err(refuse(&place, why))
}
