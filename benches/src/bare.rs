//! The other side: revm as its users run it.
//!
//! One `Context::mainnet().build_mainnet()` for the block over a `CacheDB` that holds the whole
//! pre-state; per transaction `transact` and `commit`, and a receipt of status, gas and logs. The
//! block's begin and end as Ethereum has them: the system calls, rewards and withdrawals.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_primitives::{Bytes, Log, U256};
use eyre::{OptionExt, bail, eyre};
use polity_engine::{Block, Overlay};
use polity_evm::{
    BlockInput, KIND, Transaction, rewards,
    spec::{ChainSpec, Fork},
};
use polity_kernel::View;
use revm::{
    Context, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext, SystemCallCommitEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, ContextTr, JournalTr, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    database::{AccountState, CacheDB, EmptyDB},
    state::AccountInfo,
};

/// revm's database in memory.
pub(crate) type Database = CacheDB<EmptyDB>;

/// A block in revm's words.
pub(crate) struct BareBlock {
    cfg: CfgEnv,
    env: BlockEnv,
    transactions: Vec<TxEnv>,
    fork: Fork,
    input: BlockInput,
}

/// What is kept of a transaction.
pub(crate) struct BareReceipt {
    pub(crate) success: bool,
    pub(crate) gas_used: u64,
    pub(crate) logs: Vec<Log>,
}

impl BareBlock {
    pub(crate) fn new(spec: &ChainSpec, fork: Fork, block: &Block) -> eyre::Result<Self> {
        let context = &block.context;
        let input: &BlockInput =
            context.inputs.get(KIND).ok_or_eyre("the block has no input for Ethereum")?;
        let mut cfg = CfgEnv::new_with_spec(fork.spec_id()?);
        cfg.chain_id = context.chain_id;
        let blobs = spec.blob_params(fork);
        cfg.max_blobs_per_tx = blobs.map(|blobs| blobs.max_blobs_per_tx);
        let fraction = blobs.map(|blobs| u64::try_from(blobs.update_fraction)).transpose()?;
        cfg.blob_base_fee_update_fraction = fraction;
        let env = BlockEnv {
            number: U256::from(context.number),
            beneficiary: context.beneficiary.short_address(),
            timestamp: U256::from(context.timestamp),
            gas_limit: input.gas_limit,
            basefee: input.base_fee,
            difficulty: input.difficulty,
            prevrandao: (fork >= Fork::Paris).then_some(context.randomness),
            blob_excess_gas_and_price: fraction.map(|fraction| {
                BlobExcessGasAndPrice::new(input.excess_blob_gas.unwrap_or_default(), fraction)
            }),
            slot_num: 0,
        };
        let transactions = block
            .transactions
            .iter()
            .map(|tx| Ok(tx.payload::<Transaction>().ok_or_eyre("not Ethereum's")?.env.clone()))
            .collect::<eyre::Result<_>>()?;
        Ok(Self { cfg, env, transactions, fork, input: input.clone() })
    }

    /// Executes the block on `database`, which holds the state after it then.
    pub(crate) fn execute(
        &self,
        transactions: Vec<TxEnv>,
        database: &mut Database,
    ) -> eyre::Result<Vec<BareReceipt>> {
        let mut evm = Context::mainnet()
            .with_db(database)
            .with_block(self.env.clone())
            .with_cfg(self.cfg.clone())
            .build_mainnet();
        let input = &self.input;
        let whole = !input.transactions_only;
        if whole
            && self.fork >= Fork::Cancun
            && let Some(root) = input.parent_beacon_root
        {
            evm.system_call_commit(BEACON_ROOTS_ADDRESS, root.into())?;
        }
        if whole && self.fork >= Fork::Prague {
            evm.system_call_commit(HISTORY_STORAGE_ADDRESS, input.parent_hash.into())?;
        }
        let mut receipts = Vec::with_capacity(transactions.len());
        for (index, tx) in transactions.into_iter().enumerate() {
            let executed = evm.transact(tx).map_err(|error| eyre!("{index}: {error}"))?;
            evm.ctx.journal_mut().db_mut().commit(executed.state);
            receipts.push(BareReceipt {
                success: executed.result.is_success(),
                gas_used: executed.result.tx_gas_used(),
                logs: executed.result.into_logs(),
            });
        }
        if !whole {
            return Ok(receipts);
        }
        if self.fork >= Fork::Prague {
            for contract in
                [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS]
            {
                evm.system_call_commit(contract, Bytes::new())?;
            }
        }
        let number = u64::try_from(self.env.number)?;
        let database = evm.ctx.journal_mut().db_mut();
        let rewards =
            rewards::block_rewards(self.fork, number, self.env.beneficiary, &input.ommers);
        for (address, wei) in rewards.into_iter().chain(rewards::withdrawals(&input.withdrawals)) {
            let account = database.load_account(address)?;
            account.info.balance = account.info.balance.saturating_add(wei);
            if account.account_state == AccountState::NotExisting && !wei.is_zero() {
                account.account_state = AccountState::Touched;
            }
        }
        Ok(receipts)
    }

    /// The transactions, for [`BareBlock::execute`] to consume.
    pub(crate) fn transactions(&self) -> Vec<TxEnv> {
        self.transactions.clone()
    }
}

/// The same state in revm's database.
pub(crate) fn database(state: &Overlay<'_>, number: u64) -> eyre::Result<Database> {
    let mut database = Database::new(EmptyDB::default());
    for (id, record) in state.accounts() {
        let Some(record) = record else { continue };
        let address = id.short_address();
        let code = match record.code {
            Some(code) => Some(Bytecode::new_raw(state.code(&code.hash)?.bytes().clone())),
            None => None,
        };
        let info = AccountInfo {
            balance: record.balance,
            nonce: record.sequence,
            code_hash: record.code.map_or(revm::primitives::KECCAK_EMPTY, |code| code.hash),
            code,
            account_id: None,
        };
        database.insert_account_info(address, info);
        for (key, value) in state.slots(id) {
            let (polity_types::Name::Word(slot), Some(value)) = (&key.name, value.as_word()) else {
                bail!("{address} has a slot that is no word");
            };
            database.insert_account_storage(address, *slot, value)?;
        }
    }
    for ancestor in number.saturating_sub(256)..number {
        if let Ok(hash) = state.block_hash(ancestor) {
            database.cache.block_hashes.insert(U256::from(ancestor), hash);
        }
    }
    Ok(database)
}
