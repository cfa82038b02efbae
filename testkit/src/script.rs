//! A contract of Ethereum's that does what it is told (`contracts/Script.sol`).

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolValue, sol};

sol! {
    struct Step {
        uint8 op;
        address to;
        uint256 value;
        bytes data;
    }

    function run(Step[] steps) external payable returns (bytes[] seen);

    event Said(bytes data);
}

/// The contract's code.
///
/// # Panics
/// Where the file is not what `build.cjs` writes.
pub fn code() -> Bytes {
    let code = hex::decode(include_str!("../contracts/script.hex").trim_end());
    #[expect(clippy::expect_used, reason = "a constant of the repository")]
    Bytes::from(code.expect("hex"))
}

/// The input with which the contract does these things, one after the other.
pub fn run(steps: &[Step]) -> Bytes {
    runCall { steps: steps.to_vec() }.abi_encode().into()
}

/// What the contract saw at each of its steps; `None` where that is not its answer.
pub fn seen(output: &[u8]) -> Option<Vec<Bytes>> {
    runCall::abi_decode_returns(output).ok()
}

/// What an attempt to call saw: whether the callee succeeded, and what it said.
pub fn tried(seen: &[u8]) -> Option<(bool, Bytes)> {
    <(bool, Bytes)>::abi_decode_params(seen).ok()
}

/// The word that a step saw.
pub fn word(seen: &[u8]) -> Option<U256> {
    U256::abi_decode(seen).ok()
}

impl Step {
    fn new(op: u8, to: Address, value: U256, data: Bytes) -> Self {
        Self { op, to, value, data }
    }

    /// Sets a slot.
    pub fn write(slot: u64, word: u64) -> Self {
        Self::new(0, Address::ZERO, U256::from(slot), B256::from(U256::from(word)).into())
    }

    /// Sees a slot.
    pub fn read(slot: u64) -> Self {
        Self::new(1, Address::ZERO, U256::from(slot), Bytes::new())
    }

    /// Calls, and fails where the callee fails.
    pub fn call(to: Address, value: u64, data: impl Into<Bytes>) -> Self {
        Self::new(2, to, U256::from(value), data.into())
    }

    /// Calls, and sees what came of it.
    pub fn attempt(to: Address, value: u64, data: impl Into<Bytes>) -> Self {
        Self::new(3, to, U256::from(value), data.into())
    }

    /// Calls with half of the gas that is left, and sees what came of it.
    pub fn attempt_half(to: Address, value: u64, data: impl Into<Bytes>) -> Self {
        Self::new(17, to, U256::from(value), data.into())
    }

    /// Calls by `STATICCALL`, and sees what came of it.
    pub fn attempt_static(to: Address, data: impl Into<Bytes>) -> Self {
        Self::new(4, to, U256::ZERO, data.into())
    }

    /// Calls by `DELEGATECALL`, and sees what came of it.
    pub fn attempt_delegate(to: Address, data: impl Into<Bytes>) -> Self {
        Self::new(5, to, U256::ZERO, data.into())
    }

    /// Emits [`Said`].
    pub fn emit(data: impl Into<Bytes>) -> Self {
        Self::new(6, Address::ZERO, U256::ZERO, data.into())
    }

    /// Reverts with this output.
    pub fn revert(data: impl Into<Bytes>) -> Self {
        Self::new(7, Address::ZERO, U256::ZERO, data.into())
    }

    /// Uses all gas.
    pub fn spin() -> Self {
        Self::new(8, Address::ZERO, U256::ZERO, Bytes::new())
    }

    /// Sees a balance.
    pub fn balance(of: Address) -> Self {
        Self::new(9, of, U256::ZERO, Bytes::new())
    }

    /// Sees who calls.
    pub fn sender() -> Self {
        Self::new(10, Address::ZERO, U256::ZERO, Bytes::new())
    }

    /// Sees what came along.
    pub fn value() -> Self {
        Self::new(11, Address::ZERO, U256::ZERO, Bytes::new())
    }

    /// Sends ether without data, and sees whether it arrived.
    pub fn send(to: Address, value: u64) -> Self {
        Self::new(12, to, U256::from(value), Bytes::new())
    }

    /// Calls with so much gas, and sees what came of it.
    pub fn attempt_limited(to: Address, gas: u64, data: impl Into<Bytes>) -> Self {
        Self::new(13, to, U256::from(gas), data.into())
    }

    /// Sets a slot of transient storage.
    pub fn write_transient(slot: u64, word: u64) -> Self {
        Self::new(14, Address::ZERO, U256::from(slot), B256::from(U256::from(word)).into())
    }

    /// Sees a slot of transient storage.
    pub fn read_transient(slot: u64) -> Self {
        Self::new(15, Address::ZERO, U256::from(slot), Bytes::new())
    }

    /// Adds to a slot, and sees the sum.
    pub fn add(slot: u64, word: u64) -> Self {
        Self::new(16, Address::ZERO, U256::from(slot), B256::from(U256::from(word)).into())
    }
}
