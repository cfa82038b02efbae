//! Programs on Solana's machine as on agave's processor: from the first byte in a buffer to their
//! end, and executables that are none.

use crate::bank::{Bank, Ended};
use polity_analysis::{
    Rng,
    solana::{
        draw::sign,
        world::{self, COUNTER, NEW, PEOPLE, PROBE, VERSION_1, VERSION_2, World},
    },
};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_instruction::{AccountMeta, Instruction};
use solana_loader_v3_interface::{
    get_program_data_address, instruction as loader, state::UpgradeableLoaderState,
};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction_error::TransactionError;

const SOL: u64 = 1_000_000_000;

fn bank() -> Bank {
    Bank::new(&World::new(&mut Rng::new(7)))
}

fn send(bank: &mut Bank, instructions: &[Instruction]) -> Ended {
    let payer = PEOPLE[0].pubkey();
    let hash = bank.blockhash(0);
    let message = Message::new_with_blockhash(instructions, Some(&payer), &hash);
    bank.send(sign(VersionedMessage::Legacy(message)).unwrap())
}

fn error(ended: Ended) -> Option<TransactionError> {
    ended.record().error()
}

fn call(program: Pubkey, data: &[u8]) -> Instruction {
    Instruction { program_id: program, accounts: Vec::new(), data: data.to_vec() }
}

/// A buffer with an executable in it, made by transactions.
fn upload(bank: &mut Bank, buffer: Pubkey, elf: &[u8]) {
    let payer = PEOPLE[0].pubkey();
    let lamports =
        Rent::default().minimum_balance(UpgradeableLoaderState::size_of_buffer(elf.len()));
    let create = loader::create_buffer(&payer, &buffer, &payer, lamports, elf.len()).unwrap();
    assert!(send(bank, &create).is_success());
    for (index, piece) in elf.chunks(900).enumerate() {
        let write = loader::write(&buffer, &payer, index as u32 * 900, piece.to_vec());
        assert!(send(bank, &[write]).is_success());
    }
}

#[test]
fn a_program_lives_and_ends() {
    let mut bank = bank();
    let payer = PEOPLE[0].pubkey();
    let (buffer, program, second) = (NEW[0].pubkey(), NEW[1].pubkey(), NEW[2].pubkey());
    let mut round = 0;
    let mut runs = |bank: &mut Bank| -> Result<Vec<u8>, TransactionError> {
        // What is said to the program makes the transaction another one.
        round += 1;
        let record = send(bank, &[call(program, &[round])]).record();
        match record.error() {
            Some(error) => Err(error),
            None => Ok(record.return_data.unwrap().1[..1].to_vec()),
        }
    };
    upload(&mut bank, buffer, VERSION_1.1);
    // Beyond the end.
    let write = loader::write(&buffer, &payer, VERSION_1.1.len() as u32, vec![1]);
    assert!(!send(&mut bank, &[write]).is_success());
    let lamports = Rent::default().minimum_balance(UpgradeableLoaderState::size_of_program());
    let deploy = loader::deploy_with_max_program_len(
        &payer, &program, &buffer, &payer, lamports, 20_000, false,
    )
    .unwrap();
    // What is deployed cannot run in the same slot: not in the transaction, and not in another.
    let with_call = [deploy.clone(), vec![call(program, &[])]].concat();
    assert!(!send(&mut bank, &with_call).is_success());
    assert!(send(&mut bank, &deploy).is_success());
    assert!(runs(&mut bank).is_err());
    bank.next_slot();
    assert_eq!(runs(&mut bank).unwrap(), [1]);
    let shown = bank.account(&get_program_data_address(&program)).unwrap();
    assert_eq!(shown.data().len(), 45 + 20_000);

    // Upgraded, it is not there for the rest of the slot, which agave's processor decides by the
    // slot in the program's data.
    upload(&mut bank, second, VERSION_2.1);
    bank.next_slot();
    let upgrade = loader::upgrade(&program, &second, &payer, &payer, false);
    let stranger = loader::upgrade(&program, &second, &PEOPLE[3].pubkey(), &payer, false);
    assert!(!send(&mut bank, &[stranger]).is_success());
    assert!(send(&mut bank, std::slice::from_ref(&upgrade)).is_success());
    assert!(runs(&mut bank).is_err());
    let again = [upgrade, call(world::program(PROBE), &[4])];
    assert!(!send(&mut bank, &again).is_success());
    bank.next_slot();
    assert_eq!(runs(&mut bank).unwrap(), [2]);

    // More room, in steps that the loader allows; nobody else's authority; none any more.
    for bytes in [1, 10_240, 20_000] {
        send(&mut bank, &[loader::extend_program(&program, Some(&payer), bytes)]);
        runs(&mut bank).ok();
        bank.next_slot();
        assert_eq!(runs(&mut bank).unwrap(), [2]);
    }
    let next = PEOPLE[1].pubkey();
    let give = loader::set_upgrade_authority_checked(&program, &payer, &next);
    assert!(send(&mut bank, std::slice::from_ref(&give)).is_success());
    assert!(!send(&mut bank, &[give, call(world::program(PROBE), &[4])]).is_success());

    let programdata = get_program_data_address(&program);
    let close =
        |authority| loader::close_any(&programdata, &payer, Some(authority), Some(&program), false);
    assert!(!send(&mut bank, &[close(&payer)]).is_success());
    assert!(send(&mut bank, &[close(&next)]).is_success());
    assert!(runs(&mut bank).is_err());
    bank.next_slot();
    assert!(runs(&mut bank).is_err());
    assert_eq!(bank.account(&programdata), None);
    // Its place cannot be taken again.
    upload(&mut bank, NEW[3].pubkey(), VERSION_1.1);
    let again = loader::deploy_with_max_program_len(
        &payer,
        &program,
        &NEW[3].pubkey(),
        &payer,
        lamports,
        20_000,
        false,
    )
    .unwrap();
    assert!(!send(&mut bank, &again).is_success());
    assert!(!send(&mut bank, &again[1..]).is_success());
}

#[test]
fn a_program_that_nobody_may_change_stays() {
    let mut bank = bank();
    let (program, authority) = (world::version(0), PEOPLE[1].pubkey());
    let last = loader::set_upgrade_authority(&program, &authority, None);
    assert!(send(&mut bank, &[last]).is_success());
    let upgrade =
        loader::upgrade(&program, &world::buffer(0), &authority, &PEOPLE[0].pubkey(), false);
    assert!(!send(&mut bank, &[upgrade]).is_success());
    let programdata = get_program_data_address(&program);
    let close = loader::close_any(
        &programdata,
        &PEOPLE[0].pubkey(),
        Some(&authority),
        Some(&program),
        false,
    );
    assert!(!send(&mut bank, &[close]).is_success());
    bank.next_slot();
    assert!(send(&mut bank, &[call(program, &[])]).is_success());
}

#[test]
fn buffers_are_closed_and_given_away() {
    let mut bank = bank();
    let payer = PEOPLE[0].pubkey();
    let buffer = NEW[0].pubkey();
    upload(&mut bank, buffer, &VERSION_1.1[..1_000]);
    let next = PEOPLE[2].pubkey();
    let give = loader::set_buffer_authority(&buffer, &payer, &next);
    assert!(send(&mut bank, &[give]).is_success());
    let write = loader::write(&buffer, &payer, 0, vec![1]);
    assert!(!send(&mut bank, &[write]).is_success());
    let close = loader::close(&buffer, &NEW[7].pubkey(), &next, false);
    assert!(send(&mut bank, &[close]).is_success());
    assert_eq!(bank.account(&buffer), None);
    assert!(bank.account(&NEW[7].pubkey()).unwrap().lamports() > 0);
}

/// The accounts of an executable under one of the loaders.
fn place(bank: &mut Bank, owner: Pubkey, elf: &[u8]) -> Pubkey {
    let address = Pubkey::new_unique();
    for (address, account) in
        polity_svm::genesis::deployed(&address, &owner, elf, 10, None).into_iter().rev()
    {
        bank.set(address, account);
    }
    address
}

#[test]
fn what_is_no_executable_does_not_run() {
    let mut rng = Rng::new(11);
    let mut bank = bank();
    let mut damaged: Vec<Vec<u8>> = Vec::new();
    for (_, elf) in [VERSION_1, PROBE, COUNTER] {
        for len in [0, 1, 4, 16, 63, 64, 65, 100, elf.len() / 2, elf.len() - 1] {
            damaged.push(elf[..len].to_vec());
        }
        for round in 0..60 {
            let mut elf = elf.to_vec();
            for _ in 0..1 + rng.below(3) {
                // Mostly in the headers.
                let end = if round % 2 == 0 { 300 } else { elf.len() };
                let at = rng.below(end);
                elf[at] ^= 1 << rng.below(8);
            }
            damaged.push(elf);
        }
        damaged.push([elf, &[0; 3_000]].concat());
    }
    damaged.push(vec![0xff; 5_000]);
    damaged.push(b"\x7fELF".repeat(100));
    let (mut ran, mut refused) = (0, 0);
    for elf in &damaged {
        for owner in [bpf_loader::ID, bpf_loader_deprecated::ID, bpf_loader_upgradeable::ID] {
            let program = place(&mut bank, owner, elf);
            bank.next_slot();
            for data in [&[][..], &[4, 65], &[0, 1, 0, 0, 0]] {
                match send(&mut bank, &[call(program, data)]).is_success() {
                    true => ran += 1,
                    false => refused += 1,
                }
            }
        }
    }
    eprintln!("{ran} ran, {refused} did not");
    assert!(ran > 50 && refused > 200, "{ran} {refused}");
}

/// Accounts of the loaders whose headers are not what they are to be.
#[test]
fn headers_that_are_none_are_no_programs() {
    let mut bank = bank();
    let owner = bpf_loader_upgradeable::ID;
    let mut index = 0;
    let mut calls = |bank: &mut Bank, program: &[u8], programdata: Option<(Pubkey, Vec<u8>)>| {
        index += 1;
        let address = Pubkey::new_from_array([index; 32]);
        let (place, _) = Pubkey::find_program_address(&[address.as_ref()], &owner);
        let mut program = program.to_vec();
        for at in 0..program.len().saturating_sub(31) {
            if program[at..at + 32] == [0xaa; 32] {
                program[at..at + 32].copy_from_slice(place.as_ref());
            }
        }
        if let Some((owner, data)) = programdata {
            let mut account = AccountSharedData::new(SOL, data.len(), &owner);
            account.set_data_from_slice(&data);
            account.set_rent_epoch(u64::MAX);
            bank.set(place, account);
        }
        let mut account = AccountSharedData::new(SOL, program.len(), &owner);
        account.set_data_from_slice(&program);
        account.set_executable(true);
        account.set_rent_epoch(u64::MAX);
        bank.set(address, account);
        bank.next_slot();
        let ended = send(bank, &[call(address, &[])]);
        error(ended)
    };
    let header = |slot: u64| {
        let header = UpgradeableLoaderState::ProgramData {
            slot,
            upgrade_authority_address: Some(Pubkey::new_from_array([1; 32])),
        };
        wincode::serialize(&header).unwrap()
    };
    let program = [&[2, 0, 0, 0][..], &[0xaa; 32]].concat();
    let whole = [header(5), VERSION_1.1.to_vec()].concat();
    assert_eq!(calls(&mut bank, &program, Some((owner, whole.clone()))), None);
    let bad = [
        calls(&mut bank, &program, None),
        calls(&mut bank, &[], None),
        calls(&mut bank, &program[..10], Some((owner, whole.clone()))),
        calls(&mut bank, &program, Some((owner, header(5)))),
        calls(&mut bank, &program, Some((owner, header(5)[..20].to_vec()))),
        calls(&mut bank, &program, Some((owner, whole[..60].to_vec()))),
        calls(&mut bank, &program, Some((bpf_loader::ID, whole.clone()))),
        calls(&mut bank, &[3, 0, 0, 0], Some((owner, whole.clone()))),
        calls(&mut bank, &[1, 0, 0, 0, 0], None),
        calls(&mut bank, &[9, 9, 9, 9], None),
    ];
    assert!(bad.iter().all(Option::is_some), "{bad:?}");
}

/// An account whose key is a program's that calls itself, is written by itself, and pays.
#[test]
fn programs_among_the_accounts() {
    let mut bank = bank();
    let payer = PEOPLE[0].pubkey();
    for program in [world::program(COUNTER), bpf_loader_upgradeable::ID, bpf_loader::ID] {
        // Lamports for an executable, and for the loader, which nobody may write.
        send(&mut bank, &[system::transfer(&payer, &program, SOL)]);
        let mut instruction = call(world::program(PROBE), &[4, 65]);
        instruction.accounts.push(AccountMeta::new(program, false));
        send(&mut bank, &[instruction]);
        send(&mut bank, &[call(program, &[1, 2, 3])]);
        send(&mut bank, &[call(program, &[])]);
    }
}
