//! What the fleet has measured of an endpoint, as OpenRouter tells it. What nobody has measured is
//! null, and so is what would need a longer memory than the fleet's, which is minutes.

use crate::ranking::{Percentiles, RankingRow};
use serde_json::{Map, Value, json};

/// A failure of probability 1 in [`RankingRow::failure`].
const CERTAIN: f64 = 65_535.0;

/// Adds what is known of an endpoint in the region of this table; none is nothing.
pub(super) fn tell(endpoint: &mut Map<String, Value>, row: Option<&RankingRow>) {
    // Of an endpoint that nobody has used lately, the row has a guess and no percentiles.
    let used = row.filter(|row| row.ttft_ms.p50 > 0 || row.throughput_tenths.p50 > 0);
    let uptime = used.map(|row| {
        let failed = f64::from(row.failure) / CERTAIN;
        // Two digits are as much as is known.
        ((1.0 - failed) * 10_000.0).round() / 100.0
    });
    let latency = used.and_then(|row| percentiles(row.ttft_ms, 1));
    let throughput = used.and_then(|row| percentiles(row.throughput_tenths, 10));
    for (name, value) in [
        ("uptime_last_5m", uptime.into()),
        ("uptime_last_30m", Value::Null),
        ("uptime_last_1d", Value::Null),
        ("latency_last_30m", latency.into()),
        ("throughput_last_30m", throughput.into()),
    ] {
        endpoint.insert(name.to_owned(), value);
    }
}

/// Numbers that are kept in so many parts of one; none where they are unknown.
fn percentiles(kept: Percentiles, parts: u32) -> Option<Value> {
    let number = |kept: u32| match kept % parts {
        0 => Value::from(kept / parts),
        _ => Value::from(f64::from(kept) / f64::from(parts)),
    };
    (kept.p50 > 0).then(|| {
        json!({
            "p50": number(kept.p50),
            "p75": number(kept.p75),
            "p90": number(kept.p90),
            "p99": number(kept.p99),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(row: Option<&RankingRow>) -> Value {
        let mut endpoint = Map::new();
        tell(&mut endpoint, row);
        endpoint.into()
    }

    #[test]
    fn what_is_measured_is_told_and_the_rest_is_null() {
        let nothing = told(None);
        let members: Vec<_> = nothing.as_object().unwrap().iter().collect();
        assert_eq!(members.len(), 5);
        assert!(members.iter().all(|(_, value)| value.is_null()));
        // A guess is no measurement.
        let guessed = RankingRow {
            failure: 655,
            ..RankingRow::default()
        };
        assert_eq!(told(Some(&guessed)), nothing);
        let of = |p50, p75, p90, p99| Percentiles { p50, p75, p90, p99 };
        let row = RankingRow {
            failure: 655,
            ttft_ms: of(200, 300, 400, 1500),
            throughput_tenths: of(805, 700, 600, 11),
            ..RankingRow::default()
        };
        let expect = json!({
            "uptime_last_5m": 99.0, "uptime_last_30m": null, "uptime_last_1d": null,
            "latency_last_30m": { "p50": 200, "p75": 300, "p90": 400, "p99": 1500 },
            "throughput_last_30m": { "p50": 80.5, "p75": 70, "p90": 60, "p99": 1.1 },
        });
        assert_eq!(told(Some(&row)), expect);
        // An embedding has a latency and no throughput.
        let row = RankingRow {
            ttft_ms: of(20, 30, 40, 50),
            ..RankingRow::default()
        };
        let told = told(Some(&row));
        assert_eq!(told["uptime_last_5m"], 100.0);
        assert!(told["throughput_last_30m"].is_null());
        assert_eq!(told["latency_last_30m"]["p99"], 50);
    }
}
