//! Hands an instruction to another program, and counts before and after.

#![no_std]

use core::mem::MaybeUninit;
use core::slice;
use polity_programs::{
    Account, Address, INVALID_ACCOUNT_DATA, INVALID_INSTRUCTION_DATA, Input, NOT_ENOUGH_ACCOUNTS,
    Result, copy,
    cpi::{self, Call},
    entrypoint, set_return_data, slice_of,
    syscalls::{self, Piece},
    u8_of,
};

entrypoint!(process);

/// Returns the account's bytes. `[0]`; accounts: the account.
const PEEK: u8 = 0;
/// Counts, hands on the rest of the data, and counts. Returns the account's bytes and what was
/// returned. `[1, data...]`; accounts: the account, writable and of this program, the program that
/// is called, its accounts.
const FORWARD: u8 = 1;
/// The same, and the address of its own that the seed and the bump give signs.
/// `[2, seed length, seed..., bump, data...]`; accounts: as before.
const FORWARD_SIGNED: u8 = 2;

/// How often it began and how often it ended, 8 bytes each.
const LEN: usize = 16;
/// The longest data that is returned.
const MOST: usize = 1024;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    let [account, ..] = input.accounts() else { return Err(NOT_ENOUGH_ACCOUNTS) };
    match u8_of(&mut data)? {
        PEEK => {
            set_return_data(account.data());
            Ok(())
        }
        FORWARD => forward(input, data, None, &[]),
        FORWARD_SIGNED => {
            let len = u8_of(&mut data)?.into();
            let seed = slice_of(&mut data, len)?;
            let bump = slice_of(&mut data, 1)?;
            let seeds = [Piece::new(seed), Piece::new(bump)];
            let signer = cpi::address(&seeds, input.program)?;
            forward(input, data, Some(&signer), &seeds)
        }
        _ => Err(INVALID_INSTRUCTION_DATA),
    }
}

#[inline(always)]
fn forward(input: &Input, data: &[u8], signer: Option<&Address>, seeds: &[Piece]) -> Result<()> {
    let [account, program, others @ ..] = input.accounts() else {
        return Err(NOT_ENOUGH_ACCOUNTS);
    };
    count(account, 0)?;
    let call =
        Call { program: program.key(), metas: &[], data, accounts: &input.accounts()[1..], seeds };
    cpi::forward(others, signer, call)?;
    count(account, 8)?;
    tell(account)
}

/// Counts in the number that begins there.
fn count(account: &Account, at: usize) -> Result<()> {
    let place: &mut [u8] = account.data_mut().get_mut(at..at + 8).ok_or(INVALID_ACCOUNT_DATA)?;
    let mut number = [0; 8];
    copy(&mut number, place);
    copy(place, &(u64::from_le_bytes(number) + 1).to_le_bytes());
    Ok(())
}

/// Returns the account's bytes and what the program returned.
#[inline(never)]
fn tell(account: &Account) -> Result<()> {
    let mut result = MaybeUninit::<[u8; MOST]>::uninit();
    let at: *mut u8 = result.as_mut_ptr().cast();
    let counts = account.data().get(..LEN).ok_or(INVALID_ACCOUNT_DATA)?;
    let mut who: Address = [0; 32];
    let len = unsafe {
        copy(slice::from_raw_parts_mut(at, LEN), counts);
        syscalls::sol_get_return_data(at.add(LEN), (MOST - LEN) as u64, who.as_mut_ptr()) as usize
    };
    // The runtime wrote that much of it.
    set_return_data(unsafe { slice::from_raw_parts(at, LEN + len.min(MOST - LEN)) });
    Ok(())
}
