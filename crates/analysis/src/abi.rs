//! The input of calls by Solidity's ABI.

use alloy_primitives::{Address, Bytes, U256, keccak256};

/// The input of a call with arguments of one word each.
///
/// ```
/// use polity_analysis::abi;
/// use alloy_primitives::{Address, U256};
///
/// let to = abi::word(Address::repeat_byte(0x11));
/// let input = abi::call("transfer(address,uint256)", &[to, U256::from(5)]);
/// assert_eq!(input.len(), 68);
/// assert!(input.to_string().starts_with("0xa9059cbb"));
/// ```
pub fn call(signature: &str, arguments: &[U256]) -> Bytes {
    let selector: Vec<u8> = keccak256(signature).iter().take(4).copied().collect();
    [selector, words(arguments)].concat().into()
}

/// Words one after the other.
pub fn words(words: &[U256]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect()
}

/// An address as an argument.
pub fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}
