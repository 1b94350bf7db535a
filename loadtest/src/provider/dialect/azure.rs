//! The azure-openai side of the simulated provider: openai-chat under Azure's paths, with what its
//! content filter adds: a first chunk without choices, a late one without a delta.

use super::{Head, Place, Refusal, Script, Wire, invalid, openai, word};
use crate::provider::answer::{Answer, Piece, Prompt};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};
use std::io::Write as _;

/// `POST …/deployments/D/chat/completions`, `POST …/openai/v1/chat/completions`, and
/// `POST …/models/chat/completions` of Azure's other models.
pub(super) struct Azure;

impl Wire for Azure {
    fn owns(&self, path: &str) -> bool {
        let others = ["/openai/v1/chat/completions", "/models/chat/completions"];
        deployment(path).is_some() || others.iter().any(|end| path.ends_with(end))
    }

    fn id_prefix(&self) -> &'static str {
        "chatcmpl-"
    }

    fn key_headers(&self) -> &'static [&'static str] {
        &["api-key", "authorization"]
    }

    fn bad_key(&self) -> Refusal {
        let message = "Access denied due to invalid subscription key or wrong API endpoint.";
        Refusal::new(401, message)
    }

    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        let Some(deployment) = deployment(&at.path) else {
            let model = word(body, "model");
            let model = model.ok_or_else(|| invalid("you must provide a model parameter"))?;
            return openai::prompt_for(model, body);
        };
        if at.parameter("api-version").is_none_or(str::is_empty) {
            return Err(Refusal::new(404, "Resource not found"));
        }
        openai::prompt_for(deployment, body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        let code = match refusal.status {
            401 => "401",
            403 => "403",
            404 => "DeploymentNotFound",
            429 => "429",
            _ => return openai::error(refusal),
        };
        json!({"error": {"code": code, "message": refusal.message}})
    }

    fn error_headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        if let Some(seconds) = refusal.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
            headers.insert("retry-after-ms", seconds.saturating_mul(1000).into());
        }
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let mut whole = openai::whole(head, answer);
        if let Some(choice) = whole
            .pointer_mut("/choices/0")
            .and_then(Value::as_object_mut)
        {
            choice.insert("content_filter_results".into(), verdicts());
        }
        if let Some(members) = whole.as_object_mut() {
            members.insert("prompt_filter_results".into(), prompt_verdicts());
        }
        whole
    }

    fn script(&self, _at: &Place, head: Head, prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Chunks(openai::Chunks::new(&head, prompt.include_usage)))
    }
}

/// The deployment that a path names.
fn deployment(path: &str) -> Option<&str> {
    let (_, behind) = path.split_once("/deployments/")?;
    behind.strip_suffix("/chat/completions")
}

fn verdicts() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe})
}

fn prompt_verdicts() -> Value {
    json!([{"prompt_index": 0, "content_filter_results": verdicts()}])
}

struct Chunks(openai::Chunks);

impl Script for Chunks {
    fn start(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let first = json!({"choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": prompt_verdicts()});
        let _ = write!(out, "data: {first}\n\n");
        self.0.start(answer, out);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        self.0.piece(piece, out);
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        // The filter runs beside the model and reports late.
        let offsets = json!({"check_offset": 0, "start_offset": 0, "end_offset": 1});
        let late = json!([{"index": 0, "finish_reason": null, "content_filter_results": verdicts(),
            "content_filter_offsets": offsets}]);
        let _ = write!(out, "{}{late}}}\n\n", self.0.prefix());
        self.0.finish(answer, out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let _ = write!(out, "data: {}\n\n", Azure.error(refusal));
    }
}
