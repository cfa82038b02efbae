//! The runtime's functions.

/// A piece of memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Piece {
    pub at: *const u8,
    pub len: u64,
}

impl Piece {
    pub const fn new(bytes: &[u8]) -> Self {
        Self { at: bytes.as_ptr(), len: bytes.len() as u64 }
    }
}

unsafe extern "C" {
    pub fn abort() -> !;
    pub fn sol_panic_(file: *const u8, len: u64, line: u64, column: u64) -> !;
    pub fn sol_log_(line: *const u8, len: u64);
    pub fn sol_log_64_(a: u64, b: u64, c: u64, d: u64, e: u64);
    pub fn sol_log_pubkey(key: *const u8);
    pub fn sol_log_compute_units_();
    pub fn sol_log_data(pieces: *const Piece, count: u64);
    pub fn sol_memcpy_(to: *mut u8, from: *const u8, len: u64);
    pub fn sol_memmove_(to: *mut u8, from: *const u8, len: u64);
    pub fn sol_memset_(to: *mut u8, byte: u8, len: u64);
    pub fn sol_memcmp_(a: *const u8, b: *const u8, len: u64, result: *mut i32);
    pub fn sol_sha256(pieces: *const Piece, count: u64, hash: *mut u8) -> u64;
    pub fn sol_keccak256(pieces: *const Piece, count: u64, hash: *mut u8) -> u64;
    pub fn sol_blake3(pieces: *const Piece, count: u64, hash: *mut u8) -> u64;
    pub fn sol_create_program_address(
        seeds: *const Piece,
        count: u64,
        program: *const u8,
        address: *mut u8,
    ) -> u64;
    pub fn sol_try_find_program_address(
        seeds: *const Piece,
        count: u64,
        program: *const u8,
        address: *mut u8,
        bump: *mut u8,
    ) -> u64;
    pub fn sol_invoke_signed_c(
        instruction: *const u8,
        accounts: *const u8,
        account_count: u64,
        signers: *const u8,
        signer_count: u64,
    ) -> u64;
    pub fn sol_set_return_data(data: *const u8, len: u64);
    pub fn sol_get_return_data(data: *mut u8, len: u64, program: *mut u8) -> u64;
    pub fn sol_get_clock_sysvar(to: *mut u8) -> u64;
    pub fn sol_get_rent_sysvar(to: *mut u8) -> u64;
    pub fn sol_get_epoch_schedule_sysvar(to: *mut u8) -> u64;
    pub fn sol_get_sysvar(id: *const u8, to: *mut u8, offset: u64, len: u64) -> u64;
    pub fn sol_get_stack_height() -> u64;
    pub fn sol_remaining_compute_units() -> u64;
}
