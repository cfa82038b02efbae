use std::{num::NonZeroUsize, sync::Arc};

use alloy_consensus::Header;
use alloy_primitives::{Address, U256};
use polity_evm::{account, spec::ChainSpec};
use polity_state::{Changes, History};

use super::{
    Block, Chain, ChainError, Guests, Identity, Opened, Storage, StoreError, agree, check_root,
};
use crate::fork::Remote;

impl Chain {
    /// Opens the chain that goes on from a block of another one: the one that is
    /// stored, or a new one in which these accounts have so much wei.
    ///
    /// # Errors
    /// The other chain does not tell, or the folder cannot be opened.
    pub fn open_fork(
        spec: ChainSpec,
        remote: Arc<Remote>,
        funds: (&[Address], U256),
        guests: &Guests,
        storage: Storage<'_>,
        history: History,
        threads: NonZeroUsize,
    ) -> Result<Self, ChainError> {
        let header = &remote.origin().header;
        let ageless = Header { timestamp: 0, ..header.inner.clone() };
        let identity = Identity::of(spec.chain_id, header.hash, &ageless, guests)?;
        let opened = Opened::at(storage, &identity, guests, history)?;
        let Opened { state, store, .. } = &opened;
        // Its transactions stay with the other chain, which is asked for them.
        let first = Arc::new(Block::empty(header.inner.clone(), header.hash));
        let number = first.number();
        let block = match store.head()? {
            Some(head) => {
                let common = agree(state, store, head)?;
                if common <= number {
                    first.clone()
                } else {
                    let missing = || StoreError::Corrupt(format!("block {common} is missing"));
                    let block = store.block(common)?.ok_or_else(missing)?;
                    check_root(state, &block)?;
                    block
                }
            }
            None => {
                match state.height() {
                    None => {
                        let mut changes = funded(&remote, funds)?;
                        guests.genesis(&first.header, &mut changes)?;
                        state.genesis(number, changes)?.root().map(drop)?;
                    }
                    // A start that did not get as far as the block.
                    Some(height) if height == number => {}
                    Some(height) => {
                        return Err(ChainError::StateAhead { state: height, blocks: None });
                    }
                }
                state.set_block_hash(number, first.hash)?;
                state.flush()?;
                store.put(first.clone(), None)?;
                first.clone()
            }
        };
        state.set_block_hash(block.number(), block.hash)?;
        Self::with(spec, opened, threads, first, block, Some(remote))
    }
}

/// The accounts as the other chain has them, but for what they hold.
fn funded(remote: &Remote, (of, wei): (&[Address], U256)) -> Result<Changes, ChainError> {
    remote.warm(of.iter().copied(), [])?;
    let mut changes = Changes::new();
    for address in of {
        let id = account(*address);
        let mut record = remote.account(&id)?.unwrap_or_default();
        record.balance = wei;
        if let Some(code) = record.code.and_then(|code| remote.code(&code.hash)) {
            changes.set_code(alloy_primitives::keccak256(code.bytes()), code.bytes().clone());
        }
        changes.set_account(id, Some(record));
    }
    Ok(changes)
}
