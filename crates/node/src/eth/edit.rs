//! Powers over the state: what accounts hold, and who may act for them.

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_serde::JsonStorageKey;
use polity_evm::{account, code_ref};
use polity_kernel::{View, alias};
use polity_state::Changes;
use polity_types::{AccountId, AccountRecord, LocalKey, Value};

use super::Ethereum;
use crate::{
    chain::ChainView,
    dev::Powers,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("anvil_setBalance", |door, params| {
        let (of, wei): (Address, U256) = (params.required()?, params.required()?);
        door.edit_record(of, |record| record.balance = wei)
    });
    methods.quick("anvil_addBalance", |door, params| {
        let (of, wei): (Address, U256) = (params.required()?, params.required()?);
        door.edit_record(of, |record| record.balance = record.balance.saturating_add(wei))
    });
    methods.quick("anvil_setNonce", |door, params| {
        let (of, nonce): (Address, U64) = (params.required()?, params.required()?);
        door.edit_record(of, |record| record.sequence = nonce.to())
    });
    methods.quick("anvil_setCode", set_code);
    methods.quick("anvil_setStorageAt", set_storage);
    methods.quick("anvil_impersonateAccount", |door, params| impersonate(door, params, true));
    methods
        .quick("anvil_stopImpersonatingAccount", |door, params| impersonate(door, params, false));
    methods.quick("anvil_autoImpersonateAccount", |door, params| {
        let on = params.optional()?.unwrap_or(true);
        door.node.accounts.impersonate_all(door.powers()?, on);
        reply(&())
    });
    methods.quick("anvil_dropTransaction", |door, params| {
        let hash: B256 = params.required()?;
        reply(&door.node.pool.remove(&hash).map(|_| hash))
    });
    methods.quick("anvil_dropAllTransactions", |door, _| {
        door.node.pool.clear();
        reply(&())
    });
    methods.quick("anvil_removePoolTransactions", |door, params| {
        door.node.pool.remove_sender(params.required()?);
        reply(&())
    });
    for (hardhat, anvil) in NAMES {
        methods.alias(hardhat, anvil);
    }
}

/// What is known by another name.
const NAMES: [(&str, &str); 15] = [
    ("hardhat_setBalance", "anvil_setBalance"),
    ("hardhat_setNonce", "anvil_setNonce"),
    ("hardhat_setCode", "anvil_setCode"),
    ("hardhat_setStorageAt", "anvil_setStorageAt"),
    ("hardhat_impersonateAccount", "anvil_impersonateAccount"),
    ("hardhat_stopImpersonatingAccount", "anvil_stopImpersonatingAccount"),
    ("hardhat_dropTransaction", "anvil_dropTransaction"),
    ("hardhat_addBalance", "anvil_addBalance"),
    ("hardhat_autoImpersonateAccount", "anvil_autoImpersonateAccount"),
    ("hardhat_dropAllTransactions", "anvil_dropAllTransactions"),
    ("tenderly_addBalance", "anvil_addBalance"),
    ("tenderly_setBalance", "anvil_setBalance"),
    ("debug_clearTxpool", "anvil_dropAllTransactions"),
    ("evm_setAccountBalance", "anvil_setBalance"),
    ("evm_setAccountNonce", "anvil_setNonce"),
];

impl Ethereum {
    /// The powers of a development chain.
    ///
    /// # Errors
    /// The chain is none.
    pub(super) fn powers(&self) -> Result<&Powers, RpcError> {
        let none = || RpcError::server("this chain is not for development");
        self.node.powers.as_ref().ok_or_else(none)
    }

    /// Changes the latest state, and makes the pool fit it.
    pub(super) fn edit(
        &self,
        edit: impl FnOnce(&mut Changes, &ChainView) -> Result<(), RpcError>,
    ) -> Reply {
        self.node.chain.edit(self.powers()?, edit)?;
        self.node.pool.renew(&self.node.chain.latest()?);
        reply(&())
    }

    fn edit_record(&self, of: Address, change: impl FnOnce(&mut AccountRecord)) -> Reply {
        self.edit(|changes, view| {
            let mut id = account(of);
            let mut found = record(changes, view, &id)?;
            // An alias has nothing of its own.
            if let Some(target) = alias::resolve(view, found.code)? {
                id = target;
                found = record(changes, view, &id)?;
            }
            change(&mut found);
            changes.set_account(id, (!found.is_empty()).then_some(found));
            Ok(())
        })
    }
}

/// An account's record, as edits have it or else the state.
fn record(changes: &Changes, view: &dyn View, id: &AccountId) -> Result<AccountRecord, RpcError> {
    let record = match changes.account(id) {
        Some(record) => record,
        None => view.account(id)?,
    };
    Ok(record.unwrap_or_default())
}

/// Gives an account a code.
pub(super) fn put_code(
    changes: &mut Changes,
    view: &dyn View,
    id: AccountId,
    code: Bytes,
) -> Result<(), RpcError> {
    let mut record = record(changes, view, &id)?;
    let hash = keccak256(&code);
    record.code = code_ref(hash);
    if record.code.is_some() {
        changes.set_code(hash, code);
    }
    changes.set_account(id, (!record.is_empty()).then_some(record));
    Ok(())
}

fn set_code(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let (of, code): (Address, Bytes) = (params.required()?, params.required()?);
    door.edit(|changes, view| put_code(changes, view, account(of), code))
}

fn set_storage(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let of: Address = params.required()?;
    let slot: JsonStorageKey = params.required()?;
    let value: JsonStorageKey = params.required()?;
    let word = |key: &JsonStorageKey| U256::from_be_bytes(key.as_b256().0);
    door.edit(|changes, _| {
        let key = LocalKey::storage(word(&slot));
        Ok(changes.set_slot(account(of), key, Value::word(word(&value)))?)
    })?;
    reply(&true)
}

fn impersonate(door: &Ethereum, params: &mut Params<'_>, on: bool) -> Reply {
    let of: Address = params.required()?;
    door.node.accounts.impersonate(door.powers()?, of, on);
    reply(&())
}
