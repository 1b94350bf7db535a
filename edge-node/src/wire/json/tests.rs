use super::*;
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn accepts_and_refuses_what_the_grammar_says() {
    for good in [
        "{}",
        "[]",
        " null ",
        "0",
        "-0",
        "-0.5e+10",
        "1E9",
        "\"\"",
        "\"\\u0000\"",
        "[1,2,[3]]",
        "{\"a\":{\"b\":[true,false]}}",
        "\"\\ud800\"",
        "[\n]\t",
        "1e400",
    ] {
        assert!(check(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\0\"",
        "1 2",
        "{} {}",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "NaN",
        "\u{feff}{}",
        "'a'",
        "[1}",
        "{\"a\":1]",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn says_where() {
    let error = |text| check(text).unwrap_err().at;
    assert_eq!(error("{\"a\": tru}"), 6);
    assert_eq!(error("[1,"), 3);
    assert_eq!(error("\"ab\u{1}\""), 3);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(&nested(DEPTH_MAX)).is_ok());
    assert!(check(&nested(DEPTH_MAX + 1)).is_err());
    assert!(check(&"[".repeat(1_000_000)).is_err());
    assert!(check(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn members_are_walked_in_place() {
    let text = r#"{"a": 1, "b\u0063" : [ {"x":null} , "s" ], "d":{}}"#;
    let mut scanner = Scanner::new(text);
    scanner.begin_object().unwrap();
    let mut seen = Vec::new();
    while let Some(key) = scanner.key().unwrap() {
        let value = scanner.value().unwrap();
        seen.push((key.name.decode().into_owned(), scanner.raw(value)));
    }
    scanner.end().unwrap();
    assert_eq!(
        seen,
        [
            ("a".into(), "1"),
            ("bc".into(), r#"[ {"x":null} , "s" ]"#),
            ("d".into(), "{}"),
        ]
    );
}

#[test]
fn strings_are_decoded() {
    for (raw, text) in [
        (r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\ud83d\ude00x""#, "é😀x"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ude00""#, "\u{fffd}"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
    ] {
        assert_eq!(Scanner::new(raw).string().unwrap().decode(), text, "{raw}");
    }
}

#[test]
fn counts_are_exact_or_none() {
    for (raw, expected) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("12.0", Some(12)),
        ("1e3", Some(1000)),
        ("-1", None),
        ("0.5", None),
        ("1e400", None),
    ] {
        assert_eq!(count(raw), expected, "{raw}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What each of the two ways through a text says of it: the kind of every value and where it ends,
/// or what is wrong, and where.
fn walks(text: &str) -> [Vec<Result<(Kind, Span), SyntaxError>>; 2] {
    [Scanner::new(text), Scanner::narrow(text)].map(|mut scanner| {
        let mut seen = Vec::new();
        let outcome = walk(&mut scanner, &mut seen).and_then(|()| scanner.end());
        seen.extend(outcome.err().map(Err));
        seen
    })
}

fn walk(
    scanner: &mut Scanner<'_>,
    seen: &mut Vec<Result<(Kind, Span), SyntaxError>>,
) -> Result<(), SyntaxError> {
    let kind = scanner.kind()?;
    let start = scanner.at();
    match kind {
        Kind::Object => {
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                seen.push(Ok((Kind::String, key.span())));
                walk(scanner, seen)?;
            }
        }
        Kind::Array => {
            scanner.begin_array()?;
            while scanner.element()? {
                walk(scanner, seen)?;
            }
        }
        _ => {
            scanner.value()?;
        }
    }
    let end = scanner.at();
    seen.push(Ok((kind, Span { start, end })));
    Ok(())
}

proptest! {
    #[test]
    fn both_ways_see_the_same(
        value in json(),
        long in "[a-zé\"\\\\\n]{0,300}",
        cut in any::<prop::sample::Index>(),
        put in prop::sample::select(vec!["", "\"", "\\", "\u{1}", "}", "\\u12"]),
    ) {
        let text = serde_json::json!({ "v": value, "long": [long.clone(), long] }).to_string();
        let [wide, narrow] = walks(&text);
        prop_assert!(wide.iter().all(Result::is_ok));
        prop_assert_eq!(wide, narrow);
        let at = text.floor_char_boundary(cut.index(text.len()));
        let [wide, narrow] = walks(&format!("{}{put}{}", &text[..at], &text[at..]));
        prop_assert_eq!(wide, narrow);
    }

    #[test]
    fn takes_all_that_serde_writes(value in json()) {
        prop_assert!(check(&value.to_string()).is_ok());
        prop_assert!(check(&serde_json::to_string_pretty(&value).unwrap()).is_ok());
    }

    #[test]
    fn agrees_with_serde_on_broken_text(value in json(), cut in 0_usize..200, put in "[\\[\\]{}\",:\\\\0-9a-fu .-]{0,3}") {
        let text = value.to_string();
        let at = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(cut % (text.chars().count() + 1)).unwrap();
        let text = format!("{}{put}{}", &text[..at], &text[at..]);
        let serde = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
        prop_assert_eq!(check(&text).is_ok(), serde, "{}", text);
    }

    #[test]
    fn strings_survive(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        let raw = String::from_utf8(out).unwrap();
        prop_assert_eq!(&serde_json::from_str::<String>(&raw).unwrap(), &text);
        prop_assert_eq!(Scanner::new(&raw).string().unwrap().decode(), text);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&String::from_utf8_lossy(&bytes));
    }
}

/// What a scanner that goes byte by byte says of a string.
fn slowly(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            0..0x20 => return None,
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            _ => at += 1,
        }
    }
}

/// Whatever the machine can, both ways are taken.
#[track_caller]
fn same_end(text: &str) {
    end_of(text, Scanner::new(text));
    end_of(text, Scanner::narrow(text));
}

#[track_caller]
fn end_of(text: &str, mut scanner: Scanner<'_>) {
    let string = scanner.string().ok();
    let end = string.map(|_| scanner.at());
    assert_eq!(end, slowly(text), "{text:?}");
    let whole = string.filter(|_| end == Some(text.len()));
    assert_eq!(
        whole.map(|whole| whole.decode().into_owned()),
        serde_json::from_str::<String>(text).ok(),
    );
}

#[test]
fn long_strings_end_where_they_end() {
    for filler in [
        "x", "ab\\n", "\\\"", "\\\\", "\\u4f60", "\\\\\\\"", "é\\t", "\\/",
    ] {
        for times in [1, 30, 90, 300, 700] {
            let run = filler.repeat(times);
            for end in [
                "\"",
                "\\\"\"",
                "\\\\\"",
                "\n\"",
                "\\x\"",
                "\\u12g4\"",
                "\\",
                "\\u12",
                "",
            ] {
                for start in ["", "\\n", "\\\\", "a\\\""] {
                    same_end(&format!("\"{start}{run}{end}"));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn long_strings_of_anything_end_where_they_end(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "a", "\\n", "\\\"", "\\\\", "\\u00e9", "é", "text ", "\\", "\"", "\u{1}", "\\u12",
            ]),
            0..60,
        ),
        plain in 0usize..700,
    ) {
        let run = "plain \\n text ".repeat(plain / 12);
        same_end(&format!("\"{run}{}\"", pieces.concat()));
    }
}
