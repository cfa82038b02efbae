//! Transfers of ether.

use alloy_primitives::{Address, TxKind, U256};
use revm::context::TxEnv;

use super::{Workload, address, funded, transaction};

/// How many transfers take a block of 1,000,000,000 gas.
pub const GIGAGAS: usize = 47_620;

const TRANSFER_GAS: u64 = 21_000;

fn transfer(from: Address, to: Address) -> TxEnv {
    TxEnv { value: U256::ONE, ..transaction(from, 0, TxKind::Call(to), TRANSFER_GAS) }
}

fn workload(
    name: &str,
    accounts: impl Iterator<Item = Address>,
    transfers: impl Iterator<Item = (Address, Address)>,
) -> Workload {
    let transfers = transfers.map(|(from, to)| transfer(from, to)).collect();
    Workload::new(name, funded(accounts), transfers)
}

fn sender(index: usize) -> Address {
    address("sender", index)
}

fn recipient(index: usize) -> Address {
    address("recipient", index)
}

/// Each transfer from an account of its own to an account of its own.
pub fn independent(transfers: usize) -> Workload {
    let accounts = (0..transfers).flat_map(|index| [sender(index), recipient(index)]);
    workload(
        "raw, independent",
        accounts,
        (0..transfers).map(|index| (sender(index), recipient(index))),
    )
}

/// Each transfer from an account of its own, all to the same account.
pub fn one_recipient(transfers: usize) -> Workload {
    let accounts = (0..transfers).map(sender).chain([recipient(0)]);
    workload(
        "raw, one recipient",
        accounts,
        (0..transfers).map(|index| (sender(index), recipient(0))),
    )
}

/// Each transfer to the sender of the next one.
pub fn chain(transfers: usize) -> Workload {
    workload(
        "raw, chain",
        (0..=transfers).map(sender),
        (0..transfers).map(|index| (sender(index), sender(index.saturating_add(1)))),
    )
}
