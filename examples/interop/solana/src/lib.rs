//! The gateway's instructions, for programs of Solana's on a Polity chain: how they call contracts of
//! other machines, and move what the ledger holds. It depends on nothing and takes no heap, so it goes
//! with any way to write programs: what it gives are the data of instructions.
//!
//! The accounts of each instruction are named beside it. SPL Token's own instructions work on assets of
//! the ledger too, with [`GATEWAY`] as the token program.
//!
//! ```
//! use polity_gateway::{Account, Answer, Call, GATEWAY};
//!
//! let target = Account::ethereum(&[0x11; 20]);
//! let mut data = [0; 256];
//! let data = Call::new(target).write(&[0x37, 0x13], &mut data).unwrap();
//! // Now an instruction of the program GATEWAY with these data, and then what it returned:
//! # let returned = [0, 2, 0, 0, 0, 0xca, 0xfe];
//! assert_eq!(Answer::parse(&returned).unwrap().success(), Some(&[0xca, 0xfe][..]));
//! ```

#![no_std]
#![forbid(unsafe_code)]

/// The gateway's program: `Gateway111111111111111111111111111111111111`.
pub const GATEWAY: [u8; 32] = [
    0x03, 0xfe, 0x08, 0x47, 0xe7, 0xb8, 0xf3, 0x89, 0xc0, 0x54, 0x35, 0xac, 0x9c, 0xe0, 0x75, 0x46,
    0xb3, 0xfe, 0x90, 0x73, 0x3c, 0x1e, 0x08, 0xae, 0xad, 0xe1, 0x34, 0x20, 0x00, 0x00, 0x00, 0x00,
];

/// The seed of the gateway's derived address through which SOL leaves Solana's programs and comes back.
pub const VAULT_SEED: &[u8] = b"vault";
/// The seed of the gateway's derived address that owns SPL tokens in custody. Those of a mint lie in its
/// associated token account.
pub const CUSTODY_SEED: &[u8] = b"custody";

/// The numbers of the gateway's own errors; those below are SPL Token's.
pub mod error {
    /// The callee failed, and the call was to fail with it.
    pub const CALL_FAILED: u32 = 128;
    /// An alias signs as the caller.
    pub const ALIAS_CALLER: u32 = 129;
    /// The target is a Solana account.
    pub const SAME_MACHINE: u32 = 130;
    /// Lamports go along or come back, and the vault is not among the accounts, writable.
    pub const NO_VAULT: u32 = 131;
    /// An alias was given an owner or data, or spent from without its account's leave.
    pub const ALIAS_CHANGED: u32 = 132;
    /// The frame may change nothing.
    pub const READ_ONLY: u32 = 133;
    /// An account shows what would change, and was not given to the instruction, writable.
    pub const ACCOUNT_IN_USE: u32 = 134;
    /// The holder is another machine's account, which did not delegate that.
    pub const NOT_DELEGATED: u32 = 135;
    /// Nobody issued the asset.
    pub const UNKNOWN_ASSET: u32 = 136;
    /// A token account lies elsewhere than at its wallet's associated address.
    pub const NOT_ASSOCIATED: u32 = 137;
    /// The account is not that in which the mint's tokens lie in custody.
    pub const WRONG_CUSTODY: u32 = 138;
    /// The account is not the alias of what is named, or that has no alias.
    pub const BAD_ALIAS: u32 = 139;
    /// There can be no account of that machine with that address.
    pub const UNKNOWN_ACCOUNT: u32 = 140;
}

/// An account of any machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The machine's byte: one of the constants here.
    pub machine: u8,
    pub address: [u8; 32],
}

impl Account {
    pub const KERNEL: u8 = 0;
    pub const ETHEREUM: u8 = 1;
    pub const SOLANA: u8 = 3;

    /// A contract of Ethereum's.
    pub const fn ethereum(address: &[u8; 20]) -> Self {
        let mut account = Self { machine: Self::ETHEREUM, address: [0; 32] };
        let mut place = 0;
        while place < 20 {
            account.address[12 + place] = address[place];
            place += 1;
        }
        account
    }

    pub const fn solana(address: [u8; 32]) -> Self {
        Self { machine: Self::SOLANA, address }
    }

    /// The account that stands for an asset of the ledger.
    pub const fn asset(asset: [u8; 32]) -> Self {
        Self { machine: Self::KERNEL, address: asset }
    }

    /// What is hashed with SHA-256 for the account's alias on Solana: `sol_sha256` takes these pieces.
    pub const fn alias_pieces(&self) -> (&[u8; 32], [u8; 1], &'static [u8; 19]) {
        (&self.address, [self.machine], b"polity/alias/solana")
    }
}

/// A call of another machine's account.
///
/// Accounts: who calls and has signed, writable if lamports go along; then in any order the vault,
/// writable, if lamports go along or may come back, the system program, if lamports go along, and what
/// the callee may change. What is not named there is not to be changed by the callee as long as the
/// transaction names it (`AccountInUse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub target: Account,
    /// Lamports that go along.
    pub value: u64,
    /// The most compute units that the callee may use; 0 for all that are left.
    pub units: u64,
    /// Whether the callee may change nothing.
    pub read_only: bool,
    /// Whether the instruction fails where the callee does.
    pub abort: bool,
    /// Whether nobody may call the calling program meanwhile.
    pub lock: bool,
}

impl Call {
    const TAG: u8 = 128;
    /// The bytes before the callee's input.
    pub const HEADER: usize = 1 + 33 + 8 + 8 + 1;

    /// A call without lamports and with all that is left, which fails if the callee does.
    pub const fn new(target: Account) -> Self {
        Self { target, value: 0, units: 0, read_only: false, abort: true, lock: false }
    }

    /// What stands before the callee's input.
    pub fn header(&self) -> [u8; Self::HEADER] {
        let mut data = [0; Self::HEADER];
        data[0] = Self::TAG;
        put(&mut data, 1, &self.target);
        data[34..42].copy_from_slice(&self.value.to_le_bytes());
        data[42..50].copy_from_slice(&self.units.to_le_bytes());
        data[50] = u8::from(self.read_only) | u8::from(self.abort) << 1 | u8::from(self.lock) << 2;
        data
    }

    /// Writes the instruction's data to the begin of `to`; `None` where there is not enough room.
    pub fn write<'a>(&self, input: &[u8], to: &'a mut [u8]) -> Option<&'a [u8]> {
        let data = to.get_mut(..Self::HEADER + input.len())?;
        let (header, rest) = data.split_at_mut(Self::HEADER);
        header.copy_from_slice(&self.header());
        rest.copy_from_slice(input);
        Some(data)
    }
}

/// What a call returns: `sol_get_return_data` gives it, in the name of [`GATEWAY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: Status,
    /// The callee's output, or why it failed: as much of it as there was room for.
    pub output: &'a [u8],
    /// How long the output was.
    pub len: u32,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Success,
    /// The callee undid what it did, and says why in its output.
    Reverted,
    /// The callee was stopped.
    Failed,
}

impl<'a> Answer<'a> {
    /// Reads what was returned; `None` where that is no answer.
    pub fn parse(returned: &'a [u8]) -> Option<Self> {
        let (status, rest) = returned.split_first()?;
        let status = match status {
            0 => Status::Success,
            1 => Status::Reverted,
            2 => Status::Failed,
            _ => return None,
        };
        let (len, output) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len);
        (output.len() <= len as usize).then_some(Self { status, output, len })
    }

    /// The whole output of a callee that succeeded.
    pub fn success(&self) -> Option<&'a [u8]> {
        let is_whole = self.output.len() == self.len as usize;
        (self.status == Status::Success && is_whole).then_some(self.output)
    }

    /// The number that a contract returned, where it is no larger than that.
    pub fn word(&self) -> Option<u64> {
        let (high, low) = self.success()?.split_last_chunk::<8>()?;
        let fits = high.len() == 24 && high.iter().all(|byte| *byte == 0);
        fits.then(|| u64::from_be_bytes(*low))
    }
}

/// Writes down what an alias stands for. Accounts: the alias, writable.
pub fn register(target: &Account) -> [u8; 34] {
    let mut data = [0; 34];
    data[0] = 129;
    put(&mut data, 1, target);
    data
}

/// Lets a foreign account spend of an asset that the signer holds; `u128::MAX` stands for any amount.
/// Accounts: who signs.
pub fn approve(asset: &[u8; 32], spender: &Account, amount: u128) -> [u8; 82] {
    let mut data = [0; 82];
    data[0] = 130;
    data[1..33].copy_from_slice(asset);
    put(&mut data, 33, spender);
    data[66..].copy_from_slice(&amount.to_le_bytes());
    data
}

/// Takes SPL tokens into custody, and gives the recipient as much of the asset. Accounts: who signs for
/// the tokens, their account (writable), the mint, the account in custody (writable), the token
/// program, then what the transfer needs besides. Returns how much arrived, 8 bytes.
pub fn deposit(amount: u64, recipient: &Account) -> [u8; 42] {
    let mut data = [0; 42];
    data[0] = 131;
    data[1..9].copy_from_slice(&amount.to_le_bytes());
    put(&mut data, 9, recipient);
    data
}

/// Pays SPL tokens out of custody. Accounts: who holds the asset and signs, where the tokens go
/// (writable), the mint, the account in custody (writable), the token program, the owner of what is in
/// custody, then what the transfer needs besides.
pub fn withdraw(amount: u64) -> [u8; 9] {
    let mut data = [0; 9];
    data[0] = 132;
    data[1..].copy_from_slice(&amount.to_le_bytes());
    data
}

/// Sends what the signer holds of an asset to an account of any machine, by its own name there and not by
/// an alias. Accounts: who signs, then the token accounts that show it, writable.
pub fn send(asset: &[u8; 32], to: &Account, amount: u128) -> [u8; 82] {
    let mut data = approve(asset, to, amount);
    data[0] = 133;
    data
}

fn put(data: &mut [u8], at: usize, account: &Account) {
    data[at] = account.machine;
    data[at + 1..at + 33].copy_from_slice(&account.address);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let number = |word: [u8; 32]| {
            let mut returned = [0; 37];
            returned[1] = 32;
            returned[5..].copy_from_slice(&word);
            Answer::parse(&returned).unwrap().word()
        };
        let mut word = [0; 32];
        word[31] = 7;
        assert_eq!(number(word), Some(7));
        word[0] = 1;
        assert_eq!(number(word), None);
        let cut = Answer::parse(&[0, 9, 0, 0, 0, 1, 2]).unwrap();
        assert_eq!((cut.success(), cut.output, cut.len), (None, &[1, 2][..], 9));
        let failed = Answer::parse(&[2, 3, 0, 0, 0, b'b', b'a', b'd']).unwrap();
        assert_eq!((failed.status, failed.output), (Status::Failed, &b"bad"[..]));
        for wrong in [&[][..], &[0], &[3, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 1]] {
            assert_eq!(Answer::parse(wrong), None);
        }
    }

    #[test]
    fn a_call_needs_room() {
        let call = Call { read_only: true, lock: true, ..Call::new(Account::ethereum(&[7; 20])) };
        let mut room = [0; Call::HEADER + 2];
        let data = call.write(&[8, 9], &mut room).unwrap();
        assert_eq!((data[0], data[1], data[13], data[14]), (128, 1, 0, 7));
        assert_eq!(data[50..], [7, 8, 9]);
        assert_eq!(call.write(&[1, 2, 3], &mut room), None);
    }
}
