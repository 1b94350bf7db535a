//! The usage object with its cost, an exact decimal.

use crate::dialect::Bill;
use crate::egress::usage::server_tools;
use shared::usage::Usage;

/// The usage object.
pub(crate) fn object(bill: &Bill<'_>) -> String {
    let usage = bill.usage;
    let total = usage.prompt.saturating_add(usage.completion);
    let cache_write = usage.cache_write.saturating_add(usage.cache_write_1h);
    let mut text = format!(
        concat!(
            "{{\"input_tokens\":{},",
            "\"input_tokens_details\":{{\"cached_tokens\":{},\"cache_write_tokens\":{}}},",
            "\"output_tokens\":{},\"output_tokens_details\":{{\"reasoning_tokens\":{}}},",
            "\"total_tokens\":{},{}",
        ),
        usage.prompt,
        usage.cache_read,
        cache_write,
        usage.completion,
        usage.reasoning,
        total,
        cost(bill),
    );
    text.push_str(&server_tools(usage));
    text.push('}');
    text
}

/// The counts that stand beside the tokens of the prompt.
pub(crate) const fn input_details(usage: &Usage) -> [(&'static str, u64); 2] {
    let cache_write = usage.cache_write.saturating_add(usage.cache_write_1h);
    [
        ("cached_tokens", usage.cache_read),
        ("cache_write_tokens", cache_write),
    ]
}

/// The counts that stand beside the tokens of the answer.
pub(crate) const fn output_details(usage: &Usage) -> [(&'static str, u64); 1] {
    [("reasoning_tokens", usage.reasoning)]
}

/// The members that say what it cost.
pub(crate) fn cost(bill: &Bill<'_>) -> String {
    let cost = bill.cost;
    format!(
        concat!(
            "\"cost\":{},\"is_byok\":{},",
            "\"cost_details\":{{\"upstream_inference_cost\":{},",
            "\"upstream_inference_input_cost\":{},",
            "\"upstream_inference_output_cost\":{}}}",
        ),
        bill.charged,
        cost.own_key,
        cost.total(),
        cost.prompt,
        cost.completion,
    )
}
