//! Small tests made here, through files and the whole runner.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

use std::{fs, path::PathBuf, sync::Mutex};

use alloy_consensus::{Block, EthereumTxEnvelope, Header, TxEip4844};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{TrieAccount, root::state_root_unhashed};
use polity_conformance::{Execute, Options, Progress, Report, junit, run};
use polity_engine::{Block as EngineBlock, BlockError, BlockOutput, Sequential};
use polity_evm::{
    header::expected_difficulty,
    spec::{Fork, Network},
};
use polity_kernel::{Machines, View};
use serde_json::{Value, json};

const SENDER: Address = Address::repeat_byte(0xaa);
const TARGET: Address = Address::repeat_byte(0xbb);
const MINER: Address = Address::repeat_byte(0xcc);
const ETHER: u64 = 1_000_000_000_000_000_000;

/// The root of a state of accounts without code and storage.
fn root(accounts: &[(Address, u64, u64)]) -> B256 {
    state_root_unhashed(accounts.iter().map(|(address, nonce, balance)| {
        let account =
            TrieAccount { nonce: *nonce, balance: U256::from(*balance), ..Default::default() };
        (*address, account)
    }))
}

/// A transfer of 7 wei, and what it leaves.
fn transfer() -> Value {
    let left = ETHER - 21_000 * 10 - 7;
    let accounts = [(SENDER, 1, left), (TARGET, 0, 7), (MINER, 0, 210_000)];
    json!({
        "env": {"currentCoinbase": MINER, "currentGasLimit": "0x0f4240", "currentNumber": "0x01",
            "currentTimestamp": "0x03e8", "currentDifficulty": "0x020000"},
        "pre": {SENDER.to_string(): {"balance": format!("{ETHER:#x}"), "nonce": "0x00", "code": "0x", "storage": {}}},
        "transaction": {"nonce": "0x00", "to": TARGET, "data": ["0x"], "gasLimit": ["0x5208", "0x5207"],
            "value": ["0x07"], "gasPrice": "0x0a", "sender": SENDER},
        "post": {"Berlin": [{"hash": root(&accounts), "logs": keccak256([0xc0]),
            "indexes": {"data": 0, "gas": 0, "value": 0}}]},
    })
}

/// The same with too little gas.
fn refused(exception: &str) -> Value {
    let mut test = transfer();
    let post = &mut test["post"]["Berlin"][0];
    post["indexes"]["gas"] = json!(1);
    // The beneficiary is touched, which is nothing after EIP-161.
    post["hash"] = json!(root(&[(SENDER, 0, ETHER)]));
    post["expectException"] = json!(exception);
    test
}

fn block(parent: &Header, timestamp: u64, change: impl FnOnce(&mut Header)) -> (Bytes, Header) {
    let spec = Network::parse("Frontier").unwrap();
    let number = parent.number + 1;
    let mut header = Header {
        parent_hash: parent.hash_slow(),
        beneficiary: MINER,
        state_root: root(&[(MINER, 0, 5 * ETHER * number)]),
        difficulty: expected_difficulty(&spec, Fork::Frontier, number, timestamp, parent),
        number,
        timestamp,
        gas_limit: parent.gas_limit,
        ..Header::default()
    };
    change(&mut header);
    let block = Block::<EthereumTxEnvelope<TxEip4844>>::uncle(header.clone());
    (alloy_rlp::encode(block).into(), header)
}

fn genesis() -> (Bytes, Header) {
    let block = |header| alloy_rlp::encode(Block::<EthereumTxEnvelope<TxEip4844>>::uncle(header));
    let header = Header {
        state_root: root(&[]),
        difficulty: U256::from(1_000_000),
        gas_limit: 1_000_000,
        ..Header::default()
    };
    (block(header.clone()).into(), header)
}

/// Two chains: A with one slow block, B with one fast and therefore heavier.
fn chains() -> Value {
    let (genesis_rlp, genesis) = genesis();
    let (slow_rlp, slow) = block(&genesis, 100, |_| {});
    let (fast_rlp, fast) = block(&genesis, 1, |_| {});
    let entry = |rlp: Bytes, header: Header| json!({"rlp": rlp, "blockHeader": {"hash": header.hash_slow()}});
    json!({
        "network": "Frontier", "genesisRLP": genesis_rlp, "pre": {},
        "blocks": [entry(slow_rlp, slow), entry(fast_rlp, fast.clone())],
        "lastblockhash": fast.hash_slow(),
        "postState": {MINER.to_string(): {"balance": format!("{:#x}", 5 * u128::from(ETHER)), "nonce": "0x00", "code": "0x", "storage": {}}},
    })
}

/// A chain to which one block is added that is not valid.
fn invalid(exception: &str, change: impl FnOnce(&mut Header)) -> Value {
    let mut test = chains();
    let (_, genesis) = genesis();
    let (_, parent) = block(&genesis, 1, |_| {});
    let (rlp, _) = block(&parent, 2, change);
    test["blocks"].as_array_mut().unwrap().push(json!({"rlp": rlp, "expectException": exception}));
    test
}

fn report_with(tests: &[(&str, Value)], options: &Options<'_>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    for (name, test) in tests {
        let path = folder.path().join(format!("{name}.json"));
        let mut file = json!({});
        file[*name] = test.clone();
        fs::write(path, file.to_string()).unwrap();
    }
    run(&[PathBuf::from(folder.path())], options).unwrap()
}

fn report(tests: &[(&str, Value)]) -> Report {
    report_with(tests, &Options::default())
}

/// What is said to differ in a single test that fails.
fn failure(test: Value) -> String {
    let report = report(&[("t", test)]);
    assert_eq!(report.failures.len(), 1, "{report:?}");
    report.failures[0].difference.to_string()
}

#[test]
fn what_is_as_expected_passes() {
    let report = report(&[
        ("transfer", transfer()),
        ("refused", refused("TransactionException.INTRINSIC_GAS_TOO_LOW")),
        ("refused by an old name", refused("TR_NoFundsOrGas")),
        ("chains", chains()),
        (
            "state",
            invalid("BlockException.INVALID_STATE_ROOT", |header| header.state_root = B256::ZERO),
        ),
        ("gas", invalid("BlockException.INVALID_GAS_USED", |header| header.gas_used = 1)),
        ("number", invalid("InvalidNumber", |header| header.number = 9)),
        ("parent", invalid("UnknownParent", |header| header.parent_hash = MINER.into_word())),
    ]);
    assert!(report.is_success(), "{:#?}", report.failures);
    assert_eq!(report.total().passed, 8);
}

#[test]
fn a_wrong_state_is_a_failure() {
    let mut test = transfer();
    test["post"]["Berlin"][0]["hash"] = json!(B256::ZERO);
    assert!(failure(test).starts_with("state root: expected 0x0000"));
    let mut test = transfer();
    test["post"]["Berlin"][0]["logs"] = json!(B256::ZERO);
    assert!(failure(test).starts_with("hash of the logs"));
    let mut test = transfer();
    test["post"]["Berlin"][0]["state"] = json!({});
    assert!(failure(test).ends_with("expected absent, found present"));
    let mut test = chains();
    test["postState"][MINER.to_string()]["balance"] = json!("0x01");
    assert!(failure(test).starts_with(&format!("balance of {MINER}")));
}

#[test]
fn an_exception_has_to_be_the_expected_one() {
    let found = failure(refused("TransactionException.NONCE_IS_MAX"));
    assert!(found.contains("found INTRINSIC_GAS_TOO_LOW"), "{found}");
    let mut included = transfer();
    included["post"]["Berlin"][0]["expectException"] = json!("TR_NoFunds");
    assert_eq!(failure(included), "transaction: expected TR_NoFunds, found included");
    let found = failure(invalid("InvalidNumber", |header| header.gas_used = 1));
    assert!(found.contains("found INVALID_GAS_USED"), "{found}");
    assert_eq!(
        failure(invalid("InvalidNumber", |_| {})),
        "block 3: expected InvalidNumber, found accepted"
    );
    let mut valid = chains();
    let (rlp, _) = block(&genesis().1, 5, |header| header.gas_limit = 1);
    valid["blocks"][0] = json!({"rlp": rlp, "blockHeader": {}});
    assert!(failure(valid).contains("INVALID_GASLIMIT"));
}

#[test]
fn the_heaviest_chain_is_the_last() {
    let mut test = chains();
    test["lastblockhash"] = json!(B256::ZERO);
    assert!(failure(test).starts_with("last block"));
}

#[test]
fn tests_that_cannot_run_are_failures_and_unreadable_ones_are_named() {
    let mut nowhere = transfer();
    nowhere["post"] = json!({"Nowhere": nowhere["post"]["Berlin"]});
    assert!(failure(nowhere).contains("unknown network or fork `Nowhere`"));
    let mut malformed = transfer();
    malformed["post"]["Berlin"][0]["hash"] = json!("0x12");
    let report =
        report(&[("malformed", malformed), ("transfer", transfer()), ("other", json!({"a": 1}))]);
    assert!(!report.is_success());
    assert_eq!((report.total().passed, report.ignored), (1, 1));
    let unreadable: Vec<&str> = report.unreadable().collect();
    assert!(unreadable[0].contains("malformed: at post.Berlin[0].hash"), "{unreadable:?}");
    assert!(junit(&report).contains("errors=\"1\""));
}

struct Panics;

impl Execute for Panics {
    fn block(
        &mut self,
        _: &Machines,
        _: &dyn View,
        _: &EngineBlock,
    ) -> Result<BlockOutput, BlockError> {
        panic!("on purpose");
    }
}

#[test]
fn a_panic_is_a_failure_of_its_test_alone() {
    let options = Options { engine: &|| Box::new(Panics), ..Options::default() };
    let report = report_with(&[("chains", chains()), ("transfer", transfer())], &options);
    assert_eq!((report.total().passed, report.total().failed), (1, 1));
    assert_eq!(report.failures[0].difference.found, "on purpose");
}

/// Notes how many transactions the blocks have, and forgets the output of blocks of one if told to.
struct Notes<'a> {
    sizes: &'a Mutex<Vec<usize>>,
    forgets: bool,
}

impl Execute for Notes<'_> {
    fn block(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &EngineBlock,
    ) -> Result<BlockOutput, BlockError> {
        self.sizes.lock().unwrap().push(block.transactions.len());
        let mut output = Sequential::new().execute(machines, view, block)?;
        if self.forgets {
            output.transactions.clear();
        }
        Ok(output)
    }
}

#[test]
fn state_tests_are_executed_in_blocks_where_asked() {
    static SIZES: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let run = |in_blocks, forgets| {
        SIZES.lock().unwrap().clear();
        let options = Options {
            engine: &move || Box::new(Notes { sizes: &SIZES, forgets }),
            state_tests_in_blocks: in_blocks,
            ..Options::default()
        };
        let report = report_with(&[("transfer", transfer())], &options);
        (report, SIZES.lock().unwrap().clone())
    };
    let (report, sizes) = run(false, true);
    assert_eq!((report.total().passed, sizes), (1, vec![]));
    let (report, sizes) = run(true, false);
    assert_eq!((report.total().passed, sizes), (1, vec![1, 3]));
    let (report, _) = run(true, true);
    assert_eq!(report.failures[0].difference.what, "in a block of its own");
}

#[test]
fn skips_filter_and_progress() {
    let mut skipped = transfer();
    skipped["post"] = json!({"Constantinople": skipped["post"]["Berlin"]});
    let seen = Mutex::new(Vec::new());
    let note = |progress: Progress| seen.lock().unwrap().push(progress);
    let options = Options { filter: Some("keep"), progress: Some(&note), ..Options::default() };
    let tests = [("keep", transfer()), ("keep skipped", skipped), ("drop", transfer())];
    let report = report_with(&tests, &options);
    assert_eq!((report.total().passed, report.total().skipped), (1, 1));
    assert!(report.skipped[0].reason.contains("EIP-1283"));
    let seen = seen.into_inner().unwrap();
    let last = Progress { done: 3, files: 3, passed: 1, failed: 0, skipped: 1 };
    assert_eq!(seen.last(), Some(&last));
    assert_eq!(seen.len(), 3);
}
