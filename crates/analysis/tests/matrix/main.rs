//! The matrix: contracts of every ordered pair of machines and of every triple A→B→A call each
//! other, and succeed or fail in each frame, run out of resources in each, send value, emit, may
//! only look, come back, go too deep. What is left is compared with what should be, and parallel
//! execution with sequential execution.
//!
//! A machine takes part by one line in [`MEMBERS`].

#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod anything;
mod conservation;
mod evm;
mod script;
mod svm;
mod toy;

use conservation::HELD;
use polity_engine::{Block, BlockOutput, Parallel, Sequential};
use polity_evm::{
    Evm,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Decoded, Inputs, Machines, TransactionOutput};
use polity_svm::Svm;
use polity_testkit::{state::State, toy::Toy};
use polity_types::{AccountId, B256, Effects, MachineKind, Resources};
use script::{Act, Contract, Member, Seen, lamports};
use std::num::NonZeroUsize;

const TOY: MachineKind = MachineKind::new(0x70);
const OTHER: MachineKind = MachineKind::new(0x71);

const MEMBERS: [&dyn Member; 4] = [
    &toy::ToyMember(TOY, "toy"),
    &toy::ToyMember(OTHER, "other toy"),
    &evm::EvmMember,
    &svm::SvmMember,
];

fn machines() -> Machines {
    let mut spec = ChainSpec::single(Fork::Osaka);
    spec.gateway = true;
    spec.request_contracts_optional = true;
    let machines = Machines::default().with(Evm::new(spec)).unwrap().with(Svm::new()).unwrap();
    machines.with(Toy::new(TOY)).unwrap().with(Toy::new(OTHER)).unwrap()
}

fn context() -> BlockContext {
    let context = BlockContext {
        chain_id: 1,
        number: 100,
        timestamp: 1_000,
        beneficiary: polity_evm::account(polity_types::Address::with_last_byte(0xbe)),
        randomness: B256::ZERO,
        inputs: Inputs::default(),
    };
    svm::block(evm::block(context))
}

fn state() -> State {
    let mut state = State::default();
    for member in MEMBERS {
        member.prepare(&mut state);
    }
    conservation::prepare(&mut state);
    state
}

/// What a transaction did that told contract 0 of a machine to do this.
struct Ran {
    member: usize,
    acts: Vec<Act>,
    output: TransactionOutput,
    before: State,
    after: State,
}

impl Ran {
    fn seen(&self) -> Vec<Seen> {
        let receipt = &self.output.receipt;
        assert!(receipt.status.is_success(), "{receipt:?}");
        MEMBERS[self.member].outcome(&self.acts, receipt, &MEMBERS)
    }

    fn word(&self, contract: Contract, place: u8) -> u64 {
        MEMBERS[contract.machine].word(&self.after, contract.number, place)
    }

    fn change(&self, account: AccountId) -> i128 {
        let of = |state: &State| {
            let balance =
                state.accounts.get(&account).map_or_else(Default::default, |record| record.balance);
            i128::try_from(balance.saturating_to::<u128>()).unwrap()
        };
        of(&self.after) - of(&self.before)
    }

    /// The texts that were emitted, with the machine of the emitter.
    fn said(&self) -> Vec<(usize, String)> {
        let said = self.output.effects.events.iter().filter_map(|event| {
            let is =
                |member: &&dyn Member| (0..3).any(|number| member.account(number) == event.emitter);
            let at = MEMBERS.iter().position(is)?;
            Some((at, MEMBERS[at].text(&event.data)))
        });
        said.collect()
    }
}

/// Runs a transaction on a fresh state, and blocks of three senders' such transactions on every
/// engine.
fn run(member: usize, acts: &[Act]) -> Ran {
    let before = state();
    let (output, after) = transact(member, acts, &before);
    Ran { member, acts: acts.to_vec(), output, before, after }
}

fn transact(member: usize, acts: &[Act], before: &State) -> (TransactionOutput, State) {
    let transaction = |sender| MEMBERS[member].transaction(sender, acts, &MEMBERS);
    let one = vec![transaction(0)];
    let block =
        Block { context: context(), transactions: one, transaction_limit: Resources::UNLIMITED };
    let one = Sequential::new().execute(&machines(), before, &block).unwrap();
    let (three, _) = execute(before, (0..3).map(transaction).collect());
    assert_eq!(one.transactions[0], three.transactions[0]);
    let output = one.transactions.into_iter().next().unwrap();
    let after = before.apply(&output.effects).unwrap();
    (output, after)
}

/// Executes a block on every engine.
fn execute(before: &State, transactions: Vec<Decoded>) -> (BlockOutput, State) {
    let machines = machines();
    let block = Block { context: context(), transactions, transaction_limit: Resources::UNLIMITED };
    let sequential = Sequential::new().execute(&machines, before, &block).unwrap();
    for threads in [2, 4] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut engine = Parallel::new(threads).unwrap().with_least_gas(0);
        let parallel = engine.execute(&machines, before, &block).unwrap();
        assert_eq!(parallel, sequential, "{threads} threads");
    }
    let apply = |state: State, effects: &Effects| state.apply(effects);
    let after = sequential.effects().try_fold(before.clone(), apply).unwrap();
    conserved(before, &after, sequential.effects());
    (sequential, after)
}

/// The native asset is what it was, but for what was minted and burnt.
fn conserved<'a>(before: &State, after: &State, effects: impl Iterator<Item = &'a Effects>) {
    let sum = |state: &State| {
        state.accounts.values().fold(lamports(0), |sum, record| sum + record.balance)
    };
    let (minted, burned) = effects.fold((lamports(0), lamports(0)), |(minted, burned), effects| {
        (minted + effects.minted, burned + effects.burned)
    });
    assert_eq!(sum(before) + minted, sum(after) + burned);
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    let all = 0..MEMBERS.len();
    all.clone().flat_map(move |a| all.clone().map(move |b| (a, b))).filter(|(a, b)| a != b)
}

const fn at(machine: usize, number: u8) -> Contract {
    Contract { machine, number }
}

/// Runs a case for every pair, and says of which one it fails.
fn each(case: impl Fn(usize, usize) + std::panic::RefUnwindSafe) {
    for (a, b) in pairs() {
        let ran = std::panic::catch_unwind(|| case(a, b));
        if let Err(panic) = ran {
            eprintln!("from {} to {}", MEMBERS[a].name(), MEMBERS[b].name());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_call_does_what_it_is_told_and_its_answer_comes_back() {
    each(|a, b| {
        let inner = [Act::Write(1, 7), Act::Add(1, 3), Act::Emit("b")];
        let acts = [
            Act::Add(2, 1),
            Act::Emit("a1"),
            Act::call(at(b, 1), &inner),
            Act::Add(2, 1),
            Act::Emit("a2"),
        ];
        let ran = run(a, &acts);
        assert_eq!(Seen::words(&ran.seen()), [1, 10, 2]);
        assert_eq!((ran.word(at(a, 0), 2), ran.word(at(b, 1), 1)), (2, 10));
        let said = ran.said();
        // A transaction of Solana's logs; its lines are no events.
        let of_b: Vec<_> = said.iter().filter(|(machine, _)| *machine == b).collect();
        assert_eq!(of_b, [&(b, "b".to_string())]);
        if said.len() > 1 {
            let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["a1", "b", "a2"]);
        }
    });
}

#[test]
fn value_goes_along() {
    each(|a, b| {
        let ran = run(a, &[Act::pay(at(b, 1), 5, &[Act::Write(1, 7)]), Act::pay(at(b, 1), 6, &[])]);
        assert!(matches!(ran.seen()[..], [Seen::Called(_), Seen::Called(_)]), "{:?}", ran.seen());
        let moved = i128::try_from(lamports(11).to::<u128>()).unwrap();
        assert_eq!(ran.change(MEMBERS[a].payer(0)), -moved);
        assert_eq!(ran.change(MEMBERS[b].purse(1)), moved);
    });
}

#[test]
fn assets_move_between_machines() {
    each(|a, b| {
        let there = Act::call(at(b, 1), &[Act::Send(at(a, 2), 30), Act::Add(1, 1)]);
        let lost = Act::call(at(b, 1), &[Act::Send(at(a, 2), 500), Act::Fail]);
        let ran = run(a, &[Act::Send(at(b, 1), 100), there, lost, Act::Add(1, 1)]);
        assert_eq!(Seen::words(&ran.seen()), [1, 1]);
        let held = [at(a, 0), at(b, 1), at(a, 2)].map(|contract| {
            let holder = MEMBERS[contract.machine].payer(contract.number);
            conservation::holding(&ran.after, &holder)
        });
        assert_eq!(held, [HELD - 100, HELD + 70, HELD + 30]);
    });
}

#[test]
fn more_value_than_there_is_does_not_go_along() {
    each(|a, b| {
        let acts = [Act::pay(at(b, 1), 2_000_000_000_000, &[Act::Write(1, 7)]), Act::Write(2, 2)];
        let ran = run(a, &acts);
        // Solana's runtime ends a transaction that tries to.
        if ran.output.receipt.status.is_success() {
            assert_eq!(ran.seen(), [Seen::Failed]);
            assert_eq!(ran.word(at(a, 0), 2), 2);
        }
        assert_eq!(ran.word(at(b, 1), 1), 0);
        assert_eq!(ran.change(MEMBERS[b].purse(1)), 0);
    });
}

#[test]
fn a_callee_that_fails_leaves_no_trace() {
    for end in [Act::Fail, Act::Exhaust] {
        each(|a, b| {
            let inner = [Act::Write(1, 7), Act::Emit("lost"), end.clone()];
            let acts = [Act::Write(2, 1), Act::pay(at(b, 1), 5, &inner), Act::Add(2, 1)];
            let ran = run(a, &acts);
            assert_eq!(ran.seen(), [Seen::Failed, Seen::Word(2)]);
            assert_eq!((ran.word(at(a, 0), 2), ran.word(at(b, 1), 1)), (2, 0));
            assert!(ran.said().is_empty());
            assert_eq!(ran.change(MEMBERS[a].payer(0)), 0);
            assert_eq!(ran.change(MEMBERS[b].purse(1)), 0);
        });
    }
}

#[test]
fn a_caller_that_fails_takes_its_callee_with_it() {
    for end in [Act::Fail, Act::Exhaust] {
        each(|a, b| {
            let inner = [Act::Write(1, 7), Act::Emit("lost")];
            let acts = [Act::Write(2, 1), Act::pay(at(b, 1), 5, &inner), end.clone()];
            let ran = run(a, &acts);
            assert_eq!((ran.word(at(a, 0), 2), ran.word(at(b, 1), 1)), (0, 0));
            assert!(ran.said().is_empty());
            assert_eq!(ran.change(MEMBERS[a].payer(0)), 0);
            assert_eq!(ran.change(MEMBERS[b].purse(1)), 0);
        });
    }
}

#[test]
fn who_may_only_look_changes_nothing_also_through_another() {
    each(|a, b| {
        let acts = [
            Act::query(at(b, 1), &[Act::Write(1, 7)]),
            Act::query(at(b, 1), &[Act::call(at(a, 1), &[Act::Write(1, 7)])]),
            Act::query(at(b, 1), &[Act::Emit("no")]),
            Act::Add(2, 1),
        ];
        let ran = run(a, &acts);
        let seen = ran.seen();
        assert_eq!(seen[0], Seen::Failed);
        // Where the middle one can catch it, it says so.
        assert!(matches!(&seen[1], Seen::Failed) || seen[1] == Seen::Called(vec![Seen::Failed]));
        assert_eq!(seen.last(), Some(&Seen::Word(1)));
        assert_eq!((ran.word(at(b, 1), 1), ran.word(at(a, 1), 1)), (0, 0));
        assert!(ran.said().is_empty());
    });
}

/// A→B→A: the inner frame of A sees what the outer one wrote.
#[test]
fn who_comes_back_sees_all_earlier_writes() {
    each(|a, b| {
        let back = Act::call(at(a, 1), &[Act::ReadFirst(2), Act::Add(1, 5), Act::Emit("a1")]);
        let acts = [
            Act::Write(2, 41),
            Act::call(at(b, 1), &[Act::Add(1, 1), back.clone(), Act::Add(1, 1)]),
            Act::Add(2, 1),
            Act::call(at(b, 1), &[back]),
        ];
        let ran = run(a, &acts);
        assert_eq!(Seen::words(&ran.seen()), [1, 41, 5, 2, 42, 42, 10]);
        assert_eq!((ran.word(at(a, 1), 1), ran.word(at(b, 1), 1)), (10, 2));
        assert_eq!(ran.said().len(), 2);
    });
}

/// A→B→A with a failure in each frame.
#[test]
fn a_failure_in_each_frame_of_three_undoes_what_is_below_it() {
    for end in [Act::Fail, Act::Exhaust] {
        each(|a, b| {
            for failing in 0..3 {
                let with = |frame: i32, mut acts: Vec<Act>| {
                    if frame == failing {
                        acts.push(end.clone());
                    }
                    acts
                };
                let inner = with(2, vec![Act::Write(1, 3), Act::Emit("x")]);
                let inner = Act::pay(at(a, 1), 2, &inner);
                let middle = with(1, vec![Act::Write(1, 2), inner, Act::Write(2, 2)]);
                let middle = Act::pay(at(b, 1), 5, &middle);
                let outer = with(0, vec![Act::Write(1, 1), middle, Act::Write(2, 1)]);
                let ran = run(a, &outer);
                let words =
                    [(at(a, 0), 1), (at(a, 0), 2), (at(b, 1), 1), (at(b, 1), 2), (at(a, 1), 1)];
                let words = words.map(|(contract, place)| ran.word(contract, place));
                // What is left of the outer frame, and of the one in the middle.
                let (of_a, of_b, paid) = match failing {
                    0 => (0, 0, 0),
                    1 => (1, 0, 0),
                    _ => (1, 2, 5),
                };
                assert_eq!(words, [of_a, of_a, of_b, of_b, 0], "frame {failing}");
                assert!(ran.said().is_empty());
                let paid = i128::try_from(lamports(paid).to::<u128>()).unwrap();
                assert_eq!(ran.change(MEMBERS[b].purse(1)), paid, "frame {failing}");
            }
        });
    }
}

/// Each frame calls the next machine, far deeper than is allowed.
#[test]
fn the_depth_is_bounded() {
    each(|a, b| {
        let mut acts = vec![Act::Add(1, 1)];
        for depth in 0..70 {
            let to = if depth % 2 == 0 { at(b, 1) } else { at(a, 1) };
            acts = vec![Act::call(to, &acts)];
        }
        let ran = run(a, &acts);
        assert_eq!((ran.word(at(a, 1), 1), ran.word(at(b, 1), 1)), (0, 0));
    });
}
