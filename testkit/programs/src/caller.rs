//! Calls other programs: itself, whatever it is told, and as somebody that it is not.

#![no_std]

use core::{mem::MaybeUninit, slice};
use polity_programs::{
    Address, INVALID_INSTRUCTION_DATA, Input, NOT_ENOUGH_ACCOUNTS, Result,
    cpi::{self, Call, Meta},
    custom, entrypoint, log, set_return_data, slice_of,
    syscalls::{self, Piece},
    u8_of, u32_of,
};

entrypoint!(process);

/// Calls itself so many times, one in the other, and returns how deep that was.
/// `[0, depth]`; accounts: this program.
const DEPTH: u8 = 0;
/// Hands on the rest of the data, and the accounts with the rights that they have here.
/// `[1, data...]`; accounts: the program, then its accounts.
const FORWARD: u8 = 1;
/// The same, and the address of its own that the seed and the bump give signs.
/// `[2, seed length, seed..., bump, data...]`; accounts: as before.
const FORWARD_SIGNED: u8 = 2;
/// The same as `FORWARD`, and the first account is said to have signed.
const CLAIM_SIGNER: u8 = 3;
/// The same as `FORWARD`, and the first account is said to be writable.
const CLAIM_WRITABLE: u8 = 4;
/// Returns the rest of the data.
const RETURN: u8 = 5;
/// The same as `FORWARD`; then returns who returned something and what, 32 bytes and the rest.
const FORWARD_AND_READ: u8 = 6;
/// Fails with an error of its own: `[7, code (4 bytes)]`.
const FAIL: u8 = 7;
/// The same as `FORWARD`, so many times: `[8, times, data...]`.
const REPEAT: u8 = 8;
/// The same as `FORWARD`, but the program's account is not among those that the call gets. The
/// runtime does not miss it.
const FORWARD_WITHOUT_PROGRAM: u8 = 9;

/// Nobody returned anything.
const NOTHING_RETURNED: u32 = 1;
/// The longest data that is read back.
const MOST: usize = 512;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    match u8_of(&mut data)? {
        DEPTH => depth(input, u8_of(&mut data)?),
        FORWARD => forward(input, data, None, &[]),
        FORWARD_SIGNED => {
            let len = u8_of(&mut data)?.into();
            let seed = slice_of(&mut data, len)?;
            let bump = slice_of(&mut data, 1)?;
            let seeds = [Piece::new(seed), Piece::new(bump)];
            let signer = cpi::address(&seeds, input.program)?;
            forward(input, data, Some(&signer), &seeds)
        }
        claim @ (CLAIM_SIGNER | CLAIM_WRITABLE) => {
            let [program, first, ..] = input.accounts() else { return Err(NOT_ENOUGH_ACCOUNTS) };
            let signer = first.is_signer() || claim == CLAIM_SIGNER;
            let writable = first.is_writable() || claim == CLAIM_WRITABLE;
            let metas = &[Meta::new(first, writable, signer)];
            let accounts = &[*first, *program];
            cpi::call(&Call { program: program.key(), metas, data, accounts, seeds: &[] })
        }
        RETURN => {
            set_return_data(data);
            Ok(())
        }
        FORWARD_AND_READ => {
            forward(input, data, None, &[])?;
            read_back()
        }
        FAIL => Err(custom(u32_of(&mut data)?)),
        REPEAT => {
            for _ in 0..u8_of(&mut data)? {
                forward(input, data, None, &[])?;
            }
            Ok(())
        }
        FORWARD_WITHOUT_PROGRAM => {
            let [program, accounts @ ..] = input.accounts() else {
                return Err(NOT_ENOUGH_ACCOUNTS);
            };
            let program = program.key();
            cpi::forward(accounts, None, Call { program, metas: &[], data, accounts, seeds: &[] })
        }
        _ => Err(INVALID_INSTRUCTION_DATA),
    }
}

fn depth(input: &Input, left: u8) -> Result<()> {
    let mut levels = [0];
    if left > 0 {
        let [this] = input.take()?;
        let (metas, data) = (&[Meta::same(this)], &[DEPTH, left - 1]);
        let accounts = &[*this];
        cpi::call(&Call { program: this.key(), metas, data, accounts, seeds: &[] })?;
        let mut who: Address = [0; 32];
        let len =
            unsafe { syscalls::sol_get_return_data(levels.as_mut_ptr(), 1, who.as_mut_ptr()) };
        if len != 1 || who != *input.program {
            return Err(custom(NOTHING_RETURNED));
        }
        levels[0] += 1;
    } else {
        log("the bottom");
    }
    set_return_data(&levels);
    Ok(())
}

/// Calls the program of the first account with the others.
#[inline(always)]
fn forward(input: &Input, data: &[u8], signer: Option<&Address>, seeds: &[Piece]) -> Result<()> {
    let [program, others @ ..] = input.accounts() else { return Err(NOT_ENOUGH_ACCOUNTS) };
    let call = Call { program: program.key(), metas: &[], data, accounts: input.accounts(), seeds };
    cpi::forward(others, signer, call)
}

#[inline(never)]
fn read_back() -> Result<()> {
    let mut result = MaybeUninit::<[u8; 32 + MOST]>::uninit();
    let at: *mut u8 = result.as_mut_ptr().cast();
    let len = unsafe { syscalls::sol_get_return_data(at.add(32), MOST as u64, at) as usize };
    if len == 0 {
        return Err(custom(NOTHING_RETURNED));
    }
    // The runtime wrote that much of it.
    set_return_data(unsafe { slice::from_raw_parts(at, 32 + len.min(MOST)) });
    Ok(())
}
