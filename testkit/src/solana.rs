//! The Solana programs of `testkit/programs`, and how their instructions are written.
//!
//! Instructions here are plain data, so that a test can hand them to any client or machine.

/// An address.
pub type Address = [u8; 32];

/// The System program.
pub const SYSTEM: Address = [0; 32];

/// An account of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The account.
    pub key: Address,
    /// Whether it has signed.
    pub signer: bool,
    /// Whether it may be changed.
    pub writable: bool,
}

impl Meta {
    /// An account that is only read.
    pub const fn read(key: Address) -> Self {
        Self { key, signer: false, writable: false }
    }

    /// An account that is changed.
    pub const fn write(key: Address) -> Self {
        Self { key, signer: false, writable: true }
    }

    /// The account, and it has signed.
    #[must_use]
    pub const fn signed(self) -> Self {
        Self { signer: true, ..self }
    }
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The program.
    pub program: Address,
    /// The accounts, in the program's order.
    pub accounts: Vec<Meta>,
    /// What it is told.
    pub data: Vec<u8>,
}

impl Instruction {
    /// An instruction whose data is made of these parts.
    pub fn new(program: Address, accounts: &[Meta], data: &[&[u8]]) -> Self {
        Self { program, accounts: accounts.to_vec(), data: data.concat() }
    }
}

/// The ELF files.
pub mod elf {
    /// [`super::amm`].
    pub const AMM: &[u8] = include_bytes!("../programs/elf/amm.so");
    /// [`super::caller`].
    pub const CALLER: &[u8] = include_bytes!("../programs/elf/caller.so");
    /// [`super::counter`].
    pub const COUNTER: &[u8] = include_bytes!("../programs/elf/counter.so");
    /// [`super::probe`].
    pub const PROBE: &[u8] = include_bytes!("../programs/elf/probe.so");
    /// [`super::purse`].
    pub const PURSE: &[u8] = include_bytes!("../programs/elf/purse.so");
    /// Does what it is told (`programs/src/script.rs`).
    pub const SCRIPT: &[u8] = include_bytes!("../programs/elf/script.so");
    /// [`super::relay`].
    pub const RELAY: &[u8] = include_bytes!("../programs/elf/relay.so");
    /// Logs, and returns `[1]`.
    pub const VERSION_1: &[u8] = include_bytes!("../programs/elf/version1.so");
    /// Logs, and returns `[2]` and up to 32 bytes of the instruction's data.
    pub const VERSION_2: &[u8] = include_bytes!("../programs/elf/version2.so");
}

/// A counter for each authority, at the program's address for `["counter", authority]`, in Anchor's
/// dialect.
pub mod counter {
    use super::{Address, Instruction, Meta, SYSTEM};

    /// The authority has not signed.
    pub const NOT_SIGNED: u32 = 6000;
    /// The account belongs to another program.
    pub const NOT_OURS: u32 = 6001;
    /// The account is none of a counter.
    pub const NOT_A_COUNTER: u32 = 6002;
    /// The counter has another authority.
    pub const WRONG_AUTHORITY: u32 = 6003;
    /// The count is too large.
    pub const OVERFLOW: u32 = 6004;
    /// The account is not where this authority's counter is.
    pub const WRONG_ADDRESS: u32 = 6005;

    /// The length of a counter without a note. It is Anchor's discriminator, the authority, the
    /// count (8 bytes), the bump (1) and the note's length (4).
    pub const LEN: usize = 53;

    /// Makes a counter; returns its count.
    pub fn initialize(
        program: Address,
        counter: Address,
        authority: Address,
        start: u64,
    ) -> Instruction {
        let accounts = [Meta::write(counter), Meta::write(authority).signed(), Meta::read(SYSTEM)];
        let name = [175, 175, 109, 31, 13, 152, 155, 237];
        Instruction::new(program, &accounts, &[&name, &start.to_le_bytes()])
    }

    /// Counts on; returns the count and tells it as an event.
    pub fn increment(
        program: Address,
        counter: Address,
        authority: Address,
        by: u64,
    ) -> Instruction {
        let accounts = [Meta::write(counter), Meta::read(authority).signed()];
        let name = [11, 18, 104, 9, 104, 174, 59, 33];
        Instruction::new(program, &accounts, &[&name, &by.to_le_bytes()])
    }

    /// Writes a note. The account becomes as long as it needs, and the authority pays or is paid
    /// what the rent differs by.
    pub fn write_note(
        program: Address,
        counter: Address,
        authority: Address,
        note: &[u8],
    ) -> Instruction {
        let accounts = [Meta::write(counter), Meta::write(authority).signed(), Meta::read(SYSTEM)];
        let name = [14, 21, 145, 112, 180, 89, 37, 76];
        let len = u32::try_from(note.len()).unwrap_or(u32::MAX).to_le_bytes();
        Instruction::new(program, &accounts, &[&name, &len, note])
    }

    /// Ends a counter; its lamports go to `receiver`.
    pub fn close(
        program: Address,
        counter: Address,
        authority: Address,
        receiver: Address,
    ) -> Instruction {
        let accounts =
            [Meta::write(counter), Meta::read(authority).signed(), Meta::write(receiver)];
        Instruction::new(program, &accounts, &[&[98, 165, 201, 177, 108, 65, 206, 96]])
    }
}

/// Calls other programs. Where an inner instruction is handed on, its program and accounts become
/// those of the outer one.
pub mod caller {
    use super::{Address, Instruction, Meta};

    /// Nobody returned anything.
    pub const NOTHING_RETURNED: u32 = 1;

    /// Calls itself `depth` times, one in the other; returns the depth as one byte.
    pub fn depth(program: Address, depth: u8) -> Instruction {
        Instruction::new(program, &[Meta::read(program)], &[&[0, depth]])
    }

    /// Hands an instruction on.
    pub fn forward(program: Address, inner: &Instruction) -> Instruction {
        with(program, inner, &[1])
    }

    /// Hands an instruction on, signed by the address that `seed` and `bump` give; that signature is
    /// taken from the outer instruction's accounts.
    pub fn forward_signed(
        program: Address,
        inner: &Instruction,
        seed: &[u8],
        bump: u8,
        signer: Address,
    ) -> Instruction {
        let len = u8::try_from(seed.len()).unwrap_or(u8::MAX);
        let mut outer = with(program, inner, &[&[2, len], seed, &[bump]].concat());
        for meta in outer.accounts.iter_mut().filter(|meta| meta.key == signer) {
            meta.signer = false;
        }
        outer
    }

    /// Hands an instruction on and claims that its first account has signed.
    pub fn claim_signer(program: Address, inner: &Instruction) -> Instruction {
        with(program, inner, &[3])
    }

    /// Hands an instruction on and claims that its first account may be changed.
    pub fn claim_writable(program: Address, inner: &Instruction) -> Instruction {
        with(program, inner, &[4])
    }

    /// Returns `data`.
    pub fn give_back(program: Address, data: &[u8]) -> Instruction {
        Instruction::new(program, &[], &[&[5], data])
    }

    /// Hands an instruction on; returns who returned something and what.
    pub fn forward_and_read(program: Address, inner: &Instruction) -> Instruction {
        with(program, inner, &[6])
    }

    /// Fails with an error of its own.
    pub fn fail(program: Address, code: u32) -> Instruction {
        Instruction::new(program, &[], &[&[7], &code.to_le_bytes()])
    }

    /// Hands an instruction on so many times.
    pub fn repeat(program: Address, inner: &Instruction, times: u8) -> Instruction {
        with(program, inner, &[8, times])
    }

    /// Hands an instruction on without the account of its program, which the runtime does not miss.
    pub fn forward_without_program(program: Address, inner: &Instruction) -> Instruction {
        with(program, inner, &[9])
    }

    fn with(program: Address, inner: &Instruction, head: &[u8]) -> Instruction {
        let accounts = [&[Meta::read(inner.program)], &*inner.accounts].concat();
        Instruction::new(program, &accounts, &[head, &inner.data])
    }
}

/// Uses what the runtime has to give.
pub mod probe {
    use super::{Address, Instruction, Meta};

    /// What was read is not what was written.
    pub const NOT_AS_WRITTEN: u32 = 1;
    /// Where a program's heap begins.
    pub const HEAP: u64 = 0x3_0000_0000;

    /// What the program is asked to do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Ask<'a> {
        /// Rounds of plain arithmetic; returns 8 bytes.
        Arithmetic(u32),
        /// Rounds of SHA-256, from 32 zeros on; returns the last hash.
        Sha256(u32),
        /// The same with Keccak-256.
        Keccak256(u32),
        /// The same with BLAKE3, where the runtime has it (feature `blake3_syscall_enabled`).
        Blake3(u32),
        /// Logs a text.
        Log(&'a [u8]),
        /// Logs pieces of data, each with its length (one byte) before it.
        LogData(&'a [u8]),
        /// Logs the compute units that are left, five numbers and the program.
        LogRest,
        /// Writes to so many KiB of the heap.
        Heap(u32),
        /// A function that calls itself so many times; returns 8 bytes.
        Stack(u32),
        /// Gives up.
        Abort,
        /// Panics.
        Panic,
        /// Reads 8 bytes at an address and returns them.
        Read(u64),
        /// Writes a value at an address.
        Write(u64, u64),
        /// Uses an integer at an address that is no multiple of its size.
        Unaligned,
        /// Hands such an address to the runtime.
        UnalignedSyscall,
        /// Returns slot, epoch, time, lamports per byte and slots per epoch, 8 bytes each.
        Sysvars,
        /// Returns how many instructions the transaction has and which this one is, two bytes each.
        Instructions,
        /// Copies between places that overlap.
        Overlap,
        /// Rounds of looking for an address of its own; returns the last bump.
        Find(u32),
        /// Returns the height of the stack of calls, 8 bytes.
        Height,
        /// Returns a hundred divided by it, 8 bytes.
        Divide(u64),
        /// Never ends.
        Forever,
        /// Returns `length` bytes of a sysvar from `offset` on.
        Sysvar {
            /// The sysvar.
            id: Address,
            /// The first byte.
            offset: u64,
            /// How many.
            length: u8,
        },
        /// Returns the compute units that are left, 8 bytes, where the runtime tells (feature
        /// `remaining_compute_units_syscall_enabled`).
        Left,
    }

    /// The sysvar with the transaction's instructions,
    /// `Sysvar1nstructions1111111111111111111111111`.
    pub const INSTRUCTIONS: Address = [
        6, 167, 213, 23, 24, 123, 209, 102, 53, 218, 212, 4, 85, 253, 194, 192, 193, 36, 198, 143,
        33, 86, 117, 165, 219, 186, 203, 95, 8, 0, 0, 0,
    ];

    /// Asks for something.
    pub fn ask(program: Address, what: Ask<'_>) -> Instruction {
        let number = |tag, n: u32| (tag, n.to_le_bytes().to_vec());
        let (tag, data): (u8, Vec<u8>) = match what {
            Ask::Arithmetic(rounds) => number(0, rounds),
            Ask::Sha256(rounds) => number(1, rounds),
            Ask::Keccak256(rounds) => number(2, rounds),
            Ask::Blake3(rounds) => number(3, rounds),
            Ask::Log(text) => (4, text.to_vec()),
            Ask::LogData(pieces) => (5, pieces.to_vec()),
            Ask::LogRest => (6, Vec::new()),
            Ask::Heap(kib) => number(7, kib),
            Ask::Stack(depth) => number(8, depth),
            Ask::Abort => (9, Vec::new()),
            Ask::Panic => (10, Vec::new()),
            Ask::Read(address) => (11, address.to_le_bytes().to_vec()),
            Ask::Write(address, value) => {
                (12, [address.to_le_bytes(), value.to_le_bytes()].concat())
            }
            Ask::Unaligned => (13, Vec::new()),
            Ask::UnalignedSyscall => (14, Vec::new()),
            Ask::Sysvars => (15, Vec::new()),
            Ask::Instructions => (16, Vec::new()),
            Ask::Overlap => (17, Vec::new()),
            Ask::Find(rounds) => number(18, rounds),
            Ask::Height => (19, Vec::new()),
            Ask::Divide(by) => (20, by.to_le_bytes().to_vec()),
            Ask::Forever => (21, Vec::new()),
            Ask::Sysvar { id, offset, length } => {
                (22, [&id[..], &offset.to_le_bytes(), &[length]].concat())
            }
            Ask::Left => (23, Vec::new()),
        };
        let accounts = match what {
            Ask::Instructions => &[Meta::read(INSTRUCTIONS)][..],
            _ => &[],
        };
        Instruction::new(program, accounts, &[&[tag], &data])
    }
}

/// Changes accounts as it is told, allowed or not. The accounts' rights are the caller's choice.
pub mod purse {
    use super::{Address, Instruction, Meta};

    /// Moves lamports between accounts without the System program.
    pub fn transfer(program: Address, from: Meta, to: Meta, lamports: u64) -> Instruction {
        Instruction::new(program, &[from, to], &[&[0], &lamports.to_le_bytes()])
    }

    /// Adds lamports that come from nowhere.
    pub fn mint(program: Address, account: Meta, lamports: u64) -> Instruction {
        Instruction::new(program, &[account], &[&[1], &lamports.to_le_bytes()])
    }

    /// Takes lamports that go nowhere.
    pub fn burn(program: Address, account: Meta, lamports: u64) -> Instruction {
        Instruction::new(program, &[account], &[&[2], &lamports.to_le_bytes()])
    }

    /// Writes into an account's data.
    pub fn write(program: Address, account: Meta, offset: u32, bytes: &[u8]) -> Instruction {
        Instruction::new(program, &[account], &[&[3], &offset.to_le_bytes(), bytes])
    }

    /// Sets the length of an account's data.
    pub fn resize(program: Address, account: Meta, len: u32) -> Instruction {
        Instruction::new(program, &[account], &[&[4], &len.to_le_bytes()])
    }

    /// Says that the data is of another length, whatever the runtime allows.
    pub fn claim_length(program: Address, account: Meta, len: u32) -> Instruction {
        Instruction::new(program, &[account], &[&[5], &len.to_le_bytes()])
    }

    /// Gives an account away.
    pub fn assign(program: Address, account: Meta, owner: Address) -> Instruction {
        Instruction::new(program, &[account], &[&[6], &owner])
    }

    /// Moves all lamports of all accounts to the first.
    pub fn sweep(program: Address, accounts: &[Meta]) -> Instruction {
        Instruction::new(program, accounts, &[&[7]])
    }

    /// Touches nothing.
    pub fn nothing(program: Address, accounts: &[Meta]) -> Instruction {
        Instruction::new(program, accounts, &[&[8]])
    }
}

/// A market maker with a constant product, over two token accounts that its pool owns. The pool is at
/// the program's address for `["pool", mint a, mint b]`.
pub mod amm {
    use super::{Address, Instruction, Meta, SYSTEM};

    /// The account is no pool, or not that of these mints.
    pub const WRONG_POOL: u32 = 1;
    /// A vault is not the pool's.
    pub const WRONG_VAULT: u32 = 2;
    /// The token program is not that of the vaults.
    pub const WRONG_TOKEN_PROGRAM: u32 = 3;
    /// The trader would get less than asked for.
    pub const TOO_LITTLE: u32 = 4;
    /// The amounts are too large, or the vaults empty.
    pub const OVERFLOW: u32 = 5;
    /// The fee is more than everything.
    pub const FEE_TOO_HIGH: u32 = 6;

    /// The length of a pool, whose number of swaps (8 bytes) begins at 168.
    pub const LEN: usize = 179;

    /// Makes a pool over two vaults, which belong to it already. The fee is in hundredths of a
    /// percent.
    pub fn initialise(
        program: Address,
        pool: Address,
        payer: Address,
        mints: [Address; 2],
        vaults: [Address; 2],
        fee: u16,
    ) -> Instruction {
        let [mint_a, mint_b] = mints.map(Meta::read);
        let [vault_a, vault_b] = vaults.map(Meta::read);
        let payer = Meta::write(payer).signed();
        let accounts =
            [Meta::write(pool), payer, mint_a, mint_b, vault_a, vault_b, Meta::read(SYSTEM)];
        Instruction::new(program, &accounts, &[&[0], &fee.to_le_bytes()])
    }

    /// Who swaps, what the trader pays from and into, which vault takes and which gives.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Swap {
        /// The pool.
        pub pool: Address,
        /// Who signs.
        pub trader: Address,
        /// The trader's token account that pays.
        pub from: Address,
        /// The trader's token account that is paid.
        pub into: Address,
        /// The vault that takes.
        pub takes: Address,
        /// The vault that gives.
        pub gives: Address,
        /// The token program.
        pub token: Address,
    }

    /// Swaps `amount` for at least `least`; returns what was given, 8 bytes.
    pub fn swap(program: Address, swap: &Swap, amount: u64, least: u64) -> Instruction {
        let [pool, from, into, takes, gives] =
            [swap.pool, swap.from, swap.into, swap.takes, swap.gives].map(Meta::write);
        let trader = Meta::read(swap.trader).signed();
        let accounts = [pool, trader, from, into, takes, gives, Meta::read(swap.token)];
        let data: [&[u8]; 3] = [&[1], &amount.to_le_bytes(), &least.to_le_bytes()];
        Instruction::new(program, &accounts, &data)
    }
}

/// Hands an instruction to another program and counts, in an account that it owns, before and after.
/// Whoever comes back to it meanwhile sees how far it is.
pub mod relay {
    use super::{Address, Instruction, Meta};

    /// The length of the account: how often it began, and how often it ended.
    pub const LEN: usize = 16;

    /// Returns the account's bytes.
    pub fn peek(program: Address, account: Address) -> Instruction {
        Instruction::new(program, &[Meta::read(account)], &[&[0]])
    }

    /// Counts, hands an instruction on, and counts again. Returns the account's bytes and what was
    /// returned.
    pub fn forward(program: Address, account: Meta, inner: &Instruction) -> Instruction {
        with(program, account, inner, &[1])
    }

    /// The same, signed by the program's address for `seed` and `bump`; that signature is taken from
    /// the instruction's own accounts.
    pub fn forward_signed(
        program: Address,
        account: Meta,
        inner: &Instruction,
        seed: &[u8],
        bump: u8,
        signer: Address,
    ) -> Instruction {
        let len = u8::try_from(seed.len()).unwrap_or(u8::MAX);
        let mut outer = with(program, account, inner, &[&[2, len], seed, &[bump]].concat());
        for meta in outer.accounts.iter_mut().filter(|meta| meta.key == signer) {
            meta.signer = false;
        }
        outer
    }

    fn with(program: Address, account: Meta, inner: &Instruction, head: &[u8]) -> Instruction {
        let accounts = [&[account, Meta::read(inner.program)], &*inner.accounts].concat();
        Instruction::new(program, &accounts, &[head, &inner.data])
    }
}
