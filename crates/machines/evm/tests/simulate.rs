//! Simulated transactions: what they are spared, what they are not, and what is shown of them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a panic is how a test fails")]

mod scenery;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use polity_evm::{
    Evm, SessionContext, Simulated, SimulationError, Simulator, StateReader, Unsigned, Waiver,
    account, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Decoded, Machines};
use polity_testkit::state::State;
use polity_types::{AccountRecord, Status};
use revm::{
    DatabaseRef, Inspector,
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
    },
};

const POOR: Address = Address::repeat_byte(0x11);
const RICH: Address = Address::repeat_byte(0x22);
const BASE_FEE: u64 = 7;

/// Contracts by the last byte of their address, in EVM code.
const CODES: [(u8, &str); 7] = [
    // Returns GASPRICE, BASEFEE, BLOBBASEFEE and CALLER.
    (0xc1, "3a5f52486020524a604052336060526080 5ff3"),
    // Counts its calls in slot 0 and returns the number.
    (0xc2, "5f54600101805f555f5260205ff3"),
    // Reverts with 0xab.
    (0xc3, "60ab5f5260205ffd"),
    // An invalid instruction.
    (0xc4, "fe"),
    // Creates a contract from its input as init code, and returns its address.
    (0xc5, "365f5f37365f5ff05f5260205ff3"),
    // Gives all that it has to the account with the number 0xfe.
    (0xc6, "60feff"),
    // Calls the contract with the number 0xc2, and the identity precompile.
    (0xc7, "5f5f5f5f5f60c25af15f5f5f5f5f60045af1"),
];

fn machines() -> Machines {
    Machines::default().with(Evm::new(ChainSpec::single(Fork::Osaka))).unwrap()
}

fn block() -> BlockContext {
    scenery::block(BASE_FEE)
}

fn state() -> State {
    let mut state = State::default();
    for (number, code) in CODES {
        let code: Bytes = hex::decode(code.replace(' ', "")).unwrap().into();
        let hash = keccak256(&code);
        let record = AccountRecord { balance: U256::from(5), sequence: 1, code: code_ref(hash) };
        state.accounts.insert(account(Address::with_last_byte(number)), record);
        state.codes.insert(hash, code);
    }
    let record = AccountRecord { balance: U256::from(1_000_000_000), sequence: 3, code: None };
    state.accounts.insert(account(RICH), record);
    state
}

/// A call of a contract that offers nothing for its gas.
fn call(from: Address, number: u8) -> TxEnv {
    TxEnv {
        caller: from,
        gas_limit: 100_000,
        gas_price: 0,
        kind: TxKind::Call(Address::with_last_byte(number)),
        chain_id: Some(1),
        ..TxEnv::default()
    }
}

fn spared(env: TxEnv) -> Decoded {
    Unsigned::for_simulation().transaction_with(env, B256::ZERO, Waiver::CALL)
}

fn run(env: TxEnv) -> Result<Simulated, SimulationError> {
    Simulator::new(&machines()).run(&state(), &block(), &spared(env))
}

fn refusal(result: Result<Simulated, SimulationError>) -> InvalidTransaction {
    match result {
        Err(SimulationError::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn words(simulated: &Simulated) -> Vec<U256> {
    let output = simulated.outcome.result.output().unwrap();
    output.chunks(32).map(U256::from_be_slice).collect()
}

#[test]
fn a_call_is_free_whoever_makes_it_with_any_nonce_and_more_gas_than_a_block_has() {
    let from = Address::with_last_byte(0xc4);
    let env = TxEnv { nonce: 77, gas_limit: 50_000_000, ..call(from, 0xc1) };
    let simulated = run(env).unwrap();
    let zero = U256::ZERO;
    assert_eq!(words(&simulated), [zero, zero, zero, U256::from(0xc4)]);
    assert!(simulated.outcome.result.is_success());
    assert_eq!(simulated.output.receipt.gas_used, simulated.outcome.result.tx_gas_used());
    let paid = simulated.output.effects.accounts.iter().any(|a| !a.balance_delta.is_zero());
    assert!(!paid, "{:?}", simulated.output.effects);
}

#[test]
fn each_check_is_made_unless_it_is_spared() {
    type Reason = fn(&InvalidTransaction) -> bool;
    use InvalidTransaction as I;
    let price = u128::from(BASE_FEE);
    let rich = TxEnv { nonce: 3, gas_price: price, ..call(RICH, 0xc2) };
    let all = Waiver { nonce: true, sender_code: true, gas_limits: true, price: true };
    let cases: [(TxEnv, Waiver, Reason); 5] = [
        (TxEnv { nonce: 2, ..rich.clone() }, Waiver { nonce: false, ..all }, |reason| {
            matches!(reason, I::NonceTooLow { .. })
        }),
        (
            call(Address::with_last_byte(0xc4), 0xc2),
            Waiver { sender_code: false, ..all },
            |reason| matches!(reason, I::RejectCallerWithCode),
        ),
        (
            TxEnv { gas_limit: 16_777_217, ..rich.clone() },
            Waiver { gas_limits: false, ..all },
            |reason| matches!(reason, I::TxGasLimitGreaterThanCap { .. }),
        ),
        (TxEnv { gas_price: 0, ..rich.clone() }, Waiver { price: false, ..all }, |reason| {
            matches!(reason, I::GasPriceLessThanBasefee)
        }),
        // A price that is offered is held to the base fee all the same.
        (TxEnv { gas_price: 6, ..rich.clone() }, all, |reason| {
            matches!(reason, I::GasPriceLessThanBasefee)
        }),
    ];
    let (machines, state, block) = (machines(), state(), block());
    // One simulator: what one transaction is spared, the next is not.
    let mut simulator = Simulator::new(&machines);
    for (env, waiver, is) in cases {
        let decoded =
            |waiver| Unsigned::for_simulation().transaction_with(env.clone(), B256::ZERO, waiver);
        let reason = refusal(simulator.run(&state, &block, &decoded(waiver)));
        assert!(is(&reason), "{reason:?}");
        if waiver != all {
            simulator.run(&state, &block, &decoded(all)).unwrap();
        }
    }
    let strict = Unsigned::for_simulation().transaction(rich, B256::ZERO);
    simulator.run(&state, &block, &strict).unwrap();
}

#[test]
fn a_price_that_is_offered_is_paid_and_a_value_has_to_be_there() {
    let price = u128::from(BASE_FEE) + 1;
    let simulated = run(TxEnv { gas_price: price, ..call(RICH, 0xc1) }).unwrap();
    let seen = words(&simulated);
    assert_eq!(seen.first(), Some(&U256::from(price)));
    assert_eq!(seen.get(1), Some(&U256::from(BASE_FEE)));
    let effects = &simulated.output.effects.accounts;
    let changed = |who: Address| {
        effects.iter().any(|a| a.account == account(who) && !a.balance_delta.is_zero())
    };
    assert!(changed(RICH) && changed(Address::with_last_byte(0xbe)));

    let short = |env| match refusal(run(env)) {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => (*fee, *balance),
        other => panic!("{other:?}"),
    };
    let wei = U256::from(1);
    assert_eq!(short(TxEnv { value: wei, ..call(POOR, 0xc1) }), (wei, U256::ZERO));
    assert_eq!(
        short(TxEnv { gas_price: price, ..call(POOR, 0xc1) }),
        (U256::from(800_000), U256::ZERO)
    );
}

#[test]
fn blobs_are_free_where_no_price_is_offered_for_them() {
    let blob = TxEnv {
        tx_type: 3,
        blob_hashes: vec![B256::with_last_byte(1) | B256::from(U256::from(1) << 248)],
        gas_priority_fee: Some(0),
        ..call(POOR, 0xc1)
    };
    assert_eq!(words(&run(blob).unwrap()).get(2), Some(&U256::ZERO));
}

#[test]
fn reverts_and_halts_are_told_apart() {
    let reverted = run(call(POOR, 0xc3)).unwrap();
    assert!(matches!(&reverted.outcome.result, ExecutionResult::Revert { .. }));
    assert_eq!(words(&reverted), [U256::from(0xab)]);
    assert_eq!(reverted.output.receipt.status, Status::Reverted);
    let halted = run(call(POOR, 0xc4)).unwrap();
    let ExecutionResult::Halt { reason, .. } = &halted.outcome.result else { panic!() };
    assert_eq!(*reason, HaltReason::InvalidFEOpcode);
    let low = TxEnv { gas_limit: 20_000, ..call(POOR, 0xc2) };
    let reason = refusal(run(low));
    assert!(matches!(reason, InvalidTransaction::CallGasCostMoreThanGasLimit { .. }), "{reason:?}");
}

#[test]
fn the_next_sees_what_this_one_did_where_its_effects_are_applied() {
    let (machines, block) = (machines(), block());
    let mut simulator = Simulator::new(&machines);
    let mut state = state();
    for count in 1..4u64 {
        let simulated = simulator.run(&state, &block, &spared(call(POOR, 0xc2))).unwrap();
        assert_eq!(words(&simulated), [U256::from(count)]);
        let again = simulator.run(&state, &block, &spared(call(POOR, 0xc2))).unwrap();
        assert_eq!(again.output, simulated.output);
        state = state.apply(&simulated.output.effects).unwrap();
        let slot = StateReader(&state).storage_ref(Address::with_last_byte(0xc2), U256::ZERO);
        assert_eq!(slot.unwrap(), U256::from(count));
    }
}

/// Counts what it is shown.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    steps: usize,
    calls: Vec<Address>,
    ends: usize,
    creates: Vec<Option<Address>>,
    destroyed: Vec<(Address, Address, U256)>,
}

impl Inspector<SessionContext<'_>> for Counts {
    fn step(&mut self, _: &mut Interpreter<EthInterpreter>, _: &mut SessionContext<'_>) {
        self.steps += 1;
    }

    fn call(&mut self, _: &mut SessionContext<'_>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.calls.push(inputs.target_address);
        None
    }

    fn call_end(&mut self, _: &mut SessionContext<'_>, _: &CallInputs, _: &mut CallOutcome) {
        self.ends += 1;
    }

    fn create_end(
        &mut self,
        _: &mut SessionContext<'_>,
        _: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.creates.push(outcome.address);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.destroyed.push((contract, target, value));
    }
}

#[test]
fn an_inspector_sees_steps_frames_and_destructions_and_changes_nothing() {
    let (machines, block, state) = (machines(), block(), state());
    let mut simulator = Simulator::new(&machines);
    let at = Address::with_last_byte;
    let init = hex!("5f5ff3");
    let direct = TxEnv { kind: TxKind::Create, data: init.into(), ..call(POOR, 0) };
    let nested = TxEnv { data: init.into(), ..call(POOR, 0xc5) };
    let cases = [
        (
            call(POOR, 0xc7),
            Counts {
                steps: 29,
                calls: vec![at(0xc7), at(0xc2), at(4)],
                ends: 3,
                ..Counts::default()
            },
        ),
        (direct, Counts { steps: 3, creates: vec![Some(POOR.create(0))], ..Counts::default() }),
        (
            nested,
            Counts {
                steps: 16,
                calls: vec![at(0xc5)],
                ends: 1,
                creates: vec![Some(at(0xc5).create(1))],
                ..Counts::default()
            },
        ),
        (
            call(POOR, 0xc6),
            Counts {
                steps: 2,
                calls: vec![at(0xc6)],
                ends: 1,
                destroyed: vec![(at(0xc6), at(0xfe), U256::from(5))],
                ..Counts::default()
            },
        ),
    ];
    for (env, expected) in cases {
        let tx = spared(env);
        let quiet = simulator.run(&state, &block, &tx).unwrap();
        let (simulated, counts) =
            simulator.inspect(&state, &block, &tx, Counts::default()).unwrap();
        assert_eq!(counts, expected);
        assert_eq!(simulated.output, quiet.output);
        assert_eq!(simulated.outcome, quiet.outcome);
    }
}
