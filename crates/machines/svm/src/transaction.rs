use crate::{
    KIND, account, account::head_key, block::LAMPORTS_PER_SIGNATURE, features, precompiles,
    transfer::Transfers,
};
use agave_reserved_account_keys::ReservedAccountKeys;
use polity_kernel::{DecodeError, Decoded, Hint};
use polity_types::B256;
use sha2::{Digest, Sha256};
use solana_compute_budget_instruction::compute_budget_instruction_details::ComputeBudgetInstructionDetails;
use solana_hash::Hash;
use solana_message::{
    LegacyMessage, SanitizedMessage, VersionedMessage,
    v0::{LoadedAddresses, LoadedMessage},
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_svm_transaction::instruction::SVMInstruction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use std::{collections::HashSet, sync::LazyLock};

/// The most bytes of a transaction: what fits into a packet.
pub const MAX_SIZE: usize = 1232;

/// The most accounts that a transaction may name.
const MAX_ACCOUNTS: usize = 64;

/// The most instructions of a transaction.
const MAX_INSTRUCTIONS: usize = 64;

/// Accounts that no transaction may write, whatever it asks for.
static RESERVED: LazyLock<HashSet<Pubkey>> =
    LazyLock::new(|| ReservedAccountKeys::new_all_activated().active);

/// A transaction in the form in which the machine executes it: the payload of a
/// [`Decoded`].
#[derive(Clone, Debug)]
pub struct Transaction {
    /// As its sender signed it.
    pub versioned: VersionedTransaction,
    /// The hash of what was signed.
    pub message_hash: Hash,
    /// With all accounts, unless some are still to be looked up in tables.
    message: Option<SanitizedMessage>,
    limits: Result<Limits, TransactionError>,
    pub(crate) fee: Fee,
    /// What it is, if it only transfers lamports.
    pub(crate) transfers: Option<Transfers>,
    waiver: Waiver,
}

/// The checks that a transaction is spared which no chain takes over. Takes
/// effect only through [`Unsigned::transaction`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiver {
    /// Whatever blockhash it names, and whether or not it was executed before.
    pub age: bool,
}

/// The power to execute a transaction whose signatures nobody checks: of a
/// simulation, or for a transaction that was authenticated before it was stored.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned(());

impl Unsigned {
    /// For a run whose result no chain takes over.
    pub const fn for_simulation() -> Self {
        Self(())
    }

    /// For a transaction that was decoded once and stored.
    pub const fn authenticated() -> Self {
        Self(())
    }

    /// A transaction that is spared its signatures and what the waiver says.
    ///
    /// # Errors
    /// It is malformed.
    pub fn transaction(
        self,
        versioned: VersionedTransaction,
        waiver: Waiver,
    ) -> Result<Decoded, DecodeError> {
        let message_hash = versioned.message.hash();
        decoded(versioned, message_hash, waiver)
    }

    /// The transaction with these bytes, without a look at its signatures.
    ///
    /// # Errors
    /// It is malformed.
    pub fn decode(self, raw: &[u8]) -> Result<Decoded, DecodeError> {
        self.transaction(parse(raw)?, Waiver::default())
    }
}

impl Transaction {
    /// The first signature: what the transaction is known by.
    pub fn signature(&self) -> Signature {
        self.versioned.signatures.first().copied().unwrap_or_default()
    }

    /// The accounts that it names itself: without those in look-up tables.
    pub fn static_accounts(&self) -> &[Pubkey] {
        self.versioned.message.static_account_keys()
    }

    /// Lamports that it pays to be in a block.
    ///
    /// # Errors
    /// What it asks for contradicts itself.
    pub fn fee(&self) -> Result<u64, TransactionError> {
        self.limits().map(|_| self.fee.total())
    }

    pub(crate) const fn waiver(&self) -> Waiver {
        self.waiver
    }

    /// Why no block takes it, whatever the state is: it asks for limits that cannot be.
    pub fn refusal(&self) -> Option<TransactionError> {
        self.limits().err()
    }

    /// What it asks for, if it asks rightly.
    pub(crate) fn limits(&self) -> Result<&Limits, TransactionError> {
        self.limits.as_ref().map_err(Clone::clone)
    }

    pub(crate) const fn message(&self) -> Option<&SanitizedMessage> {
        self.message.as_ref()
    }

    /// The message with the accounts that were found in look-up tables.
    pub(crate) fn resolved(&self, loaded: LoadedAddresses) -> Option<SanitizedMessage> {
        let VersionedMessage::V0(message) = &self.versioned.message else { return None };
        Some(SanitizedMessage::V0(LoadedMessage::new(message.clone(), loaded, &RESERVED)))
    }
}

/// What transactions are known by here: a hash of the first signature, which
/// is too long itself.
pub fn transaction_hash(signature: &Signature) -> B256 {
    B256::new(Sha256::digest(signature.as_ref()).into())
}

/// The transaction with these bytes in Solana's wire format.
///
/// # Errors
/// The bytes are too many or no transaction.
pub fn parse(raw: &[u8]) -> Result<VersionedTransaction, DecodeError> {
    if raw.len() > MAX_SIZE {
        let reason = format!("{} bytes, {MAX_SIZE} are the most", raw.len());
        return Err(DecodeError::Malformed(reason));
    }
    wincode::deserialize_exact(raw).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// Decodes a transaction from its bytes and checks its signatures.
///
/// # Errors
/// It is malformed, or a signature is not good.
pub fn decode(raw: &[u8]) -> Result<Decoded, DecodeError> {
    let versioned = parse(raw)?;
    sanitize(&versioned)?;
    let message_hash = versioned
        .verify_and_hash_message()
        .map_err(|error| DecodeError::Signature(error.to_string()))?;
    decoded(versioned, message_hash, Waiver::default())
}

fn sanitize(versioned: &VersionedTransaction) -> Result<(), DecodeError> {
    let malformed = |reason: String| Err(DecodeError::Malformed(reason));
    if matches!(versioned.message, VersionedMessage::V1(_)) {
        return malformed("transactions of version 1 are not enabled".into());
    }
    if let Err(error) = versioned.sanitize() {
        return malformed(error.to_string());
    }
    if versioned.message.instructions().len() > MAX_INSTRUCTIONS {
        return malformed(format!("more than {MAX_INSTRUCTIONS} instructions"));
    }
    Ok(())
}

fn decoded(
    versioned: VersionedTransaction,
    message_hash: Hash,
    waiver: Waiver,
) -> Result<Decoded, DecodeError> {
    sanitize(&versioned)?;
    let signature = versioned.signatures.first().copied().unwrap_or_default();
    let payer = versioned.message.static_account_keys().first().copied().unwrap_or_default();
    let lookups = versioned.message.address_table_lookups().is_some_and(|all| !all.is_empty());
    let message = match &versioned.message {
        VersionedMessage::Legacy(message) => {
            Some(SanitizedMessage::Legacy(LegacyMessage::new(message.clone(), &RESERVED)))
        }
        VersionedMessage::V0(message) if !lookups => Some(SanitizedMessage::V0(
            LoadedMessage::new(message.clone(), LoadedAddresses::default(), &RESERVED),
        )),
        _ => None,
    };
    let hints = hints(&versioned.message);
    let limits = Limits::of(&versioned.message);
    let gas_limit = limits.as_ref().map_or(0, |limits| limits.compute_units);
    let fee = Fee::of(&versioned.message, limits.as_ref().map_or(0, |limits| limits.priority_fee));
    let transfers = message.as_ref().zip(limits.as_ref().ok());
    let transfers = transfers.and_then(|(message, limits)| Transfers::of(message, limits));
    let transaction =
        Transaction { versioned, message_hash, message, limits, fee, transfers, waiver };
    let hash = transaction_hash(&signature);
    Ok(Decoded::new(KIND, hash, account(&payer), 0, gas_limit, transaction).with_hints(hints))
}

/// The accounts that are written, but for the payer: what transactions of
/// different senders may conflict over.
fn hints(message: &VersionedMessage) -> Vec<Hint> {
    let keys = message.static_account_keys().iter().enumerate().skip(1);
    let written = keys.filter(|(index, _)| {
        message.is_maybe_writable_with_reserved_addresses(*index, Some(&*RESERVED))
    });
    written.map(|(_, key)| Hint { account: account(key), key: Some(head_key()) }).collect()
}

/// What a transaction asks for itself.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) compute_units: u64,
    pub(crate) heap_bytes: u32,
    pub(crate) loaded_bytes: usize,
    /// Lamports for whoever makes the block.
    priority_fee: u64,
}

impl Limits {
    fn of(message: &VersionedMessage) -> Result<Self, TransactionError> {
        let limits = ComputeBudgetInstructionDetails::try_from(instructions(message))?
            .sanitize_and_convert_to_compute_budget_limits(features())?;
        Ok(Self {
            compute_units: u64::from(limits.compute_unit_limit),
            heap_bytes: limits.updated_heap_bytes,
            loaded_bytes: limits.loaded_accounts_bytes.get() as usize,
            priority_fee: limits.get_prioritization_fee(),
        })
    }
}

/// The instructions with their programs, which a transaction always names itself.
fn instructions(
    message: &VersionedMessage,
) -> impl Iterator<Item = (&Pubkey, SVMInstruction<'_>)> + Clone {
    let keys = message.static_account_keys();
    message.instructions().iter().filter_map(|instruction| {
        let program = keys.get(usize::from(instruction.program_id_index))?;
        Some((program, SVMInstruction::from(instruction)))
    })
}

/// What a transaction pays, in lamports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fee {
    /// For signatures; it is burnt.
    pub(crate) base: u64,
    /// For being preferred; whoever makes the block earns it.
    pub(crate) priority: u64,
}

impl Fee {
    fn of(message: &VersionedMessage, priority: u64) -> Self {
        let own = u64::from(message.header().num_required_signatures);
        // The first byte of a precompile's data says how many signatures it checks.
        let checked = instructions(message)
            .filter(|(program, _)| precompiles::ALL.contains(program))
            .map(|(_, instruction)| u64::from(instruction.data.first().copied().unwrap_or(0)));
        let signatures = checked.fold(own, u64::saturating_add);
        Self { base: signatures.saturating_mul(LAMPORTS_PER_SIGNATURE), priority }
    }

    pub(crate) fn total(&self) -> u64 {
        self.base.saturating_add(self.priority)
    }
}

/// Whether the accounts can be locked: not too many, and none twice.
pub(crate) fn check_locks(message: &SanitizedMessage) -> Result<(), TransactionError> {
    if message.has_duplicates() {
        return Err(TransactionError::AccountLoadedTwice);
    }
    if message.account_keys().len() > MAX_ACCOUNTS {
        return Err(TransactionError::TooManyAccountLocks);
    }
    Ok(())
}
