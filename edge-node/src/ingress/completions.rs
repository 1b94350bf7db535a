//! The legacy API for text completions: a prompt is one turn of the user. What no upstream of
//! conversations can do (tokens as a prompt, several prompts, `suffix`, `echo`, `best_of`, tools)
//! is refused by its name.

use crate::failure::Failure;
use crate::ingress::peek::{Field, Grammar, Peek, Refused, boolean, expect, integer};
use crate::ingress::read::{self, Found, texts_of, wrong};
use crate::ingress::{Call, chat};
use crate::message::{Part, Place, Request, Role, Turn};
use crate::wire::json::{Kind, Scanner};
use shared::catalog::Parameter;

/// How many alternatives to each token may be asked for.
const LOGPROBS_MAX: u64 = 20;

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "prompt",
    field: |name| match name {
        "prompt" => Field::Turns,
        "suffix" => Field::Special("suffix"),
        "echo" => Field::Special("echo"),
        "best_of" => Field::Special("best_of"),
        "logprobs" => Field::Special("logprobs"),
        "tools" => Field::Special("tools"),
        _ => Field::common(name),
    },
    kinds: |field| match field {
        Field::Turns => &[Kind::String, Kind::Array],
        Field::Special("suffix") => &[Kind::String],
        Field::Special("echo") => &[Kind::Bool],
        Field::Special("tools") => &[Kind::Array],
        _ => &[Kind::Number],
    },
    read: peek,
};

fn peek(peek: &mut Peek, scanner: &mut Scanner<'_>, field: Field) -> Result<(), Refused> {
    let lacks = |name: &str, what: &str| {
        let why = format!("is not available: {what}; use chat/completions, or leave it out");
        Err(wrong(name, &why))
    };
    match field {
        Field::Turns => {
            peek.survey.messages = 1;
            prompt(peek, scanner)?;
        }
        Field::Special("suffix") if !scanner.string()?.is_empty() => {
            return lacks("suffix", "models of conversations write no middles");
        }
        Field::Special("echo") if boolean(scanner)? => {
            return lacks("echo", "models of conversations do not repeat the prompt");
        }
        Field::Special("best_of") if integer(scanner, "best_of", 1, u64::MAX)? > 1 => {
            return lacks("best_of", "answers are given as they come");
        }
        Field::Special("tools") => {
            scanner.begin_array()?;
            if scanner.element()? {
                return lacks("tools", "a text completion has no place for calls");
            }
        }
        Field::Special("logprobs") => {
            integer(scanner, "logprobs", 0, LOGPROBS_MAX)?;
            let both = [Parameter::Logprobs, Parameter::TopLogprobs];
            peek.parameters.extend(both);
        }
        // Taken by its guard.
        _ => {}
    }
    Ok(())
}

/// Consumes the prompt: a text, or a list of one.
fn prompt(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    if scanner.kind()? == Kind::String {
        peek.survey.text(scanner.string()?.inner().len());
        return Ok(());
    }
    let mut count = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let kind = scanner.kind()?;
        if matches!(kind, Kind::Number | Kind::Array) {
            let why = "must be text: tokens are numbered otherwise by each model";
            return Err(wrong("prompt", why));
        }
        expect(&format!("prompt[{count}]"), &[Kind::String], kind)?;
        peek.survey.text(scanner.string()?.inner().len());
        count += 1;
    }
    match count {
        1 => Ok(()),
        0 => Err(wrong("prompt", "is empty")),
        _ => Err(wrong("prompt", "may hold one text; send one request each")),
    }
}

/// The body as a request.
///
/// # Errors
/// 400, with the place. Another endpoint may help.
pub(super) fn request(call: &Call) -> Result<Request<'_>, Failure> {
    read::request(call, own)
}

fn own<'a>(found: Found<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    let mut scanner = found.scanner;
    let scanner = &mut scanner;
    match found.field {
        Field::Turns => {
            let place = Place {
                list: GRAMMAR.turns,
                index: 0,
            };
            let mut turn = Turn::new(Role::User, place);
            let texts = texts_of(scanner, GRAMMAR.turns)?;
            turn.parts.extend(texts.into_iter().map(Part::plain));
            request.turns.push(turn);
        }
        Field::Special("logprobs") => {
            request.parameters.push((Parameter::Logprobs, "true"));
            if found.raw != "0" {
                request.parameters.push((Parameter::TopLogprobs, found.raw));
            }
        }
        Field::Parameter(Parameter::Stop) => request.stop = texts_of(scanner, "stop")?,
        Field::Parameter(Parameter::ResponseFormat) => request.format = chat::format(scanner)?,
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{Api, Surface, parse};
    use http::HeaderMap;

    fn read(body: &str) -> Result<Call, Failure> {
        let body = body.to_owned().into();
        let headers = HeaderMap::new();
        parse(Api::Completions, Surface::OpenAi, &headers, body)
    }

    fn with(members: &str) -> Result<Call, Failure> {
        read(&format!(r#"{{"model":"a/b",{members}}}"#))
    }

    #[track_caller]
    fn refused(members: &str, param: &str) {
        let failure = with(members).unwrap_err();
        assert_eq!(failure.status, 400);
        assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
    }

    #[test]
    fn what_no_upstream_can_do_is_refused_by_name() {
        refused(r#""stream":true"#, "prompt");
        refused(r#""prompt":[]"#, "prompt");
        refused(r#""prompt":[1,2]"#, "prompt");
        refused(r#""prompt":[[1,2]]"#, "prompt");
        refused(r#""prompt":["a","b"]"#, "prompt");
        refused(r#""prompt":[{}]"#, "prompt[0]");
        refused(r#""prompt":7"#, "prompt");
        refused(r#""prompt":"a","suffix":"b""#, "suffix");
        refused(r#""prompt":"a","echo":true"#, "echo");
        refused(r#""prompt":"a","best_of":2"#, "best_of");
        refused(r#""prompt":"a","logprobs":true"#, "logprobs");
        refused(r#""prompt":"a","logprobs":21"#, "logprobs");
        refused(r#""prompt":"a","tools":[{}]"#, "tools");
        let neutral =
            r#""prompt":"a","suffix":"","echo":false,"best_of":1,"tools":[],"logprobs":null"#;
        assert!(with(neutral).is_ok());
    }

    #[test]
    fn a_prompt_is_a_turn_of_the_user() {
        for prompt in [r#""say\n it""#, r#"["say\n it"]"#] {
            let members = format!(
                r#""prompt":{prompt},"max_tokens":5,"stop":"x","logprobs":3,"temperature":0.5,"n":2"#
            );
            let call = with(&members).unwrap();
            assert_eq!(call.demand.prompt_tokens, 6);
            let request = request(&call).unwrap();
            let [turn] = &request.turns[..] else {
                panic!("{request:?}");
            };
            assert!(
                matches!(&turn.parts[..], [Part::Text { text, .. }] if text.decode() == "say\n it")
            );
            assert_eq!((request.max_tokens, request.n), (Some(5), 2));
            assert_eq!(request.stop[0].inner(), "x");
            assert_eq!(request.parameter(Parameter::Logprobs), Some("true"));
            assert_eq!(request.parameter(Parameter::TopLogprobs), Some("3"));
            assert_eq!(request.parameter(Parameter::Temperature), Some("0.5"));
        }
    }
}
