//! Accounts and slots as people write them.

use polity_types::{AccountId, Address, B256, MachineKind, U256};
use std::str::FromStr;

/// An account: an Ethereum address, or `MACHINE:ADDRESS` as accounts are printed.
#[derive(Clone, Copy)]
pub(super) struct AccountArgument(pub(super) AccountId);

/// A slot's name, a word.
#[derive(Clone, Copy)]
pub(super) struct SlotArgument(pub(super) U256);

impl FromStr for AccountArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((machine, address)) = text.split_once(':') else {
            let address: Address = text.parse().map_err(|error| {
                format!("{error}; an address has 20 bytes, or is MACHINE:ADDRESS with 32")
            })?;
            return Ok(Self(polity_evm::account(address)));
        };
        let machine =
            u8_from(machine).ok_or("the machine before the colon is a byte, like 0x01")?;
        let address: B256 = address
            .parse()
            .map_err(|error| format!("{error}; the address behind the colon has 32 bytes"))?;
        Ok(Self(AccountId::new(MachineKind::new(machine), address)))
    }
}

impl FromStr for SlotArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| format!("{error}; a slot is a number below 2^256"))
    }
}

fn u8_from(text: &str) -> Option<u8> {
    match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
