//! An executable of the Solana machine, owned by one of the loaders (the first byte) and called with
//! what follows. Whatever it is, its call ends, and is the same a second time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polity_engine::Overlay;
use polity_kernel::{BlockContext, Code, Inputs, Kernel, Machines, Scratch};
use polity_svm::{
    BlockInput, Stored, Svm, Unsigned, Waiver, account, genesis::deployed, record,
};
use polity_types::{AccountId, B256, Resources};
use solana_account::ReadableAccount;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};
use solana_transaction::versioned::VersionedTransaction;
use std::sync::Arc;

const PROGRAM: Pubkey = Pubkey::new_from_array([7; 32]);
const PAYER: Pubkey = Pubkey::new_from_array([8; 32]);

fuzz_target!(|data: &[u8]| {
    let Some((first, elf)) = data.split_first() else { return };
    let loader = match first % 3 {
        0 => bpf_loader_upgradeable::ID,
        1 => bpf_loader::ID,
        _ => bpf_loader_deprecated::ID,
    };
    let mut state = Overlay::empty();
    state.insert_account(account(&PAYER), Some(record(1_000_000_000, None)));
    for (address, held) in deployed(&PROGRAM, &loader, elf, 1, None) {
        let Stored { record, slots, code } = Stored::new(&held);
        let id = account(&address);
        state.insert_account(id, record);
        if let Some((reference, bytes)) = code {
            state.insert_code(reference.hash, Arc::new(Code::new(bytes)));
        }
        for (key, value) in slots {
            state.insert_slot(id, key, value);
        }
    }
    let context = BlockContext {
        chain_id: 1,
        number: 100,
        timestamp: 1_000,
        beneficiary: AccountId::new(polity_svm::KIND, B256::repeat_byte(1)),
        randomness: B256::ZERO,
        inputs: Inputs::default(),
    };
    let ancestors = (0..100).map(B256::repeat_byte).collect();
    let block = BlockInput { ancestors }.in_context(context);
    let instruction = Instruction {
        program_id: PROGRAM,
        accounts: vec![AccountMeta::new(PAYER, true)],
        data: vec![first / 3, 1, 2, 3],
    };
    let message = VersionedMessage::Legacy(Message::new(&[instruction], Some(&PAYER)));
    let versioned = VersionedTransaction { signatures: vec![Default::default()], message };
    let decoded = Unsigned::for_simulation()
        .transaction(versioned, Waiver { age: true })
        .expect("it is sound");
    let machines = Machines::default().with(Svm::new()).expect("it is alone");
    let mut scratch = Scratch::default();
    let mut run = || {
        let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
        kernel.transact(&decoded, Resources::UNLIMITED).expect("no program ends the run")
    };
    let once = run();
    assert_eq!(format!("{once:?}"), format!("{:?}", run()));
});
