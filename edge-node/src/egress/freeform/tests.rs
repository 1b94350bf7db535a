mod dialects;

use super::*;
use crate::message::Escaped;

/// Every event as a line.
struct Lines;

impl Writer for Lines {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        out.extend_from_slice(format!("{event:?}\n").as_bytes());
    }

    fn close(&mut self, _bill: &Bill<'_>, _out: &mut BytesMut) {}
}

fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    json::write_escaped(&mut out, text);
    String::from_utf8(out).unwrap()
}

/// The text in these arguments, cut after every `size` characters.
fn text(arguments: &str, size: usize) -> String {
    let mut input = Input::default();
    let characters: Vec<char> = arguments.chars().collect();
    let pieces = characters.chunks(size).map(|piece| {
        let piece: String = piece.iter().collect();
        input.take(Escaped(&escaped(&piece)))
    });
    let inner: String = pieces.collect();
    let quoted = format!("\"{inner}\"");
    serde_json::from_str(&quoted).unwrap_or_else(|error| panic!("{error}: {quoted}"))
}

#[test]
fn any_cutting_gives_the_same_text() {
    for (arguments, expected) in [
        (r#"{"input":"a b"}"#, "a b"),
        (r#" { "input" : "a\n\"b\" \\ é 😀" } "#, "a\n\"b\" \\ é 😀"),
        (r#"{"input":"\u00e9\ud83d\ude00\/"}"#, "é😀/"),
        (r#"{"input":"a","more":1}"#, "a"),
        ("{\"input\":\"raw\nline\"}", "raw\nline"),
        (r#"{"input":"a\x \u12"}"#, r"a\x \u12"),
        (r#"{"input":""}"#, ""),
        ("{}", ""),
        ("", ""),
        (r#"{"patch":"a"}"#, r#"{"patch":"a"}"#),
        ("plain text", "plain text"),
        (r#"{"input":{"a":1}}"#, r#"{"input":{"a":1}}"#),
    ] {
        for size in [1, 2, 3, 5, 7, 999] {
            assert_eq!(text(arguments, size), expected, "{arguments} by {size}");
        }
    }
}

#[test]
fn calls_of_declared_tools_become_text_and_others_stay() {
    let mut texts = Texts::new(Box::new(Lines), vec!["patch".to_owned()]);
    let mut out = BytesMut::new();
    let call = |index, name| Event::Call {
        index,
        id: Escaped("c"),
        name: Escaped(name),
    };
    let argue = |index, text| Event::Arguments {
        index,
        text: Escaped(text),
    };
    for event in [
        call(0, "patch"),
        call(1, "other"),
        argue(0, "{\\\"input\\\":\\\"a"),
        argue(1, "{}"),
        argue(0, "b\\\"}"),
    ] {
        texts.write(&event, &mut out);
    }
    let out = String::from_utf8(out.to_vec()).unwrap();
    let kinds: Vec<&str> = out
        .lines()
        .map(|line| line.split([' ', '(']).next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["Freeform", "Call", "Input", "Arguments", "Input"],
        "{out}"
    );
}

#[test]
fn text_becomes_the_argument_of_a_function() {
    let mut functions = Functions::new(Box::new(Lines));
    let mut out = BytesMut::new();
    let id = Escaped("c");
    let name = Escaped("patch");
    let finish = Event::Finish {
        finish: Finish::ToolCalls,
        native: Escaped(""),
        stop: Escaped(""),
    };
    for event in [
        Event::Freeform { index: 0, id, name },
        Event::Input {
            index: 0,
            text: Escaped("a\\n\\\"b"),
        },
        finish,
    ] {
        functions.write(&event, &mut out);
    }
    let out = String::from_utf8(out.to_vec()).unwrap();
    let pieces = [
        r#"Escaped("{\\\"input\\\":\\\"")"#,
        r#"Escaped("a\\\\n\\\\\\\"b")"#,
        r#"Escaped("\\\"}")"#,
    ];
    for piece in pieces {
        assert!(out.contains(piece), "{piece} in {out}");
    }
}
