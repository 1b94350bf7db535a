//! Shapes with which one server sees one request where another sees two, byte by byte over a bare
//! socket. Each is answered once, with 4xx, and the connection ends; what was hidden behind it is
//! never served. After a refusal that leaves the framing clear, the connection goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::cluster::DEV_KEY;
use loadtest::cluster::scene::{ALPHA, CHAT, Scene, chat};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a refused connection may stay open.
const QUICK: Duration = Duration::from_secs(5);

/// What came back on one connection.
#[derive(Debug)]
struct Heard {
    text: String,
    /// The server has hung up.
    closed: bool,
}

impl Heard {
    /// The status of every answer, in order.
    fn statuses(&self) -> Vec<u16> {
        let heads = self.text.split("HTTP/1.1 ").skip(1);
        heads
            .map(|head| head.get(..3).unwrap().parse().unwrap())
            .filter(|status| *status != 100)
            .collect()
    }
}

/// Sends bytes and reads until the server hangs up, or, with `answers`, until that many came.
async fn say(addr: SocketAddr, bytes: &[u8], answers: Option<usize>) -> Heard {
    let socket = TcpStream::connect(addr).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let mut heard = Heard {
        text: String::new(),
        closed: false,
    };
    let talk = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => break heard.closed = true,
                Ok(count) => {
                    let piece = String::from_utf8_lossy(&buffer[..count]);
                    heard.text.push_str(&piece);
                    if answers.is_some_and(|answers| whole(&heard.text) >= answers) {
                        break;
                    }
                }
            }
        }
    };
    let write = async {
        let _ = writer.write_all(bytes).await;
        // Held open: a client that closes its half has gone.
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(QUICK, async {
        tokio::select! { () = talk => {}, () = write => {} }
    })
    .await;
    heard
}

/// Answers with a length that have come whole.
fn whole(mut text: &str) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = text.split_once("\r\n\r\n") {
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap_or("0");
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        match rest.get(length..) {
            Some(rest) => (text, count) = (rest, count + 1),
            None => break,
        }
    }
    count
}

/// A chat request with these headers, to the dot.
fn post(headers: &str, body: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {DEV_KEY}\r\n\
         Content-Type: application/json\r\n{headers}\r\n{body}"
    )
}

/// A proper chat request.
fn proper(text: &str) -> String {
    let body = chat(ALPHA, text).to_string();
    post(&format!("Content-Length: {}\r\n", body.len()), &body)
}

/// A chunked body that says `text`, then the end, then `rest`.
fn chunked(text: &str, rest: &str) -> String {
    let body = chat(ALPHA, text).to_string();
    format!("{:x}\r\n{body}\r\n0\r\n\r\n{rest}", body.len())
}

const TE: &str = "Transfer-Encoding: chunked\r\n";

/// Each sends the shapes of one family and wants one 4xx for each, then the end.
async fn refused(shapes: Vec<(&str, String)>) {
    let scene = Scene::start().await.unwrap();
    let addr = scene.godwit.addresses().get("api").unwrap();
    let trials = shapes.iter().map(|(what, bytes)| async move {
        let heard = say(addr, bytes.as_bytes(), None).await;
        (what, heard)
    });
    for (what, heard) in futures::future::join_all(trials).await {
        let statuses = heard.statuses();
        assert_eq!(statuses.len(), 1, "{what}: {heard:?}");
        assert!((400..500).contains(&statuses[0]), "{what}: {heard:?}");
        assert!(heard.text.contains("\"error\""), "{what}: {heard:?}");
        assert!(heard.closed, "{what}: the connection goes on: {heard:?}");
    }
    let totals = scene.alpha.totals();
    assert_eq!(totals.requests, 0, "something hidden was served");
    let client = scene.client();
    let reply = client
        .post(CHAT, &chat(ALPHA, "still well?"))
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_length_beside_an_encoding() {
    let hidden = proper("hidden");
    let body = chunked("seen", &hidden);
    let length = format!("Content-Length: {}\r\n", body.len());
    refused(vec![
        ("CL.TE", post(&format!("{length}{TE}"), &body)),
        ("TE.CL", post(&format!("{TE}{length}"), &body)),
        (
            "a length of 0",
            post(&format!("Content-Length: 0\r\n{TE}"), &body),
        ),
        (
            "odd case",
            post("cONTENT-lENGTH: 4\r\ntRANSFER-eNCODING: ChUnKeD\r\n", &body),
        ),
        (
            "far apart",
            post(&format!("{length}X-A: b\r\nX-C: d\r\n{TE}"), &body),
        ),
    ])
    .await;
}

#[tokio::test]
async fn lengths_that_are_not_one_number() {
    let hidden = proper("hidden");
    let lengths = [
        (
            "two that differ",
            "Content-Length: 2\r\nContent-Length: 400\r\n",
        ),
        ("two alike", "Content-Length: 2\r\nContent-Length: 2\r\n"),
        ("a list", "Content-Length: 2, 400\r\n"),
        ("a list of equals", "Content-Length: 2, 2\r\n"),
        ("a plus", "Content-Length: +2\r\n"),
        ("a minus", "Content-Length: -1\r\n"),
        ("hexadecimal", "Content-Length: 0x2\r\n"),
        ("underscores", "Content-Length: 1_0\r\n"),
        ("a blank within", "Content-Length: 1 0\r\n"),
        ("empty", "Content-Length:\r\n"),
        ("a point", "Content-Length: 2.0\r\n"),
        ("beyond 64 bits", "Content-Length: 18446744073709551618\r\n"),
    ];
    let shape = |(what, header)| (what, post(header, &format!("{{}}{hidden}")));
    refused(lengths.map(shape).into()).await;
}

#[tokio::test]
async fn encodings_that_are_not_chunked() {
    let body = chunked("seen", &proper("hidden"));
    let encodings = [
        ("another word", "Transfer-Encoding: xchunked\r\n"),
        (
            "a list that ends in chunked",
            "Transfer-Encoding: gzip, chunked\r\n",
        ),
        (
            "a list that does not",
            "Transfer-Encoding: chunked, identity\r\n",
        ),
        (
            "twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "two lines",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
        ("a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
    ];
    let mut shapes: Vec<_> = encodings
        .map(|(what, header)| (what, post(header, &body)))
        .into();
    let old = post(TE, &body).replace("HTTP/1.1", "HTTP/1.0");
    shapes.push(("in HTTP/1.0", old));
    refused(shapes).await;
}

#[tokio::test]
async fn header_lines_that_can_be_read_in_two_ways() {
    let body = chunked("seen", &proper("hidden"));
    let lines = [
        (
            "a blank before the colon",
            "Transfer-Encoding : chunked\r\n",
        ),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("a blank before the name", " Transfer-Encoding: chunked\r\n"),
        ("a folded line", "X-A: b\r\n Transfer-Encoding: chunked\r\n"),
        ("a folded value", "Transfer-Encoding:\r\n chunked\r\n"),
        ("a bare line feed", "X-A: b\nTransfer-Encoding: chunked\r\n"),
        (
            "a bare line feed at the end",
            "Transfer-Encoding: chunked\r\nX-A: b\n",
        ),
        (
            "a bare carriage return",
            "X-A: b\rTransfer-Encoding: chunked\r\n",
        ),
        (
            "a NUL in a value",
            "X-A: b\0c\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "a NUL in a name",
            "X\0A: b\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("no name", ": chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("no colon", "Transfer-Encoding chunked\r\n"),
        (
            "a name beyond ASCII",
            "Tr\u{e4}nsfer: b\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "an escape in a value",
            "X-A: \x1b[2J\r\nTransfer-Encoding: chunked\r\n",
        ),
    ];
    let shape = |(what, header)| (what, post(header, &body));
    refused(lines.map(shape).into()).await;
}

#[tokio::test]
async fn request_lines_and_hosts_that_say_two_things() {
    let hidden = proper("hidden");
    let target = format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\n");
    let swapped = |line: &str| proper("seen").replace(&target, line) + &hidden;
    refused(vec![
        (
            "another host in the target",
            swapped(&format!("POST http://evil{CHAT} HTTP/1.1\r\nHost: x\r\n")),
        ),
        (
            "a user in the target",
            swapped(&format!("POST http://u@x{CHAT} HTTP/1.1\r\nHost: x\r\n")),
        ),
        ("no host", swapped(&format!("POST {CHAT} HTTP/1.1\r\n"))),
        (
            "two hosts",
            swapped(&format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nHost: y\r\n")),
        ),
        (
            "bare line feeds",
            swapped(&format!("POST {CHAT} HTTP/1.1\nHost: x\n")),
        ),
        (
            "CONNECT",
            swapped("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n"),
        ),
        (
            "another protocol",
            swapped(&format!("{target}Connection: Upgrade\r\nUpgrade: h2c\r\n")),
        ),
        (
            "version 1.2",
            swapped(&format!("POST {CHAT} HTTP/1.2\r\nHost: x\r\n")),
        ),
        ("no version", format!("POST {CHAT}\r\n\r\n{hidden}")),
        (
            "TLS to a clear port",
            format!("\x16\x03\x01\r\n\r\n{hidden}"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn chunk_sizes_that_are_none() {
    let hidden = proper("hidden");
    let body = chat(ALPHA, "seen").to_string();
    let size = format!("{:x}", body.len());
    let end = format!("0\r\n\r\n{hidden}");
    let chunk = |line: &str| post(TE, &format!("{line}\r\n{body}\r\n{end}"));
    refused(vec![
        ("a prefix", chunk(&format!("0x{size}"))),
        ("a plus", chunk(&format!("+{size}"))),
        ("a minus", chunk("-1")),
        ("a blank before", chunk(&format!(" {size}"))),
        ("beyond 64 bits", chunk("fffffffffffffffff")),
        ("almost 64 bits", chunk("fffffffffffffffe")),
        ("letters", chunk("size")),
        ("nothing", chunk("")),
        ("an underscore", chunk(&format!("0_{size}"))),
        ("a bare carriage return", chunk(&format!("{size}\r;a"))),
        (
            "a bare line feed",
            post(TE, &format!("{size}\n{body}\r\n{end}")),
        ),
        (
            "data longer than its size",
            post(TE, &format!("2\r\n{body}\r\n{end}")),
        ),
        (
            "data shorter than its size",
            post(TE, &format!("{:x}\r\n{body}\r\n{end}", body.len() + 1)),
        ),
        (
            "an endless extension",
            chunk(&format!("{size};{}", "x".repeat(64 << 10))),
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let hidden = proper("hidden");
    let long = |length: usize| format!("X-A: {}\r\n", "x".repeat(length));
    let many: String = (0..300)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    let scene = Scene::start().await.unwrap();
    let addr = scene.godwit.addresses().get("api").unwrap();
    for (what, head) in [
        ("one long line", long(80 << 10)),
        ("many lines", many),
        (
            "long names",
            format!("X{0}: a\r\nY{0}: a\r\n", "x".repeat(40 << 10)),
        ),
    ] {
        let bytes = post(
            &format!("{head}Content-Length: 2\r\n"),
            &format!("{{}}{hidden}"),
        );
        let heard = say(addr, bytes.as_bytes(), None).await;
        assert_eq!(heard.statuses(), [431], "{what}: {heard:?}");
        assert!(heard.closed, "{what}");
    }
    // Beyond what is read at all, the close may overtake the answer.
    let bytes = post(&long(4 << 20), &hidden);
    let heard = say(addr, bytes.as_bytes(), None).await;
    assert!(matches!(heard.statuses()[..], [] | [431]), "{heard:?}");
    assert!(heard.closed);
    let large = post(&long(40 << 10), "");
    let large = large.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}");
    let heard = say(addr, large.as_bytes(), Some(1)).await;
    assert_eq!(
        heard.statuses(),
        [400],
        "40 KiB are not too many: {heard:?}"
    );
    assert_eq!(scene.alpha.totals().requests, 0);
}

#[tokio::test]
async fn what_follows_a_refusal_is_read_only_where_the_framing_is_clear() {
    let scene = Scene::start().await.unwrap();
    let addr = scene.godwit.addresses().get("api").unwrap();
    let second = proper("the second");
    let keyless = proper("a").replace(DEV_KEY, "sk-gw-v1-unknown");
    let headed = |line: &str, body: &str| {
        let length = body.len();
        format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let hidden = proper("hidden in a body");
    // Refused, but read whole: the second is the second.
    for (what, first) in [
        ("malformed JSON", post("Content-Length: 2\r\n", "{]")),
        ("an unknown model", proper("x").replace(ALPHA, "test/alfha")),
    ] {
        let both = format!("{first}{second}");
        let heard = say(addr, both.as_bytes(), Some(2)).await;
        let statuses = heard.statuses();
        assert_eq!(statuses.len(), 2, "{what}: {heard:?}");
        assert!((400..500).contains(&statuses[0]), "{what}: {heard:?}");
        assert_eq!(statuses[1], 200, "{what}: {heard:?}");
    }
    let served = scene.alpha.totals().requests;
    assert_eq!(served, 2);
    // Answered without reading the body: what it holds is not a request.
    for (what, first) in [
        ("an unknown key", keyless),
        ("an unknown path", headed("POST /nowhere", &hidden)),
        (
            "a method that is not",
            headed(&format!("DELETE {CHAT}"), &hidden),
        ),
        ("a GET with a body", headed("GET /api/v1/models", &hidden)),
        ("a HEAD with a body", headed("HEAD /api/v1/models", &hidden)),
        (
            "too large a body",
            post("Content-Length: 40000000\r\n", &hidden),
        ),
    ] {
        let both = format!("{first}{second}");
        let heard = say(addr, both.as_bytes(), None).await;
        assert_eq!(heard.statuses().len(), 1, "{what}: {heard:?}");
        assert!(heard.closed, "{what}: {heard:?}");
    }
    // Chunk sizes are read more freely than they should be: nothing may follow them.
    let heard = say(addr, post(TE, &chunked("seen", &hidden)).as_bytes(), None).await;
    assert_eq!(heard.statuses(), [200], "{heard:?}");
    assert!(heard.closed && heard.text.contains("onnection: close"));
    assert_eq!(scene.alpha.totals().requests, served + 1);
}

#[tokio::test]
async fn nothing_of_a_request_gets_into_an_answers_head() {
    let scene = Scene::start().await.unwrap();
    let addr = scene.godwit.addresses().get("api").unwrap();
    let body = chat("test/x\r\nX-Evil: 1\r\n\r\n", "x").to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    for (what, bytes) in [
        ("a model's name", post(&length, &body)),
        (
            "a path",
            "GET /api/v1/models/a%0d%0aX-Evil:%201/b/endpoints HTTP/1.1\r\nHost: x\r\n\r\n"
                .to_owned(),
        ),
        (
            "a header",
            proper("x").replace(
                "Host: x\r\n",
                "Host: x\r\nX-Request-Id: %0d%0aX-Evil: 1\r\n",
            ),
        ),
    ] {
        let heard = say(addr, bytes.as_bytes(), Some(1)).await;
        assert_eq!(heard.statuses().len(), 1, "{what}: {heard:?}");
        let (head, _) = heard.text.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("x-evil"), "{what}: {head}");
    }
}
