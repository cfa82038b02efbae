//! A transaction of the Solana machine: decoded, and executed as if somebody had signed it. What
//! decodes has no other encoding, and whatever it asks for it has effects or may not be in a block.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polity_engine::Overlay;
use polity_kernel::{
    BlockContext, Inputs, Kernel, Machine, Machines, Scratch, Totals,
};
use polity_svm::{BlockInput, Svm, Unsigned, Waiver, account, parse, record};
use polity_types::{AccountId, B256, Resources};

fuzz_target!(|raw: &[u8]| {
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
    let _ = Svm::new().decode(raw, &block);
    let Ok(versioned) = parse(raw) else { return };
    assert_eq!(wincode::serialize(&versioned).expect("it encodes"), raw);
    let keys = versioned.message.static_account_keys().to_vec();
    let waiver = Waiver { age: true };
    let Ok(decoded) = Unsigned::for_simulation().transaction(versioned, waiver) else { return };
    let machines = Machines::default().with(Svm::new()).expect("it is alone");
    let _ = Svm::new().admit(&decoded, &Totals::default(), &block);
    let mut state = Overlay::empty();
    for key in &keys {
        state.insert_account(account(key), Some(record(1_000_000_000, None)));
    }
    let mut scratch = Scratch::default();
    let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
    kernel.transact(&decoded, Resources::UNLIMITED).expect("no transaction ends the run");
});
