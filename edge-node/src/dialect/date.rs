//! Dates in headers, as seconds since 1970. A provider's clock is not ours, so that a date means
//! something only beside the `date` of the same answer.

use http::{HeaderMap, header};
use std::time::Duration;

/// How long after the answer's own `date` this one is; zero when it is past.
pub(crate) fn after_answer(headers: &HeaderMap, date: &str) -> Option<Duration> {
    let sent = headers.get(header::DATE)?.to_str().ok()?;
    let (sent, then) = (seconds(sent)?, seconds(date)?);
    Some(Duration::try_from_secs_f64((then - sent).max(0.0)).unwrap_or(Duration::MAX))
}

/// `Wed, 21 Oct 2026 07:28:00 GMT` or `2026-10-21T07:28:00.5Z`.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.ends_with("GMT") {
        return imf(text);
    }
    rfc3339(text)
}

fn imf(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let names = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = names.iter().position(|name| *name == month)? + 1;
    let month = u32::try_from(month).ok()?;
    at(number(year)?, month, number(day)?, time)
}

fn rfc3339(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, zone_s) = match time.find(['Z', 'z', '+', '-']) {
        Some(zone) => {
            let (time, zone) = time.split_at_checked(zone)?;
            (time, offset(zone)?)
        }
        None => (time, 0.0),
    };
    Some(at(number(year)?, number(month)?, number(day)?, time)? - zone_s)
}

/// `Z` or `+02:00`.
fn offset(zone: &str) -> Option<f64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0.0);
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let seconds = f64::from(number(hours)? * 3600 + number(minutes)? * 60);
    Some(if sign == "-" { -seconds } else { seconds })
}

fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn at(year: u32, month: u32, day: u32, time: &str) -> Option<f64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let second: f64 = parts.next()?.parse().ok()?;
    if parts.next().is_some() || hour > 23 || minute > 59 || !(0.0..61.0).contains(&second) {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, years counted from March.
    let (year, month) = (i64::from(year), i64::from(month));
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year
            - 719_468;
    #[expect(
        clippy::cast_precision_loss,
        reason = "dates are far below 2^53 seconds"
    )]
    let midnight = (days * 86_400) as f64;
    Some(midnight + f64::from(hour * 3600 + minute * 60) + second)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Year, month and day, counted day by day of whole years and months: slow, and not how they
    /// are read.
    fn civil(seconds: u64) -> (u64, usize, u64) {
        let mut days = seconds / 86_400;
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
        };
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let mut months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        months[1] += u64::from(is_leap(year));
        let mut month = 0;
        while days >= months[month] {
            days -= months[month];
            month += 1;
        }
        (year, month, days + 1)
    }

    fn time(seconds: u64) -> String {
        let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
        format!("{hour:02}:{minute:02}:{:02}", seconds % 60)
    }

    /// As an HTTP date; the day of the week is not read.
    pub(in crate::dialect) fn imf_of(seconds: u64) -> String {
        let names = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (year, month, day) = civil(seconds);
        let time = time(seconds);
        format!("Mon, {day:02} {} {year} {time} GMT", names[month])
    }

    pub(in crate::dialect) fn rfc3339_of(seconds: u64) -> String {
        let ((year, month, day), time) = (civil(seconds), time(seconds));
        format!("{year}-{:02}-{day:02}T{time}Z", month + 1)
    }

    #[test]
    fn both_forms_are_read() {
        for (text, expect) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0.0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777.0)),
            ("1994-11-06T08:49:37Z", Some(784_111_777.0)),
            ("1994-11-06T10:49:37.5+02:00", Some(784_111_777.5)),
            ("2000-02-29T00:00:00Z", Some(951_782_400.0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800.0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("1994-13-06T08:49:37Z", None),
            ("1994-11-06", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expect, "{text}");
        }
    }
}
