//! Changes accounts as it is told, allowed or not.

#![no_std]

use polity_programs::{
    Account, INVALID_INSTRUCTION_DATA, Input, Result, bytes_of, copy, entrypoint, u8_of, u32_of,
    u64_of,
};

entrypoint!(process);

/// `[0, lamports (8)]`; accounts: from, to. Moves lamports without the System program.
const MOVE: u8 = 0;
/// `[1, lamports (8)]`; accounts: one. Adds lamports that come from nowhere.
const MINT: u8 = 1;
/// `[2, lamports (8)]`; accounts: one. Takes lamports that go nowhere.
const BURN: u8 = 2;
/// `[3, offset (4), bytes...]`; accounts: one. Writes into its data.
const WRITE: u8 = 3;
/// `[4, length (4)]`; accounts: one. Sets the length, within what an instruction may add.
const RESIZE: u8 = 4;
/// `[5, length (4)]`; accounts: one. Says that the length is another, whatever it is.
const CLAIM_LENGTH: u8 = 5;
/// `[6, owner (32)]`; accounts: one. Gives the account away.
const ASSIGN: u8 = 6;
/// `[7]`; accounts: any. Moves all lamports of all accounts to the first.
const SWEEP: u8 = 7;
/// `[8]`; accounts: any. Touches nothing.
const NOTHING: u8 = 8;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    match u8_of(&mut data)? {
        MOVE => {
            let [from, to] = input.take()?;
            let lamports = u64_of(&mut data)?;
            add(from, lamports.wrapping_neg());
            add(to, lamports);
        }
        MINT => {
            let [account] = input.take()?;
            add(account, u64_of(&mut data)?);
        }
        BURN => {
            let [account] = input.take()?;
            add(account, u64_of(&mut data)?.wrapping_neg());
        }
        WRITE => {
            let [account] = input.take()?;
            let offset = u32_of(&mut data)? as usize;
            let end = offset + data.len();
            let place = account.data_mut().get_mut(offset..end);
            copy(place.ok_or(INVALID_INSTRUCTION_DATA)?, data);
        }
        RESIZE => {
            let [account] = input.take()?;
            account.resize(u32_of(&mut data)? as usize)?;
        }
        CLAIM_LENGTH => {
            let [account] = input.take()?;
            account.set_len(u32_of(&mut data)? as usize);
        }
        ASSIGN => {
            let [account] = input.take()?;
            account.set_owner(bytes_of(&mut data)?);
        }
        SWEEP => {
            let [to, others @ ..] = input.accounts() else { return Ok(()) };
            for from in others {
                let lamports = from.lamports();
                from.set_lamports(0);
                add(to, lamports);
            }
        }
        NOTHING => {}
        _ => return Err(INVALID_INSTRUCTION_DATA),
    }
    Ok(())
}

/// Adds lamports, around the end of the numbers too.
fn add(account: &Account, lamports: u64) {
    account.set_lamports(account.lamports().wrapping_add(lamports));
}
