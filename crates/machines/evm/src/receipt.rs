//! Ethereum's receipts from what execution reports, and what a header says about them: the
//! receipts root, the bloom, and the hash of the requests (EIP-7685).

use alloc::vec::Vec;

use alloy_consensus::{
    Eip658Value, Receipt, ReceiptEnvelope, TxType, proofs::calculate_receipt_root,
};
use alloy_eips::{
    eip6110::DEPOSIT_REQUEST_TYPE, eip7002::WITHDRAWAL_REQUEST_TYPE,
    eip7251::CONSOLIDATION_REQUEST_TYPE, eip7685::Requests,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, b256};

/// What execution reports of one transaction, in no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptParts {
    /// The transaction's type byte (EIP-2718); 0 for a legacy transaction.
    pub tx_type: u8,
    /// Whether the transaction's outer frame succeeded (EIP-658).
    pub success: bool,
    /// The gas that this transaction used, refunds deducted. The receipt's own figure is the sum
    /// over the block.
    pub gas_used: u64,
    /// The logs, in the order of their emission.
    pub logs: Vec<Log>,
    /// The state root after the transaction. Before Byzantium the receipt holds it in the place of
    /// `success`; `None` from Byzantium on (EIP-658).
    pub post_state: Option<B256>,
}

/// Why receipts or requests can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A transaction type without a receipt format.
    #[error("transaction {index}: no receipt format for type {tx_type:#04x}")]
    UnknownType {
        /// The transaction's index in the block.
        index: usize,
        /// Its type byte.
        tx_type: u8,
    },
    /// The gas of the block exceeds 64 bits.
    #[error("transaction {index}: cumulative gas used exceeds 64 bits")]
    GasOverflow {
        /// The index of the transaction at which it does.
        index: usize,
    },
    /// A deposit event is not of the one size that the deposit contract's has.
    #[error("deposit event: {found} bytes of data, expected {expected}")]
    DepositLength {
        /// Its size in bytes.
        found: usize,
        /// The size that it must have.
        expected: usize,
    },
    /// A word of a deposit event (an offset or a length of its ABI encoding) has another value
    /// than the deposit contract's.
    #[error("deposit event: {field} is {found}, expected {expected}")]
    DepositLayout {
        /// Which word.
        field: &'static str,
        /// Its value.
        found: U256,
        /// The value that it must have.
        expected: u64,
    },
}

/// The receipts of a block's transactions, in order: cumulative gas, the status (EIP-658) or the
/// state root before Byzantium, each log bloom, and the typed envelope (EIP-2718).
///
/// # Errors
/// [`ReceiptError::UnknownType`], [`ReceiptError::GasOverflow`].
pub fn receipts(
    parts: impl IntoIterator<Item = ReceiptParts>,
) -> Result<Vec<ReceiptEnvelope>, ReceiptError> {
    let mut cumulative = 0_u64;
    let mut receipts = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let tx_type = TxType::try_from(part.tx_type)
            .map_err(|_| ReceiptError::UnknownType { index, tx_type: part.tx_type })?;
        cumulative =
            cumulative.checked_add(part.gas_used).ok_or(ReceiptError::GasOverflow { index })?;
        let status = match part.post_state {
            Some(root) => Eip658Value::PostState(root),
            None => Eip658Value::Eip658(part.success),
        };
        let receipt = Receipt { status, cumulative_gas_used: cumulative, logs: part.logs };
        receipts.push(ReceiptEnvelope::from_typed(tx_type, receipt));
    }
    Ok(receipts)
}

/// The root of the trie of receipts, as the header's `receiptsRoot` (Yellow Paper §4.4.1).
pub fn receipts_root(receipts: &[ReceiptEnvelope]) -> B256 {
    calculate_receipt_root(receipts)
}

/// The bloom of all logs of the block, as the header's `logsBloom` (Yellow Paper §4.4.1).
pub fn logs_bloom(receipts: &[ReceiptEnvelope]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom())
}

/// The first topic of the deposit contract's event (EIP-6110), keccak-256 of
/// `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
pub const DEPOSIT_EVENT: B256 =
    b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// Size in bytes of a deposit event's data: five offsets, and five fields with their lengths.
const DEPOSIT_EVENT_SIZE: usize = 576;

/// The fields of a deposit event, with the offset and the length that the contract's ABI encoding
/// gives them, in bytes (EIP-6110).
const DEPOSIT_FIELDS: [(&str, &str, u64, u64); 5] = [
    ("offset of pubkey", "length of pubkey", 160, 48),
    ("offset of withdrawal_credentials", "length of withdrawal_credentials", 256, 32),
    ("offset of amount", "length of amount", 320, 8),
    ("offset of signature", "length of signature", 384, 96),
    ("offset of index", "length of index", 512, 8),
];

/// The data of the block's deposit requests: of every deposit event that `contract` emitted, in
/// order, the public key, the withdrawal credentials, the amount, the signature and the index
/// (192 bytes each; EIP-6110). Logs of other contracts, and other logs of this one, are passed over.
///
/// # Errors
/// [`ReceiptError::DepositLength`], [`ReceiptError::DepositLayout`] if a deposit event is not laid
/// out as the deposit contract does it. The block is invalid then.
pub fn deposits<'a>(
    logs: impl IntoIterator<Item = &'a Log>,
    contract: Address,
) -> Result<Vec<u8>, ReceiptError> {
    let mut requests = Vec::new();
    for log in logs {
        if log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT) {
            deposit(&log.data.data, &mut requests)?;
        }
    }
    Ok(requests)
}

/// Appends the request of one deposit event.
fn deposit(data: &[u8], requests: &mut Vec<u8>) -> Result<(), ReceiptError> {
    let too_short =
        || ReceiptError::DepositLength { found: data.len(), expected: DEPOSIT_EVENT_SIZE };
    if data.len() != DEPOSIT_EVENT_SIZE {
        return Err(too_short());
    }
    let word = |field, at: usize, expected| {
        let bytes = data.get(at..).and_then(|rest| rest.get(..32)).ok_or_else(too_short)?;
        let found = U256::from_be_slice(bytes);
        if found == U256::from(expected) {
            Ok(())
        } else {
            Err(ReceiptError::DepositLayout { field, found, expected })
        }
    };
    for (slot, (offset_of, _, offset, _)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        word(offset_of, slot.saturating_mul(32), offset)?;
    }
    for (_, length_of, offset, length) in DEPOSIT_FIELDS {
        let at = offset as usize;
        word(length_of, at, length)?;
        let field = data.get(at.saturating_add(32)..).and_then(|rest| rest.get(..length as usize));
        requests.extend_from_slice(field.ok_or_else(too_short)?);
    }
    Ok(())
}

/// The requests of a block (EIP-7685): `deposits` from [`deposits`], and what the system calls
/// for withdrawals (EIP-7002) and consolidations (EIP-7251) returned. An empty one is left out.
pub fn requests(deposits: Vec<u8>, withdrawals: Bytes, consolidations: Bytes) -> Requests {
    let mut requests = Requests::default();
    requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
    requests.push_request_with_type(WITHDRAWAL_REQUEST_TYPE, withdrawals);
    requests.push_request_with_type(CONSOLIDATION_REQUEST_TYPE, consolidations);
    requests
}

/// The header's `requestsHash`: SHA-256 over the SHA-256 of each request, ascending by type
/// (EIP-7685).
pub fn requests_hash(requests: &Requests) -> B256 {
    requests.requests_hash()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use alloy_consensus::constants::EMPTY_ROOT_HASH;
    use alloy_eips::{eip2718::Encodable2718, eip7685::EMPTY_REQUESTS_HASH};

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0xdc);

    fn parts(tx_type: u8, gas_used: u64, logs: Vec<Log>) -> ReceiptParts {
        ReceiptParts { tx_type, success: true, gas_used, logs, post_state: None }
    }

    fn event_data() -> Vec<u8> {
        let mut data = Vec::new();
        for (_, _, offset, _) in DEPOSIT_FIELDS {
            data.extend_from_slice(&U256::from(offset).to_be_bytes::<32>());
        }
        for (number, (_, _, _, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            data.extend_from_slice(&U256::from(length).to_be_bytes::<32>());
            data.resize(data.len() + length as usize, number as u8 + 1);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        data
    }

    fn log(address: Address, topic: B256, data: Vec<u8>) -> Log {
        Log::new_unchecked(address, vec![topic], data.into())
    }

    #[test]
    fn gas_accumulates_and_types_are_kept() {
        let log = log(CONTRACT, B256::repeat_byte(7), vec![1]);
        let built = receipts([parts(0, 21_000, vec![]), parts(2, 30_000, vec![log])]).unwrap();
        assert_eq!(built[0].cumulative_gas_used(), 21_000);
        assert_eq!(built[1].cumulative_gas_used(), 51_000);
        assert_eq!(built[1].encoded_2718()[0], 2);
        assert_eq!(built[1].tx_type(), TxType::Eip1559);
        assert_eq!(logs_bloom(&built), *built[1].logs_bloom());
        assert_ne!(logs_bloom(&built), Bloom::ZERO);
    }

    #[test]
    fn a_state_root_takes_the_place_of_the_status() {
        let root = B256::repeat_byte(9);
        let built =
            receipts([ReceiptParts { post_state: Some(root), ..parts(0, 1, vec![]) }]).unwrap();
        assert_eq!(built[0].as_receipt().unwrap().status, Eip658Value::PostState(root));
        // The first field is the 32-byte root: 0xa0 and the bytes, after the list's header.
        assert_eq!(built[0].encoded_2718()[3..5], [0xa0, 9]);
    }

    #[test]
    fn what_cannot_be_a_receipt_is_refused() {
        assert_eq!(
            receipts([parts(0, 1, vec![]), parts(0x7e, 1, vec![])]),
            Err(ReceiptError::UnknownType { index: 1, tx_type: 0x7e })
        );
        assert_eq!(
            receipts([parts(0, u64::MAX, vec![]), parts(0, 1, vec![])]),
            Err(ReceiptError::GasOverflow { index: 1 })
        );
    }

    #[test]
    fn no_receipts_give_the_empty_root() {
        assert_eq!(receipts_root(&[]), EMPTY_ROOT_HASH);
        assert_eq!(logs_bloom(&[]), Bloom::ZERO);
    }

    #[test]
    fn a_deposit_event_gives_its_request() {
        let logs = [
            log(CONTRACT, DEPOSIT_EVENT, event_data()),
            log(CONTRACT, B256::ZERO, vec![1, 2, 3]),
            log(Address::ZERO, DEPOSIT_EVENT, vec![1, 2, 3]),
            Log::new_unchecked(CONTRACT, vec![], Bytes::new()),
        ];
        let data = deposits(&logs, CONTRACT).unwrap();
        let mut expected = Vec::new();
        for (value, length) in [(1, 48), (2, 32), (3, 8), (4, 96), (5, 8)] {
            expected.resize(expected.len() + length, value);
        }
        assert_eq!(data, expected);
        assert_eq!(data.len(), 192);
    }

    #[test]
    fn every_word_of_a_deposit_event_is_checked() {
        let words = (0..5_usize).map(|slot| slot * 32).chain([160, 256, 320, 384, 512]);
        for at in words {
            for byte in [at, at + 31] {
                let mut data = event_data();
                data[byte] ^= 1;
                let found = deposits(&[log(CONTRACT, DEPOSIT_EVENT, data)], CONTRACT);
                assert!(
                    matches!(found, Err(ReceiptError::DepositLayout { .. })),
                    "byte {byte}: {found:?}"
                );
            }
        }
        for size in [0, 575, 577] {
            let mut data = event_data();
            data.resize(size, 0);
            assert_eq!(
                deposits(&[log(CONTRACT, DEPOSIT_EVENT, data)], CONTRACT),
                Err(ReceiptError::DepositLength { found: size, expected: 576 })
            );
        }
    }

    #[test]
    fn requests_are_ordered_and_empty_ones_left_out() {
        let none = requests(vec![], Bytes::new(), Bytes::new());
        assert!(none.is_empty());
        assert_eq!(requests_hash(&none), EMPTY_REQUESTS_HASH);

        let some =
            requests(vec![0x0a, 0x0b, 0x0c], Bytes::from_static(&[0x0d, 0x0e, 0x0f]), Bytes::new());
        assert_eq!(some.len(), 2);
        // sha256(sha256(00 0a0b0c) ‖ sha256(01 0d0e0f)), computed with another implementation.
        assert_eq!(
            requests_hash(&some),
            b256!("be3a57667b9bb9e0275019c0faf0f415fdc8385a408fd03e13a5c50615e3530c")
        );
    }
}
