//! What becomes of an account that a transaction touches and leaves empty, and what that relies on.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a panic is how a test fails")]

mod scenery;

use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use polity_evm::{
    Evm, KIND, Unsigned, Waiver, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Executed, Kernel, Machines, Scratch, TransactionOutput};
use polity_testkit::state::State;
use polity_types::{AccountRecord, CodeRef, Resources};
use revm::context::TxEnv;

const SENDER: Address = Address::repeat_byte(0x11);
const TOUCHED: Address = Address::repeat_byte(0x22);
/// That of the scenery's block.
const BENEFICIARY: Address = Address::with_last_byte(0xbe);
/// A contract that does nothing.
const STOP: &[u8] = &[0];

/// A call without value, data or tip. Whom it calls, or else who would get the tip, is as in
/// `touched`. Who waives a check has revm's own handler execute it.
fn run(
    fork: Fork,
    called: bool,
    waiver: Waiver,
    touched: Option<AccountRecord>,
) -> TransactionOutput {
    let machines = Machines::default().with(Evm::new(ChainSpec::single(fork))).unwrap();
    let base_fee = if fork >= Fork::London { 7 } else { 0 };
    let block = scenery::block(base_fee);
    let mut state = State::default();
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    let sender = AccountRecord { balance: ether, ..AccountRecord::default() };
    state.accounts.insert(account(SENDER), sender);
    let place = if called { TOUCHED } else { BENEFICIARY };
    state.accounts.extend(touched.map(|record| (account(place), record)));
    state.codes.insert(keccak256(STOP), STOP.into());
    let env = TxEnv {
        caller: SENDER,
        gas_limit: 50_000,
        gas_price: base_fee.into(),
        kind: TxKind::Call(TOUCHED),
        chain_id: Some(1),
        ..TxEnv::default()
    };
    let tx = Unsigned::for_simulation().transaction_with(env, B256::ZERO, waiver);
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
    let code = Some(CodeRef { machine: KIND, hash: keccak256(STOP) });
    let coded = AccountRecord { code, ..AccountRecord::default() };
    let empty = AccountRecord::default();
    let records = [None, Some(empty), Some(paid), Some(used), Some(coded)];
    for fork in [Fork::Homestead, Fork::SpuriousDragon, Fork::London, Fork::Osaka] {
        for waiver in [Waiver::NONE, Waiver { sender_code: true, ..Waiver::NONE }] {
            for (called, place) in [(true, TOUCHED), (false, BENEFICIARY)] {
                for here in records {
                    let output = run(fork, called, waiver, here);
                    for there in records {
                        let holds = output.effects.accounts.iter().all(|effects| {
                            effects.account != account(place) || effects.holds(there.as_ref())
                        });
                        if holds {
                            let what = format!("{fork}, {waiver:?}, {place}: {here:?}, {there:?}");
                            assert_eq!(output, run(fork, called, waiver, there), "{what}");
                        }
                    }
                }
            }
        }
    }
}
