//! Does what it is told, and tells what it saw: what a test needs of Solana where contracts of
//! several machines call each other.
//!
//! Data: the bump of the program's own address for the seed `script`, then the acts. Accounts: one
//! with words of 8 bytes, of this program; the gateway; the address of its own; the accounts that
//! calls are given after that one.

#![no_std]

use core::{mem::MaybeUninit, slice};
use polity_programs::{
    Account, Address, INVALID_ACCOUNT_DATA, INVALID_INSTRUCTION_DATA, Input, NOT_ENOUGH_ACCOUNTS,
    Result, bytes_of, copy,
    cpi::{self, Call},
    custom, entrypoint, set_return_data, slice_of,
    syscalls::{self, Piece},
    u8_of, u32_of, u64_of,
};

entrypoint!(process);

/// Sets a word. `[0, place, word (8 bytes)]`
const WRITE: u8 = 0;
/// Adds to a word, and sees the sum. `[1, place, word (8 bytes)]`
const ADD: u8 = 1;
/// Sees a word of an account. `[2, account, place]`
const READ: u8 = 2;
/// Logs a line. `[3, length, line...]`
const LOG: u8 = 3;
/// Fails. `[4, code (4 bytes)]`
const FAIL: u8 = 4;
/// Uses all compute units. `[5]`
const SPIN: u8 = 5;
/// Gives the gateway an instruction, which the address of its own signs, and sees how many bytes (2
/// bytes) and which came back. `[6, length (2 bytes), instruction...]`
const CALL: u8 = 6;
/// Sees how many lamports an account has. `[7, account]`
const LAMPORTS: u8 = 7;

/// The longest data that is returned.
const MOST: usize = 1024;
const SEED: &[u8] = b"script";

/// What the program saw, one after the other.
struct Seen {
    bytes: MaybeUninit<[u8; MOST]>,
    len: usize,
}

impl Seen {
    fn at(&mut self) -> *mut u8 {
        unsafe { self.bytes.as_mut_ptr().cast::<u8>().add(self.len) }
    }

    #[inline(never)]
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.len + bytes.len() > MOST {
            return Err(INVALID_INSTRUCTION_DATA);
        }
        copy(unsafe { slice::from_raw_parts_mut(self.at(), bytes.len()) }, bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// What the last call returned.
    #[inline(never)]
    fn returned(&mut self) -> Result<()> {
        let room = MOST - self.len;
        if room < 2 {
            return Err(INVALID_INSTRUCTION_DATA);
        }
        let mut who: Address = [0; 32];
        let room = room - 2;
        let len = unsafe {
            let to = self.at().add(2);
            syscalls::sol_get_return_data(to, room as u64, who.as_mut_ptr()) as usize
        };
        let len = len.min(room);
        self.add(&(len as u16).to_le_bytes())?;
        self.len += len;
        Ok(())
    }

    fn tell(&mut self) {
        let len = self.len;
        self.len = 0;
        set_return_data(unsafe { slice::from_raw_parts(self.at(), len) });
    }
}

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    let bump = u8_of(&mut data)?;
    let mut seen = Seen { bytes: MaybeUninit::uninit(), len: 0 };
    while !data.is_empty() {
        act(input, bump, &mut data, &mut seen)?;
    }
    seen.tell();
    Ok(())
}

#[inline(never)]
fn act(input: &Input, bump: u8, data: &mut &[u8], seen: &mut Seen) -> Result<()> {
    let [state, ..] = input.accounts() else { return Err(NOT_ENOUGH_ACCOUNTS) };
    match u8_of(data)? {
        WRITE => {
            let place = place(state, u8_of(data)?)?;
            copy(place, bytes_of::<8>(data)?);
            Ok(())
        }
        ADD => {
            let place = place(state, u8_of(data)?)?;
            let sum = number(place).wrapping_add(u64_of(data)?).to_le_bytes();
            copy(place, &sum);
            seen.add(&sum)
        }
        READ => {
            let account = account(input, u8_of(data)?)?;
            seen.add(place(account, u8_of(data)?)?)
        }
        LOG => {
            let len = u8_of(data)?.into();
            let line = slice_of(data, len)?;
            unsafe { syscalls::sol_log_(line.as_ptr(), line.len() as u64) }
            Ok(())
        }
        FAIL => Err(custom(u32_of(data)?)),
        SPIN => loop {
            unsafe { syscalls::sol_log_compute_units_() }
        },
        CALL => {
            let len = u16::from_le_bytes(*bytes_of(data)?).into();
            call(input, slice_of(data, len)?, bump)?;
            seen.returned()
        }
        LAMPORTS => seen.add(&account(input, u8_of(data)?)?.lamports().to_le_bytes()),
        _ => Err(INVALID_INSTRUCTION_DATA),
    }
}

fn account(input: &Input, number: u8) -> Result<&Account> {
    input.accounts().get(usize::from(number)).ok_or(NOT_ENOUGH_ACCOUNTS)
}

/// A word of an account.
#[allow(clippy::mut_from_ref)]
fn place(account: &Account, place: u8) -> Result<&mut [u8]> {
    let at = usize::from(place) * 8;
    account.data_mut().get_mut(at..at + 8).ok_or(INVALID_ACCOUNT_DATA)
}

fn number(place: &[u8]) -> u64 {
    let mut number = [0; 8];
    copy(&mut number, place);
    u64::from_le_bytes(number)
}

#[inline(never)]
fn call(input: &Input, data: &[u8], bump: u8) -> Result<()> {
    let [_, gateway, given @ ..] = input.accounts() else { return Err(NOT_ENOUGH_ACCOUNTS) };
    let [own, ..] = given else { return Err(NOT_ENOUGH_ACCOUNTS) };
    let bump = [bump];
    let seeds = [Piece::new(SEED), Piece::new(&bump)];
    let call = Call {
        program: gateway.key(),
        metas: &[],
        data,
        accounts: input.accounts(),
        seeds: &seeds,
    };
    cpi::forward(given, Some(own.key()), call)
}
