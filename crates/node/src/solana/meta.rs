//! What became of a transaction, as Solana's nodes tell it.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use polity_kernel::{Decoded, View, ViewError};
use polity_svm::{Record, Transaction};
use solana_account::ReadableAccount;
use solana_account_decoder::{
    parse_account_data::SplTokenAdditionalDataV2, parse_token::token_amount_to_ui_amount_v3,
};
use solana_message::{compiled_instruction::CompiledInstruction, v0::LoadedAddresses};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::sysvar;
use solana_transaction_context::transaction::TransactionReturnData;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{
    InnerInstruction, InnerInstructions, TransactionStatusMeta, TransactionTokenBalance,
    VersionedTransactionWithStatusMeta,
};

use super::token;
use crate::{chain::IncludedGuest, rpc::RpcError};

/// What the accounts of a transaction held before it and after it. It is kept with
/// the transaction.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
pub(super) struct Balances {
    /// Lamports, in the order of the transaction's accounts.
    before: Vec<u64>,
    after: Vec<u64>,
    tokens_before: Vec<TokenBalance>,
    tokens_after: Vec<TokenBalance>,
}

/// What an account of a token program held.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct TokenBalance {
    index: u8,
    mint: [u8; 32],
    owner: [u8; 32],
    program: [u8; 32],
    amount: u64,
    decimals: u8,
}

impl Balances {
    /// What these accounts held.
    pub(super) fn of(
        addresses: &[Pubkey],
        before: &dyn View,
        after: &dyn View,
    ) -> Result<Self, ViewError> {
        let mut balances = Self::default();
        for (index, address) in addresses.iter().enumerate() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            let held = held(index, address, before)?;
            balances.before.push(held.0);
            balances.tokens_before.extend(held.1);
            let held = self::held(index, address, after)?;
            balances.after.push(held.0);
            balances.tokens_after.extend(held.1);
        }
        Ok(balances)
    }

    /// The balances that are kept with a transaction.
    pub(super) fn stored(supplement: &[u8]) -> Result<Self, RpcError> {
        borsh::from_slice(supplement).map_err(|error| RpcError::internal(&error))
    }
}

/// The bytes of the sysvars that blocks make up.
const SYSVARS: [(Pubkey, usize); 8] = [
    (sysvar::clock::ID, 40),
    (sysvar::rent::ID, 17),
    (sysvar::epoch_schedule::ID, 33),
    (sysvar::epoch_rewards::ID, 81),
    (sysvar::last_restart_slot::ID, 8),
    (sysvar::slot_hashes::ID, 20_488),
    (sysvar::stake_history::ID, 16_392),
    (sysvar::recent_blockhashes::ID, 6_008),
];

/// The lamports of an account that is in no state.
fn made_up(address: &Pubkey) -> Option<u64> {
    let sysvar = SYSVARS.iter().find(|(sysvar, _)| sysvar == address);
    let lamports = sysvar.map(|(_, size)| Rent::default().minimum_balance(*size));
    lamports.or_else(|| Some(polity_svm::builtin_account(address)?.lamports()))
}

/// What an account holds: lamports, and perhaps tokens.
fn held(
    index: u8,
    address: &Pubkey,
    view: &dyn View,
) -> Result<(u64, Option<TokenBalance>), ViewError> {
    if let Some(lamports) = made_up(address) {
        return Ok((lamports, None));
    }
    let Some(account) = polity_svm::read_account(view, address)? else { return Ok((0, None)) };
    let held = token::held(view, &account)?.map(|held| TokenBalance {
        index,
        mint: held.mint.to_bytes(),
        owner: held.owner.to_bytes(),
        program: account.owner().to_bytes(),
        amount: held.amount,
        decimals: held.decimals,
    });
    Ok((account.lamports(), held))
}

impl From<TokenBalance> for TransactionTokenBalance {
    fn from(balance: TokenBalance) -> Self {
        let text = |address: [u8; 32]| Pubkey::new_from_array(address).to_string();
        Self {
            account_index: balance.index,
            mint: text(balance.mint),
            // Whatever interest a mint says: in what is kept, the amount is the plain one.
            ui_token_amount: token_amount_to_ui_amount_v3(
                balance.amount,
                &SplTokenAdditionalDataV2::with_decimals(balance.decimals),
            ),
            owner: text(balance.owner),
            program_id: text(balance.program),
        }
    }
}

/// All accounts of a transaction, those from look-up tables last.
pub(super) fn addresses(decoded: &Decoded, record: &Record) -> Vec<Pubkey> {
    let own = decoded.payload().map(Transaction::static_accounts).unwrap_or_default();
    let loaded = record.loaded_writable.iter().chain(&record.loaded_readonly);
    own.iter().copied().chain(loaded.map(|key| Pubkey::new_from_array(*key))).collect()
}

/// The accounts that a transaction may have written.
pub(super) fn written(decoded: &Decoded, record: &Record) -> Vec<Pubkey> {
    let Some(transaction) = decoded.payload::<Transaction>() else { return Vec::new() };
    let message = &transaction.versioned.message;
    let own = transaction.static_accounts().iter().enumerate();
    let own = own.filter(|(index, _)| {
        message.is_maybe_writable_with_reserved_addresses(*index, None::<&BTreeSet<Pubkey>>)
    });
    let loaded = record.loaded_writable.iter().map(|key| Pubkey::new_from_array(*key));
    own.map(|(_, key)| *key).chain(loaded).collect()
}

/// The accounts from look-up tables.
pub(super) fn loaded(record: &Record) -> LoadedAddresses {
    let keys = |all: &[[u8; 32]]| all.iter().map(|key| Pubkey::new_from_array(*key)).collect();
    LoadedAddresses {
        writable: keys(&record.loaded_writable),
        readonly: keys(&record.loaded_readonly),
    }
}

/// The instructions that programs sent to others.
pub(super) fn inner(record: &Record) -> Vec<InnerInstructions> {
    let one = |sent: &polity_svm::InnerInstruction| InnerInstruction {
        instruction: CompiledInstruction {
            program_id_index: sent.program,
            accounts: sent.accounts.clone(),
            data: sent.data.clone(),
        },
        stack_height: Some(sent.stack_height.into()),
    };
    let all = (0_u8..).zip(&record.inner).filter(|(_, sent)| !sent.is_empty());
    all.map(|(index, sent)| InnerInstructions {
        index,
        instructions: sent.iter().map(one).collect(),
    })
    .collect()
}

/// What the last program returned.
pub(super) fn return_data(record: &Record) -> Option<TransactionReturnData> {
    let (program, data) = record.return_data.as_ref()?;
    let program_id = Pubkey::new_from_array(*program);
    Some(TransactionReturnData { program_id, data: data.clone() })
}

/// What became of a transaction.
pub(super) fn status(record: &Record) -> Result<(), TransactionError> {
    record.error().map_or(Ok(()), Err)
}

/// What Solana's nodes tell of a transaction.
pub(super) fn meta(record: &Record, balances: Balances) -> TransactionStatusMeta {
    let tokens = |all: Vec<TokenBalance>| Some(all.into_iter().map(Into::into).collect());
    TransactionStatusMeta {
        status: status(record),
        fee: record.fee,
        pre_balances: balances.before,
        post_balances: balances.after,
        inner_instructions: Some(inner(record)),
        log_messages: Some(record.logs.clone()),
        pre_token_balances: tokens(balances.tokens_before),
        post_token_balances: tokens(balances.tokens_after),
        rewards: Some(Vec::new()),
        loaded_addresses: loaded(record),
        return_data: return_data(record),
        compute_units_consumed: Some(record.compute_units),
        cost_units: None,
    }
}

/// A transaction in a block with all that is told of it.
///
/// # Errors
/// What is stored is not what was written.
pub(super) fn complete(
    included: &IncludedGuest,
) -> Result<VersionedTransactionWithStatusMeta, RpcError> {
    let decoded = &included.transaction.decoded;
    let lost = || RpcError::internal(&"a stored transaction is damaged");
    let transaction = decoded.payload::<Transaction>().ok_or_else(lost)?;
    let record = Record::of(&included.receipt).ok_or_else(lost)?;
    let meta = meta(&record, Balances::stored(&included.supplement)?);
    let transaction = transaction.versioned.clone();
    let complete = VersionedTransactionWithStatusMeta { transaction, meta };
    if !is_sound(&complete) {
        return Err(lost());
    }
    Ok(complete)
}

/// Whether all accounts that an instruction names are among so many.
pub(super) fn fits(instruction: &CompiledInstruction, accounts: usize) -> bool {
    let mut named = instruction.accounts.iter().chain([&instruction.program_id_index]);
    named.all(|index| usize::from(*index) < accounts)
}

/// Whether all accounts that instructions name are there: the encoders rely on it.
fn is_sound(complete: &VersionedTransactionWithStatusMeta) -> bool {
    let accounts = complete.account_keys().len();
    let inner = complete.meta.inner_instructions.iter().flatten();
    let inner = inner.flat_map(|all| all.instructions.iter().map(|inner| &inner.instruction));
    let mut all = complete.transaction.message.instructions().iter().chain(inner);
    !complete.transaction.signatures.is_empty() && all.all(|one| fits(one, accounts))
}
