//! What a program sees of Solana: the bytes that it is started on, and the runtime's functions.
//!
//! Nothing here stops a program from doing what it may not do. That is for the runtime, and the
//! programs in this folder are there to see that it does.

#![no_std]

pub mod cpi;
pub mod syscalls;

use core::slice;

/// The most accounts that a program of this folder looks at.
pub const MAX_ACCOUNTS: usize = 24;

/// 32 bytes: an address.
pub type Address = [u8; 32];

/// The System program.
pub const SYSTEM: Address = [0; 32];

/// The number of bytes that an account may grow by within an instruction.
pub const MAX_GROWTH: usize = 10_240;

/// An error as the runtime wants it: a number of its own in the upper half, or the program's.
pub type Error = u64;
pub type Result<T> = core::result::Result<T, Error>;

pub const INVALID_INSTRUCTION_DATA: Error = 3 << 32;
pub const INVALID_ACCOUNT_DATA: Error = 4 << 32;
pub const MISSING_SIGNATURE: Error = 8 << 32;
pub const NOT_ENOUGH_ACCOUNTS: Error = 11 << 32;
pub const INVALID_SEEDS: Error = 14 << 32;
pub const ILLEGAL_OWNER: Error = 18 << 32;
pub const INVALID_REALLOC: Error = 20 << 32;

/// The error `code` of a program; zero has a number of its own.
pub const fn custom(code: u32) -> Error {
    if code == 0 { 1 << 32 } else { code as u64 }
}

/// An account of an instruction: where it lies in the input.
#[derive(Clone, Copy)]
pub struct Account(*mut u8);

impl Account {
    pub fn is_signer(self) -> bool {
        self.flag(1)
    }

    pub fn is_writable(self) -> bool {
        self.flag(2)
    }

    pub fn is_executable(self) -> bool {
        self.flag(3)
    }

    fn flag(self, at: usize) -> bool {
        unsafe { *self.0.add(at) != 0 }
    }

    pub fn key(&self) -> &Address {
        unsafe { &*self.0.add(8).cast() }
    }

    pub fn owner(&self) -> &Address {
        unsafe { &*self.0.add(40).cast() }
    }

    pub fn set_owner(self, owner: &Address) {
        unsafe { *self.0.add(40).cast() = *owner }
    }

    pub fn lamports(self) -> u64 {
        unsafe { *self.0.add(72).cast() }
    }

    pub fn set_lamports(self, lamports: u64) {
        unsafe { *self.0.add(72).cast() = lamports }
    }

    pub fn len(self) -> usize {
        unsafe { *self.0.add(80).cast::<u64>() as usize }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Sets the length. What is gained is not cleared.
    pub fn set_len(self, len: usize) {
        unsafe { *self.0.add(80).cast() = len as u64 }
    }

    pub fn data(&self) -> &[u8] {
        unsafe { slice::from_raw_parts(self.0.add(88), self.len()) }
    }

    #[allow(clippy::mut_from_ref)]
    pub fn data_mut(&self) -> &mut [u8] {
        unsafe { slice::from_raw_parts_mut(self.0.add(88), self.len()) }
    }

    /// The length that the account had when the instruction began, which `Input` noted.
    fn first_len(self) -> usize {
        unsafe { *self.0.add(4).cast::<u32>() as usize }
    }

    /// Sets the length and clears what is gained.
    pub fn resize(self, len: usize) -> Result<()> {
        if len > self.first_len() + MAX_GROWTH {
            return Err(INVALID_REALLOC);
        }
        let old = self.len();
        self.set_len(len);
        if len > old {
            clear(&mut self.data_mut()[old..]);
        }
        Ok(())
    }
}

/// What a program is started on.
pub struct Input {
    accounts: [Account; MAX_ACCOUNTS],
    count: usize,
    /// The instruction's bytes.
    pub data: &'static [u8],
    /// The program's own address.
    pub program: &'static Address,
}

impl Input {
    /// Reads the runtime's buffer.
    ///
    /// # Safety
    /// The buffer is the one that the runtime starts a program on.
    #[inline(always)]
    pub unsafe fn read(buffer: *mut u8) -> Self {
        unsafe {
            let total = *buffer.cast::<u64>() as usize;
            let mut at = buffer.add(8);
            let mut accounts = [Account(buffer); MAX_ACCOUNTS];
            let mut count = 0;
            for _ in 0..total {
                let account = if *at == 0xff {
                    let account = Account(at);
                    // Four bytes that the runtime leaves to the program.
                    *at.add(4).cast::<u32>() = account.len() as u32;
                    let end = 88 + account.len() + MAX_GROWTH;
                    at = at.add((end + 7) / 8 * 8 + 8);
                    account
                } else {
                    let account = accounts[(*at as usize) % MAX_ACCOUNTS];
                    at = at.add(8);
                    account
                };
                if count < MAX_ACCOUNTS {
                    accounts[count] = account;
                    count += 1;
                }
            }
            let len = *at.cast::<u64>() as usize;
            let data = slice::from_raw_parts(at.add(8), len);
            Self { accounts, count, data, program: &*at.add(8 + len).cast() }
        }
    }

    pub fn accounts(&self) -> &[Account] {
        &self.accounts[..self.count]
    }

    /// The first `N` accounts.
    pub fn take<const N: usize>(&self) -> Result<&[Account; N]> {
        self.accounts().first_chunk().ok_or(NOT_ENOUGH_ACCOUNTS)
    }
}

/// Takes an integer from the front of `data`.
pub fn u64_of(data: &mut &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(*bytes_of(data)?))
}

/// Takes an integer from the front of `data`.
pub fn u32_of(data: &mut &[u8]) -> Result<u32> {
    Ok(u32::from_le_bytes(*bytes_of(data)?))
}

/// Takes a byte from the front of `data`.
pub fn u8_of(data: &mut &[u8]) -> Result<u8> {
    Ok(bytes_of::<1>(data)?[0])
}

/// Takes `N` bytes from the front of `data`.
pub fn bytes_of<'a, const N: usize>(data: &mut &'a [u8]) -> Result<&'a [u8; N]> {
    let (bytes, rest) = data.split_first_chunk().ok_or(INVALID_INSTRUCTION_DATA)?;
    *data = rest;
    Ok(bytes)
}

/// Takes `len` bytes from the front of `data`.
pub fn slice_of<'a>(data: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (bytes, rest) = data.split_at_checked(len).ok_or(INVALID_INSTRUCTION_DATA)?;
    *data = rest;
    Ok(bytes)
}

/// Copies bytes of the same number. The target has no `memcpy`: what is not asked for by name is
/// copied byte by byte, and refused by the compiler where its length is not known.
pub fn copy(to: &mut [u8], from: &[u8]) {
    assert!(to.len() == from.len());
    unsafe { syscalls::sol_memcpy_(to.as_mut_ptr(), from.as_ptr(), from.len() as u64) }
}

/// Writes zeros.
pub fn clear(bytes: &mut [u8]) {
    unsafe { syscalls::sol_memset_(bytes.as_mut_ptr(), 0, bytes.len() as u64) }
}

/// Writes a line into the transaction's log.
pub fn log(line: &str) {
    unsafe { syscalls::sol_log_(line.as_ptr(), line.len() as u64) }
}

/// Sets what the instruction returns.
pub fn set_return_data(data: &[u8]) {
    unsafe { syscalls::sol_set_return_data(data.as_ptr(), data.len() as u64) }
}

/// The lamports with which an account of that many bytes is exempt from rent.
pub fn rent_exempt(len: usize) -> u64 {
    let mut rent = Rent { lamports_per_byte: 0, threshold: 0, burn_percent: 0 };
    unsafe { syscalls::sol_get_rent_sysvar((&raw mut rent).cast()) };
    // The threshold is a float: two years, or one where the price is per two years.
    let years = if rent.threshold == 2.0_f64.to_bits() { 2 } else { 1 };
    (128 + len as u64) * rent.lamports_per_byte * years
}

#[repr(C)]
pub struct Rent {
    pub lamports_per_byte: u64,
    pub threshold: u64,
    pub burn_percent: u8,
}

/// Makes `$process` the entry of a program: it gets an [`Input`].
#[macro_export]
macro_rules! entrypoint {
    ($process:path) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn entrypoint(buffer: *mut u8) -> u64 {
            match $process(&unsafe { $crate::Input::read(buffer) }) {
                Ok(()) => 0,
                Err(error) => error,
            }
        }
    };
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(location) => {
            let file = location.file();
            let (line, column) = (location.line().into(), location.column().into());
            unsafe { syscalls::sol_panic_(file.as_ptr(), file.len() as u64, line, column) }
        }
        None => unsafe { syscalls::abort() },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    let mut result = 0;
    unsafe { syscalls::sol_memcmp_(a, b, len as u64, &raw mut result) };
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    unsafe { memcmp(a, b, len) }
}
