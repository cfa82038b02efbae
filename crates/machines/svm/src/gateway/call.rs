//! Calls of other machines.

use super::{
    Door, GatewayError, Passed, Stop, asset::consume, entries::show, place_of, take, vault,
};
use crate::{
    KIND, base_units,
    callee::{ACCOUNT_UNITS, BYTES_PER_UNIT},
    lamports::{exactly, lamports},
    load::{Nature, rely},
    session::{self, Held},
};
use alloy_primitives::hex;
use polity_kernel::{Call, Outcome};
use polity_types::{AccountId, B256, MachineKind, Resources, Status, U256};
use solana_account::{Account as Plain, AccountSharedData, ReadableAccount, WritableAccount};
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_program_runtime::{invoke_context::InvokeContext, solana_sbpf::vm::ContextObject};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_svm_log_collector::ic_msg;

/// The callee may change nothing.
const READ_ONLY: u8 = 1;
/// The instruction fails where the callee does.
const ABORT: u8 = 2;
/// Nobody may call the calling program meanwhile.
const LOCK: u8 = 4;

/// Compute units of a call, beside those of each account that the run may write.
const UNITS: u64 = 1_000;

/// The most bytes that the log has of why a callee reverted: those of an error with a text.
const MAX_LOGGED: usize = 256;

/// The most bytes that an instruction returns.
const MAX_RETURN: usize = 1024;

/// What a call says: `machine ‖ target (32) ‖ value (8) ‖ units (8) ‖ flags ‖ payload`,
/// numbers little-endian.
struct Request<'a> {
    target: AccountId,
    /// In lamports.
    value: u64,
    /// The most compute units for the callee; 0 for all that are left.
    units: u64,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(mut data: &'a [u8]) -> Result<Self, InstructionError> {
        let [machine] = take(&mut data)?;
        let target = AccountId::new(MachineKind::new(machine), B256::new(take(&mut data)?));
        let value = u64::from_le_bytes(take(&mut data)?);
        let units = u64::from_le_bytes(take(&mut data)?);
        let [flags] = take(&mut data)?;
        if flags & !(READ_ONLY | ABORT | LOCK) != 0 {
            return Err(InstructionError::InvalidInstructionData);
        }
        Ok(Self { target, value, units, flags, payload: data })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Lamports that another machine gave to an account of the run.
struct Credit {
    index: u16,
    lamports: u64,
}

impl Door<'_> {
    /// Calls an account of another machine. Accounts: who calls and has signed, writable if
    /// it sends lamports; then in any order the vault, if lamports go along or may come
    /// back, the system program, if lamports go along, and what the callee may change.
    pub(super) fn call(
        &mut self,
        data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        let request = Request::parse(data)?;
        let caller = *accounts.first().ok_or(InstructionError::MissingAccount)?;
        if !caller.signer {
            return Err(InstructionError::MissingRequiredSignature.into());
        }
        if request.target.machine == KIND {
            return Err(GatewayError::SameMachine.into());
        }
        if !self.is_plain(caller.index) {
            return Err(GatewayError::AliasCaller.into());
        }
        consume(invoke, self.units())?;
        let program = calling_program(invoke)?;
        let lock = match (request.has(LOCK), program) {
            (false, _) => None,
            (true, Some(program)) => Some(crate::account(&program)),
            (true, None) => return Err(InstructionError::InvalidArgument.into()),
        };
        if request.value > 0 {
            if !accounts.iter().any(Passed::is_vault) {
                return Err(GatewayError::NoVault.into());
            }
            invoke.native_invoke_signed(transfer(&caller.key, &vault(), request.value), &[])?;
        }
        self.flush(invoke)?;
        if let Some(program) = &lock {
            self.host.lock(program, true);
        }
        let outcome = self.hop(&request, &caller, accounts, invoke);
        if let Some(program) = &lock {
            self.host.lock(program, false);
        }
        let outcome = outcome?;
        if !outcome.status.is_success() {
            // What an instruction returns is lost where it fails.
            match &outcome.status {
                Status::Failed(reason) => {
                    ic_msg!(invoke, "Gateway: the callee failed: {}", reason);
                }
                _ => {
                    let said = outcome.output.get(..MAX_LOGGED).unwrap_or(&outcome.output);
                    ic_msg!(invoke, "Gateway: the callee reverted: {}", hex::encode_prefixed(said));
                }
            }
            if request.has(ABORT) {
                return Err(GatewayError::CallFailed.into());
            }
            if request.value > 0 {
                pay_from_vault(invoke, accounts, caller.index, request.value)?;
            }
        }
        let answer = answer(&outcome);
        invoke.transaction_context.set_return_data(super::ID, answer)?;
        Ok(())
    }

    /// Compute units of leaving the machine: all accounts that the run may write are
    /// compared with what the kernel knows.
    fn units(&self) -> u64 {
        let all = self.setting.loaded.iter().zip(self.setting.writable);
        let written = all.filter(|(_, writable)| **writable).map(|(loaded, _)| {
            ACCOUNT_UNITS.saturating_add(loaded.account.data().len() as u64 / BYTES_PER_UNIT)
        });
        written.fold(UNITS, u64::saturating_add)
    }

    /// Whether the account is no alias.
    fn is_plain(&self, index: u16) -> bool {
        let loaded = self.setting.loaded.get(usize::from(index));
        loaded.is_some_and(|loaded| !matches!(loaded.nature(), Nature::Alias(..)))
    }

    /// Makes the kernel's cells say what this run's programs have made of its accounts.
    pub(super) fn flush(&mut self, invoke: &InvokeContext<'_, '_>) -> Result<(), Stop> {
        self.begin();
        let all = self.setting.loaded.iter().zip(self.setting.writable);
        let all = (0_u16..).zip(all.zip(&mut self.written.accounts));
        for (index, ((loaded, _), before)) in all.filter(|(_, ((_, writable), _))| **writable) {
            let now = invoke.transaction_context.accounts().try_borrow(index)?;
            if *now == *before {
                continue;
            }
            let now = AccountSharedData::from(Plain {
                lamports: now.lamports(),
                data: now.data().to_vec(),
                owner: *now.owner(),
                executable: now.executable(),
                rent_epoch: now.rent_epoch(),
            });
            if !loaded.may_become(before, &now, self.setting.delegate.as_ref()) {
                return Err(GatewayError::AliasChanged.into());
            }
            *before = loaded.write_through(self.host, before, now)?;
        }
        Ok(())
    }

    /// Lets the other machine run, and takes over what it did to this run's accounts.
    fn hop(
        &mut self,
        request: &Request<'_>,
        caller: &Passed,
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<Outcome, Stop> {
        let left = invoke.get_remaining();
        let units = match request.units {
            0 => left,
            units => units.min(left),
        };
        let payer = match request.value {
            0 => caller.key,
            _ => vault(),
        };
        let call = Call {
            caller: crate::account(&caller.key),
            target: request.target,
            value: base_units(request.value),
            payer: crate::account(&payer),
            input: request.payload.to_vec().into(),
            limit: Resources { compute: units, ..Resources::UNLIMITED },
            read_only: request.has(READ_ONLY),
            delegate: false,
        };
        let before = self.balances()?;
        let held = self.held(accounts, invoke)?;
        let mark = session::hold(self.host, &held);
        let checkpoint = self.host.checkpoint();
        let had = self.host.left().compute;
        let called = self.host.call(call);
        session::release(self.host, mark);
        let mut outcome = called?;
        let used = had.saturating_sub(self.host.left().compute);
        if outcome.status.is_success() {
            let found = (self.credits(&before, accounts)?, self.entries(accounts, invoke)?);
            match found {
                (Ok(credits), Ok(entries)) => {
                    self.take_over(&credits, accounts, invoke)?;
                    show(&entries, accounts, invoke)?;
                }
                (Err(in_use), _) | (_, Err(in_use)) => {
                    self.host.revert(checkpoint);
                    outcome = Outcome::failed(&format!("AccountInUse: {in_use}"));
                }
            }
        }
        self.elsewhere = self.elsewhere.saturating_add(used);
        invoke
            .compute_meter
            .consume_checked(used)
            .map_err(|_| InstructionError::ComputationalBudgetExceeded)?;
        Ok(outcome)
    }

    /// The balances of the run's accounts in the kernel.
    fn balances(&self) -> Result<Vec<U256>, Stop> {
        let all = self.setting.loaded.iter().map(|loaded| match loaded.balance() {
            Some(handle) => Ok(self.host.peek(handle)?.unwrap_or_default().balance),
            None => Ok(U256::ZERO),
        });
        all.collect()
    }

    /// What the run has copies of. Those that a program has in its memory, writable, and did
    /// not hand on to the gateway, may differ from the kernel's cells.
    fn held(
        &self,
        accounts: &[Passed],
        invoke: &InvokeContext<'_, '_>,
    ) -> Result<Vec<Held>, InstructionError> {
        let context = &invoke.transaction_context;
        let mut unsettled = Vec::new();
        for level in 0..context.get_instruction_stack_height().saturating_sub(1) {
            let level = context.get_instruction_context_at_nesting_level(level)?;
            let written =
                level.instruction_accounts().iter().filter(|account| account.is_writable());
            unsettled.extend(written.map(|account| account.index_in_transaction));
        }
        unsettled.retain(|index| !accounts.iter().any(|passed| passed.index == *index));
        let all = (0_u16..).zip(self.setting.keys.iter().zip(self.setting.loaded));
        let held = all.filter_map(|(index, (key, loaded))| {
            let settled = !unsettled.contains(&index);
            match loaded.nature() {
                Nature::Own(_) => Some(Held { address: *key, settled }),
                // It has no cells of its own, and what it shows is looked at again.
                Nature::Alias(..) if !settled => Some(Held { address: *key, settled }),
                Nature::Alias(..) | Nature::MadeUp | Nature::Shown(_) => None,
            }
        });
        Ok(held.collect())
    }

    /// What the callee credited to accounts of the run, or the account for which that can
    /// not be taken over.
    fn credits(
        &mut self,
        before: &[U256],
        accounts: &[Passed],
    ) -> Result<Result<Vec<Credit>, Pubkey>, Stop> {
        let mut credits = Vec::new();
        let has_vault = accounts.iter().any(Passed::is_vault);
        let all = self.setting.loaded.iter().zip(self.setting.keys).zip(before);
        for (index, ((loaded, key), before)) in (0_u16..).zip(all) {
            let Some(handle) = loaded.balance() else { continue };
            let now = self.host.peek(handle)?.unwrap_or_default().balance;
            if now == *before {
                continue;
            }
            let (shown, was) = (lamports(now), lamports(*before));
            rely(self.host, handle, exactly(shown))?;
            if shown == was {
                continue;
            }
            let is_passed = accounts.iter().any(|passed| passed.index == index && passed.writable);
            match shown.checked_sub(was) {
                Some(lamports) if is_passed && has_vault => {
                    credits.push(Credit { index, lamports })
                }
                _ => return Ok(Err(*key)),
            }
        }
        Ok(Ok(credits))
    }

    /// Shows the run what its accounts were credited. It comes out of the vault, whose
    /// lamports are made up; the kernel has both as they are.
    fn take_over(
        &mut self,
        credits: &[Credit],
        accounts: &[Passed],
        invoke: &InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        let vault = self.setting.keys.iter().position(|key| *key == vault());
        for Credit { index, lamports } in credits {
            pay_from_vault(invoke, accounts, *index, *lamports)?;
            let known = &mut self.written.accounts;
            if let Some(to) = known.get_mut(usize::from(*index)) {
                to.set_lamports(to.lamports().saturating_add(*lamports));
            }
            if let Some(from) = vault.and_then(|vault| known.get_mut(vault)) {
                from.set_lamports(from.lamports().saturating_sub(*lamports));
            }
        }
        Ok(())
    }
}

/// Moves lamports from the vault to another account of the instruction, in this run.
fn pay_from_vault(
    invoke: &InvokeContext<'_, '_>,
    accounts: &[Passed],
    to: u16,
    lamports: u64,
) -> Result<(), InstructionError> {
    let context = invoke.transaction_context.get_current_instruction_context()?;
    let from = place_of(accounts, Passed::is_vault)?;
    let to = place_of(accounts, |passed| passed.index == to && passed.writable)?;
    context.try_borrow_instruction_account(from)?.checked_sub_lamports(lamports)?;
    context.try_borrow_instruction_account(to)?.checked_add_lamports(lamports)
}

/// The program that called the gateway; none where the transaction itself did.
fn calling_program(invoke: &InvokeContext<'_, '_>) -> Result<Option<Pubkey>, InstructionError> {
    let context = &invoke.transaction_context;
    let Some(level) = context.get_instruction_stack_height().checked_sub(2) else {
        return Ok(None);
    };
    let caller = context.get_instruction_context_at_nesting_level(level)?;
    Ok(Some(*caller.get_program_key()?))
}

/// The system program's instruction that moves lamports.
pub(super) fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let mut data = vec![2, 0, 0, 0];
    data.extend_from_slice(&lamports.to_le_bytes());
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    Instruction { program_id: system_program::ID, accounts, data }
}

/// What the instruction returns: `status (0 success, 1 reverted, 2 failed) ‖ length (4) ‖
/// output`, as much of it as there is room for. A failure without an output gives its
/// reason.
fn answer(outcome: &Outcome) -> Vec<u8> {
    let (status, output) = match &outcome.status {
        Status::Success => (0, &outcome.output[..]),
        Status::Reverted => (1, &outcome.output[..]),
        Status::Failed(reason) if outcome.output.is_empty() => (2, reason.as_bytes()),
        Status::Failed(_) => (2, &outcome.output[..]),
    };
    let len = u32::try_from(output.len()).unwrap_or(u32::MAX);
    let mut answer = vec![status];
    answer.extend_from_slice(&len.to_le_bytes());
    let room = MAX_RETURN.saturating_sub(answer.len());
    answer.extend(output.iter().take(room));
    answer
}
