//! The whole state of a test's chain, cheap to copy: every block keeps its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount,
    root::{state_root_unsorted, storage_root_unhashed},
};
use polity_evm::{KIND, code_ref};
use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, Effects, LocalKey, Name, Space, Value};

use crate::{
    Difference,
    format::{AccountEntry, Accounts},
};

/// A state of Ethereum accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    accounts: BTreeMap<Address, Arc<Held>>,
    codes: BTreeMap<B256, Arc<Code>>,
}

#[derive(Clone, Debug)]
struct Held {
    record: AccountRecord,
    slots: BTreeMap<U256, U256>,
    /// The key in the state trie, and what stands there.
    leaf: OnceLock<(B256, TrieAccount)>,
}

impl Held {
    fn new(record: AccountRecord) -> Self {
        Self { record, slots: BTreeMap::new(), leaf: OnceLock::new() }
    }

    fn leaf(&self, address: &Address) -> (B256, TrieAccount) {
        *self.leaf.get_or_init(|| {
            let storage_root = if self.slots.is_empty() {
                EMPTY_ROOT_HASH
            } else {
                let slots = self.slots.iter();
                storage_root_unhashed(slots.map(|(key, value)| (B256::from(*key), *value)))
            };
            let account = TrieAccount {
                nonce: self.record.sequence,
                balance: self.record.balance,
                storage_root,
                code_hash: self.record.code.map_or(KECCAK_EMPTY, |code| code.hash),
            };
            (keccak256(address), account)
        })
    }
}

/// Why effects do not fit the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WorldError {
    #[error("effects name {0}, which is no Ethereum account")]
    Foreign(AccountId),
    #[error("the change of the balance of {0} does not fit its balance")]
    Balance(Address),
    #[error("effects write {key:?} of {address}, which is no word of storage")]
    Slot { address: Address, key: LocalKey },
    #[error("effects write a slot of {0}, which does not exist")]
    Orphan(Address),
    #[error("effects remove {0} and leave slots of it")]
    Remains(Address),
    #[error("slot effects name account {0}, which the effects do not list")]
    Account(u32),
}

impl World {
    /// The state that a test lists.
    pub(crate) fn new(accounts: &Accounts) -> Self {
        let mut world = Self::default();
        for (address, entry) in accounts {
            let hash = world.add_code(&entry.code);
            let mut held = Held::new(AccountRecord {
                balance: entry.balance.0,
                sequence: entry.nonce.0,
                code: code_ref(hash),
            });
            let slots = entry.storage.iter().filter(|(_, value)| !value.0.is_zero());
            held.slots.extend(slots.map(|(key, value)| (key.0, value.0)));
            world.accounts.insert(*address, Arc::new(held));
        }
        world
    }

    fn add_code(&mut self, code: &Bytes) -> B256 {
        let hash = keccak256(code);
        self.codes.entry(hash).or_insert_with(|| Arc::new(Code::new(code.clone())));
        hash
    }

    /// The root of the state trie.
    pub(crate) fn root(&self) -> B256 {
        state_root_unsorted(self.accounts.iter().map(|(address, held)| held.leaf(address)))
    }

    /// Applies the effects of a transaction. After an error the state is of no
    /// use.
    pub(crate) fn apply(&mut self, effects: &Effects) -> Result<(), WorldError> {
        for account in &effects.accounts {
            let address = address(&account.account)?;
            if account.storage_reset
                && let Some(held) = self.changed(&address)
            {
                held.slots.clear();
            }
            if !account.writes_record() {
                continue;
            }
            let before = self.accounts.get(&address).map(|held| held.record);
            match account.apply(before).ok_or(WorldError::Balance(address))? {
                Some(record) => self.set(address, record),
                None => {
                    let removed = self.accounts.remove(&address);
                    if removed.is_some_and(|held| !held.slots.is_empty()) {
                        return Err(WorldError::Remains(address));
                    }
                }
            }
        }
        for slot in &effects.slots {
            let Some(write) = &slot.write else { continue };
            let account = effects
                .accounts
                .get(slot.account as usize)
                .ok_or(WorldError::Account(slot.account))?;
            let address = address(&account.account)?;
            let (Some(key), Some(value)) = (word(&slot.key), write.as_word()) else {
                return Err(WorldError::Slot { address, key: slot.key.clone() });
            };
            match self.changed(&address) {
                Some(held) if value.is_zero() => held.slots.remove(&key),
                Some(held) => held.slots.insert(key, value),
                None if value.is_zero() => None,
                None => return Err(WorldError::Orphan(address)),
            };
        }
        for (_, code) in &effects.codes {
            self.add_code(code);
        }
        Ok(())
    }

    /// An account that is about to be changed.
    fn changed(&mut self, address: &Address) -> Option<&mut Held> {
        let held = Arc::make_mut(self.accounts.get_mut(address)?);
        held.leaf = OnceLock::new();
        Some(held)
    }

    fn set(&mut self, address: Address, record: AccountRecord) {
        match self.changed(&address) {
            Some(held) => held.record = record,
            None => {
                self.accounts.insert(address, Arc::new(Held::new(record)));
            }
        }
    }

    /// Credits an account with nothing: an empty account is gone afterwards if
    /// `clears_empty` (EIP-161), and exists otherwise.
    pub(crate) fn touch(&mut self, address: Address, clears_empty: bool) {
        match self.accounts.get(&address) {
            Some(held) if clears_empty && held.record.is_empty() => {
                self.accounts.remove(&address);
            }
            None if !clears_empty => self.set(address, AccountRecord::default()),
            _ => {}
        }
    }

    /// The first difference to an expected state, in the order of addresses.
    pub(crate) fn difference(&self, expected: &Accounts) -> Option<Difference> {
        let addresses: BTreeSet<&Address> = self.accounts.keys().chain(expected.keys()).collect();
        addresses.into_iter().find_map(|address| {
            match (expected.get(address), self.accounts.get(address)) {
                (Some(entry), Some(held)) => compare(address, entry, held),
                (Some(_), None) => Some(Difference::new(address, "present", "absent")),
                (None, Some(_)) => Some(Difference::new(address, "absent", "present")),
                (None, None) => None,
            }
        })
    }
}

fn compare(address: &Address, expected: &AccountEntry, held: &Held) -> Option<Difference> {
    let record = &held.record;
    if expected.nonce.0 != record.sequence {
        let what = format!("nonce of {address}");
        return Some(Difference::new(what, expected.nonce.0, record.sequence));
    }
    if expected.balance.0 != record.balance {
        let what = format!("balance of {address}");
        return Some(Difference::new(what, expected.balance.0, record.balance));
    }
    let code = record.code.map_or(KECCAK_EMPTY, |code| code.hash);
    let expected_code = keccak256(&expected.code);
    if expected_code != code {
        return Some(Difference::new(format!("code hash of {address}"), expected_code, code));
    }
    let expected_slots: BTreeMap<U256, U256> =
        expected.storage.iter().map(|(key, value)| (key.0, value.0)).collect();
    let keys: BTreeSet<&U256> = expected_slots.keys().chain(held.slots.keys()).collect();
    keys.into_iter().find_map(|key| {
        let value = |slots: &BTreeMap<U256, U256>| slots.get(key).copied().unwrap_or_default();
        let (expected, found) = (value(&expected_slots), value(&held.slots));
        let hex = |word: U256| format!("{word:#x}");
        (expected != found).then(|| {
            Difference::new(format!("slot {key:#x} of {address}"), hex(expected), hex(found))
        })
    })
}

fn address(account: &AccountId) -> Result<Address, WorldError> {
    if account.machine == KIND {
        Ok(account.short_address())
    } else {
        Err(WorldError::Foreign(*account))
    }
}

/// The storage word that a key names.
const fn word(key: &LocalKey) -> Option<U256> {
    match key {
        LocalKey { space: Space::STORAGE, name: Name::Word(word) } => Some(*word),
        _ => None,
    }
}

/// A state with the block hashes that contracts see on it.
pub(crate) struct Snapshot<'a, H> {
    pub(crate) world: &'a World,
    pub(crate) block_hash: H,
}

impl<H: Fn(u64) -> Option<B256> + Sync> View for Snapshot<'_, H> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let held = address(account).ok().and_then(|address| self.world.accounts.get(&address));
        Ok(held.map(|held| held.record))
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        let held = address(account).ok().and_then(|address| self.world.accounts.get(&address));
        let value = held.and_then(|held| held.slots.get(&word(key)?));
        Ok(value.map_or(Value::Empty, |value| Value::word(*value)))
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.world.codes.get(hash).cloned().ok_or(ViewError::MissingCode(*hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        (self.block_hash)(number).ok_or(ViewError::MissingBlockHash(number))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use polity_types::{AccountEffects, Delta, Interval, SlotEffects};

    use super::*;

    const ADDRESS: Address = Address::repeat_byte(7);

    fn accounts(json: &str) -> Accounts {
        serde_json::from_str(json).unwrap()
    }

    fn one() -> World {
        World::new(&accounts(
            r#"{"0x0707070707070707070707070707070707070707":
                {"balance": "0x05", "nonce": "0x01", "code": "0x00", "storage": {"0x01": "0x02", "0x03": "0x00"}}}"#,
        ))
    }

    fn effects() -> AccountEffects {
        AccountEffects {
            account: polity_evm::account(ADDRESS),
            existence_read: None,
            emptiness_read: None,
            existence_write: None,
            balance_read: Interval::ANY,
            balance_delta: Delta::ZERO,
            sequence_read: None,
            sequence_write: None,
            code_read: None,
            code_write: None,
            storage_reset: false,
        }
    }

    #[test]
    fn the_root_is_that_of_the_trie() {
        assert_eq!(World::default().root(), EMPTY_ROOT_HASH);
        // The genesis allocation of a well-known test: one funded account.
        let world = World::new(&accounts(
            r#"{"0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b": {"balance": "0x00"}}"#,
        ));
        let leaf = TrieAccount::default();
        let key = keccak256(world.accounts.keys().next().unwrap());
        assert_eq!(world.root(), state_root_unsorted([(key, leaf)]));
        assert_ne!(world.root(), EMPTY_ROOT_HASH);
        assert_eq!(
            KECCAK_EMPTY,
            b256!("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
        );
    }

    #[test]
    fn a_copy_does_not_change_with_its_original() {
        let before = one();
        let root = before.root();
        let mut after = before.clone();
        let changed = AccountEffects { balance_delta: Delta::plus(U256::from(1)), ..effects() };
        let effects = Effects { accounts: [changed].into_iter().collect(), ..Effects::default() };
        after.apply(&effects).unwrap();
        assert_eq!(before.root(), root);
        let changed_once = after.root();
        assert_ne!(changed_once, root);
        after.apply(&effects).unwrap();
        assert!(![root, changed_once].contains(&after.root()));
    }

    #[test]
    fn a_reset_comes_before_the_writes() {
        let mut world = one();
        let reset = AccountEffects { storage_reset: true, ..effects() };
        let write = SlotEffects {
            account: 0,
            key: LocalKey::storage(U256::from(9)),
            read: None,
            write: Some(Value::word(U256::from(8))),
        };
        world
            .apply(&Effects {
                accounts: [reset].into_iter().collect(),
                slots: vec![write],
                ..Effects::default()
            })
            .unwrap();
        let slots = &world.accounts[&ADDRESS].slots;
        assert_eq!(slots, &BTreeMap::from([(U256::from(9), U256::from(8))]));
    }

    #[test]
    fn effects_of_another_state_are_refused() {
        let mut world = one();
        let debit = AccountEffects { balance_delta: Delta::minus(U256::from(6)), ..effects() };
        let effects = Effects { accounts: [debit].into_iter().collect(), ..Effects::default() };
        assert_eq!(world.apply(&effects), Err(WorldError::Balance(ADDRESS)));
    }

    #[test]
    fn a_touch_makes_an_empty_account_or_removes_it() {
        let mut world = World::default();
        world.touch(ADDRESS, true);
        assert_eq!(world.root(), EMPTY_ROOT_HASH);
        world.touch(ADDRESS, false);
        assert_ne!(world.root(), EMPTY_ROOT_HASH);
        world.touch(ADDRESS, true);
        assert_eq!(world.root(), EMPTY_ROOT_HASH);
        let mut world = one();
        let root = world.root();
        world.touch(ADDRESS, true);
        assert_eq!(world.root(), root);
    }

    #[test]
    fn the_first_difference_is_named() {
        let world = one();
        let same = r#"{"0x0707070707070707070707070707070707070707":
            {"balance": "0x05", "nonce": "0x01", "code": "0x00", "storage": {"0x01": "0x02"}}}"#;
        assert_eq!(world.difference(&accounts(same)), None);
        for (from, to, what) in [
            (r#""nonce": "0x01""#, r#""nonce": "0x02""#, "nonce"),
            (r#""balance": "0x05""#, r#""balance": "0x06""#, "balance"),
            (r#""code": "0x00""#, r#""code": "0x01""#, "code hash"),
            (r#""0x01": "0x02""#, r#""0x01": "0x03""#, "slot 0x1"),
            (r#""0x01": "0x02""#, r#""0x02": "0x02""#, "slot 0x1"),
        ] {
            let difference = world.difference(&accounts(&same.replace(from, to))).unwrap();
            assert!(difference.what.starts_with(what), "{difference:?}");
        }
        assert_eq!(world.difference(&Accounts::new()).unwrap().found, "present");
        assert_eq!(World::default().difference(&accounts(same)).unwrap().found, "absent");
    }
}
