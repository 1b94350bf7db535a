//! Exact money. A [`Price`] is a decimal (mantissa and scale); an [`Amount`] is integer
//! pico-dollars (10^-12 USD) in an i128. Units x price is rounded once per line, half to even
//! (IEEE 754 roundTiesToEven). Nothing here is a float.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Decimal digits of an [`Amount`] below one dollar.
pub const AMOUNT_SCALE: u8 = 12;
/// The most digits after the point that a price may have.
pub const PRICE_SCALE_MAX: u8 = 24;
/// The most digits that a price may have in all.
pub const PRICE_DIGITS_MAX: usize = 30;

/// An amount in pico-USD. Sums saturate: 10^26 dollars is beyond any ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount(pub i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One US dollar.
    pub const USD: Self = Self(1_000_000_000_000);

    /// Splits into whole nano-dollars and the pico remainder (0..1000), as SQL stores it. `None`
    /// beyond 9.2 billion dollars.
    #[must_use]
    pub fn to_nano(self) -> Option<(i64, i16)> {
        let nano = i64::try_from(self.0.div_euclid(1000)).ok()?;
        let rem = i16::try_from(self.0.rem_euclid(1000)).ok()?;
        Some((nano, rem))
    }

    /// The inverse of [`Amount::to_nano`]; also takes summed columns, whose remainder exceeds
    /// 1000.
    #[must_use]
    pub fn from_nano(nano: i64, pico_rem: i64) -> Self {
        Self(i128::from(nano) * 1000 + i128::from(pico_rem))
    }

    /// The larger of this and zero.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// So many millionths of it, rounded once, half to even.
    #[must_use]
    pub fn millionths(self, ppm: u32) -> Self {
        Self(divide_half_even(
            self.0.saturating_mul(i128::from(ppm)),
            1_000_000,
        ))
    }

    /// For display and metrics only; never for arithmetic.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a gauge needs no exact digits")]
    pub fn to_usd_lossy(self) -> f64 {
        self.0 as f64 / 1e12
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}
impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// US dollars as a plain decimal without trailing zeros: `0.00001234`, `-3`, `0`. Valid JSON.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write_decimal(f, self.0.unsigned_abs(), AMOUNT_SCALE)
    }
}

/// Why a decimal was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point.
    #[error("not a plain decimal number such as \"0.00000012\"")]
    Syntax,
    /// Below zero.
    #[error("negative")]
    Negative,
    /// Too many digits to stay exact.
    #[error("more digits than can be kept exactly")]
    TooLong,
}

/// US dollars as a decimal, e.g. `25` or `0.5`. More than 12 digits after the point are refused.
impl FromStr for Amount {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, scale) = parse_decimal(digits)?;
        let missing = AMOUNT_SCALE
            .checked_sub(scale)
            .ok_or(DecimalError::TooLong)?;
        let pico = mantissa
            .checked_mul(10_i128.pow(u32::from(missing)))
            .ok_or(DecimalError::TooLong)?;
        Ok(Self(if negative { -pico } else { pico }))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// USD per unit (token, image, request) as mantissa x 10^-scale, never negative, kept in lowest
/// terms so that equal prices are equal values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Price {
    mantissa: i128,
    scale: u8,
}

impl Price {
    /// Free of charge.
    pub const ZERO: Self = Self {
        mantissa: 0,
        scale: 0,
    };

    /// What `units` cost, rounded to the pico-dollar, half to even. Saturates.
    #[must_use]
    pub fn cost(self, units: u64) -> Amount {
        let exact = self.mantissa.saturating_mul(i128::from(units));
        if self.scale <= AMOUNT_SCALE {
            let factor = 10_i128.pow(u32::from(AMOUNT_SCALE - self.scale));
            return Amount(exact.saturating_mul(factor));
        }
        Amount(divide_half_even(
            exact,
            10_i128.pow(u32::from(self.scale - AMOUNT_SCALE)),
        ))
    }

    /// True when nothing is charged.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// The price moved by `digits` decimal places to the right (per unit to per million is 6).
    /// `None` when that can't be kept exactly.
    #[must_use]
    pub fn shifted_left(self, digits: u8) -> Option<Self> {
        let extra = digits.saturating_sub(self.scale);
        let mantissa = self
            .mantissa
            .checked_mul(10_i128.checked_pow(u32::from(extra))?)?;
        Some(
            Self {
                mantissa,
                scale: self.scale.saturating_sub(digits),
            }
            .reduced(),
        )
    }

    /// The price divided by 10^`digits` (per million to per unit is 6). `None` when too long.
    #[must_use]
    pub fn shifted_right(self, digits: u8) -> Option<Self> {
        let scale = self
            .scale
            .checked_add(digits)
            .filter(|s| *s <= PRICE_SCALE_MAX)?;
        Some(
            Self {
                mantissa: self.mantissa,
                scale,
            }
            .reduced(),
        )
    }

    /// For scores only; never for a charge.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a score needs no exact digits")]
    pub fn to_f64_lossy(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(i32::from(self.scale))
    }

    fn reduced(mut self) -> Self {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Price {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Saturation can't be reached: at most 30 digits, so compare in two parts.
        let whole = |p: &Self| p.mantissa / 10_i128.pow(u32::from(p.scale));
        let part = |p: &Self| {
            let unit = 10_i128.pow(u32::from(p.scale));
            (p.mantissa % unit) * 10_i128.pow(u32::from(PRICE_SCALE_MAX - p.scale))
        };
        whole(self)
            .cmp(&whole(other))
            .then_with(|| part(self).cmp(&part(other)))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.mantissa.unsigned_abs(), self.scale)
    }
}
impl FromStr for Price {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        if text.starts_with('-') {
            return Err(DecimalError::Negative);
        }
        let (mantissa, scale) = parse_decimal(text)?;
        Ok(Self { mantissa, scale }.reduced())
    }
}
impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn parse_decimal(text: &str) -> Result<(i128, u8), DecimalError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let dangling = text.contains('.') && part.is_empty();
    let all_digits = whole
        .bytes()
        .chain(part.bytes())
        .all(|b| b.is_ascii_digit());
    if whole.is_empty() || dangling || !all_digits {
        return Err(DecimalError::Syntax);
    }
    let part = part.trim_end_matches('0');
    let scale = u8::try_from(part.len()).map_err(|_| DecimalError::TooLong)?;
    if scale > PRICE_SCALE_MAX || whole.len() + part.len() > PRICE_DIGITS_MAX {
        return Err(DecimalError::TooLong);
    }
    let digits = whole.bytes().chain(part.bytes());
    let mantissa = digits.fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    Ok((mantissa, scale))
}

fn write_decimal(f: &mut fmt::Formatter<'_>, mantissa: u128, scale: u8) -> fmt::Result {
    let unit = 10_u128.pow(u32::from(scale));
    // Nearly all fit a machine word, whose arithmetic is far cheaper; each request writes a dozen.
    let small = u64::try_from(mantissa).ok().zip(u64::try_from(unit).ok());
    if let Some((mantissa, unit)) = small {
        let (whole, mut part) = (mantissa / unit, mantissa % unit);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let mut width = usize::from(scale);
        while part % 10 == 0 {
            part /= 10;
            width -= 1;
        }
        return write!(f, "{whole}.{part:0width$}");
    }
    let (whole, part) = (mantissa / unit, mantissa % unit);
    if part == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{part:0width$}", width = usize::from(scale));
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

/// `a / b` for `b > 0`, rounded half to even.
fn divide_half_even(a: i128, b: i128) -> i128 {
    let (quotient, remainder) = (a.div_euclid(b), a.rem_euclid(b));
    let up = match (remainder * 2).cmp(&b) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient.rem_euclid(2),
        std::cmp::Ordering::Greater => 1,
    };
    quotient + up
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_keep_every_digit() {
        for text in [
            "0",
            "0.00000012",
            "0.000000075",
            "1",
            "12.5",
            "0.0000000000000123",
        ] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), text);
        }
        assert_eq!("0.10".parse::<Price>().unwrap(), "0.1".parse().unwrap());
        for bad in [
            "", ".", "1.", ".5", "-1", "1e-7", "0x1", " 1", "1,5", "+1", "--1",
        ] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_is_rounded_once_half_to_even() {
        let half_pico: Price = "0.0000000000005".parse().unwrap();
        assert_eq!(half_pico.cost(1), Amount(0));
        assert_eq!(half_pico.cost(2), Amount(1));
        assert_eq!(half_pico.cost(3), Amount(2));
        assert_eq!(half_pico.cost(5), Amount(2));
    }

    #[test]
    fn millionths_are_rounded_half_to_even() {
        for (amount, ppm, expect) in [
            (100, 50_000, 5),
            (10, 50_000, 0),
            (30, 50_000, 2),
            (31, 50_000, 2),
            (50, 50_000, 2),
            (51, 50_000, 3),
            (1_000_000, 1, 1),
            (7, 0, 0),
            (7, 1_000_000, 7),
        ] {
            let fee = Amount(amount).millionths(ppm);
            assert_eq!(fee, Amount(expect), "{amount} {ppm}");
        }
    }

    #[test]
    fn amounts_print_as_json_numbers() {
        assert_eq!(Amount(12_340_000).to_string(), "0.00001234");
        assert_eq!(Amount(-1_500_000_000_000).to_string(), "-1.5");
        assert_eq!(Amount::ZERO.to_string(), "0");
        assert_eq!("25".parse::<Amount>().unwrap(), Amount(25 * Amount::USD.0));
    }

    proptest! {
        #[test]
        fn amounts_survive_text_and_sql(pico in -1_000_000_000_000_000_000_000_i128..1_000_000_000_000_000_000_000) {
            let amount = Amount(pico);
            let text = amount.to_string();
            prop_assert_eq!(text.parse::<Amount>().unwrap(), amount);
            prop_assert!(!text.contains('.') || !text.ends_with('0'), "{}", text);
            let (nano, rem) = amount.to_nano().unwrap();
            prop_assert_eq!(Amount::from_nano(nano, i64::from(rem)), amount);
        }

        #[test]
        fn price_order_is_numeric(a in 0_u64..1_000_000, b in 0_u64..1_000_000, s in 0_u32..8) {
            let price = |n: u64, s: u32| {
                let unit = 10_u64.pow(s);
                format!("{}.{:0w$}", n / unit, n % unit, w = s.max(1) as usize).parse::<Price>().unwrap()
            };
            prop_assert_eq!(price(a, s).cmp(&price(b, s)), a.cmp(&b));
        }

        #[test]
        fn per_million_and_back(mantissa in 0_u64..1_000_000_000) {
            let per_million: Price = format!("{}.{:03}", mantissa / 1000, mantissa % 1000).parse().unwrap();
            let per_unit = per_million.shifted_right(6).unwrap();
            prop_assert_eq!(per_unit.shifted_left(6).unwrap(), per_million);
            prop_assert_eq!(per_unit.cost(1_000_000), per_million.cost(1));
        }
    }
}
