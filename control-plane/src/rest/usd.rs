//! Dollars in JSON, as OpenRouter has them: numbers. They are written with every digit, and read
//! as they stand, so that nothing is lost on the way through a float.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use shared::money::Amount;

/// An amount as a JSON number of dollars.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Usd(pub(crate) Amount);

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_string());
        number
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        parse(raw.get())
            .map(Self)
            .ok_or_else(|| D::Error::custom("a number of US dollars is expected"))
    }
}

/// The same of an amount that somebody has paid: one that can't be kept as it stands is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paid(pub(crate) Amount);

impl<'de> Deserialize<'de> for Paid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let exact = raw.get().parse();
        exact.map(Self).map_err(|error| {
            D::Error::custom(format!("{}: a number of US dollars: {error}", raw.get()))
        })
    }
}

/// A JSON number. One with an exponent, or with more digits than can be kept, is what a float
/// made of it, rounded to a pico-dollar.
fn parse(number: &str) -> Option<Amount> {
    if let Ok(exact) = number.parse() {
        return Some(exact);
    }
    let float: f64 = number.parse().ok()?;
    let plain = number
        .bytes()
        .all(|byte| b"0123456789+-.eE".contains(&byte));
    if !plain || !float.is_finite() || float.abs() > 1e9 {
        return None;
    }
    format!("{float:.12}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_paid_is_not_rounded() {
        let read = |text: &str| serde_json::from_str::<Paid>(text).map(|paid| paid.0.to_string());
        assert_eq!(read("1.000000000001").unwrap(), "1.000000000001");
        for bad in ["1.0000000000001", "0.30000000000000004", "1e2", "\"1\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dollars_keep_their_digits() {
        for (text, expect) in [
            ("25", "25"),
            ("0.000000000001", "0.000000000001"),
            ("1e2", "100"),
            ("0.30000000000000004", "0.3"),
            ("-1.5", "-1.5"),
        ] {
            let read: Usd = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), expect, "{text}");
        }
        for bad in ["\"1\"", "true", "1e40", "[]", "{}", "\"nan\""] {
            assert!(serde_json::from_str::<Usd>(bad).is_err(), "{bad}");
        }
    }
}
