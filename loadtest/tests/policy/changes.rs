//! How soon every edge follows a change of each kind: from before the command that makes it, which
//! is a process of its own, to the first answer that follows it, on each of the edges.

use super::{EDGES, PATIENCE, Stage};
use loadtest::client::{Client, Reply};
use loadtest::cluster::LOOK_EVERY;
use loadtest::cluster::scene::{ALPHA, CHAT, chat};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Changes of each kind, half of them there, half of them back.
const CHANGES: usize = 34;
/// What is promised of ninety-nine in a hundred.
const PROMISED: Duration = Duration::from_secs(2);

/// A change that can be made and taken back, and how an answer shows either.
struct Kind {
    name: &'static str,
    there: Vec<String>,
    back: Vec<String>,
    /// The status while it holds; 200 otherwise. None: `is_byok` tells.
    status: Option<u16>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_is_on_every_edge_within_two_seconds() {
    let stage = Stage::start().await;
    let body = chat(ALPHA, "plain words");
    stage.until_status(&body, 200).await;
    let mut all = Vec::new();
    for kind in kinds(&stage) {
        let mut took = Vec::with_capacity(CHANGES * EDGES);
        for change in 0..CHANGES {
            took.extend(followed(&stage, &kind, change % 2 == 0).await);
        }
        println!("{:<32} {}", kind.name, summary(&mut took));
        all.extend(took);
    }
    println!("{:<32} {}", "all", summary(&mut all));
    assert!(all[all.len() * 99 / 100] < PROMISED);
}

fn kinds(stage: &Stage) -> Vec<Kind> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let kind = |name, there: &str, back: &str, status| Kind {
        name,
        there: words(there),
        back: words(back),
        status,
    };
    let key = &stage.key;
    let made = ["guardrails", "create", "--name", "assigned", "--rules"];
    let mut made = made.to_vec();
    made.push(r#"{"allowed_providers":["beta"]}"#);
    let assigned = stage.admin(&made);
    let assigned = assigned["id"].as_str().unwrap().to_owned();
    let changed = stage.guardrail("{}");
    let credential = stage.own_key("sk-own-key-of-changes-0001", &["--disabled"]);
    let rules = |rules: &str| format!("guardrails update {changed} --rules {rules}");
    let filter = rules(r#"{"content_filters":[{"pattern":"plain","action":"block"}]}"#);
    let mut limit_back = words(&format!("keys set {key} --limit"));
    limit_back.push(String::new());
    vec![
        kind(
            "key disabled",
            &format!("keys set {key} --disable"),
            &format!("keys set {key} --enable"),
            Some(401),
        ),
        Kind {
            back: limit_back,
            ..kind(
                "key's limit",
                &format!("keys set {key} --limit 0"),
                "",
                Some(402),
            )
        },
        kind(
            "organisation's budget",
            "limits set org daily 0",
            "limits set org daily",
            Some(403),
        ),
        kind(
            "guardrail assigned to a key",
            &format!("guardrails assign {assigned} --key {key}"),
            &format!("guardrails unassign {assigned} --key {key}"),
            Some(404),
        ),
        kind(
            "guardrail of the organisation",
            &rules(r#"{"enforce_zdr":true}"#),
            &rules("{}"),
            Some(404),
        ),
        kind("content filter", &filter, &rules("{}"), Some(403)),
        kind(
            "own provider key",
            &format!("credentials update {credential} --disabled false"),
            &format!("credentials update {credential} --disabled true"),
            None,
        ),
    ]
}

/// Makes one change; gives how long each edge took to follow.
async fn followed(stage: &Stage, kind: &Kind, there: bool) -> Vec<Duration> {
    let begun = Instant::now();
    let mut looking = JoinSet::new();
    for client in stage.clients() {
        looking.spawn(follows(client, kind.status, there, begun));
    }
    let words = if there { &kind.there } else { &kind.back };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Others look on meanwhile.
    stage.admin(&words);
    let followed = looking.join_all().await;
    let missed = followed.iter().filter(|it| it.is_none()).count();
    assert_eq!(missed, 0, "{}: {missed} edges don't follow", kind.name);
    followed.into_iter().flatten().collect()
}

async fn follows(
    client: Client,
    status: Option<u16>,
    there: bool,
    begun: Instant,
) -> Option<Duration> {
    let body = chat(ALPHA, "plain words");
    while begun.elapsed() < PATIENCE {
        let reply = client.post(CHAT, &body).await.unwrap();
        // What is changing is nobody's fault: no moment of it is a 5xx.
        assert!(reply.status < 500, "{}", reply.text());
        if shows(&reply, status, there) {
            return Some(begun.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn shows(reply: &Reply, status: Option<u16>, there: bool) -> bool {
    match status {
        Some(status) if there => reply.status == status,
        Some(_) => reply.status == 200,
        None => reply.status == 200 && reply.json()["usage"]["is_byok"] == json!(there),
    }
}

fn summary(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_millis();
    format!(
        "n {:>4}  p50 {:>4} ms  p90 {:>4} ms  p99 {:>4} ms  max {:>4} ms",
        took.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    )
}
