//! Transactions at the edges of what is allowed, on Solana's machine as on agave's processor.

use crate::bank::{Bank, Ended};
use polity_analysis::{
    Rng,
    solana::{
        draw::sign,
        world::{self, NEW, PEOPLE, PROBE, PURSE, World},
    },
};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_address_lookup_table_interface::instruction as lookup;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_message::{
    AddressLookupTableAccount, Message, MessageHeader, VersionedMessage,
    compiled_instruction::CompiledInstruction,
    v0::{self, MessageAddressTableLookup},
};
use solana_nonce::{
    state::{DurableNonce, State},
    versions::Versions,
};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::system_program;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

const SOL: u64 = 1_000_000_000;

fn bank() -> Bank {
    Bank::new(&World::new(&mut Rng::new(7)))
}

fn signed(bank: &Bank, instructions: &[Instruction], payer: &Keypair) -> VersionedTransaction {
    let hash = bank.blockhash(0);
    with_hash(instructions, payer, hash)
}

fn with_hash(instructions: &[Instruction], payer: &Keypair, hash: Hash) -> VersionedTransaction {
    let message = Message::new_with_blockhash(instructions, Some(&payer.pubkey()), &hash);
    sign(VersionedMessage::Legacy(message)).unwrap()
}

fn send(bank: &mut Bank, instructions: &[Instruction], payer: &Keypair) -> Ended {
    let transaction = signed(bank, instructions, payer);
    bank.send(transaction)
}

fn wallet(lamports: u64) -> AccountSharedData {
    let mut account = AccountSharedData::new(lamports, 0, &system_program::ID);
    account.set_rent_epoch(u64::MAX);
    account
}

fn least(len: usize) -> u64 {
    Rent::default().minimum_balance(len)
}

fn transfer(lamports: u64) -> Instruction {
    system::transfer(&PEOPLE[0].pubkey(), &PEOPLE[1].pubkey(), lamports)
}

fn code(ended: &Ended) -> &'static str {
    match ended {
        Ended::Invalid(invalid) => invalid.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_transaction_is_refused() {
    let mut bank = bank();
    let good = wincode::serialize(&signed(&bank, &[transfer(1)], &PEOPLE[0])).unwrap();
    for len in 0..good.len() {
        assert!(matches!(bank.send_raw(&good[..len]), Ended::Refused(_)), "{len}");
    }
    assert!(matches!(bank.send_raw(&[&good[..], &[0]].concat()), Ended::Refused(_)));
    // Whatever bit is another, it is refused, or what it says is done by both alike.
    let mut refused = 0;
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(matches!(bank.send_raw(&bad), Ended::Refused(_)));
    }
    assert!(refused + 10 > good.len() * 8, "{refused}");
    assert!(bank.send_raw(&good).is_success());
    assert_eq!(code(&bank.send_raw(&good)), "AlreadyProcessed");
}

#[test]
fn sizes_end_at_a_packet() {
    let mut bank = bank();
    let of = |len: usize| {
        let data = [&[4][..], &vec![b'a'; len]].concat();
        Instruction { program_id: world::program(PROBE), accounts: Vec::new(), data }
    };
    let size =
        |bank: &Bank, len| wincode::serialize(&signed(bank, &[of(len)], &PEOPLE[0])).unwrap().len();
    let most = (900..1_232).rev().find(|len| size(&bank, *len) <= 1_232).unwrap();
    assert_eq!(size(&bank, most), 1_232);
    assert!(send(&mut bank, &[of(most)], &PEOPLE[0]).is_success());
    assert!(matches!(send(&mut bank, &[of(most + 1)], &PEOPLE[0]), Ended::Refused(_)));
}

#[test]
fn accounts_and_instructions_are_not_too_many() {
    let mut bank = bank();
    // As many as an instruction names, and the payer and the program.
    let of = |count: usize| {
        let accounts = (0..count).map(|index| {
            let key = Pubkey::new_from_array([index as u8 + 1; 32]);
            AccountMeta::new_readonly(key, false)
        });
        let mut instruction = transfer(1);
        instruction.accounts.extend(accounts.collect::<Vec<_>>());
        instruction
    };
    for count in [20, 30] {
        assert!(send(&mut bank, &[of(count)], &PEOPLE[0]).is_success());
    }
    // By a table there can be more: the payer, the receiver, the program and those looked up.
    let entries: Vec<_> = (0..70).map(|index| Pubkey::new_from_array([index + 1; 32])).collect();
    let mut data = bank.account(&world::table(0)).unwrap().data()[..56].to_vec();
    data.extend(entries.iter().flat_map(|key| key.to_bytes()));
    let mut table = bank.account(&world::table(0)).unwrap();
    table.set_lamports(SOL);
    table.set_data_from_slice(&data);
    bank.set(world::table(0), table);
    let tables = [AddressLookupTableAccount { key: world::table(0), addresses: entries }];
    for (count, most) in [(61, true), (62, false)] {
        let hash = bank.blockhash(0);
        let payer = PEOPLE[0].pubkey();
        let message = v0::Message::try_compile(&payer, &[of(count)], &tables, hash).unwrap();
        let ended = bank.send(sign(VersionedMessage::V0(message)).unwrap());
        match most {
            true => assert!(ended.is_success()),
            false => assert_eq!(code(&ended), "TooManyAccountLocks"),
        }
    }
    for count in [64, 65] {
        let instructions =
            vec![Instruction::new_with_bytes(world::program(PROBE), &[19], vec![]); count];
        let ended = send(&mut bank, &instructions, &PEOPLE[0]);
        assert_eq!(ended.is_success(), count == 64, "{ended:?}");
    }
}

#[test]
fn accounts_are_named_once() {
    let mut bank = bank();
    let (a, b) = (PEOPLE[0].pubkey(), PEOPLE[1].pubkey());
    let data = [&2_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat();
    let instruction = CompiledInstruction { program_id_index: 3, accounts: vec![0, 1], data };
    let message = Message {
        header: MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 1,
        },
        account_keys: vec![a, b, b, system_program::ID],
        recent_blockhash: bank.blockhash(0),
        instructions: vec![instruction.clone()],
    };
    let ended = bank.send(sign(VersionedMessage::Legacy(message.clone())).unwrap());
    assert_eq!(code(&ended), "AccountLoadedTwice");
    // Once by its name, and once by a table.
    let message = v0::Message {
        header: message.header,
        account_keys: vec![a, b, world::mint(0), system_program::ID],
        recent_blockhash: message.recent_blockhash,
        instructions: vec![instruction],
        address_table_lookups: vec![MessageAddressTableLookup {
            account_key: world::table(0),
            writable_indexes: vec![1],
            readonly_indexes: vec![],
        }],
    };
    let ended = bank.send(sign(VersionedMessage::V0(message)).unwrap());
    assert_eq!(code(&ended), "AccountLoadedTwice");
}

/// Headers and indexes that do not fit the accounts.
#[test]
fn messages_are_sound() {
    let mut bank = bank();
    let good = match signed(&bank, &[transfer(1)], &PEOPLE[0]).message {
        VersionedMessage::Legacy(message) => message,
        _ => panic!("not legacy"),
    };
    let changes: [fn(&mut Message); 10] = [
        |m| m.header.num_required_signatures = 0,
        |m| m.header.num_readonly_signed_accounts = 1,
        |m| m.header.num_readonly_unsigned_accounts = 3,
        |m| m.header.num_required_signatures = 3,
        |m| m.instructions[0].program_id_index = 0,
        |m| m.instructions[0].program_id_index = 7,
        |m| m.instructions[0].accounts[1] = 9,
        |m| m.account_keys.clear(),
        |m| m.header.num_readonly_unsigned_accounts = 0,
        |m| m.instructions.clear(),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut message = good.clone();
        change(&mut message);
        let signature = PEOPLE[0].sign_message(&message.serialize());
        let signatures =
            vec![signature; usize::from(message.header.num_required_signatures).max(1)];
        let message = VersionedMessage::Legacy(message);
        let ended = bank.send(VersionedTransaction { signatures, message });
        // A program that may be written, and no instruction at all, are allowed.
        assert_eq!(ended.is_success(), index >= 8, "{index}: {ended:?}");
    }
}

#[test]
fn a_blockhash_is_recent() {
    let mut bank = bank();
    for age in [0, 1, 148, 149] {
        let transaction = with_hash(&[transfer(1)], &PEOPLE[0], bank.blockhash(age));
        assert!(bank.send(transaction).is_success(), "{age}");
    }
    for age in [150, 200] {
        let transaction = with_hash(&[transfer(1)], &PEOPLE[0], bank.blockhash(age));
        assert_eq!(code(&bank.send(transaction)), "BlockhashNotFound");
    }
    // It stays known as long as its hash is.
    let transaction = signed(&bank, &[transfer(2)], &PEOPLE[0]);
    assert!(bank.send(transaction.clone()).is_success());
    for _ in 0..149 {
        bank.next_slot();
        assert_eq!(code(&bank.send(transaction.clone())), "AlreadyProcessed");
    }
    bank.next_slot();
    assert_eq!(code(&bank.send(transaction)), "BlockhashNotFound");
}

#[test]
fn who_pays_can_pay() {
    let mut bank = bank();
    let payer = &NEW[0];
    let empty = |bank: &mut Bank| {
        let ask = Instruction::new_with_bytes(world::program(PROBE), &[19], vec![]);
        send(bank, &[ask], &NEW[0])
    };
    assert_eq!(code(&empty(&mut bank)), "AccountNotFound");
    for (lamports, code_expected) in [
        (1, "InsufficientFundsForFee"),
        (4_999, "InsufficientFundsForFee"),
        (least(0), "InsufficientFundsForRent"),
        (least(0) + 4_999, "InsufficientFundsForRent"),
        (5_000, ""),
        // One that has too little already may have less.
        (6_000, ""),
        (least(0) - 1, ""),
        (least(0) + 5_000, ""),
        (u64::MAX, ""),
    ] {
        bank.set(payer.pubkey(), wallet(lamports));
        bank.next_slot();
        let ended = empty(&mut bank);
        match code_expected {
            "" => assert!(ended.is_success(), "{lamports}: {ended:?}"),
            expected => assert_eq!(code(&ended), expected, "{lamports}"),
        }
    }
    // Accounts of programs, and of the system program with data, do not pay.
    for owner in [world::program(PURSE), system_program::ID] {
        let mut account = AccountSharedData::new(SOL, 80, &owner);
        account.set_rent_epoch(u64::MAX);
        bank.set(payer.pubkey(), account);
        bank.next_slot();
        assert_eq!(code(&empty(&mut bank)), "InvalidAccountForFee");
    }
}

/// A durable nonce whose address has a key.
fn nonce(bank: &mut Bank, index: usize, authority: Pubkey, more: u64) -> Hash {
    let durable = DurableNonce::from_blockhash(&Hash::new_from_array([9; 32]));
    let state = State::new_initialized(&authority, durable, 5_000);
    let data = wincode::serialize(&Versions::new(state)).unwrap();
    let mut account = AccountSharedData::new(least(80) + more, 80, &system_program::ID);
    account.set_data_from_slice(&data);
    account.set_rent_epoch(u64::MAX);
    bank.set(NEW[index].pubkey(), account);
    *durable.as_hash()
}

#[test]
fn a_durable_nonce_is_used_once() {
    let mut bank = bank();
    let (address, authority) = (NEW[1].pubkey(), PEOPLE[2].pubkey());
    let fails = Instruction::new_with_bytes(world::program(PROBE), &[9], vec![]);
    let absent = Instruction::new_with_bytes(Pubkey::new_from_array([77; 32]), &[9], vec![]);
    let limit = Instruction::new_with_bytes(
        solana_sdk_ids::compute_budget::ID,
        &[&[4][..], &100_u32.to_le_bytes()].concat(),
        vec![],
    );
    let advance = system::advance_nonce_account(&address, &authority);
    for then in [transfer(1), fails, absent, limit] {
        let value = nonce(&mut bank, 1, authority, 0);
        bank.next_slot();
        let transaction = with_hash(&[advance.clone(), then.clone()], &PEOPLE[0], value);
        let record = bank.send(transaction.clone()).record();
        let after = bank.nonce(&address).unwrap();
        assert_ne!(after, value, "{record:?}");
        // Not again, not with another content, and not with what it became in this slot.
        assert_eq!(code(&bank.send(transaction)), "BlockhashNotFound");
        for hash in [value, after] {
            let other = with_hash(&[advance.clone(), transfer(7)], &PEOPLE[0], hash);
            assert_eq!(code(&bank.send(other)), "BlockhashNotFound");
        }
        bank.next_slot();
        let next = with_hash(&[advance.clone(), transfer(8)], &PEOPLE[0], after);
        assert!(bank.send(next).is_success());
    }
    let value = nonce(&mut bank, 1, authority, 0);
    // Advanced later than first, by somebody else, or read only: that is no durable nonce.
    let stranger = system::advance_nonce_account(&address, &PEOPLE[3].pubkey());
    let mut readonly = advance.clone();
    readonly.accounts[0].is_writable = false;
    for wrong in [vec![transfer(1), advance.clone()], vec![stranger], vec![readonly], vec![]] {
        let transaction = with_hash(&wrong, &PEOPLE[0], value);
        assert_eq!(code(&bank.send(transaction)), "BlockhashNotFound");
    }
    // With a recent blockhash it is an instruction like others.
    assert!(send(&mut bank, &[advance], &PEOPLE[0]).is_success());
}

#[test]
fn a_durable_nonce_pays_for_its_transaction() {
    let mut bank = bank();
    let key = &NEW[2];
    let advance = system::advance_nonce_account(&key.pubkey(), &key.pubkey());
    let send_more = system::transfer(&PEOPLE[0].pubkey(), &PEOPLE[1].pubkey(), 1 << 60);
    let withdraw = system::withdraw_nonce_account(
        &key.pubkey(),
        &key.pubkey(),
        &PEOPLE[1].pubkey(),
        least(80),
    );
    let good = Instruction::new_with_bytes(world::program(PROBE), &[19], vec![]);
    for (more, then) in [
        (4_999, good.clone()),
        (5_000, good.clone()),
        (9_999, good.clone()),
        (10_000, send_more.clone()),
        (50_000, good),
        (50_000, send_more),
        (5_000, withdraw.clone()),
        (10_000, withdraw),
    ] {
        let value = nonce(&mut bank, 2, key.pubkey(), more);
        bank.next_slot();
        bank.send(with_hash(&[advance.clone(), then], key, value));
    }
    // All of it is withdrawn, and what pays is gone with it.
    let value = nonce(&mut bank, 2, key.pubkey(), 5_000);
    bank.next_slot();
    let all = system::withdraw_nonce_account(
        &key.pubkey(),
        &key.pubkey(),
        &PEOPLE[1].pubkey(),
        least(80),
    );
    let recent = signed(&bank, &[all], key);
    assert!(bank.send(recent).is_success());
    assert_eq!(bank.account(&key.pubkey()), None);
    bank.next_slot();
    let gone = with_hash(&[advance], &PEOPLE[0], value);
    // Its address has a key that has to sign.
    assert_eq!(code(&bank.send(gone)), "BlockhashNotFound");
}

#[test]
fn tables_are_looked_up() {
    let mut bank = bank();
    let authority = &PEOPLE[0];
    let use_table = |bank: &mut Bank, table: Pubkey, index: u8, lamports: u64| {
        let data = [&2_u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
        let message = v0::Message {
            header: MessageHeader {
                num_required_signatures: 1,
                num_readonly_signed_accounts: 0,
                num_readonly_unsigned_accounts: 1,
            },
            account_keys: vec![authority.pubkey(), system_program::ID],
            recent_blockhash: bank.blockhash(0),
            instructions: vec![CompiledInstruction {
                program_id_index: 1,
                accounts: vec![0, 2],
                data,
            }],
            address_table_lookups: vec![MessageAddressTableLookup {
                account_key: table,
                writable_indexes: vec![index],
                readonly_indexes: vec![],
            }],
        };
        bank.send(sign(VersionedMessage::V0(message)).unwrap())
    };
    let (create, table) =
        lookup::create_lookup_table(authority.pubkey(), authority.pubkey(), bank.slot - 1);
    assert_eq!(code(&use_table(&mut bank, table, 0, 1)), "AddressLookupTableNotFound");
    assert!(send(&mut bank, &[create], authority).is_success());
    assert_eq!(code(&use_table(&mut bank, table, 0, 1)), "InvalidAddressLookupTableIndex");
    let extend = |keys: Vec<Pubkey>| {
        lookup::extend_lookup_table(table, authority.pubkey(), Some(authority.pubkey()), keys)
    };
    let keys: Vec<_> = (0..3).map(|index| PEOPLE[index + 3].pubkey()).collect();
    assert!(send(&mut bank, &[extend(keys)], authority).is_success());
    // From the next slot on.
    assert_eq!(code(&use_table(&mut bank, table, 0, 2)), "InvalidAddressLookupTableIndex");
    bank.next_slot();
    for index in 0..3 {
        assert!(use_table(&mut bank, table, index, 3).is_success());
    }
    assert_eq!(code(&use_table(&mut bank, table, 3, 3)), "InvalidAddressLookupTableIndex");
    assert_eq!(code(&use_table(&mut bank, world::mint(0), 0, 3)), "InvalidAddressLookupTableOwner");
    let mut broken = bank.account(&table).unwrap();
    broken.set_data_from_slice(&[7; 57]);
    bank.set(Pubkey::new_from_array([50; 32]), broken);
    let broken = Pubkey::new_from_array([50; 32]);
    assert_eq!(code(&use_table(&mut bank, broken, 0, 3)), "InvalidAddressLookupTableData");

    let deactivate = lookup::deactivate_lookup_table(table, authority.pubkey());
    let close = lookup::close_lookup_table(table, authority.pubkey(), PEOPLE[1].pubkey());
    assert!(send(&mut bank, &[deactivate], authority).is_success());
    // It is of use until the slot of its deactivation is out of sight.
    for round in 0..520 {
        let before = round < 513;
        if round % 64 == 0 || round > 508 {
            let ended = use_table(&mut bank, table, 1, 4);
            match ended.is_success() {
                true => assert!(before, "{round}"),
                false => assert_eq!(code(&ended), "AddressLookupTableNotFound", "{round}"),
            }
            let closed = send(&mut bank, std::slice::from_ref(&close), authority).is_success();
            if closed {
                assert!(round > 500);
                break;
            }
        }
        bank.next_slot();
    }
    assert_eq!(bank.account(&table), None);
    assert_eq!(code(&use_table(&mut bank, table, 1, 5)), "AddressLookupTableNotFound");
}

#[test]
fn limits_are_asked_for_once_and_kept() {
    let mut bank = bank();
    let budget =
        |data: &[u8]| Instruction::new_with_bytes(solana_sdk_ids::compute_budget::ID, data, vec![]);
    let of = |tag: u8, n: u32| budget(&[&[tag][..], &n.to_le_bytes()].concat());
    let price = |n: u64| budget(&[&[3][..], &n.to_le_bytes()].concat());
    let probe = |data: &[u8]| Instruction::new_with_bytes(world::program(PROBE), data, vec![]);
    let heap = |kib: u32| probe(&[&[7][..], &kib.to_le_bytes()].concat());
    for all in [
        vec![of(2, 0), transfer(1)],
        vec![of(2, 299), transfer(1)],
        vec![of(2, 300), transfer(1)],
        vec![of(2, 301), transfer(1)],
        vec![of(2, 2_000_000), probe(&[21])],
        vec![of(2, 1_000), of(2, 2_000), transfer(1)],
        vec![price(1), price(1)],
        vec![price(u64::MAX), transfer(1)],
        vec![of(2, 1_000_000), price(1_000_000), transfer(1)],
        vec![of(2, 3), price(333_334), probe(&[19])],
        vec![of(1, 0), heap(1)],
        vec![of(1, 32 * 1024), heap(32)],
        vec![of(1, 32 * 1024), heap(33)],
        vec![of(1, 256 * 1024), heap(256)],
        vec![of(1, 256 * 1024), heap(257)],
        vec![of(1, 256 * 1024 + 1_024), heap(1)],
        vec![of(1, 40_000), heap(1)],
        vec![of(4, 0), transfer(1)],
        vec![of(4, 1), transfer(1)],
        vec![of(4, 305), transfer(2)],
        vec![of(4, u32::MAX), transfer(2)],
        vec![of(4, 10_000), probe(&[19])],
        vec![of(4, 100_000), probe(&[19])],
        vec![budget(&[]), transfer(1)],
        vec![budget(&[0, 1, 2, 3]), transfer(1)],
        vec![budget(&[9]), transfer(1)],
        vec![budget(&[2, 1]), transfer(1)],
        vec![transfer(1), of(2, 150 * 2)],
        vec![probe(&[6]), probe(&[6]), probe(&[6]), transfer(1)],
    ] {
        bank.next_slot();
        send(&mut bank, &all, &PEOPLE[0]);
    }
    // Every number of bytes around what is loaded.
    let plain = [transfer(3), of(4, 1 << 20)];
    let bytes = send(&mut bank, &plain, &PEOPLE[0]).record().loaded_bytes;
    for limit in bytes - 3..bytes + 3 {
        bank.next_slot();
        let ended = send(&mut bank, &[transfer(3), of(4, limit)], &PEOPLE[0]).record();
        let error = (limit < bytes).then_some(TransactionError::MaxLoadedAccountsDataSizeExceeded);
        assert_eq!(ended.error(), error);
    }
}
