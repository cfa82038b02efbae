//! Tokens of SPL Token cross by custody.

use crate::{
    banker::{Order, banker, issued, orders},
    tokens::{associated, create, token, transfer},
    world::{PAYER, SOL, World, alias_of, answer, failed, invocation, key, outcome, toy},
};
use polity_svm::{
    account, alias, base_units,
    gateway::{self, Invocation, Tokens, custody, custody_account, deposited, token_account},
};
use polity_testkit::toy::{Op, Program};
use polity_types::{AccountId, AssetId, Status};
use proptest::prelude::*;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;

const SPL_TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: Pubkey = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

const ALICE: Pubkey = Pubkey::new_from_array([1; 32]);
const BOB: Pubkey = Pubkey::new_from_array([2; 32]);
const MINT: Pubkey = Pubkey::new_from_array([0x3a; 32]);

fn write(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, false)
}

fn make(address: &Pubkey, owner: &Pubkey, space: u64) -> Instruction {
    let parts = [&[0; 4][..], &SOL.to_le_bytes(), &space.to_le_bytes(), owner.as_ref()];
    let accounts = vec![AccountMeta::new(PAYER, true), AccountMeta::new(*address, true)];
    Instruction { program_id: system_program::ID, accounts, data: parts.concat() }
}

/// A mint of a token program, of which Alice and Bob have accounts and Alice has tokens.
fn minted(world: &mut World, program: Pubkey, fee: Option<u16>) -> Tokens {
    let mut all = vec![];
    match fee {
        None => all.push(make(&MINT, &program, 82)),
        Some(basis_points) => {
            // Room for the extension `TransferFeeConfig`, and how it is made.
            all.push(make(&MINT, &program, 165 + 1 + 4 + 108));
            let most = u64::MAX.to_le_bytes();
            let data: [&[u8]; 4] = [&[0, 0, 0], &basis_points.to_le_bytes(), &most, &[]];
            all.push(token(&program, 26, &[write(MINT)], &data));
        }
    }
    all.push(token(&program, 20, &[write(MINT)], &[&[6], ALICE.as_ref(), &[0]]));
    all.extend([ALICE, BOB, custody()].map(|wallet| create(&wallet, &program, &MINT)));
    let to = write(associated(&ALICE, &program, &MINT));
    let authority = AccountMeta::new_readonly(ALICE, true);
    all.push(token(&program, 7, &[write(MINT), to, authority], &[&10_000_u64.to_le_bytes()]));
    for instruction in all {
        world.solana(&[instruction]).succeeds();
    }
    Tokens { mint: MINT, program }
}

impl World {
    /// What lies in custody.
    fn in_custody(&self, tokens: &Tokens) -> u64 {
        self.amount(&custody_account(&tokens.program, &tokens.mint))
    }
}

#[test]
fn tokens_cross_and_come_back() {
    let mut world = World::new();
    let tokens = minted(&mut world, SPL_TOKEN, None);
    let (source, bobs) =
        (associated(&ALICE, &SPL_TOKEN, &MINT), associated(&BOB, &SPL_TOKEN, &MINT));
    let asset = deposited(&MINT);
    let done = world.solana(&[tokens.deposit(&ALICE, &source, &toy(1), 1000)]).succeeds();
    assert_eq!(done.returned(), 1000_u64.to_le_bytes());
    assert_eq!((world.holds(asset, &toy(1)), world.supply(asset)), (1000, 1000));
    assert_eq!((world.amount(&source), world.in_custody(&tokens)), (9000, 1000));
    // It is a mint like others, and an account of this machine can be given it as well.
    world.solana(&[gateway::register(&asset.account())]).succeeds();
    let mint = alias(&asset.account());
    world.solana(&[create(&ALICE, &gateway::ID, &mint)]).succeeds();
    // What shows the asset in the transaction, account and mint, is among those that follow.
    let mut deposit = tokens.deposit(&ALICE, &source, &account(&ALICE), 500);
    let shows = write(token_account(&ALICE, &mint));
    let look = transfer(&mint, &ALICE, &ALICE, &ALICE, 500, 6);
    let done = world.solana(&[deposit.clone(), look.clone()]);
    assert!(done.error().contains("0x86"), "{}", done.error());
    deposit.accounts.extend([shows.clone(), write(mint)]);
    world.solana(&[deposit, look]).succeeds();
    assert_eq!(world.tokens(&ALICE, &mint), 500);
    let before = 500;
    let mut withdraw = tokens.withdraw(&ALICE, &bobs, before);
    withdraw.accounts.push(shows);
    world.solana(&[withdraw]).succeeds();
    assert_eq!((world.amount(&bobs), world.in_custody(&tokens)), (before, 1000));
    // Who holds more elsewhere has its alias sign.
    world.solana(&[gateway::register(&toy(1))]).succeeds();
    let out = invocation(&tokens.withdraw(&alias_of(1), &bobs, 300));
    assert_eq!(
        outcome(&world.toy(toy(1), &[Op::Call(out.clone())]).1).0,
        failed("UnauthorizedSigner")
    );
    let (_, seen) = world.toy(toy(1), &[Op::Call(out.delegate())]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert_eq!((world.amount(&bobs), world.in_custody(&tokens)), (before + 300, 700));
    assert_eq!((world.holds(asset, &toy(1)), world.supply(asset)), (700, 700));
}

#[test]
fn what_did_not_arrive_is_not_credited() {
    let mut world = World::new();
    let tokens = minted(&mut world, TOKEN_2022, Some(100));
    let source = associated(&ALICE, &TOKEN_2022, &MINT);
    let done = world.solana(&[tokens.deposit(&ALICE, &source, &toy(1), 1000)]).succeeds();
    assert_eq!(done.returned(), 990_u64.to_le_bytes());
    assert_eq!((world.in_custody(&tokens), world.supply(deposited(&MINT))), (990, 990));
}

#[test]
fn custody_is_in_one_place() {
    let mut world = World::new();
    let tokens = minted(&mut world, SPL_TOKEN, None);
    let source = associated(&ALICE, &SPL_TOKEN, &MINT);
    let bobs = associated(&BOB, &SPL_TOKEN, &MINT);
    world.solana(&[tokens.deposit(&ALICE, &source, &account(&ALICE), 100)]).succeeds();
    let deposit = tokens.deposit(&ALICE, &source, &toy(1), 10);
    let withdraw = tokens.withdraw(&ALICE, &bobs, 10);
    let with = |call: &Instruction, change: &dyn Fn(&mut Instruction)| {
        let mut call = call.clone();
        change(&mut call);
        call
    };
    for (call, error) in [
        (with(&deposit, &|call| call.accounts[3].pubkey = bobs), "0x8a"),
        (with(&deposit, &|call| call.accounts[4].pubkey = gateway::ID), "incorrect program id"),
        (with(&deposit, &|call| call.accounts[2].pubkey = bobs), "invalid account data"),
        (with(&deposit, &|call| call.accounts[0].is_signer = false), "unauthorized signer"),
        (with(&withdraw, &|call| call.accounts[0].is_signer = false), "missing required"),
        (with(&withdraw, &|call| call.accounts[0].pubkey = BOB), "0x1"),
        (with(&withdraw, &|call| call.accounts[1].pubkey = call.accounts[3].pubkey), "0x8a"),
        (tokens.withdraw(&ALICE, &bobs, 101), "0x1"),
        (tokens.deposit(&ALICE, &source, &toy(1), 10_000), "0x1"),
    ] {
        let done = world.solana(&[call]);
        assert!(done.error().contains(error), "{error}: {} {:#?}", done.error(), done.record.logs);
    }
    assert_eq!((world.in_custody(&tokens), world.supply(deposited(&MINT))), (100, 100));
}

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Deposit { to: usize, amount: u64 },
    Withdraw { amount: u64 },
    WithdrawFromToy { amount: u64 },
    Tokens { from: usize, to: usize, amount: u64 },
    FromToy { to: usize, amount: u64 },
    Bank { to: usize, amount: u64, touched: bool, fail: bool },
    MintTo { to: usize, amount: u64 },
    Burn { from: usize, amount: u64 },
    Lamports { value: u64, back: u64, touched: bool, revert: bool, fail: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, amount) = (0..3_usize, 0..1500_u64);
    prop_oneof![
        (who.clone(), amount.clone()).prop_map(|(to, amount)| Step::Deposit { to, amount }),
        amount.clone().prop_map(|amount| Step::Withdraw { amount }),
        amount.clone().prop_map(|amount| Step::WithdrawFromToy { amount }),
        (0..2_usize, who.clone(), amount.clone()).prop_map(|(from, to, amount)| Step::Tokens {
            from,
            to,
            amount
        }),
        (who.clone(), amount.clone()).prop_map(|(to, amount)| Step::FromToy { to, amount }),
        (who.clone(), amount.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(to, amount, touched, fail)| Step::Bank { to, amount, touched, fail }),
        (who.clone(), amount.clone()).prop_map(|(to, amount)| Step::MintTo { to, amount }),
        (0..2_usize, amount).prop_map(|(from, amount)| Step::Burn { from, amount }),
        (0..3 * SOL, 0..3 * SOL, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(value, back, touched, revert, fail)| Step::Lamports {
                value,
                back,
                touched,
                revert,
                fail
            }
        ),
    ]
}

/// Alice, Bob and the alias of a toy account, with all assets.
struct Market {
    world: World,
    tokens: Tokens,
    /// The assets with their mints: in custody, of a bank, of a mint made here.
    assets: [(AssetId, Pubkey); 3],
}

const OWN: Pubkey = Pubkey::new_from_array([0x3b; 32]);

fn wallet(number: usize) -> Pubkey {
    [ALICE, BOB, alias_of(1)][number]
}

impl Market {
    fn new() -> Self {
        let mut world = World::new();
        world.fund(&ALICE, 100 * SOL);
        let tokens = minted(&mut world, SPL_TOKEN, None);
        let source = associated(&ALICE, &SPL_TOKEN, &MINT);
        world.solana(&[tokens.deposit(&ALICE, &source, &account(&ALICE), 1000)]).succeeds();
        let custody = deposited(&MINT);
        let setup = [gateway::register(&custody.account()), gateway::register(&toy(1))];
        world.solana(&setup).succeeds();
        let bank = world.issue(1, 10_000, banker(1));
        let init = token(&gateway::ID, 20, &[write(OWN)], &[&[0], ALICE.as_ref(), &[0]]);
        world.solana(&[make(&OWN, &gateway::ID, 82), init]).succeeds();
        let own = AssetId::issued(&account(&OWN), &Default::default());
        let assets = [(custody, alias(&custody.account())), bank, (own, OWN)];
        for (_, mint) in &assets {
            let all = [0, 1, 2].map(|who| create(&wallet(who), &gateway::ID, mint));
            world.solana(&all).succeeds();
        }
        Self { world, tokens, assets }
    }

    fn take(&mut self, step: &Step) {
        let Self { world, tokens, assets } = self;
        let [(_, custody), (bank, bank_mint), _] = *assets;
        let source = associated(&ALICE, &SPL_TOKEN, &MINT);
        match *step {
            Step::Deposit { to, amount } => {
                let to = [account(&ALICE), account(&BOB), toy(1)][to];
                world.solana(&[tokens.deposit(&ALICE, &source, &to, amount)]);
            }
            Step::Withdraw { amount } => {
                world.solana(&[tokens.withdraw(&ALICE, &source, amount)]);
            }
            Step::WithdrawFromToy { amount } => {
                let call = invocation(&tokens.withdraw(&alias_of(1), &source, amount));
                world.toy(toy(1), &[Op::Call(call.delegate())]);
            }
            Step::Tokens { from, to, amount } => {
                let (from, to) = (wallet(from), wallet(to));
                let there = transfer(&custody, &from, &to, &from, amount, 6);
                let more = transfer(&custody, &from, &to, &from, amount / 2, 6);
                world.solana(&[there, more]);
            }
            Step::FromToy { to, amount } => {
                let me = alias_of(1);
                let call = transfer(&custody, &me, &wallet(to), &me, amount, 6);
                world.toy(toy(1), &[Op::Call(invocation(&call).delegate())]);
            }
            Step::Bank { to, amount, touched, fail } => {
                let to_account = [account(&ALICE), account(&BOB), toy(1)][to];
                let mut all = vec![Order::Pay { asset: bank, from: None, to: to_account, amount }];
                all.extend(fail.then_some(Order::Fail));
                let call = Invocation { abort: false, ..Invocation::new(banker(1), orders(&all)) };
                let shown = [write(token_account(&wallet(to), &bank_mint))];
                let given = if touched { &shown[..] } else { &[] };
                let next = transfer(&bank_mint, &ALICE, &BOB, &ALICE, amount / 3, 6);
                world.solana(&[call.instruction(&PAYER, given), next]);
            }
            Step::MintTo { to, amount } => {
                let accounts = [
                    write(OWN),
                    write(token_account(&wallet(to), &OWN)),
                    AccountMeta::new_readonly(ALICE, true),
                ];
                world.solana(&[token(&gateway::ID, 7, &accounts, &[&amount.to_le_bytes()])]);
            }
            Step::Burn { from, amount } => {
                let accounts = [
                    write(token_account(&wallet(from), &OWN)),
                    write(OWN),
                    AccountMeta::new_readonly(wallet(from), true),
                ];
                world.solana(&[token(&gateway::ID, 8, &accounts, &[&amount.to_le_bytes()])]);
            }
            Step::Lamports { value, back, touched, revert, fail } => {
                let pay = Op::Transfer {
                    from: toy(2),
                    to: account(&ALICE),
                    amount: base_units(back) + polity_types::U256::from(value % 7),
                };
                let mut ops = vec![pay];
                ops.extend(revert.then_some(Op::Revert));
                let call = Invocation::new(toy(2), Program::new(&ops).0.to_vec());
                let call = Invocation { value, abort: false, ..call };
                let shown = [write(ALICE)];
                let given = if touched { &shown[..] } else { &[] };
                let mut all = vec![
                    crate::called::transfer(&PAYER, &ALICE, value),
                    call.instruction(&ALICE, given),
                ];
                all.extend(fail.then(|| crate::called::transfer(&ALICE, &BOB, u64::MAX)));
                world.solana(&all);
            }
        }
    }

    fn check(&self) {
        let world = &self.world;
        let holders: [AccountId; 5] =
            [account(&ALICE), account(&BOB), toy(1), banker(1), account(&alias_of(1))];
        for (asset, mint) in &self.assets {
            let sum: u64 = holders.iter().map(|holder| world.holds(*asset, holder)).sum();
            assert_eq!(sum, world.supply(*asset));
            assert_eq!(world.data(mint)[36..44], sum.to_le_bytes());
            for (who, holder) in holders.iter().enumerate().take(3) {
                assert_eq!(world.tokens(&wallet(who), mint), world.holds(*asset, holder));
            }
        }
        assert_eq!(world.in_custody(&self.tokens), world.supply(self.assets[0].0));
        let outside = associated(&ALICE, &SPL_TOKEN, &MINT);
        assert_eq!(world.in_custody(&self.tokens) + world.amount(&outside), 10_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The harness checks the native asset after every transaction.
    #[test]
    fn nothing_is_made_or_lost(steps in proptest::collection::vec(step(), 1..24)) {
        let mut market = Market::new();
        market.check();
        for step in &steps {
            market.take(step);
            market.check();
        }
    }
}

#[test]
fn a_story_in_one_transaction() {
    // Deposit, hand over, and a payment by another machine, each seeing the last.
    let mut world = World::new();
    let tokens = minted(&mut world, SPL_TOKEN, None);
    let source = associated(&ALICE, &SPL_TOKEN, &MINT);
    let asset = deposited(&MINT);
    assert_ne!(asset, issued(banker(1)));
    let pay = Order::Pay { asset, from: None, to: account(&BOB), amount: 25 };
    let pay = Invocation::new(banker(1), orders(&[pay])).instruction(&PAYER, &[]);
    let out = tokens.withdraw(&BOB, &associated(&BOB, &SPL_TOKEN, &MINT), 25);
    let done =
        world.solana(&[tokens.deposit(&ALICE, &source, &banker(1), 100), pay, out]).succeeds();
    assert!(done.returned().is_empty() || answer(done.returned()).0 == 0);
    assert_eq!((world.holds(asset, &banker(1)), world.supply(asset)), (75, 75));
    assert_eq!(world.amount(&associated(&BOB, &SPL_TOKEN, &MINT)), 25);
    assert_eq!(key(1), ALICE);
}
