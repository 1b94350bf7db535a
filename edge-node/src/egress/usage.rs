//! The usage object with its cost, and the last words of a stream. Cost is an exact decimal.

use crate::dialect::Bill;
use crate::egress::Envelope;
use crate::message::Served;
use bytes::BytesMut;
use shared::usage::Usage;

/// The usage object.
pub(crate) fn object(bill: &Bill<'_>) -> String {
    let (usage, cost) = (bill.usage, bill.cost);
    let total = usage.prompt.saturating_add(usage.completion);
    let cache_write = usage.cache_write.saturating_add(usage.cache_write_1h);
    let mut text = format!(
        concat!(
            "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},",
            "\"cost\":{},\"is_byok\":{},",
            "\"prompt_tokens_details\":{{\"cached_tokens\":{},\"cache_write_tokens\":{},",
            "\"audio_tokens\":{}}},",
            "\"completion_tokens_details\":{{\"reasoning_tokens\":{},\"audio_tokens\":{},",
            "\"image_tokens\":{}}},",
            "\"cost_details\":{{\"upstream_inference_cost\":{},",
            "\"upstream_inference_prompt_cost\":{},",
            "\"upstream_inference_completions_cost\":{}}}",
        ),
        usage.prompt,
        usage.completion,
        total,
        bill.charged,
        cost.own_key,
        usage.cache_read,
        cache_write,
        usage.prompt_audio,
        usage.reasoning,
        usage.completion_audio,
        usage.completion_image,
        cost.total(),
        cost.prompt,
        cost.completion,
    );
    text.push_str(&server_tools(usage));
    text.push('}');
    text
}

/// The member that tells what the provider's own tools were used for, behind a comma; empty where
/// none was.
pub(crate) fn server_tools(usage: &Usage) -> String {
    let all: Vec<String> = usage
        .server_tools()
        .map(|(name, count)| format!("\"{name}\":{count}"))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    format!(",\"server_tool_use_details\":{{{}}}", all.join(","))
}

/// Appends the usage chunk, where one is due, and `[DONE]`.
pub(crate) fn end_stream(envelope: &Envelope, bill: &Bill<'_>, out: &mut BytesMut) {
    if envelope.streams_usage || !bill.told.is_empty() {
        envelope.begin_chunk(out);
        out.extend_from_slice(b"\"choices\":[]");
        if let Some(served) = bill.served {
            out.extend_from_slice(tier(served).as_bytes());
        }
        if envelope.streams_usage {
            out.extend_from_slice(b",\"usage\":");
            out.extend_from_slice(object(bill).as_bytes());
        }
        out.extend_from_slice(bill.told.as_bytes());
        out.extend_from_slice(b"}\n\n");
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
}

/// Appends the last members of a whole answer and its closing brace; `comma` says whether members
/// stand before.
pub(crate) fn end_answer(bill: &Bill<'_>, comma: bool, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.extend_from_slice(b"\"usage\":");
    out.extend_from_slice(object(bill).as_bytes());
    if let Some(served) = bill.served {
        out.extend_from_slice(tier(served).as_bytes());
    }
    out.extend_from_slice(bill.told.as_bytes());
}

/// The member `service_tier`, behind a comma.
fn tier(served: Served) -> String {
    format!(",\"service_tier\":\"{}\"", served.as_str("default"))
}

/// The members `cost`, `is_byok` and `cost_details`.
pub(crate) fn cost(bill: &Bill<'_>) -> String {
    let cost = bill.cost;
    format!(
        concat!(
            "\"cost\":{},\"is_byok\":{},\"cost_details\":{{\"upstream_inference_cost\":{},",
            "\"upstream_inference_prompt_cost\":{},",
            "\"upstream_inference_completions_cost\":{}}}",
        ),
        bill.charged,
        cost.own_key,
        cost.total(),
        cost.prompt,
        cost.completion,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use shared::money::Amount;
    use shared::usage::Cost;

    #[test]
    fn the_cost_is_what_is_charged_and_the_price_stands_beside_it() {
        let usage = Usage::default();
        let lines = |own_key| Cost {
            prompt: Amount::USD,
            own_key,
            ..Cost::default()
        };
        for (own_key, charged) in [(false, "1.055"), (true, "0.05")] {
            let bill = Bill {
                usage: &usage,
                cost: &lines(own_key),
                charged: charged.parse().unwrap(),
                served: None,
                told: "",
                took: std::time::Duration::ZERO,
            };
            let responses = crate::egress::responses::usage::cost(&bill);
            for text in [
                object(&bill),
                format!("{{{}}}", cost(&bill)),
                format!("{{{responses}}}"),
            ] {
                let told: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(told["cost"].to_string(), charged);
                assert_eq!(told["is_byok"], own_key);
                let price = told["cost_details"]["upstream_inference_cost"].as_f64();
                assert_eq!(price, Some(1.0));
            }
        }
    }
}
