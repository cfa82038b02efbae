//! A market maker with a constant product, over two token accounts that its pool owns.

#![no_std]

use core::hint::black_box;
use polity_programs::{
    Account, Address, Error, INVALID_INSTRUCTION_DATA, Input, MISSING_SIGNATURE, Result, bytes_of,
    copy,
    cpi::{self, Call, Meta},
    custom, entrypoint, log, set_return_data,
    syscalls::Piece,
    u8_of, u64_of,
};

entrypoint!(process);

/// `[0, fee in hundredths of a percent (2)]`; accounts: pool (writable), payer (signs, writable),
/// mint a, mint b, vault a, vault b, the System program.
const INITIALISE: u8 = 0;
/// `[1, amount (8), least (8)]`; accounts: pool (writable), trader (signs), what the trader pays from
/// and into (writable), the vault that takes and the one that gives (writable), the token program.
/// Returns what was given, 8 bytes.
const SWAP: u8 = 1;

const WRONG_POOL: Error = custom(1);
const WRONG_VAULT: Error = custom(2);
const WRONG_TOKEN_PROGRAM: Error = custom(3);
const TOO_LITTLE: Error = custom(4);
const OVERFLOW: Error = custom(5);
const FEE_TOO_HIGH: Error = custom(6);

const TAG: [u8; 8] = *b"pool\0\0\0\x01";
/// Tag, mints, vaults, token program, number of swaps, fee, bump.
const LEN: usize = 8 + 5 * 32 + 8 + 2 + 1;
const MINT_A: usize = 8;
const MINT_B: usize = 40;
const VAULT_A: usize = 72;
const VAULT_B: usize = 104;
const TOKEN: usize = 136;
const SWAPS: usize = 168;
const FEE: usize = 176;
const BUMP: usize = 178;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    match u8_of(&mut data)? {
        INITIALISE => initialise(input, u16::from_le_bytes(*bytes_of(&mut data)?)),
        SWAP => {
            let amount = u64_of(&mut data)?;
            swap(input, amount, u64_of(&mut data)?)
        }
        _ => Err(INVALID_INSTRUCTION_DATA),
    }
}

fn initialise(input: &Input, fee: u16) -> Result<()> {
    log("initialise");
    let [pool, payer, mint_a, mint_b, vault_a, vault_b, _system] = input.take()?;
    if fee > 10_000 {
        return Err(FEE_TOO_HIGH);
    }
    let seeds = [Piece::new(b"pool"), Piece::new(mint_a.key()), Piece::new(mint_b.key())];
    let (address, bump) = cpi::find(&seeds, input.program)?;
    if address != *pool.key() {
        return Err(WRONG_POOL);
    }
    let token = vault_a.owner();
    for (vault, mint) in [(vault_a, mint_a), (vault_b, mint_b)] {
        let data = vault.data();
        let ours = data.len() >= 72 && data[..32] == *mint.key() && data[32..64] == *pool.key();
        if !ours || vault.owner() != token {
            return Err(WRONG_VAULT);
        }
    }
    let bump = [bump];
    let seeds = [seeds[0], seeds[1], seeds[2], Piece::new(&bump)];
    cpi::create(payer, pool, LEN, input.program, &seeds)?;
    let data = pool.data_mut();
    copy(&mut data[..8], &TAG);
    copy(&mut data[MINT_A..MINT_B], mint_a.key());
    copy(&mut data[MINT_B..VAULT_A], mint_b.key());
    copy(&mut data[VAULT_A..VAULT_B], vault_a.key());
    copy(&mut data[VAULT_B..TOKEN], vault_b.key());
    copy(&mut data[TOKEN..SWAPS], token);
    copy(&mut data[FEE..BUMP], &fee.to_le_bytes());
    data[BUMP] = bump[0];
    Ok(())
}

fn swap(input: &Input, amount: u64, least: u64) -> Result<()> {
    log("swap");
    let [pool, trader, from, into, takes, gives, token] = input.take()?;
    let state = pool.data();
    if pool.owner() != input.program || state.len() != LEN || state[..8] != TAG {
        return Err(WRONG_POOL);
    }
    if !trader.is_signer() {
        return Err(MISSING_SIGNATURE);
    }
    if state[TOKEN..SWAPS] != *token.key() {
        return Err(WRONG_TOKEN_PROGRAM);
    }
    let vaults = (takes.key(), gives.key());
    let ab = vaults.0 == &state[VAULT_A..VAULT_B] && vaults.1 == &state[VAULT_B..TOKEN];
    let ba = vaults.1 == &state[VAULT_A..VAULT_B] && vaults.0 == &state[VAULT_B..TOKEN];
    if !(ab || ba) {
        return Err(WRONG_VAULT);
    }
    let (reserve_in, reserve_out) = (amount_of(takes)?, amount_of(gives)?);
    let fee = u16::from_le_bytes([state[FEE], state[FEE + 1]]);
    let counted = mul_div(amount, 10_000 - u64::from(fee), 10_000)?;
    let reserve = reserve_in.checked_add(counted).ok_or(OVERFLOW)?;
    let out = mul_div(reserve_out, counted, reserve)?;
    if out < least {
        return Err(TOO_LITTLE);
    }
    transfer(token.key(), [from, takes, trader], amount, &[])?;
    let bump = [state[BUMP]];
    let seeds = [
        Piece::new(b"pool"),
        Piece::new(&state[MINT_A..MINT_B]),
        Piece::new(&state[MINT_B..VAULT_A]),
        Piece::new(&bump),
    ];
    transfer(token.key(), [gives, into, pool], out, &seeds)?;
    let mut swaps = &pool.data()[SWAPS..];
    let swaps = u64_of(&mut swaps)?.wrapping_add(1);
    copy(&mut pool.data_mut()[SWAPS..FEE], &swaps.to_le_bytes());
    set_return_data(&out.to_le_bytes());
    Ok(())
}

/// Moves tokens from an account to another on an authority's behalf.
#[inline(always)]
fn transfer(
    program: &Address,
    [from, to, authority]: [&Account; 3],
    amount: u64,
    seeds: &[Piece],
) -> Result<()> {
    let mut data = [3; 9];
    copy(&mut data[1..], &amount.to_le_bytes());
    let metas = &[
        Meta::new(from, true, false),
        Meta::new(to, true, false),
        Meta::new(authority, false, true),
    ];
    cpi::call(&Call { program, metas, data: &data, accounts: &[*from, *to, *authority], seeds })
}

fn amount_of(vault: &Account) -> Result<u64> {
    let mut amount = vault.data().get(64..).ok_or(WRONG_VAULT)?;
    u64_of(&mut amount)
}

/// `a * b / c`, rounded down. The machine has no integers of 128 bits.
fn mul_div(a: u64, b: u64, c: u64) -> Result<u64> {
    const LOW: u64 = u32::MAX as u64;
    // The compiler is not to see that this is a product of 128 bits.
    let [a1, a0, b1, b0] = black_box([a >> 32, a & LOW, b >> 32, b & LOW]);
    let middle = (a0 * b0 >> 32) + (a1 * b0 & LOW) + (a0 * b1 & LOW);
    let low = a.wrapping_mul(b);
    let mut rest = a1 * b1 + (a1 * b0 >> 32) + (a0 * b1 >> 32) + (middle >> 32);
    if rest >= c {
        return Err(OVERFLOW);
    }
    if rest == 0 {
        return Ok(low / c);
    }
    let mut result = 0;
    for bit in (0..64).rev() {
        let over = rest >> 63 == 1;
        rest = rest << 1 | low >> bit & 1;
        result <<= 1;
        if over || rest >= c {
            rest = rest.wrapping_sub(c);
            result |= 1;
        }
    }
    Ok(result)
}
