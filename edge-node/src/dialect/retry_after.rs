//! When a provider says that one may come back: seconds, milliseconds, durations such as `17ms` or
//! `6m0s`, and dates, as long after the answer's own date.

use super::date;
use http::HeaderMap;
use std::time::Duration;

/// The longest pause that is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The pause that the headers ask for.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let exact = text("retry-after-ms").and_then(|text| number(text, 1e-3));
    exact.or_else(|| {
        let plain = text("retry-after")?;
        let dated = || date::after_answer(headers, plain);
        Some(duration(plain).or_else(dated)?.min(RETRY_AFTER_MAX))
    })
}

/// `2`, `2.5`, `34s`, `17ms`, `1m30s`, `1h`; none for anything else. Bounded by
/// [`RETRY_AFTER_MAX`].
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some(plain) = number(text, 1.0) {
        return Some(plain);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(number(amount, seconds)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| total.min(RETRY_AFTER_MAX))
}

fn number(text: &str, seconds: f64) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let amount = text.parse::<f64>().ok().filter(|_| plain)?;
    let pause = (amount * seconds).min(RETRY_AFTER_MAX.as_secs_f64());
    Duration::try_from_secs_f64(pause).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A duration as providers spell it, and its nanoseconds.
    fn spelled() -> impl Strategy<Value = (String, u128)> {
        let units = [
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
        ];
        let part = (0_u64..5_000, prop::sample::select(units.to_vec()));
        prop::collection::vec(part, 1..6).prop_map(|parts| {
            let each = parts.iter();
            let text = each.map(|(amount, (unit, _))| format!("{amount}{unit}"));
            let ns = parts
                .iter()
                .map(|(amount, (_, ns))| u128::from(*amount) * ns);
            (text.collect(), ns.sum())
        })
    }

    proptest! {
        #[test]
        fn a_spelled_duration_is_the_sum_of_its_parts((text, ns) in spelled()) {
            let expect = ns.min(RETRY_AFTER_MAX.as_nanos());
            let got = duration(&text).map(|pause| pause.as_nanos());
            // Each part is rounded once.
            prop_assert!(got.is_some_and(|got| got.abs_diff(expect) <= 5), "{text}: {got:?}");
        }

        #[test]
        fn a_number_of_any_length_is_bounded_and_one_below_zero_is_none(
            digits in "[0-9]{1,400}", fraction in "(\\.[0-9]{0,400})?",
        ) {
            let text = format!("{digits}{fraction}");
            let got = duration(&text);
            prop_assert!(got.is_some_and(|pause| pause <= RETRY_AFTER_MAX), "{text}: {got:?}");
            prop_assert_eq!(got, duration(&format!(" {text} ")));
            prop_assert_eq!(got, duration(&format!("{text}s")));
            prop_assert_eq!(duration(&format!("-{text}")), None);
            prop_assert_eq!(duration(&format!("+{text}")), None);
        }

        #[test]
        fn a_date_is_as_far_off_as_it_is_later(sent in 0_u64..200_000_000_000, later in -9_000_i64..9_000) {
            let then = sent.saturating_add_signed(later);
            let mut headers = HeaderMap::new();
            let date = http::HeaderValue::from_str(&date::tests::imf_of(sent)).unwrap();
            headers.insert("date", date);
            let expect = Duration::from_secs(then.saturating_sub(sent)).min(RETRY_AFTER_MAX);
            for text in [date::tests::imf_of(then), date::tests::rfc3339_of(then)] {
                let value = http::HeaderValue::from_str(&text).unwrap();
                headers.insert("retry-after", value);
                prop_assert_eq!(read(&headers), Some(expect), "{}", text);
            }
        }
    }

    #[test]
    fn every_format_is_read() {
        let check = |text: &str, ms: Option<u128>| {
            assert_eq!(duration(text).map(|d| d.as_millis()), ms, "{text}");
        };
        check("2", Some(2000));
        check(" 2.5 ", Some(2500));
        check("0", Some(0));
        check("17ms", Some(17));
        check("6m0s", Some(360_000));
        check("1h2m", Some(3_600_000));
        check("34s", Some(34_000));
        check("7.66s", Some(7660));
        check("99999999999999999999", Some(3_600_000));
        for text in [
            "",
            "-1",
            "abc",
            "1x",
            "s",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "1e5",
            "NaN",
            ".",
            "inf",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn milliseconds_are_more_exact() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", http::HeaderValue::from_static("2"));
        assert_eq!(read(&headers), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", http::HeaderValue::from_static("1500"));
        assert_eq!(read(&headers), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let mut headers = HeaderMap::new();
        let later = http::HeaderValue::from_static("Wed, 21 Oct 2026 07:28:30 GMT");
        headers.insert("retry-after", later);
        assert_eq!(read(&headers), None, "whose clock is it?");
        let check = |date, expect| {
            let mut headers = headers.clone();
            headers.insert("date", http::HeaderValue::from_static(date));
            assert_eq!(read(&headers), Some(Duration::from_secs(expect)));
        };
        check("Wed, 21 Oct 2026 07:28:00 GMT", 30);
        check("Wed, 21 Oct 2026 08:00:00 GMT", 0);
        check("Mon, 21 Oct 2024 08:00:00 GMT", 3600);
    }
}
