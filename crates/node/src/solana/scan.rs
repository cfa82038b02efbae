//! All accounts of Solana's.
//!
//! The state has no index by owner, and its rows are in the order of hashes: to find
//! accounts, the whole state is gone through. What was found is kept for as long as
//! the state stays the same.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::B256;
use polity_state::Changes;
use polity_svm::{KIND, head_key};
use polity_verify::{Cell, Key};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;

use super::{Solana, moment::Moment};
use crate::rpc::RpcError;

/// The accounts that were there, by owner.
type Owned = BTreeMap<Pubkey, Vec<Pubkey>>;

/// What was found last.
#[derive(Default)]
pub(super) struct Scans(Mutex<Option<Scan>>);

struct Scan {
    block: B256,
    /// As long as they are held, nobody changes them in place.
    edits: Arc<Changes>,
    owned: Arc<Owned>,
}

impl Solana {
    /// All accounts that a program owns, by address.
    ///
    /// # Errors
    /// The state failed.
    pub(super) fn owned(
        &self,
        moment: &Moment,
        program: &Pubkey,
    ) -> Result<Vec<(Pubkey, AccountSharedData)>, RpcError> {
        let owned = self.scan(moment)?;
        let addresses = owned.get(program).map(Vec::as_slice).unwrap_or_default();
        read(moment, addresses.iter(), |account| account.owner() == program)
    }

    /// All accounts.
    ///
    /// # Errors
    /// The state failed.
    pub(super) fn everything(
        &self,
        moment: &Moment,
    ) -> Result<Vec<(Pubkey, AccountSharedData)>, RpcError> {
        let owned = self.scan(moment)?;
        read(moment, owned.values().flatten(), |_| true)
    }

    fn scan(&self, moment: &Moment) -> Result<Arc<Owned>, RpcError> {
        let mut last = self.scans.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (block, edits) = (moment.block().hash, &moment.tip.edits);
        if let Some(scan) = &*last
            && scan.block == block
            && Arc::ptr_eq(&scan.edits, edits)
        {
            return Ok(scan.owned.clone());
        }
        let mut owners: BTreeMap<Pubkey, Pubkey> = BTreeMap::new();
        for (key, cell) in moment.view.cells(&[])? {
            match (&key, cell) {
                (Key::Account(id), Cell::Account(record))
                    if id.machine == KIND && polity_svm::lamports(record.balance) > 0 =>
                {
                    owners.entry(polity_svm::address(id)).or_insert(system_program::ID);
                }
                (Key::Slot(id, slot), Cell::Slot(value))
                    if id.machine == KIND && *slot == head_key() =>
                {
                    owners.extend(
                        polity_svm::owner(&value).map(|owner| (polity_svm::address(id), owner)),
                    );
                }
                _ => {}
            }
        }
        let mut owned = Owned::new();
        for (address, owner) in owners {
            owned.entry(owner).or_default().push(address);
        }
        let owned = Arc::new(owned);
        *last = Some(Scan { block, edits: edits.clone(), owned: owned.clone() });
        Ok(owned)
    }
}

fn read<'a>(
    moment: &Moment,
    addresses: impl Iterator<Item = &'a Pubkey>,
    is_wanted: impl Fn(&AccountSharedData) -> bool,
) -> Result<Vec<(Pubkey, AccountSharedData)>, RpcError> {
    let mut accounts = Vec::new();
    for address in addresses {
        let account = polity_svm::read_account(moment.view(), address)?;
        accounts.extend(account.filter(&is_wanted).map(|account| (*address, account)));
    }
    Ok(accounts)
}
