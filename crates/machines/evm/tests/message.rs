//! Ordinary calls, of which the kernel keeps the accounts of sender and beneficiary, beside revm's
//! own handler: whoever is spared a check is executed by that, and here there is none to spare.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a panic is how a test fails")]

mod scenery;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use polity_evm::{
    Evm, KIND, Unsigned, Waiver, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Executed, Kernel, Machines, Scratch, Trace};
use polity_testkit::state::State;
use polity_types::{AccountRecord, CodeRef, Resources};
use revm::context::TxEnv;

const SENDER: Address = Address::repeat_byte(0x11);
/// That of the scenery's block, which has a code that ends it.
const BENEFICIARY: Address = Address::with_last_byte(0xbe);
const RICH: u64 = 1_000_000_000_000;

const FORKS: [Fork; 9] = [
    Fork::Frontier,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Berlin,
    Fork::London,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Osaka,
];

/// Contracts by what they do.
const CODES: [(u8, &[u8]); 14] = [
    (0x30, &[0x00]),                                                 // STOP
    (0x31, &[0x34, 0x5f, 0x55, 0x33, 0x60, 1, 0x55]),                // keeps value and caller
    (0x32, &[0x60, 0, 0x60, 0, 0xfd]),                               // reverts
    (0x33, &[0xfe]),                                                 // fails
    (0x34, &[0x33, 0xff]),                                           // ends in favour of its caller
    (0x35, &[0x30, 0xff]),                                           // ends in favour of itself
    (0x36, &[0x41, 0xff]), // ends in favour of the beneficiary
    (0x37, &[0x33, 0x31, 0x60, 0, 0x55, 0x41, 0x31, 0x60, 1, 0x55]), // both balances
    (0x38, &[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 3, 0x41, 0x61, 0xff, 0xff, 0xf1]), // pays
    (0x39, &[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 3, 0x33, 0x61, 0xff, 0xff, 0xf1]), // pays back
    (0x3a, &[0x60, 0, 0x54, 0x60, 1, 0x60, 0, 0x55, 0x60, 0, 0x60, 0, 0x55]), // earns a refund
    (0x3b, &[0x60, 1, 0x60, 2, 0x60, 3, 0x60, 0, 0x60, 0, 0xa3, 0x3a, 0x60, 0, 0x55]), // logs
    (0x3c, &[0x60, 0, 0x60, 0, 0x60, 0, 0xf0, 0x60, 0, 0x55]),                // creates
    (0x3d, &[0x32, 0x31, 0x60, 0, 0x60, 0, 0xfd]), // looks at the sender and reverts
];

/// Calls 0x3d, which looks at the sender and reverts, and looks at the sender itself.
const LOOKS_AGAIN: u8 = 0x3e;

fn target(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn state() -> State {
    let mut state = State::default();
    let mut put = |address: Address, balance: u64, sequence: u64, code: Option<&[u8]>| {
        let code = code.map(|code| {
            state.codes.insert(keccak256(code), Bytes::copy_from_slice(code));
            CodeRef { machine: KIND, hash: keccak256(code) }
        });
        let record = AccountRecord { balance: U256::from(balance), sequence, code };
        state.accounts.insert(account(address), record);
    };
    put(SENDER, RICH, 5, None);
    put(BENEFICIARY, RICH, 5, Some(&[0x30, 0xff]));
    put(target(0x22), 0, 0, None);
    put(target(0x23), 7, 0, None);
    for (number, code) in CODES {
        put(target(number), 10, 1, Some(code));
    }
    let mut looks_again = [0x60, 0].repeat(5);
    looks_again.push(0x73);
    looks_again.extend(target(0x3d));
    looks_again.extend([0x61, 0xff, 0xff, 0xf1, 0x32, 0x31]);
    put(target(LOOKS_AGAIN), 10, 1, Some(&looks_again));
    let delegation = [&[0xef, 0x01, 0x00][..], target(0x37).as_slice()].concat();
    put(target(0x24), 9, 1, Some(&delegation));
    state
}

/// All calls of one fork.
fn calls(fork: Fork) -> Vec<TxEnv> {
    let base_fee = base_fee(fork);
    let mut targets = vec![SENDER, BENEFICIARY, Address::with_last_byte(2), target(0x21)];
    targets.extend((0x22..=0x24).chain(0x30..=LOOKS_AGAIN).map(target));
    let mut calls = Vec::new();
    for to in targets {
        for (gas_limit, data) in [(21_000, vec![]), (60_000, vec![0, 1, 0, 2]), (900_000, vec![])] {
            for value in [0, 4] {
                for price in [base_fee, base_fee + 2] {
                    let legacy = TxEnv {
                        caller: SENDER,
                        nonce: 5,
                        gas_limit,
                        gas_price: price,
                        kind: TxKind::Call(to),
                        value: U256::from(value),
                        data: data.clone().into(),
                        chain_id: Some(1),
                        ..TxEnv::default()
                    };
                    if fork >= Fork::Berlin {
                        let access_list = AccessList(vec![
                            AccessListItem { address: to, storage_keys: vec![B256::ZERO] },
                            AccessListItem { address: SENDER, storage_keys: vec![] },
                        ]);
                        calls.push(TxEnv { tx_type: 1, access_list, ..legacy.clone() });
                    }
                    if fork >= Fork::London {
                        let gas_priority_fee = Some(1);
                        calls.push(TxEnv { tx_type: 2, gas_priority_fee, ..legacy.clone() });
                    }
                    // Who is not there may call for nothing.
                    let nobody = Address::repeat_byte(0x12);
                    calls.push(TxEnv { caller: nobody, nonce: 0, ..legacy.clone() });
                    calls.push(legacy);
                }
            }
        }
    }
    calls
}

fn base_fee(fork: Fork) -> u128 {
    if fork >= Fork::London { 7 } else { 0 }
}

fn run(fork: Fork, state: &State, env: &TxEnv, waiver: Waiver, trace: bool) -> Executed {
    let machines = Machines::default().with(Evm::new(ChainSpec::single(fork))).unwrap();
    let block = scenery::block(base_fee(fork).try_into().unwrap());
    let tx = Unsigned::for_simulation().transaction_with(env.clone(), B256::ZERO, waiver);
    let (mut scratch, mut tale) = (Scratch::default(), Trace::new());
    let mut kernel = Kernel::new(&machines, &block, state, &mut scratch);
    if trace {
        kernel = kernel.traced(&mut tale);
    }
    kernel.transact(&tx, Resources::UNLIMITED).unwrap()
}

#[test]
fn a_call_comes_out_as_revms_handler_has_it() {
    let by_handler = Waiver { sender_code: true, ..Waiver::NONE };
    let mut state = state();
    let mut included = 0;
    for coded in [true, false] {
        if !coded {
            // Nobody is there, and whoever gets nothing is touched.
            state.accounts.remove(&account(BENEFICIARY));
        }
        for fork in FORKS {
            for env in calls(fork) {
                let what = format!("{fork}, {env:?}");
                let ours = run(fork, &state, &env, Waiver::NONE, false);
                assert_eq!(ours, run(fork, &state, &env, Waiver::NONE, true), "traced: {what}");
                match (ours, run(fork, &state, &env, by_handler, false)) {
                    (Executed::Included(ours), Executed::Included(theirs)) => {
                        included += 1;
                        assert_eq!(ours.receipt, theirs.receipt, "{what}");
                        assert_eq!(ours.effects.events, theirs.effects.events, "{what}");
                        let after = |effects| state.apply(effects).unwrap();
                        assert_eq!(after(&ours.effects), after(&theirs.effects), "{what}");
                    }
                    (
                        Executed::Invalid { invalid: ours, .. },
                        Executed::Invalid { invalid: theirs, .. },
                    ) => assert_eq!(ours, theirs, "{what}"),
                    (ours, theirs) => panic!("{what}: {ours:?}, not {theirs:?}"),
                }
            }
        }
    }
    assert!(included > 5_000, "{included}");
}
