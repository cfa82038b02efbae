//! Bare revm beside the kernel: the same block on revm's own journal and database.

use std::mem;

use alloy_primitives::{B256, U256};
use polity_replay::{BlockFolder, FolderBlock, Library, Replay, data_root, discover};
use revm::{
    Context, DatabaseCommit, InspectEvm, Inspector, MainBuilder, MainContext, SystemCallCommitEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        ContextTr, JournalTr, block::BlobExcessGasAndPrice, result::ResultAndState,
    },
    database::{CacheDB, EmptyDB},
    handler::{MainnetContext, MainnetEvm},
    primitives::hardfork::SpecId,
    state::{AccountInfo, EvmState},
};

/// The folder's state in revm's own database.
fn database(folder: &BlockFolder) -> CacheDB<EmptyDB> {
    let mut database = CacheDB::new(EmptyDB::default());
    for (address, pre) in &folder.pre_state {
        let code = pre.code_hash.and_then(|hash| folder.codes.get(&hash));
        let code = code.map(|code| Bytecode::new_raw(code.clone()));
        database.insert_account_info(
            *address,
            AccountInfo {
                balance: pre.balance,
                nonce: pre.nonce,
                code_hash: pre.code_hash(),
                code,
                account_id: None,
            },
        );
        for (slot, value) in &pre.storage {
            database.insert_account_storage(*address, *slot, *value).unwrap();
        }
    }
    for (number, hash) in &folder.block_hashes {
        database.cache.block_hashes.insert(U256::from(*number), *hash);
    }
    database
}

pub(crate) type Database = CacheDB<EmptyDB>;

/// revm after what Ethereum does at the begin of the folder's block.
pub(crate) struct Bare<I>(MainnetEvm<MainnetContext<Database>, I>);

impl<I: Inspector<MainnetContext<Database>>> Bare<I> {
    pub(crate) fn new(folder: &BlockFolder, replay: &Replay, inspector: I) -> Self {
        let number = replay.number;
        let spec = replay.fork.spec_id().unwrap();
        let env = &replay.block.context;
        let mut block = BlockEnv {
            number: U256::from(number),
            timestamp: U256::from(env.timestamp),
            beneficiary: env.beneficiary.short_address(),
            prevrandao: Some(env.randomness),
            ..BlockEnv::default()
        };
        let (excess, parent_hash, beacon_root) = match &folder.block {
            FolderBlock::Full(full) => {
                block.gas_limit = full.header.gas_limit;
                block.basefee = full.header.base_fee_per_gas.unwrap_or_default();
                block.difficulty = full.header.difficulty;
                let root = full.header.parent_beacon_block_root;
                (full.header.excess_blob_gas, full.header.parent_hash, root)
            }
            FolderBlock::Flat(flat) => {
                block.gas_limit = flat.env.gas_limit;
                block.basefee = flat.env.base_fee;
                (flat.env.excess_blob_gas, B256::ZERO, None)
            }
        };
        let fraction = if spec >= SpecId::PRAGUE { 5_007_716 } else { 3_338_477 };
        block.blob_excess_gas_and_price =
            excess.map(|excess| BlobExcessGasAndPrice::new(excess, fraction));
        let mut cfg = CfgEnv::new_with_spec(spec);
        cfg.chain_id = env.chain_id;
        let mut evm = Context::mainnet()
            .with_db(database(folder))
            .with_block(block)
            .with_cfg(cfg)
            .build_mainnet_with_inspector(inspector);
        if let Some(root) = beacon_root {
            let contract = alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
            if folder.pre_state.contains_key(&contract) {
                evm.system_call_commit(contract, root.into()).unwrap();
            }
        }
        assert!(spec < SpecId::PRAGUE || parent_hash.is_zero(), "add EIP-2935 here");
        Self(evm)
    }

    /// The outcome of a transaction, which changes nothing yet.
    pub(crate) fn inspect(&mut self, tx: TxEnv, inspector: I) -> (ResultAndState, I) {
        let before = mem::replace(&mut self.0.inspector, inspector);
        let outcome = self.0.inspect_tx(tx).unwrap();
        (outcome, mem::replace(&mut self.0.inspector, before))
    }

    pub(crate) fn commit(&mut self, state: EvmState) {
        self.0.ctx.journal_mut().db_mut().commit(state);
    }

    pub(crate) fn database(&self) -> &Database {
        self.0.ctx.journal().db()
    }
}

/// The blocks of mainnet.
pub(crate) fn mainnet() -> Option<Vec<BlockFolder>> {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return None;
    };
    let library = Library::new();
    let folders = discover([root.join("mainnet")]).unwrap();
    Some(folders.iter().map(|folder| library.open(folder).unwrap()).collect())
}
