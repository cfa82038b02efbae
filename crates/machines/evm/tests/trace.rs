//! The call tree of transactions that run in this machine and in others: each frame once, with what
//! it changed and emitted, and what of it was undone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod scenery;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall;
use polity_evm::{
    Evm, KIND, Unsigned, Waiver, account, code_ref,
    gateway::{GATEWAY, IPolity},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{
    BlockContext, Decoded, Executed, Item, Kernel, Machines, Scratch, Trace, TransactionOutput,
};
use polity_testkit::{
    state::State,
    told,
    toy::{self, Invocation, Op, Program, Toy, ToyTransaction},
};
use polity_types::{AccountId, AccountRecord, MachineKind, Resources, Status};
use proptest::{collection::vec, prelude::*};
use revm::context::TxEnv;

const TOY: MachineKind = MachineKind::new(0x70);
const RICH: Address = Address::repeat_byte(0x22);
const BENEFICIARY: Address = Address::repeat_byte(0xbe);

fn machines() -> Machines {
    let mut spec = ChainSpec::single(Fork::Osaka);
    spec.gateway = true;
    Machines::default().with(Toy::new(TOY)).unwrap().with(Evm::new(spec)).unwrap()
}

fn block() -> BlockContext {
    BlockContext { beneficiary: account(BENEFICIARY), ..scenery::block(7) }
}

fn at(number: u8) -> Address {
    Address::left_padding_from(&[0xc0, number])
}

fn contract(number: u8) -> AccountId {
    account(at(number))
}

fn toys(number: u8) -> AccountId {
    toy::account(TOY, number)
}

/// What a contract does.
#[derive(Clone, Debug)]
enum Step {
    Store(u8, u8),
    Log(u8),
    /// Calls a contract with a value and so much gas.
    Call(u8, u8, u32),
    Static(u8),
    Delegate(u8),
    /// Calls an account of the toy machine with a program, through the gateway.
    Cross(u8, u8, Program),
    /// Creates a contract with this init code.
    Create(Vec<u8>, u8),
    Destroy(u8),
    Revert,
    Invalid,
    Spin,
}

/// The code that does so, one thing after the other.
fn code(steps: &[Step]) -> Vec<u8> {
    let mut code = Vec::new();
    let push = |code: &mut Vec<u8>, bytes: &[u8]| {
        code.push(0x5f + u8::try_from(bytes.len()).unwrap());
        code.extend_from_slice(bytes);
    };
    let put = |code: &mut Vec<u8>, bytes: &[u8]| {
        for (at, chunk) in bytes.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            push(code, &word);
            push(code, &u16::try_from(at * 32).unwrap().to_be_bytes());
            code.push(0x52);
        }
    };
    let number = |code: &mut Vec<u8>, bytes: &[u8]| {
        code.push(0x5f + u8::try_from(bytes.len()).unwrap());
        code.extend_from_slice(bytes);
    };
    for step in steps {
        let code = &mut code;
        match step {
            Step::Store(key, value) => {
                number(code, &[*value]);
                number(code, &[*key]);
                code.push(0x55);
            }
            Step::Log(data) => {
                number(code, &[*data]);
                code.extend([0x5f, 0x52, 0x60, 0x20, 0x5f, 0xa0]);
            }
            Step::Call(to, value, gas) => {
                code.extend([0x5f; 4]);
                number(code, &[*value]);
                number(code, &[0xc0, *to]);
                number(code, &gas.to_be_bytes());
                code.extend([0xf1, 0x50]);
            }
            Step::Static(to) => {
                code.extend([0x5f; 4]);
                number(code, &[0xc0, *to]);
                number(code, &50_000_u32.to_be_bytes());
                code.extend([0xfa, 0x50]);
            }
            Step::Delegate(to) => {
                code.extend([0x5f; 4]);
                number(code, &[0xc0, *to]);
                number(code, &50_000_u32.to_be_bytes());
                code.extend([0xf4, 0x50]);
            }
            Step::Cross(to, value, program) => {
                let input = program.0.clone();
                let call =
                    IPolity::callCall { machine: TOY.byte(), account: toys(*to).address, input };
                let input = call.abi_encode();
                put(code, &input);
                code.extend([0x5f, 0x5f]);
                number(code, &u16::try_from(input.len()).unwrap().to_be_bytes());
                code.push(0x5f);
                number(code, &[*value]);
                number(code, GATEWAY.as_slice());
                number(code, &200_000_u32.to_be_bytes());
                code.extend([0xf1, 0x50]);
            }
            Step::Create(init, value) => {
                put(code, init);
                number(code, &u16::try_from(init.len()).unwrap().to_be_bytes());
                code.push(0x5f);
                number(code, &[*value]);
                code.extend([0xf0, 0x50]);
            }
            Step::Destroy(heir) => {
                number(code, &[0xc0, *heir]);
                code.push(0xff);
            }
            Step::Revert => code.extend([0x5f, 0x5f, 0xfd]),
            Step::Invalid => code.push(0xfe),
            Step::Spin => {
                let here = u16::try_from(code.len()).unwrap().to_be_bytes();
                code.extend([0x5b, 0x61, here[0], here[1], 0x56]);
            }
        }
    }
    code
}

/// Contracts 1, 2, ... with 50 wei each, and toys with 100.
fn state(contracts: &[Vec<Step>]) -> State {
    let mut state = State::default();
    for (number, steps) in (1..).zip(contracts) {
        let code: Bytes = code(steps).into();
        let hash = keccak256(&code);
        let record = AccountRecord { balance: U256::from(50), sequence: 1, code: code_ref(hash) };
        state.accounts.insert(contract(number), record);
        state.codes.insert(hash, code);
    }
    for number in 1..3 {
        let record = AccountRecord { balance: U256::from(100), ..AccountRecord::default() };
        state.accounts.insert(toys(number), record);
    }
    let record = AccountRecord { balance: U256::from(1_000_000_000), sequence: 3, code: None };
    state.accounts.insert(account(RICH), record);
    state
}

fn transaction(kind: TxKind, data: Vec<u8>, value: u64) -> Decoded {
    let env = TxEnv {
        caller: RICH,
        gas_limit: 1_000_000,
        gas_price: 10,
        kind,
        data: data.into(),
        value: U256::from(value),
        nonce: 3,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    Unsigned::for_simulation().transaction_with(env, B256::ZERO, Waiver::NONE)
}

/// Executes a transaction with and without a trace, and checks what is true of any.
fn run(state: &State, tx: &Decoded) -> (Trace, TransactionOutput) {
    let (machines, block) = (machines(), block());
    let mut scratch = Scratch::default();
    let alone = Kernel::new(&machines, &block, state, &mut scratch);
    let alone = alone.transact(tx, Resources::UNLIMITED).unwrap();
    let mut trace = Trace::new();
    let kernel = Kernel::new(&machines, &block, state, &mut scratch).traced(&mut trace);
    let executed = kernel.transact(tx, Resources::UNLIMITED).unwrap();
    assert_eq!(executed, alone, "looking on changes nothing");
    let Executed::Included(output) = executed else { panic!("{executed:?}") };
    let mut after = state.clone();
    told::apply(&trace, &mut after);
    let expected = state.apply(&output.effects).unwrap();
    assert_eq!(told::cells(&after), told::cells(&expected), "{trace:#?}");
    let stand = trace.events().iter().filter(|told| !told.undone).map(|told| &told.event);
    assert!(stand.eq(&output.effects.events), "{trace:#?}\n{:#?}", output.effects.events);
    told::check_tree(&trace);
    // Nothing was forgotten until the end but what is left to it.
    let first = &trace.frames()[0];
    let paid = |id: AccountId| id == account(RICH) || id == account(BENEFICIARY);
    for item in first.items.iter().filter(|_| first.entry.machine == KIND) {
        let Item::Change(change) = *item else { continue };
        let told = &trace.changes()[change];
        let destroyed = !expected.accounts.contains_key(&told.account);
        assert!(paid(told.account) || destroyed, "{told:?} in {trace:#?}");
    }
    (trace, output)
}

fn call(contracts: &[Vec<Step>]) -> (Trace, TransactionOutput) {
    run(&state(contracts), &transaction(TxKind::Call(at(1)), Vec::new(), 5))
}

/// The frames as depth, kind and caller's last byte; `-` in front of what was undone.
fn tree(trace: &Trace) -> Vec<String> {
    let depth = |mut frame: usize| {
        let mut depth = 0;
        while let Some(parent) = trace.frames()[frame].parent {
            frame = parent;
            depth += 1;
        }
        depth
    };
    let frames = trace.frames().iter().enumerate().skip(1);
    let frames = frames.map(|(place, frame)| {
        let undone = if frame.undone { "-" } else { "" };
        format!("{}{undone}{}", ">".repeat(depth(place)), frame.entry.kind)
    });
    frames.collect()
}

fn items(trace: &Trace, frame: usize) -> Vec<String> {
    let items = trace.frames()[frame].items.iter().map(|item| match *item {
        Item::Call(call) => format!("call {call}"),
        Item::Event(event) => {
            format!("event{}", if trace.events()[event].undone { "-" } else { "" })
        }
        Item::Change(change) => {
            let told = &trace.changes()[change];
            let what = told::words(&told.change);
            format!("{what}{}", if told.undone { "-" } else { "" })
        }
    });
    items.collect()
}

#[test]
fn frames_within_the_machine_are_told_with_what_they_did() {
    let (trace, _) = call(&[
        vec![
            Step::Store(1, 7),
            Step::Call(2, 3, 100_000),
            Step::Log(1),
            Step::Call(3, 2, 100_000),
            Step::Store(1, 8),
        ],
        vec![Step::Store(0, 1), Step::Log(2)],
        vec![Step::Store(0, 1), Step::Log(3), Step::Revert],
    ]);
    assert_eq!(tree(&trace), [">CALL", ">>CALL", ">>-CALL"]);
    assert_eq!(
        items(&trace, 1),
        [
            "balance 999000000 998999995"
                .replace("999000000", "990000000")
                .replace("998999995", "989999995")
                .as_str(),
            "balance 50 55",
            "slot 0 7",
            "call 2",
            "event",
            "call 3",
            "slot 7 8"
        ]
    );
    assert_eq!(items(&trace, 2), ["balance 55 52", "balance 50 53", "slot 0 1", "event"]);
    assert_eq!(items(&trace, 3), ["balance 52 50-", "balance 50 52-", "slot 0 1-", "event-"]);
    assert_eq!(trace.frames()[3].exit.status, Status::Reverted);
}

#[test]
fn a_creation_that_fails_keeps_its_creators_nonce() {
    let failing = code(&[Step::Store(0, 1), Step::Revert]);
    let (trace, _) = call(&[vec![
        Step::Create(failing, 1),
        Step::Create(code(&[Step::Store(0, 1)]), 1),
        // More than there is.
        Step::Create(Vec::new(), 200),
    ]]);
    assert_eq!(tree(&trace), [">CALL", ">>-CREATE", ">>CREATE", ">>-CREATE"]);
    let outer = items(&trace, 1);
    assert_eq!(outer[2..], ["sequence 1 2", "call 2", "sequence 2 3", "call 3", "call 4"]);
    assert_eq!(items(&trace, 2)[..3], ["sequence 0 1-", "balance 55 54-", "balance 0 1-"]);
    let created = trace.frames()[3].exit.created;
    assert!(created.is_some() && created == trace.frames()[3].entry.to);
    assert_eq!(trace.frames()[4].exit.status, Status::Failed("OutOfFunds".into()));
}

#[test]
fn a_call_of_another_machine_is_a_frame_below_the_door() {
    let back = Op::Call(
        Invocation::new(contract(2), Program::default())
            .limit(Resources { compute: 100_000, ..Resources::UNLIMITED }),
    );
    let program = Program::new(&[Op::write(toys(1), 0, 9), back, Op::Emit("toy".into())]);
    let (trace, _) = call(&[
        vec![Step::Store(0, 1), Step::Cross(1, 4, program), Step::Store(0, 2)],
        vec![Step::Store(5, 6), Step::Log(1), Step::Call(3, 0, 20_000)],
        vec![],
    ]);
    assert_eq!(tree(&trace), [">CALL", ">>CALL", ">>>CALL", ">>>>CALL", ">>>>>CALL"]);
    let machines: Vec<_> = trace.frames().iter().map(|frame| frame.entry.machine).collect();
    assert_eq!(machines, [KIND, KIND, KIND, TOY, KIND, KIND]);
    let hops: Vec<_> = trace.frames().iter().map(|frame| frame.is_hop).collect();
    assert_eq!(hops, [true, false, false, true, true, false]);
    assert_eq!(trace.frames()[2].entry.to, Some(account(GATEWAY)));
    assert_eq!(trace.frames()[3].entry.from, contract(1));
    assert_eq!(trace.frames()[4].entry.from, toys(1));
    assert_eq!(items(&trace, 1)[2..], ["slot 0 1", "call 2", "slot 1 2"]);
    assert_eq!(items(&trace, 2), ["call 3"]);
    assert_eq!(
        items(&trace, 3),
        ["balance 55 51", "balance 100 104", "slot 0 9", "call 4", "event"]
    );
    // Who calls is recorded as an alias on the way in.
    assert_eq!(items(&trace, 4), ["code", "slot 0 6", "event", "call 5"]);
    assert!(trace.frames()[4].used.compute > 20_000);
}

#[test]
fn what_another_machine_did_is_undone_with_the_frame_that_called_it() {
    let program = Program::new(&[Op::write(toys(1), 0, 9), Op::Emit("toy".into())]);
    let (trace, output) = call(&[
        vec![Step::Call(2, 0, 500_000), Step::Log(1)],
        vec![Step::Store(3, 3), Step::Cross(1, 0, program), Step::Revert],
    ]);
    assert_eq!(tree(&trace), [">CALL", ">>-CALL", ">>>-CALL", ">>>>-CALL"]);
    assert!(trace.frames()[4].exit.status.is_success());
    assert_eq!(items(&trace, 4), ["slot 0 9-", "event-"]);
    assert_eq!(output.effects.events.len(), 1);
}

#[test]
fn a_contract_that_ends_itself_is_told() {
    let init = code(&[Step::Store(0, 1), Step::Destroy(9)]);
    let (trace, _) =
        call(&[vec![Step::Create(init, 7), Step::Call(2, 0, 50_000)], vec![Step::Destroy(1)]]);
    let kinds = [">CALL", ">>CREATE", ">>>SELFDESTRUCT", ">>CALL", ">>>SELFDESTRUCT"];
    assert_eq!(tree(&trace), kinds);
    assert_eq!(items(&trace, 3), ["balance 7 0", "balance 0 7", "exists false"]);
    assert_eq!(trace.frames()[3].entry.value, U256::from(7));
}

#[test]
fn another_machines_transaction_calls_a_contract() {
    let contracts = [vec![Step::Store(0, 1), Step::Call(2, 1, 50_000)], vec![Step::Log(1)]];
    let limit = Resources { compute: 300_000, ..Resources::UNLIMITED };
    let invoke = Invocation::new(contract(1), Program::default()).limit(limit).value(2);
    let tx = ToyTransaction::new(toys(1), 0, &[Op::Call(invoke)]).decoded();
    let (trace, _) = run(&state(&contracts), &tx);
    assert_eq!(tree(&trace), [">CALL", ">>CALL"]);
    let hop = &trace.frames()[1];
    // 300,000 of the toy's unit in gas.
    assert_eq!((hop.entry.machine, hop.entry.gas, hop.is_hop), (KIND, 400_000, true));
    // The kernel also counts what it costs to enter.
    assert!((1..=hop.used.compute).contains(&hop.exit.gas_used));
    assert_eq!(items(&trace, 1), ["balance 100 98", "balance 50 52", "code", "slot 0 1", "call 2"]);
}

fn any_program() -> impl Strategy<Value = Program> {
    let call = (1_u8..5, 0_u64..3, any::<bool>()).prop_map(|(to, value, read_only)| {
        let limit = Resources { compute: 60_000, ..Resources::UNLIMITED };
        let call = Invocation::new(contract(to), Program::default()).limit(limit).value(value);
        Op::Call(if read_only { call.read_only() } else { call })
    });
    let op = prop_oneof![
        2 => (0_u64..2, 0_u64..3).prop_map(|(key, value)| Op::write(toys(1), key, value)),
        1 => Just(Op::Emit("toy".into())),
        3 => call.clone(),
        1 => call.prop_map(|op| Op::Attempt { program: Program::new(&[op]), keep: false }),
        1 => (1_u8..5).prop_map(|to| Op::transfer(toys(1), contract(to), 3)),
        1 => Just(Op::Revert),
    ];
    vec(op, 1..4).prop_map(|ops| Program::new(&ops))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..2, 0_u8..3).prop_map(|(key, value)| Step::Store(key, value)),
        2 => any::<u8>().prop_map(Step::Log),
        4 => (1_u8..6, 0_u8..3, 10_000_u32..200_000).prop_map(|(to, value, gas)| {
            Step::Call(to, value, gas)
        }),
        1 => (1_u8..5).prop_map(Step::Static),
        1 => (1_u8..5).prop_map(Step::Delegate),
        4 => (1_u8..3, 0_u8..3, any_program()).prop_map(|(to, value, program)| {
            Step::Cross(to, value, program)
        }),
        1 => (0_u8..4, 0_u8..3).prop_map(|(which, value)| {
            let steps = match which {
                0 => vec![Step::Store(1, 1), Step::Log(1)],
                1 => vec![Step::Store(1, 1), Step::Revert],
                2 => vec![Step::Store(1, 1), Step::Call(2, 1, 30_000), Step::Destroy(3)],
                _ => vec![Step::Invalid],
            };
            Step::Create(code(&steps), value)
        }),
        1 => (1_u8..6).prop_map(Step::Destroy),
        1 => Just(Step::Revert),
        1 => Just(Step::Invalid),
        1 => Just(Step::Spin),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_is_told_of_any_transaction_is_what_it_did(
        contracts in vec(vec(any_step(), 0..6), 4),
        create in prop::bool::weighted(0.1),
    ) {
        let state = state(&contracts);
        let tx = match create {
            true => transaction(TxKind::Create, code(&contracts[0]), 5),
            false => transaction(TxKind::Call(at(1)), Vec::new(), 5),
        };
        run(&state, &tx);
        let call = Invocation::new(contract(1), Program::default())
            .limit(Resources { compute: 400_000, ..Resources::UNLIMITED });
        run(&state, &ToyTransaction::new(toys(1), 0, &[Op::Call(call)]).decoded());
    }
}
