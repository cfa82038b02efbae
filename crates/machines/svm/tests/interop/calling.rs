//! Solana's programs call another machine.

use crate::{
    called::transfer,
    world::{
        CALLER, PAYER, PROBE, PURSE, RELAY, SOL, TOY, World, alias_of, answer, failed, instruction,
        invocation, key, outcome, plain, toy,
    },
};
use polity_kernel::MAX_DEPTH;
use polity_svm::{
    LAMPORTS_PER_SIGNATURE, account, base_units,
    gateway::{self, Invocation},
};
use polity_testkit::{
    solana::{
        Meta, caller,
        probe::{self, Ask},
        purse, relay,
    },
    toy::{Op, Program, Seen, slot_key},
};
use polity_types::{
    AccountId, CodeRef, MachineKind, Meter, Resources, Status, U256, Value, keccak256,
};
use solana_account::ReadableAccount;
use solana_instruction::{AccountMeta, Instruction};
use solana_nonce::{
    state::{DurableNonce, State},
    versions::Versions,
};
use solana_pubkey::Pubkey;

/// A call of a toy account with a program, which fails with it.
fn toy_call(number: u8, ops: &[Op]) -> Invocation {
    Invocation::new(toy(number), Program::new(ops).0.to_vec())
}

/// The same, whatever becomes of it.
fn attempt(number: u8, ops: &[Op]) -> Invocation {
    Invocation { abort: false, ..toy_call(number, ops) }
}

fn from_payer(invocation: &Invocation, touched: &[AccountMeta]) -> Instruction {
    invocation.instruction(&PAYER, touched)
}

/// What the toy account saw, according to what the gateway returned.
fn seen(returned: &[u8]) -> Vec<Seen> {
    let (status, _, output) = answer(returned);
    assert_eq!(status, 0);
    Seen::list(output).unwrap()
}

fn slot(world: &World, number: u8, name: u64) -> Value {
    world.state.slots.get(&(toy(number), slot_key(name))).cloned().unwrap_or_default()
}

/// The signer of a program's own: of `RELAY` and `CALLER` for the seed `me`.
fn own(program: &Pubkey) -> (Pubkey, u8) {
    Pubkey::find_program_address(&[b"me"], program)
}

/// The relay counts in this account.
const COUNTS: Pubkey = Pubkey::new_from_array([0xd1; 32]);

/// The relay hands a call on, signed by its own address.
fn relayed(invocation: &Invocation, touched: &[AccountMeta]) -> Instruction {
    let (me, bump) = own(&RELAY);
    let inner = plain(&invocation.instruction(&me, touched));
    let counts = Meta::write(COUNTS.to_bytes());
    let me = me.to_bytes();
    instruction(&relay::forward_signed(RELAY.to_bytes(), counts, &inner, b"me", bump, me))
}

fn relay_world() -> World {
    let mut world = World::new();
    world.put_data(&COUNTS, &RELAY, vec![0; relay::LEN]);
    world
}

/// How often the relay began and ended.
fn counts(data: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
    (number(0), number(8))
}

#[test]
fn a_contract_is_called() {
    let mut world = World::new();
    let call = toy_call(1, &[Op::write(toy(1), 7, 8), Op::Emit(b"hi".to_vec().into())]);
    let done = world.solana(&[from_payer(&call, &[])]).succeeds();
    assert_eq!(slot(&world, 1, 7), Value::word(U256::from(8)));
    assert_eq!(done.events.len(), 1);
    assert_eq!(answer(done.returned()).0, 0);
    let call = toy_call(1, &[Op::read(toy(1), 7)]);
    let done = world.solana(&[from_payer(&call, &[])]).succeeds();
    assert_eq!(seen(done.returned()), [Seen::Value(Value::word(U256::from(8)))]);
}

/// The frames, as depth, kind and callee; `-` in front of what was undone.
fn tree(world: &World) -> Vec<(usize, String, Option<AccountId>)> {
    let frames = world.trace.frames();
    let depth = |mut frame: usize| {
        let mut depth = 0;
        while let Some(parent) = frames[frame].parent {
            (frame, depth) = (parent, depth + 1);
        }
        depth
    };
    let all = frames.iter().enumerate().skip(1).map(|(place, frame)| {
        let undone = if frame.undone { "-" } else { "" };
        (depth(place), format!("{undone}{}", frame.entry.kind), frame.entry.to)
    });
    all.collect()
}

#[test]
fn whoever_looks_on_sees_the_instructions() {
    let mut world = relay_world();
    let call = |ops: &[Op]| relayed(&toy_call(1, ops), &[]);
    let first = from_payer(&toy_call(2, &[]), &[]);
    world.solana(&[first.clone(), call(&[Op::write(toy(1), 7, 8)]), first.clone()]).succeeds();
    let (gateway, relay) = (account(&gateway::ID), account(&RELAY));
    let told = |depth, kind: &str, to| (depth, kind.to_owned(), Some(to));
    assert_eq!(
        tree(&world),
        [
            told(1, "INVOKE", gateway),
            told(2, "CALL", toy(2)),
            told(1, "INVOKE", relay),
            told(2, "INVOKE", gateway),
            told(3, "CALL", toy(1)),
            told(1, "INVOKE", gateway),
            told(2, "CALL", toy(2)),
        ]
    );
    // What failed is undone, and what ran before it.
    assert!(!world.solana(&[first.clone(), call(&[Op::Revert]), first]).error().is_empty());
    assert_eq!(
        tree(&world),
        [
            told(1, "-INVOKE", gateway),
            told(2, "-CALL", toy(2)),
            told(1, "-INVOKE", relay),
            told(2, "-INVOKE", gateway),
            told(3, "-CALL", toy(1)),
        ]
    );
    // A call from another machine is the first instruction.
    let count = instruction(&relay::forward(
        RELAY.to_bytes(),
        Meta::write(COUNTS.to_bytes()),
        &plain(&Instruction::new_with_bytes(CALLER, &[], vec![])),
    ));
    world.toy(toy(3), &[Op::Call(invocation(&count))]);
    assert_eq!(tree(&world)[0].0, 1);
    assert_eq!(world.trace.frames()[1].entry.to, Some(relay));
}

#[test]
fn who_calls_has_signed() {
    let mut world = World::new();
    let call = toy_call(1, &[]);
    for tamper in [
        |call: &mut Instruction| call.accounts[0].is_signer = false,
        |call: &mut Instruction| call.accounts.clear(),
        |call: &mut Instruction| call.data.truncate(40),
        |call: &mut Instruction| call.data[50] = 0x80,
        |call: &mut Instruction| call.data.clear(),
    ] {
        let mut call = from_payer(&call, &[]);
        call.accounts[0].pubkey = key(9);
        tamper(&mut call);
        assert!(world.solana(&[call]).record.error().is_some());
    }
    let here = Invocation::new(account(&PURSE), vec![0]);
    let done = world.solana(&[from_payer(&here, &[])]);
    assert!(done.error().contains("custom program error: 0x82"), "{}", done.error());
    let locked = Invocation { lock: true, ..call };
    assert!(world.solana(&[from_payer(&locked, &[])]).error().contains("invalid program argument"));
}

#[test]
fn lamports_go_along() {
    let mut world = World::new();
    let (payer, callee) = (world.lamports(&PAYER), world.balance(&toy(1)));
    let call = Invocation { value: SOL, ..toy_call(1, &[Op::ReadBalance(toy(1))]) };
    let done = world.solana(&[from_payer(&call, &[])]).succeeds();
    let now = callee + base_units(SOL);
    assert_eq!(seen(done.returned()), [Seen::Amount(now)]);
    assert_eq!(world.balance(&toy(1)), now);
    assert_eq!(world.lamports(&PAYER), payer - SOL - LAMPORTS_PER_SIGNATURE);
    let mut call = from_payer(&call, &[]);
    call.accounts.remove(1);
    assert!(world.solana(&[call]).error().contains("0x83"), "the vault is missing");
}

#[test]
fn lamports_come_back() {
    let mut world = World::new();
    let (wallet, to) = (key(5), key(6));
    world.fund(&wallet, SOL);
    let before = world.balance(&toy(1));
    let pay = |amount: U256| Op::Transfer { from: toy(1), to: account(&wallet), amount };
    let call = attempt(1, &[pay(base_units(2 * SOL)), Op::write(toy(1), 1, 1)]);
    let touched = [AccountMeta::new(wallet, false)];
    // It is there for the next instruction.
    let next = transfer(&wallet, &to, 3 * SOL);
    let done = world.solana(&[from_payer(&call, &touched), next]).succeeds();
    assert_eq!((world.lamports(&wallet), world.lamports(&to)), (0, 3 * SOL));
    assert_eq!(before - world.balance(&toy(1)), base_units(2 * SOL));
    assert_eq!(done.record.logs.iter().filter(|line| line.contains("AccountInUse")).count(), 0);
    // An account that the transaction does not know is simply credited.
    world.solana(&[from_payer(&call, &[])]).succeeds();
    assert_eq!(world.lamports(&wallet), 2 * SOL);
    // One that it has, and the call was not given, can not change.
    let read = [AccountMeta::new_readonly(wallet, false)];
    let nothing = instruction(&purse::nothing(PURSE.to_bytes(), &[Meta::write([5; 32])]));
    for instructions in
        [vec![from_payer(&call, &read)], vec![from_payer(&call, &[]), nothing.clone()]]
    {
        let done = world.solana(&instructions).succeeds();
        let reason = format!("AccountInUse: {wallet}");
        let found = done.record.logs.iter().any(|line| line.ends_with(&reason));
        assert!(found, "{:#?}", done.record.logs);
        assert_eq!(world.lamports(&wallet), 2 * SOL);
    }
    // What does not show in lamports is no change.
    let dust = attempt(1, &[pay(U256::ONE)]);
    world.solana(&[from_payer(&dust, &[]), nothing]).succeeds();
    assert_eq!(world.balance(&account(&wallet)), base_units(2 * SOL) + U256::ONE);
}

#[test]
fn a_failure_is_an_answer() {
    let mut world = World::new();
    let undone = Op::write(toy(1), 1, 1);
    for (op, status, reason) in [(Op::Revert, 1, &b""[..]), (Op::Fail, 2, b"Failed")] {
        let ops = [undone.clone(), op];
        let call = Invocation { value: SOL, ..attempt(1, &ops) };
        let before = world.lamports(&PAYER);
        let done = world.solana(&[from_payer(&call, &[])]).succeeds();
        let (found, _, output) = answer(done.returned());
        assert_eq!(found, status);
        if !reason.is_empty() {
            // A toy's output is there even so.
            assert!(output == reason || Seen::list(output).is_some());
        }
        assert_eq!(world.lamports(&PAYER), before - LAMPORTS_PER_SIGNATURE, "paid back");
        assert!(slot(&world, 1, 1).is_empty());
        let done = world.solana(&[from_payer(&Invocation { abort: true, ..call }, &[])]);
        assert!(done.error().contains("custom program error: 0x80"), "{}", done.error());
        assert_eq!(world.lamports(&PAYER), before - 2 * LAMPORTS_PER_SIGNATURE);
    }
    let nobody = AccountId::new(MachineKind::new(99), Default::default());
    let nobody = Invocation { abort: false, ..Invocation::new(nobody, vec![1]) };
    let done = world.solana(&[from_payer(&nobody, &[])]).succeeds();
    assert_eq!(answer(done.returned()), (2, 18, &b"NoMachineForTarget"[..]));
}

#[test]
fn a_long_answer_is_cut() {
    let mut world = World::new();
    let ops = vec![Op::ReadExistence(toy(1)); 1000];
    let done = world.solana(&[from_payer(&toy_call(1, &ops), &[])]).succeeds();
    let (status, len, output) = answer(done.returned());
    assert_eq!((status, len, output.len()), (0, 4 + 2 * 1000, 1019));
}

#[test]
fn a_failing_transaction_leaves_its_fee() {
    let mut world = World::new();
    world.put_data(&key(5), &PURSE, vec![0; 8]);
    let call = Invocation { value: SOL, ..toy_call(1, &[Op::write(toy(1), 1, 1)]) };
    let write = purse::write(PURSE.to_bytes(), Meta::write([5; 32]), 0, &[1; 8]);
    let fail = instruction(&caller::fail(CALLER.to_bytes(), 1));
    let before = world.state.clone();
    let done = world.solana(&[instruction(&write), from_payer(&call, &[]), fail]);
    assert!(done.error().contains("Instruction 2"), "{}", done.error());
    assert!(done.events.is_empty());
    let paid = before.accounts[&account(&PAYER)].balance - base_units(LAMPORTS_PER_SIGNATURE);
    let mut expected = before;
    expected.accounts.get_mut(&account(&PAYER)).unwrap().balance = paid;
    world.state.slots.retain(|(id, _), _| id.address.0 != *b"polity: transactions of the past");
    assert_eq!(world.state.accounts, expected.accounts);
    assert_eq!(world.state.slots, expected.slots);
    // The same with programs between.
    let mut world = relay_world();
    let fail = instruction(&caller::fail(CALLER.to_bytes(), 1));
    let done = world.solana(&[relayed(&toy_call(1, &[Op::write(toy(1), 1, 1)]), &[]), fail]);
    assert!(done.record.error().is_some());
    assert_eq!(counts(&world.data(&COUNTS)), (0, 0));
    assert!(slot(&world, 1, 1).is_empty());
}

#[test]
fn who_comes_back_sees_what_was_done() {
    let mut world = relay_world();
    let peek = instruction(&relay::peek(RELAY.to_bytes(), COUNTS.to_bytes()));
    let back = attempt(1, &[Op::Call(invocation(&peek))]);
    // The relay hands its account on: what it wrote so far is known.
    let settled = [AccountMeta::new_readonly(COUNTS, false)];
    let done = world.solana(&[relayed(&back, &settled)]).succeeds();
    let (status, data) = outcome(&seen(&done.returned()[relay::LEN..]));
    assert_eq!(status, Status::Success);
    assert_eq!(counts(&data), (1, 0));
    assert_eq!(counts(&world.data(&COUNTS)), (1, 1));
    // It does not: nobody may see the past.
    let done = world.solana(&[relayed(&back, &[])]).succeeds();
    let (status, _) = outcome(&seen(&done.returned()[relay::LEN..]));
    assert_eq!(status, failed(&format!("AccountInUse: {COUNTS}")));
    // In no case may anybody write it meanwhile.
    let write = Op::Call(invocation(&relayed(&toy_call(2, &[]), &[])));
    let done = world.solana(&[relayed(&attempt(1, &[write]), &settled)]).succeeds();
    let (status, _) = outcome(&seen(&done.returned()[relay::LEN..]));
    assert_eq!(status, failed(&format!("AccountInUse: {COUNTS}")));
    assert_eq!(counts(&world.data(&COUNTS)), (3, 3));
}

#[test]
fn a_program_between_is_like_any_other() {
    let mut world = relay_world();
    let inner = toy_call(2, &[Op::read(toy(1), 1), Op::write(toy(2), 1, 6)]);
    let call = invocation(&relayed(&inner, &[]));
    let ops = [Op::write(toy(1), 1, 5), Op::Call(call.clone()), Op::read(toy(2), 1)];
    let (_, ours) = world.toy(toy(1), &ops);
    let Seen::Called { status, output } = &ours[0] else { panic!() };
    assert_eq!(*status, Status::Success);
    assert_eq!(seen(&output[relay::LEN..]), [Seen::Value(Value::word(U256::from(5)))]);
    assert_eq!(ours[1], Seen::Value(Value::word(U256::from(6))));
    assert_eq!(counts(&world.data(&COUNTS)), (1, 1));
    // Undone from outside, all of it is.
    world.toy(toy(1), &[Op::undone(&[Op::write(toy(1), 1, 9), Op::Call(call.clone())])]);
    assert_eq!(counts(&world.data(&COUNTS)), (1, 1));
    // Two calls in one transaction see each other.
    let (_, twice) = world.toy(toy(1), &[Op::Call(call.clone()), Op::Call(call.clone())]);
    assert!(twice.iter().all(|seen| matches!(seen, Seen::Called { status: Status::Success, .. })));
    assert_eq!(counts(&world.data(&COUNTS)), (3, 3));
    // A call that only reads stays one through every machine.
    let forward = caller::forward_signed(
        CALLER.to_bytes(),
        &plain(&attempt(2, &[Op::write(toy(2), 1, 7)]).instruction(&own(&CALLER).0, &[])),
        b"me",
        own(&CALLER).1,
        own(&CALLER).0.to_bytes(),
    );
    let read = invocation(&instruction(&forward)).read_only();
    let (_, ours) = world.toy(toy(1), &[Op::Call(read)]);
    assert_eq!(outcome(&ours).0, Status::Success);
    assert_eq!(slot(&world, 2, 1), Value::word(U256::from(6)));
}

#[test]
fn value_passes_through_programs() {
    let mut world = relay_world();
    let (me, _) = own(&RELAY);
    world.fund(&me, 5 * SOL);
    // The relay pays a contract, which pays half of it back.
    let back = Op::Transfer { from: toy(1), to: account(&me), amount: base_units(SOL) };
    let call = Invocation { value: 2 * SOL, ..toy_call(1, &[back]) };
    let before = world.balance(&toy(1));
    world.solana(&[relayed(&call, &[])]).succeeds();
    assert_eq!(world.lamports(&me), 4 * SOL);
    assert_eq!(world.balance(&toy(1)) - before, base_units(SOL));
    // The same from the other side, with an answer in value.
    let inner = Invocation { value: SOL, ..toy_call(2, &[]) };
    let (_, ours) = world.toy(toy(1), &[Op::Call(invocation(&relayed(&inner, &[])))]);
    assert_eq!(outcome(&ours).0, Status::Success);
    assert_eq!(world.lamports(&me), 3 * SOL);
}

#[test]
fn an_account_is_gone_when_the_transaction_ends() {
    // It is emptied, and a contract is called in between.
    let mut world = World::new();
    let (shop, other) = (key(5), key(6));
    let hop = || from_payer(&toy_call(1, &[Op::write(toy(1), 1, 1)]), &[]);
    let empty = || {
        let (from, to) = (Meta::write(shop.to_bytes()), Meta::write(other.to_bytes()));
        instruction(&purse::transfer(PURSE.to_bytes(), from, to, 10 * SOL))
    };
    let fill = || transfer(&PAYER, &shop, 10 * SOL);
    let data = || vec![7; 5000];
    world.put_data(&shop, &PURSE, data());
    // What it was is there as long as the transaction runs.
    world.solana(&[empty(), hop(), fill()]).succeeds();
    assert_eq!((world.data(&shop), world.lamports(&shop)), (data(), 10 * SOL));
    // What was written in between is the last word.
    let write = purse::write(PURSE.to_bytes(), Meta::write(shop.to_bytes()), 0, &[8]);
    world.solana(&[hop(), empty(), hop(), fill(), instruction(&write), hop()]).succeeds();
    assert_eq!(world.data(&shop)[..2], [8, 7]);
    world.solana(&[hop(), empty(), hop()]).succeeds();
    assert!(world.shown(&shop).is_none());
    let id = account(&shop);
    assert!(!world.state.accounts.contains_key(&id));
    assert!(world.state.slots.keys().all(|(owner, _)| *owner != id), "nothing is left");
    assert_eq!(world.lamports(&other), 30 * SOL);
}

#[test]
fn aliases_among_the_accounts_are_looked_at_again() {
    let mut world = World::new();
    let alias = alias_of(2);
    let known = purse::nothing(PURSE.to_bytes(), &[Meta::read(alias.to_bytes())]);
    world.toy(toy(2), &[Op::Call(invocation(&instruction(&known)))]);
    let touched = [AccountMeta::new(alias, false)];
    // The contract behind it earns ...
    let earn = Op::transfer(toy(1), toy(2), 7 * 1_000_000_000);
    let before = world.balance(&toy(2));
    let check = purse::nothing(PURSE.to_bytes(), &[Meta::write(alias.to_bytes())]);
    world
        .solana(&[
            from_payer(&toy_call(1, &[earn]), &touched),
            instruction(&check),
            transfer(&PAYER, &alias, 5),
        ])
        .succeeds();
    assert_eq!(world.balance(&toy(2)) - before, base_units(12));
    // ... and spends, which this run could not show.
    let spend = attempt(2, &[Op::transfer(toy(2), toy(1), 7 * 1_000_000_000)]);
    let done = world.solana(&[from_payer(&spend, &touched)]).succeeds();
    assert_eq!(answer(done.returned()).0, 2);
}

#[test]
fn an_alias_calls_for_itself() {
    let mut world = World::new();
    let call = toy_call(2, &[]).instruction(&alias_of(1), &[]);
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&call).delegate())]);
    assert_eq!(outcome(&seen).0, failed("custom program error: 0x81"));
}

#[test]
fn a_locked_program_is_not_called() {
    let mut world = relay_world();
    let other = Pubkey::new_from_array([0xd2; 32]);
    world.put_data(&other, &RELAY, vec![0; relay::LEN]);
    let peek = relay::peek(RELAY.to_bytes(), other.to_bytes());
    let direct = Op::Call(invocation(&instruction(&peek)));
    let between = caller::forward(CALLER.to_bytes(), &peek);
    let between = Op::Call(invocation(&instruction(&between)));
    let call = toy_call(1, &[direct, between]);
    let locked = Invocation { lock: true, ..call.clone() };
    let statuses = |seen: Vec<Seen>| -> Vec<Status> {
        let status = |seen| match seen {
            Seen::Called { status, .. } => status,
            other => panic!("{other:?}"),
        };
        seen.into_iter().map(status).collect()
    };
    let done = world.solana(&[relayed(&call, &[])]).succeeds();
    let open = statuses(seen(&done.returned()[relay::LEN..]));
    assert_eq!(open, [Status::Success, Status::Success]);
    let done = world.solana(&[relayed(&locked, &[])]).succeeds();
    let refused = statuses(seen(&done.returned()[relay::LEN..]));
    assert_eq!(refused, [failed("Reentrant"), failed("Reentrant")]);
    // The lock ends with the call.
    let done = world.solana(&[relayed(&locked, &[]), relayed(&call, &[])]).succeeds();
    let open = statuses(seen(&done.returned()[relay::LEN..]));
    assert_eq!(open, [Status::Success, Status::Success]);
}

#[test]
fn limits_hold_across() {
    let mut world = relay_world();
    let drain = [Op::Drain { meter: 0 }, Op::ReadLeft];
    let call = Invocation { units: 10_000, ..attempt(1, &drain) };
    let done = world.solana(&[from_payer(&call, &[])]).succeeds();
    assert_eq!(answer(done.returned()).2, b"OutOf:compute");
    // The call, the payer and the vault, which it may write, and every instruction's.
    assert_eq!(done.record.compute_units, 10_000 + 1_000 + 2 * 100 + 150);
    assert_eq!(done.used.get(Meter::Compute), done.record.compute_units);
    // All that is left: then nothing is left for who called.
    let call = Invocation { units: 0, ..call };
    let done = world.solana(&[from_payer(&call, &[]), from_payer(&toy_call(1, &[]), &[])]);
    assert!(done.record.error().is_some());
    assert_eq!(done.used.get(Meter::Compute), done.record.compute_units);
    // A program inside is charged once, and counts for all around it.
    let work = instruction(&probe::ask(PROBE.to_bytes(), Ask::Arithmetic(1000)));
    let call = toy_call(1, &[Op::Call(invocation(&work))]);
    let done = world.solana(&[relayed(&call, &[])]).succeeds();
    assert_eq!(done.used.get(Meter::Compute), done.record.compute_units);
    assert!(done.record.compute_units > 5_000);
}

#[test]
fn whatever_runs_out_nothing_is_left_behind() {
    let mut world = relay_world();
    let (me, _) = own(&RELAY);
    world.fund(&me, 100 * SOL);
    let back = Op::Transfer { from: toy(2), to: account(&me), amount: base_units(SOL) };
    let inner = Invocation { value: SOL, ..toy_call(2, &[Op::write(toy(2), 1, 1), back]) };
    let call = invocation(&relayed(&inner, &[]));
    let (mut passed, mut failed) = (0, 0);
    let reads = (0..40).map(|reads| Resources { reads, ..Resources::UNLIMITED });
    let units = (0..40).map(|k| Resources { compute: k * 500, ..Resources::UNLIMITED });
    for limit in reads.chain(units) {
        let ops = [Op::Call(call.clone().limit(limit)), Op::Call(call.clone())];
        let (_, seen) = world.toy(toy(1), &ops);
        match outcome(&seen[..1]).0 {
            Status::Success => passed += 1,
            _ => failed += 1,
        }
        assert_eq!(outcome(&seen).0, Status::Success, "{limit:?}");
        let number = passed * 2 + failed;
        assert_eq!(counts(&world.data(&COUNTS)), (number, number));
    }
    assert!(passed > 10 && failed > 10, "{passed} {failed}");
    assert_eq!(world.lamports(&me), 100 * SOL);
}

#[test]
fn a_failing_transaction_uses_its_nonce() {
    let mut world = relay_world();
    let (nonce, value) = (key(0x4e), solana_hash::Hash::new_from_array([9; 32]));
    let durable = DurableNonce::from_blockhash(&value);
    let state = State::new_initialized(&PAYER, durable, LAMPORTS_PER_SIGNATURE);
    let data = wincode::serialize(&Versions::new(state)).unwrap();
    world.put_data(&nonce, &solana_sdk_ids::system_program::ID, data.clone());
    let advance = Instruction {
        program_id: solana_sdk_ids::system_program::ID,
        accounts: vec![
            AccountMeta::new(nonce, false),
            AccountMeta::new_readonly(solana_sdk_ids::sysvar::recent_blockhashes::ID, false),
            AccountMeta::new_readonly(PAYER, true),
        ],
        data: vec![4, 0, 0, 0],
    };
    let call = relayed(&toy_call(1, &[Op::write(toy(1), 1, 1)]), &[]);
    let fail = instruction(&caller::fail(CALLER.to_bytes(), 1));
    let before = world.lamports(&PAYER);
    let done = world.solana_with_nonce(&[advance, call, fail], *durable.as_hash());
    assert!(done.error().contains("Instruction 2"), "{}", done.error());
    assert_ne!(world.data(&nonce), data, "used");
    assert_eq!(world.lamports(&PAYER), before - LAMPORTS_PER_SIGNATURE);
    assert_eq!(counts(&world.data(&COUNTS)), (0, 0));
    assert!(slot(&world, 1, 1).is_empty());
}

#[test]
fn the_deepest_stack_fits() {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(down_to_the_bottom);
    thread.unwrap().join().unwrap();
}

fn down_to_the_bottom() {
    // A contract that calls programs that call the contract.
    let mut world = World::new();
    let (me, bump) = own(&CALLER);
    let again = Invocation { abort: false, ..Invocation::new(toy(1), Vec::new()) };
    let inner = plain(&again.instruction(&me, &[]));
    let mut program = caller::forward_signed(CALLER.to_bytes(), &inner, b"me", bump, me.to_bytes());
    // As deep as programs call each other.
    for _ in 0..3 {
        program = caller::forward(CALLER.to_bytes(), &program);
    }
    let code =
        Program::new(&[Op::Call(invocation(&instruction(&program))), Op::write(toy(1), 1, 1)]);
    let hash = keccak256(&code.0);
    world.state.codes.insert(hash, code.0);
    let record = world.state.accounts.get_mut(&toy(1)).unwrap();
    record.code = Some(CodeRef { machine: TOY, hash });
    let limit = instruction_limit(1_400_000);
    let done = world.solana(&[limit, from_payer(&again, &[])]).succeeds();
    assert_eq!(slot(&world, 1, 1), Value::word(U256::ONE));
    assert_eq!(done.used.get(Meter::Frames), MAX_DEPTH as u64 - 1);
}

/// Asks for compute units.
fn instruction_limit(units: u32) -> Instruction {
    let data = [&[2][..], &units.to_le_bytes()].concat();
    Instruction { program_id: solana_sdk_ids::compute_budget::ID, accounts: Vec::new(), data }
}

#[test]
fn the_vault_keeps_what_it_is_given() {
    // Whoever sends lamports to the vault has lost them; they are in its balance.
    let mut world = World::new();
    let vault = gateway::vault();
    world.expected_in_vault = base_units(SOL);
    let call = Invocation { value: SOL, ..toy_call(1, &[]) };
    world.solana(&[transfer(&PAYER, &vault, SOL), from_payer(&call, &[])]).succeeds();
    assert_eq!(world.shown(&vault).unwrap().lamports(), SOL);
}
