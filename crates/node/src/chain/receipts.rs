//! What a header says of Ethereum's receipts.

use std::hash::Hash;

use alloy_consensus::{
    Receipt, ReceiptEnvelope, ReceiptWithBloom, proofs::ordered_trie_root_with_encoder,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log, keccak256, map::HashMap};
use polity_evm::receipt::ReceiptError;

use super::Included;

/// How many hashes of each kind are remembered.
const KNOWN: usize = 4096;

/// The root of a block's receipts, and the bloom of their logs. A receipt is made when it is
/// encoded: all of them take more memory than the rest of the block.
///
/// # Errors
/// The gas of the block exceeds 64 bits.
pub(super) fn summary(transactions: &[Included]) -> Result<(B256, Bloom), ReceiptError> {
    let mut gas = 0_u64;
    let mut receipts = Vec::with_capacity(transactions.len());
    for (index, included) in transactions.iter().enumerate() {
        let used = included.receipt.gas_used;
        gas = gas.checked_add(used).ok_or(ReceiptError::GasOverflow { index })?;
        receipts.push((included, gas));
    }
    let (mut hashes, mut blooms) = (Hashes::default(), Bloom::ZERO);
    let encode = |(included, gas): &(&Included, u64), out: &mut Vec<u8>| {
        let logs = included.logs();
        let logs_bloom = hashes.bloom(&logs);
        blooms |= logs_bloom;
        let status = included.receipt.status.is_success().into();
        let receipt = Receipt { status, cumulative_gas_used: *gas, logs };
        let kind = included.transaction.envelope.tx_type();
        let receipt = ReceiptWithBloom { receipt, logs_bloom };
        ReceiptEnvelope::from_typed(kind, receipt).encode_2718(out);
    };
    let root = ordered_trie_root_with_encoder(&receipts, encode);
    Ok((root, blooms))
}

/// The hashes that blooms are made of: the logs of a block are of few contracts and events.
#[derive(Default)]
struct Hashes {
    addresses: HashMap<Address, B256>,
    topics: HashMap<B256, B256>,
}

impl Hashes {
    fn bloom(&mut self, logs: &[Log]) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in logs {
            bloom.accrue(BloomInput::Hash(hash(&mut self.addresses, log.address)));
            for topic in log.topics() {
                bloom.accrue(BloomInput::Hash(hash(&mut self.topics, *topic)));
            }
        }
        bloom
    }
}

fn hash<K: AsRef<[u8]> + Eq + Hash>(known: &mut HashMap<K, B256>, key: K) -> B256 {
    if let Some(hash) = known.get(&key) {
        return *hash;
    }
    let hash = keccak256(&key);
    if known.len() < KNOWN {
        known.insert(key, hash);
    }
    hash
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
    use alloy_primitives::{Bytes, Signature, TxKind};
    use polity_evm::{Unsigned, account, receipt};
    use polity_types::{Event, MachineKind, Resources, Status};

    use super::{
        super::{Envelope, Transaction},
        *,
    };

    /// A transaction with logs, those of another machine among them.
    pub(crate) fn included(number: u64) -> Included {
        let signature = Signature::test_signature();
        let envelope: Envelope = if number.is_multiple_of(3) {
            let tx = TxLegacy { nonce: number, to: TxKind::Create, ..TxLegacy::default() };
            tx.into_signed(signature).into()
        } else {
            let tx = TxEip1559 { nonce: number, ..TxEip1559::default() };
            tx.into_signed(signature).into()
        };
        let decoded = Unsigned::for_simulation().envelope(&envelope, Address::ZERO);
        let transaction = Arc::new(Transaction { envelope, decoded, sidecar: None });
        let status = if number.is_multiple_of(5) { Status::Reverted } else { Status::Success };
        let event = |log: u64| {
            // Ethereum's, but for some.
            let mut emitter = account(Address::with_last_byte((number % 3) as u8));
            if log == 3 {
                emitter.machine = MachineKind::new(200);
            }
            let topics = (0..log).map(|topic| B256::with_last_byte((number * topic) as u8));
            Event { emitter, topics: topics.collect(), data: Bytes::from(vec![7; number as usize]) }
        };
        let receipt = polity_types::Receipt {
            machine: polity_evm::KIND,
            status,
            gas_used: 21_000 + number,
            used: Resources::default(),
            output: Bytes::new(),
            created: None,
        };
        let events = (0..number % 5).map(event).collect();
        Included { transaction, index: number as u32, receipt, events }
    }

    #[test]
    fn it_is_that_of_the_receipts() {
        for count in [0, 1, 2, 127, 128, 129, 300] {
            let transactions: Vec<Included> = (0..count).map(included).collect();
            let receipts = receipt::receipts(transactions.iter().map(Included::parts)).unwrap();
            let expected = (receipt::receipts_root(&receipts), receipt::logs_bloom(&receipts));
            assert_eq!(summary(&transactions).unwrap(), expected, "{count} transactions");
        }
    }

    #[test]
    fn more_gas_than_a_number_holds_is_refused() {
        let mut transactions: Vec<Included> = (0..3).map(included).collect();
        transactions[1].receipt.gas_used = u64::MAX;
        let refused = summary(&transactions).unwrap_err();
        assert!(matches!(refused, ReceiptError::GasOverflow { index: 1 }), "{refused}");
    }
}
