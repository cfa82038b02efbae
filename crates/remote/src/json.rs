//! Strict JSON: exact paths in errors, hex quantities.

use std::{fmt, marker::PhantomData};

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use crate::error::BlockFault;

/// Parses a whole JSON document and names the path of what is wrong.
///
/// # Errors
///
/// It is no such document.
pub fn parse<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, BlockFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        BlockFault::Json { field, source: error.into_inner() }
    })?;
    deserializer.end().map_err(|source| BlockFault::Json { field: ".".into(), source })?;
    Ok(value)
}

/// A number type that a [`Quantity`] may hold.
pub trait Number: Sized + Copy {
    /// How many bits it has.
    const BITS: usize;
    /// The number, where it fits.
    fn narrow(value: U256) -> Option<Self>;
    /// The number in its widest form.
    fn widen(self) -> U256;
}

macro_rules! number {
    ($($name:ty),*) => {$(
        impl Number for $name {
            const BITS: usize = <$name>::BITS as usize;
            fn narrow(value: U256) -> Option<Self> {
                value.try_into().ok()
            }
            fn widen(self) -> U256 {
                U256::from(self)
            }
        }
    )*};
}

number!(u8, u64, u128, U256);

/// A number written as a `0x` hex string (leading zeros allowed) or as a JSON integer; always
/// written as a hex string without leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity<T>(pub T);

/// Parses a `0x` hex string of at most 64 digits.
///
/// # Errors
///
/// It is none; the text says why.
pub fn parse_hex(text: &str) -> Result<U256, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| format!("expected a hex number like \"0x1f\", found {text:.80?}"))?;
    if digits.is_empty()
        || digits.len() > 64
        || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    {
        return Err(format!("expected 0x and 1 to 64 hex digits, found {text:.80?}"));
    }
    U256::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

struct QuantityVisitor<T>(PhantomData<T>);

impl<T: Number> QuantityVisitor<T> {
    fn narrow<E: serde::de::Error>(value: U256) -> Result<Quantity<T>, E> {
        T::narrow(value)
            .map(Quantity)
            .ok_or_else(|| E::custom(format_args!("{value:#x} does not fit {} bits", T::BITS)))
    }
}

impl<T: Number> Visitor<'_> for QuantityVisitor<T> {
    type Value = Quantity<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a hex number like \"0x1f\" of at most {} bits, or a JSON integer below 2^64",
            T::BITS
        )
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::narrow(U256::from(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Self::narrow(parse_hex(value).map_err(E::custom)?)
    }
}

impl<'de, T: Number> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor(PhantomData))
    }
}

impl<T: Number> Serialize for Quantity<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0.widen()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity<T: Number>(text: &str) -> Result<T, BlockFault> {
        parse::<Quantity<T>>(text.as_bytes()).map(|quantity| quantity.0)
    }

    #[test]
    fn quantities_are_hex_strings_or_integers() {
        assert_eq!(quantity::<u64>("\"0x00ff\"").unwrap(), 255);
        assert_eq!(quantity::<u64>("255").unwrap(), 255);
        assert_eq!(quantity::<U256>(&format!("\"0x{}\"", "f".repeat(64))).unwrap(), U256::MAX);
        for wrong in [
            "\"0x\"",
            "\"ff\"",
            "\"0xg\"",
            "\"0x1_0\"",
            "-1",
            "1.5",
            "null",
            "\"0x1ffffffffffffffff\"",
        ] {
            assert!(quantity::<u64>(wrong).is_err(), "{wrong}");
        }
        assert!(quantity::<U256>(&format!("\"0x{}\"", "f".repeat(65))).is_err());
    }

    #[test]
    fn trailing_text_is_an_error() {
        assert!(parse::<u64>(b"1 2").is_err());
    }
}
