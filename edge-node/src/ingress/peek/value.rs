//! Values of a request, each read with the words for what is wrong with it.

use super::Refused;
use crate::failure::Failure;
use crate::ingress::later;
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// The longest model id, in bytes.
pub const MODEL_BYTES_MAX: usize = 256;

/// A 400 unless the kind is one of `kinds`; an empty list takes all.
pub(crate) fn expect(place: &str, kinds: &[Kind], kind: Kind) -> Result<(), Failure> {
    if kinds.is_empty() || kinds.contains(&kind) {
        return Ok(());
    }
    let wanted: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let message = format!(
        "{place} must be {}, not {}",
        wanted.join(" or "),
        kind.as_str()
    );
    Err(Failure::invalid(place, message))
}

/// A boolean that is known to be here.
pub(crate) fn boolean(scanner: &mut Scanner<'_>) -> Result<bool, SyntaxError> {
    let span = scanner.value()?;
    Ok(scanner.raw(span) == "true")
}

/// A number that is known to be here, as an integer in a range.
pub(crate) fn integer(
    scanner: &mut Scanner<'_>,
    place: &str,
    min: u64,
    max: u64,
) -> Result<u64, Refused> {
    let span = scanner.value()?;
    let raw = scanner.raw(span);
    if let Some(number) = json::count(raw).filter(|number| (min..=max).contains(number)) {
        return Ok(number);
    }
    let shown = raw.get(..40).unwrap_or(raw);
    let range = if max == u64::MAX {
        format!("an integer of at least {min}")
    } else {
        format!("an integer from {min} to {max}")
    };
    let message = format!("{place} must be {range}, not {shown}");
    Err(Failure::invalid(place, message).into())
}

/// The position of a syntax error in words.
pub(crate) fn malformed(text: &str, error: SyntaxError) -> Failure {
    let before = text.as_bytes().get(..error.at).unwrap_or(&[]);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let column = 1 + error.at - start;
    let message = format!(
        "the body is not valid JSON: {} (line {line}, column {column}, byte {})",
        error.reason, error.at
    );
    Failure::invalid("", message)
}

/// A number that a double can hold.
pub(super) fn finite(scanner: &mut Scanner<'_>, place: &str) -> Result<(), Refused> {
    let span = scanner.value()?;
    let raw = scanner.raw(span);
    if raw.parse::<f64>().is_ok_and(f64::is_finite) {
        return Ok(());
    }
    let message = format!("{place} is out of range");
    Err(Failure::invalid(place, message).into())
}

/// `stream_options`, an object.
pub(super) fn include_usage(scanner: &mut Scanner<'_>) -> Result<bool, Refused> {
    let mut wanted = false;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let kind = scanner.kind()?;
        if key.name.decode() == "include_usage" && kind != Kind::Null {
            expect("stream_options.include_usage", &[Kind::Bool], kind)?;
            wanted = boolean(scanner)?;
        } else {
            scanner.value()?;
        }
    }
    Ok(wanted)
}

/// The name of a model.
pub(crate) fn model_id(place: &str, name: Str<'_>) -> Result<String, Failure> {
    let id = name.decode();
    if id.is_empty() {
        return Err(Failure::invalid(place, format!("{place} is empty")));
    }
    if id.len() > MODEL_BYTES_MAX {
        let message = format!("{place} is longer than {MODEL_BYTES_MAX} bytes");
        return Err(Failure::invalid(place, message));
    }
    if id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let message = format!("{place} has a blank or a control character in it");
        return Err(Failure::invalid(place, message));
    }
    later::model(place, &id)?;
    Ok(id.into_owned())
}
