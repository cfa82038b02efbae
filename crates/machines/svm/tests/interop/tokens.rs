//! Assets of the ledger as SPL tokens.

use crate::{
    banker::{Order, banker, issued, orders},
    world::{CALLER, PAYER, World, alias_of, answer, failed, invocation, key, outcome, plain, toy},
};
use polity_kernel::{View, holding_key, supply_key};
use polity_svm::{
    account, alias,
    gateway::{self, Invocation, token_account},
};
use polity_testkit::{solana::caller, toy::Op};
use polity_types::{AccountId, AssetId, B256, Status};
use solana_account::ReadableAccount;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;

pub(crate) const ASSOCIATED: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

pub(crate) fn associated(wallet: &Pubkey, program: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [wallet.as_ref(), program.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

/// The account of a wallet is made: by the gateway, if it is to be of its tokens.
pub(crate) fn create(wallet: &Pubkey, program: &Pubkey, mint: &Pubkey) -> Instruction {
    if *program == gateway::ID {
        assert_eq!(token_account(wallet, mint), associated(wallet, program, mint));
        return gateway::create_token_account(&PAYER, wallet, mint);
    }
    let accounts = vec![
        AccountMeta::new(PAYER, true),
        AccountMeta::new(associated(wallet, program, mint), false),
        AccountMeta::new_readonly(*wallet, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new_readonly(system_program::ID, false),
        AccountMeta::new_readonly(*program, false),
    ];
    Instruction { program_id: ASSOCIATED, accounts, data: vec![1] }
}

/// An instruction of a token program.
pub(crate) fn token(
    program: &Pubkey,
    tag: u8,
    accounts: &[AccountMeta],
    data: &[&[u8]],
) -> Instruction {
    let data = [&[tag][..], &data.concat()].concat();
    Instruction { program_id: *program, accounts: accounts.to_vec(), data }
}

fn write(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, false)
}

fn read(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, false)
}

fn signs(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, true)
}

/// `TransferChecked` between the accounts of two wallets.
pub(crate) fn transfer(
    mint: &Pubkey,
    from: &Pubkey,
    to: &Pubkey,
    authority: &Pubkey,
    amount: u64,
    decimals: u8,
) -> Instruction {
    let accounts = [
        write(token_account(from, mint)),
        read(*mint),
        write(token_account(to, mint)),
        signs(*authority),
    ];
    token(&gateway::ID, 12, &accounts, &[&amount.to_le_bytes(), &[decimals]])
}

/// The system program makes an account of the gateway's.
fn make(address: &Pubkey, owner: &Pubkey, space: u64) -> Instruction {
    let lamports = solana_rent::Rent::default().minimum_balance(usize::try_from(space).unwrap());
    let parts = [&[0; 4][..], &lamports.to_le_bytes(), &space.to_le_bytes(), owner.as_ref()];
    let accounts = vec![AccountMeta::new(PAYER, true), AccountMeta::new(*address, true)];
    Instruction { program_id: system_program::ID, accounts, data: parts.concat() }
}

impl World {
    /// What the ledger says.
    pub(crate) fn holds(&self, asset: AssetId, holder: &AccountId) -> u64 {
        let value = self.state.slot(&asset.account(), &holding_key(holder)).unwrap();
        value.as_word().unwrap_or_default().to()
    }

    pub(crate) fn supply(&self, asset: AssetId) -> u64 {
        let value = self.state.slot(&asset.account(), &supply_key()).unwrap();
        value.as_word().unwrap_or_default().to()
    }

    /// The amount that a wallet's token account shows.
    pub(crate) fn tokens(&self, wallet: &Pubkey, mint: &Pubkey) -> u64 {
        self.amount(&token_account(wallet, mint))
    }

    pub(crate) fn amount(&self, account: &Pubkey) -> u64 {
        u64::from_le_bytes(self.data(account)[64..72].try_into().unwrap())
    }

    /// The banker of this number issues an asset, all of it to one account; it is shown.
    pub(crate) fn issue(&mut self, number: u8, amount: u64, to: AccountId) -> (AssetId, Pubkey) {
        let asset = issued(banker(number));
        let issue = orders(&[Order::Issue { decimals: 6, amount, to }]);
        let issue = Invocation::new(banker(number), issue).instruction(&PAYER, &[]);
        self.solana(&[issue, gateway::register(&asset.account())]).succeeds();
        (asset, alias(&asset.account()))
    }
}

#[test]
fn a_foreign_asset_is_a_mint() {
    let mut world = World::new();
    let (alice, bob) = (key(1), key(2));
    let (asset, mint) = world.issue(1, 1000, account(&alice));
    let shown = world.shown(&mint).unwrap();
    assert_eq!((shown.owner(), shown.data().len()), (&gateway::ID, 82));
    assert_eq!(shown.data()[36..46], [&1000_u64.to_le_bytes()[..], &[6, 1]].concat());
    let make = [create(&alice, &gateway::ID, &mint), create(&bob, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (1000, 0));
    world.solana(&[transfer(&mint, &alice, &bob, &alice, 300, 6)]).succeeds();
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (700, 300));
    assert_eq!(world.holds(asset, &account(&bob)), 300);
    assert_eq!(world.supply(asset), 1000);
    // There and back in one transaction, twice.
    let there = transfer(&mint, &alice, &bob, &alice, 700, 6);
    let back = transfer(&mint, &bob, &alice, &bob, 1000, 6);
    world.solana(&[there.clone(), back.clone(), transfer(&mint, &alice, &bob, &alice, 1, 6)]);
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (999, 1));
    // A transaction that fails leaves the ledger as it was.
    let more = transfer(&mint, &alice, &bob, &alice, 1000, 6);
    let done = world.solana(&[transfer(&mint, &alice, &bob, &alice, 500, 6), more]);
    assert!(done.error().contains("0x1"), "{}", done.error());
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (999, 1));
    // What is stored has no amount: the ledger has it.
    let id = account(&token_account(&alice, &mint));
    let head = &world.state.slots[&(id, polity_svm::head_key())];
    let polity_types::Value::Bytes(bytes) = head else { panic!() };
    assert_eq!(bytes[37 + 64..37 + 72], [0; 8]);
}

#[test]
fn who_may_not_is_refused() {
    let mut world = World::new();
    let (alice, bob, carol) = (key(1), key(2), key(3));
    let (_, mint) = world.issue(1, 1000, account(&alice));
    let (_, other) = world.issue(2, 1000, account(&alice));
    for (wallet, mint) in [(alice, mint), (bob, mint), (bob, other)] {
        world.solana(&[create(&wallet, &gateway::ID, &mint)]).succeeds();
    }
    let good = transfer(&mint, &alice, &bob, &alice, 1, 6);
    let with = |change: &dyn Fn(&mut Instruction)| {
        let mut call = good.clone();
        change(&mut call);
        call
    };
    for (call, error) in [
        (transfer(&mint, &alice, &bob, &bob, 1, 6), "0x4"),
        (transfer(&mint, &alice, &bob, &alice, 1, 7), "0x12"),
        (with(&|call| call.accounts[3].is_signer = false), "missing required signature"),
        (with(&|call| call.accounts[2].pubkey = token_account(&bob, &other)), "0x3"),
        (with(&|call| call.accounts[1].pubkey = other), "0x3"),
        (with(&|call| call.accounts[2].is_writable = false), "0x86"),
        (with(&|call| call.accounts[0].pubkey = key(9)), "incorrect program id"),
        (with(&|call| call.accounts[0].pubkey = mint), "invalid account data"),
        (with(&|call| call.data[0] = 10), "invalid instruction data"),
        (with(&|call| call.data.truncate(5)), "invalid instruction data"),
        (with(&|call| call.accounts.truncate(3)), "instruction is missing"),
    ] {
        let done = world.solana(&[call]);
        assert!(done.error().contains(error), "{}: {:#?}", done.error(), done.record.logs);
    }
    // A token account lies nowhere else, and is made once.
    let elsewhere = key(9);
    let init = |address: &Pubkey| {
        token(&gateway::ID, 18, &[write(*address), read(mint)], &[carol.as_ref()])
    };
    let done = world.solana(&[make(&elsewhere, &gateway::ID, 165), init(&elsewhere)]);
    assert!(done.error().contains("0x89"), "{}", done.error());
    let done = world.solana(&[init(&token_account(&alice, &mint))]);
    assert!(done.error().contains("0x6"), "{}", done.error());
    assert_eq!(world.tokens(&alice, &mint), 1000);
}

#[test]
fn a_delegate_spends_what_it_may() {
    let mut world = World::new();
    let (alice, bob, carol) = (key(1), key(2), key(3));
    let (_, mint) = world.issue(1, 1000, account(&alice));
    let make = [create(&alice, &gateway::ID, &mint), create(&bob, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    let from = write(token_account(&alice, &mint));
    let approve = token(
        &gateway::ID,
        4,
        &[from.clone(), read(carol), signs(alice)],
        &[&100_u64.to_le_bytes()],
    );
    world.solana(std::slice::from_ref(&approve)).succeeds();
    world.solana(&[transfer(&mint, &alice, &bob, &carol, 60, 6)]).succeeds();
    let done = world.solana(&[transfer(&mint, &alice, &bob, &carol, 60, 6)]);
    assert!(done.error().contains("0x1"));
    let burn = |amount: u64| {
        let accounts = [from.clone(), write(mint), signs(carol)];
        token(&gateway::ID, 8, &accounts, &[&amount.to_le_bytes()])
    };
    world.solana(&[burn(40)]).succeeds();
    let done = world.solana(&[transfer(&mint, &alice, &bob, &carol, 0, 6)]);
    assert!(done.error().contains("0x4"), "nothing is left for it: {}", done.error());
    world.solana(&[approve, token(&gateway::ID, 5, &[from, signs(alice)], &[])]).succeeds();
    assert!(world.solana(&[transfer(&mint, &alice, &bob, &carol, 1, 6)]).record.error().is_some());
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (900, 60));
}

#[test]
fn a_mint_is_made_here() {
    let mut world = World::new();
    let (mint, alice) = (key(7), key(1));
    let init = token(&gateway::ID, 20, &[write(mint)], &[&[9], alice.as_ref(), &[0]]);
    world.solana(&[make(&mint, &gateway::ID, 82), init.clone()]).succeeds();
    let asset = AssetId::issued(&account(&mint), &B256::ZERO);
    let info = world.state.slot(&asset.account(), &polity_kernel::info_key()).unwrap();
    let polity_types::Value::Bytes(info) = info else { panic!() };
    let info: polity_types::AssetInfo = borsh::from_slice(&info).unwrap();
    assert_eq!((info.issuer, info.decimals), (account(&mint), 9));
    assert!(world.solana(&[init]).error().contains("0x6"), "made once");
    let mint_to = |to: &Pubkey, authority: &Pubkey, amount: u64| {
        let accounts = [write(mint), write(token_account(to, &mint)), signs(*authority)];
        token(&gateway::ID, 7, &accounts, &[&amount.to_le_bytes()])
    };
    world.solana(&[create(&alice, &gateway::ID, &mint), mint_to(&alice, &alice, 500)]).succeeds();
    assert!(world.solana(&[mint_to(&alice, &key(2), 1)]).error().contains("0x4"));
    assert!(world.solana(&[mint_to(&alice, &alice, u64::MAX)]).error().contains("0xe"));
    let burn = token(
        &gateway::ID,
        15,
        &[write(token_account(&alice, &mint)), write(mint), signs(alice)],
        &[&200_u64.to_le_bytes(), &[9]],
    );
    world.solana(&[burn]).succeeds();
    assert_eq!((world.supply(asset), world.tokens(&alice, &mint)), (300, 300));
    assert_eq!(world.data(&mint)[36..44], 300_u64.to_le_bytes());
    // What was issued elsewhere is nobody's to mint here.
    let (_, foreign) = world.issue(1, 1, account(&alice));
    let accounts = [write(foreign), write(token_account(&alice, &foreign)), signs(alice)];
    let mint_foreign = token(&gateway::ID, 7, &accounts, &[&1_u64.to_le_bytes()]);
    let done = world.solana(&[create(&alice, &gateway::ID, &foreign), mint_foreign]);
    assert!(done.error().contains("0x5"), "{}", done.error());
    // It has one mint, not also an alias.
    assert!(world.solana(&[gateway::register(&asset.account())]).error().contains("0x8b"));
    let nobodys = AssetId(B256::repeat_byte(9));
    assert!(world.solana(&[gateway::register(&nobodys.account())]).error().contains("0x88"));
}

#[test]
fn an_account_is_closed_when_it_is_empty() {
    let mut world = World::new();
    let (alice, bob) = (key(1), key(2));
    let (_, mint) = world.issue(1, 10, account(&alice));
    let make = [create(&alice, &gateway::ID, &mint), create(&bob, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    let address = token_account(&alice, &mint);
    let close = token(&gateway::ID, 9, &[write(address), write(bob), signs(alice)], &[]);
    assert!(world.solana(std::slice::from_ref(&close)).error().contains("0xb"));
    let rent = world.lamports(&address);
    world.solana(&[transfer(&mint, &alice, &bob, &alice, 10, 6), close]).succeeds();
    assert_eq!((world.lamports(&address), world.lamports(&bob)), (0, rent));
    assert!(world.shown(&address).is_none());
    // It can be made again, and shows what there is.
    world.solana(&[transfer(&mint, &bob, &bob, &bob, 10, 6)]).succeeds();
    world.solana(&[create(&alice, &gateway::ID, &mint)]).succeeds();
    assert_eq!(world.tokens(&alice, &mint), 0);
}

#[test]
fn amounts_are_answered() {
    let mut world = World::new();
    let (_, mint) = world.issue(1, 10, toy(1));
    let ask = |tag: u8, data: &[u8]| token(&gateway::ID, tag, &[read(mint)], &[data]);
    let done = world.solana(&[ask(23, &1_500_000_u64.to_le_bytes())]).succeeds();
    assert_eq!(done.returned(), b"1.5");
    let done = world.solana(&[ask(24, b"0.25")]).succeeds();
    assert_eq!(done.returned(), 250_000_u64.to_le_bytes());
    let done = world.solana(&[ask(21, &[])]).succeeds();
    assert_eq!(done.returned(), 165_u64.to_le_bytes());
}

#[test]
fn an_alias_tokens_are_the_others() {
    let mut world = World::new();
    let (me, alice) = (alias_of(1), key(1));
    let (asset, mint) = world.issue(1, 1000, toy(1));
    // The account is made before anybody said whose it is.
    let make = [create(&me, &gateway::ID, &mint), create(&alice, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    assert_eq!(world.tokens(&me, &mint), 0);
    world.solana(&[gateway::register(&toy(1))]).succeeds();
    assert_eq!(world.tokens(&me, &mint), 1000);
    let pay = invocation(&transfer(&mint, &me, &alice, &me, 400, 6));
    let (_, seen) = world.toy(toy(1), &[Op::Call(pay.clone().delegate())]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert_eq!((world.holds(asset, &toy(1)), world.holds(asset, &account(&alice))), (600, 400));
    let (_, seen) = world.toy(toy(1), &[Op::Call(pay)]);
    assert_eq!(outcome(&seen).0, failed("UnauthorizedSigner"));
    // Back to it, by anybody.
    world.solana(&[transfer(&mint, &alice, &me, &alice, 100, 6)]).succeeds();
    assert_eq!(world.holds(asset, &toy(1)), 700);
    // What it leaves to a delegate, it would leave for good.
    let approve = token(
        &gateway::ID,
        4,
        &[write(token_account(&me, &mint)), read(alice), signs(me)],
        &[&100_u64.to_le_bytes()],
    );
    let (_, seen) = world.toy(toy(1), &[Op::Call(invocation(&approve).delegate())]);
    assert_eq!(outcome(&seen).0, failed("custom program error: 0x87"));
}

#[test]
fn what_came_before_the_name_is_not_lost() {
    let mut world = World::new();
    let (alice, me) = (key(1), alias_of(1));
    let (asset, mint) = world.issue(1, 1000, account(&alice));
    let make = [create(&me, &gateway::ID, &mint), create(&alice, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    world.solana(&[transfer(&mint, &alice, &me, &alice, 300, 6)]).succeeds();
    assert_eq!(world.holds(asset, &account(&me)), 300, "nobody knows yet");
    world.solana(&[gateway::register(&toy(1))]).succeeds();
    assert_eq!(world.tokens(&me, &mint), 300);
    world.solana(&[transfer(&mint, &alice, &me, &alice, 1, 6)]).succeeds();
    assert_eq!((world.holds(asset, &account(&me)), world.holds(asset, &toy(1))), (0, 301));
    assert_eq!(world.tokens(&me, &mint), 301);
}

#[test]
fn what_others_do_shows() {
    let mut world = World::new();
    let (alice, bob) = (key(1), key(2));
    let (asset, mint) = world.issue(1, 1000, banker(1));
    let make = [create(&alice, &gateway::ID, &mint), create(&bob, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    let pay = |to: &Pubkey, amount| {
        let order = Order::Pay { asset, from: None, to: account(to), amount };
        Invocation { abort: false, ..Invocation::new(banker(1), orders(&[order])) }
    };
    // It is given, and spent in the same transaction.
    let touched = [write(token_account(&alice, &mint))];
    let call = pay(&alice, 50).instruction(&PAYER, &touched);
    world.solana(&[call, transfer(&mint, &alice, &bob, &alice, 50, 6)]).succeeds();
    assert_eq!((world.tokens(&alice, &mint), world.tokens(&bob, &mint)), (0, 50));
    // Not handed over, the account would show too little.
    let call = pay(&alice, 50).instruction(&PAYER, &[]);
    let done = world.solana(&[call, transfer(&mint, &alice, &bob, &alice, 0, 6)]).succeeds();
    let refused = format!("AccountInUse: {}", token_account(&alice, &mint));
    assert!(done.record.logs.iter().any(|line| line.ends_with(&refused)));
    assert_eq!(world.holds(asset, &banker(1)), 950);
    // What it may spend is taken, by its leave.
    let leave = gateway::approve(&bob, asset, &banker(2), 30);
    let order = Order::Pay { asset, from: Some(account(&bob)), to: banker(2), amount: 20 };
    let take = Invocation { abort: false, ..Invocation::new(banker(2), orders(&[order])) };
    let take = take.instruction(&PAYER, &[write(token_account(&bob, &mint))]);
    world.solana(&[leave.clone(), take.clone()]).succeeds();
    assert_eq!((world.tokens(&bob, &mint), world.holds(asset, &banker(2))), (30, 20));
    let done = world.solana(&[take]).succeeds();
    assert_eq!(answer(done.returned()).0, 2, "no more than that");
    let mut unsigned = leave;
    unsigned.accounts[0].is_signer = false;
    assert!(world.solana(&[unsigned]).record.error().is_some());
}

#[test]
fn programs_use_the_tokens() {
    // A program that calls the gateway as a token program.
    let mut world = World::new();
    let (alice, (own, bump)) = (key(1), Pubkey::find_program_address(&[b"vault"], &CALLER));
    let (_, mint) = world.issue(1, 1000, account(&own));
    let make = [create(&alice, &gateway::ID, &mint), create(&own, &gateway::ID, &mint)];
    world.solana(&make).succeeds();
    let inner = plain(&transfer(&mint, &own, &alice, &own, 10, 6));
    let call = caller::forward_signed(CALLER.to_bytes(), &inner, b"vault", bump, own.to_bytes());
    world.solana(&[crate::world::instruction(&call)]).succeeds();
    assert_eq!((world.tokens(&own, &mint), world.tokens(&alice, &mint)), (990, 10));
    // The same from another machine.
    let (_, seen) =
        world.toy(toy(1), &[Op::Call(invocation(&crate::world::instruction(&call)).delegate())]);
    assert_eq!(outcome(&seen).0, Status::Success);
    assert_eq!(world.tokens(&alice, &mint), 20);
}
