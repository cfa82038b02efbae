//! Solana's programs are called by another machine.

use crate::world::{
    CALLER, PAYER, PROBE, PURSE, RELAY, SOL, World, alias_of, failed, instruction, invocation, key,
    outcome, toy,
};
use polity_svm::{account, base_units};
use polity_testkit::{
    solana::{
        Meta, SYSTEM, caller,
        probe::{self, Ask},
        purse, relay,
    },
    toy::{Op, Program},
};
use polity_types::{Resources, Status, U256};
use solana_account::ReadableAccount;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;

/// The system program's transfer.
pub(crate) fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let data = [&[2, 0, 0, 0][..], &lamports.to_le_bytes()].concat();
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    Instruction { program_id: Pubkey::new_from_array(SYSTEM), accounts, data }
}

#[test]
fn a_program_runs_and_answers() {
    let mut world = World::new();
    let call = instruction(&caller::give_back(CALLER.to_bytes(), b"hello"));
    let (status, seen) = world.toy(toy(1), &[Op::Call(invocation(&call))]);
    assert_eq!(status, Status::Success);
    assert_eq!(outcome(&seen), (Status::Success, b"hello".to_vec()));
}

#[test]
fn a_programs_logs_are_events_in_its_name() {
    let mut world = World::new();
    let log = instruction(&probe::ask(PROBE.to_bytes(), Ask::Log(b"Program x invoke [1]")));
    let forward = caller::forward(CALLER.to_bytes(), &crate::world::plain(&log));
    let call = Op::Call(invocation(&instruction(&forward)));
    let (_, seen, events) = world.toy_with_events(toy(1), std::slice::from_ref(&call));
    assert_eq!(outcome(&seen).0, Status::Success);
    let events: Vec<_> = events.iter().map(|event| (event.emitter, &event.data[..])).collect();
    assert_eq!(events, [(account(&PROBE), &b"Program log: Program x invoke [1]"[..])]);
    let (_, _, events) = world.toy_with_events(toy(1), &[Op::undone(&[call])]);
    assert!(events.is_empty(), "what is undone tells nothing");
}

#[test]
fn an_error_has_its_number() {
    let mut world = World::new();
    let call = instruction(&caller::fail(CALLER.to_bytes(), 6000));
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&call))]);
    assert_eq!(outcome(&seen), (failed("custom program error: 0x1770"), Vec::new()));
}

#[test]
fn only_the_delegated_alias_signs() {
    let mut world = World::new();
    let (me, other, to) = (alias_of(1), alias_of(2), key(5));
    world.fund(&key(6), SOL);
    let refused = (failed("UnauthorizedSigner"), Vec::new());
    for from in [other, key(6), PAYER, CALLER] {
        let call = invocation(&transfer(&from, &to, SOL)).delegate();
        assert_eq!(outcome(&world.toy(toy(1), &[Op::Call(call)]).1), refused, "{from}");
    }
    let undelegated = invocation(&transfer(&me, &to, SOL));
    assert_eq!(outcome(&world.toy(toy(1), &[Op::Call(undelegated)]).1), refused);

    let before = world.balance(&toy(1));
    let call = invocation(&transfer(&me, &to, SOL)).delegate();
    assert_eq!(outcome(&world.toy(toy(1), &[Op::Call(call)]).1).0, Status::Success);
    assert_eq!(world.lamports(&to), SOL);
    assert_eq!(before - world.balance(&toy(1)), base_units(SOL));
    // The alias shows what is left.
    let shown = world.shown(&me).unwrap();
    assert_eq!(base_units(shown.lamports()), world.balance(&toy(1)));
    assert_eq!(world.lamports(&me), 0, "it holds nothing itself");
}

#[test]
fn nobody_changes_what_an_alias_is() {
    let mut world = World::new();
    let me = alias_of(1);
    // `Assign` and `Allocate`.
    let assign = [&[1, 0, 0, 0][..], &[7; 32]].concat();
    let allocate = [&[8, 0, 0, 0][..], &100_u64.to_le_bytes()].concat();
    for data in [assign, allocate] {
        let accounts = vec![AccountMeta::new(me, true)];
        let program_id = Pubkey::new_from_array(SYSTEM);
        let call = invocation(&Instruction { program_id, accounts, data }).delegate();
        let (_, seen) = world.toy(toy(1), &[Op::Call(call)]);
        assert_eq!(outcome(&seen).0, failed("AliasChanged"));
    }
}

#[test]
fn a_transfer_to_an_alias_is_the_others() {
    let mut world = World::new();
    let me = alias_of(1);
    // Before anybody said so it is an account like others.
    world.solana(&[transfer(&PAYER, &me, 5 * SOL)]).succeeds();
    assert_eq!(world.lamports(&me), 5 * SOL);
    let before = world.balance(&toy(1));
    let nothing = purse::nothing(PURSE.to_bytes(), &[Meta::read(me.to_bytes())]);
    let call = invocation(&instruction(&nothing));
    assert_eq!(outcome(&world.toy(toy(1), &[Op::Call(call)]).1).0, Status::Success);
    assert_eq!(world.lamports(&me), 0);
    assert_eq!(world.balance(&toy(1)) - before, base_units(5 * SOL));
    // A plain transfer of lamports, and one next to something else.
    world.solana(&[transfer(&PAYER, &me, SOL)]).succeeds();
    let log = instruction(&probe::ask(PROBE.to_bytes(), Ask::Log(b"and more")));
    world.solana(&[transfer(&PAYER, &me, SOL), log]).succeeds();
    assert_eq!(world.lamports(&me), 0);
    assert_eq!(world.balance(&toy(1)) - before, base_units(7 * SOL));
    // Nobody spends it from here.
    let done = world.solana(&[transfer(&me, &PAYER, SOL)]);
    assert!(done.record.error().is_some());
}

#[test]
fn value_is_for_the_first_account() {
    let mut world = World::new();
    let to = Meta::write([5; 32]);
    let nothing = |accounts: &[Meta]| instruction(&purse::nothing(PURSE.to_bytes(), accounts));
    let pay = |call: &Instruction, value: U256| {
        let mut call = invocation(call);
        call.value = value;
        Op::Call(call)
    };
    let (one, before) = (base_units(SOL), world.lamports(&PURSE));
    let (_, seen) = world.toy(toy(1), &[pay(&nothing(&[to]), one)]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert_eq!((world.lamports(&key(5)), world.lamports(&PURSE)), (SOL, before));
    for (accounts, value, reason) in [
        (&[to][..], one + U256::ONE, "DustInValue"),
        (&[], one, "NoRecipient"),
        (&[Meta::read([5; 32])], one, "NoRecipient"),
    ] {
        let (_, seen) = world.toy(toy(1), &[pay(&nothing(accounts), value)]);
        assert_eq!(outcome(&seen).0, failed(reason));
    }
    // It comes back to who sent it, and more than that does not.
    let me = Meta::write(alias_of(1).to_bytes());
    let held = world.balance(&toy(1));
    let (_, seen) = world.toy(toy(1), &[pay(&nothing(&[me]), one)]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert_eq!(world.balance(&toy(1)), held);
    let (_, seen) = world.toy(toy(1), &[pay(&nothing(&[to]), base_units(1000 * SOL))]);
    assert_eq!(outcome(&seen).0, failed("InsufficientBalance"));
}

#[test]
fn an_empty_input_credits() {
    let mut world = World::new();
    let mut call = invocation(&transfer(&PAYER, &PAYER, 0)).value(77);
    call.target = account(&key(5));
    call.input = Program::default();
    world.toy(toy(1), &[Op::Call(call)]);
    assert_eq!(world.balance(&account(&key(5))), U256::from(77));
}

#[test]
fn nothing_changes_in_a_call_that_only_reads() {
    let mut world = World::new();
    world.put_data(&key(5), &PURSE, vec![0; 8]);
    let write = instruction(&purse::write(PURSE.to_bytes(), Meta::write([5; 32]), 0, &[1, 2, 3]));
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&write).read_only())]);
    assert_eq!(outcome(&seen).0, failed("instruction modified data of a read-only account"),);
    let log = instruction(&probe::ask(PROBE.to_bytes(), Ask::Log(b"nobody hears it")));
    let (_, seen, events) =
        world.toy_with_events(toy(1), &[Op::Call(invocation(&log).read_only())]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert!(events.is_empty());
    // An alias shows what it stands for, although nobody can write that down.
    let peek = instruction(&relay::peek(RELAY.to_bytes(), alias_of(1).to_bytes()));
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&peek).read_only())]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert!(!world.state.accounts.contains_key(&account(&alias_of(1))));
}

#[test]
fn limits_hold() {
    let mut world = World::new();
    let work = instruction(&probe::ask(PROBE.to_bytes(), Ask::Arithmetic(1000)));
    let limited = |compute: u64| {
        let limit = Resources { compute, ..Resources::UNLIMITED };
        Op::Call(invocation(&work).limit(limit))
    };
    for (compute, expected) in [(500, false), (3_000, false), (100_000, true)] {
        let (_, seen) = world.toy(toy(1), &[limited(compute), Op::ReadLeft]);
        let polity_testkit::toy::Seen::Called { status, .. } = &seen[0] else { panic!() };
        match expected {
            true => assert_eq!(*status, Status::Success),
            false => assert_eq!(*status, failed("OutOf:compute")),
        }
    }
    let endless = instruction(&probe::ask(PROBE.to_bytes(), Ask::Forever));
    let limit = Resources { compute: 50_000, ..Resources::UNLIMITED };
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&endless).limit(limit))]);
    assert_eq!(outcome(&seen).0, failed("OutOf:compute"));
}

#[test]
fn what_is_no_call_is_refused() {
    let mut world = World::new();
    let target = account(&PURSE);
    let raw = |input: &[u8]| {
        let mut call = invocation(&transfer(&PAYER, &PAYER, 0));
        (call.target, call.input) = (target, Program(input.to_vec().into()));
        Op::Call(call)
    };
    for input in [&[1][..], &[1, 4], &[1, 0, 1, 2, 3], &[255]] {
        let (_, seen) = world.toy(toy(1), &[raw(input)]);
        assert_eq!(outcome(&seen).0, failed("MalformedInput"), "{input:?}");
    }
    let mut many = vec![64];
    for number in 0..64 {
        many.push(0);
        many.extend_from_slice(&[number; 32]);
    }
    assert_eq!(outcome(&world.toy(toy(1), &[raw(&many)]).1).0, failed("TooManyAccounts"));
    let mut call = invocation(&transfer(&PAYER, &PAYER, 0));
    call.input = Program(vec![0].into());
    for target in [key(9), PAYER] {
        call.target = account(&target);
        let (_, seen) = world.toy(toy(1), &[Op::Call(call.clone())]);
        assert_eq!(outcome(&seen).0, failed("NotCallable"));
    }
}

#[test]
fn rent_is_kept() {
    let mut world = World::new();
    let call = invocation(&transfer(&alias_of(1), &key(5), 1)).delegate();
    let (_, seen) = world.toy(toy(1), &[Op::Call(call)]);
    assert_eq!(outcome(&seen).0, failed(&format!("InsufficientFundsForRent: {}", key(5))));
    // An alias needs none.
    let peek = instruction(&relay::peek(RELAY.to_bytes(), alias_of(2).to_bytes()));
    world.toy(toy(2), &[Op::Call(invocation(&peek))]);
    let mut call = invocation(&transfer(&alias_of(1), &alias_of(2), 1)).delegate();
    assert_eq!(outcome(&world.toy(toy(1), &[Op::Call(call.clone())]).1).0, Status::Success);
    call.read_only = true;
    assert!(!outcome(&world.toy(toy(1), &[Op::Call(call)]).1).0.is_success());
}
