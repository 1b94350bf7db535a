//! Parsers of single values for [`Layers`](super::Layers): each takes the text and gives the value
//! or the reason for refusing it, in words that follow `key = value:`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Any text.
///
/// # Errors
/// None.
pub fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// A path; whether anything is there is not looked at.
///
/// # Errors
/// None.
pub fn path(value: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(value))
}

/// `ADDRESS:PORT`; port 0 lets the system choose.
///
/// # Errors
/// When it is not an IP address and a port.
pub fn socket(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| "an IP address and a port are expected, as in 127.0.0.1:8080".to_owned())
}

/// A whole number of the type that is asked for.
///
/// # Errors
/// When it is not one or does not fit.
pub fn number<N: FromStr>(value: &str) -> Result<N, String>
where
    N::Err: std::fmt::Display,
{
    value
        .replace('_', "")
        .parse()
        .map_err(|error: N::Err| error.to_string())
}

/// `true` or `false`.
///
/// # Errors
/// When it is neither.
pub fn truth(value: &str) -> Result<bool, String> {
    match value {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
    }
}

/// A whole number with a unit: `250ms`, `1s`, `5m`, `2h`; `0` needs none.
///
/// # Errors
/// When it is not one.
pub fn duration(value: &str) -> Result<Duration, String> {
    let refused = || "a duration is expected, as in 250ms, 1s, 5m or 2h".to_owned();
    if value == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| refused())?;
    let seconds = |unit: u64| count.checked_mul(unit).map(Duration::from_secs);
    match value.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(count)),
        Some("s") => seconds(1).ok_or_else(refused),
        Some("m") => seconds(60).ok_or_else(refused),
        Some("h") => seconds(3600).ok_or_else(refused),
        _ => Err(refused()),
    }
}

/// A number of bytes, plain or with `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// When it is not one or does not fit.
pub fn bytes(value: &str) -> Result<usize, String> {
    let refused = || "a size is expected, as in 65536, 64KiB, 32MiB or 1GiB".to_owned();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: usize = digits.parse().map_err(|_| refused())?;
    let unit = match value.strip_prefix(digits) {
        Some("") => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some("GiB") => 1 << 30,
        _ => return Err(refused()),
    };
    count.checked_mul(unit).ok_or_else(refused)
}
