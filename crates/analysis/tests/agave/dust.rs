//! Lamports are the native asset of all machines: what is below one, what is above the most that
//! Solana can count, and what others credit.

use crate::bank::{Bank, Ended};
use polity_analysis::{
    Rng,
    solana::{
        draw::sign,
        world::{self, NEW, PEOPLE, PROBE, PURSE, World},
    },
};
use polity_kernel::View;
use polity_svm::{BASE_UNITS_PER_LAMPORT, base_units};
use polity_types::{AccountRecord, U256};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_loader_v3_interface::{get_program_data_address, instruction as loader};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::system_program;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction::versioned::VersionedTransaction;

const SOL: u64 = 1_000_000_000;
const DUST: U256 = U256::from_limbs([BASE_UNITS_PER_LAMPORT - 1, 0, 0, 0]);

fn bank() -> Bank {
    let mut world = World::new(&mut Rng::new(7));
    world.extra.clear();
    Bank::new(&world)
}

fn signed(bank: &Bank, instructions: &[Instruction], payer: &Keypair) -> VersionedTransaction {
    let hash = bank.blockhash(0);
    let message = Message::new_with_blockhash(instructions, Some(&payer.pubkey()), &hash);
    sign(VersionedMessage::Legacy(message)).unwrap()
}

fn send(bank: &mut Bank, instructions: &[Instruction], payer: &Keypair) -> Ended {
    let transaction = signed(bank, instructions, payer);
    bank.send(transaction)
}

fn record(bank: &Bank, address: &Pubkey) -> Option<AccountRecord> {
    bank.state.account(&polity_svm::account(address)).unwrap()
}

fn least(len: usize) -> u64 {
    Rent::default().minimum_balance(len)
}

fn purse(accounts: Vec<AccountMeta>, data: &[u8]) -> Instruction {
    Instruction { program_id: world::program(PURSE), accounts, data: data.to_vec() }
}

#[test]
fn a_wallet_goes_and_its_dust_stays() {
    let mut bank = bank();
    let (key, to) = (&NEW[0], PEOPLE[0].pubkey());
    for dust in [U256::ZERO, U256::from(1), DUST] {
        let fund = system::transfer(&to, &key.pubkey(), least(0) + 5_000);
        assert!(send(&mut bank, &[fund], &PEOPLE[0]).is_success());
        bank.give(key.pubkey(), dust);
        let empty = system::transfer(&key.pubkey(), &to, least(0));
        assert!(send(&mut bank, std::slice::from_ref(&empty), key).is_success());
        assert_eq!(bank.account(&key.pubkey()), None);
        let left = record(&bank, &key.pubkey());
        let expected =
            (!dust.is_zero()).then_some(AccountRecord { balance: dust, sequence: 0, code: None });
        assert_eq!(left, expected, "{dust}");
        bank.next_slot();
        // Nobody is there who could pay.
        assert!(matches!(send(&mut bank, &[empty], key), Ended::Invalid(_)));
        // Once more, and what was left comes on top.
        let fund = system::transfer(&to, &key.pubkey(), least(0));
        assert!(send(&mut bank, &[fund], &PEOPLE[0]).is_success());
        let found = record(&bank, &key.pubkey()).unwrap().balance;
        assert_eq!(found, base_units(least(0)) + dust);
        let take = system::transfer(&key.pubkey(), &to, least(0));
        assert!(send(&mut bank, &[take], &PEOPLE[0]).is_success());
        // What is left of this round is given back, so that the next begins without.
        let id = polity_svm::account(&key.pubkey());
        bank.state.insert_account(id, None);
        bank.next_slot();
    }
}

#[test]
fn an_account_with_data_goes_and_comes_as_another() {
    let mut bank = bank();
    let account = world::purse_account(4);
    let (payer, to) = (&PEOPLE[0], PEOPLE[1].pubkey());
    bank.give(account, DUST);
    let id = polity_svm::account(&account);
    assert!(bank.state.slots(&id).count() > 1);
    let sweep = || purse(vec![AccountMeta::new(to, false), AccountMeta::new(account, false)], &[7]);
    assert!(send(&mut bank, &[sweep()], payer).is_success());
    assert_eq!(bank.account(&account), None);
    assert_eq!(bank.state.slots(&id).count(), 0);
    assert_eq!(record(&bank, &account).unwrap().balance, DUST);
    // A credit of one base unit makes it a lamport, and a wallet of the system program.
    bank.give(account, U256::from(1));
    let shown = bank.account(&account).unwrap();
    assert_eq!((shown.lamports(), shown.data().len()), (1, 0));
    assert_eq!(shown.owner(), &system_program::ID);
    // Its former program has no power over it.
    bank.next_slot();
    assert!(!send(&mut bank, &[sweep()], payer).is_success());
}

#[test]
fn a_program_goes_with_its_code_and_its_dust_stays() {
    let mut bank = bank();
    let (program, authority) = (world::version(0), &PEOPLE[1]);
    let programdata = get_program_data_address(&program);
    let call =
        |data: u8| Instruction { program_id: program, accounts: Vec::new(), data: vec![data] };
    bank.give(programdata, U256::from(7));
    assert!(send(&mut bank, &[call(0)], authority).is_success());
    let close = loader::close_any(
        &programdata,
        &PEOPLE[0].pubkey(),
        Some(&authority.pubkey()),
        Some(&program),
        false,
    );
    assert!(send(&mut bank, &[close], authority).is_success());
    let left = AccountRecord { balance: U256::from(7), sequence: 0, code: None };
    assert_eq!(record(&bank, &programdata), Some(left));
    assert!(!send(&mut bank, &[call(1)], authority).is_success());
    bank.next_slot();
    assert!(!send(&mut bank, &[call(2)], authority).is_success());
    // A lamport at its place is no program.
    bank.give(programdata, base_units(SOL));
    bank.next_slot();
    assert!(!send(&mut bank, &[call(3)], authority).is_success());
}

#[test]
fn credits_from_outside_show_from_a_lamport_on() {
    let mut bank = bank();
    let key = &NEW[3];
    let ask = Instruction::new_with_bytes(world::program(PROBE), &[19], vec![]);
    bank.give(key.pubkey(), DUST);
    assert_eq!(bank.account(&key.pubkey()), None);
    assert!(matches!(send(&mut bank, std::slice::from_ref(&ask), key), Ended::Invalid(_)));
    bank.give(key.pubkey(), U256::from(1));
    assert_eq!(bank.account(&key.pubkey()).unwrap().lamports(), 1);
    bank.give(key.pubkey(), base_units(least(0) + 4_999) + DUST);
    assert_eq!(bank.account(&key.pubkey()).unwrap().lamports(), least(0) + 5_000);
    bank.next_slot();
    assert!(send(&mut bank, &[ask], key).is_success());
    assert_eq!(record(&bank, &key.pubkey()).unwrap().balance, base_units(least(0)) + DUST);
    // To accounts with data: the data stays, and the lamports are more.
    let tokens = world::tokens(0, 0);
    let before = bank.account(&tokens).unwrap();
    bank.give(tokens, base_units(5) + U256::from(3));
    let after = bank.account(&tokens).unwrap();
    assert_eq!(after.data(), before.data());
    assert_eq!(after.lamports(), before.lamports() + 5);
    let payer = PEOPLE[0].pubkey();
    let nothing = purse(vec![AccountMeta::new(tokens, false)], &[8]);
    assert!(
        send(&mut bank, &[nothing, system::transfer(&payer, &tokens, 1)], &PEOPLE[0]).is_success()
    );
}

/// Agave cannot count so much: here only our chain is looked at.
#[test]
fn more_than_can_be_counted_shows_as_the_most() {
    let mut bank = bank();
    let (key, to) = (&PEOPLE[world::CROESUS], PEOPLE[0].pubkey());
    let whole = base_units(u64::MAX) + base_units(10 * SOL) + U256::from(5);
    let id = polity_svm::account(&key.pubkey());
    let set = |bank: &mut Bank, balance| {
        bank.state.insert_account(id, Some(AccountRecord { balance, sequence: 0, code: None }));
    };
    let ours = |bank: &mut Bank, instructions: &[Instruction], payer: &Keypair| {
        let transaction = signed(bank, instructions, payer);
        let ended = bank.execute(&wincode::serialize(&transaction).unwrap());
        bank.next_slot();
        ended
    };
    set(&mut bank, whole);
    assert_eq!(bank.account(&key.pubkey()).unwrap().lamports(), u64::MAX);
    assert!(ours(&mut bank, &[system::transfer(&key.pubkey(), &to, SOL)], key).is_success());
    assert_eq!(record(&bank, &key.pubkey()).unwrap().balance, whole - base_units(SOL + 5_000));
    assert_eq!(bank.account(&key.pubkey()).unwrap().lamports(), u64::MAX);
    // It cannot be sent to: for Solana that would be more than there can be.
    assert!(!ours(&mut bank, &[system::transfer(&to, &key.pubkey(), 1)], &PEOPLE[0]).is_success());
    // All that shows goes; what did not show is there then.
    set(&mut bank, whole);
    bank.state.insert_account(polity_svm::account(&NEW[4].pubkey()), None);
    let all = system::transfer(&key.pubkey(), &NEW[4].pubkey(), u64::MAX);
    assert!(ours(&mut bank, &[all], &PEOPLE[0]).is_success());
    assert_eq!(bank.account(&key.pubkey()).unwrap().lamports(), 10 * SOL);
    assert_eq!(record(&bank, &key.pubkey()).unwrap().balance, base_units(10 * SOL) + U256::from(5));
    assert_eq!(record(&bank, &NEW[4].pubkey()).unwrap().balance, base_units(u64::MAX));
    // The most that Solana can count, and no more, is as it is for agave.
    let mut account = AccountSharedData::new(u64::MAX, 0, &system_program::ID);
    account.set_rent_epoch(u64::MAX);
    bank.set(key.pubkey(), account);
    bank.set(to, bank.account(&to).unwrap());
    for lamports in [u64::MAX, u64::MAX - 5_000, u64::MAX - 5_000 - least(0)] {
        send(&mut bank, &[system::transfer(&key.pubkey(), &NEW[5].pubkey(), lamports)], key);
        bank.next_slot();
    }
}

/// The priority fee is the beneficiary's at once, who may be one of the transaction's accounts.
#[test]
fn a_beneficiary_can_take_part() {
    let mut bank = bank();
    let price = Instruction::new_with_bytes(
        solana_sdk_ids::compute_budget::ID,
        &[&[3][..], &1_000_000_u64.to_le_bytes()].concat(),
        vec![],
    );
    let to = Pubkey::new_from_array(crate::bank::BENEFICIARY.address.0);
    let ended = |bank: &mut Bank, lamports| {
        let send = system::transfer(&PEOPLE[0].pubkey(), &to, lamports);
        let transaction = signed(bank, &[price.clone(), send], &PEOPLE[0]);
        let ended = bank.execute(&wincode::serialize(&transaction).unwrap());
        bank.next_slot();
        ended
    };
    let fee = ended(&mut bank, least(0)).record().fee;
    assert!(fee > 5_000);
    assert_eq!(record(&bank, &to).unwrap().balance, base_units(least(0) + fee - 5_000));
    // Where it has too little, and is not given enough, the transaction fails; the fee is still its.
    bank.state.insert_account(crate::bank::BENEFICIARY, None);
    let record_of = ended(&mut bank, 1).record();
    assert!(record_of.error().is_some());
    assert_eq!(record(&bank, &to).unwrap().balance, base_units(record_of.fee - 5_000));
}
