//! `provider.options`: objects by provider whose members stand in the request that an endpoint of
//! that provider is sent, in the place of those of the same name. What routing, money and policy
//! have read cannot be set there: it would be another request than the one that was judged.

use super::LIST_MAX;
use crate::failure::Failure;
use crate::ingress::peek::{Refused, expect};
use crate::wire::json::{Kind, Scanner};

/// All objects together may have so many bytes.
const OPTIONS_BYTES_MAX: usize = 64 << 10;

/// Which request it is, and who answers it. These and the other lists are as [`folded`] makes names.
const WHO: &[&str] = &[
    "model",
    "models",
    "modelid",
    "deployment",
    "provider",
    "route",
];
/// What the model reads: content filters have looked at it, tools and modalities are routed by.
const READ: &[&str] = &[
    "messages",
    "message",
    "prompt",
    "input",
    "inputs",
    "contents",
    "content",
    "system",
    "systeminstruction",
    "instructions",
    "preamble",
    "chathistory",
    "documents",
    "query",
    "queries",
    "texts",
    "images",
    "suffix",
    "prediction",
    "tools",
    "functions",
    "toolconfig",
    "modalities",
    "audio",
    "plugins",
    "cachedcontent",
    "previousresponseid",
    "conversation",
];
/// How the answer comes.
const FORM: &[&str] = &["stream", "streamoptions", "background"];
/// How much is bought, at what price; in some dialects limits stand in an object of their own.
const BOUGHT: &[&str] = &[
    "n",
    "bestof",
    "numgenerations",
    "candidatecount",
    "maxtokens",
    "maxcompletiontokens",
    "maxoutputtokens",
    "maxnewtokens",
    "maxtokenstosample",
    "numpredict",
    "npredict",
    "topn",
    "topkdocuments",
    "generationconfig",
    "inferenceconfig",
    "additionalmodelrequestfields",
    "performanceconfig",
    "anthropicbeta",
    "options",
    "servicetier",
    "speed",
    "websearchoptions",
    "searchparameters",
];
/// What becomes of it afterwards.
const KEPT: &[&str] = &["store", "callbackurl", "webhook", "webhookurl"];

/// Consumes the object.
pub(super) fn read(scanner: &mut Scanner<'_>) -> Result<Vec<(String, String)>, Refused> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut bytes = 0;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let slug = key.name.decode().into_owned();
        let place = format!("provider.options.{slug}");
        if all
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(&slug))
        {
            return Err(again(&place));
        }
        let kind = scanner.kind()?;
        if kind == Kind::Null {
            scanner.value()?;
            continue;
        }
        expect(&place, &[Kind::Object], kind)?;
        let span = scanner.value()?;
        let object = scanner.raw(span);
        check(object, &place)?;
        bytes += object.len();
        all.push((slug, object.to_owned()));
        if all.len() > LIST_MAX || bytes > OPTIONS_BYTES_MAX {
            let message = format!(
                "provider.options may name {LIST_MAX} providers and have {OPTIONS_BYTES_MAX} bytes"
            );
            return Err(Failure::invalid("provider.options", message).into());
        }
    }
    Ok(all)
}

/// A name as the most forgiving reader sees it: some take `serviceTier` for `service_tier`, some
/// `Model` for `model`.
fn folded(name: &str) -> String {
    let name = name.chars().filter(|char| !matches!(char, '_' | '-'));
    name.map(|char| char.to_ascii_lowercase()).collect()
}

/// Every member once, and none that isn't theirs to set.
fn check(object: &str, place: &str) -> Result<(), Refused> {
    let mut scanner = Scanner::new(object);
    let mut seen: Vec<String> = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode().into_owned();
        let place = format!("{place}.{name}");
        if !name.is_ascii() {
            // Readers that don't tell cases apart take some of them for letters of ASCII.
            let message = format!("{place} can't be set here: its name is not ASCII");
            return Err(Failure::invalid(&place, message).into());
        }
        if seen.contains(&name) {
            return Err(again(&place));
        }
        if let Some(why) = reserved(&folded(&name)) {
            let message = format!("{place} can't be set here: {why}");
            return Err(Failure::invalid(&place, message).into());
        }
        seen.push(name);
        scanner.value()?;
    }
    Ok(())
}

fn reserved(name: &str) -> Option<&'static str> {
    let all: [(&[&str], &str); 5] = [
        (WHO, "it says who answers, which the request itself does"),
        (READ, "it is content, which stands in the request itself"),
        (
            FORM,
            "it is the form of the answer, which the request itself says",
        ),
        (
            BOUGHT,
            "it says how much is bought, which the request itself does",
        ),
        (KEPT, "it says what becomes of the data"),
    ];
    let found = all.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, why)| *why)
}

fn again(place: &str) -> Refused {
    Failure::invalid(place, format!("{place} stands more than once")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(text: &str) -> Result<Vec<(String, String)>, String> {
        read(&mut Scanner::new(text)).map_err(|refused| match refused {
            Refused::Call(failure) => failure.param.unwrap_or_default(),
            Refused::Syntax(error) => error.to_string(),
        })
    }

    #[test]
    fn objects_are_kept_as_they_came() {
        let text = r#"{"google-vertex": {"output_config": { "effort":"low" }, "x":1.00},
            "openai":null, "Groq":{}}"#;
        let expect = [
            (
                "google-vertex",
                r#"{"output_config": { "effort":"low" }, "x":1.00}"#,
            ),
            ("Groq", "{}"),
        ];
        let expect = expect.map(|(slug, text)| (slug.to_owned(), text.to_owned()));
        assert_eq!(tried(text), Ok(expect.to_vec()));
        assert_eq!(tried("{}"), Ok(Vec::new()));
    }

    #[test]
    fn what_was_judged_is_not_changed_afterwards() {
        let check = |text: &str, param: &str| assert_eq!(tried(text), Err(param.to_owned()));
        check(r#"{"a":{"model":"x"}}"#, "provider.options.a.model");
        check(
            r#"{"a":{"\u006dessages":[]}}"#,
            "provider.options.a.messages",
        );
        check(r#"{"a":{"stream":true}}"#, "provider.options.a.stream");
        check(r#"{"a":{"max_tokens":1}}"#, "provider.options.a.max_tokens");
        check(
            r#"{"a":{"generationConfig":{"maxOutputTokens":9}}}"#,
            "provider.options.a.generationConfig",
        );
        check(r#"{"a":{"store":true}}"#, "provider.options.a.store");
        check(
            r#"{"a":{"serviceTier":"priority"}}"#,
            "provider.options.a.serviceTier",
        );
        check(r#"{"a":{"Model":"x"}}"#, "provider.options.a.Model");
        check(
            r#"{"a":{"me\u017fsages":[]}}"#,
            "provider.options.a.meſsages",
        );
        check(
            r#"{"a":{"tool_config":{}}}"#,
            "provider.options.a.tool_config",
        );
        check(r#"{"a":{"x":1,"x":2}}"#, "provider.options.a.x");
        check(r#"{"a":{},"A":{}}"#, "provider.options.A");
        check(r#"{"a":[]}"#, "provider.options.a");
        let long = format!(r#"{{"a":{{"x":"{}"}}}}"#, "y".repeat(OPTIONS_BYTES_MAX));
        check(&long, "provider.options");
    }
}
