//! The sequential engine against bare revm: every receipt and every account.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod common;

use alloy_primitives::Address;
use common::bare::{Bare, mainnet};
use polity_engine::{Overlay, Sequential};
use polity_evm::{Transaction, account};
use polity_kernel::View;
use polity_replay::{BlockFolder, Replay};
use polity_types::LocalKey;
use revm::{context::result::ExecutionResult, inspector::NoOpInspector};

fn compare(folder: &BlockFolder) {
    let replay = Replay::new(folder).unwrap();
    let number = replay.number;
    let output = replay.execute(&mut Sequential::new()).unwrap();
    let mut bare_revm = Bare::new(folder, &replay, NoOpInspector);

    let mut ours = Overlay::over(&replay.state);
    for begin in &output.begin {
        ours.apply(&begin.effects).unwrap();
    }
    for (index, (tx, output)) in
        replay.block.transactions.iter().zip(&output.transactions).enumerate()
    {
        let at = format!("block {number}, transaction {index} ({})", tx.hash);
        let env = tx.payload::<Transaction>().unwrap().env.clone();
        let (bare, _) = bare_revm.inspect(env, NoOpInspector);
        let receipt = &output.receipt;
        assert_eq!(receipt.gas_used, bare.result.tx_gas_used(), "{at}: gas");
        assert_eq!(receipt.status.is_success(), bare.result.is_success(), "{at}: status");
        assert_eq!(polity_evm::logs(&output.effects.events), bare.result.logs(), "{at}: logs");
        if let ExecutionResult::Success { output: bare, .. } = &bare.result {
            assert_eq!(&receipt.output, bare.data(), "{at}: output");
        }
        ours.apply(&output.effects).unwrap();
        bare_revm.commit(bare.state.clone());
        let database = bare_revm.database();
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
