//! What a block is to Solana's programs.

use crate::{KIND, account::NEVER, blockhash, gateway, program::Runtime};
use hashbrown::HashMap;
use polity_kernel::{BlockContext, Halt};
use polity_types::B256;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_clock::Clock;
use solana_epoch_rewards::EpochRewards;
use solana_epoch_schedule::EpochSchedule;
use solana_hash::Hash;
use solana_last_restart_slot::LastRestartSlot;
use solana_nonce::state::DurableNonce;
use solana_program_runtime::sysvar_cache::SysvarCache;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::sysvar;
use solana_slot_hashes::SlotHashes;
use solana_stake_history::StakeHistory;
#[expect(deprecated, reason = "programs of the past read it")]
use solana_sysvar::recent_blockhashes::{IterItem, RecentBlockhashes};
use std::{any::Any, sync::Arc};

/// For how many blocks a transaction may name a block's hash.
pub const MAX_AGE: usize = 150;

/// How many ancestors [`BlockInput`] may have at most: as many as the sysvar
/// `SlotHashes` shows.
pub const MAX_ANCESTORS: usize = 512;

/// Lamports per signature.
pub const LAMPORTS_PER_SIGNATURE: u64 = 5000;

/// The sysvars that a block has an account of.
pub const SYSVARS: [Pubkey; 8] = [
    sysvar::clock::ID,
    sysvar::rent::ID,
    sysvar::epoch_schedule::ID,
    sysvar::epoch_rewards::ID,
    sysvar::last_restart_slot::ID,
    sysvar::slot_hashes::ID,
    sysvar::stake_history::ID,
    sysvar::recent_blockhashes::ID,
];

/// What the Solana machine needs of a block beside what every machine knows.
#[derive(Clone, Debug, Default)]
pub struct BlockInput {
    /// The hashes of the ancestors, that of the parent first.
    pub ancestors: Arc<[B256]>,
}

impl BlockInput {
    /// A block's context with the input.
    #[must_use]
    pub fn in_context(self, mut context: BlockContext) -> BlockContext {
        context.inputs = context.inputs.with(KIND, self);
        context
    }
}

/// What is the same for all transactions of a block.
pub(crate) struct Environment {
    pub(crate) slot: u64,
    pub(crate) rent: Rent,
    pub(crate) slot_hashes: SlotHashes,
    pub(crate) sysvars: SysvarCache,
    /// The parent's hash.
    pub(crate) blockhash: Hash,
    /// What an advanced nonce becomes in this block.
    pub(crate) next_nonce: DurableNonce,
    recent: HashMap<Hash, u64>,
    accounts: HashMap<Pubkey, AccountSharedData>,
}

impl Environment {
    fn new(block: &BlockContext, input: &BlockInput) -> Self {
        let slot = block.number;
        let schedule = EpochSchedule::without_warmup();
        let epoch = schedule.get_epoch(slot);
        let clock = Clock {
            slot,
            epoch_start_timestamp: 0,
            epoch,
            leader_schedule_epoch: schedule.get_leader_schedule_epoch(slot),
            unix_timestamp: i64::try_from(block.timestamp).unwrap_or(i64::MAX),
        };
        let numbered = || (0..slot).rev().zip(input.ancestors.iter().map(blockhash));
        let slot_hashes: Vec<_> = numbered().take(MAX_ANCESTORS).collect();
        let slot_hashes = SlotHashes::new(&slot_hashes);
        let recent = numbered().take(MAX_AGE).map(|(number, hash)| (hash, number)).collect();
        let parent = input.ancestors.first().map(blockhash).unwrap_or_default();
        let rent = Rent::default();
        let mut accounts = HashMap::new();
        let mut add = |id: Pubkey, data: Vec<u8>| {
            let lamports = rent.minimum_balance(data.len());
            let data = Arc::new(data);
            let account = AccountSharedData::create_from_existing_shared_data(
                lamports,
                data,
                sysvar::ID,
                false,
                NEVER,
            );
            accounts.insert(id, account);
        };
        add(sysvar::clock::ID, encoded(&clock));
        add(sysvar::rent::ID, encoded(&rent));
        add(sysvar::epoch_schedule::ID, encoded(&schedule));
        add(sysvar::epoch_rewards::ID, encoded(&EpochRewards::default()));
        add(sysvar::last_restart_slot::ID, encoded(&LastRestartSlot::default()));
        add(sysvar::slot_hashes::ID, padded(encoded(&slot_hashes), SLOT_HASHES));
        add(sysvar::stake_history::ID, padded(encoded(&StakeHistory::default()), STAKE_HISTORY));
        add(sysvar::recent_blockhashes::ID, padded(recent_blockhashes(input), BLOCKHASHES));
        let builtins = Runtime::get().accounts();
        accounts.extend(builtins.map(|(address, account)| (*address, account.clone())));
        accounts.insert(gateway::vault(), gateway::vault_account());
        let mut sysvars = SysvarCache::default();
        sysvars.fill_missing_entries(|id, set| {
            if let Some(account) = accounts.get(id) {
                set(account.data());
            }
        });
        Self {
            slot,
            rent,
            slot_hashes,
            sysvars,
            blockhash: parent,
            next_nonce: DurableNonce::from_blockhash(&parent),
            recent,
            accounts,
        }
    }

    /// The height of the block with this hash, if a transaction may still name it.
    pub(crate) fn age(&self, hash: &Hash) -> Option<u64> {
        self.recent.get(hash).copied()
    }

    /// The account of a sysvar or of a program that is built in: what is in no state.
    pub(crate) fn account(&self, address: &Pubkey) -> Option<&AccountSharedData> {
        self.accounts.get(address)
    }
}

/// The bytes of sysvars that are lists, however long these are: programs read them
/// whole.
const SLOT_HASHES: usize = 20_488;
const STAKE_HISTORY: usize = 16_392;
const BLOCKHASHES: usize = 6_008;

fn padded(mut data: Vec<u8>, len: usize) -> Vec<u8> {
    data.resize(len.max(data.len()), 0);
    data
}

/// Sysvars of plain numbers and lists always have an encoding.
fn encoded<T: wincode::SchemaWrite<wincode::config::DefaultConfig, Src = T>>(value: &T) -> Vec<u8> {
    wincode::serialize(value).unwrap_or_default()
}

#[expect(deprecated, reason = "programs of the past read it")]
fn recent_blockhashes(input: &BlockInput) -> Vec<u8> {
    let hashes: Vec<Hash> = input.ancestors.iter().take(MAX_AGE).map(blockhash).collect();
    let items = hashes.iter().zip((0..hashes.len() as u64).rev());
    let items = items.map(|(hash, age)| IterItem(age, hash, LAMPORTS_PER_SIGNATURE));
    let recent: RecentBlockhashes = items.collect();
    encoded(&recent)
}

/// The environment of the last block that a session was in.
#[derive(Default)]
pub(crate) struct Environments(Option<(Key, Arc<Environment>)>);

struct Key {
    number: u64,
    timestamp: u64,
    input: Arc<dyn Any + Send + Sync>,
}

impl Environments {
    pub(crate) fn of(&mut self, block: &BlockContext) -> Result<Arc<Environment>, Halt> {
        let shared = block.inputs.shared(KIND).ok_or_else(|| {
            Halt::Fault(format!("block {} has no input for the Solana machine", block.number))
        })?;
        if let Some((key, environment)) = &self.0
            && key.number == block.number
            && key.timestamp == block.timestamp
            && Arc::ptr_eq(&key.input, shared)
        {
            return Ok(environment.clone());
        }
        let input = shared
            .downcast_ref()
            .ok_or_else(|| Halt::Fault("the Solana machine's input is of another type".into()))?;
        let environment = Arc::new(Environment::new(block, input));
        let key = Key { number: block.number, timestamp: block.timestamp, input: shared.clone() };
        self.0 = Some((key, environment.clone()));
        Ok(environment)
    }
}

/// The account that a block shows at the address of a sysvar; `None` for every
/// other address.
///
/// # Errors
/// A block without an input for this machine.
pub fn sysvar_account(
    block: &BlockContext,
    address: &Pubkey,
) -> Result<Option<AccountSharedData>, Halt> {
    if !SYSVARS.contains(address) {
        return Ok(None);
    }
    Ok(Environments::default().of(block)?.account(address).cloned())
}
