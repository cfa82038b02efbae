//! A limit order: calls a contract of Ethereum's in the wallet's name, and fails where the contract gave
//! less than the wallet said. So all that the contract did is undone as well.
//!
//! Data: `minimum (8, little-endian) ‖ contract (20) ‖ input for the contract`. The contract returns what
//! it gave as a number. Accounts: the wallet (signs), the gateway's vault (writable), the system program,
//! the gateway. Returns what was given (8 bytes, little-endian).

#![no_std]

use core::mem::MaybeUninit;
use core::slice;
use polity_gateway::{Account as Foreign, Answer, Call, GATEWAY};
use polity_programs::{
    INVALID_INSTRUCTION_DATA, Input, Result, bytes_of, copy,
    cpi::{self, Meta},
    custom, entrypoint, log, set_return_data, syscalls, u64_of,
};

entrypoint!(process);

/// The contract reverted, or gave something that is no number of 64 bits.
const REFUSED: u32 = 1;
/// The contract gave less than the minimum.
const TOO_LITTLE: u32 = 2;

/// The longest data for the gateway.
const MOST: usize = 1024;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    let minimum = u64_of(&mut data)?;
    let contract = bytes_of::<20>(&mut data)?;
    // The order decides what a failure is worth, so the call itself is not to abort.
    let order = Call { abort: false, ..Call::new(Foreign::ethereum(contract)) };
    call(input, &order, data)?;
    let given = answered()?;
    if given < minimum {
        log("limit: too little");
        return Err(custom(TOO_LITTLE));
    }
    set_return_data(&given.to_le_bytes());
    Ok(())
}

/// Calls the gateway.
#[inline(never)]
fn call(input: &Input, order: &Call, payload: &[u8]) -> Result<()> {
    let [wallet, vault, system, gateway] = input.take()?;
    let len = Call::HEADER + payload.len();
    if len > MOST {
        return Err(INVALID_INSTRUCTION_DATA);
    }
    let mut room = MaybeUninit::<[u8; MOST]>::uninit();
    // What is handed on is written first.
    let data = unsafe { slice::from_raw_parts_mut(room.as_mut_ptr().cast(), len) };
    let (header, rest) = data.split_at_mut(Call::HEADER);
    copy(header, &order.header());
    copy(rest, payload);
    let metas = [
        Meta::new(wallet, false, true),
        Meta::new(vault, true, false),
        Meta::new(system, false, false),
    ];
    let accounts = &[*wallet, *vault, *system, *gateway];
    cpi::call(&cpi::Call { program: &GATEWAY, metas: &metas, data, accounts, seeds: &[] })
}

/// What the contract returned.
#[inline(never)]
fn answered() -> Result<u64> {
    let mut room = [0; 64];
    let mut who = [0; 32];
    let len = unsafe {
        syscalls::sol_get_return_data(room.as_mut_ptr(), room.len() as u64, who.as_mut_ptr())
    };
    // Longer than a number is none.
    let answer = room.get(..len as usize).filter(|_| who == GATEWAY).and_then(Answer::parse);
    answer.and_then(|answer| answer.word()).ok_or(custom(REFUSED))
}
