//! Plain transfers of lamports: what needs no program to run.
//!
//! A transaction that asks the system program for nothing but transfers, and is certain
//! to succeed, is executed on the ledger alone. It relies on no more than what makes it
//! succeed, so that transfers from and to the same account do not conflict. Whatever is
//! not certain is for the runtime.

use crate::{
    account::{Head, head_key},
    base_units,
    block::Environment,
    lamports::{exactly, lamports},
    load::{ACCOUNT_BASE_SIZE, OfHost, move_lamports},
    record::Record,
    transaction::{Fee, Limits},
};
use polity_kernel::{Account, Halt, Host};
use polity_types::U256;
use solana_account::ReadableAccount;
use solana_message::SanitizedMessage;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{compute_budget, system_program};

/// Compute units of an instruction of a program that is built in.
const UNITS: u64 = 150;

/// Lamports that go from one of a transaction's accounts to another.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: usize,
    to: usize,
    lamports: u64,
}

/// A transaction that only transfers.
#[derive(Clone, Debug)]
pub(crate) struct Transfers {
    moves: Vec<Move>,
    /// The program of each instruction.
    programs: Vec<Pubkey>,
}

impl Transfers {
    /// What the transaction transfers, if it does nothing else.
    pub(crate) fn of(message: &SanitizedMessage, limits: &Limits) -> Option<Self> {
        let mut transfers = Self { moves: Vec::new(), programs: Vec::new() };
        let mut named = vec![0];
        for (program, instruction) in message.program_instructions_iter() {
            transfers.programs.push(*program);
            named.push(usize::from(instruction.program_id_index));
            if compute_budget::check_id(program) {
                continue;
            }
            if !system_program::check_id(program) {
                return None;
            }
            // The number of `Transfer`, and the lamports.
            let lamports = instruction.data.strip_prefix(&2_u32.to_le_bytes())?;
            let lamports = u64::from_le_bytes(lamports.try_into().ok()?);
            let [from, to] = instruction.accounts.as_slice() else { return None };
            let (from, to) = (usize::from(*from), usize::from(*to));
            let allowed =
                message.is_signer(from) && message.is_writable(from) && message.is_writable(to);
            if !allowed || from == to {
                return None;
            }
            named.extend([from, to]);
            transfers.moves.push(Move { from, to, lamports });
        }
        let all_named = (0..message.account_keys().len()).all(|index| named.contains(&index));
        let is_plain =
            !transfers.moves.is_empty() && all_named && transfers.units() <= limits.compute_units;
        is_plain.then_some(transfers)
    }

    fn units(&self) -> u64 {
        UNITS.saturating_mul(self.programs.len() as u64)
    }

    /// Executes the transfers, or gives `None` where they may fail. The fee is taken from
    /// the payer; to whom it goes is not decided here.
    pub(crate) fn execute(
        &self,
        message: &SanitizedMessage,
        limits: &Limits,
        fee: &Fee,
        environment: &Environment,
        host: &mut dyn Host,
    ) -> Result<Option<Record>, Halt> {
        let keys = message.account_keys();
        let mut parties = Vec::with_capacity(keys.len());
        let mut size = 0_usize;
        for key in keys.iter() {
            let party = match environment.account(key) {
                Some(program) => {
                    size = size.saturating_add(ACCOUNT_BASE_SIZE + program.data().len());
                    None
                }
                None => {
                    let Some(party) = Party::new(key, environment, host)? else {
                        return Ok(None);
                    };
                    size = size.saturating_add(party.size());
                    Some(party)
                }
            };
            parties.push(party);
        }
        if size > limits.loaded_bytes || self.plan(&mut parties, fee).is_none() {
            return Ok(None);
        }
        for party in parties.iter().flatten() {
            party.settle(host)?;
        }
        let logs = self.programs.iter().flat_map(|program| {
            [format!("Program {program} invoke [1]"), format!("Program {program} success")]
        });
        Ok(Some(Record {
            compute_units: self.units(),
            logs: logs.collect(),
            inner: vec![Vec::new(); self.programs.len()],
            loaded_bytes: u32::try_from(size).unwrap_or(u32::MAX),
            ..Record::default()
        }))
    }

    /// Plans who gives and receives what; `None` where one of them could not.
    fn plan(&self, parties: &mut [Option<Party>], fee: &Fee) -> Option<()> {
        let payer = parties.first_mut()?.as_mut()?;
        payer.give(fee.total())?;
        payer.keep_rent()?;
        for Move { from, to, lamports } in &self.moves {
            parties.get_mut(*from)?.as_mut()?.give(*lamports)?;
            parties.get_mut(*to)?.as_mut()?.take(*lamports)?;
        }
        parties.iter_mut().flatten().try_for_each(Party::keep_rent)
    }
}

/// An account that takes part.
struct Party {
    handle: Account,
    /// Its lamports before the transaction and now.
    before: u64,
    now: u64,
    /// The bytes of its data, and what it must hold for them.
    len: usize,
    rent: u64,
    /// Whether it may give: it has no data and is no program's.
    is_wallet: bool,
    /// With so many lamports before, or more, it goes the same way.
    least: u64,
    /// The most that it had more than before.
    most_more: u64,
}

impl Party {
    /// `None` for an account that cannot simply be given lamports.
    fn new(
        key: &Pubkey,
        environment: &Environment,
        host: &mut dyn Host,
    ) -> Result<Option<Self>, Halt> {
        let handle = host.account(&crate::account(key))?;
        // What is meant for an alias is for another account.
        if host.aliased(handle)?.is_some() {
            return Ok(None);
        }
        let before = lamports(host.peek(handle)?.unwrap_or_default().balance);
        let head = match host.read(handle, &head_key())? {
            polity_types::Value::Empty => None,
            _ => Some(Head::read(&mut OfHost(host), handle)?),
        };
        if head.as_ref().is_some_and(|head| head.executable) {
            return Ok(None);
        }
        let len = head.as_ref().map_or(0, |head| head.len);
        Ok(Some(Self {
            handle,
            before,
            now: before,
            len,
            rent: environment.rent.minimum_balance(len),
            is_wallet: head.is_none(),
            least: u64::from(before > 0),
            most_more: 0,
        }))
    }

    fn size(&self) -> usize {
        match self.before {
            0 => 0,
            _ => ACCOUNT_BASE_SIZE.saturating_add(self.len),
        }
    }

    fn give(&mut self, lamports: u64) -> Option<()> {
        if !self.is_wallet || self.before == 0 {
            return None;
        }
        self.require(lamports)?;
        self.now = self.now.checked_sub(lamports)?;
        Some(())
    }

    fn take(&mut self, lamports: u64) -> Option<()> {
        self.now = self.now.checked_add(lamports)?;
        self.most_more = self.most_more.max(self.now.saturating_sub(self.before));
        Some(())
    }

    /// It is left with enough for its size.
    fn keep_rent(&mut self) -> Option<()> {
        self.require(self.rent)
    }

    /// It has so many lamports now; from that follows what it must have had before.
    fn require(&mut self, lamports: u64) -> Option<()> {
        if self.now < lamports {
            return None;
        }
        let before = i128::from(lamports) - (i128::from(self.now) - i128::from(self.before));
        self.least = self.least.max(u64::try_from(before.max(0)).ok()?);
        Some(())
    }

    /// Says on what it relied, and moves the lamports.
    fn settle(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let (lo, hi) = if self.before == 0 {
            // It comes into being.
            let none = exactly(0);
            (none.lo, none.hi)
        } else if self.most_more == 0 {
            (base_units(self.least), U256::MAX)
        } else {
            let most = exactly(u64::MAX.saturating_sub(self.most_more));
            (base_units(self.least), most.hi)
        };
        host.rely_balance(self.handle, lo, hi)?;
        move_lamports(host, self.handle, self.before, self.now)
    }
}
