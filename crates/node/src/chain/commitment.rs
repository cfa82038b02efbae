//! What a block commits to of all machines: Ethereum's roots in the header are
//! over Ethereum's transactions alone, so that Ethereum's tools can check them.

use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, keccak256};
use borsh::BorshSerialize;

use super::{Block, Entry};

impl Block {
    /// The hash over the transactions and receipts of all machines, which is the
    /// header's extra data where the block has any of a guest's; `None` where it
    /// has none.
    ///
    /// It is Keccak-256 of two roots, one after the other, each of an ordered trie
    /// as Ethereum has it for transactions. A leaf of the first is the machine's
    /// byte and the raw transaction; one of the second the receipt, the list of
    /// events and the supplement, in borsh.
    pub fn commitment(&self) -> Option<B256> {
        if self.guests.is_empty() {
            return None;
        }
        let all: Vec<Entry<'_>> = self.all().collect();
        let transactions = ordered_trie_root_with_encoder(&all, |entry, out: &mut Vec<u8>| {
            out.push(entry.decoded().machine.byte());
            match entry {
                Entry::Ethereum(included) => included.transaction.envelope.encode_2718(out),
                Entry::Guest(included) => out.extend_from_slice(&included.transaction.raw),
            }
        });
        let receipts = ordered_trie_root_with_encoder(&all, |entry, out: &mut Vec<u8>| {
            let parts = (entry.receipt(), entry.events(), entry.supplement());
            // A vector takes all that it is given.
            let _ = parts.serialize(out);
        });
        Some(keccak256([transactions.0, receipts.0].concat()))
    }
}
