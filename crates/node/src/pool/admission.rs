//! What a transaction has to fulfil before it is taken into the pool, in the
//! order in which geth looks at it.

use alloy_consensus::Transaction as _;
use alloy_eips::{eip4844::env_settings::EnvKzgSettings, eip7825::MAX_TX_GAS_LIMIT_OSAKA};
use alloy_primitives::U256;
use polity_evm::spec::{ChainSpec, Fork};
use polity_types::AccountRecord;

use super::PoolError;
use crate::chain::{Envelope, Transaction};

/// The largest transaction, in bytes, its blobs aside.
const MAX_SIZE: usize = 128 * 1024;
/// EIP-3860.
const MAX_INITCODE: usize = 49_152;

/// What the next block is like, as far as a transaction has to fit it.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The rules.
    pub fork: Fork,
    /// The gas limit.
    pub gas_limit: u64,
    /// The base fee, where a transaction that does not pay it would wait for
    /// ever: in a chain that makes a block for every transaction.
    pub base_fee: Option<u64>,
    /// Whether contracts may be senders, as those that are impersonated.
    pub any_sender: bool,
}

/// Checks what needs no state.
///
/// # Errors
/// The first rule that the transaction breaks.
pub fn check(tx: &Transaction, spec: &ChainSpec, conditions: &Conditions) -> Result<(), PoolError> {
    let Conditions { fork, gas_limit, .. } = *conditions;
    let envelope = &tx.envelope;
    let first = match envelope {
        Envelope::Legacy(_) => Fork::Frontier,
        Envelope::Eip2930(_) => Fork::Berlin,
        Envelope::Eip1559(_) => Fork::London,
        Envelope::Eip4844(_) => Fork::Cancun,
        Envelope::Eip7702(_) => Fork::Prague,
    };
    if fork < first {
        return Err(PoolError::TypeNotSupported);
    }
    let size = envelope.input().len().saturating_add(tx.lists_size());
    if size > MAX_SIZE {
        return Err(PoolError::Oversized { size, limit: MAX_SIZE });
    }
    let code = envelope.input().len();
    if fork >= Fork::Shanghai && envelope.is_create() && code > MAX_INITCODE {
        return Err(PoolError::InitcodeSize { size: code, limit: MAX_INITCODE });
    }
    if envelope.gas_limit() > gas_limit {
        return Err(PoolError::BlockGasLimit);
    }
    if fork >= Fork::Osaka && envelope.gas_limit() > MAX_TX_GAS_LIMIT_OSAKA {
        return Err(PoolError::GasLimitCap {
            cap: MAX_TX_GAS_LIMIT_OSAKA,
            gas_limit: envelope.gas_limit(),
        });
    }
    let fee = envelope.max_fee_per_gas();
    if let Some(tip) = envelope.max_priority_fee_per_gas().filter(|tip| *tip > fee) {
        return Err(PoolError::TipAboveFee { sender: tx.sender(), tip, fee });
    }
    if tx.nonce() == u64::MAX {
        return Err(PoolError::NonceMax { sender: tx.sender(), nonce: tx.nonce() });
    }
    let needed = tx.intrinsic_gas(fork);
    if envelope.gas_limit() < needed {
        return Err(PoolError::IntrinsicGas { gas_limit: envelope.gas_limit(), needed });
    }
    if let Some(base_fee) = conditions.base_fee.filter(|base| u128::from(*base) > fee) {
        return Err(PoolError::FeeTooLow { sender: tx.sender(), fee, base_fee });
    }
    if envelope.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(PoolError::NoAuthorizations);
    }
    check_blobs(tx, spec, fork)
}

fn check_blobs(tx: &Transaction, spec: &ChainSpec, fork: Fork) -> Result<(), PoolError> {
    let Envelope::Eip4844(signed) = &tx.envelope else { return Ok(()) };
    let refused = |reason: &str| Err(PoolError::Blobs(reason.into()));
    let hashes = &signed.tx().blob_versioned_hashes;
    if hashes.is_empty() {
        return refused("blobless blob transaction");
    }
    let most = spec.blob_params(fork).map_or(0, |params| params.max_blobs_per_tx);
    if hashes.len() as u64 > most {
        let found = hashes.len();
        return Err(PoolError::Blobs(format!(
            "too many blobs in transaction: have {found}, permitted {most}"
        )));
    }
    let Some(sidecar) = &tx.sidecar else {
        return refused("missing sidecar in blob transaction");
    };
    if fork >= Fork::Osaka && sidecar.is_eip4844() {
        return refused("unexpected sidecar version 0 post-osaka: use cell proofs (EIP-7594)");
    }
    sidecar
        .validate(hashes, EnvKzgSettings::Default.get())
        .map_err(|error| PoolError::Blobs(format!("invalid blob proofs: {error}")))
}

/// Checks the sender.
///
/// # Errors
/// The first rule that the transaction breaks.
pub fn check_sender(
    tx: &Transaction,
    sender: Option<AccountRecord>,
    is_delegated: impl FnOnce() -> bool,
    conditions: &Conditions,
) -> Result<(), PoolError> {
    let sender = sender.unwrap_or_default();
    if tx.nonce() < sender.sequence {
        return Err(PoolError::NonceTooLow { next: sender.sequence, nonce: tx.nonce() });
    }
    if sender.code.is_some() && !conditions.any_sender && !is_delegated() {
        return Err(PoolError::SenderNoEoa { sender: tx.sender() });
    }
    let cost: U256 = tx.cost();
    if cost > sender.balance {
        return Err(PoolError::InsufficientFunds { balance: sender.balance, cost });
    }
    Ok(())
}
