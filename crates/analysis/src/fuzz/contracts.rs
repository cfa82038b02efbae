//! The contracts of the random blocks, whose sources lie in `contracts/`: where they are, what
//! their storage holds at first, and how they are called.

use crate::abi::{call, word, words};
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use std::sync::LazyLock;

macro_rules! code {
    ($file:literal) => {
        hex::decode(include_str!(concat!("../../contracts/", $file)).trim_end())
            .map_or_else(|_| Bytes::new(), Bytes::from)
    };
}

/// The deployed codes, and the one that deploys a child.
pub(super) struct Codes {
    pub(super) token: Bytes,
    pub(super) pair: Bytes,
    pub(super) factory: Bytes,
    pub(super) child: Bytes,
    pub(super) child_init: Bytes,
    pub(super) probe: Bytes,
    pub(super) wallet: Bytes,
    pub(super) transient: Bytes,
}

pub(super) static CODES: LazyLock<Codes> = LazyLock::new(|| Codes {
    token: code!("token.hex"),
    pair: code!("pair.hex"),
    factory: code!("factory.hex"),
    child: code!("child.hex"),
    child_init: code!("child.init.hex"),
    probe: code!("probe.hex"),
    wallet: code!("wallet.hex"),
    transient: code!("transient.hex"),
});

pub(super) const TOKENS: [Address; 3] =
    [Address::repeat_byte(0xa0), Address::repeat_byte(0xa1), Address::repeat_byte(0xa2)];

/// The markets, each with the indices of its tokens.
pub(super) const PAIRS: [(Address, usize, usize); 2] =
    [(Address::repeat_byte(0xb0), 0, 1), (Address::repeat_byte(0xb1), 1, 2)];

pub(super) const FACTORY: Address = Address::repeat_byte(0xc0);
pub(super) const PROBE: Address = Address::repeat_byte(0xd0);

/// Another probe, which owns so little that it cannot always pay.
pub(super) const PURSE: Address = Address::repeat_byte(0xd1);

pub(super) const WALLET: Address = Address::repeat_byte(0xe0);
pub(super) const TRANSIENT: Address = Address::repeat_byte(0xf0);

/// What a child's constructor does with it.
#[derive(Clone, Copy)]
pub(super) enum Birth {
    Succeeds = 0,
    Reverts = 1,
    Destroys = 2,
    Halts = 3,
}

impl Birth {
    /// The code that creates a child in a transaction of its own.
    pub(super) fn init_code(self) -> Bytes {
        let mode = U256::from(self as u8);
        [CODES.child_init.as_ref(), &words(&[mode])].concat().into()
    }
}

/// Where the factory creates the child with this salt (EIP-1014).
pub(super) fn child(salt: u64) -> Address {
    let salt = B256::from(U256::from(salt));
    FACTORY.create2_from_code(salt, Birth::Succeeds.init_code())
}

/// The slot of a mapping's entry.
fn entry(mapping: U256, key: U256) -> U256 {
    keccak256(words(&[key, mapping])).into()
}

/// The slot with the balance of `holder` in a token.
pub(super) fn balance_slot(holder: Address) -> U256 {
    entry(U256::ONE, word(holder))
}

/// The slot with what `spender` may take from `owner` in a token.
pub(super) fn allowance_slot(owner: Address, spender: Address) -> U256 {
    entry(entry(U256::from(2), word(owner)), word(spender))
}

/// A call that a [wallet](WALLET) makes.
pub(super) struct Inner {
    pub(super) to: Address,
    pub(super) value: u64,
    pub(super) data: Bytes,
    pub(super) how: How,
}

/// How a wallet makes a call.
#[derive(Clone, Copy)]
pub(super) enum How {
    Must = 0,
    May = 1,
    Undone = 2,
    Static = 3,
    Delegate = 4,
}

/// The input of a wallet's `run`.
pub(super) fn run(calls: &[Inner]) -> Bytes {
    const WORD: usize = 32;
    let number = |number: usize| U256::from(number);
    let mut offset = calls.len().saturating_mul(WORD);
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for Inner { to, value, data, how } in calls {
        head.push(number(offset));
        let fields = [word(*to), U256::from(*value), number(4 * WORD), U256::from(*how as u8)];
        let padded = data.len().next_multiple_of(WORD);
        let mut bytes = [words(&fields), words(&[number(data.len())]), data.to_vec()].concat();
        bytes.resize(5_usize.saturating_mul(WORD).saturating_add(padded), 0);
        offset = offset.saturating_add(bytes.len());
        tail.extend(bytes);
    }
    let start =
        call("run((address,uint256,bytes,uint256)[])", &[number(WORD), number(calls.len())]);
    [start.as_ref(), &words(&head), &tail].concat().into()
}

/// The input of a call with one argument, a list of addresses.
pub(super) fn call_with_list(signature: &str, list: &[Address]) -> Bytes {
    let head = [U256::from(32), U256::from(list.len())];
    let arguments: Vec<U256> = head.into_iter().chain(list.iter().copied().map(word)).collect();
    call(signature, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there() {
        let Codes { token, pair, factory, child, child_init, probe, wallet, transient } = &*CODES;
        for code in [token, pair, factory, child, child_init, probe, wallet, transient] {
            assert!(code.len() > 200, "{code}");
        }
        // The factory deploys the child that is deployed here.
        let deploys = |code: &Bytes, part: &Bytes| {
            code.windows(part.len()).any(|window| window == part.as_ref())
        };
        assert!(deploys(factory, child_init));
        assert!(deploys(child_init, child));
    }

    /// Needs Node.js, and npm's `solc@0.8.37` in a folder that NODE_PATH names.
    #[test]
    #[ignore = "seconds; needs Node.js and npm's solc@0.8.37 under NODE_PATH"]
    fn the_codes_are_what_their_sources_compile_to() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/build.cjs");
        let status = std::process::Command::new("node").args([script, "--check"]).status().unwrap();
        assert!(status.success());
    }
}
