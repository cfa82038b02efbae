//! Transactions before they are signed.

use super::{CHAIN_ID, Kind, setup::PEOPLE};
use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
};
use alloy_eips::{
    eip2930::AccessList,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};

/// A transaction of any type, signed.
pub type Envelope = EthereumTxEnvelope<TxEip4844>;

/// The most that a unit of blob gas may cost, in wei.
const BLOB_FEE: u128 = 10_000_000_000;

/// What a transaction says, as far as it does not depend on what came before it: its nonce, and
/// all that is left of a balance, are filled in when it is signed. So a block from which
/// transactions are dropped is still one whose nonces follow on each other.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    /// The index of the sender among the people.
    pub(super) from: usize,
    pub(super) to: TxKind,
    pub(super) data: Bytes,
    pub(super) value: Amount,
    pub(super) gas_limit: u64,
    /// Wei per gas for the beneficiary.
    pub(super) tip: u128,
    pub(super) form: Form,
    pub(super) fault: Option<Fault>,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    /// This many wei.
    Wei(U256),
    /// All that the sender has but for the fee and this many wei.
    AllBut(u64),
}

/// What a transaction says besides, by its type.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Type 0.
    Legacy,
    /// Type 1 (EIP-2930).
    AccessList(AccessList),
    /// Type 2 (EIP-1559).
    Dynamic(AccessList),
    /// Type 3 (EIP-4844), with a blob of this hash.
    Blob(B256),
    /// Type 4 (EIP-7702).
    Delegation(Vec<Authorize>),
}

/// An authorization of EIP-7702.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorize {
    /// The index of the authority among the people.
    pub(super) authority: usize,
    /// To what it delegates.
    pub(super) to: Address,
    /// Whether it is for any chain.
    pub(super) any_chain: bool,
    /// Whether the nonce is another than the authority's.
    pub(super) wrong_nonce: bool,
}

/// Why a transaction may not be in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NonceTooHigh,
    NonceTooLow,
    TooLittleFunds,
    TooMuchGas,
    TooLittleGas,
    FeeBelowBase,
}

impl Fault {
    pub(super) const ALL: [Self; 6] = [
        Self::NonceTooHigh,
        Self::NonceTooLow,
        Self::TooLittleFunds,
        Self::TooMuchGas,
        Self::TooLittleGas,
        Self::FeeBelowBase,
    ];
}

/// What a draft needs to know of the state and the block that it is signed for.
pub(super) struct Now<'a> {
    pub(super) base_fee: u64,
    pub(super) block_gas_limit: u64,
    pub(super) balance: U256,
    /// The nonce of an account.
    pub(super) nonce: &'a dyn Fn(Address) -> u64,
}

impl Draft {
    /// The sender.
    pub(super) fn sender(&self) -> Address {
        address(self.from)
    }

    /// The signed transaction.
    pub(super) fn sign(&self, now: &Now<'_>) -> Result<Envelope, k256::ecdsa::Error> {
        let fault = |fault| self.fault == Some(fault);
        let base_fee = u128::from(now.base_fee);
        let (tip, most) = match self.form {
            _ if fault(Fault::FeeBelowBase) => (0, base_fee.saturating_sub(1)),
            Form::Legacy | Form::AccessList(_) => (self.tip, base_fee.saturating_add(self.tip)),
            _ => (self.tip, base_fee.saturating_mul(2).saturating_add(self.tip)),
        };
        let gas_limit = match self.fault {
            Some(Fault::TooMuchGas) => now.block_gas_limit.saturating_add(1),
            Some(Fault::TooLittleGas) => 20_000,
            _ => self.gas_limit,
        };
        let fee = U256::from(most).saturating_mul(U256::from(gas_limit));
        let value = match self.value {
            _ if fault(Fault::TooLittleFunds) => now.balance.saturating_add(U256::ONE),
            Amount::Wei(wei) => wei,
            Amount::AllBut(wei) => now.balance.saturating_sub(fee).saturating_sub(U256::from(wei)),
        };
        let nonce = (now.nonce)(self.sender());
        let nonce = match self.fault {
            Some(Fault::NonceTooHigh) => nonce.saturating_add(1),
            // There is none below zero: then the gap is on the other side.
            Some(Fault::NonceTooLow) => nonce.checked_sub(1).unwrap_or(2),
            _ => nonce,
        };
        let (chain_id, input) = (CHAIN_ID, self.data.clone());
        let to = self.to.to().copied().unwrap_or_default();
        match &self.form {
            Form::Legacy => self.signed(TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: most,
                gas_limit,
                to: self.to,
                value,
                input,
            }),
            Form::AccessList(access_list) => self.signed(TxEip2930 {
                chain_id,
                nonce,
                gas_price: most,
                gas_limit,
                to: self.to,
                value,
                access_list: access_list.clone(),
                input,
            }),
            Form::Dynamic(access_list) => self.signed(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: most,
                max_priority_fee_per_gas: tip,
                to: self.to,
                value,
                access_list: access_list.clone(),
                input,
            }),
            Form::Blob(hash) => self.signed(TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: most,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list: AccessList::default(),
                blob_versioned_hashes: vec![*hash],
                max_fee_per_blob_gas: BLOB_FEE,
                input,
            }),
            Form::Delegation(list) => self.signed(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: most,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list: AccessList::default(),
                authorization_list: self.authorizations(list, now)?,
                input,
            }),
        }
    }

    /// The list, signed: each authorization takes a nonce of its authority, as the transaction
    /// itself takes one of its sender.
    fn authorizations(
        &self,
        list: &[Authorize],
        now: &Now<'_>,
    ) -> Result<Vec<SignedAuthorization>, k256::ecdsa::Error> {
        let mut taken = vec![self.from];
        let mut signed = Vec::with_capacity(list.len());
        for Authorize { authority, to, any_chain, wrong_nonce } in list {
            let before = taken.iter().filter(|person| *person == authority).count() as u64;
            let nonce = (now.nonce)(address(*authority)).saturating_add(before);
            let inner = Authorization {
                chain_id: U256::from(if *any_chain { 0 } else { CHAIN_ID }),
                address: *to,
                nonce: if *wrong_nonce { nonce.saturating_add(3) } else { nonce },
            };
            if !wrong_nonce {
                taken.push(*authority);
            }
            let signature = sign(*authority, inner.signature_hash())?;
            signed.push(inner.into_signed(signature));
        }
        Ok(signed)
    }

    fn signed<T>(&self, tx: T) -> Result<Envelope, k256::ecdsa::Error>
    where
        T: SignableTransaction<Signature>,
        Envelope: From<Signed<T>>,
    {
        let signature = sign(self.from, tx.signature_hash())?;
        Ok(tx.into_signed(signature).into())
    }
}

/// The address of a person; zero for nobody.
pub(super) fn address(person: usize) -> Address {
    PEOPLE.get(person).map_or(Address::ZERO, |person| person.address)
}

/// Signs with the key of a person. The nonce is that of RFC 6979: always the same signature.
fn sign(person: usize, hash: B256) -> Result<Signature, k256::ecdsa::Error> {
    let person = PEOPLE.get(person).ok_or_else(k256::ecdsa::Error::new)?;
    person.key.sign_prehash_recoverable(hash.as_slice()).map(Signature::from)
}
