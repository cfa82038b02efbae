use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::RpcError;

/// What parameters a method takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// How many, at most, where it is known.
    pub most: Option<usize>,
    /// Whether they may also come by name: the method then gets the object as its
    /// only parameter.
    pub named: bool,
}

/// The parameters of a request, by position.
pub struct Params<'a> {
    values: std::vec::IntoIter<&'a RawValue>,
    taken: usize,
    shape: Shape,
}

impl<'a> Params<'a> {
    /// The parameters of a request to a method of this shape.
    ///
    /// # Errors
    /// They are not a list, or more than the method takes.
    pub fn parse(raw: Option<&'a RawValue>, shape: Shape) -> Result<Self, RpcError> {
        let values: Vec<&RawValue> = match raw.map(|raw| (raw, raw.get())) {
            None | Some((_, "null")) => Vec::new(),
            Some((object, text)) if shape.named && text.starts_with('{') => vec![object],
            Some((_, list)) => {
                serde_json::from_str(list).map_err(|_| RpcError::params("non-array args"))?
            }
        };
        match shape.most {
            Some(most) if values.len() > most => {
                Err(RpcError::params(format!("too many arguments, want at most {most}")))
            }
            _ => Ok(Self { values: values.into_iter(), taken: 0, shape }),
        }
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
        if self.shape.most == Some(position) {
            // A fault of ours: the method takes more than it says.
            return Err(RpcError::internal(&format!("argument {position} is not expected")));
        }
        self.taken = position.saturating_add(1);
        match self.values.next().map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(value) => serde_json::from_str(value)
                .map(Some)
                .map_err(|error| RpcError::params(format!("invalid argument {position}: {error}"))),
        }
    }
}
