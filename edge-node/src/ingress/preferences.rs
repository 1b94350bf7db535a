//! The `provider` object: what a client prefers and forbids. Read strictly, unknown members
//! included: a mistyped `data_collection` that is ignored would send a prompt where it must not go.

mod options;

use crate::failure::Failure;
use crate::ingress::peek::{Refused, boolean, expect};
use crate::wire::json::{Kind, Scanner};
use shared::catalog::Quantization;
use shared::money::{PRICE_DIGITS_MAX, Price};
use shared::ranking::Mode;
use shared::routing::{Cutoffs, MaxPrice, Partition, Preferences};

/// How many entries a list may have.
pub const LIST_MAX: usize = 200;
/// Throughput is kept in tenths of tokens per second.
const TENTHS_PER_TOKEN: f64 = 10.0;
/// Latency comes in seconds and is kept in milliseconds.
const MILLIS_PER_SECOND: f64 = 1000.0;
/// Bounds on token prices come in dollars per million.
const PER_MILLION_DIGITS: u8 = 6;

/// Consumes the object.
pub(crate) fn object(scanner: &mut Scanner<'_>) -> Result<Preferences, Refused> {
    let mut preferences = Preferences::default();
    let mut seen: Vec<String> = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let place = format!("provider.{name}");
        once(&mut seen, &name, &place)?;
        let kind = scanner.kind()?;
        if kind == Kind::Null {
            scanner.value()?;
            continue;
        }
        expect(&place, kinds(&name), kind)?;
        member(scanner, &mut preferences, &name, &place)?;
    }
    Ok(preferences)
}

/// A member that stands twice would mean two things.
fn once(seen: &mut Vec<String>, name: &str, place: &str) -> Result<(), Refused> {
    if seen.iter().any(|seen| *seen == *name) {
        let message = format!("{place} stands more than once");
        return Err(Failure::invalid(place, message).into());
    }
    seen.push(name.to_owned());
    Ok(())
}

fn kinds(name: &str) -> &'static [Kind] {
    match name {
        "order" | "only" | "ignore" | "quantizations" => &[Kind::Array],
        "allow_fallbacks" | "require_parameters" | "zdr" | "enforce_distillable_text" => {
            &[Kind::Bool]
        }
        "data_collection" => &[Kind::String],
        "sort" => &[Kind::String, Kind::Object],
        "max_price" | "options" => &[Kind::Object],
        "preferred_min_throughput" | "preferred_max_latency" => &[Kind::Number, Kind::Object],
        _ => &[],
    }
}

fn member(
    scanner: &mut Scanner<'_>,
    preferences: &mut Preferences,
    name: &str,
    place: &str,
) -> Result<(), Refused> {
    match name {
        "order" => preferences.order = strings(scanner, place)?,
        "only" => preferences.only = strings(scanner, place)?,
        "ignore" => preferences.ignore = strings(scanner, place)?,
        "quantizations" => preferences.quantizations = quantizations(scanner, place)?,
        "allow_fallbacks" => preferences.allow_fallbacks = boolean(scanner)?,
        "require_parameters" => preferences.require_parameters = boolean(scanner)?,
        "zdr" => preferences.zdr = boolean(scanner)?,
        "data_collection" => {
            preferences.data_collection_deny = match &*scanner.string()?.decode() {
                "allow" => false,
                "deny" => true,
                _ => return Err(one_of(place, "allow, deny")),
            };
        }
        "sort" => sort(scanner, preferences, place)?,
        "max_price" => preferences.max_price = max_price(scanner)?,
        "preferred_min_throughput" => {
            preferences.min_throughput = cutoffs(scanner, place, TENTHS_PER_TOKEN)?;
        }
        "preferred_max_latency" => {
            preferences.max_latency = cutoffs(scanner, place, MILLIS_PER_SECOND)?;
        }
        "enforce_distillable_text" => preferences.distillable = boolean(scanner)?,
        "options" => preferences.options = options::read(scanner)?,
        _ => {
            let message = format!("{place} is not a known preference");
            return Err(Failure::invalid(place, message).into());
        }
    }
    Ok(())
}

fn strings(scanner: &mut Scanner<'_>, place: &str) -> Result<Vec<String>, Refused> {
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let kind = scanner.kind()?;
        expect(&format!("{place}[{}]", list.len()), &[Kind::String], kind)?;
        list.push(scanner.string()?.decode().into_owned());
        if list.len() > LIST_MAX {
            let message = format!("{place} may have at most {LIST_MAX} entries");
            return Err(Failure::invalid(place, message).into());
        }
    }
    Ok(list)
}

/// The microscaling variants count as the format that they are variants of.
fn quantizations(scanner: &mut Scanner<'_>, place: &str) -> Result<Vec<Quantization>, Refused> {
    let mut all = Vec::new();
    for name in strings(scanner, place)? {
        let Some(quantization) = Quantization::parse(&name) else {
            let known: Vec<&str> = Quantization::ALL.iter().map(|q| q.as_str()).collect();
            return Err(one_of(place, &known.join(", ")));
        };
        all.push(quantization);
        match quantization {
            Quantization::Fp4 => all.extend([Quantization::Mxfp4, Quantization::Nvfp4]),
            Quantization::Fp8 => all.push(Quantization::Mxfp8),
            _ => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// A word, or `{by, partition}`; `partition` alone says over what to sort, not how.
fn sort(
    scanner: &mut Scanner<'_>,
    preferences: &mut Preferences,
    place: &str,
) -> Result<(), Refused> {
    if scanner.kind()? == Kind::String {
        return sort_by(&scanner.string()?.decode(), preferences, place);
    }
    let mut seen = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let place = format!("{place}.{name}");
        once(&mut seen, &name, &place)?;
        let kind = scanner.kind()?;
        if kind == Kind::Null {
            scanner.value()?;
            continue;
        }
        expect(&place, &[Kind::String], kind)?;
        let value = scanner.string()?.decode();
        match (&*name, &*value) {
            ("by", by_name) => sort_by(by_name, preferences, &place)?,
            ("partition", "model") => preferences.partition = Some(Partition::Model),
            ("partition", "none") => preferences.partition = Some(Partition::None),
            ("partition", _) => return Err(one_of(&place, "model, none")),
            _ => {
                let message = format!("{place} is not known");
                return Err(Failure::invalid(&place, message).into());
            }
        }
    }
    Ok(())
}

fn sort_by(name: &str, preferences: &mut Preferences, place: &str) -> Result<(), Refused> {
    preferences.exacto = name == "exacto";
    preferences.sort = match name {
        "price" => Some(Mode::Price),
        "latency" => Some(Mode::Latency),
        "throughput" => Some(Mode::Throughput),
        "exacto" => None,
        _ => return Err(one_of(place, "price, latency, throughput, exacto")),
    };
    Ok(())
}

/// A number stands for the median. Kept in units of `1 / scale`, rounded; what is larger than can
/// be kept is as good as the largest.
fn cutoffs(scanner: &mut Scanner<'_>, place: &str, scale: f64) -> Result<Cutoffs, Refused> {
    let mut cutoffs = Cutoffs::default();
    if scanner.kind()? == Kind::Number {
        cutoffs.p50 = Some(cutoff(scanner, place, scale)?);
        return Ok(cutoffs);
    }
    let mut seen = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let place = format!("{place}.{name}");
        once(&mut seen, &name, &place)?;
        let bound = match &*name {
            "p50" => &mut cutoffs.p50,
            "p75" => &mut cutoffs.p75,
            "p90" => &mut cutoffs.p90,
            "p99" => &mut cutoffs.p99,
            _ => {
                let message = format!("{place} is not one of p50, p75, p90, p99");
                return Err(Failure::invalid(&place, message).into());
            }
        };
        let kind = scanner.kind()?;
        if kind == Kind::Null {
            scanner.value()?;
            continue;
        }
        expect(&place, &[Kind::Number], kind)?;
        *bound = Some(cutoff(scanner, &place, scale)?);
    }
    Ok(cutoffs)
}

fn cutoff(scanner: &mut Scanner<'_>, place: &str, scale: f64) -> Result<u32, Refused> {
    let span = scanner.value()?;
    let number: f64 = scanner.raw(span).parse().unwrap_or(f64::NAN);
    if !number.is_finite() || number < 0.0 {
        let message = format!("{place} must be a number that is not negative");
        return Err(Failure::invalid(place, message).into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; a cast from a float keeps to the type's range"
    )]
    Ok((number * scale).round() as u32)
}

fn max_price(scanner: &mut Scanner<'_>) -> Result<MaxPrice, Refused> {
    let mut bounds = MaxPrice::default();
    let mut seen = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let place = format!("provider.max_price.{name}");
        once(&mut seen, &name, &place)?;
        let kind = scanner.kind()?;
        if kind == Kind::Null {
            scanner.value()?;
            continue;
        }
        expect(&place, &[Kind::Number, Kind::String], kind)?;
        let text = if kind == Kind::String {
            scanner.string()?.decode()
        } else {
            let span = scanner.value()?;
            scanner.raw(span).into()
        };
        let per_million = matches!(&*name, "prompt" | "completion");
        let price = price(&text, per_million).map_err(|why| {
            Failure::invalid(&place, format!("{place} must be a price in USD: {why}"))
        })?;
        match &*name {
            "prompt" => bounds.prompt = Some(price),
            "completion" => bounds.completion = Some(price),
            "request" => bounds.request = Some(price),
            "image" => bounds.image = Some(price),
            "audio" => bounds.audio = Some(price),
            _ => return Err(Failure::invalid(&place, format!("{place} is not known")).into()),
        }
    }
    Ok(bounds)
}

/// A price in USD per unit, or per million of them.
pub(crate) fn price(text: &str, per_million: bool) -> Result<Price, String> {
    let plain = plain_decimal(text).ok_or("not a decimal number")?;
    let price: Price = plain.parse().map_err(|error| format!("{error}"))?;
    if per_million {
        let exact = price.shifted_right(PER_MILLION_DIGITS);
        return exact.ok_or_else(|| "more digits than can be kept exactly".to_owned());
    }
    Ok(price)
}

/// The same number without an exponent (`1e-7` is `0.0000001`), digit for digit. None for what is
/// not a number or too long.
fn plain_decimal(text: &str) -> Option<String> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Some(text.to_owned());
    };
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let limit = i32::try_from(PRICE_DIGITS_MAX).ok()?;
    if exponent.abs() > limit || !mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let digits = format!("{whole}{part}");
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let Ok(point) = usize::try_from(point) else {
        let zeros = "0".repeat(usize::try_from(-point).ok()?);
        return Some(format!("0.{zeros}{digits}"));
    };
    let padded = format!("{digits:0<point$}");
    let (whole, part) = padded.split_at_checked(point)?;
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match part {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    })
}

fn one_of(place: &str, known: &str) -> Refused {
    Failure::invalid(place, format!("{place} must be one of {known}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        let check = |text: &str, per_million: bool, expected: Option<&str>| {
            let price = price(text, per_million).ok().map(|price| price.to_string());
            assert_eq!(price.as_deref(), expected, "{text}");
        };
        check("1", true, Some("0.000001"));
        check("0.3", true, Some("0.0000003"));
        check("1e-7", false, Some("0.0000001"));
        check("1.25E+1", false, Some("12.5"));
        check("12e-1", false, Some("1.2"));
        check("0.5e0", false, Some("0.5"));
        check("0e5", false, Some("0"));
        check("123456789.123456789", true, Some("123.456789123456789"));
        check("-1", true, None);
        check("1e400", false, None);
        check("1e99999999999", false, None);
        check("abc", false, None);
        check("1e", false, None);
    }
}
