//! Uses what the runtime has to give, up to its limits and past them.

#![no_std]

use core::{hint::black_box, mem::MaybeUninit, ptr, slice};
use polity_programs::{
    Address, INVALID_INSTRUCTION_DATA, Input, Rent, Result, bytes_of, copy, custom, entrypoint,
    set_return_data, slice_of,
    syscalls::{self, Piece},
    u8_of, u32_of, u64_of,
};

entrypoint!(process);

/// `[0, rounds (4)]`: plain arithmetic; returns 8 bytes.
const ARITHMETIC: u8 = 0;
/// `[1, rounds (4)]`: SHA-256 of the hash before, from 32 zeros on; returns 32 bytes.
const SHA256: u8 = 1;
/// `[2, rounds (4)]`: the same with Keccak-256.
const KECCAK256: u8 = 2;
/// `[3, rounds (4)]`: the same with BLAKE3, where the runtime has it.
const BLAKE3: u8 = 3;
/// `[4, text...]`: logs the text.
const LOG: u8 = 4;
/// `[5, (length, bytes...)...]`: logs the pieces as data.
const LOG_DATA: u8 = 5;
/// `[6]`: logs the compute units that are left, five numbers and its own address.
const LOG_REST: u8 = 6;
/// `[7, KiB (4)]`: writes to each KiB of the heap, then reads what it wrote.
const HEAP: u8 = 7;
/// `[8, depth (4)]`: calls a function that calls itself; returns 8 bytes.
const STACK: u8 = 8;
/// `[9]`: gives up.
const ABORT: u8 = 9;
/// `[10]`: panics.
const PANIC: u8 = 10;
/// `[11, address (8)]`: reads 8 bytes at any address and returns them.
const READ: u8 = 11;
/// `[12, address (8), value (8)]`: writes 8 bytes at any address.
const WRITE: u8 = 12;
/// `[13]`: writes and reads an integer at an address that is no multiple of its size.
const UNALIGNED: u8 = 13;
/// `[14]`: hands such an address to the runtime, which refuses it.
const UNALIGNED_SYSCALL: u8 = 14;
/// `[15]`: returns slot, epoch, time, lamports per byte, slots per epoch, 8 bytes each.
const SYSVARS: u8 = 15;
/// `[16]`; accounts: the instructions sysvar. Returns how many instructions there are and which
/// this one is, two bytes each.
const INSTRUCTIONS: u8 = 16;
/// `[17]`: copies between places that overlap, with the runtime's function for those that do not.
const OVERLAP: u8 = 17;
/// `[18, rounds (4)]`: looks for an address of its own, anew in each round; returns the last bump.
const FIND: u8 = 18;
/// `[19]`: returns the height of the stack of calls, 8 bytes.
const HEIGHT: u8 = 19;
/// `[20, n (8)]`: returns a hundred divided by it, 8 bytes.
const DIVIDE: u8 = 20;
/// `[21]`: never ends.
const FOREVER: u8 = 21;
/// `[22, sysvar (32), offset (8), length (1)]`: returns a part of any sysvar.
const SYSVAR: u8 = 22;

/// `[23]`: returns the compute units that are left, 8 bytes, where the runtime tells.
const LEFT: u8 = 23;

/// Where the heap begins.
const HEAP_START: u64 = 0x3_0000_0000;
/// What was read is not what was written.
const NOT_AS_WRITTEN: u32 = 1;

fn process(input: &Input) -> Result<()> {
    let mut data = input.data;
    match u8_of(&mut data)? {
        ARITHMETIC => {
            let mut x = 1_u64;
            for round in 0..u64::from(u32_of(&mut data)?) {
                x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
            }
            set_return_data(&x.to_le_bytes());
        }
        function @ (SHA256 | KECCAK256 | BLAKE3) => hash(function, u32_of(&mut data)?),
        LOG => unsafe { syscalls::sol_log_(data.as_ptr(), data.len() as u64) },
        LOG_DATA => log_data(data)?,
        LOG_REST => unsafe {
            syscalls::sol_log_compute_units_();
            syscalls::sol_log_64_(1, 2, 3, 4, u64::MAX);
            syscalls::sol_log_pubkey(input.program.as_ptr());
        },
        HEAP => heap(u32_of(&mut data)?.into())?,
        STACK => set_return_data(&down(u32_of(&mut data)?).to_le_bytes()),
        ABORT => unsafe { syscalls::abort() },
        PANIC => panic!("as asked"),
        READ => {
            let address = u64_of(&mut data)? as *const u64;
            set_return_data(&unsafe { address.read_volatile() }.to_le_bytes());
        }
        WRITE => {
            let address = u64_of(&mut data)? as *mut u64;
            let value = u64_of(&mut data)?;
            unsafe { address.write_volatile(value) }
        }
        UNALIGNED => {
            let address = black_box(HEAP_START + 3) as *mut u64;
            // Byte by byte is what a compiler would make of it; one access is what is wanted.
            unsafe { address.write_volatile(0x0102_0304_0506_0708) };
            let read = unsafe { address.read_volatile() };
            let byte = unsafe { (black_box(HEAP_START + 4) as *const u8).read_volatile() };
            if read != 0x0102_0304_0506_0708 || byte != 7 {
                return Err(custom(NOT_AS_WRITTEN));
            }
        }
        UNALIGNED_SYSCALL => unsafe {
            syscalls::sol_get_clock_sysvar(black_box(HEAP_START + 1) as *mut u8);
        },
        SYSVARS => sysvars(),
        INSTRUCTIONS => instructions(input)?,
        OVERLAP => unsafe {
            let at = black_box(HEAP_START) as *mut u8;
            syscalls::sol_memcpy_(at.add(8), at, 16);
        },
        FIND => find(u32_of(&mut data)?, input.program),
        HEIGHT => set_return_data(&unsafe { syscalls::sol_get_stack_height() }.to_le_bytes()),
        LEFT => set_return_data(&unsafe { syscalls::sol_remaining_compute_units() }.to_le_bytes()),
        DIVIDE => set_return_data(&(100 / u64_of(&mut data)?).to_le_bytes()),
        FOREVER => {
            let mut x = 0_u64;
            loop {
                x = black_box(x + 1);
            }
        }
        SYSVAR => {
            let id: &Address = bytes_of(&mut data)?;
            let offset = u64_of(&mut data)?;
            let len = u8_of(&mut data)?;
            let mut result = MaybeUninit::<[u8; 255]>::uninit();
            let at: *mut u8 = result.as_mut_ptr().cast();
            let error = unsafe { syscalls::sol_get_sysvar(id.as_ptr(), at, offset, len.into()) };
            if error != 0 {
                return Err(error);
            }
            // The runtime wrote that much of it.
            set_return_data(unsafe { slice::from_raw_parts(at, len.into()) });
        }
        _ => return Err(INVALID_INSTRUCTION_DATA),
    }
    Ok(())
}

fn hash(function: u8, rounds: u32) {
    let (mut before, mut after) = ([0; 32], [0; 32]);
    for _ in 0..rounds {
        let (piece, hash) = (Piece::new(&before), after.as_mut_ptr());
        unsafe {
            match function {
                SHA256 => syscalls::sol_sha256(&piece, 1, hash),
                KECCAK256 => syscalls::sol_keccak256(&piece, 1, hash),
                _ => syscalls::sol_blake3(&piece, 1, hash),
            };
        }
        before = after;
    }
    set_return_data(&before);
}

fn log_data(mut data: &[u8]) -> Result<()> {
    let mut pieces = [Piece::new(&[]); 16];
    let mut count = 0;
    while !data.is_empty() {
        let len = u8_of(&mut data)?.into();
        let piece = slice_of(&mut data, len)?;
        *pieces.get_mut(count).ok_or(INVALID_INSTRUCTION_DATA)? = Piece::new(piece);
        count += 1;
    }
    unsafe { syscalls::sol_log_data(pieces.as_ptr(), count as u64) }
    Ok(())
}

fn heap(kib: u64) -> Result<()> {
    let at = |index| (black_box(HEAP_START) + index * 1024) as *mut u64;
    for index in 0..kib {
        unsafe { at(index).write_volatile(index + 1) }
    }
    for index in 0..kib {
        if unsafe { at(index).read_volatile() } != index + 1 {
            return Err(custom(NOT_AS_WRITTEN));
        }
    }
    Ok(())
}

#[inline(never)]
fn down(depth: u32) -> u64 {
    if black_box(depth) == 0 { 0 } else { black_box(down(depth - 1)) + 1 }
}

fn sysvars() {
    let mut clock = [0_u64; 5];
    let mut rent = Rent { lamports_per_byte: 0, threshold: 0, burn_percent: 0 };
    let mut schedule = [0_u64; 5];
    unsafe {
        syscalls::sol_get_clock_sysvar(clock.as_mut_ptr().cast());
        syscalls::sol_get_rent_sysvar(ptr::from_mut(&mut rent).cast());
        syscalls::sol_get_epoch_schedule_sysvar(schedule.as_mut_ptr().cast());
    }
    let mut result = [0; 40];
    // A clock is slot, the epoch's first time, epoch, the leaders' epoch, time.
    let values = [clock[0], clock[2], clock[4], rent.lamports_per_byte, schedule[0]];
    for (place, value) in result.chunks_exact_mut(8).zip(values) {
        copy(place, &value.to_le_bytes());
    }
    set_return_data(&result);
}

fn instructions(input: &Input) -> Result<()> {
    let [sysvar] = input.take()?;
    match sysvar.data() {
        [a, b, .., c, d] => set_return_data(&[*a, *b, *c, *d]),
        _ => return Err(INVALID_INSTRUCTION_DATA),
    }
    Ok(())
}

fn find(rounds: u32, program: &Address) {
    let (mut address, mut bump): (Address, u8) = ([0; 32], 0);
    for round in 0..rounds {
        let seed = round.to_le_bytes();
        let seeds = [Piece::new(b"probe"), Piece::new(&seed)];
        unsafe {
            syscalls::sol_try_find_program_address(
                seeds.as_ptr(),
                2,
                program.as_ptr(),
                address.as_mut_ptr(),
                &raw mut bump,
            );
        }
    }
    set_return_data(&[bump]);
}
