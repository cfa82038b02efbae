use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::RpcError;

/// The parameters of a request, by position.
pub struct Params<'a> {
    values: std::vec::IntoIter<&'a RawValue>,
    taken: usize,
}

impl<'a> Params<'a> {
    /// The parameters of a request.
    ///
    /// # Errors
    /// They are not a list.
    pub fn parse(raw: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let values: Vec<&RawValue> = match raw.map(RawValue::get) {
            None | Some("null") => Vec::new(),
            Some(list) => {
                serde_json::from_str(list).map_err(|_| RpcError::params("non-array args"))?
            }
        };
        Ok(Self { values: values.into_iter(), taken: 0 })
    }

    /// The next parameter.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn required<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let position = self.taken;
        self.optional()?.ok_or_else(|| {
            RpcError::params(format!("missing value for required argument {position}"))
        })
    }

    /// The next parameter, if it is there and not null.
    ///
    /// # Errors
    /// It is of another type.
    pub fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        let position = self.taken;
        self.taken = position.saturating_add(1);
        match self.values.next().map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(value) => serde_json::from_str(value)
                .map(Some)
                .map_err(|error| RpcError::params(format!("invalid argument {position}: {error}"))),
        }
    }
}
