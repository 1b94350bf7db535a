//! The words of a request for the prompt's analysis: the beginning of the last user turn and of the
//! system's text, read from the body in place a second time. Only a request that names a router model
//! pays for it; nothing but two small buffers is kept.

use super::{Api, Call};
use crate::ingress::peek::Field;
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};
use shared::catalog::Parameter;
use shared::prompt::{self, Analysis, Prompt, SYSTEM_BYTES, USER_BYTES};

/// What the prompt asks for; none when its classifier is not at hand.
#[must_use]
pub fn analyse(call: &Call) -> Option<Analysis> {
    let mut words = Words::default();
    // What can't be read again, which the first pass has read, leaves an empty text.
    let _ = words.read(call);
    prompt::analyse(&Prompt {
        user: &words.user,
        system: &words.system,
        bytes: call.text_bytes,
        turns: words.turns,
        input: &call.demand.input,
        tools: call.demand.needs_tools,
        schema: call
            .demand
            .parameters
            .contains(&Parameter::StructuredOutputs),
    })
}

#[derive(Default)]
struct Words {
    user: String,
    system: String,
    turns: u64,
}

/// Whose words they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    System,
    Other,
}

impl Speaker {
    fn of(role: &str) -> Self {
        match role {
            "user" => Self::User,
            "system" | "developer" => Self::System,
            _ => Self::Other,
        }
    }
}

impl Words {
    fn read(&mut self, call: &Call) -> Result<(), SyntaxError> {
        let text = call.text();
        for member in &call.members {
            let mut scanner = Scanner::starting(text, member.value.start);
            match (member.field, scanner.kind()?) {
                (Field::Turns, Kind::Array) if call.api != Api::Completions => {
                    scanner.begin_array()?;
                    while scanner.element()? {
                        self.turn(&mut scanner)?;
                    }
                }
                (Field::Turns, _) => {
                    self.turns = 1;
                    self.content(&mut scanner, Speaker::User)?;
                }
                (Field::Special("system" | "instructions"), _) => {
                    self.content(&mut scanner, Speaker::System)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Consumes a message or an item.
    fn turn(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(());
        }
        self.turns += 1;
        let (mut speaker, mut content) = (Speaker::Other, None);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("role", Kind::String) => speaker = Speaker::of(&scanner.string()?.decode()),
                ("content", _) => {
                    // The role may come after it.
                    content = Some(scanner.clone());
                    scanner.value()?;
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        if speaker == Speaker::User {
            self.user.clear();
        }
        match content {
            Some(mut content) if speaker != Speaker::Other => self.content(&mut content, speaker),
            _ => Ok(()),
        }
    }

    /// Consumes a text, or the texts of a list of parts.
    fn content(&mut self, scanner: &mut Scanner<'_>, speaker: Speaker) -> Result<(), SyntaxError> {
        match scanner.kind()? {
            Kind::String => self.push(scanner.string()?, speaker),
            Kind::Array => {
                scanner.begin_array()?;
                while scanner.element()? {
                    self.part(scanner, speaker)?;
                }
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn part(&mut self, scanner: &mut Scanner<'_>, speaker: Speaker) -> Result<(), SyntaxError> {
        match scanner.kind()? {
            Kind::String => self.push(scanner.string()?, speaker),
            Kind::Object => {
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    match (&*key.name.decode(), scanner.kind()?) {
                        ("text", Kind::String) => self.push(scanner.string()?, speaker),
                        _ => {
                            scanner.value()?;
                        }
                    }
                }
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn push(&mut self, text: Str<'_>, speaker: Speaker) {
        let (to, most) = match speaker {
            Speaker::User => (&mut self.user, USER_BYTES),
            Speaker::System => (&mut self.system, SYSTEM_BYTES),
            Speaker::Other => return,
        };
        let room = most.saturating_sub(to.len());
        if room == 0 {
            return;
        }
        if !to.is_empty() {
            to.push('\n');
        }
        to.push_str(&text.decode_start(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{Surface, parse};
    use http::HeaderMap;
    use shared::prompt::Task;

    fn words(api: Api, body: &str) -> Words {
        let body = body.to_owned().into();
        let call = parse(api, Surface::OpenRouter, &HeaderMap::new(), body).unwrap();
        let mut words = Words::default();
        words.read(&call).unwrap();
        words
    }

    #[track_caller]
    fn check(api: Api, body: &str, user: &str, system: &str) {
        let words = words(api, body);
        assert_eq!((words.user.as_str(), words.system.as_str()), (user, system));
    }

    #[test]
    fn every_api_has_its_words() {
        check(
            Api::Chat,
            r#"{"model":"a/b","messages":[{"role":"system","content":"s"},{"role":"user","content":"one"},
               {"role":"assistant","content":"two"},{"content":[{"type":"text","text":"th\u0072ee"},
               {"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"four"}],"role":"user"},
               {"role":"assistant","content":"five"}]}"#,
            "three\nfour",
            "s",
        );
        check(
            Api::Messages,
            r#"{"model":"a/b","max_tokens":1,"system":[{"type":"text","text":"sys"}],
               "messages":[{"role":"user","content":"hi"}]}"#,
            "hi",
            "sys",
        );
        check(
            Api::Responses,
            r#"{"model":"a/b","instructions":"be brief","input":[{"role":"user",
               "content":[{"type":"input_text","text":"hello"}]}]}"#,
            "hello",
            "be brief",
        );
        check(
            Api::Responses,
            r#"{"model":"a/b","input":"plain"}"#,
            "plain",
            "",
        );
        check(
            Api::Completions,
            r#"{"model":"a/b","prompt":["once"]}"#,
            "once",
            "",
        );
    }

    #[test]
    fn only_a_beginning_is_kept() {
        let long = "é\\n".repeat(20_000);
        let words = words(
            Api::Chat,
            &format!(
                r#"{{"model":"a/b","messages":[{{"role":"system","content":"{long}"}},{{"role":"user","content":"{long}"}}]}}"#
            ),
        );
        assert!(words.user.len() <= USER_BYTES && words.user.len() > USER_BYTES / 3);
        assert!(words.system.len() <= SYSTEM_BYTES);
        assert!(words.user.starts_with("é\né"));
    }

    #[test]
    fn a_call_is_analysed() {
        let body = r#"{"model":"godwit/auto","messages":[{"role":"user","content":"Translate to German: good luck"}]}"#;
        let call = parse(
            Api::Chat,
            Surface::OpenRouter,
            &HeaderMap::new(),
            body.into(),
        )
        .unwrap();
        let analysis = analyse(&call).unwrap();
        assert_eq!((analysis.task, analysis.turns), (Task::Translate, 1));
    }
}
