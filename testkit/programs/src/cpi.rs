//! Calls of other programs.

use crate::{
    Account, Address, Error, INVALID_SEEDS, MAX_ACCOUNTS, NOT_ENOUGH_ACCOUNTS, Result, SYSTEM,
    copy, rent_exempt,
    syscalls::{self, Piece},
};
use core::mem::MaybeUninit;

/// What a call says of an account.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Meta {
    key: *const Address,
    writable: bool,
    signer: bool,
}

impl Meta {
    pub fn new(account: &Account, writable: bool, signer: bool) -> Self {
        Self { key: account.key(), writable, signer }
    }

    /// The account with the rights that it has here.
    pub fn same(account: &Account) -> Self {
        Self::new(account, account.is_writable(), account.is_signer())
    }
}

#[repr(C)]
struct Instruction {
    program: *const Address,
    metas: *const Meta,
    meta_count: u64,
    data: *const u8,
    len: u64,
}

#[repr(C)]
struct Info {
    key: *const u8,
    lamports: *mut u8,
    len: u64,
    data: *mut u8,
    owner: *const u8,
    rent_epoch: u64,
    signer: bool,
    writable: bool,
    executable: bool,
}

/// A call of a program. The target passes no more than five arguments to a function, so they are
/// one.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub program: &'a Address,
    pub metas: &'a [Meta],
    pub data: &'a [u8],
    /// The accounts that the runtime looks for those of `metas` in.
    pub accounts: &'a [Account],
    /// The seeds of the address that signs; none, and none does.
    pub seeds: &'a [Piece],
}

/// Calls a program.
#[inline(never)]
pub fn call(call: &Call<'_>) -> Result<()> {
    let Call { program, metas, data, accounts, seeds } = *call;
    if accounts.len() > MAX_ACCOUNTS {
        return Err(NOT_ENOUGH_ACCOUNTS);
    }
    let mut infos = [const { MaybeUninit::<Info>::uninit() }; MAX_ACCOUNTS];
    for (info, account) in infos.iter_mut().zip(accounts) {
        let at = account.0;
        info.write(unsafe {
            Info {
                key: at.add(8),
                lamports: at.add(72),
                len: account.len() as u64,
                data: at.add(88),
                owner: at.add(40),
                rent_epoch: u64::MAX,
                signer: account.is_signer(),
                writable: account.is_writable(),
                executable: account.is_executable(),
            }
        });
    }
    let instruction = Instruction {
        program,
        metas: metas.as_ptr(),
        meta_count: metas.len() as u64,
        data: data.as_ptr(),
        len: data.len() as u64,
    };
    let signer = Piece { at: seeds.as_ptr().cast(), len: seeds.len() as u64 };
    let error = unsafe {
        syscalls::sol_invoke_signed_c(
            (&raw const instruction).cast(),
            infos.as_ptr().cast(),
            accounts.len() as u64,
            (&raw const signer).cast(),
            u64::from(!seeds.is_empty()),
        )
    };
    done(error)
}

/// A call that gives these accounts the rights that they have here, and that of who signs.
#[inline(never)]
pub fn forward(accounts: &[Account], signer: Option<&Address>, outer: Call<'_>) -> Result<()> {
    let [first, ..] = outer.accounts else { return Err(NOT_ENOUGH_ACCOUNTS) };
    let mut metas = [Meta::same(first); MAX_ACCOUNTS];
    for (meta, account) in metas.iter_mut().zip(accounts) {
        let signs = account.is_signer() || signer == Some(account.key());
        *meta = Meta::new(account, account.is_writable(), signs);
    }
    let metas = metas.get(..accounts.len()).ok_or(NOT_ENOUGH_ACCOUNTS)?;
    call(&Call { metas, ..outer })
}

/// The address of a program's own that `seeds` (the bump the last) give.
pub fn address(seeds: &[Piece], program: &Address) -> Result<Address> {
    let mut address = [0; 32];
    let error = unsafe {
        syscalls::sol_create_program_address(
            seeds.as_ptr(),
            seeds.len() as u64,
            program.as_ptr(),
            address.as_mut_ptr(),
        )
    };
    done(error).map(|()| address).map_err(|_| INVALID_SEEDS)
}

/// The first address of a program's own that `seeds` and a bump give.
pub fn find(seeds: &[Piece], program: &Address) -> Result<(Address, u8)> {
    let mut address = [0; 32];
    let mut bump = 0;
    let error = unsafe {
        syscalls::sol_try_find_program_address(
            seeds.as_ptr(),
            seeds.len() as u64,
            program.as_ptr(),
            address.as_mut_ptr(),
            &raw mut bump,
        )
    };
    done(error).map(|()| (address, bump)).map_err(|_| INVALID_SEEDS)
}

/// Has the System program make an account at an address of the program's own, exempt from rent.
#[inline(always)]
pub fn create(
    payer: &Account,
    new: &Account,
    len: usize,
    owner: &Address,
    seeds: &[Piece],
) -> Result<()> {
    let mut data = [0; 52];
    copy(&mut data[4..12], &rent_exempt(len).to_le_bytes());
    copy(&mut data[12..20], &(len as u64).to_le_bytes());
    copy(&mut data[20..52], owner);
    let metas = [Meta::new(payer, true, true), Meta::new(new, true, true)];
    let accounts = &[*payer, *new];
    call(&Call { program: &SYSTEM, metas: &metas, data: &data, accounts, seeds })
}

/// Has the System program move lamports.
pub fn transfer(from: &Account, to: &Account, lamports: u64) -> Result<()> {
    let mut data = [0; 12];
    data[0] = 2;
    copy(&mut data[4..12], &lamports.to_le_bytes());
    let metas = [Meta::new(from, true, true), Meta::new(to, true, false)];
    let accounts = &[*from, *to];
    call(&Call { program: &SYSTEM, metas: &metas, data: &data, accounts, seeds: &[] })
}

fn done(error: Error) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(error) }
}
