//! A counter for each authority, in the dialect of the Anchor framework: instructions, accounts and
//! events begin with eight bytes of a hash of their name (`counter.json` is the IDL).
//!
//! It makes an account at an address of its own, grows and shrinks it, and closes it.

#![no_std]

use polity_programs::{
    Account, Address, Error, INVALID_INSTRUCTION_DATA, Input, Result, SYSTEM, bytes_of, clear,
    copy, cpi, custom, entrypoint, log, rent_exempt, set_return_data,
    syscalls::{self, Piece},
    u32_of, u64_of,
};

entrypoint!(process);

const INITIALIZE: [u8; 8] = [175, 175, 109, 31, 13, 152, 155, 237];
const INCREMENT: [u8; 8] = [11, 18, 104, 9, 104, 174, 59, 33];
const WRITE_NOTE: [u8; 8] = [14, 21, 145, 112, 180, 89, 37, 76];
const CLOSE: [u8; 8] = [98, 165, 201, 177, 108, 65, 206, 96];
const COUNTER: [u8; 8] = [255, 176, 4, 245, 188, 253, 124, 25];
const COUNTED: [u8; 8] = [185, 134, 182, 91, 138, 237, 147, 89];

const NOT_SIGNED: Error = custom(6000);
const NOT_OURS: Error = custom(6001);
const NOT_A_COUNTER: Error = custom(6002);
const WRONG_AUTHORITY: Error = custom(6003);
const OVERFLOW: Error = custom(6004);
const WRONG_ADDRESS: Error = custom(6005);

/// A counter without its note: discriminator, authority, count, bump, the note's length.
const LEN: usize = 8 + 32 + 8 + 1 + 4;

fn process(input: &Input) -> Result<()> {
    let result = run(input);
    if let Err(error) = result {
        explain(error);
    }
    result
}

/// Logs an error as Anchor does, whose client reads it from there.
fn explain(error: Error) {
    log(match error {
        NOT_SIGNED => {
            "AnchorError occurred. Error Code: NotSigned. Error Number: 6000. \
             Error Message: The authority has not signed."
        }
        NOT_OURS => {
            "AnchorError occurred. Error Code: NotOurs. Error Number: 6001. \
             Error Message: The account belongs to another program."
        }
        NOT_A_COUNTER => {
            "AnchorError occurred. Error Code: NotACounter. Error Number: 6002. \
             Error Message: The account is none of a counter."
        }
        WRONG_AUTHORITY => {
            "AnchorError occurred. Error Code: WrongAuthority. Error Number: 6003. \
             Error Message: The counter has another authority."
        }
        OVERFLOW => {
            "AnchorError occurred. Error Code: Overflow. Error Number: 6004. \
             Error Message: The count is too large."
        }
        WRONG_ADDRESS => {
            "AnchorError occurred. Error Code: WrongAddress. Error Number: 6005. \
             Error Message: The account is not where this authority's counter is."
        }
        _ => return,
    });
}

fn run(input: &Input) -> Result<()> {
    let mut data = input.data;
    match *bytes_of(&mut data)? {
        INITIALIZE => initialize(input, u64_of(&mut data)?),
        INCREMENT => increment(input, u64_of(&mut data)?),
        WRITE_NOTE => {
            let len = u32_of(&mut data)? as usize;
            if data.len() != len {
                return Err(INVALID_INSTRUCTION_DATA);
            }
            write_note(input, data)
        }
        CLOSE => close(input),
        _ => Err(INVALID_INSTRUCTION_DATA),
    }
}

fn initialize(input: &Input, start: u64) -> Result<()> {
    log("Instruction: Initialize");
    let [counter, authority, _system] = input.take()?;
    if !authority.is_signer() {
        return Err(NOT_SIGNED);
    }
    let seeds = [Piece::new(b"counter"), Piece::new(authority.key())];
    let (address, bump) = cpi::find(&seeds, input.program)?;
    if address != *counter.key() {
        return Err(WRONG_ADDRESS);
    }
    let bump = [bump];
    let seeds = [seeds[0], seeds[1], Piece::new(&bump)];
    cpi::create(authority, counter, LEN, input.program, &seeds)?;
    let data = counter.data_mut();
    copy(&mut data[..8], &COUNTER);
    copy(&mut data[8..40], authority.key());
    data[48] = bump[0];
    set_count(counter, start);
    Ok(())
}

fn increment(input: &Input, by: u64) -> Result<()> {
    log("Instruction: Increment");
    let [counter, authority] = input.take()?;
    check(counter, authority, input.program)?;
    let count = count(counter).checked_add(by).ok_or(OVERFLOW)?;
    set_count(counter, count);
    Ok(())
}

/// The account becomes as long as its note needs, and its rent comes from or goes to the authority.
fn write_note(input: &Input, note: &[u8]) -> Result<()> {
    log("Instruction: WriteNote");
    let [counter, authority, _system] = input.take()?;
    check(counter, authority, input.program)?;
    let len = LEN + note.len();
    let (has, needs) = (counter.lamports(), rent_exempt(len));
    if has < needs {
        cpi::transfer(authority, counter, needs - has)?;
    } else {
        counter.set_lamports(needs);
        authority.set_lamports(authority.lamports() + (has - needs));
    }
    counter.resize(len)?;
    let data = counter.data_mut();
    copy(&mut data[49..LEN], &(note.len() as u32).to_le_bytes());
    copy(&mut data[LEN..], note);
    Ok(())
}

fn close(input: &Input) -> Result<()> {
    log("Instruction: Close");
    let [counter, authority, receiver] = input.take()?;
    check(counter, authority, input.program)?;
    receiver.set_lamports(receiver.lamports() + counter.lamports());
    counter.set_lamports(0);
    clear(counter.data_mut());
    counter.resize(0)?;
    counter.set_owner(&SYSTEM);
    Ok(())
}

fn check(counter: &Account, authority: &Account, program: &Address) -> Result<()> {
    if !authority.is_signer() {
        return Err(NOT_SIGNED);
    }
    if counter.owner() != program {
        return Err(NOT_OURS);
    }
    let data = counter.data();
    if data.len() < LEN || data[..8] != COUNTER {
        return Err(NOT_A_COUNTER);
    }
    if data[8..40] != *authority.key() {
        return Err(WRONG_AUTHORITY);
    }
    Ok(())
}

fn count(counter: &Account) -> u64 {
    let mut data = &counter.data()[40..];
    u64_of(&mut data).unwrap_or_default()
}

/// Writes the count, returns it, and tells it as an event.
fn set_count(counter: &Account, count: u64) {
    let count = count.to_le_bytes();
    copy(&mut counter.data_mut()[40..48], &count);
    set_return_data(&count);
    let mut event = [0; 48];
    copy(&mut event[..8], &COUNTED);
    copy(&mut event[8..40], counter.key());
    copy(&mut event[40..], &count);
    unsafe { syscalls::sol_log_data(&Piece::new(&event), 1) }
}
