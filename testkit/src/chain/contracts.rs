//! The contracts' sources and what is made of them.

use alloy_primitives::Bytes;

use super::{ChainError, assemble, deployment};

/// A file of `examples/chain/contracts`.
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            text: include_str!(concat!("../../../examples/chain/contracts/", $name)),
        }
    };
}

const TOKEN: Source = source!("token.easm");
const TOKEN_CONSTRUCTOR: Source = source!("token.constructor.easm");
const PAIR: Source = source!("pair.easm");
const PAIR_CONSTRUCTOR: Source = source!("pair.constructor.easm");
const FACTORY: Source = source!("factory.easm");
const WALLET: Source = source!("wallet.easm");
const ORACLE: Source = source!("oracle.easm");

/// All of them.
pub(super) const SOURCES: [&Source; 7] =
    [&TOKEN, &TOKEN_CONSTRUCTOR, &PAIR, &PAIR_CONSTRUCTOR, &FACTORY, &WALLET, &ORACLE];

fn build(source: &Source, constructor: Option<&Source>) -> Result<Bytes, ChainError> {
    let named = |name| move |error| ChainError::Assemble { name, error };
    let runtime = assemble(source.text).map_err(named(source.name))?;
    match constructor {
        None => deployment("", &runtime).map_err(named(source.name)),
        Some(constructor) => {
            deployment(constructor.text, &runtime).map_err(named(constructor.name))
        }
    }
}

/// The code that deploys a token.
pub(super) fn token() -> Result<Bytes, ChainError> {
    build(&TOKEN, Some(&TOKEN_CONSTRUCTOR))
}

/// The code that deploys a market of two tokens, whose addresses are put behind it.
pub(super) fn pair() -> Result<Bytes, ChainError> {
    build(&PAIR, Some(&PAIR_CONSTRUCTOR))
}

/// The code that deploys a factory.
pub(super) fn factory() -> Result<Bytes, ChainError> {
    build(&FACTORY, None)
}

/// The code that deploys a wallet to delegate to.
pub(super) fn wallet() -> Result<Bytes, ChainError> {
    build(&WALLET, None)
}

/// The code that deploys an oracle.
pub(super) fn oracle() -> Result<Bytes, ChainError> {
    build(&ORACLE, None)
}
