//! Contracts of Ethereum's and of another machine that call each other, in both directions and
//! through one another: what they see, what of it stands, and what a door refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod scenery;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address as hex_address, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue};
use polity_evm::{
    Evm, KIND, Unsigned, account, address, code_ref,
    gateway::{GATEWAY, IERC20, IForeign, IPolity, NATIVE, Refused},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Executed, Kernel, Machines, Scratch, TransactionOutput};
use polity_testkit::{
    script::{self, Said, Step, seen, tried, word},
    state::State,
    toy::{self, Invocation, Op, Program, Seen, Toy, ToyTransaction},
};
use polity_types::{AccountId, AccountRecord, AssetId, MachineKind, Resources, Status, Value};
use revm::context::TxEnv;

const TOY: MachineKind = MachineKind::new(0x70);
/// One whose contracts try what they may not.
const WILD: MachineKind = MachineKind::new(0x71);
const USER: Address = hex_address!("0x00000000000000000000000000000000000a11ce");

/// A contract that does what it is told.
fn script_at(number: u8) -> Address {
    Address::left_padding_from(&[0xc0, number])
}

fn a() -> Address {
    script_at(1)
}

fn b() -> Address {
    script_at(2)
}

/// Accounts of the other machine.
fn t(number: u8) -> AccountId {
    toy::account(TOY, number)
}

fn machines() -> Machines {
    let mut spec = ChainSpec::single(Fork::Osaka);
    spec.gateway = true;
    let machines = Machines::default().with(Evm::new(spec)).unwrap();
    machines.with(Toy::new(TOY)).unwrap().with(Toy::unruly(WILD)).unwrap()
}

fn block() -> BlockContext {
    scenery::block(0)
}

fn state() -> State {
    let mut state = State::default();
    let rich =
        |balance: u64| AccountRecord { balance: U256::from(balance), ..AccountRecord::default() };
    state.accounts.insert(account(USER), rich(1_000_000));
    state.accounts.insert(t(1), rich(1_000));
    state.accounts.insert(t(2), rich(1_000));
    let code = script::code();
    let hash = keccak256(&code);
    for address in [a(), b()] {
        let record =
            AccountRecord { sequence: 1, code: code_ref(hash), balance: U256::from(1_000) };
        state.accounts.insert(account(address), record);
    }
    state.codes.insert(hash, code);
    state
}

struct Ran {
    output: TransactionOutput,
    after: State,
}

impl Ran {
    fn seen(&self) -> Vec<Bytes> {
        assert_eq!(self.output.receipt.status, Status::Success, "{:?}", self.output.receipt);
        seen(&self.output.receipt.output).unwrap()
    }

    fn balance(&self, id: AccountId) -> u64 {
        self.after.accounts.get(&id).map_or(0, |record| record.balance.to())
    }

    fn slot(&self, id: AccountId, key: u64) -> u64 {
        let value = self.after.slots.get(&(id, toy::slot_key(key))).cloned().unwrap_or_default();
        value.as_word().unwrap().to()
    }

    fn said(&self) -> Vec<Vec<u8>> {
        let said = |event: &polity_types::Event| match event.topics.first() {
            Some(topic) if *topic == Said::SIGNATURE_HASH => {
                Bytes::abi_decode(&event.data).unwrap().to_vec()
            }
            _ => event.data.to_vec(),
        };
        self.output.effects.events.iter().map(said).collect()
    }
}

fn execute(state: &State, tx: &polity_kernel::Decoded) -> Ran {
    let (machines, block, mut scratch) = (machines(), block(), Scratch::default());
    let kernel = Kernel::new(&machines, &block, state, &mut scratch);
    match kernel.transact(tx, Resources::UNLIMITED).unwrap() {
        Executed::Included(output) => {
            let after = state.apply(&output.effects).unwrap();
            Ran { output, after }
        }
        Executed::Invalid { invalid, .. } => panic!("invalid: {invalid}"),
    }
}

fn send_on(state: &State, to: Address, value: u64, data: impl Into<Bytes>) -> Ran {
    let nonce = state.accounts[&account(USER)].sequence;
    let env = TxEnv {
        caller: USER,
        kind: TxKind::Call(to),
        value: U256::from(value),
        data: data.into(),
        gas_limit: 10_000_000,
        nonce,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    execute(state, &Unsigned::for_simulation().transaction(env, B256::ZERO))
}

/// A transaction of Ethereum's to contract A.
fn run(steps: &[Step]) -> Ran {
    send_on(&state(), a(), 0, script::run(steps))
}

/// A transaction of the other machine's.
fn run_toy(ops: &[Op]) -> Ran {
    execute(&state(), &ToyTransaction::new(t(1), 0, ops).decoded())
}

fn id(account: AccountId) -> (u8, B256) {
    (account.machine.byte(), account.address)
}

fn ops(ops: &[Op]) -> Bytes {
    Program::new(ops).0
}

fn call(target: AccountId, input: Bytes) -> Vec<u8> {
    let (machine, account) = id(target);
    IPolity::callCall { machine, account, input }.abi_encode()
}

fn delegate(target: AccountId, input: Bytes) -> Vec<u8> {
    let (machine, account) = id(target);
    IPolity::delegateCall { machine, account, input }.abi_encode()
}

fn query(target: AccountId, input: Bytes) -> Vec<u8> {
    let (machine, account) = id(target);
    IPolity::queryCall { machine, account, input }.abi_encode()
}

fn alias_of(target: AccountId) -> Vec<u8> {
    let (machine, account) = id(target);
    IPolity::aliasOfCall { machine, account }.abi_encode()
}

/// The other machine calls a contract of Ethereum's.
fn invoke(to: Address, steps: &[Step]) -> Invocation {
    let limit = Resources { compute: 3_000_000, ..Resources::UNLIMITED };
    Invocation::new(account(to), Program(script::run(steps))).limit(limit)
}

/// What a program of the other machine saw that the gateway called.
fn toy_seen(seen: &Bytes) -> Vec<Seen> {
    Seen::list(&IPolity::callCall::abi_decode_returns(seen).unwrap()).unwrap()
}

fn refusal(seen: &Bytes) -> String {
    let (ok, output) = tried(seen).unwrap();
    assert!(!ok);
    Refused::abi_decode(&output).unwrap().reason
}

fn stopped(seen: &Bytes) -> String {
    let (ok, output) = tried(seen).unwrap();
    assert!(!ok);
    polity_evm::gateway::Stopped::abi_decode(&output).unwrap().reason
}

mod calls {
    use super::*;

    #[test]
    fn a_contract_calls_another_machine_and_sees_its_answer() {
        let program = ops(&[Op::write(t(2), 1, 7), Op::read(t(2), 1)]);
        let ran = run(&[Step::call(GATEWAY, 0, call(t(2), program))]);
        assert_eq!(toy_seen(&ran.seen()[0]), [Seen::Value(Value::word(U256::from(7)))]);
        assert_eq!(ran.slot(t(2), 1), 7);
    }

    #[test]
    fn an_account_sends_its_transaction_straight_to_the_gateway() {
        let ran = send_on(&state(), GATEWAY, 0, call(t(2), ops(&[Op::write(t(2), 1, 7)])));
        assert_eq!(ran.output.receipt.status, Status::Success);
        assert_eq!(ran.slot(t(2), 1), 7);
    }

    #[test]
    fn value_goes_to_the_callee() {
        let program = ops(&[Op::ReadBalance(t(2))]);
        let ran = run(&[
            Step::call(GATEWAY, 30, call(t(2), program)),
            Step::balance(a()),
            Step::call(GATEWAY, 0, alias_of(t(2))),
            Step::balance(address(&t(2))),
        ]);
        let seen = ran.seen();
        assert_eq!(toy_seen(&seen[0]), [Seen::Amount(U256::from(1_030))]);
        assert_eq!(word(&seen[1]), Some(U256::from(970)));
        assert_eq!(word(&seen[3]), Some(U256::from(1_030)));
        assert_eq!((ran.balance(t(2)), ran.balance(account(a()))), (1_030, 970));
    }

    #[test]
    fn a_failed_callee_leaves_no_trace_and_gives_the_value_back() {
        for (end, reason) in [(Op::Revert, ""), (Op::Fail, "Failed")] {
            let program = [Op::write(t(2), 1, 7), Op::Emit("lost".into()), end];
            let ran = run(&[
                Step::write(1, 1),
                Step::attempt(GATEWAY, 30, call(t(2), ops(&program))),
                Step::emit("kept"),
            ]);
            let (ok, output) = tried(&ran.seen()[1]).unwrap();
            assert!(!ok);
            if reason.is_empty() {
                assert_eq!(Seen::list(&output), Some(Vec::new()));
            } else {
                assert_eq!(stopped(&ran.seen()[1]), reason);
            }
            assert_eq!((ran.slot(t(2), 1), ran.slot(account(a()), 1)), (0, 1));
            assert_eq!(ran.said(), [b"kept"]);
            assert_eq!((ran.balance(t(2)), ran.balance(account(a()))), (1_000, 1_000));
        }
    }

    #[test]
    fn what_a_reverted_frame_did_in_another_machine_is_undone() {
        let program = |n| ops(&[Op::write(t(2), n, 7), Op::Emit("lost".into())]);
        let inner = script::run(&[
            Step::emit("lost too"),
            Step::call(GATEWAY, 5, call(t(2), program(1))),
            Step::write(3, 3),
            Step::call(GATEWAY, 5, call(t(2), program(2))),
            Step::revert("so"),
        ]);
        let ran = run(&[
            Step::emit("first"),
            Step::call(GATEWAY, 7, call(t(2), ops(&[Op::write(t(2), 9, 9)]))),
            Step::attempt(b(), 0, inner),
            Step::emit("last"),
            Step::balance(b()),
        ]);
        assert_eq!(tried(&ran.seen()[2]), Some((false, "so".into())));
        assert_eq!([1, 2, 9].map(|key| ran.slot(t(2), key)), [0, 0, 9]);
        assert_eq!(ran.said(), [&b"first"[..], b"last"]);
        assert_eq!(word(&ran.seen()[4]), Some(U256::from(1_000)));
        assert_eq!((ran.balance(t(2)), ran.balance(account(b()))), (1_007, 1_000));
    }

    #[test]
    fn a_sibling_that_reverts_undoes_no_more_than_its_own() {
        let program = ops(&[Op::write(t(2), 1, 7)]);
        let hop = script::run(&[Step::call(GATEWAY, 0, call(t(2), program))]);
        let fails = script::run(&[Step::revert("")]);
        let ran = run(&[Step::call(b(), 0, hop), Step::attempt(b(), 0, fails)]);
        assert_eq!(ran.slot(t(2), 1), 7);
    }

    #[test]
    fn a_slot_that_is_set_back_after_a_hop_is_set_back() {
        let nothing = call(t(2), ops(&[]));
        let ran = run(&[Step::write(1, 5), Step::call(GATEWAY, 0, nothing), Step::write(1, 0)]);
        assert_eq!(ran.slot(account(a()), 1), 0);
    }

    #[test]
    fn events_stand_in_the_order_in_which_they_were_emitted() {
        let program = |text: &'static str| call(t(2), ops(&[Op::Emit(text.into())]));
        let ran = run(&[
            Step::emit("1"),
            Step::call(GATEWAY, 0, program("2")),
            Step::emit("3"),
            Step::call(GATEWAY, 0, program("4")),
            Step::emit("5"),
        ]);
        assert_eq!(ran.said(), [b"1", b"2", b"3", b"4", b"5"]);
    }

    #[test]
    fn gas_is_the_callers_and_bounds_the_callee() {
        let drain = call(t(2), ops(&[Op::write(t(2), 1, 1), Op::Drain { meter: 0 }, Op::Revert]));
        let over = call(t(2), ops(&[Op::charge(polity_types::Meter::Compute, 200_000)]));
        let ran = run(&[
            Step::attempt_limited(GATEWAY, 100_000, drain),
            Step::attempt_limited(GATEWAY, 100_000, over),
            Step::write(1, 1),
        ]);
        assert_eq!(stopped(&ran.seen()[1]), "OutOf:compute");
        assert_eq!((ran.slot(t(2), 1), ran.slot(account(a()), 1)), (0, 1));
        let used = ran.output.receipt.used.compute;
        assert!((200_000..400_000).contains(&used), "{used}");
        // Gas of both machines is paid for, and counted once.
        assert_eq!(ran.output.receipt.gas_used, used);
    }

    #[test]
    fn the_depth_is_bounded_across_machines() {
        let mut program = ops(&[Op::write(t(2), 1, 1)]);
        for _ in 0..100 {
            let steps = [Step::attempt(GATEWAY, 0, call(t(2), program))];
            program = ops(&[Op::Call(Invocation::new(account(a()), Program(script::run(&steps))))]);
        }
        let ran = run(&[Step::attempt(GATEWAY, 0, call(t(2), program))]);
        assert_eq!(ran.output.receipt.status, Status::Success);
        assert_eq!(ran.slot(t(2), 1), 0);
    }
}

mod reentrance {
    use super::*;

    /// A of Ethereum, the other machine, A again: all see what was done before.
    #[test]
    fn all_earlier_writes_are_seen() {
        let again = Op::Call(invoke(a(), &[Step::add(1, 10), Step::read_transient(4)]));
        let program = ops(&[again.clone(), Op::write(t(2), 1, 7), again]);
        let ran = run(&[
            Step::add(1, 1),
            Step::write_transient(4, 44),
            Step::call(GATEWAY, 0, call(t(2), program)),
            Step::add(1, 100),
        ]);
        let sums: Vec<_> = toy_seen(&ran.seen()[2])
            .into_iter()
            .map(|called| match called {
                Seen::Called { status: Status::Success, output } => {
                    let seen = seen(&output).unwrap();
                    (word(&seen[0]).unwrap().to::<u64>(), word(&seen[1]).unwrap().to::<u64>())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sums, [(11, 44), (21, 44)]);
        assert_eq!(word(&ran.seen()[3]), Some(U256::from(121)));
        assert_eq!(ran.slot(account(a()), 1), 121);
    }

    #[test]
    fn what_the_inner_frame_did_is_undone_with_it() {
        let again = Op::Call(invoke(a(), &[Step::add(1, 10), Step::emit("no"), Step::revert("")]));
        let ran = run(&[
            Step::add(1, 1),
            Step::call(GATEWAY, 0, call(t(2), ops(&[again, Op::write(t(2), 1, 7)]))),
            Step::add(1, 100),
        ]);
        assert_eq!((ran.slot(account(a()), 1), ran.slot(t(2), 1)), (101, 7));
        assert!(ran.said().is_empty());
    }

    /// An inner frame that a meter of the kernel's stops midway does not end as revm's frames do.
    #[test]
    fn a_frame_around_one_that_was_stopped_midway_is_undone_as_a_whole() {
        for reads in 0..6 {
            let stopped = Resources { reads, compute: 1_000_000, ..Resources::UNLIMITED };
            let look = script::run(&[Step::balance(script_at(99))]);
            let deep = [Step::attempt(a(), 0, look)];
            let again = Op::Call(invoke(b(), &deep).limit(stopped));
            let inner = script::run(&[
                Step::call(GATEWAY, 0, call(t(2), ops(&[Op::write(t(2), 1, 7)]))),
                Step::call(GATEWAY, 0, call(t(2), ops(&[again]))),
                Step::revert("so"),
            ]);
            let ran = run(&[Step::attempt(b(), 0, inner), Step::add(1, 1)]);
            assert_eq!(tried(&ran.seen()[0]), Some((false, "so".into())), "{reads} reads");
            let slots = (ran.slot(t(2), 1), ran.slot(account(a()), 1));
            assert_eq!(slots, (0, 1), "{reads} reads");
        }
    }

    #[test]
    fn the_middle_frame_takes_the_inner_one_with_it() {
        let again = Op::Call(invoke(a(), &[Step::add(1, 10), Step::emit("no")]));
        let ran = run(&[
            Step::add(1, 1),
            Step::attempt(GATEWAY, 0, call(t(2), ops(&[again, Op::Revert]))),
            Step::add(1, 100),
        ]);
        assert_eq!(ran.slot(account(a()), 1), 101);
        assert!(ran.said().is_empty());
    }

    #[test]
    fn a_contract_can_forbid_it() {
        let lock = IPolity::lockCall {}.abi_encode();
        let unlock = IPolity::unlockCall {}.abi_encode();
        let direct = ops(&[Op::Call(invoke(a(), &[Step::add(1, 10)]))]);
        // Not by another contract of the same machine, either.
        let through = [Step::attempt(a(), 0, script::run(&[Step::add(1, 10)])), Step::add(1, 1)];
        let through = ops(&[Op::Call(invoke(b(), &through))]);
        let ran = run(&[
            Step::call(GATEWAY, 0, lock),
            Step::call(GATEWAY, 0, call(t(2), direct.clone())),
            Step::call(GATEWAY, 0, call(t(2), through)),
            Step::call(GATEWAY, 0, unlock),
            Step::call(GATEWAY, 0, call(t(2), direct)),
        ]);
        let refused =
            Seen::Called { status: Status::Failed("Reentrant".into()), output: Bytes::new() };
        assert_eq!(toy_seen(&ran.seen()[1]), [refused]);
        assert_eq!((ran.slot(account(a()), 1), ran.slot(account(b()), 1)), (10, 1));
        let [Seen::Called { output, .. }] = &toy_seen(&ran.seen()[2])[..] else { panic!() };
        assert_eq!(refusal(&seen(output).unwrap()[0]), "Reentrant");
    }

    #[test]
    fn the_other_way_round() {
        let hop =
            Step::call(GATEWAY, 0, call(t(1), ops(&[Op::read(t(1), 1), Op::write(t(1), 1, 8)])));
        let ran = run_toy(&[
            Op::write(t(1), 1, 7),
            Op::Call(invoke(a(), &[hop, Step::add(1, 1)])),
            Op::read(t(1), 1),
        ]);
        assert_eq!((ran.slot(t(1), 1), ran.slot(account(a()), 1)), (8, 1));
        let seen_by_toy = Seen::list(&ran.output.receipt.output).unwrap();
        assert_eq!(seen_by_toy[1], Seen::Value(Value::word(U256::from(8))));
    }

    /// A circle of calls through four frames of two machines.
    #[test]
    fn circles_are_allowed() {
        let d = Op::Call(invoke(b(), &[Step::add(1, 1), Step::sender()]));
        let c = Step::call(GATEWAY, 0, call(t(1), ops(&[Op::write(t(1), 1, 1), d])));
        let b_ = Op::Call(invoke(b(), &[Step::add(1, 1), c]));
        let ran = run(&[Step::add(1, 1), Step::call(GATEWAY, 0, call(t(2), ops(&[b_])))]);
        assert_eq!((ran.slot(account(b()), 1), ran.slot(t(1), 1)), (2, 1));
    }
}

mod authority {
    use super::*;

    #[test]
    fn the_callee_sees_who_calls_and_nobody_else() {
        // The user calls A, A calls the other machine, which calls B.
        let program = ops(&[Op::Call(invoke(b(), &[Step::sender()]))]);
        let ran = run(&[Step::call(GATEWAY, 0, call(t(2), program))]);
        let [Seen::Called { output, .. }] = &toy_seen(&ran.seen()[0])[..] else { panic!() };
        let sender = Address::abi_decode(&seen(output).unwrap()[0]).unwrap();
        assert_eq!(sender, address(&t(2)));
        // The name resolves from now on.
        let record = ran.after.accounts[&account(sender)];
        assert_eq!(record.code, Some(polity_kernel::alias::code(&t(2)).0));
    }

    #[test]
    fn nobody_borrows_the_name_of_who_calls_it() {
        let program = call(t(2), ops(&[Op::write(t(2), 1, 7)]));
        let ran = run(&[
            Step::attempt_delegate(GATEWAY, program),
            Step::attempt_delegate(
                NATIVE,
                IERC20::transferCall { to: b(), value: U256::ONE }.abi_encode(),
            ),
        ]);
        assert_eq!(refusal(&ran.seen()[0]), "DelegateCall");
        assert_eq!(refusal(&ran.seen()[1]), "DelegateCall");
        assert_eq!(ran.slot(t(2), 1), 0);
    }

    #[test]
    fn an_account_that_delegates_to_the_gateway_is_no_gateway() {
        // EIP-7702: the user's account runs the gateway's code.
        let mut state = state();
        let code = Bytes::from([&[0xef, 0x01, 0x00], GATEWAY.as_slice()].concat());
        let hash = keccak256(&code);
        let wallet = Address::with_last_byte(0x77);
        let record = AccountRecord { code: code_ref(hash), ..AccountRecord::default() };
        state.accounts.insert(account(wallet), record);
        state.codes.insert(hash, code);
        let steps = [Step::attempt(wallet, 0, call(t(2), ops(&[Op::write(t(2), 1, 7)])))];
        let ran = send_on(&state, a(), 0, script::run(&steps));
        assert_eq!(refusal(&ran.seen()[0]), "DelegateCall");
    }

    #[test]
    fn read_only_stays_read_only() {
        let write = ops(&[Op::write(t(2), 1, 7)]);
        let back = ops(&[Op::Call(invoke(a(), &[Step::add(1, 10)]))]);
        let look = ops(&[Op::Call(invoke(a(), &[Step::read(1)]))]);
        let ran = run(&[
            Step::write(1, 5),
            Step::attempt(GATEWAY, 0, query(t(2), write.clone())),
            Step::attempt_static(GATEWAY, call(t(2), write)),
            Step::call(GATEWAY, 0, query(t(2), back)),
            Step::call(GATEWAY, 0, query(t(2), look)),
            Step::attempt_static(GATEWAY, alias_of(t(2))),
            Step::attempt(GATEWAY, 5, query(t(2), ops(&[]))),
        ]);
        let seen_ = ran.seen();
        assert_eq!(stopped(&seen_[1]), "ReadOnly");
        assert_eq!(stopped(&seen_[2]), "ReadOnly");
        let [Seen::Called { status, .. }] = &toy_seen(&seen_[3])[..] else { panic!() };
        assert_eq!(*status, Status::Failed("StateChangeDuringStaticCall".into()));
        let [Seen::Called { output, .. }] = &toy_seen(&seen_[4])[..] else { panic!() };
        assert_eq!(word(&seen(output).unwrap()[0]), Some(U256::from(5)));
        assert_eq!(refusal(&seen_[5]), "ReadOnly");
        assert_eq!(refusal(&seen_[6]), "NotPayable");
        assert_eq!((ran.slot(t(2), 1), ran.slot(account(a()), 1)), (0, 5));
    }

    /// What is no address of Ethereum's is not taken for the one at its end, which would be told
    /// of ether that it was not given.
    #[test]
    fn an_account_with_too_long_an_address_is_nobody() {
        let mut address = account(a()).address;
        address.0[0] = 1;
        let nobody = AccountId::new(KIND, address);
        let limit = Resources { compute: 1_000_000, ..Resources::UNLIMITED };
        let input = Program(script::run(&[Step::value()]));
        let ran = run_toy(&[Op::Call(Invocation::new(nobody, input).limit(limit).value(5))]);
        let seen = Seen::list(&ran.output.receipt.output).unwrap();
        let refused = Status::Failed("NoSuchAccount".into());
        assert_eq!(seen, [Seen::Called { status: refused, output: Bytes::new() }]);
        assert_eq!((ran.balance(nobody), ran.balance(t(1))), (0, 1_000));
    }

    #[test]
    fn neighbours_are_not_called_through_the_gateway() {
        let ran = run(&[
            Step::attempt(GATEWAY, 0, call(account(b()), script::run(&[Step::sender()]))),
            Step::attempt(GATEWAY, 0, call(AssetId::NATIVE.account(), Bytes::new())),
            Step::attempt(GATEWAY, 0, "nonsense"),
            Step::attempt(GATEWAY, 0, ""),
            Step::attempt(
                GATEWAY,
                0,
                call(AccountId::new(MachineKind::new(9), B256::ZERO), Bytes::new()),
            ),
        ]);
        let seen = ran.seen();
        assert_eq!(refusal(&seen[0]), "NotForeign");
        assert_eq!(refusal(&seen[1]), "NotForeign");
        assert_eq!(refusal(&seen[2]), "UnknownFunction");
        assert_eq!(refusal(&seen[3]), "UnknownFunction");
        assert_eq!(stopped(&seen[4]), "NoMachineForTarget");
    }
}

mod aliases {
    use super::*;

    #[test]
    fn an_alias_is_a_contract_with_an_interface() {
        let name = address(&t(2));
        let input = ops(&[Op::write(t(2), 1, 7), Op::ReadBalance(t(2))]);
        let look = ops(&[Op::read(t(2), 1)]);
        let ran = run(&[
            Step::call(GATEWAY, 0, alias_of(t(2))),
            Step::call(name, 9, IForeign::invokeCall { input: input.clone() }.abi_encode()),
            Step::call(name, 0, IForeign::queryCall { input: look }.abi_encode()),
            Step::attempt(name, 0, IForeign::queryCall { input }.abi_encode()),
            Step::call(GATEWAY, 0, IPolity::accountOfCall { name }.abi_encode()),
            Step::attempt(name, 0, "nonsense"),
        ]);
        let seen = ran.seen();
        assert_eq!(Address::abi_decode(&seen[0]).unwrap(), name);
        assert_eq!(toy_seen(&seen[1]), [Seen::Amount(U256::from(1_009))]);
        assert_eq!(toy_seen(&seen[2]), [Seen::Value(Value::word(U256::from(7)))]);
        assert_eq!(stopped(&seen[3]), "ReadOnly");
        assert_eq!(<(U256, B256)>::abi_decode(&seen[4]).unwrap(), (U256::from(0x70), t(2).address));
        assert_eq!(refusal(&seen[5]), "UnknownFunction");
        assert_eq!((ran.balance(t(2)), ran.slot(t(2), 1)), (1_009, 7));
    }

    #[test]
    fn ether_sent_to_an_alias_is_its_accounts_also_from_before() {
        let name = address(&t(2));
        let ran = run(&[
            Step::send(name, 3),
            Step::balance(name),
            Step::call(GATEWAY, 0, alias_of(t(2))),
            Step::balance(name),
            Step::send(name, 4),
            Step::balance(name),
        ]);
        let words: Vec<u64> = [1, 3, 5].map(|at| word(&ran.seen()[at]).unwrap().to()).into();
        assert_eq!(words, [3, 1_003, 1_007]);
        assert_eq!((ran.balance(t(2)), ran.balance(account(name))), (1_007, 0));
        // And in the next transaction, which only sends.
        let ran = send_on(&ran.after, name, 5, "");
        assert_eq!(ran.output.receipt.status, Status::Success);
        assert_eq!((ran.balance(t(2)), ran.balance(account(name))), (1_012, 0));
    }

    #[test]
    fn ether_to_an_alias_costs_no_more_than_ether_elsewhere() {
        let name = address(&t(2));
        let ran = run(&[Step::call(GATEWAY, 0, alias_of(t(2)))]);
        let env = TxEnv {
            caller: USER,
            kind: TxKind::Call(name),
            value: U256::from(5),
            gas_limit: 21_000,
            nonce: 1,
            chain_id: Some(1),
            ..TxEnv::default()
        };
        let ran = execute(&ran.after, &Unsigned::for_simulation().transaction(env, B256::ZERO));
        assert_eq!(ran.output.receipt.status, Status::Success);
        assert_eq!((ran.output.receipt.gas_used, ran.balance(t(2))), (21_000, 1_005));
    }

    #[test]
    fn that_an_alias_was_recorded_is_undone() {
        let name = address(&t(2));
        let inner = script::run(&[
            Step::balance(name),
            Step::call(GATEWAY, 0, alias_of(t(2))),
            Step::send(name, 4),
            Step::revert(""),
        ]);
        let ran = run(&[
            Step::send(name, 3),
            Step::attempt(b(), 0, inner),
            Step::balance(name),
            Step::send(name, 1),
        ]);
        assert_eq!(word(&ran.seen()[2]), Some(U256::from(3)));
        assert_eq!((ran.balance(t(2)), ran.balance(account(name))), (1_000, 4));
    }

    #[test]
    fn a_beneficiary_of_a_destroyed_contract_may_be_an_alias() {
        // PUSH20 name, SELFDESTRUCT.
        let name = address(&t(2));
        let mut state = state();
        let code = Bytes::from([&[0x73], name.as_slice(), &[0xff]].concat());
        let hash = keccak256(&code);
        let bomb = Address::left_padding_from(&[0xb0, 0x0b]);
        let record = AccountRecord { balance: U256::from(50), sequence: 1, code: code_ref(hash) };
        state.accounts.insert(account(bomb), record);
        state.codes.insert(hash, code);
        let steps = [Step::call(GATEWAY, 0, alias_of(t(2))), Step::call(bomb, 0, "")];
        let ran = send_on(&state, a(), 0, script::run(&steps));
        assert_eq!(ran.output.receipt.status, Status::Success);
        assert_eq!((ran.balance(t(2)), ran.balance(account(bomb))), (1_050, 0));
    }
}

mod assets {
    use super::*;

    fn issue() -> Vec<u8> {
        IPolity::issueCall {
            salt: B256::with_last_byte(1),
            decimals: 6,
            symbol: "TST".into(),
            name: "Test".into(),
        }
        .abi_encode()
    }

    fn asset() -> AssetId {
        AssetId::issued(&account(a()), &B256::with_last_byte(1))
    }

    fn token() -> Address {
        address(&asset().account())
    }

    fn mint(to: AccountId, amount: u64) -> Vec<u8> {
        let (machine, to) = id(to);
        IPolity::mintCall { asset: asset().0, machine, to, amount: U256::from(amount) }.abi_encode()
    }

    fn balance_of(owner: Address) -> Step {
        Step::call(token(), 0, IERC20::balanceOfCall { owner }.abi_encode())
    }

    fn transfer(to: Address, value: u64) -> Vec<u8> {
        IERC20::transferCall { to, value: U256::from(value) }.abi_encode()
    }

    fn held(ran: &Ran, holder: AccountId) -> u64 {
        let key = polity_kernel::holding_key(&holder);
        let value = ran.after.slots.get(&(asset().account(), key)).cloned().unwrap_or_default();
        value.as_word().unwrap().to()
    }

    #[test]
    fn an_issued_asset_is_a_token() {
        let ran = run(&[
            Step::call(GATEWAY, 0, issue()),
            Step::call(GATEWAY, 0, mint(account(a()), 100)),
            Step::call(token(), 0, IERC20::nameCall {}.abi_encode()),
            Step::call(token(), 0, IERC20::decimalsCall {}.abi_encode()),
            Step::call(token(), 0, transfer(b(), 30)),
            Step::attempt(token(), 0, transfer(b(), 71)),
            Step::call(
                token(),
                0,
                IERC20::approveCall { spender: b(), value: U256::from(9) }.abi_encode(),
            ),
            Step::call(
                b(),
                0,
                script::run(&[
                    Step::call(
                        token(),
                        0,
                        IERC20::transferFromCall { from: a(), to: USER, value: U256::from(4) }
                            .abi_encode(),
                    ),
                    Step::attempt(
                        token(),
                        0,
                        IERC20::transferFromCall { from: a(), to: USER, value: U256::from(6) }
                            .abi_encode(),
                    ),
                ]),
            ),
            balance_of(a()),
            Step::call(
                GATEWAY,
                0,
                IPolity::burnCall { asset: asset().0, amount: U256::from(6) }.abi_encode(),
            ),
            Step::call(token(), 0, IERC20::totalSupplyCall {}.abi_encode()),
            Step::attempt(GATEWAY, 0, issue()),
        ]);
        let seen_ = ran.seen();
        let issued = IPolity::issueCall::abi_decode_returns(&seen_[0]).unwrap();
        assert_eq!((issued.asset, issued.token), (asset().0, token()));
        assert_eq!(String::abi_decode(&seen_[2]).unwrap(), "Test");
        assert_eq!(word(&seen_[3]), Some(U256::from(6)));
        assert_eq!(refusal(&seen_[5]), "InsufficientBalance");
        let of_b = <Vec<Bytes>>::abi_decode(&seen_[7]).unwrap();
        assert_eq!(refusal(&of_b[1]), "InsufficientAllowance");
        assert_eq!(word(&seen_[8]), Some(U256::from(66)));
        assert_eq!(word(&seen_[10]), Some(U256::from(94)));
        assert_eq!(refusal(&seen_[11]), "AlreadyIssued");
        assert_eq!([a(), b(), USER].map(|of| held(&ran, account(of))), [60, 30, 4]);
        let logs =
            ran.output.effects.events.iter().filter(|event| event.emitter == account(token()));
        assert_eq!(logs.count(), 3);
    }

    #[test]
    fn only_the_issuer_mints_and_only_the_holder_spends() {
        let from = IERC20::transferFromCall { from: a(), to: b(), value: U256::ONE };
        let ran = run(&[
            Step::call(GATEWAY, 0, issue()),
            Step::call(GATEWAY, 0, mint(account(a()), 100)),
            Step::call(
                b(),
                0,
                script::run(&[
                    Step::attempt(GATEWAY, 0, mint(account(b()), 1)),
                    Step::attempt(token(), 0, from.abi_encode()),
                    Step::attempt(token(), 0, transfer(b(), 1)),
                ]),
            ),
            Step::attempt(
                GATEWAY,
                0,
                IPolity::mintCall {
                    asset: B256::ZERO,
                    machine: 1,
                    to: B256::ZERO,
                    amount: U256::ONE,
                }
                .abi_encode(),
            ),
            Step::attempt(token(), 1, transfer(b(), 1)),
            Step::attempt_static(token(), transfer(b(), 1)),
        ]);
        let of_b = <Vec<Bytes>>::abi_decode(&ran.seen()[2]).unwrap();
        assert_eq!(
            [&of_b[0], &of_b[1], &of_b[2]].map(refusal),
            ["NotIssuer", "InsufficientAllowance", "InsufficientBalance"]
        );
        assert_eq!(refusal(&ran.seen()[3]), "NotIssuer");
        assert_eq!(refusal(&ran.seen()[4]), "NotPayable");
        assert_eq!(refusal(&ran.seen()[5]), "ReadOnly");
        assert_eq!(held(&ran, account(a())), 100);
    }

    #[test]
    fn an_asset_moves_to_another_machine_and_its_alias_shows_it() {
        let send = |amount| {
            let (machine, to) = id(t(2));
            IPolity::sendCall { asset: asset().0, machine, to, amount: U256::from(amount) }
        };
        let name = address(&t(2));
        let ran = run(&[
            Step::call(GATEWAY, 0, issue()),
            Step::call(GATEWAY, 0, mint(account(a()), 100)),
            Step::call(token(), 0, transfer(name, 5)),
            Step::call(GATEWAY, 0, alias_of(t(2))),
            Step::call(GATEWAY, 0, IPolity::collectCall { asset: asset().0, name }.abi_encode()),
            Step::call(token(), 0, transfer(name, 6)),
            Step::call(GATEWAY, 0, send(7_u64).abi_encode()),
            balance_of(name),
        ]);
        assert_eq!(word(&ran.seen()[7]), Some(U256::from(18)));
        assert_eq!(
            (held(&ran, t(2)), held(&ran, account(a())), held(&ran, account(name))),
            (18, 82, 0)
        );
    }

    #[test]
    fn nothing_is_sent_to_who_cannot_be() {
        let mut long = account(b());
        long.address.0[3] = 1;
        let nowhere = AccountId::new(MachineKind::new(9), B256::ZERO);
        let send = |to: AccountId| {
            let (machine, to) = id(to);
            let amount = U256::ONE;
            Step::attempt(
                GATEWAY,
                0,
                IPolity::sendCall { asset: asset().0, machine, to, amount }.abi_encode(),
            )
        };
        let ran = run(&[
            Step::call(GATEWAY, 0, issue()),
            Step::call(GATEWAY, 0, mint(account(a()), 100)),
            send(long),
            send(nowhere),
            send(AssetId::NATIVE.account()),
            Step::attempt(GATEWAY, 0, mint(nowhere, 1)),
            Step::attempt(GATEWAY, 0, alias_of(nowhere)),
            Step::attempt(GATEWAY, 0, alias_of(long)),
        ]);
        for seen in &ran.seen()[2..] {
            assert_eq!(refusal(seen), "UnknownAccount");
        }
        assert_eq!(held(&ran, account(a())), 100);
    }

    #[test]
    fn what_a_reverted_frame_moved_is_where_it_was() {
        let inner = script::run(&[Step::call(token(), 0, transfer(a(), 20)), Step::revert("")]);
        let ran = run(&[
            Step::call(GATEWAY, 0, issue()),
            Step::call(GATEWAY, 0, mint(account(b()), 100)),
            Step::attempt(b(), 0, inner),
            balance_of(a()),
        ]);
        assert_eq!(word(&ran.seen()[3]), Some(U256::ZERO));
        assert_eq!((held(&ran, account(a())), held(&ran, account(b()))), (0, 100));
        assert!(ran.output.effects.events.is_empty());
    }

    #[test]
    fn the_native_asset_is_a_token_as_well() {
        let balance = |owner| Step::call(NATIVE, 0, IERC20::balanceOfCall { owner }.abi_encode());
        let ran = run(&[
            Step::send(b(), 10),
            balance(b()),
            Step::call(NATIVE, 0, transfer(b(), 30)),
            Step::balance(b()),
            Step::call(
                NATIVE,
                0,
                IERC20::approveCall { spender: b(), value: U256::MAX }.abi_encode(),
            ),
            Step::call(
                b(),
                0,
                script::run(&[Step::call(
                    NATIVE,
                    0,
                    IERC20::transferFromCall { from: a(), to: USER, value: U256::from(4) }
                        .abi_encode(),
                )]),
            ),
            Step::attempt(NATIVE, 0, transfer(b(), 10_000)),
            Step::attempt_static(NATIVE, IERC20::balanceOfCall { owner: b() }.abi_encode()),
            Step::balance(a()),
        ]);
        let seen_ = ran.seen();
        assert_eq!(word(&seen_[1]), Some(U256::from(1_010)));
        assert_eq!(word(&seen_[3]), Some(U256::from(1_040)));
        assert_eq!(refusal(&seen_[6]), "InsufficientBalance");
        assert_eq!(word(&tried(&seen_[7]).unwrap().1), Some(U256::from(1_040)));
        assert_eq!(word(&seen_[8]), Some(U256::from(956)));
        assert_eq!((ran.balance(account(a())), ran.balance(account(b()))), (956, 1_040));
        assert_eq!(ran.balance(account(USER)), 1_000_004);
    }

    #[test]
    fn another_machines_account_does_not_spend_here_without_delegation() {
        // The toy is who calls the token, as its alias, which holds nothing of its own here.
        let value = U256::ONE;
        let transfer = IERC20::transferCall { to: b(), value }.abi_encode();
        let limit = Resources { compute: 1_000_000, ..Resources::UNLIMITED };
        let call = Invocation::new(account(NATIVE), Program(transfer.into())).limit(limit);
        let ran = run_toy(&[Op::Call(call)]);
        let seen = Seen::list(&ran.output.receipt.output).unwrap();
        let [Seen::Called { status: Status::Reverted, output }] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(Refused::abi_decode(output).unwrap().reason, "NotDelegated");
        assert_eq!(ran.balance(t(1)), 1_000);
    }

    #[test]
    fn a_delegate_spends_what_its_caller_has() {
        let wild = toy::account(WILD, 1);
        let take = ops(&[Op::transfer(account(a()), t(2), 40), Op::ReadBalance(account(a()))]);
        let ran = run(&[
            Step::send(b(), 1),
            Step::call(GATEWAY, 0, delegate(wild, take)),
            Step::balance(a()),
        ]);
        assert_eq!(toy_seen(&ran.seen()[1])[1], Seen::Amount(U256::from(959)));
        assert_eq!(word(&ran.seen()[2]), Some(U256::from(959)));
        assert_eq!((ran.balance(account(a())), ran.balance(t(2))), (959, 1_040));
    }
}
