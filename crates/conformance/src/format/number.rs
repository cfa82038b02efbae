//! Numbers as the tests write them: hexadecimal with leading zeros, nothing at
//! all for zero, decimal, plain JSON numbers.

use core::fmt;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, de};

/// A number of at most 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uint(pub(crate) U256);

/// A number of at most 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(pub(crate) u64);

/// Reads a number. `0x:bigint ` is how the old fillers mark one that may be too
/// big for its field.
pub(crate) fn parse(text: &str) -> Result<U256, String> {
    let text = text.strip_prefix("0x:bigint ").unwrap_or(text);
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    if !digits.bytes().all(|digit| char::from(digit).is_digit(radix)) {
        return Err(format!("`{text}` is not a number"));
    }
    U256::from_str_radix(digits, radix.into()).map_err(|_| format!("`{text}` exceeds 256 bits"))
}

struct NumberVisitor;

impl de::Visitor<'_> for NumberVisitor {
    type Value = U256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a string that holds one")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U256, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<U256, E> {
        Ok(U256::from(number))
    }
}

impl<'de> Deserialize<'de> for Uint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(NumberVisitor)?;
        u64::try_from(number)
            .map(Self)
            .map_err(|_| de::Error::custom(format_args!("{number} exceeds 64 bits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_number() {
        for (text, number) in [
            ("\"0x\"", 0),
            ("\"\"", 0),
            ("\"0x000a\"", 10),
            ("\"0x0A\"", 10),
            ("\"10\"", 10),
            ("10", 10),
            ("\"0x:bigint 0x0a\"", 10),
        ] {
            let read: Uint = serde_json::from_str(text).unwrap();
            assert_eq!(read.0, U256::from(number), "{text}");
            let read: Quantity = serde_json::from_str(text).unwrap();
            assert_eq!(read.0, number, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let too_big = format!("\"0x1{}\"", "0".repeat(64));
        for text in ["\"0xg\"", "\"-1\"", "-1", "1.5", "\"0x_1\"", "null", &too_big] {
            assert!(serde_json::from_str::<Uint>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Quantity>("\"0x10000000000000000\"").is_err());
    }
}
