use super::*;
use std::net::SocketAddr;
use std::time::Duration;

const KEYS: &[Key] = &[
    Key::new("listen", "127.0.0.1:7070", "where to listen"),
    Key::new("tls.cert", "", "certificate"),
    Key::new("tick", "1s", "how often"),
    Key::new("peers", "", "others"),
    Key::secret("token", "a secret"),
];

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn listen(layers: &mut Layers) -> Option<SocketAddr> {
    layers.required("listen", parse::socket)
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let mut layers = Layers::new(KEYS);
    assert_eq!(listen(&mut layers).unwrap().port(), 7070);
    layers.toml("listen = '127.0.0.1:1'\n[tls]\ncert = 'a.crt'\n");
    assert_eq!(listen(&mut layers).unwrap().port(), 1);
    let environment = [
        ("GODWIT_LISTEN", "127.0.0.1:2"),
        ("GODWIT_TLS_CERT", "b.crt"),
        ("GODWIT_OTHER", "x"),
    ];
    layers.environment(variables(&environment));
    assert_eq!(listen(&mut layers).unwrap().port(), 2);
    layers.flag("listen", "127.0.0.1:3");
    assert_eq!(listen(&mut layers).unwrap().port(), 3);
    assert_eq!(layers.optional("tls.cert", parse::text).unwrap(), "b.crt");
    assert!(layers.finish(Some(())).is_ok());
}

#[test]
fn all_problems_come_at_once_and_secrets_never() {
    let mut layers = Layers::new(KEYS);
    layers.toml("listen = 'nowhere'\ntick = 'soon'\ntokem = 'hunter2'\ntoken = 'hunter3'\nwhen = 1979-05-27\npeers = [1, 2]\n[tls]\nkey = 'x'\n");
    let address = listen(&mut layers);
    let tick = layers.required("tick", parse::duration);
    let cert = layers.required("tls.cert", parse::path);
    let token = layers.required("token", |_| Err::<(), _>("too short".to_owned()));
    let peers = layers.list("peers", |text| {
        if text == "2" {
            Err("two".to_owned())
        } else {
            Ok(text.len())
        }
    });
    assert_eq!(peers, [1]);
    let value = (|| Some((address?, tick?, cert?, token?)))();
    let text = layers.finish(value).unwrap_err().to_string();
    for expected in [
        "listen = \"nowhere\": an IP address",
        "tick = \"soon\": a duration",
        "tls.cert = : is required",
        "token = \"***\": too short",
        "tls.key = …: unknown key",
        "tokem = …: unknown key",
        "when = …: unknown key",
        "peers = [\"1\", \"2\"]: \"2\": two",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert_eq!(text.lines().count(), 8, "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn broken_toml_names_the_line() {
    let mut layers = Layers::new(KEYS);
    layers.toml("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n");
    let text = layers.finish(Some(())).unwrap_err().to_string();
    assert!(text.starts_with("config = TOML: "), "{text}");
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn what_is_in_force_is_shown_with_its_source() {
    let mut layers = Layers::new(KEYS);
    layers.toml("token = 'hunter2'");
    layers.flag("tick", "2s");
    let text = layers.effective();
    assert!(text.contains("tick = \"2s\"  # flag"), "{text}");
    assert!(
        text.contains("listen = \"127.0.0.1:7070\"  # default"),
        "{text}"
    );
    assert!(text.contains("token = \"***\"  # file"), "{text}");
    assert!(text.contains("# peers is not set"), "{text}");
}

#[test]
fn the_command_line_is_read_strictly() {
    let parse = |words: &[&str]| Arguments::parse(KEYS, words.iter().map(Into::into));
    let arguments = parse(&[
        "--config",
        "a.toml",
        "--check",
        "--tls-cert=x",
        "--tick",
        "5m",
    ])
    .unwrap();
    assert_eq!(arguments.config.as_deref(), Some(Path::new("a.toml")));
    assert!(arguments.check);
    let expected = [("tls.cert", "x".to_owned()), ("tick", "5m".to_owned())];
    assert_eq!(arguments.flags, expected);
    assert_eq!(
        parse(&["--nope"]),
        Err(CommandLineError::Unknown("--nope".to_owned()))
    );
    assert_eq!(
        parse(&["serve"]),
        Err(CommandLineError::Unknown("serve".to_owned()))
    );
    assert_eq!(
        parse(&["--tick"]),
        Err(CommandLineError::NoValue("tick".to_owned()))
    );
}

#[test]
fn units_are_understood() {
    assert_eq!(parse::duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse::duration("2h"), Ok(Duration::from_secs(7200)));
    assert_eq!(parse::duration("0"), Ok(Duration::ZERO));
    assert!(parse::duration("5").is_err() && parse::duration("1.5s").is_err());
    assert_eq!(parse::bytes("32MiB"), Ok(32 << 20));
    assert!(parse::bytes("32MB").is_err());
    assert_eq!(parse::number::<u16>("65_535"), Ok(u16::MAX));
    assert!(parse::number::<u16>("65536").is_err());
}
