//! What becomes of an account that a transaction touches and leaves empty, and what that relies on.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a panic is how a test fails")]

mod scenery;

use alloy_primitives::{Address, B256, TxKind, U256};
use polity_evm::{
    Evm, Unsigned, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Executed, Kernel, Machines, Scratch, TransactionOutput};
use polity_testkit::state::State;
use polity_types::{AccountRecord, Resources};
use revm::context::TxEnv;

const SENDER: Address = Address::repeat_byte(0x11);
const TOUCHED: Address = Address::repeat_byte(0x22);

/// A call without value, data or tip of an account as it is in `touched`.
fn call(fork: Fork, touched: Option<AccountRecord>) -> TransactionOutput {
    let machines = Machines::default().with(Evm::new(ChainSpec::single(fork))).unwrap();
    let base_fee = if fork >= Fork::London { 7 } else { 0 };
    let block = scenery::block(base_fee);
    let mut state = State::default();
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    let sender = AccountRecord { balance: ether, ..AccountRecord::default() };
    state.accounts.insert(account(SENDER), sender);
    state.accounts.extend(touched.map(|record| (account(TOUCHED), record)));
    let env = TxEnv {
        caller: SENDER,
        gas_limit: 50_000,
        gas_price: base_fee.into(),
        kind: TxKind::Call(TOUCHED),
        chain_id: Some(1),
        ..TxEnv::default()
    };
    let tx = Unsigned::for_simulation().transaction(env, B256::ZERO);
    let mut scratch = Scratch::default();
    let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
    match kernel.transact(&tx, Resources::UNLIMITED).unwrap() {
        Executed::Included(output) => output,
        Executed::Invalid { invalid, .. } => panic!("{fork}: {invalid}"),
    }
}

#[test]
fn it_is_another_matter_whether_it_was_there() {
    let paid = AccountRecord { balance: U256::from(5), ..AccountRecord::default() };
    let used = AccountRecord { sequence: 1, ..AccountRecord::default() };
    let records = [None, Some(AccountRecord::default()), Some(paid), Some(used)];
    for fork in [Fork::Homestead, Fork::SpuriousDragon, Fork::London, Fork::Osaka] {
        for here in records {
            let output = call(fork, here);
            for there in records {
                let holds = output.effects.accounts.iter().all(|effects| {
                    effects.account != account(TOUCHED) || effects.holds(there.as_ref())
                });
                if holds {
                    assert_eq!(output, call(fork, there), "{fork}: {here:?} and {there:?}");
                }
            }
        }
    }
}
