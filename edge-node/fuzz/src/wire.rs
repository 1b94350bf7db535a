//! The wire's own readers: cut anywhere they give the same, and they agree with other ones.

use edge_node::wire::{eventstream, json, lines, splice, sse};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// A framing's name, name of an event, and its data.
type Frames = Result<Vec<(String, String, Vec<u8>)>, String>;

/// Plays a stream whole and in pieces; the first byte says of what size.
fn alike(data: &[u8], play: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> Frames) {
    let Some((size, body)) = data.split_first() else {
        return;
    };
    let whole = play(&mut std::iter::once(body));
    let pieces = play(&mut body.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces, "cut into pieces of {size}");
}

pub fn sse(data: &[u8]) {
    alike(data, |pieces| {
        let (mut parser, mut all) = (sse::Parser::default(), Vec::new());
        let mut give = |event: sse::Event<'_>| -> Result<(), sse::Error> {
            let data = event.data.as_bytes().to_vec();
            all.push((String::new(), event.name.to_owned(), data));
            Ok(())
        };
        for piece in pieces {
            parser
                .feed(piece, &mut give)
                .map_err(|error| error.to_string())?;
        }
        parser
            .finish(&mut give)
            .map_err(|error| error.to_string())?;
        Ok(all)
    });
}

pub fn lines(data: &[u8]) {
    alike(data, |pieces| {
        let (mut parser, mut all) = (lines::Parser::default(), Vec::new());
        let mut give = |line: &str| -> Result<(), sse::Error> {
            all.push((String::new(), String::new(), line.as_bytes().to_vec()));
            Ok(())
        };
        for piece in pieces {
            parser
                .feed(piece, &mut give)
                .map_err(|error| error.to_string())?;
        }
        parser
            .finish(&mut give)
            .map_err(|error| error.to_string())?;
        Ok(all)
    });
}

pub fn eventstream(data: &[u8]) {
    alike(data, |pieces| {
        let (mut parser, mut all) = (eventstream::Parser::default(), Vec::new());
        let mut give = |message: eventstream::Message<'_>| -> Result<(), eventstream::Error> {
            let name = format!("{} {}", message.name, message.error);
            all.push((message.kind.to_owned(), name, message.payload.to_vec()));
            Ok(())
        };
        for piece in pieces {
            parser
                .feed(piece, &mut give)
                .map_err(|error| error.to_string())?;
        }
        Ok(all)
    });
}

/// What is JSON for one is JSON for the other, but for how deep it nests.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let ours = json::check(text);
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    match (&ours, &theirs) {
        (Err(error), Ok(_)) => assert!(error.reason.contains("deep"), "{error} in {text:?}"),
        (Ok(_), Err(error)) => panic!("{error} in {text:?}"),
        _ => {}
    }
}

/// Takes members out of an object and puts one in, at the places that the first byte says.
pub fn splice(data: &[u8]) {
    let Some((chosen, body)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let Ok(mut expected) = serde_json::from_str::<Map<String, Value>>(text) else {
        return;
    };
    let Some((edited, names)) = edited(text, *chosen) else {
        return;
    };
    // Of members that stand more than once another parser keeps the last.
    if names.len() == expected.len() {
        for (at, name) in names.iter().enumerate() {
            if is_gone(*chosen, at) {
                expected.shift_remove(name);
            }
        }
        expected.insert("\u{0}new".to_owned(), 7.into());
        let seen: Map<String, Value> = serde_json::from_str(&edited).expect("edited JSON");
        assert_eq!(seen, expected, "{text:?} became {edited:?}");
    }
}

fn is_gone(chosen: u8, at: usize) -> bool {
    chosen >> (at % 8) & 1 == 1
}

/// The text after the edit, and the names of its members before.
fn edited(text: &str, chosen: u8) -> Option<(String, Vec<String>)> {
    let mut splices = splice::Splices::default();
    let mut scanner = json::Scanner::new(text);
    scanner.begin_object().ok()?;
    let mut members = splice::Members::new(scanner.at());
    let mut names = Vec::new();
    while let Some(key) = scanner.key().ok()? {
        let end = scanner.value().ok()?.end;
        if is_gone(chosen, names.len()) {
            members.remove(&mut splices, key.start, end);
        } else {
            members.keep(&mut splices, key.start, end);
        }
        names.push(key.name.decode().into_owned());
    }
    let mut tail = members.finish(&mut splices);
    tail.add(&mut splices, "\"\\u0000new\":7");
    let mut out = Vec::new();
    splices.pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
    Some((String::from_utf8(out).expect("text stays text"), names))
}
