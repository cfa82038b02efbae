//! JSON files, and maps without duplicate keys.

use std::{collections::BTreeMap, fmt, fs, io, marker::PhantomData, path::Path};

use alloy_primitives::hex;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};

use crate::error::FolderError;
pub(crate) use polity_remote::json::{Quantity, parse};

/// Largest JSON file that is read, in bytes.
pub(crate) const FILE_LIMIT: u64 = 1 << 30;

/// Reads a whole file, at most [`FILE_LIMIT`] bytes.
pub(crate) fn read_file(path: &Path, help: &'static str) -> Result<Vec<u8>, FolderError> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FolderError::MissingFile { path: path.into(), help },
        _ => FolderError::io(path, "read the file", source),
    })?;
    if metadata.len() > FILE_LIMIT {
        return Err(FolderError::TooLarge {
            path: path.into(),
            size: metadata.len(),
            limit: FILE_LIMIT,
        });
    }
    fs::read(path).map_err(|source| FolderError::io(path, "read the file", source))
}

/// Reads and parses one file.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    help: &'static str,
) -> Result<T, FolderError> {
    parse(&read_file(path, help)?).map_err(|fault| FolderError::content(path, fault))
}

/// A map in which a key that occurs twice is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UniqueMap<K, V>(pub(crate) BTreeMap<K, V>);

impl<K, V> Default for UniqueMap<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

struct UniqueMapVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for UniqueMapVisitor<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Debug + Clone,
    V: Deserialize<'de>,
{
    type Value = UniqueMap<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<K, V>()? {
            if map.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the key {key:?} occurs twice")));
            }
        }
        Ok(UniqueMap(map))
    }
}

impl<'de, K, V> Deserialize<'de> for UniqueMap<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Debug + Clone,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueMapVisitor(PhantomData))
    }
}

/// Bytes written as a hex string with `0x`.
pub(crate) fn decode_bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").ok_or("expected a hex string that starts with 0x")?;
    hex::decode(digits).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    #[test]
    fn a_key_twice_is_an_error() {
        let text = br#"{"0x1": 1, "0x01": 2}"#;
        let error = parse::<UniqueMap<Quantity<U256>, u64>>(text).unwrap_err();
        assert!(error.to_string().contains("occurs twice"), "{error}");
    }
}
