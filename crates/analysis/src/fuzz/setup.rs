//! The state before a random block, and what its header says before it is executed.

use super::{
    CHAIN_ID,
    contracts::{
        CODES, FACTORY, PAIRS, PROBE, PURSE, TOKENS, TRANSIENT, WALLET, allowance_slot,
        balance_slot, child,
    },
};
use crate::{Rng, abi::word};
use alloy_consensus::{
    Header, constants::EMPTY_OMMER_ROOT_HASH, proofs::calculate_withdrawals_root,
};
use alloy_eips::{eip2935, eip4788, eip4895::Withdrawal, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use k256::ecdsa::SigningKey;
use polity_engine::Overlay;
use polity_evm::{
    account, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::Code;
use polity_types::{AccountRecord, LocalKey, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

/// The forks of the blocks. London is the last before the merge.
const FORKS: [Fork; 6] =
    [Fork::London, Fork::Paris, Fork::Shanghai, Fork::Cancun, Fork::Prague, Fork::Osaka];

/// How many people have funds. The others get some from them, or never.
pub(super) const RICH: usize = 24;

/// How many people there are.
pub(super) const CROWD: usize = 32;

/// With which salts children exist before the block.
pub(super) const CHILDREN: u64 = 6;

/// How many of the first people have delegated to the wallet, where accounts can.
const DELEGATED: usize = 2;

/// What everybody owns of each token.
const TOKENS_EACH: u64 = 1_000_000_000_000;

/// What a market holds of each of its tokens.
const RESERVE: u64 = 1_000_000_000_000_000;

/// What the purse owns, in wei: less than some of the payments that are asked of it.
const PURSE_FUNDS: u64 = 400;

/// 10^18 wei.
const ETHER: u64 = 1_000_000_000_000_000_000;

/// Somebody who can sign.
pub(super) struct Person {
    pub(super) key: SigningKey,
    pub(super) address: Address,
}

/// Everybody.
pub(super) static PEOPLE: LazyLock<Vec<Person>> = LazyLock::new(|| {
    let key = |index: usize| {
        let secret = keccak256([b"polity fuzz ".as_slice(), &index.to_be_bytes()].concat());
        SigningKey::from_slice(secret.as_slice()).ok()
    };
    let person = |key: SigningKey| {
        let address = Address::from_public_key(key.verifying_key());
        Person { key, address }
    };
    (0..CROWD).filter_map(key).map(person).collect()
});

/// The code of an account that has delegated (EIP-7702).
pub(super) fn delegation(to: Address) -> Bytes {
    [&[0xef, 0x01, 0x00], to.as_slice()].concat().into()
}

/// An account before the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The balance in wei.
    pub balance: U256,
    /// The nonce.
    pub nonce: u64,
    /// The code; empty for an account without.
    pub code: Bytes,
    /// The storage, without the slots that are zero.
    pub storage: BTreeMap<U256, U256>,
}

/// All that is drawn before the first transaction.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) fork: Fork,
    pub(super) header: Header,
    pub(super) withdrawals: Vec<Withdrawal>,
    pub(super) accounts: BTreeMap<Address, Account>,
}

impl Setup {
    /// A state and a header with room for `most` transactions.
    pub(super) fn new(rng: &mut Rng, most: usize) -> Self {
        let fork = rng.pick(&FORKS).copied().unwrap_or(Fork::Osaka);
        let since = |first| fork >= first;
        let number = 1_000;
        let random = |rng: &mut Rng| keccak256(rng.next().to_be_bytes());
        let beneficiary = beneficiary(rng);
        let withdrawals =
            if since(Fork::Shanghai) { withdrawals(rng, beneficiary) } else { vec![] };
        let header = Header {
            parent_hash: random(rng),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary,
            difficulty: U256::from(if since(Fork::Paris) { 0 } else { 131_072 }),
            number,
            gas_limit: (most as u64).saturating_mul(1_500_000).max(30_000_000),
            timestamp: 1_700_000_000,
            mix_hash: random(rng),
            base_fee_per_gas: Some(if rng.once_in(2) { 7 } else { 1_000_000_000 }),
            withdrawals_root: since(Fork::Shanghai)
                .then(|| calculate_withdrawals_root(&withdrawals)),
            excess_blob_gas: since(Fork::Cancun).then_some(0),
            parent_beacon_block_root: since(Fork::Cancun).then(|| random(rng)),
            ..Header::default()
        };
        Self { fork, header, withdrawals, accounts: accounts(fork) }
    }

    /// The rules of the chain.
    pub(super) fn spec(&self) -> ChainSpec {
        let mut spec = ChainSpec::single(self.fork);
        spec.chain_id = CHAIN_ID;
        spec
    }

    /// The accounts as a state.
    pub(super) fn state(&self) -> Overlay<'static> {
        let mut state = Overlay::empty();
        for (address, before) in &self.accounts {
            let id = account(*address);
            let hash = keccak256(&before.code);
            if !before.code.is_empty() {
                state.insert_code(hash, Arc::new(Code::new(before.code.clone())));
            }
            let record = AccountRecord {
                balance: before.balance,
                sequence: before.nonce,
                code: code_ref(hash),
            };
            state.insert_account(id, Some(record));
            for (slot, value) in &before.storage {
                state.insert_slot(id, LocalKey::storage(*slot), Value::word(*value));
            }
        }
        state.insert_block_hash(self.header.number.saturating_sub(1), self.header.parent_hash);
        state
    }
}

/// Nobody in particular, a sender, or a contract, which may be destroyed in the block.
fn beneficiary(rng: &mut Rng) -> Address {
    let sender = PEOPLE.first().map_or(Address::ZERO, |person| person.address);
    let candidates = [Address::repeat_byte(0xfe), sender, PROBE, child(0)];
    rng.pick(&candidates).copied().unwrap_or_default()
}

fn withdrawals(rng: &mut Rng, beneficiary: Address) -> Vec<Withdrawal> {
    let mut recipients: Vec<Address> = PEOPLE.iter().map(|person| person.address).collect();
    recipients.extend([
        beneficiary,
        PROBE,
        PURSE,
        child(1),
        child(CHILDREN),
        Address::repeat_byte(0xfd),
    ]);
    (0..rng.below(8) as u64)
        .map(|index| Withdrawal {
            index,
            validator_index: rng.next() % 1_000,
            address: rng.pick(&recipients).copied().unwrap_or_default(),
            amount: rng.next() % 4 * 1_000,
        })
        .collect()
}

fn accounts(fork: Fork) -> BTreeMap<Address, Account> {
    let mut accounts = BTreeMap::new();
    let ether = |count: u64| U256::from(ETHER) * U256::from(count);
    for (index, person) in PEOPLE.iter().enumerate().take(RICH) {
        let delegated = fork >= Fork::Prague && index < DELEGATED;
        let account = Account {
            balance: ether(1_000),
            nonce: u64::from(delegated),
            code: if delegated { delegation(WALLET) } else { Bytes::new() },
            ..Account::default()
        };
        accounts.insert(person.address, account);
    }
    let mut contract = |address, code: &Bytes, balance, storage| {
        let account = Account { balance, nonce: 1, code: code.clone(), storage };
        accounts.insert(address, account);
    };
    for (index, token) in TOKENS.into_iter().enumerate() {
        contract(token, &CODES.token, U256::ZERO, token_storage(index));
    }
    for (pair, one, other) in PAIRS {
        contract(pair, &CODES.pair, U256::ZERO, pair_storage(one, other));
    }
    contract(FACTORY, &CODES.factory, U256::ZERO, BTreeMap::new());
    contract(PROBE, &CODES.probe, ether(100), BTreeMap::from([(U256::from(9), U256::ONE)]));
    contract(PURSE, &CODES.probe, U256::from(PURSE_FUNDS), BTreeMap::new());
    contract(WALLET, &CODES.wallet, ether(100), BTreeMap::new());
    for salt in 0..CHILDREN {
        // Their pokes and marks.
        let storage = BTreeMap::from([(U256::ZERO, U256::ONE), (U256::ONE, U256::from(5))]);
        contract(child(salt), &CODES.child, ether(1), storage);
    }
    if fork >= Fork::Cancun {
        contract(TRANSIENT, &CODES.transient, U256::ZERO, BTreeMap::new());
        contract(
            eip4788::BEACON_ROOTS_ADDRESS,
            &eip4788::BEACON_ROOTS_CODE,
            U256::ZERO,
            BTreeMap::new(),
        );
    }
    if fork >= Fork::Prague {
        for (address, code) in [
            (eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
            (
                eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
                &eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE,
            ),
            (
                eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                &eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE,
            ),
        ] {
            contract(address, code, U256::ZERO, BTreeMap::new());
        }
    }
    accounts
}

/// Everybody with funds, the probe and the wallet hold the token, and the markets may take it from
/// them; what people may take from each other comes with the block.
fn token_storage(token: usize) -> BTreeMap<U256, U256> {
    let rich = PEOPLE.iter().take(RICH).map(|person| person.address);
    let mut storage = BTreeMap::from([(U256::ZERO, U256::from(u128::MAX))]);
    for (index, holder) in rich.chain([PROBE, WALLET]).enumerate() {
        storage.insert(balance_slot(holder), U256::from(TOKENS_EACH));
        for (pair, one, other) in PAIRS {
            if one == token || other == token {
                // An allowance that is not the highest of all is counted down.
                let allowance =
                    if index.is_multiple_of(2) { U256::MAX } else { U256::from(RESERVE) };
                storage.insert(allowance_slot(holder, pair), allowance);
            }
        }
    }
    for (pair, one, other) in PAIRS {
        if one == token || other == token {
            storage.insert(balance_slot(pair), U256::from(RESERVE));
        }
    }
    storage
}

fn pair_storage(one: usize, other: usize) -> BTreeMap<U256, U256> {
    let token = |index: usize| TOKENS.get(index).copied().map_or(U256::ZERO, word);
    let reserve = U256::from(RESERVE);
    BTreeMap::from([
        (U256::ZERO, token(one)),
        (U256::ONE, token(other)),
        (U256::from(2), reserve | reserve << 128),
    ])
}

/// An address that nothing is at, another one each time.
pub(super) fn fresh(rng: &mut Rng) -> Address {
    Address::from_word(B256::from(U256::from(rng.next()) << 64 | U256::from(rng.next())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_key() {
        assert_eq!(PEOPLE.len(), CROWD);
        let addresses: std::collections::BTreeSet<_> =
            PEOPLE.iter().map(|person| person.address).collect();
        assert_eq!(addresses.len(), CROWD);
    }
}
