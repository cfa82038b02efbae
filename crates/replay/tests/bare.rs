//! The sequential engine against bare revm: every receipt and every account.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use alloy_primitives::{Address, B256, U256};
use polity_engine::{Overlay, Sequential};
use polity_evm::{Transaction, account};
use polity_kernel::View;
use polity_replay::{BlockFolder, FolderBlock, Library, Replay, data_root, discover};
use polity_types::LocalKey;
use revm::{
    Context, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext, SystemCallCommitEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, result::ExecutionResult},
    context_interface::block::BlobExcessGasAndPrice,
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::AccountInfo,
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

fn compare(folder: &BlockFolder) {
    let replay = Replay::new(folder).unwrap();
    let number = replay.number;
    let output = replay.execute(&mut Sequential::new()).unwrap();
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
        .build_mainnet();
    if let Some(root) = beacon_root {
        let contract = alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
        if folder.pre_state.contains_key(&contract) {
            evm.system_call_commit(contract, root.into()).unwrap();
        }
    }
    assert!(spec < SpecId::PRAGUE || parent_hash.is_zero(), "add EIP-2935 here");

    let mut ours = Overlay::over(&replay.state);
    for begin in &output.begin {
        ours.apply(&begin.effects).unwrap();
    }
    for (index, (tx, output)) in
        replay.block.transactions.iter().zip(&output.transactions).enumerate()
    {
        let at = format!("block {number}, transaction {index} ({})", tx.hash);
        let env = tx.payload::<Transaction>().unwrap().env.clone();
        let bare = evm.transact(env).unwrap();
        let receipt = &output.receipt;
        assert_eq!(receipt.gas_used, bare.result.tx_gas_used(), "{at}: gas");
        assert_eq!(receipt.status.is_success(), bare.result.is_success(), "{at}: status");
        assert_eq!(polity_evm::logs(&output.effects.events), bare.result.logs(), "{at}: logs");
        if let ExecutionResult::Success { output: bare, .. } = &bare.result {
            assert_eq!(&receipt.output, bare.data(), "{at}: output");
        }
        ours.apply(&output.effects).unwrap();
        use revm::context_interface::{ContextTr, JournalTr};
        let database = evm.ctx.journal_mut().db_mut();
        database.commit(bare.state.clone());
        let mut addresses: Vec<&Address> = bare.state.keys().collect();
        addresses.sort();
        for address in addresses {
            let bare_account = database.cache.accounts.get(address);
            let theirs = bare_account.and_then(|account| account.info()).unwrap_or_default();
            let record = ours.account(&account(*address)).unwrap().unwrap_or_default();
            assert_eq!(record.balance, theirs.balance, "{at}: balance of {address}");
            assert_eq!(record.sequence, theirs.nonce, "{at}: nonce of {address}");
            let code = record.code.map_or(alloy_primitives::KECCAK256_EMPTY, |code| code.hash);
            assert_eq!(code, theirs.code_hash, "{at}: code of {address}");
            for (slot, value) in bare_account.into_iter().flat_map(|account| &account.storage) {
                let ours = ours.slot(&account(*address), &LocalKey::storage(*slot)).unwrap();
                assert_eq!(ours.as_word(), Some(*value), "{at}: slot {slot} of {address}");
            }
        }
    }
}

fn mainnet() -> Option<Vec<BlockFolder>> {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return None;
    };
    let library = Library::new();
    let folders = discover([root.join("mainnet")]).unwrap();
    Some(folders.iter().map(|folder| library.open(folder).unwrap()).collect())
}

#[test]
fn every_block_equals_bare_revm() {
    for folder in mainnet().unwrap_or_default() {
        compare(&folder);
    }
}

// One engine from Frontier to Prague: nothing of a block may reach the next.
#[test]
fn every_block_equals_its_header() {
    let mut engine = Sequential::new();
    for folder in mainnet().unwrap_or_default() {
        let replay = Replay::new(&folder).unwrap();
        let output = replay.execute(&mut engine).unwrap();
        let verdict = replay.verdict(&output).unwrap();
        assert!(verdict.is_equal(), "block {}: {verdict:?}", replay.number);
    }
}
