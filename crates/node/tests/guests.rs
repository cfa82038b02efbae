//! Blocks with transactions of Ethereum and of a toy machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at a failure"
)]

mod company;
mod world;

use std::{net::SocketAddr, num::NonZeroUsize, ops::Bound, sync::Arc};

use alloy_consensus::proofs::{calculate_transaction_root, ordered_trie_root_with_encoder};
use alloy_primitives::{Address, B256, U256, keccak256};
use company::{
    ANCESTORS, FUNDS, HEIGHT, PARENT, TOY, UNSIGNED, balances, guest, pay, send, toy, with_toys,
};
use polity_evm::account as ethereum;
use polity_kernel::{Executed, View};
use polity_node::{
    Node, NodeError, Standing,
    chain::{
        Block, Candidate, ChainError, Draft, Entry, Guests, Identity, Place, Store, StoreError,
        Transaction,
    },
    config::Config,
    eth::Ethereum,
    fork::Forking,
    miner::Mining,
    pool::{Fate, GuestError},
    rpc::{Server, Service},
};
use polity_remote::RpcOptions;
use polity_testkit::toy::{Op, Toy, ToyTransaction, account, slot_key};
use polity_types::{AccountId, AccountRecord, CodeRef, LocalKey, Name, Space, Value};
use serde_json::json;
use world::{Door, Signer, manual, submit};

const BOB: Address = Address::repeat_byte(0xb0);

fn toys() -> Config {
    with_toys(manual())
}

fn slot(view: &dyn View, of: AccountId, key: u64) -> U256 {
    match view.slot(&of, &slot_key(key)).unwrap() {
        Value::Word(word) => word,
        _ => U256::ZERO,
    }
}

fn balance(node: &Node, of: AccountId) -> U256 {
    node.chain.latest().unwrap().account(&of).unwrap().unwrap_or_default().balance
}

fn ether(signer: &Signer, node: &Node, from: usize, nonce: u64) -> Arc<Transaction> {
    submit(node, &signer.transfer(from, nonce, BOB, 1, 1)).unwrap()
}

fn draft(node: &Node) -> Draft {
    node.miner.draft(&node.chain.head())
}

fn hashes(block: &Block) -> Vec<B256> {
    block.all().map(|entry| entry.decoded().hash).collect()
}

/// Adds a block of two transfers of ether and three toy transactions, in turns: `toy, ether, toy,
/// ether, toy`.
fn mixed(node: &Node, signer: &Signer, nonce: u64) -> (Arc<Block>, Vec<B256>) {
    let candidates: Vec<Candidate> = vec![
        guest(pay(1, nonce, ethereum(BOB))).into(),
        ether(signer, node, 0, nonce).into(),
        guest(pay(2, nonce, account(TOY, 1))).into(),
        ether(signer, node, 1, nonce).into(),
        guest(toy(2, nonce + 1_000, &[])).into(),
        guest(pay(3, nonce, account(TOY, 1))).into(),
    ];
    let mut order: Vec<B256> = candidates.iter().map(|tx| tx.decoded().hash).collect();
    // Its sequence number is of the future.
    order.remove(4);
    let built = node.chain.add(&draft(node), |_| candidates).unwrap();
    assert_eq!(built.left_out.len(), 1);
    assert_eq!(built.left_out[0].1.as_ref().unwrap().code, "SEQUENCE");
    node.pool.advance(&built.block, &node.chain.latest().unwrap());
    (built.block, order)
}

#[test]
fn a_block_has_one_order_over_all_machines() {
    let config = toys();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let (block, order) = mixed(&node, &signer, 0);
    assert_eq!(hashes(&block), order);
    assert!(block.all().map(|entry| entry.index()).eq(0..5));
    assert_eq!((block.transactions.len(), block.guests.len()), (2, 3));
    assert_eq!(block.transactions[1].index, 3);
    assert_eq!(block.guest(2).unwrap().transaction.hash(), order[2]);
    assert!(block.guest(1).is_none());
    // Account 1 paid one and was paid one twice, each seen at its place.
    assert_eq!(balances(&block.guests[0]), (FUNDS, FUNDS - 1));
    assert_eq!(balances(&block.guests[1]), (FUNDS, FUNDS - 1));
    assert_eq!(balance(&node, account(TOY, 1)), U256::from(FUNDS + 1));
    assert_eq!(balance(&node, ethereum(BOB)), U256::from(3));
}

#[test]
fn the_header_is_ethereums_and_the_extra_data_commits_to_all() {
    let config = toys();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let alone = Config { timestamp: Some(node.chain.head().header.timestamp), ..manual() };
    let alone = Node::start(&alone).unwrap();
    let (block, _) = mixed(&node, &signer, 0);
    let own: Vec<Candidate> =
        block.transactions.iter().map(|included| included.transaction.clone().into()).collect();
    let same =
        alone.chain.add(&Draft { timestamp: block.header.timestamp, ..draft(&alone) }, |_| own);
    let same = same.unwrap().block;
    let mut header = block.header.clone();
    // What differs is the state, and what commits to the others.
    header.state_root = same.header.state_root;
    header.parent_hash = same.header.parent_hash;
    header.mix_hash = same.header.mix_hash;
    header.extra_data = same.header.extra_data.clone();
    assert_eq!(header, same.header);
    let envelopes: Vec<_> =
        block.transactions.iter().map(|included| included.transaction.envelope.clone()).collect();
    assert_eq!(block.header.transactions_root, calculate_transaction_root(&envelopes));

    let mut transactions = Vec::new();
    let mut receipts = Vec::new();
    for entry in block.all() {
        let kind = entry.decoded().machine.byte();
        transactions.push([&[kind][..], &entry.raw()].concat());
        let parts = (entry.receipt(), entry.events(), entry.supplement());
        receipts.push(borsh::to_vec(&parts).unwrap());
    }
    let root = |leaves: &[Vec<u8>]| {
        ordered_trie_root_with_encoder(leaves, |leaf, out| out.extend_from_slice(leaf))
    };
    let roots = [root(&transactions), root(&receipts)];
    let expected = keccak256([roots[0].0, roots[1].0].concat());
    assert_eq!(block.header.extra_data[..], expected.0);
    assert_eq!(block.commitment(), Some(expected));
    let mut changed = Block::clone(&block);
    changed.guests[0].supplement = vec![1].into();
    assert_ne!(changed.commitment(), Some(expected));

    ether(&signer, &node, 0, 1);
    assert!(node.miner.mine().unwrap().header.extra_data.is_empty());
}

#[test]
fn a_restart_finds_the_transactions_of_all_machines() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..toys() };
    let signer = Signer::of(&config);
    let unsigned = pay(4, 0, ethereum(BOB)).fee(UNSIGNED);
    let (made, last) = {
        let node = Node::start(&config).unwrap();
        let (made, _) = mixed(&node, &signer, 0);
        let refused = send(&node, &unsigned).unwrap_err();
        assert!(matches!(refused, GuestError::Decode(_)), "{refused}");
        // Whoever has the power can do without the signature.
        node.submit_guest(Arc::unwrap_or_clone(guest(unsigned.clone()))).unwrap();
        let last = node.miner.mine().unwrap();
        node.stop().unwrap();
        (made, last)
    };
    let node = Node::start(&config).unwrap();
    assert_eq!(node.chain.head().hash, last.hash);
    assert_eq!(node.chain.head().guests[0].transaction.hash(), guest(unsigned).hash());
    let block = node.chain.block(1).unwrap().unwrap();
    assert_eq!(hashes(&block), hashes(&made));
    assert_eq!(block.commitment(), made.commitment());
    assert_eq!(block.hash, made.hash);
    for included in &block.guests {
        let hash = included.transaction.hash();
        let (found, index) = node.chain.guest_transaction(TOY, &hash).unwrap().unwrap();
        assert_eq!((found.number(), index), (1, included.index));
        assert!(node.chain.transaction(&hash).unwrap().is_none());
    }
    for (index, included) in block.transactions.iter().enumerate() {
        let found = node.chain.transaction(&included.transaction.hash()).unwrap().unwrap();
        assert_eq!((found.0.number(), found.1), (1, index));
    }
    mixed(&node, &signer, 1);
    node.stop().unwrap();
    drop(node);
    // The same chain without the machine is another one.
    let without = Config { guests: Guests::default(), ..config };
    assert!(matches!(
        Node::start(&without).err(),
        Some(NodeError::Chain(ChainError::Store(StoreError::Genesis)))
    ));
}

#[test]
fn a_transaction_of_a_machine_that_is_not_there_is_named() {
    let config = toys();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let (block, _) = mixed(&node, &signer, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.redb");
    let identity = Identity { chain_id: 1, genesis: B256::ZERO };
    Store::open(&path, &identity, config.guests).unwrap().put(block, None).unwrap();
    let store = Store::open(&path, &identity, Guests::default()).unwrap();
    let error = store.block(1).unwrap_err();
    assert!(matches!(error, StoreError::Machine { block: 1, kind: TOY }), "{error}");
}

#[test]
fn an_account_leads_to_its_transactions_the_newest_first() {
    let config = toys();
    let node = Node::start(&config).unwrap();
    for sequence in 0..4_u64 {
        for from in [1, 2] {
            send(&node, &pay(from, sequence, account(TOY, 9))).unwrap();
        }
        node.miner.mine().unwrap();
    }
    let find = |of, range, limit| node.chain.store().guest_places_of(&of, range, limit).unwrap();
    let all: (Bound<Place>, Bound<Place>) = (Bound::Unbounded, Bound::Unbounded);
    assert_eq!(find(account(TOY, 1), all, 10), [(4, 0), (3, 0), (2, 0), (1, 0)]);
    assert_eq!(find(account(TOY, 9), all, 3), [(4, 1), (4, 0), (3, 1)]);
    let between = (Bound::Excluded((1, 0)), Bound::Excluded((3, 1)));
    assert_eq!(find(account(TOY, 9), between, 10), [(3, 0), (2, 1), (2, 0), (1, 1)]);
    assert_eq!(find(account(TOY, 9), between, 2), [(3, 0), (2, 1)]);
    assert_eq!(find(account(TOY, 8), all, 10), []);
    let place = find(account(TOY, 9), all, 1)[0];
    let block = node.chain.block(place.0).unwrap().unwrap();
    assert_eq!(block.guest(place.1).unwrap().transaction.decoded.sender, account(TOY, 2));
}

#[test]
fn going_back_takes_the_guests_transactions_with_it() {
    let config = toys();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let powers = node.powers.as_ref().unwrap();
    mixed(&node, &signer, 0);
    let tip = node.chain.tip();
    let (gone, order) = mixed(&node, &signer, 1);
    let places = |of| {
        let all = (Bound::Unbounded, Bound::Unbounded);
        node.chain.store().guest_places_of(&account(TOY, of), all, 10).unwrap()
    };
    assert_eq!(places(1), [(2, 4), (2, 2), (2, 0), (1, 4), (1, 2), (1, 0)]);
    node.chain.go_back(powers, &tip).unwrap();
    node.pool.renew(&node.chain.latest().unwrap());
    assert_eq!(places(1), [(1, 4), (1, 2), (1, 0)]);
    assert!(node.chain.guest_transaction(TOY, &order[0]).unwrap().is_none());
    assert_eq!(balance(&node, account(TOY, 1)), U256::from(FUNDS + 1));
    let again = Draft { timestamp: gone.header.timestamp, ..draft(&node) };
    let candidates = gone.all().map(|entry| match entry {
        Entry::Ethereum(included) => included.transaction.clone().into(),
        Entry::Guest(included) => included.transaction.clone().into(),
    });
    let candidates = candidates.collect();
    let again = node.chain.add(&again, |_| candidates).unwrap().block;
    assert_eq!(again.hash, gone.hash, "the same comes out");
}

#[test]
fn guests_come_after_ethereum_in_the_order_of_arrival() {
    let config = toys();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let mut sent = Vec::new();
    for from in [3, 1, 2] {
        sent.push(send(&node, &pay(from, 0, ethereum(BOB))).unwrap());
    }
    assert_eq!(send(&node, &pay(3, 0, ethereum(BOB))), Err(GuestError::Waiting));
    sent.insert(0, ether(&signer, &node, 0, 0).hash());
    let block = node.miner.mine().unwrap();
    assert_eq!(hashes(&block), sent);
    assert!(node.guests.is_empty());
    assert_eq!(send(&node, &pay(3, 0, ethereum(BOB))), Err(GuestError::Included(1)));
    let other = node.decode_guest(polity_types::MachineKind::new(9), vec![].into());
    assert_eq!(other.unwrap_err(), GuestError::Machine(polity_types::MachineKind::new(9)));
}

#[test]
fn what_a_machine_refuses_is_dropped_and_what_has_no_room_stays() {
    let node = Node::start(&toys()).unwrap();
    let heavy = |from, gas| ToyTransaction { gas_limit: gas, ..pay(from, 0, ethereum(BOB)) };
    let invalid = send(&node, &pay(1, 7, ethereum(BOB))).unwrap();
    let poor = send(&node, &toy(200, 0, &[]).fee(5)).unwrap();
    // It will never fit.
    let heavy = send(&node, &heavy(2, 101)).unwrap();
    let good = send(&node, &pay(3, 0, ethereum(BOB))).unwrap();
    let block = node.miner.mine().unwrap();
    assert_eq!(hashes(&block), [good]);
    let refused = |hash: &B256, code: &str| {
        assert!(
            matches!(node.guests.fate(TOY, hash), Some(Fate::Refused(why)) if why.code == code)
        );
        let standing = node.standing(TOY, hash).unwrap();
        assert!(matches!(standing, Some(Standing::Refused(why)) if why.code == code));
    };
    refused(&invalid, "SEQUENCE");
    refused(&poor, "FUNDS");
    let standing = |hash: &B256| node.standing(TOY, hash).unwrap();
    assert!(matches!(standing(&good), Some(Standing::Included(block, 0)) if block.number() == 1));
    assert!(matches!(standing(&heavy), Some(Standing::Waiting)));
    assert!(standing(&B256::ZERO).is_none());
    node.miner.mine().unwrap();
    assert!(matches!(standing(&heavy), Some(Standing::Waiting)), "it waits for the third block");
    node.miner.mine().unwrap();
    assert!(matches!(standing(&heavy), Some(Standing::Expired)));
    // Who was refused may try again.
    send(&node, &pay(1, 7, ethereum(BOB))).unwrap();
    assert!(matches!(standing(&invalid), Some(Standing::Waiting)));
}

#[test]
fn a_full_pool_takes_nothing() {
    let node = Node::start(&Config { pool_limit: 2, ..toys() }).unwrap();
    for from in [1, 2] {
        send(&node, &pay(from, 0, ethereum(BOB))).unwrap();
    }
    assert_eq!(send(&node, &pay(3, 0, ethereum(BOB))), Err(GuestError::Full(2)));
    node.miner.mine().unwrap();
    send(&node, &pay(3, 0, ethereum(BOB))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_gets_a_block_at_once() {
    let node = Node::start(&with_toys(Config { mining: Mining::Instant, ..Config::default() }));
    let node = node.unwrap();
    let hash = send(&node, &pay(1, 0, ethereum(BOB))).unwrap();
    node.miner.announce().await;
    let settled = node.settled(TOY, &hash).await.unwrap();
    assert!(matches!(settled, Some(Standing::Included(block, 0)) if block.number() == 1));
    let hash = send(&node, &pay(1, 5, ethereum(BOB))).unwrap();
    let (settled, ()) = tokio::join!(node.settled(TOY, &hash), node.miner.announce());
    assert!(matches!(settled.unwrap(), Some(Standing::Refused(_))));
    let unknown = node.settled(TOY, &B256::ZERO).await.unwrap();
    assert!(unknown.is_none());
    node.stop().unwrap();
}

#[test]
fn machines_are_told_of_their_block_and_its_ancestors() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..toys() };
    let told = |node: &Node| {
        let (view, system) = (node.chain.latest().unwrap(), Toy::new(TOY).system());
        [HEIGHT, ANCESTORS, PARENT].map(|key| slot(&view, system, key))
    };
    let node = Node::start(&config).unwrap();
    for _ in 0..3 {
        let parent = node.chain.head();
        node.miner.mine().unwrap();
        let height = U256::from(parent.number() + 1);
        assert_eq!(told(&node), [height, height, parent.hash.into()]);
    }
    node.stop().unwrap();
    drop(node);
    let node = Node::start(&config).unwrap();
    let parent = node.chain.head();
    node.miner.mine().unwrap();
    assert_eq!(told(&node), [U256::from(4), U256::from(4), parent.hash.into()]);
    let company = node.chain.company(&node.chain.head().header).unwrap();
    let expected: Vec<B256> =
        (0..4).rev().map(|number| node.chain.block(number).unwrap().unwrap().hash).collect();
    assert_eq!(*company.ancestors, *expected);
    let third = node.chain.block(3).unwrap().unwrap();
    let company = node.chain.company(&third.header).unwrap();
    assert_eq!(*company.ancestors, expected[1..]);
    node.stop().unwrap();
}

#[test]
fn no_machine_is_told_of_more_than_so_many_ancestors() {
    let node = Node::start(&toys()).unwrap();
    for _ in 0..520 {
        node.miner.mine().unwrap();
    }
    let view = node.chain.latest().unwrap();
    let most = U256::from(polity_node::chain::ANCESTORS);
    assert_eq!(slot(&view, Toy::new(TOY).system(), ANCESTORS), most);
    let company = node.chain.company(&node.chain.block(519).unwrap().unwrap().header).unwrap();
    assert_eq!(company.ancestors.len(), polity_node::chain::ANCESTORS);
    assert_eq!(company.ancestors[0], node.chain.block(518).unwrap().unwrap().hash);
}

#[test]
fn a_transaction_can_be_tried() {
    let node = Node::start(&toys()).unwrap();
    let view = node.chain.latest().unwrap();
    let head = node.chain.head();
    let tx = guest(pay(1, 0, ethereum(BOB)));
    let trial = node.chain.attempt(&draft(&node), &head, &view, &tx.decoded).unwrap();
    assert!(
        matches!(&trial.executed, Executed::Included(output) if output.receipt.status.is_success())
    );
    let both = [FUNDS.to_be_bytes(), (FUNDS - 1).to_be_bytes()].concat();
    assert_eq!(trial.supplement, both);
    assert_eq!(slot(&trial.before, Toy::new(TOY).system(), HEIGHT), U256::from(1));
    let wrong = guest(pay(1, 3, ethereum(BOB)));
    let trial = node.chain.attempt(&draft(&node), &head, &view, &wrong.decoded).unwrap();
    assert!(matches!(trial.executed, Executed::Invalid { .. }));
    send(&node, &pay(1, 0, ethereum(BOB))).unwrap();
    let draft = draft(&node);
    let (pending, state) =
        node.chain.preview(&draft, |header| node.miner.candidates(header)).unwrap();
    assert_eq!(pending.guests.len(), 1);
    assert_eq!(state.account(&account(TOY, 1)).unwrap().unwrap().balance, U256::from(FUNDS - 1));
    assert_eq!(node.chain.head().number(), 0);
}

/// Sets every kind of cell of a toy account.
fn edit(node: &Node, of: AccountId) {
    let code = alloy_primitives::Bytes::from_static(b"a program");
    let hash = keccak256(&code);
    let edit = |changes: &mut polity_state::Changes| {
        let record = AccountRecord {
            balance: U256::from(7),
            sequence: 3,
            code: Some(CodeRef { machine: TOY, hash }),
        };
        changes.set_account(of, Some(record));
        changes.set_code(hash, code);
        changes.set_slot(of, data(), Value::Bytes(vec![5; 3000].into()))
    };
    let powers = node.powers.as_ref().unwrap();
    node.chain.edit::<ChainError>(powers, |changes, _| Ok(edit(changes)?)).unwrap();
}

fn data() -> LocalKey {
    LocalKey { space: Space(32), name: Name::Bytes(b"data".as_slice().into()) }
}

fn is_edited(view: &dyn View, of: AccountId) -> bool {
    let Some(record) = view.account(&of).unwrap() else { return false };
    let code = record.code.map(|code| view.code(&code.hash).unwrap().bytes().clone());
    let data = view.slot(&of, &data()).unwrap();
    (record.balance, record.sequence) == (U256::from(7), 3)
        && code.is_some_and(|code| *code == b"a program".as_slice())
        && data == Value::Bytes(vec![5; 3000].into())
}

#[test]
fn edits_of_a_guests_accounts_become_part_of_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..toys() };
    let edited = account(TOY, 77);
    {
        let node = Node::start(&config).unwrap();
        edit(&node, edited);
        assert!(is_edited(&node.chain.latest().unwrap(), edited));
        let remove = |changes: &mut polity_state::Changes| {
            changes.set_account(account(TOY, 5), None);
            Ok(())
        };
        let powers = node.powers.as_ref().unwrap();
        node.chain.edit::<ChainError>(powers, |changes, _| remove(changes)).unwrap();
        send(&node, &toy(77, 3, &[Op::transfer(edited, ethereum(BOB), 2)])).unwrap();
        let block = node.miner.mine().unwrap();
        assert_eq!(balances(&block.guests[0]), (7, 5));
        node.stop().unwrap();
    }
    let node = Node::start(&config).unwrap();
    assert_eq!(balance(&node, edited), U256::from(5));
    assert!(is_edited(&node.chain.state_before(1).unwrap(), edited));
    assert_eq!(node.chain.latest().unwrap().account(&account(TOY, 5)).unwrap(), None);
    let latest = node.chain.latest().unwrap();
    assert_eq!(latest.slot(&edited, &data()).unwrap(), Value::Bytes(vec![5; 3000].into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ethereums_tools_see_ethereums_transactions() {
    let config = toys();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    let (block, order) = mixed(&door.node, &signer, 0);
    let shown = door.call("eth_getBlockByNumber", json!(["0x1", false])).await.unwrap();
    assert_eq!(shown["transactions"], json!([order[1], order[3]]));
    assert_eq!(shown["hash"], json!(block.hash));
    let tx = door.call("eth_getTransactionByHash", json!([order[3]])).await.unwrap();
    assert_eq!(tx["transactionIndex"], "0x1");
    let none = door.call("eth_getTransactionByHash", json!([order[0]])).await.unwrap();
    assert!(none.is_null());
    let receipts = door.call("eth_getBlockReceipts", json!(["0x1"])).await.unwrap();
    assert_eq!(receipts.as_array().unwrap().len(), 2);
    assert_eq!(receipts[1]["cumulativeGasUsed"], "0xa410");
    for (index, hash) in [order[1], order[3]].into_iter().enumerate() {
        let receipt = door.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        assert_eq!(receipt, receipts[index]);
    }

    // Traces stand on what the other machines' transactions before did.
    let tracer = json!({ "tracer": "prestateTracer" });
    let traced = door.call("debug_traceTransaction", json!([order[3], tracer])).await.unwrap();
    assert_eq!(traced[BOB.to_string().to_lowercase()]["balance"], "0x2");
    let traced = door.call("debug_traceBlockByNumber", json!(["0x1", tracer])).await.unwrap();
    assert_eq!(traced.as_array().unwrap().len(), 2);
    assert_eq!(traced[1]["txHash"], json!(order[3]));
    let parity = door.call("trace_transaction", json!([order[3]])).await.unwrap();
    assert_eq!(parity[0]["transactionPosition"], 1);
    let call = json!({ "to": BOB });
    let behind = json!({ "tracer": "prestateTracer", "txIndex": "0x1" });
    let traced = door.call("debug_traceCall", json!([call, "0x1", behind])).await.unwrap();
    assert_eq!(traced[BOB.to_string().to_lowercase()]["balance"], "0x2");
    let beyond = json!({ "txIndex": "0x3" });
    assert!(door.call("debug_traceCall", json!([call, "0x1", beyond])).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_block_is_shown_executed_again_and_taken_back() {
    let config = toys();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    let snapshot = door.call("evm_snapshot", json!([])).await.unwrap();
    let (_, order) = mixed(&door.node, &signer, 0);
    let whole = door.call("polity_getBlock", json!(["latest"])).await.unwrap();
    let listed = whole["transactions"].as_array().unwrap();
    let field = |name: &str| listed.iter().map(|tx| tx[name].clone()).collect::<Vec<_>>();
    assert_eq!(json!(field("hash")), json!(order));
    assert_eq!(json!(field("machine")), json!(["toy", "evm", "toy", "evm", "toy"]));
    assert_eq!(json!(field("index")), json!(["0x0", "0x1", "0x2", "0x3", "0x4"]));
    assert_eq!(json!(field("machineIndex")), json!(["0x0", "0x0", "0x1", "0x1", "0x2"]));
    assert_eq!(listed[1]["gasUsed"], "0x5208");
    assert_eq!(listed[0]["status"], "success");
    assert!(listed[0]["resources"]["reads"].is_string());
    let used = door.call("polity_getTransactionResources", json!([order[4]])).await.unwrap();
    assert_eq!((&used["machine"], &used["blockNumber"]), (&json!("toy"), &json!("0x1")));
    let schedule = door.call("polity_getBlockSchedule", json!(["0x1", 2])).await.unwrap();
    assert_eq!(schedule["transactions"], 5);

    send(&door.node, &pay(5, 0, ethereum(BOB))).unwrap();
    let pending = door.call("polity_getBlock", json!(["pending"])).await.unwrap();
    assert_eq!(pending["transactions"].as_array().unwrap().len(), 1);
    assert!(pending["hash"].is_null());
    assert_eq!(door.call("evm_revert", json!([snapshot])).await.unwrap(), json!(true));
    assert_eq!(balance(&door.node, account(TOY, 1)), U256::from(FUNDS));
    assert!(door.node.chain.guest_transaction(TOY, &order[0]).unwrap().is_none());
    assert_eq!(door.node.miner.mine().unwrap().guests.len(), 1);
    let dumped = door.call("anvil_dumpState", json!([])).await.unwrap();
    assert_eq!(door.call("anvil_loadState", json!([dumped])).await.unwrap(), json!(true));
}

#[test]
fn a_fork_asks_nobody_for_what_a_guest_has() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, other) = runtime.block_on(async {
        let node = Arc::new(Node::start(&manual()).unwrap());
        let service =
            Service::new(Ethereum::door(node.clone()), Ethereum::methods(None), node.config.limits);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (Server::start(any, service, String::new).await.unwrap(), node)
    });
    let mut forking = Forking::of(format!("http://{}", server.address()));
    forking.rpc = RpcOptions { retries: 0, ..forking.rpc };
    let config = Config { forking: Some(forking), threads: NonZeroUsize::MIN, ..toys() };
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    mixed(&node, &signer, 0);
    runtime.block_on(server.stop());
    drop(other);
    let view = node.chain.latest().unwrap();
    assert!(view.account(&ethereum(Address::repeat_byte(0x11))).is_err(), "nobody answers");
    assert_eq!(view.account(&account(TOY, 200)).unwrap(), None);
    assert_eq!(view.slot(&account(TOY, 200), &slot_key(1)).unwrap(), Value::Empty);
    assert_eq!(balance(&node, account(TOY, 1)), U256::from(FUNDS + 1));
    let edited = account(TOY, 77);
    edit(&node, edited);
    assert!(is_edited(&node.chain.latest().unwrap(), edited));
}
