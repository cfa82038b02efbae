//! Solana as a guest of the chain.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::B256;
use polity_kernel::{
    DecodeError, Decoded, Inputs, Machines, RegistrationError, TransactionOutput, View, ViewError,
};
use polity_state::{Changes, StateError};
use polity_svm::{BlockInput, KIND, MAX_AGE, Record, Stored, Svm, Unsigned};
use polity_types::{AccountId, MachineKind};
use solana_account::{AccountSharedData, WritableAccount};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::{FAUCET_LAMPORTS, SolanaAccounts, faucet, meta};
use crate::{
    accounts::AccountError,
    chain::{Guest, IncludedGuest},
    config::Config,
};

/// Solana's machine on a chain.
#[derive(Clone, Debug, Default)]
pub struct SolanaGuest {
    /// Who holds how many lamports at first.
    funds: Vec<(Pubkey, u64)>,
}

impl SolanaGuest {
    /// The machine on a chain on which these hold so many lamports at first.
    pub const fn new(funds: Vec<(Pubkey, u64)>) -> Self {
        Self { funds }
    }

    /// The machine on the chain with this configuration: its accounts are funded as
    /// Ethereum's are, and so is the faucet where there are any. A genesis file says
    /// itself who holds what.
    ///
    /// # Errors
    /// The mnemonic is none.
    pub fn of(config: &Config) -> Result<Self, AccountError> {
        if config.genesis.is_some() || config.accounts == 0 {
            return Ok(Self::default());
        }
        let accounts = SolanaAccounts::derive(&config.mnemonic, config.accounts)?;
        let lamports = polity_svm::lamports(config.balance);
        let funds = accounts.addresses().map(|address| (address, lamports));
        Ok(Self::new(funds.chain([(faucet::address(), FAUCET_LAMPORTS)]).collect()))
    }
}

/// Puts an account into the state, whatever was there before.
pub(super) fn set_account(
    changes: &mut Changes,
    address: &Pubkey,
    account: &AccountSharedData,
) -> Result<(), StateError> {
    let id = polity_svm::account(address);
    let Stored { record, slots, code } = Stored::new(account);
    changes.reset(id);
    if let Some((reference, bytes)) = code {
        changes.set_code(reference.hash, bytes);
    }
    changes.set_account(id, record);
    slots.into_iter().try_for_each(|(key, value)| changes.set_slot(id, key, value))
}

impl Guest for SolanaGuest {
    fn kind(&self) -> MachineKind {
        KIND
    }

    fn register(&self, machines: Machines) -> Result<Machines, RegistrationError> {
        machines.with(Svm::new())
    }

    fn decode(&self, raw: &[u8]) -> Result<Decoded, DecodeError> {
        polity_svm::decode(raw)
    }

    fn restore(&self, raw: &[u8]) -> Result<Decoded, DecodeError> {
        Unsigned::authenticated().decode(raw)
    }

    fn input(&self, inputs: Inputs, _: &Header, ancestors: &Arc<[B256]>) -> Inputs {
        inputs.with(KIND, BlockInput { ancestors: ancestors.clone() })
    }

    fn genesis(&self, _: &Header, changes: &mut Changes) -> Result<(), StateError> {
        for program in polity_svm::genesis::PROGRAMS {
            for (address, account) in program.accounts() {
                set_account(changes, &address, &account)?;
            }
        }
        for (address, lamports) in &self.funds {
            let mut account = AccountSharedData::default();
            account.set_lamports(*lamports);
            set_account(changes, address, &account)?;
        }
        Ok(())
    }

    fn addresses(&self, included: &IncludedGuest) -> Vec<AccountId> {
        let record = Record::of(&included.receipt).unwrap_or_default();
        let addresses = meta::addresses(&included.transaction.decoded, &record);
        addresses.iter().map(polity_svm::account).collect()
    }

    fn supplement(
        &self,
        transaction: &Decoded,
        output: &TransactionOutput,
        before: &dyn View,
        after: &dyn View,
    ) -> Result<Vec<u8>, ViewError> {
        let record = Record::of(&output.receipt).unwrap_or_default();
        let addresses = meta::addresses(transaction, &record);
        let balances = meta::Balances::of(&addresses, before, after)?;
        borsh::to_vec(&balances).map_err(|error| ViewError::Store(error.to_string()))
    }

    fn write_account(&self, account: &AccountId) -> String {
        polity_svm::address(account).to_string()
    }

    fn read_transaction(&self, text: &str) -> Option<B256> {
        text.parse::<Signature>().ok().map(|signature| polity_svm::transaction_hash(&signature))
    }

    fn expires(&self) -> u64 {
        MAX_AGE as u64
    }
}
