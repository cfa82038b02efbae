//! Reads a block from its RLP.

use alloy_consensus::{BlockBody, EthereumTxEnvelope, Header, TxEip4844};
use alloy_eips::eip2718::Decodable2718;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Error};

use crate::{
    encoding::{faults, list},
    exception::Refusal,
};

/// A transaction as it stands in a block.
pub(crate) type Transaction = EthereumTxEnvelope<TxEip4844>;

/// A block that could be read.
#[derive(Debug)]
pub(crate) struct ReadBlock {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) body: BlockBody<Transaction>,
    /// The transactions' EIP-2718 bytes.
    pub(crate) raw: Vec<Bytes>,
}

/// Reads a block. Every part must be in the one encoding that it has.
pub(crate) fn read(rlp: &[u8]) -> Result<ReadBlock, Refusal> {
    let items = list(rlp).map_err(|error| malformed("block", error))?;
    let (header, transactions, ommers, withdrawals) = match items.as_slice() {
        [header, transactions, ommers] => (header, transactions, ommers, None),
        [header, transactions, ommers, withdrawals] => {
            (header, transactions, ommers, Some(withdrawals))
        }
        other => {
            return Err(malformed("block", format_args!("{} items in the list", other.len())));
        }
    };
    let hash = keccak256(header);
    let header: Header = decode("header", header)?;
    if header.hash_slow() != hash {
        return Err(malformed("header", "not in its one encoding"));
    }
    let (raw, transactions) = read_transactions(transactions)?;
    let ommers = decode("ommers", ommers)?;
    let withdrawals = withdrawals
        .map(|withdrawals| decode::<Vec<Withdrawal>>("withdrawals", withdrawals))
        .transpose()?
        .map(Withdrawals::new);
    Ok(ReadBlock { header, hash, body: BlockBody { transactions, ommers, withdrawals }, raw })
}

fn read_transactions(item: &[u8]) -> Result<(Vec<Bytes>, Vec<Transaction>), Refusal> {
    let items = list(item).map_err(|error| malformed("transactions", error))?;
    let mut raw = Vec::with_capacity(items.len());
    let mut transactions = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        // A list is a legacy transaction, a string holds a typed one.
        let bytes = match item.first() {
            Some(0xc0..) => item,
            _ => alloy_rlp::Header::decode_bytes(&mut &*item, false)
                .map_err(|error| malformed("transactions", error))?,
        };
        let mut rest = bytes;
        let transaction = Transaction::decode_2718(&mut rest).map_err(|error| error.to_string());
        match transaction {
            Ok(transaction) if rest.is_empty() => transactions.push(transaction),
            other => {
                let error = other.err().unwrap_or_else(|| "bytes behind its end".into());
                let mut refusal = malformed(&format!("transaction {index}"), error);
                refusal.names.extend(faults(bytes));
                return Err(refusal);
            }
        }
        raw.push(Bytes::copy_from_slice(bytes));
    }
    Ok((raw, transactions))
}

fn decode<T: Decodable>(what: &str, item: &[u8]) -> Result<T, Refusal> {
    let mut rest = item;
    match T::decode(&mut rest) {
        Ok(_) if !rest.is_empty() => Err(malformed(what, Error::UnexpectedLength)),
        Ok(value) => Ok(value),
        Err(error) => Err(malformed(what, error)),
    }
}

fn malformed(what: &str, error: impl core::fmt::Display) -> Refusal {
    Refusal::new(&["RLP_STRUCTURES_ENCODING"], format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Block;
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> Vec<u8> {
        let header = Header { number: 3, base_fee_per_gas: Some(7), ..Header::default() };
        let mut bytes = Vec::new();
        Block::<Transaction>::uncle(header).encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_block_is_read_with_its_hash() {
        let block = read(&bytes()).unwrap();
        assert_eq!(block.hash, block.header.hash_slow());
        assert_eq!(block.header.number, 3);
        assert!(block.raw.is_empty() && block.body.withdrawals.is_none());
    }

    proptest! {
        #[test]
        fn damaged_blocks_are_refused_or_other_blocks(at in 0_usize..500, byte: u8) {
            let mut damaged = bytes();
            let length = damaged.len();
            damaged[at % length] ^= byte;
            if let Ok(block) = read(&damaged) {
                prop_assert_eq!(block.hash, block.header.hash_slow());
            }
        }
    }
}
