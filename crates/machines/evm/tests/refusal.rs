//! What a transaction that may not be in its block relies on: all that its refusal says.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a panic is how a test fails")]

mod scenery;

use alloy_primitives::{Address, B256, TxKind, U256};
use polity_evm::{
    Evm, Unsigned, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Executed, Invalid, Kernel, Machines, Scratch};
use polity_testkit::state::State;
use polity_types::{AccountRecord, Effects, Resources};
use revm::context::TxEnv;

const SENDER: Address = Address::repeat_byte(0x11);

/// A transfer of 100 wei, with gas for 147,000 wei, by somebody with this balance and this nonce.
fn refused(balance: u64, nonce: u64) -> (Invalid, Effects) {
    let machines = Machines::default().with(Evm::new(ChainSpec::single(Fork::Osaka))).unwrap();
    let block = scenery::block(7);
    let mut state = State::default();
    let record = AccountRecord { balance: U256::from(balance), sequence: nonce, code: None };
    state.accounts.insert(account(SENDER), record);
    let env = TxEnv {
        caller: SENDER,
        gas_limit: 21_000,
        gas_price: 7,
        kind: TxKind::Call(Address::repeat_byte(0x22)),
        value: U256::from(100),
        chain_id: Some(1),
        ..TxEnv::default()
    };
    let tx = Unsigned::for_simulation().transaction(env, B256::ZERO);
    let mut scratch = Scratch::default();
    let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
    match kernel.transact(&tx, Resources::UNLIMITED).unwrap() {
        Executed::Invalid { invalid, relied } => (invalid, relied),
        Executed::Included(output) => panic!("{output:?}"),
    }
}

/// Whether the refusal would have to be looked at again if the sender had another balance.
fn relies_on_balance(relied: &Effects) -> bool {
    relied
        .accounts
        .iter()
        .any(|effects| effects.account == account(SENDER) && effects.balance_read.is_point())
}

#[test]
fn the_balance_that_a_refusal_names_was_relied_on() {
    for balance in [0, 1, 147_099] {
        let (invalid, relied) = refused(balance, 0);
        assert_eq!(invalid.code, "INSUFFICIENT_ACCOUNT_FUNDS");
        assert!(invalid.reason.contains(&format!("({balance})")), "{invalid}");
        assert!(relies_on_balance(&relied), "{relied:?}");
    }
}

#[test]
fn another_refusal_does_not_rely_on_the_balance() {
    let (invalid, relied) = refused(1_000_000, 1);
    assert_eq!(invalid.code, "NONCE_MISMATCH_TOO_LOW");
    assert!(!relies_on_balance(&relied), "{relied:?}");
    assert_eq!(relied.accounts.get(0).map(|effects| effects.sequence_read), Some(Some(1)));
}
