//! The chain: what is kept, what is taken back, and what a restart finds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod world;

use alloy_primitives::{Address, U256};
use polity_evm::account;
use polity_kernel::View;
use polity_node::{
    Node, NodeError,
    chain::{ChainError, StoreError, Tip},
    config::Config,
};
use world::{ONE_ETHER, Signer, manual, submit};

const BOB: Address = Address::repeat_byte(0xb0);

fn balance(node: &Node, of: Address) -> U256 {
    let view = node.chain.latest().unwrap();
    view.account(&account(of)).unwrap().unwrap_or_default().balance
}

/// Adds blocks of one transfer of one ether each to Bob.
fn pay(node: &Node, signer: &Signer, nonces: std::ops::Range<u64>) {
    for nonce in nonces {
        submit(node, &signer.transfer(0, nonce, BOB, ONE_ETHER, 1)).unwrap();
        let block = node.miner.mine().unwrap();
        assert_eq!(block.transactions.len(), 1);
    }
}

#[test]
fn a_restart_goes_on_where_the_chain_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..manual() };
    let signer = Signer::of(&config);
    let head = {
        let node = Node::start(&config).unwrap();
        pay(&node, &signer, 0..3);
        node.stop().unwrap();
        node.chain.head()
    };
    let node = Node::start(&config).unwrap();
    assert_eq!(node.chain.head().hash, head.hash);
    assert_eq!(node.chain.state().root().unwrap(), head.header.state_root);
    assert_eq!(balance(&node, BOB), U256::from(3 * ONE_ETHER));
    let old = node.chain.block(2).unwrap().unwrap();
    assert_eq!(old.hash, head.header.parent_hash);
    assert_eq!(old.transactions[0].transaction.sender(), signer.address(0));
    pay(&node, &signer, 3..4);
    assert_eq!(node.chain.head().header.parent_hash, head.hash);
}

#[test]
fn what_only_the_state_or_only_the_blocks_have_was_never_announced() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..manual() };
    let signer = Signer::of(&config);
    let second = {
        let node = Node::start(&config).unwrap();
        pay(&node, &signer, 0..4);
        // As if the process had ended between the two.
        node.chain.store().truncate(3).unwrap();
        node.stop().unwrap();
        node.chain.block(2).unwrap().unwrap()
    };
    {
        let node = Node::start(&config).unwrap();
        assert_eq!(node.chain.head().number(), 3);
        assert_eq!(balance(&node, BOB), U256::from(3 * ONE_ETHER));
        node.chain.state().roll_back(2).unwrap();
        node.stop().unwrap();
    }
    let node = Node::start(&config).unwrap();
    assert_eq!(node.chain.head().hash, second.hash);
    assert_eq!(balance(&node, BOB), U256::from(2 * ONE_ETHER));
    pay(&node, &signer, 2..3);
}

#[test]
fn a_folder_of_another_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().into()), ..manual() };
    Node::start(&config).unwrap().stop().unwrap();
    let other_id = Config { chain_id: 7, ..config.clone() };
    assert!(Node::start(&other_id).is_err());
    let other_funds = Config { accounts: 3, ..config };
    assert!(matches!(
        Node::start(&other_funds).err(),
        Some(NodeError::Chain(ChainError::Store(StoreError::Genesis)))
    ));
}

#[test]
fn going_back_takes_all_with_it() {
    let config = manual();
    let signer = Signer::of(&config);
    let node = Node::start(&config).unwrap();
    let powers = node.powers.as_ref().unwrap();
    pay(&node, &signer, 0..2);
    let tip = node.chain.tip();
    pay(&node, &signer, 2..5);
    let later = node.chain.head();
    node.chain.go_back(powers, &tip).unwrap();
    node.pool.renew(&node.chain.latest().unwrap());
    assert_eq!(node.chain.head().hash, tip.block.hash);
    assert_eq!(balance(&node, BOB), U256::from(2 * ONE_ETHER));
    assert!(node.chain.block_by_hash(&later.hash).unwrap().is_none());
    let gone = later.transactions[0].transaction.hash();
    assert!(node.chain.transaction(&gone).unwrap().is_none());
    // The same again gives the same blocks, but for their times.
    pay(&node, &signer, 2..5);
    assert_eq!(node.chain.head().number(), later.number());
    let not_an_ancestor = Tip { block: later, edits: tip.edits.clone() };
    let refused = node.chain.go_back(powers, &not_an_ancestor);
    let same = node.chain.head().hash == not_an_ancestor.block.hash;
    assert!(same || matches!(refused, Err(ChainError::NotAncestor(_))));
}

#[test]
fn an_edit_counts_at_once_and_is_part_of_the_next_block() {
    let config = manual();
    let node = Node::start(&config).unwrap();
    let powers = node.powers.as_ref().unwrap();
    let before = node.chain.head();
    let rich = polity_types::AccountRecord { balance: U256::from(7), ..Default::default() };
    node.chain
        .edit::<ChainError>(powers, |changes, _| {
            changes.set_account(account(BOB), Some(rich));
            Ok(())
        })
        .unwrap();
    assert_eq!(balance(&node, BOB), U256::from(7));
    assert_eq!(node.chain.state().root().unwrap(), before.header.state_root);
    let block = node.miner.mine().unwrap();
    assert_ne!(block.header.state_root, before.header.state_root);
    assert_eq!(balance(&node, BOB), U256::from(7));
    let old = node.chain.state_at(before.number()).unwrap();
    assert_eq!(old.account(&account(BOB)).unwrap(), None);
}

#[test]
fn a_block_of_hundreds_of_senders_is_full_and_the_rest_waits() {
    let config = Config { accounts: 50, gas_limit: 21_000 * 40, ..manual() };
    let signer = Signer::of(&config);
    let node = Node::start(&config).unwrap();
    for from in 0..50 {
        submit(&node, &signer.transfer(from, 0, BOB, 1, from as u128)).unwrap();
    }
    let block = node.miner.mine().unwrap();
    assert_eq!(block.transactions.len(), 40);
    let first = &block.transactions[0].transaction;
    assert_eq!(first.sender(), signer.address(49), "who pays the most comes first");
    assert_eq!(node.miner.mine().unwrap().transactions.len(), 10);
}
