//! The mempool: queues, gaps, replacement, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod world;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, TxKind, U256};
use polity_node::{
    Node,
    config::Config,
    pool::{Order, PoolError, Size},
};
use proptest::prelude::*;
use world::{ONE_ETHER, Signer, manual, submit};

const BOB: Address = Address::repeat_byte(0xb0);

#[test]
fn what_comes_behind_a_gap_waits_until_it_is_closed() {
    let config = manual();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    submit(&node, &signer.transfer(0, 2, BOB, 1, 1)).unwrap();
    submit(&node, &signer.transfer(0, 1, BOB, 1, 1)).unwrap();
    assert_eq!(node.pool.size(), Size { pending: 0, queued: 2 });
    assert!(node.miner.mine().unwrap().transactions.is_empty());
    submit(&node, &signer.transfer(0, 0, BOB, 1, 1)).unwrap();
    assert_eq!(node.pool.size(), Size { pending: 3, queued: 0 });
    assert_eq!(node.next_nonce(signer.address(0)).unwrap(), 3);
    assert_eq!(node.miner.mine().unwrap().transactions.len(), 3);
    assert_eq!(node.pool.size(), Size::default());
}

#[test]
fn only_who_pays_a_tenth_more_replaces_another() {
    let config = manual();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let tip = 10_000_000_000;
    submit(&node, &signer.transfer(0, 0, BOB, 1, tip)).unwrap();
    let same = signer.transfer(0, 0, BOB, 1, tip);
    assert_eq!(submit(&node, &same).err(), Some(PoolError::AlreadyKnown));
    let little = signer.transfer(0, 0, BOB, 2, tip + tip / 20);
    assert_eq!(submit(&node, &little).err(), Some(PoolError::Underpriced));
    let enough = signer.transfer(0, 0, BOB, 3, tip * 3);
    submit(&node, &enough).unwrap();
    let block = node.miner.mine().unwrap();
    assert_eq!(block.transactions.len(), 1);
    let value = alloy_consensus::Transaction::value(&block.transactions[0].transaction.envelope);
    assert_eq!(value, U256::from(3));
}

#[test]
fn the_reasons_are_those_that_tools_know() {
    let config = manual();
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    let told = |raw: &[u8]| submit(&node, raw).err().map(|error| error.to_string());
    let starts = |raw: &[u8], text: &str| {
        let found = told(raw).unwrap_or_default();
        assert!(found.starts_with(text), "{found:?} does not begin with {text:?}");
    };
    let base = || TxEip1559 {
        chain_id: config.chain_id,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        to: TxKind::Call(BOB),
        ..TxEip1559::default()
    };
    let signed = |tx: TxEip1559| signer.sign(0, tx.into());
    starts(&signed(TxEip1559 { gas_limit: 20_999, ..base() }), "intrinsic gas too low");
    starts(&signed(TxEip1559 { gas_limit: 30_000_001, ..base() }), "exceeds block gas limit");
    starts(
        &signed(TxEip1559 { gas_limit: 20_000_000, ..base() }),
        "transaction gas limit too high",
    );
    starts(
        &signed(TxEip1559 { value: U256::from(10_001 * ONE_ETHER), ..base() }),
        "insufficient funds for gas * price + value",
    );
    starts(
        &signed(TxEip1559 { max_priority_fee_per_gas: 10_000_000_001, ..base() }),
        "max priority fee per gas higher than max fee per gas",
    );
    let other_chain = TxEip1559 { chain_id: 1, ..base() };
    starts(&signed(other_chain), "invalid sender: invalid chain id for signer: have 1 want 31337");
    starts(&[0x7f, 0xc0], "transaction type not supported");
    starts(&[], "rlp: ");
    starts(&[0xc0], "rlp: ");
    submit(&node, &signer.transfer(0, 0, BOB, 1, 1)).unwrap();
    node.miner.mine().unwrap();
    starts(&signer.transfer(0, 0, BOB, 2, 1), "nonce too low: next nonce 1, tx nonce 0");
}

#[test]
fn a_full_pool_says_so() {
    let config = Config { pool_limit: 2, ..manual() };
    let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
    submit(&node, &signer.transfer(0, 0, BOB, 1, 1)).unwrap();
    submit(&node, &signer.transfer(1, 0, BOB, 1, 1)).unwrap();
    let third = signer.transfer(2, 0, BOB, 1, 1);
    assert_eq!(submit(&node, &third).err(), Some(PoolError::Full));
    assert_eq!(node.pool.size().pending, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever arrives in whatever order: blocks take each sender's transactions
    /// from its nonce on without a gap, and nothing is lost or taken twice.
    #[test]
    fn blocks_take_what_is_pending_and_nothing_else(
        arrivals in prop::collection::vec((0_usize..3, 0_u64..6, 1_u128..5), 1..40),
        by_fees in any::<bool>(),
        mined in 0_usize..40,
    ) {
        let order = if by_fees { Order::Fees } else { Order::Arrival };
        let config = Config { accounts: 3, order, ..manual() };
        let (node, signer) = (Node::start(&config).unwrap(), Signer::of(&config));
        let mut model = [[false; 6]; 3];
        let mut next = [0_u64; 3];
        for (at, (from, nonce, tip)) in arrivals.into_iter().enumerate() {
            let raw = signer.transfer(from, nonce, BOB, 1, tip * 1_000_000_000_000);
            let taken = submit(&node, &raw).is_ok();
            let expected = nonce >= next[from];
            prop_assert!(!taken || expected);
            model[from][nonce as usize] |= taken;
            if at == mined {
                node.miner.mine().unwrap();
                for from in 0..3 {
                    while next[from] < 6 && model[from][next[from] as usize] {
                        next[from] += 1;
                    }
                }
            }
            let pending: usize = (0..3)
                .map(|from: usize| {
                    (next[from]..6).take_while(|nonce| model[from][*nonce as usize]).count()
                })
                .sum();
            prop_assert_eq!(node.pool.size().pending, pending);
        }
    }
}
