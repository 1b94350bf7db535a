//! Numbers that single hosts give their errors, with HTTP status 200: MiniMax's `base_resp` and
//! Baidu's `error_code`.

use serde_json::{Map, Value};

/// The HTTP status that belongs to a host's own number, and its words; none where no such number
/// stands, or it says that all is well.
pub(super) fn code(object: &Map<String, Value>) -> Option<(u16, &str)> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    let minimax = number("status_code").filter(|_| object.contains_key("status_msg"));
    let (number, message) = match (minimax, number("error_code")) {
        (Some(number), _) => (number, text("status_msg")),
        (None, Some(number)) => (number, text("error_msg")),
        _ => return None,
    };
    let status = match number {
        0 => return None,
        // MiniMax: too many, no key, no money, too slow, no room, a filter, wrong, a wrong key.
        1002 => 429,
        1004 | 2049 => 401,
        1008 => 402,
        1001 => 504,
        1026 | 1027 | 1039 | 2013 => 400,
        // Baidu: too many, no key, overloaded, wrong.
        4 | 17 | 18 | 336_501 | 336_502 => 429,
        13 | 14 | 15 | 110 | 111 => 401,
        336_100 => 503,
        336_003 | 336_006 | 336_007 => 400,
        _ => 502,
    };
    Some((status, message))
}

#[cfg(test)]
mod tests {
    use super::code;
    use serde_json::json;

    #[test]
    fn numbers_mean_a_status() {
        let of = |value: serde_json::Value| {
            let found = code(value.as_object()?);
            found.map(|(status, message)| (status, message.to_owned()))
        };
        let well = json!({"status_code": 0, "status_msg": "success"});
        assert_eq!(of(well), None);
        let poor = json!({"status_code": 1008, "status_msg": "insufficient balance"});
        assert_eq!(of(poor), Some((402, "insufficient balance".to_owned())));
        let busy = json!({"error_code": 18, "error_msg": "qps limit"});
        assert_eq!(of(busy), Some((429, "qps limit".to_owned())));
        assert_eq!(of(json!({"error_code": "REQUEST_LIMIT_EXCEEDED"})), None);
        assert_eq!(of(json!({"status_code": 429})), None);
    }
}
