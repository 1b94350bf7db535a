//! What requests of a workspace's keys begin with where they don't say, on every edge.

use super::{PATIENCE, Stage};
use http::Method;
use loadtest::cluster::eventually;
use loadtest::cluster::scene::{ALPHA, BETA, BOTH, CHAT};
use serde_json::{Value, json};

impl Stage {
    /// Changes the default workspace over HTTP.
    async fn set(&self, change: &Value) {
        let name = ["keys", "create", "--name", "owner", "--kind", "management"];
        let made = self.admin(&name);
        let owner = self.fleet.client(0).with_key(made["key"].as_str().unwrap());
        let listed = owner.get("/api/v1/workspaces").await.unwrap().json();
        let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/workspaces/{id}");
        let body = change.to_string().into();
        let reply = owner.call(Method::PATCH, &path, body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_says_which_model_and_order_are_the_default() {
    let stage = Stage::start().await;
    let unnamed = json!({"messages": [{"role": "user", "content": "hello"}]});
    stage.until_status(&unnamed, 400).await;
    stage.set(&json!({"default_text_model": ALPHA})).await;
    stage
        .until(&unnamed, |reply| {
            reply.status == 200 && reply.json()["model"] == ALPHA
        })
        .await;
    // What is said stands.
    let named = json!({"model": BETA, "messages": [{"role": "user", "content": "hello"}]});
    let reply = stage.fleet.client(1).post(CHAT, &named).await.unwrap();
    assert_eq!((reply.status, &reply.json()["model"]), (200, &json!(BETA)));
    // An order that nothing but the setting asks for: the plan is by price.
    stage.set(&json!({"default_provider_sort": "price"})).await;
    let both = json!({"model": BOTH, "messages": [{"role": "user", "content": "hello"}]});
    for client in stage.clients() {
        let client = client.with_header("x-godwit-explain", "1");
        let sorted = || async {
            let reply = client.post(CHAT, &both).await.unwrap();
            let plan = reply.json()["godwit_explain"]["candidates"].to_string();
            (reply.status == 200 && plan.contains("sort:price")).then_some(())
        };
        let done = eventually(PATIENCE, sorted).await;
        assert!(done.is_some(), "{}", client.base());
    }
}
