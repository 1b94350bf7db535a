//! Days and times of the civil calendar, UTC, from and to seconds since 1970. Days are counted
//! from 1970-01-01. The conversions follow Howard Hinnant's algorithms
//! (<https://howardhinnant.github.io/date_algorithms.html>).

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;
/// The last day that is written and read: 9999-12-31.
pub const DAY_MAX: u64 = 2_932_896;
/// 1970 began on a Thursday, three days after a Monday.
const DAYS_FROM_MONDAY: u64 = 3;

/// `YYYY-MM-DDTHH:MM:SSZ`.
#[must_use]
pub fn rfc3339(unix_s: u64) -> String {
    let rest = unix_s % DAY_S;
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    let date = date(unix_s / DAY_S);
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[must_use]
pub fn rfc3339_ms(unix_ms: u64) -> String {
    let whole = rfc3339(unix_ms / 1000);
    let until_zone = whole.strip_suffix('Z').unwrap_or(&whole);
    format!("{until_zone}.{:03}Z", unix_ms % 1000)
}

/// `YYYY-MM-DD`.
#[must_use]
pub fn date(day: u64) -> String {
    let (year, month, day) = civil(day.min(DAY_MAX));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day that a text such as `2026-11-23` names.
#[must_use]
pub fn parse_date(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| plain)
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || !(1970..=9999).contains(&year) {
        return None;
    }
    let found = days(year, month, day)?;
    // The 30th of February would be another day.
    (civil(found) == (year, month, day)).then_some(found)
}

/// The seconds since 1970 of a time in UTC such as `2026-11-23T07:30:00Z` or
/// `…:00.5+00:00`; parts of a second are cut.
#[must_use]
pub fn parse_rfc3339_utc(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let time = ["Z", "z", "+00:00", "-00:00"]
        .iter()
        .find_map(|zone| time.strip_suffix(zone))?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = clock.split(':');
    let mut part = |below: u64| {
        let part = parts.next()?;
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let value = part.parse::<u64>().ok()?;
        (plain && value < below).then_some(value)
    };
    let (hour, minute, second) = (part(24)?, part(60)?, part(60)?);
    if parts.next().is_some() {
        return None;
    }
    Some(parse_date(date)? * DAY_S + hour * 3600 + minute * 60 + second)
}

/// The Monday of this day's week.
#[must_use]
pub fn week_start(day: u64) -> u64 {
    day.saturating_sub((day + DAYS_FROM_MONDAY) % 7)
}

/// The first day of this day's month.
#[must_use]
pub fn month_start(day: u64) -> u64 {
    let (_, _, of_month) = civil(day);
    day.saturating_sub(of_month.saturating_sub(1))
}

fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_733_506_137), "2024-12-06T17:28:57Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339_ms(951_782_400_007), "2000-02-29T00:00:00.007Z");
        assert_eq!(date(DAY_MAX), "9999-12-31");
        assert_eq!(date(u64::MAX), "9999-12-31");
    }

    #[test]
    fn every_day_reads_as_it_is_written() {
        for day in (0..=DAY_MAX).step_by(97).chain([0, 58, 59, 60, DAY_MAX]) {
            assert_eq!(parse_date(&date(day)), Some(day));
        }
        for bad in [
            "2026-02-30",
            "2026-2-03",
            "1969-12-31",
            "2026-13-01",
            "",
            "2026-01-01-",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_read_in_utc_only() {
        for (text, expect) in [
            ("2024-12-06T17:28:57Z", Some(1_733_506_137)),
            ("2024-12-06T17:28:57.250Z", Some(1_733_506_137)),
            ("2024-12-06T17:28:57+00:00", Some(1_733_506_137)),
            ("2024-12-06T17:28:57+01:00", None),
            ("2024-12-06T17:28Z", None),
            ("2024-12-06T24:00:00Z", None),
            ("2024-12-06T17:28:57.Z", None),
            ("2024-12-06", None),
        ] {
            assert_eq!(parse_rfc3339_utc(text), expect, "{text}");
        }
    }

    #[test]
    fn weeks_begin_on_mondays_and_months_on_the_first() {
        let day = |text| parse_date(text).unwrap();
        for (given, week, month) in [
            ("2026-11-23", "2026-11-23", "2026-11-01"),
            ("2026-11-29", "2026-11-23", "2026-11-01"),
            ("2026-11-01", "2026-10-26", "2026-11-01"),
            ("2028-02-29", "2028-02-28", "2028-02-01"),
            ("1970-01-02", "1970-01-01", "1970-01-01"),
        ] {
            // The epoch's own week began before it.
            let expect = if given.starts_with("1970") {
                0
            } else {
                day(week)
            };
            assert_eq!(week_start(day(given)), expect, "{given}");
            assert_eq!(month_start(day(given)), day(month), "{given}");
        }
    }
}
