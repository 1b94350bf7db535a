//! The order of turns. Providers demand the results of a turn's calls before anything else is said;
//! clients of an API whose items stand in one list may say it between them.

use crate::message::{Part, Role, Turn};

/// Moves the results that follow a turn with calls before the users' and operators' turns that
/// stand between them. All else keeps its order.
pub(super) fn results_first(turns: &mut [Turn<'_>]) {
    let is_model = |turn: &Turn<'_>| turn.role == Role::Assistant;
    let mut has_called = false;
    for run in turns.chunk_by_mut(|one, next| is_model(one) == is_model(next)) {
        if has_called {
            run.sort_by_key(|turn| turn.role != Role::Tool);
        }
        let mut parts = run.iter().flat_map(|turn| &turn.parts);
        has_called = parts.any(|part| matches!(part, Part::Call { .. }));
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::fixture::Fixture;
    use crate::ingress::Api;
    use serde_json::{Value, json};
    use shared::catalog::Dialect;

    fn sent(dialect: Dialect, input: &Value) -> Value {
        let request = json!({"model": "a/b", "input": input});
        let body = Fixture::new(dialect).api(Api::Responses);
        let body = body.body(&request.to_string()).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body["messages"].clone()
    }

    #[test]
    fn what_a_user_says_between_results_follows_them() {
        let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
        let result =
            |id: &str| json!({"type": "function_call_output", "call_id": id, "output": id});
        let input = json!([
            {"role": "user", "content": "q"},
            call("aaaaaaaa1"), call("aaaaaaaa2"), result("aaaaaaaa1"),
            {"role": "user", "content": "and"},
            result("aaaaaaaa2"),
            {"role": "user", "content": "then"},
        ]);
        for dialect in [
            Dialect::OpenaiChat,
            Dialect::MistralChat,
            Dialect::CohereV2,
            Dialect::Ollama,
        ] {
            let messages = sent(dialect, &input);
            let messages = messages.as_array().unwrap();
            let told: Vec<(&str, &str)> = messages
                .iter()
                .map(|message| {
                    let text = message["content"].as_str().unwrap_or("");
                    (message["role"].as_str().unwrap(), text)
                })
                .collect();
            let expected = [
                ("user", "q"),
                ("assistant", ""),
                ("tool", "aaaaaaaa1"),
                ("tool", "aaaaaaaa2"),
                ("user", "and"),
                ("user", "then"),
            ];
            assert_eq!(told, expected, "{dialect:?}");
            assert_eq!(messages[1]["tool_calls"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    fn results_stay_with_their_calls() {
        let input = json!([
            {"role": "user", "content": "q"},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"role": "assistant", "content": "so"},
            {"role": "user", "content": "go"},
            {"type": "function_call_output", "call_id": "stray", "output": "2"},
        ]);
        let messages = sent(Dialect::OpenaiChat, &input);
        let messages = messages.as_array().unwrap();
        let roles: Vec<&str> = messages
            .iter()
            .map(|message| message["role"].as_str().unwrap())
            .collect();
        assert_eq!(
            roles,
            ["user", "assistant", "tool", "assistant", "user", "tool"]
        );
    }
}
