use crate::{
    KIND, account,
    spec::{Fork, SpecError},
};
use alloc::{format, string::ToString, vec::Vec};
use alloy_consensus::{
    EthereumTxEnvelope, Transaction as _, TxEip4844, Typed2718, transaction::SignerRecoverable,
};
use alloy_eips::{eip2718::Decodable2718, eip4844::DATA_GAS_PER_BLOB};
use alloy_primitives::{Address, B256};
use polity_kernel::{DecodeError, Decoded, Hint};
use polity_types::LocalKey;
use revm::{
    context::TxEnv,
    context_interface::{
        cfg::gas::calculate_initial_tx_gas_for_tx,
        either::Either,
        transaction::{RecoveredAuthority, RecoveredAuthorization},
    },
    primitives::U256,
};

/// A transaction in the form in which the machine executes it: the payload of
/// a [`Decoded`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// revm's form.
    pub env: TxEnv,
    waiver: Waiver,
}

impl Transaction {
    /// The blob gas that the transaction takes (EIP-4844).
    pub fn blob_gas(&self) -> u64 {
        DATA_GAS_PER_BLOB.saturating_mul(self.env.blob_hashes.len() as u64)
    }

    /// The least gas limit with which the transaction may be in a block of this
    /// fork: what it pays before it runs, and the floor of EIP-7623.
    ///
    /// # Errors
    /// The fork has no rules yet.
    pub fn intrinsic_gas(&self, fork: Fork) -> Result<u64, SpecError> {
        let gas = calculate_initial_tx_gas_for_tx(&self.env, fork.spec_id()?, None);
        Ok(gas.initial_total_gas().max(gas.floor_gas()))
    }

    /// The checks that it is spared: none, where somebody signed it.
    pub const fn waiver(&self) -> Waiver {
        self.waiver
    }
}

/// The checks that a transaction which nobody signed is spared. Takes effect
/// only through [`Unsigned::transaction_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiver {
    /// Whatever the sender's nonce is.
    pub nonce: bool,
    /// A contract may send (EIP-3607).
    pub sender_code: bool,
    /// More gas than a block has, or than one transaction may have (EIP-7825).
    pub gas_limits: bool,
    /// Where the transaction offers no price for gas, or none for blob gas, the
    /// block asks for none either: so a call is for free, and its contracts see
    /// base fees of zero. A price that is offered is checked and paid.
    pub price: bool,
}

impl Waiver {
    /// Every check is made.
    pub const NONE: Self =
        Self { nonce: false, sender_code: false, gas_limits: false, price: false };

    /// What a call that asks a question is spared (`eth_call`).
    pub const CALL: Self = Self { nonce: true, sender_code: true, gas_limits: true, price: true };

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// The power to execute a transaction that nobody signed. Only a simulation or
/// a development chain has a reason to construct it; a block of a live chain
/// is decoded from bytes.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned(());

impl Unsigned {
    /// For a run whose result no chain takes over.
    pub const fn for_simulation() -> Self {
        Self(())
    }

    /// A transaction in the name of `env.caller`.
    pub fn transaction(self, env: TxEnv, hash: B256) -> Decoded {
        decoded(env, hash, Waiver::NONE)
    }

    /// A transaction in the name of `env.caller` that is spared some checks.
    pub fn transaction_with(self, env: TxEnv, hash: B256, waiver: Waiver) -> Decoded {
        decoded(env, hash, waiver)
    }

    /// A transaction in the name of `caller`, whatever its signature says and even
    /// if the caller is a contract (EIP-3607).
    pub fn envelope(self, envelope: &EthereumTxEnvelope<TxEip4844>, caller: Address) -> Decoded {
        let waiver = Waiver { sender_code: true, ..Waiver::NONE };
        decoded(environment(envelope, caller), *envelope.tx_hash(), waiver)
    }
}

/// Decodes a transaction from its EIP-2718 bytes as they stand in a block:
/// without the blobs of a blob transaction, and with nothing behind it.
pub(crate) fn decode_bytes(raw: &[u8]) -> Result<EthereumTxEnvelope<TxEip4844>, DecodeError> {
    let mut rest = raw;
    let envelope = EthereumTxEnvelope::<TxEip4844>::decode_2718(&mut rest)
        .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed(format!("{} bytes too many", rest.len())));
    }
    Ok(envelope)
}

/// Authenticates a decoded transaction by the rules of `fork`.
///
/// # Errors
/// A signature that does not recover, that is malleable (EIP-2, from Homestead
/// on), or that names a chain other than `chain_id` (EIP-155, from Spurious
/// Dragon on; before, one that names a chain at all).
pub fn decode_envelope(
    envelope: &EthereumTxEnvelope<TxEip4844>,
    chain_id: u64,
    fork: Fork,
) -> Result<Decoded, DecodeError> {
    if let Some(found) = envelope.chain_id() {
        if found != chain_id {
            return Err(DecodeError::ChainId { found, expected: chain_id });
        }
        // A typed transaction is none of these forks' at all, and is refused for
        // that when it is executed.
        if fork < Fork::SpuriousDragon && envelope.is_legacy() {
            return Err(DecodeError::Signature("names a chain before EIP-155".into()));
        }
    }
    let signer = if fork < Fork::Homestead {
        envelope.recover_signer_unchecked()
    } else {
        envelope.recover_signer()
    };
    let caller = signer.map_err(|error| DecodeError::Signature(error.to_string()))?;
    Ok(decoded(environment(envelope, caller), *envelope.tx_hash(), Waiver::NONE))
}

/// revm's form of a transaction. The authorities of delegations are recovered
/// here, once, and not while the transaction executes.
fn environment(envelope: &EthereumTxEnvelope<TxEip4844>, caller: Address) -> TxEnv {
    let authorizations = envelope.authorization_list().unwrap_or_default().iter().map(|signed| {
        let authority = signed
            .recover_authority()
            .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
        Either::Right(RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority))
    });
    TxEnv {
        tx_type: envelope.ty(),
        caller,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: authorizations.collect(),
    }
}

fn decoded(env: TxEnv, hash: B256, waiver: Waiver) -> Decoded {
    let mut hints = Vec::new();
    let mut hint = |address: Address, key: Option<LocalKey>| {
        hints.push(Hint { account: account(address), key });
    };
    if let Some(to) = env.kind.to() {
        hint(*to, None);
    }
    for item in &env.access_list.0 {
        hint(item.address, None);
        for key in &item.storage_keys {
            hint(item.address, Some(LocalKey::storage(U256::from_be_bytes(key.0))));
        }
    }
    let (sender, nonce, gas_limit) = (account(env.caller), env.nonce, env.gas_limit);
    Decoded::new(KIND, hash, sender, nonce, gas_limit, Transaction { env, waiver })
        .with_hints(hints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxEip2930, TxLegacy};
    use alloy_primitives::Signature;

    #[test]
    fn before_eip_155_a_legacy_transaction_names_no_chain_and_a_typed_one_does() {
        let signature = Signature::test_signature();
        let legacy = TxLegacy { chain_id: Some(1), ..TxLegacy::default() }.into_signed(signature);
        let typed = TxEip2930 { chain_id: 1, ..TxEip2930::default() }.into_signed(signature);
        let (legacy, typed) = (legacy.into(), typed.into());
        for fork in [Fork::Frontier, Fork::Homestead, Fork::Tangerine] {
            let refused = decode_envelope(&legacy, 1, fork);
            assert!(matches!(refused, Err(DecodeError::Signature(_))), "{fork}");
            assert!(decode_envelope(&typed, 1, fork).is_ok(), "{fork}");
        }
        assert!(decode_envelope(&legacy, 1, Fork::SpuriousDragon).is_ok());
    }
}
