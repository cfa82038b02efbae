use std::sync::Arc;

use alloy_consensus::{
    EthereumTxEnvelope, Transaction as _, TxEip4844, TxEip4844Variant, TxEnvelope, Typed2718,
};
use alloy_eips::{
    eip2718::{Decodable2718, Encodable2718},
    eip7594::BlobTransactionSidecarVariant,
};
use alloy_primitives::{Address, B256, U256};
use polity_evm::{address, decode_envelope, spec::Fork};
use polity_kernel::{DecodeError, Decoded};

/// An Ethereum transaction as it stands in a block: without blobs.
pub type Envelope = EthereumTxEnvelope<TxEip4844>;

/// The blobs of a transaction, with what proves that they are.
pub type Sidecar = BlobTransactionSidecarVariant;

/// A transaction that is authenticated: its sender is known.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// As its sender signed it.
    pub envelope: Envelope,
    /// As the kernel executes it.
    pub decoded: Decoded,
    /// The blobs, as long as they are kept.
    pub sidecar: Option<Arc<Sidecar>>,
}

impl Transaction {
    /// Decodes and authenticates what a client sends: EIP-2718 bytes, with the
    /// sidecar where it is a blob transaction.
    ///
    /// # Errors
    /// The bytes are no transaction, or the signature is not of this chain.
    pub fn decode(raw: &[u8], chain_id: u64, fork: Fork) -> Result<Self, DecodeError> {
        let malformed = |reason: String| DecodeError::Malformed(reason);
        let mut rest = raw;
        let (envelope, sidecar) = if raw.first() == Some(&0x03) {
            let envelope =
                TxEnvelope::decode_2718(&mut rest).map_err(|error| malformed(error.to_string()))?;
            without_blobs(envelope)
        } else {
            let envelope =
                Envelope::decode_2718(&mut rest).map_err(|error| malformed(error.to_string()))?;
            (envelope, None)
        };
        if !rest.is_empty() {
            return Err(malformed(format!("{} bytes too many", rest.len())));
        }
        let decoded = decode_envelope(&envelope, chain_id, fork)?;
        Ok(Self { envelope, decoded, sidecar: sidecar.map(Arc::new) })
    }

    /// The hash.
    pub fn hash(&self) -> B256 {
        self.decoded.hash
    }

    /// Who signed it, as Ethereum names the account.
    pub fn sender(&self) -> Address {
        address(&self.decoded.sender)
    }

    /// The sender's nonce.
    pub fn nonce(&self) -> u64 {
        self.decoded.sequence
    }

    /// The most that the sender can be charged, value included; saturating, for
    /// no account holds more than 2^256 wei.
    pub fn cost(&self) -> U256 {
        let tx = &self.envelope;
        let gas = U256::from(tx.max_fee_per_gas()).saturating_mul(U256::from(tx.gas_limit()));
        let blobs = tx.blob_gas_used().unwrap_or_default();
        let blobs = U256::from(tx.max_fee_per_blob_gas().unwrap_or_default())
            .saturating_mul(U256::from(blobs));
        gas.saturating_add(blobs).saturating_add(tx.value())
    }

    /// What the block's producer earns per gas at this base fee; `None` where the
    /// sender does not pay the base fee.
    pub fn tip(&self, base_fee: u64) -> Option<u128> {
        let above = self.envelope.max_fee_per_gas().checked_sub(u128::from(base_fee))?;
        Some(self.envelope.max_priority_fee_per_gas().map_or(above, |most| most.min(above)))
    }

    /// The price per gas that is paid at this base fee.
    pub fn price(&self, base_fee: u64) -> u128 {
        self.envelope.effective_gas_price(Some(base_fee))
    }

    /// What it pays before it runs, and so the least gas limit that it can have.
    pub fn intrinsic_gas(&self, fork: Fork) -> u64 {
        let payload = self.decoded.payload::<polity_evm::Transaction>();
        payload.and_then(|tx| tx.intrinsic_gas(fork).ok()).unwrap_or_default()
    }

    /// The bytes that its access and authorization lists take, about.
    pub fn lists_size(&self) -> usize {
        let accesses = self.envelope.access_list().map_or(0, |list| list.size());
        let authorizations = self.envelope.authorization_list().map_or(0, <[_]>::len);
        accesses.saturating_add(authorizations.saturating_mul(128))
    }

    /// The EIP-2718 type.
    pub fn kind(&self) -> u8 {
        self.envelope.ty()
    }

    /// The EIP-2718 bytes as they stand in a block.
    pub fn raw(&self) -> Vec<u8> {
        self.envelope.encoded_2718()
    }

    /// The bytes as a client sends them: with the blobs, where they are kept.
    pub fn raw_with_blobs(&self) -> Vec<u8> {
        match (&self.envelope, &self.sidecar) {
            (Envelope::Eip4844(tx), Some(sidecar)) => {
                let (tx, signature, hash) = tx.clone().into_parts();
                let tx = tx.with_sidecar((**sidecar).clone());
                let signed = alloy_consensus::Signed::new_unchecked(tx, signature, hash);
                let mut raw = Vec::new();
                signed.eip2718_encode(&mut raw);
                raw
            }
            _ => self.raw(),
        }
    }
}

/// Parts a transaction from its blobs.
pub fn without_blobs(envelope: TxEnvelope) -> (Envelope, Option<Sidecar>) {
    match envelope {
        TxEnvelope::Legacy(tx) => (Envelope::Legacy(tx), None),
        TxEnvelope::Eip2930(tx) => (Envelope::Eip2930(tx), None),
        TxEnvelope::Eip1559(tx) => (Envelope::Eip1559(tx), None),
        TxEnvelope::Eip7702(tx) => (Envelope::Eip7702(tx), None),
        TxEnvelope::Eip4844(tx) => {
            let (tx, signature, hash) = tx.into_parts();
            let (tx, sidecar) = match tx {
                TxEip4844Variant::TxEip4844(tx) => (tx, None),
                TxEip4844Variant::TxEip4844WithSidecar(tx) => {
                    let (tx, sidecar) = tx.into_parts();
                    (tx, Some(sidecar))
                }
            };
            let signed = alloy_consensus::Signed::new_unchecked(tx, signature, hash);
            (Envelope::Eip4844(signed), sidecar)
        }
    }
}
