//! Transactions of guests, from their arrival to the block that has them.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use polity_kernel::Invalid;
use polity_types::MachineKind;

use crate::{
    Node,
    chain::{Block, ChainError, Guest, GuestTransaction},
    pool::{Fate, GuestError},
};

/// Where a guest's transaction is.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It waits for a block.
    Waiting,
    /// It is in a block, with this index among the transactions of all machines
    /// ([`Block::guest`]).
    Included(Arc<Block>, u32),
    /// Its machine refused it.
    Refused(Invalid),
    /// No block took it for as long as it may wait.
    Expired,
}

impl Node {
    /// The guest with this byte.
    ///
    /// # Errors
    /// There is none.
    pub fn guest(&self, kind: MachineKind) -> Result<&dyn Guest, GuestError> {
        self.chain.guests().get(kind).ok_or(GuestError::Machine(kind))
    }

    /// Decodes and authenticates a guest's transaction.
    ///
    /// # Errors
    /// It is none, or nobody signed it.
    pub fn decode_guest(
        &self,
        kind: MachineKind,
        raw: Bytes,
    ) -> Result<GuestTransaction, GuestError> {
        Ok(GuestTransaction { decoded: self.guest(kind)?.decode(&raw)?, raw })
    }

    /// Takes a guest's transaction into the pool.
    /// [`Miner::announce`](crate::miner::Miner::announce) makes a block for it,
    /// where that is to be done at once.
    ///
    /// # Errors
    /// It was sent already, or the pool is full.
    pub fn submit_guest(&self, transaction: GuestTransaction) -> Result<B256, GuestError> {
        let (kind, hash) = (transaction.kind(), transaction.hash());
        let expires = self.guest(kind)?.expires();
        let failed = |error: ChainError| GuestError::Chain(error.to_string());
        if let Some((block, _)) = self.chain.guest_transaction(kind, &hash).map_err(failed)? {
            return Err(GuestError::Included(block.number()));
        }
        self.guests.add(Arc::new(transaction), self.chain.head().number(), expires)?;
        Ok(hash)
    }

    /// Where the guest's transaction with this hash is; `None` where it is not
    /// known.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn standing(&self, kind: MachineKind, hash: &B256) -> Result<Option<Standing>, ChainError> {
        // It leaves the pool after its block is stored, so it is looked for there
        // first.
        let waits = self.guests.get(kind, hash).is_some();
        if let Some((block, index)) = self.chain.guest_transaction(kind, hash)? {
            return Ok(Some(Standing::Included(block, index)));
        }
        if waits {
            return Ok(Some(Standing::Waiting));
        }
        Ok(self.guests.fate(kind, hash).map(|fate| match fate {
            Fate::Refused(why) => Standing::Refused(why),
            Fate::Expired => Standing::Expired,
        }))
    }

    /// Waits until a guest's transaction waits no longer, and gives where it is
    /// then.
    ///
    /// # Errors
    /// The chain could not be read.
    pub async fn settled(
        &self,
        kind: MachineKind,
        hash: &B256,
    ) -> Result<Option<Standing>, ChainError> {
        let mut left = self.guests.left();
        loop {
            match self.standing(kind, hash)? {
                Some(Standing::Waiting) => {}
                settled => return Ok(settled),
            }
            if left.changed().await.is_err() {
                return self.standing(kind, hash);
            }
        }
    }
}
