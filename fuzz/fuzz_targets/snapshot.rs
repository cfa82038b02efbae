//! A snapshot: it is refused, or becomes a state whose snapshot says the same.
//!
//! No input gets past the checks by chance: a second one with the checks in order is read as well.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polity_evm::{Evm, spec::ChainSpec};
use polity_kernel::Machines;
use polity_state::{
    History, Memory, State,
    snapshot::{self, Snapshot},
};
use polity_verify::hash_value;
use std::sync::Arc;

/// The bytes of a header before its check.
const HEADER: usize = 92;
const CHECK: usize = 32;

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(mended) = mend(data) {
        read(&mended);
    }
});

fn read(mut bytes: &[u8]) {
    let machines = Machines::default().with(Evm::new(ChainSpec::mainnet())).unwrap();
    let Ok(snapshot) = Snapshot::open(&mut bytes) else { return };
    let memory = Memory::new();
    if let Ok(summary) = snapshot.import(&memory, &machines, None) {
        let state = State::open(Arc::new(memory), History::Archive).unwrap();
        assert_eq!(state.check().unwrap(), summary.cells);
        let mut again = Vec::new();
        assert_eq!(snapshot::export(&state, summary.chain, &mut again).unwrap(), summary);
    }
}

/// The same with the checks that belong to it.
fn mend(data: &[u8]) -> Option<Vec<u8>> {
    let mut mended = data.get(..HEADER)?.to_vec();
    let mut check = hash_value(&mended);
    mended.extend_from_slice(check.as_slice());
    let mut rest = data.get(HEADER + CHECK..)?;
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let [_, length @ ..] = *head;
        let length = (u32::from_be_bytes(length) as usize).min(tail.len());
        let payload = tail.get(..length)?;
        check = hash_value(&[check.as_slice(), head, hash_value(payload).as_slice()].concat());
        mended.extend_from_slice(&[head, payload, check.as_slice()].concat());
        rest = tail.get(length + CHECK..).unwrap_or_default();
    }
    Some(mended)
}
